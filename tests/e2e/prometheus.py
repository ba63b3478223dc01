# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes on loopback: its configuration from a list of jobs, its data in a directory of the
test, and what it saw through its HTTP API.

It is Debian's, or the one that the environment names: PROMETHEUS=/path/to/prometheus, from 2.42 on. promtool is the
one beside it, or PROMTOOL.
"""
import http.client
import json
import os
import pathlib
import re
import subprocess
import urllib.parse

from conftest import SLOW, Process, wait_until

BINARY = os.environ.get("PROMETHEUS") or "prometheus"
PROMTOOL = os.environ.get("PROMTOOL") or (str(pathlib.Path(BINARY).with_name("promtool")) if "/" in BINARY else "promtool")
# (2, 42); none where Prometheus is not installed.
VERSION = (0, 0)

INTERVAL_SECONDS = max(2, round(SLOW))
INTERVAL = f"{INTERVAL_SECONDS}s"  # and the time that a scrape has
# For tests in which no scrape may fail: a busy machine may keep any of the programs waiting for some seconds.
CALM_SECONDS = max(4, round(2 * SLOW))
CALM = {"scrape_interval": f"{CALM_SECONDS}s", "scrape_timeout": f"{CALM_SECONDS}s"}
# Prometheus hands its targets to the scrapers only some seconds after it is ready.
PATIENCE = 60
# Series that Prometheus makes of each scrape by itself.
OWN_SERIES = {"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
              "scrape_series_added"}


def version_of(text):
    """The version in the output of --version."""
    found = re.search(r"prometheus, version (\d+)\.(\d+)", text)
    assert found, f"{BINARY} is no Prometheus: {text}"
    return int(found[1]), int(found[2])


try:
    VERSION = version_of(subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout)
except FileNotFoundError:
    assert BINARY == "prometheus", f"PROMETHEUS={BINARY}: no such file"


def settings_for(version, jobs, flags):
    """(settings of the configuration's global section, jobs, flags) for a version, such that it does as 2.42 does."""
    settings = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL}
    if version >= (3, 0):
        # Else it refuses a response without a Content-Type that it knows, which 2.x reads as text.
        jobs = [{"fallback_scrape_protocol": "PrometheusText0.0.4", **j} for j in jobs]
    if version >= (3, 8) and any("native-histograms" in flag for flag in flags):
        # No longer a feature but a setting.
        settings["scrape_native_histograms"] = True
        flags = [re.sub("native-histograms,?", "", flag) for flag in flags]
    return settings, jobs, [flag for flag in flags if flag != "--enable-feature="]


def job(name, port, path="/metrics", **params):
    """A scrape job of one target; the keywords become URL parameters."""
    return {"job_name": name, "metrics_path": path, "params": {key: [str(value)] for key, value in params.items()},
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def shard_jobs(name, port, count, path="/metrics"):
    """A job for each shard: what each of count servers would have."""
    return [job(f"{name}-{i}", port, path, shard=i, shard_count=count) for i in range(count)]


def identity(metric):
    """A series' name and labels without those that say where it was scraped."""
    return tuple(sorted((name, value) for name, value in metric.items() if name not in ("job", "instance")))


class Prometheus(Process):
    """A running Prometheus; wait_ready() before anything is asked. Keywords are further sections of its configuration."""

    def __init__(self, directory, jobs, *flags, **sections):
        directory.mkdir()
        self.jobs = [j["job_name"] for j in jobs]
        config = directory / "prometheus.yml"
        settings, jobs, flags = settings_for(VERSION, jobs, flags)
        settings |= sections.pop("global_settings", {})
        config.write_text(json.dumps({"global": settings, "scrape_configs": jobs, **sections}))  # JSON is YAML
        super().__init__([BINARY, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
                          "--web.listen-address=127.0.0.1:0", "--log.level=debug", *flags])

    def wait_ready(self):
        self.port = int(self.wait_line(r'msg="Listening on".* address=127\.0\.0\.1:(\d+)', PATIENCE)[1])
        wait_until(lambda: self.get("/-/ready")[0] == 200, "Prometheus is not ready", PATIENCE)

    def get(self, target):
        """One request: (status, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE * SLOW)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def api(self, name, **params):
        """The data of an answer of /api/v1."""
        status, body = self.get(f"/api/v1/{name}?{urllib.parse.urlencode(params)}")
        assert status == 200, body
        return json.loads(body)["data"]

    def query(self, expression):
        return self.api("query", query=expression)["result"]

    def series(self, job_name):
        """Every series that the job ever had, by identity."""
        found = self.api("series", **{"match[]": f'{{job="{job_name}"}}'})
        return {identity(metric) for metric in found if metric["__name__"] not in OWN_SERIES}

    def values(self, job_name):
        """The series that the job has now: {identity: value as text}."""
        return {identity(result["metric"]): result["value"][1] for result in self.query(f'{{job="{job_name}"}}')
                if result["metric"]["__name__"] not in OWN_SERIES}

    def samples(self, selector):
        """All samples of all series that match, as they were scraped: [(metric, [value as text])]."""
        return [(result["metric"], [value for _, value in result["values"]])
                for result in self.query(f"{selector}[1h]")]

    def metadata(self, job_name):
        """{family: (type, help, unit)} of what the job's target said."""
        found = self.api("targets/metadata", match_target=f'{{job="{job_name}"}}')
        return {m["metric"]: (m["type"], m["help"], m["unit"]) for m in found}

    def last_errors(self):
        """{job: why its last scrape failed, or ""}."""
        return {target["labels"]["job"]: target["lastError"]
                for target in self.api("targets", state="active")["activeTargets"]}

    def ups(self):
        """{job: the value of up after each scrape}; a job that was not scraped yet has none."""
        found = {metric["job"]: [int(value) for value in values] for metric, values in self.samples("up")}
        return {name: found.get(name, []) for name in self.jobs}

    def wait_up(self, value):
        """Waits until the last scrape of every job went as said."""
        wait_until(lambda: all(up[-1:] == [value] for up in self.ups().values()),
                   f"not every job has up {value}: {self.lines[-5:]}", PATIENCE)

    def wait_scrapes(self, count):
        """Waits until every job was scraped so often."""
        wait_until(lambda: all(len(up) >= count for up in self.ups().values()),
                   f"not every job was scraped {count} times: {self.lines[-5:]}", PATIENCE)

    def complaints(self):
        """Lines of its log that speak of a scrape that failed or could not be taken in whole."""
        return [line for line in list(self.lines)
                if re.search('level=(warn|error)|msg="(Scrape|Append) failed"', line, re.I)]
