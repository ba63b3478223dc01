# SPDX-License-Identifier: Apache-2.0
"""What lies in contrib/prometheus, contrib/grafana, contrib/systemd, contrib/man and contrib/completion, taken by the
programs that it is for."""
import json
import os
import re
import subprocess

import pytest
import yaml

from conftest import BINARY, ROOT, answer, answering, free_port, wait_until
from prometheus import PATIENCE

CONTRIB = ROOT / "contrib"
PROMETHEUS = CONTRIB / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
RULES = ALERTS["groups"][0]["rules"]


def run(*args, **options):
    return subprocess.run(args, capture_output=True, text=True, check=False, **options)


def good(*args, **options):
    """The output of a program that must be content."""
    r = run(*args, **options)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


# Prometheus.


def test_prometheus_config():
    assert "is valid prometheus config file" in good("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


def test_prometheus_config_of_another_server(tmp_path):
    """The sed of the file's head makes a whole file for another shard."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    sed = re.search(r"^#     (sed .*) prometheus.yml$", text, re.M)[1]
    (tmp_path / "alerts.yml").write_text((PROMETHEUS / "alerts.yml").read_text())
    (tmp_path / "prometheus.yml").write_text(good("sh", "-c", sed, input=text))
    good("promtool", "check", "config", tmp_path / "prometheus.yml")
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    app, own = config["scrape_configs"]
    assert config["global"]["external_labels"] == {"shard": "1"}
    assert app["params"] == {"shard": ["1"], "shard_count": ["3"]}
    assert own["relabel_configs"][1]["regex"] == "1"


def test_vmagent(tmp_path, process, upstream, sidecar):
    """A real vmagent takes its shard from its environment."""
    text = (PROMETHEUS / "vmagent.yml").read_text()
    service = upstream(answering(answer(b"up 1\n")))
    targets = re.sub(r'\["app-0:9464".*\]', f'["127.0.0.1:{sidecar(service.url).port}"]', text)
    config, port = tmp_path / "vmagent.yml", free_port()
    config.write_text(targets.replace("scrape_interval: 30s", "scrape_interval: 1s"))
    assert targets != text and config.read_text() != targets
    process(["vmagent", f"-promscrape.config={config}", f"-httpListenAddr=127.0.0.1:{port}",
             f"-remoteWrite.url=http://127.0.0.1:{port}/nowhere", f"-remoteWrite.tmpDataPath={tmp_path}"],
            env={**os.environ, "SHARD": "2", "SHARD_COUNT": "3"})

    def target():
        r = run("curl", "-sf", f"http://127.0.0.1:{port}/api/v1/targets")
        active = json.loads(r.stdout)["data"]["activeTargets"] if r.returncode == 0 else []
        return next((t for t in active if t["labels"]["job"] == "app" and t["health"] == "up"), None)
    assert "shard=2" in wait_until(target, "vmagent does not scrape", PATIENCE)["scrapeUrl"]
    assert service.requests


def test_alerts():
    assert "SUCCESS" in good("promtool", "check", "rules", PROMETHEUS / "alerts.yml")
    assert "SUCCESS" in good("promtool", "test", "rules", "alerts_test.yml", cwd=PROMETHEUS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
@pytest.mark.parametrize("broken", ["never", "always", "at once"])
def test_the_tests_of_alerts_can_fail(rule, broken, tmp_path):
    """An alert that never fires, always fires or does not wait fails the rule tests: so each is really exercised."""
    changed = {"never": {"expr": "vector(0) > 1"}, "always": {"expr": "vector(1)"}, "at once": {"for": "0s"}}[broken]
    rules = [{**r, **changed} if r is rule else r for r in RULES]
    (tmp_path / "alerts.yml").write_text(json.dumps({"groups": [{"name": "scrapeshard", "rules": rules}]}))
    (tmp_path / "alerts_test.yml").write_text((PROMETHEUS / "alerts_test.yml").read_text())
    assert run("promtool", "test", "rules", "alerts_test.yml", cwd=tmp_path).returncode == 1
