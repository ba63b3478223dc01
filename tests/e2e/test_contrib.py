# SPDX-License-Identifier: Apache-2.0
"""What lies in contrib/prometheus, contrib/systemd and contrib/man, taken by the programs that it is for."""
import json
import os
import pathlib
import re

import pytest
import yaml

from conftest import BINARY, ROOT, SANITIZED
from containers import good, run
from prometheus import PROMTOOL
from test_docs import DEF, KEYS

CONTRIB = ROOT / "contrib"
PROMETHEUS = CONTRIB / "prometheus"
TESTS_OF_RULES = {"alerts_test.yml": ["alerts.yml"], "up_test.yml": ["up.yml", "ruler.yml"]}


def rules_of(file):
    group, = yaml.safe_load((PROMETHEUS / file).read_text())["groups"]
    return group["rules"]


# (the file of tests, the file of rules, the rule)
ALERTS = [(tests, file, rule) for tests, files in TESTS_OF_RULES.items() for file in files for rule in rules_of(file)
          if "alert" in rule]
BROKEN = {"not": {}, "never": {"expr": "vector(0) > 1"}, "always": {"expr": "vector(1)"}, "at once": {"for": "0s"}}


# Prometheus.


@pytest.mark.parametrize("name, flags", [("prometheus.yml", ()), ("annotations.yml", ()), ("agent.yml", ("--agent",))])
def test_prometheus_config(name, flags, tmp_path):
    """Debian's Prometheus has no discovery in Kubernetes: file discovery stands for it."""
    for path in PROMETHEUS.glob("*.yml"):
        text = path.read_text().replace("kubernetes_sd_configs:\n      - role: pod\n", "file_sd_configs:\n      - files: [pods.json]\n")
        (tmp_path / path.name).write_text(text)
    assert "is valid prometheus config file" in good(PROMTOOL, "check", "config", *flags, tmp_path / name)


def test_prometheus_config_of_another_server(tmp_path):
    """The sed of the file's head makes a whole file for another shard."""
    text = (PROMETHEUS / "prometheus.yml").read_text()
    sed = re.search(r"^#     (sed .*) prometheus.yml$", text, re.M)[1]
    for rules in ("alerts.yml", "up.yml"):
        (tmp_path / rules).write_text((PROMETHEUS / rules).read_text())
    (tmp_path / "prometheus.yml").write_text(good("sh", "-c", sed, input=text))
    good(PROMTOOL, "check", "config", tmp_path / "prometheus.yml")
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    app, own = config["scrape_configs"]
    assert config["global"]["external_labels"] == {"shard": "1"}
    assert app["params"] == {"shard": ["1"], "shard_count": ["3"]}
    assert own["relabel_configs"][1]["regex"] == "1"
    assert config["alerting"]["alert_relabel_configs"][0]["regex"] == "1"


@pytest.mark.parametrize("tests", TESTS_OF_RULES)
def test_alerts(tests):
    for rules in TESTS_OF_RULES[tests]:
        assert "SUCCESS" in good(PROMTOOL, "check", "rules", PROMETHEUS / rules)
    assert "SUCCESS" in good(PROMTOOL, "test", "rules", tests, cwd=PROMETHEUS)


@pytest.mark.parametrize("tests, file, rule", ALERTS, ids=[rule["alert"] for _, _, rule in ALERTS])
@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.skipif(SANITIZED, reason="scrapeshard takes no part")
def test_the_tests_of_alerts_can_fail(tests, file, rule, broken, tmp_path):
    """An alert that never fires, always fires or does not wait fails its own tests: so each is really exercised."""
    for name in TESTS_OF_RULES[tests]:
        (tmp_path / name).write_text((PROMETHEUS / name).read_text())
    own = yaml.safe_load((PROMETHEUS / tests).read_text())
    own["tests"] = [t for t in own["tests"] if any(a["alertname"] == rule["alert"] for a in t["alert_rule_test"])]
    (tmp_path / tests).write_text(json.dumps(own))
    rules = [{**r, **BROKEN[broken]} if r == rule else r for r in rules_of(file)]
    (tmp_path / file).write_text(json.dumps({"groups": [{"name": "scrapeshard", "rules": rules}]}))
    assert run(PROMTOOL, "test", "rules", tests, cwd=tmp_path).returncode == bool(BROKEN[broken])


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


def unit_commands(file, args):
    """What the unit runs at a start and at a reload."""
    commands = re.findall(r"^Exec\w+=/usr/bin/scrapeshard (.*)", UNIT.read_text(), re.M)
    assert len(commands) == 2
    own = "/etc/scrapeshard/scrapeshard.ini"
    return [[BINARY, *c.replace(own, str(file)).replace("$ARGS", args).split()] for c in commands]


@pytest.mark.parametrize("flag", re.findall(r"^  (--[\w.-]+=)", good(BINARY, "--help"), re.M))
def test_unit_uses_flags_that_there_are(flag, tmp_path):
    """$ARGS may be any of those that serve has."""
    values = {"--config.file=": tmp_path / "absent", "--set=": "web.grace=1s", "--log.format=": "json"}
    for command in unit_commands(tmp_path / "absent", flag + str(values.get(flag, "http://a/"))):
        r = run(*command)
        assert r.returncode == 1 and f"{tmp_path}/absent" in r.stderr, r.stderr


def test_unit_checks_at_a_reload_what_it_starts_with(tmp_path):
    file, other = tmp_path / "scrapeshard.ini", tmp_path / "other.ini"
    file.write_text("[web]\ngrace = 5s\n")
    other.write_text("[web]\ngrace = soon\n")
    for args, status in (("", 1), ("--upstream.url=http://127.0.0.1:9/", 0), ("--upstream.url=nowhere", 2),
                         (f"--upstream.url=http://a/ --config.file={other}", 1)):
        start, reload = unit_commands(file, args)
        assert run(*reload).returncode == status, args
        if status:
            assert run(*start).returncode == status, args


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
