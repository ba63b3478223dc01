# SPDX-License-Identifier: Apache-2.0
"""contrib/grafana's dashboard: complete, and every query valid for a real Prometheus."""
import json
import re

import pytest
import yaml

from conftest import ROOT, answer, answering, wait_until
from prometheus import PATIENCE, Prometheus, job, shard_jobs

pytestmark = pytest.mark.xdist_group("grafana")

DASHBOARD = json.loads((ROOT / "contrib/grafana/scrapeshard.json").read_text())
PANELS = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
ALERTS = yaml.safe_load((ROOT / "contrib/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
TELEMETRY = ROOT / "sidecar/service/telemetry/telemetry.def"


def queries():
    """Each query with the dashboard's variables replaced as by Grafana."""
    for panel in PANELS:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m")
            yield panel["title"], re.sub(r"\$(job|instance|endpoint)\b", ".*", query)


def test_dashboard_is_whole():
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time", "annotations"} <= set(DASHBOARD)
    assert DASHBOARD["id"] is None and DASHBOARD["schemaVersion"] >= 36
    ids = [p["id"] for p in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids)) and len(PANELS) > 15
    required = {r["id"] for r in DASHBOARD["__requires"] if r["type"] == "panel"}
    assert {p["type"] for p in PANELS} == required
    for panel in PANELS:
        assert panel["title"] and panel["description"].endswith(".") and panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        refs = [t["refId"] for t in panel["targets"]]
        assert refs and len(refs) == len(set(refs))


def test_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_variables_are_there():
    defined = {v["name"] for v in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == defined


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    p = Prometheus(tmp_path_factory.mktemp("grafana") / "prometheus", [])
    p.wait_ready()
    yield p
    assert p.stop() == 0


@pytest.mark.parametrize("title, query", queries())
def test_query_is_promql(prometheus, title, query):
    prometheus.query(query)


def test_what_is_no_promql_is_refused(prometheus):
    with pytest.raises(AssertionError, match="bad_data"):
        prometheus.query("sum(")


@pytest.mark.skipif(not TELEMETRY.exists(), reason="sidecar/service/telemetry/telemetry.def is not there")
def test_metrics_are_there():
    """Every metric in the dashboard and the alerts exists in the program."""
    there = set(re.findall(r'"(scrapeshard_\w+)"', TELEMETRY.read_text()))
    used = set()
    for text in [json.dumps(DASHBOARD), *(rule["expr"] for rule in ALERTS)]:
        used |= {re.sub("_bucket$", "", name) for name in re.findall(r"\bscrapeshard_\w+", text)}
    assert len(used) > 20 and not used - there


# Panels that stay empty as long as nothing fails and no snapshot is made.
QUIET = "Errors|Limits hit|Age|Memory|Connections opened"


def test_dashboard_shows_real_sidecars(upstream, sidecar, tmp_path):
    s = sidecar(upstream(answering(answer(b"a 1\nb 2\nc 3\n"))).url)
    if s.admin("/metrics")[0] != 200:
        pytest.skip("the admin listener has no /metrics")
    p = Prometheus(tmp_path / "prometheus", [job("scrapeshard", s.admin_port), *shard_jobs("app", s.port, 3)])
    try:
        p.wait_ready()
        p.wait_up(1)
        p.wait_scrapes(4)
        for title, query in queries():
            if not re.fullmatch(QUIET, title):
                wait_until(lambda: p.query(query), f"{title} is empty: {query}", PATIENCE)
    finally:
        assert p.stop() == 0
