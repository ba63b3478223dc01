# SPDX-License-Identifier: Apache-2.0
"""The verdicts of rules match what Prometheus does: five servers with a shard each, compared to one with everything."""
import json
import math
import time
import urllib.request

import pytest
import yaml

from conftest import ROOT, SLOW, Process, run
from prometheus import BINARY as PROMETHEUS, PATIENCE, VERSION, Prometheus, identity, job, settings_for

pytestmark = pytest.mark.xdist_group("rules")

COUNT = 5
MIXINS = [ROOT / "tests/rules/mixins" / name for name in
          ("node-exporter.alerts.yaml", "node-exporter.rules.yaml", "prometheus.alerts.yaml")]

# A service with constant values. The families that rules join are on different shards of five.
FAMILIES = ["fa", "fb", "fc", "fd", "fe", "hub"]
MADE_BODY = "".join(f'{name}{{x="{x}"}} {x * (i + 1)}\n' for i, name in enumerate(FAMILIES) for x in (1, 2, 3)) + \
    'fc{x="9"} 90\nhist_bucket{le="1"} 1\nhist_bucket{le="+Inf"} 2\nhist_sum 3\nhist_count 2\ncounter_total 7\n'

# Every kind of expression. Names with a colon are recorded.
MADE = {
    "One": "fa > 0",
    "Ratio": "fa / fb > 0",
    "And": "fa and on (x) fc",
    "Unless": "fa unless on (x) fb",
    "Parts": "fa > 2 or fc > 80",
    "Everywhere": "fa or on () up * 0",
    "made:everywhere": "sum by (instance) (fa) or sum by (instance) (up) * 0",
    "made:sum_of_parts": "sum(fa or fc)",
    "made:sum": "sum by (x) (fa)",
    "made:quantile": "histogram_quantile(0.5, hist_bucket) + ignoring (le) hist_count",
    "made:join": "fd * on (x) group_left () hub",
    "made:other_join": "fe * on (x) group_left () hub",
    "made:scalar": "fa * scalar(sum(fb))",
    "made:differs": "fa != bool on () group_left () vector(scalar(sum(fb)))",
    "made:default": "sum(fa) or vector(0)",
    "made:constant": "vector(42)",
    "made:up": "count(up)",
    "made:chain": "made:sum / on (x) fb",
    "made:nameless": "count({__name__=~'fa|fc'})",
    "FewNames": "count({__name__=~'fa|up',job='made'}) < 4",
    "made:nameless_up": "count({__name__=~'fa|up'})",
    "made:nameless_generated": "count({__name__=~'up|scrape_dur.*'})",
    "made:subquery": "max_over_time((fa + on (x) fb)[1m:5s])",
    "Gone": "absent(fa)",
    "Missing": "absent(nothing)",
    "State": 'ALERTS{alertname="One",alertstate="firing"}',
    "AnyState": 'sum(ALERTS{alertname=~"One|Ratio"}) > 0',
}


# Rules of the mixins that have a result on every machine, with their verdicts. Others have one if, for example, the
# machine is under load (NodeSystemSaturation) or its clock is not synchronised.
MIXIN_RESULTS = {
    "instance:node_num_cpu:sum": ["right"],
    "instance:node_cpu_utilisation:rate5m": ["right"],
    "PrometheusNotConnectedToAlertmanagers": ["right"],
    "instance:node_load1_per_cpu:ratio": ["silent"],
    "instance:node_memory_utilisation:ratio": ["silent"],
}


class RuleServer(Prometheus):
    """A Prometheus that evaluates rules."""

    def __init__(self, directory, jobs, rule_file):
        directory.mkdir()
        self.jobs = [j["job_name"] for j in jobs]
        config = directory / "prometheus.yml"
        settings, jobs, _ = settings_for(VERSION, jobs, [])
        config.write_text(json.dumps({"global": settings | {"evaluation_interval": "1s"},
                                      "rule_files": [str(rule_file)], "scrape_configs": jobs}))
        Process.__init__(self, [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
                                "--web.listen-address=127.0.0.1:0", "--log.level=info"])

    def results(self, name):
        """The current results of the rules of a name: {labels: value}."""
        selector = f'{{__name__="{name}"}}' if ":" in name else f'ALERTS{{alertname="{name}"}}'
        return {identity(r["metric"]): float(r["value"][1]) for r in self.query(selector)}


def same(left, right):
    return left.keys() == right.keys() and all(math.isclose(left[k], right[k], rel_tol=1e-9) or left[k] != left[k]
                                               for k in left)


@pytest.fixture(name="rule_file", scope="module")
def make_rule_file(tmp_path_factory):
    """The mixins and the rules of every kind, with alerts that fire immediately."""
    groups = []
    for path in MIXINS:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
            groups.append(group | {"name": f"{path.name} {group['name']}"})
    made = [{"record" if ":" in name else "alert": name, "expr": expr} for name, expr in MADE.items()]
    path = tmp_path_factory.mktemp("rules") / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [*groups, {"name": "made", "rules": made}]}, sort_keys=False))
    return path


@pytest.fixture(name="services")
def start_services(process, node_exporter, upstream, tmp_path):
    """{job: the URL of its target}"""
    made = upstream(lambda up, connection: serve_made(up, connection))
    itself = Prometheus(tmp_path / "itself", [job("x", node_exporter.split(":")[2].split("/")[0])])
    itself.wait_ready()
    itself.wait_scrapes(1)
    yield {"node": node_exporter, "prometheus": f"http://127.0.0.1:{itself.port}/metrics", "made": made.url}
    itself.stop()


def serve_made(upstream, connection):
    body = MADE_BODY.encode()
    while upstream.read_request(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n" %
                           len(body) + body)


@pytest.fixture(name="servers")
def start_servers(sidecar, services, rule_file, tmp_path):
    """servers(lines) starts the sidecar with lines of [rules]; returns the server with everything and those of the
    shards."""
    started = []

    def start(lines):
        config = tmp_path / f"sidecar{len(started)}.ini"
        config.write_text("".join(f"[endpoint {name}]\npath = /{name}\nupstream = {url}\n" for name, url in services.items()) +
                          "[rules]\n" + "".join(f"{line}\n" for line in lines))
        port = sidecar(config=config).port
        for shard in range(-1, COUNT):
            params = {"shard": shard, "shard_count": COUNT} if shard >= 0 else {}
            jobs = [job(name, port, f"/{name}", **params) for name in services]
            started.append(RuleServer(tmp_path / f"server{len(started)}", jobs, rule_file))
        for server in started[-COUNT - 1:]:
            server.wait_ready()
        for server in started[-COUNT - 1:]:
            server.wait_scrapes(3)
        return started[-COUNT - 1], started[-COUNT:]
    yield start
    for server in started:
        server.stop()


def run_rules(rule_file, services, tmp_path, lines=()):
    """The output of rules --json with the bodies of the services, as they were the first time: later ones may have more
    families."""
    bodies = []
    for name, url in services.items():
        path = tmp_path / f"{name}.prom"
        if not path.exists():
            with urllib.request.urlopen(url) as answer:
                path.write_bytes(answer.read())
        bodies.append(f"--body={path}")
    force = [f"--set=rules.{line.replace(' = ', '=', 1)}" for line in lines]
    status, out, err = run("rules", "--json", f"--shard-count={COUNT}", *bodies, *force, rule_file)
    assert status in (0, 1) and not err, err
    return json.loads(out)


def judge(whole, parts):
    """The verdict on a rule by the results of the one server and of the shards."""
    having = [part for part in parts if part]
    if all(same(part, whole) for part in parts):
        return "everywhere"
    if len(having) == 1 and same(having[0], whole):
        return "right"
    union = {}
    for part in having:
        for key, value in part.items():
            union.setdefault(key, set()).add(value)
    if all(len(values) == 1 for values in union.values()) and same({k: min(v) for k, v in union.items()}, whole):
        return "in parts"
    if any(same(part, whole) for part in parts):
        return "false elsewhere" if whole else "false at all"
    return "false" if having else "silent"


# Verdicts that cannot be distinguished if the one server has no result.
ALIKE = {"false at all": ("false", "false elsewhere")}


def is_as_reported(report, whole, parts):
    found = judge(whole, parts)
    # A rule without a result on the one server is right wherever it has none.
    return report in ALIKE.get(found, (found,)) or found == "everywhere" and not whole


def by_name(report):
    """{name: its verdicts}; a rule that is right by chance counts as right."""
    found = {}
    for r in report["rules"]:
        found.setdefault(r["name"], []).append("right" if r["by_chance"] else r["verdict"])
    return found


def wait_for_none(find):
    """Waits until find() returns nothing; on a timeout its last result is shown."""
    deadline = time.monotonic() + PATIENCE * SLOW
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(1)
    assert not found


def results_of(servers, names):
    whole, shards = servers
    return {name: (whole.results(name), [shard.results(name) for shard in shards]) for name in names}


def test_verdicts_match_prometheus_and_lines_fix_rules(servers, services, rule_file, tmp_path):
    report = run_rules(rule_file, services, tmp_path)
    before = servers([])
    wanted = by_name(report)

    def wrong_verdicts():
        results = results_of(before, MADE)
        return {name: (wanted[name], judge(*results[name]), results[name]) for name in MADE
                if wanted[name] != ["unknown"] and not is_as_reported(wanted[name][0], *results[name])}
    wait_for_none(wrong_verdicts)
    assert {"right", "everywhere", "silent", "false", "false elsewhere", "in parts"} <= {v for n in MADE for v in wanted[n]}

    # The values of the mixins change, so compare their series: where the one server has a result, they differ exactly
    # for the rules that are called silent.
    names = [name for name in wanted if name not in MADE and "unknown" not in wanted[name]]
    assert {frozenset(wanted[name]) for name in names} == {frozenset(["right"]), frozenset(["silent"])}
    assert {name: wanted[name] for name in MIXIN_RESULTS} == MIXIN_RESULTS

    def wrong_series():
        return {name: (wanted[name], whole, shards) for name, (whole, shards) in results_of(before, names).items()
                if name in MIXIN_RESULTS and not whole or
                (set().union(*shards) != set(whole)) != (bool(whole) and "silent" in wanted[name])}
    wait_for_none(wrong_series)

    # With the lines the union is complete, except for rules that need a ruler or families that are not in the bodies.
    after = servers(report["lines"])
    again = run_rules(rule_file, services, tmp_path, report["lines"])
    assert again["totals"] == report["after"] and again["lines"] == []
    wanted = by_name(again)
    ruler = {r["name"] for r in again["ruler"]}
    assert {"Gone", "AnyState", "made:default", "made:everywhere"} <= ruler and len(ruler & set(MADE)) < 11, ruler

    def not_whole():
        found = {}
        for name, (whole, shards) in results_of(after, wanted).items():
            if name in ruler or "unknown" in wanted[name]:
                continue
            if set().union(*shards) != set(whole) or name in MIXIN_RESULTS and not whole or \
                    name in MADE and judge(whole, shards) not in ("right", "everywhere"):
                found[name] = (whole, shards)
        return found
    wait_for_none(not_whole)
