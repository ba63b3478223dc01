# SPDX-License-Identifier: Apache-2.0
"""What lies in contrib/prometheus, contrib/systemd and contrib/man, taken by the programs that it is for."""
import json
import os
import pathlib
import re

import pytest
import yaml

from conftest import BINARY, ROOT, answer, answering, free_port, wait_until
from containers import good, run
from prometheus import PATIENCE, PROMTOOL
from test_docs import DEF, KEYS

CONTRIB = ROOT / "contrib"
PROMETHEUS = CONTRIB / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
RULES = ALERTS["groups"][0]["rules"]


# Prometheus.


def test_prometheus_config():
    assert "is valid prometheus config file" in good(PROMTOOL, "check", "config", PROMETHEUS / "prometheus.yml")


def test_prometheus_config_of_another_server(tmp_path):
    """The sed of the file's head makes a whole file for another shard."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    sed = re.search(r"^#     (sed .*) prometheus.yml$", text, re.M)[1]
    (tmp_path / "alerts.yml").write_text((PROMETHEUS / "alerts.yml").read_text())
    (tmp_path / "prometheus.yml").write_text(good("sh", "-c", sed, input=text))
    good(PROMTOOL, "check", "config", tmp_path / "prometheus.yml")
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    app, own = config["scrape_configs"]
    assert config["global"]["external_labels"] == {"shard": "1"}
    assert app["params"] == {"shard": ["1"], "shard_count": ["3"]}
    assert own["relabel_configs"][1]["regex"] == "1"


def test_vmagent(tmp_path, process, upstream, sidecar):
    """A real vmagent takes its shard from its environment."""
    text = (PROMETHEUS / "vmagent.yml").read_text()
    service = upstream(answering(answer(b"up 1\n")))
    targets = re.sub(r'\["app-0:19480".*\]', f'["127.0.0.1:{sidecar(service.url).port}"]', text)
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
    assert "SUCCESS" in good(PROMTOOL, "check", "rules", PROMETHEUS / "alerts.yml")
    assert "SUCCESS" in good(PROMTOOL, "test", "rules", "alerts_test.yml", cwd=PROMETHEUS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
@pytest.mark.parametrize("broken", ["never", "always", "at once"])
def test_the_tests_of_alerts_can_fail(rule, broken, tmp_path):
    """An alert that never fires, always fires or does not wait fails the rule tests: so each is really exercised."""
    changed = {"never": {"expr": "vector(0) > 1"}, "always": {"expr": "vector(1)"}, "at once": {"for": "0s"}}[broken]
    rules = [{**r, **changed} if r is rule else r for r in RULES]
    (tmp_path / "alerts.yml").write_text(json.dumps({"groups": [{"name": "scrapeshard", "rules": rules}]}))
    (tmp_path / "alerts_test.yml").write_text((PROMETHEUS / "alerts_test.yml").read_text())
    assert run(PROMTOOL, "test", "rules", "alerts_test.yml", cwd=tmp_path).returncode == 1


# systemd.


UNIT = CONTRIB / "systemd/scrapeshard.service"


def test_unit_is_hardened():
    """systemd's own judgement, from 0 (safe) to 10; its mark for what lets in no more than a network service needs is
    below 2."""
    report = good("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    assert float(re.search(r"Overall exposure level for scrapeshard.service: ([\d.]+)", report)[1]) < 1.5, report


def test_unit_has_no_mistakes(tmp_path):
    """With a binary that is here; the man pages are not installed."""
    text = UNIT.read_text()
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub("^Documentation=.*\n", "", text.replace("/usr/bin/scrapeshard", BINARY), flags=re.M))
    r = run("systemd-analyze", "verify", "--man=no", unit)
    ours = [line for line in r.stderr.splitlines() if "scrapeshard" in line]
    assert not ours and r.returncode == 0, r.stderr
    unit.write_text(text.replace("NoNewPrivileges=yes", "NoNewPrivilege=yes"))
    assert "NoNewPrivilege" in run("systemd-analyze", "verify", "--man=no", unit).stderr


def test_unit_uses_flags_that_there_are():
    commands = re.findall(r"^Exec\w+=/usr/bin/scrapeshard (.*)", UNIT.read_text(), re.M)
    assert len(commands) == 2
    for command in commands:
        r = run(BINARY, *command.replace("$ARGS", "--log.format=json").split())
        assert r.returncode == 1 and "/etc/scrapeshard/scrapeshard.ini" in r.stderr, r.stderr


# Man pages.


BUILD = pathlib.Path(BINARY).parents[1]
COMMANDS = re.findall(r'\{"(\w+)", cmd_', (ROOT / "sidecar/main.c").read_text())
PAGES = ["scrapeshard.1", "scrapeshard.ini.5"]


def page(name):
    """A man page as plain text, without line breaks, and what man had to complain of."""
    r = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", BUILD / "contrib" / name,
            env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "500"})
    return re.sub(r"\s+", " ", re.sub(".\x08", "", r.stdout)), r.stderr


@pytest.mark.parametrize("name", PAGES)
def test_man_has_no_warnings(name):
    text, complaints = page(name)
    assert len(text) > 1000 and complaints == ""


def test_man_warns_of_what_is_wrong(tmp_path):
    bad = tmp_path / "bad.1"
    bad.write_text(".TH BAD 1\n.SH NAME\nbad \\- page\n.XYZ nothing\n")
    assert run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", bad).stderr


def test_man_has_every_setting_with_its_default():
    text, _ = page("scrapeshard.ini.5")
    for section, key in KEYS:
        assert f"[{section}" in text and re.search(rf"\b{key} =", text), key
    for key, default in re.findall(r'^\w+\((?:\w+, )?(\w+), \w+, \w+,\s*"([^"]*)"', DEF, re.M):
        assert f"{key} = {default}".strip() in text, key


def test_man_has_every_flag():
    text, _ = page("scrapeshard.1")
    assert len(COMMANDS) > 3
    for command in COMMANDS:
        flags = re.findall(r"^  (--\S+)", good(BINARY, command, "--help"), re.M)
        assert flags
        for flag in flags:
            assert flag in text, (command, flag)


def test_man_shows_files_that_are_right(tmp_path):
    text = (CONTRIB / "man/scrapeshard.ini.5.in").read_text()
    examples = re.findall(r"^\.nf\n(.*?)^\.fi", text, re.M | re.S)
    assert len(examples) == 2
    for example in examples:
        (tmp_path / "x.ini").write_text(example)
        good(BINARY, "check", tmp_path / "x.ini")
