# SPDX-License-Identifier: Apache-2.0
"""contrib/prometheus/migration.md, there and back: three real Prometheus servers that shard by hashmod migrate to
the sidecar, and no series is lost, duplicated or renamed."""
import itertools
import json
import re
import signal
import subprocess

import pytest
import yaml

from conftest import BINARY, ROOT, answer, answering, wait_until
from monitors import pod
from prometheus import CALM, CALM_SECONDS, OWN_SERIES, PATIENCE, Prometheus

GUIDE = (ROOT / "contrib/prometheus/migration.md").read_text()
BLOCKS = [(kind, text) for kind, text in re.findall(r"^```(\w+)\n(.*?)^```", GUIDE, re.M | re.S)]
SERVERS = 3
RELOADED = "Completed loading of configuration file"
BODY = (ROOT / "tests/cases/prometheus-text-9of80.in").read_bytes()
SERIES = sum(not line.startswith(b"#") for line in BODY.splitlines())


def accepts(key):
    """Whether `scrapeshard check` accepts the key."""
    return not subprocess.run([BINARY, "check", f"--set=sharding.key={key}", ROOT / "conf/minimal.ini"],
                              capture_output=True, check=False).returncode


pytestmark = [pytest.mark.skipif(not accepts("name"), reason="`scrapeshard check` does not accept key = name"),
              pytest.mark.skipif("build/" not in BINARY, reason="the ordinary build walks it, once")]


def guide_jobs():
    """The job of each step, as the guide writes them."""
    (before,), relabel, (sharded,), _, *_ = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]
    return {0: before, 2: {**before, **relabel}, 3: sharded, 5: without_hashmod(sharded)}


def without_hashmod(job):
    return {key: value for key, value in job.items() if key != "metric_relabel_configs"}


def kubernetes_jobs():
    """The job in Kubernetes, before and after."""
    *_, (before,), (after,) = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]
    for job in before, after:
        assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    return before, after


class Server(Prometheus):
    """A server of the fleet; go() moves it to a step of the guide. It has the job in Kubernetes beside it, with the same
    targets as discovery of Pods would give them."""

    def __init__(self, directory, shard, service, sidecar):
        self.config, self.shard, self.service, self.sidecar = directory / "prometheus.yml", shard, service, sidecar
        before, after = map(self.own, kubernetes_jobs())
        last = without_hashmod(after)
        pods_jobs = {0: before, 2: before, 3: after, 5: last}
        self.steps = {step: [self.own(job), pods_jobs[step]] for step, job in guide_jobs().items()}
        # Before 3.0 Prometheus does not list the ports of a native sidecar.
        pods = directory.with_suffix(".json")
        pods.write_text(json.dumps(pod("shop", "app-0", [("app", "http", service), ("scrapeshard", "sharded-metrics", sidecar)])))
        for job in before, after, last:
            job["file_sd_configs"] = [{"files": [str(pods)]}]
        super().__init__(directory, self.steps[0], global_settings=CALM)

    def own(self, job):
        """A job of the guide with the shard of this server and the ports of the test."""
        job = json.loads(json.dumps(job).replace("app-0:8080", f"127.0.0.1:{self.service}")
                         .replace(":8080", f":{self.service}").replace(":19480", f":{self.sidecar}"))
        if "params" in job:
            assert job["params"] == {"shard": ["0"], "shard_count": [str(SERVERS)]}
            job["params"]["shard"] = [str(self.shard)]
        for rule in job.get("metric_relabel_configs", []):
            if rule["action"] == "keep":
                rule["regex"] = str(self.shard)
        return job

    def go(self, step):
        config = json.loads(self.config.read_text())
        config["scrape_configs"] = self.steps[step]
        self.config.write_text(json.dumps(config))
        self.process.send_signal(signal.SIGHUP)

    def is_scraped_at(self, port):
        """Whether each job was last scraped there, with the current configuration."""
        targets = self.api("targets", state="active")["activeTargets"]
        return len(targets) == 2 and all(f":{port}/" in t["scrapeUrl"] and t["health"] == "up" for t in targets)

    def scrapes(self):
        """The number of scrapes of each job."""
        return min(len(values) for _, values in self.samples("up"))

    def gap(self):
        """The longest time between two scrapes of a job, in seconds."""
        return max(b - a for r in self.query("up[1h]")
                   for a, b in itertools.pairwise(sorted(float(time) for time, _ in r["values"])))

    def now(self):
        """The current series, with all labels."""
        return {frozenset(r["metric"].items()) for r in self.query('{job!=""}')
                if r["metric"]["__name__"] not in OWN_SERIES}

    def ever(self):
        return {frozenset(m.items()) for m in self.api("series", **{"match[]": '{job!=""}'})
                if m["__name__"] not in OWN_SERIES}


def go(servers, step):
    """Moves servers to a step, and waits until each has scraped twice since."""
    reloads = [s.count(RELOADED) for s in servers]
    for s in servers:
        s.go(step)
    for s, before in zip(servers, reloads):
        wait_until(lambda: s.count(RELOADED) > before, "no reload", PATIENCE)
        port = s.sidecar if step >= 3 else s.service
        wait_until(lambda: s.is_scraped_at(port), f"step {step} is not in force", PATIENCE)
        before = s.scrapes()
        wait_until(lambda: s.scrapes() >= before + 2, "no scrapes", PATIENCE)


def test_nothing_is_lost(tmp_path, upstream, sidecar):
    ini = tmp_path / "scrapeshard.ini"
    service = upstream(answering(answer(BODY)))
    port = int(re.search(r":(\d+)/", service.url)[1])
    ini.write_text(next(text for kind, text in BLOCKS if kind == "ini").replace(":8080", f":{port}"))
    side = sidecar(config=ini)
    check_proof(ini, port, side.port)
    servers = [Server(tmp_path / f"server-{i}", i, port, side.port) for i in range(SERVERS)]
    try:
        walk(servers, side)
    finally:
        assert [s.stop() for s in servers] == [0] * SERVERS


def check_proof(ini, service, sidecar):
    """The guide's own proof that the shards are complete."""
    command = re.search(r"^    scrapeshard (verify .*)$", GUIDE, re.M)[1]
    for there, here in [("scrapeshard.ini", ini), (":8080", f":{service}"), (":19480", f":{sidecar}")]:
        assert there in command
        command = command.replace(there, str(here))
    r = subprocess.run([BINARY, *command.split()], capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr


def walk(servers, side):
    for s in servers:
        s.wait_ready()
        s.wait_scrapes(2)
    first = [s.now() for s in servers]
    start = [max(float(r["value"][0]) for r in s.query("up")) for s in servers]
    names = [{dict(series)["__name__"] for series in each} for each in first]
    assert all(first) and not set.intersection(*names) and sum(map(len, first)) == 2 * SERIES
    labels = {"job": "shop", "instance": f"127.0.0.1:{servers[0].service}", "container": "app", "endpoint": "http",
              "namespace": "shop", "pod": "app-0"}
    assert all(sum(labels.items() <= series for series in each) * 2 == len(each) for each in first)
    assert side.get()[0] == 400  # require_shard

    def check():
        for s, series in zip(servers, first):
            assert s.now() == series and s.ever() == series
            assert set(itertools.chain(*s.ups().values())) == {1}

    def check_dropped(some, nothing):
        query = 'scrape_samples_scraped{job="app"} != scrape_samples_post_metric_relabeling{job="app"}'
        assert query in GUIDE
        assert [bool(s.query(query)) for s in some] == [not nothing] * len(some)

    check_dropped(servers, nothing=False)
    for step, moved in [(2, servers), (3, servers[:1]), (2, servers[:1]), (3, servers), (5, servers), (0, servers)]:
        go(moved, step)
        check()
        check_dropped(moved, nothing=step >= 3)

    # A series that was stale for a while would be missing at some samples of `up`. (`up` itself may miss one interval after
    # a reload if the machine is busy: step 3 of the guide says why.)
    for s, series, since in zip(servers, first, start):
        end = s.query("vector(time())")[0]["value"][0]
        for job in s.jobs:
            found, (up,) = [s.api("query_range", query=query, start=since, end=end, step=1)["result"]
                            for query in (f'{{job="{job}"}}', f'up{{job="{job}"}}')]
            seen = {frozenset(r["metric"].items()): len(r["values"]) for r in found}
            assert {seen.get(one) for one in series if ("job", job) in one} == {len(up["values"])}
        assert s.gap() < 3 * CALM_SECONDS  # at most two, depending on when Prometheus starts
