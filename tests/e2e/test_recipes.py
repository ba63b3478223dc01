# SPDX-License-Identifier: Apache-2.0
"""The recipes of contrib for whatever scrapes: through the sidecar each gives the series the labels that they have without
it. Two real Prometheus servers scrape the same service by the same discovered targets, one without the sidecar and one
through it, and a vmagent does the same."""
import http.server
import json
import os
import re
import threading

import pytest
import yaml

from conftest import BINARY, ROOT, Process, Sidecar, Upstream, answer, answering, free_port, wait_until
from containers import good, run
from monitors import alloy_job, operator_job, pod, scrape_config_job, vm_operator_job
from prometheus import INTERVAL, OWN_SERIES, PATIENCE, Prometheus

pytestmark = [pytest.mark.xdist_group("recipes"),
              pytest.mark.skipif("build/" not in BINARY, reason="the ordinary build scrapes by every recipe, once")]

KUBERNETES, PROMETHEUS = ROOT / "contrib/kubernetes", ROOT / "contrib/prometheus"
FAMILIES = 30
BODY = b"".join(b'f%d{shard="own"} %d\n' % (i, i) for i in range(FAMILIES))
NAME = {"app.kubernetes.io/name": "app"}
SIDECAR = {"scrapeshard/sidecar": "true"}
# One server that has all shards: a range stands in each place of a number.
ALL = "0-2"
ENV = {"SHARD": ALL, "INZONE_SHARD": ALL, "TOPOLOGY_ZONE": "zone-a", "SHARD_COUNT": "3"}


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def kind_of(path, kind, name=None):
    return next(d for d in documents(path) if d["kind"] == kind and name in (None, d["metadata"]["name"]))


def jobs_of(path):
    return {j["job_name"]: j for j in yaml.safe_load(path.read_text())["scrape_configs"]}


def without_sidecar(j):
    """What a job is without a sidecar: no parameters, no other port."""
    own = ("instance", "scrape_shard")
    return {**{k: v for k, v in j.items() if k not in ("params", "metric_relabel_configs")}, "relabel_configs": [
        r for r in j["relabel_configs"] if "replacement" not in r or ":19480" not in r["replacement"]
        if r.get("target_label") not in own]}


def as_template(text):
    """The template of overlays/plain as its init container makes it, by that container's own command."""
    objects = documents(KUBERNETES / "overlays/plain/statefulset.yaml")
    container, = objects[1]["spec"]["template"]["spec"]["initContainers"]
    *shell, command = container["command"]
    env = {e["name"]: e.get("value", ALL) for e in container["env"]}
    fields = [e["valueFrom"]["fieldRef"]["fieldPath"] for e in container["env"] if "valueFrom" in e]
    assert fields == ["metadata.labels['apps.kubernetes.io/pod-index']"] and env["REPLICAS"] == str(objects[1]["spec"]["replicas"])
    # Kubernetes puts these variables into a command by itself.
    assert not [name for name in env if f"$({name})" in command]
    command = command.replace("/template/prometheus.yml", "/dev/stdin").replace(">/config/prometheus.yml", "")
    return good(*shell, command, input=text, env={"PATH": os.environ["PATH"], **env})


def collector_jobs(path, *way):
    """The scrape jobs of a collector's configuration, as it reads them."""
    text = re.sub("#.*", "", path.read_text()).replace("$$", "\0").replace("${env:SHARD}", ALL)
    assert "$" not in text
    config = yaml.safe_load(text.replace("\0", "$"))
    for name in way:
        config = config[name]
    return config["receivers"]["prometheus"]["config"]["scrape_configs"]


class Recipes:
    """The jobs of every recipe, without the sidecar and through it, with targets of the test; pairs are the names of
    those whose series are held against each other."""

    def __init__(self, service, sidecar, folder):
        self.service, self.sidecar, self.folder = service, sidecar, folder
        self.before, self.after, self.pairs = [], [], []

    def targets(self, name, where, **more):
        """Targets of a Pod, with its sidecar or without."""
        ports = [("app", "http", self.service), *more.pop("ports", ())]
        if where is self.after:
            ports += [("scrapeshard", "sharded-metrics", self.sidecar)]
        labels = {**NAME, **(SIDECAR if where is self.after else {}), **more.pop("labels", {})}
        return pod(name, f"{name}-0", ports, labels, **more)

    def add(self, where, name, j, env, **more):
        """A job with targets of file discovery in the place of Kubernetes' or static ones."""
        text = json.dumps({k: v for k, v in j.items() if k != "kubernetes_sd_configs"})
        text = re.sub(r"\$\((\w+)\)", lambda m: env[m[1]], text).replace(":19480", f":{self.sidecar}")
        j = {**json.loads(text), "scrape_interval": INTERVAL}
        # The names of jobs are the test's; the label is the recipe's.
        j["relabel_configs"] = [{"target_label": "job", "replacement": j["job_name"]}, *j["relabel_configs"]]
        if "static_configs" in j:
            j["static_configs"] = [{"targets": [f"127.0.0.1:{self.service}"]}]
            j["relabel_configs"].append({"target_label": "namespace", "replacement": name})
        else:
            path = self.folder / f"{name}-{j['job_name']}-{where is self.after}.json"
            path.write_text(json.dumps(self.targets(name, where, **more)))
            j["file_sd_configs"] = [{"files": [str(path)]}]
        where.append({**j, "job_name": f"{name}/{j['job_name']}"})

    def pair(self, name, before, after, env=ENV, **more):
        self.add(self.before, name, before, {"SHARD": "0"}, **more)
        for j in after:
            self.add(self.after, name, j, env, **more)
        self.pairs.append(name)


def operator_recipes(recipes):
    prometheus = kind_of(KUBERNETES / "operator/prometheus.yaml", "Prometheus")["spec"]
    zones = kind_of(KUBERNETES / "overlays/topology/prometheus.yaml", "Prometheus")["spec"]
    plain = {}

    def without_class(monitor):
        return {**monitor, "spec": {k: v for k, v in monitor["spec"].items() if k != "scrapeClass"}}
    for overlay, kind, server, more in (
            ("podmonitor", "PodMonitor", prometheus, {}), ("servicemonitor", "ServiceMonitor", prometheus, {"service": "app"}),
            ("topology", "PodMonitor", zones, {"zone": "zone-a"})):
        path = KUBERNETES / f"overlays/{overlay}/{kind.lower()}.yaml"
        monitor = kind_of(path, kind, "app")
        recipes.pair(overlay, operator_job("app", without_class(monitor), plain, overlay),
                     [operator_job("app", monitor, server, overlay)], **more)
    monitor = kind_of(KUBERNETES / "overlays/topology/podmonitor.yaml", "PodMonitor", "app")
    spread = {**monitor, "spec": {**monitor["spec"], "scrapeClass": "family-sharded-all-zones"}}
    recipes.pair("all-zones", operator_job("app", without_class(monitor), plain, "all-zones"),
                 [operator_job("app", spread, zones, "all-zones")], {**ENV, "SHARD": "0-5"})
    config = kind_of(KUBERNETES / "overlays/scrapeconfig/scrapeconfig.yaml", "ScrapeConfig")
    bare = {**config, "spec": {**config["spec"], "relabelings": config["spec"]["relabelings"][:-5]}}
    recipes.pair("scrapeconfig", scrape_config_job("app", bare, plain), [scrape_config_job("app", config, prometheus)])
    # What the documents say of zones: (class, server's zone, the Pod's) of the operator in topology mode.
    with_zones = {**prometheus, "shards": 6, "shardingStrategy": zones["shardingStrategy"]}
    for name, server, spec, here, there in (
            ("stays-in-zone", zones, monitor, "zone-b", "zone-a"), ("no-zone-first", zones, monitor, "zone-a", None),
            ("no-zone-other", zones, monitor, "zone-b", None), ("no-zone-all", zones, spread, "zone-b", None),
            ("no-zone-lost", with_zones, monitor, "zone-a", None)):
        recipes.add(recipes.after, name, operator_job("app", spec, server, name), {**ENV, "TOPOLOGY_ZONE": here}, zone=there)


def prometheus_recipes(recipes):
    template = yaml.safe_load(as_template((KUBERNETES / "overlays/plain/prometheus.yml").read_text()))
    discovered = {j["job_name"]: j for j in template["scrape_configs"]}["app"]
    recipes.pair("plain", without_sidecar(discovered), [discovered])
    for name, file in (("static", "prometheus.yml"), ("agent", "agent.yml")):
        recipes.pair(name, without_sidecar(jobs_of(PROMETHEUS / file)["app"]),
                     list(jobs_of(server_file(PROMETHEUS / file, recipes.folder)).values())[:1])
    annotations = {f"prometheus.io/{k}": v for k, v in (("scrape", "true"), ("port", str(recipes.service)), ("path", "/metrics"))}
    both = jobs_of(server_file(PROMETHEUS / "annotations.yml", recipes.folder))
    usual = {**both["pods"], "relabel_configs": both["pods"]["relabel_configs"][:-2]}
    recipes.pair("annotations", usual, list(both.values()), annotations=annotations)
    del annotations["prometheus.io/port"]
    for j in both.values():
        recipes.add(recipes.after, "no-port", j, ENV, annotations=annotations, ports=[("app", "grpc", 9)])


def server_file(path, folder):
    """The file of the server that has all shards, by the file's own sed."""
    sed = re.search(rf"^#     (sed .*) {path.name}$", path.read_text(), re.M)[1]
    assert sed == """sed 's/"0"/"1"/'"""
    made = folder / path.name
    made.write_text(good("sh", "-c", sed.replace('"1"', f'"{ALL}"'), input=path.read_text()))
    return made


def other_recipes(recipes):
    j = alloy_job((PROMETHEUS / "alloy.alloy").read_text())
    recipes.pair("alloy", without_sidecar(j), [j])
    j, = collector_jobs(PROMETHEUS / "otel-collector.yaml")
    recipes.pair("collector", without_sidecar(j), [j])
    jobs = collector_jobs(PROMETHEUS / "otel-target-allocator.yaml", "spec", "config")
    assert [j["params"] for j in jobs] == [{"shard": [str(i)], "shard_count": ["3"]} for i in range(3)]
    recipes.pair("allocator", {**without_sidecar(jobs[0]), "job_name": "app"}, jobs)


class Alertmanager(http.server.BaseHTTPRequestHandler):
    """Keeps what is sent to it: which server has sent it, and its labels."""

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.alerts += [(alert["annotations"]["server"], alert["labels"]) for alert in json.loads(body)]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """(recipes, the server without sidecars, the one through them, the labels of all alerts), after two scrapes."""
    folder = tmp_path_factory.mktemp("recipes")
    serve = answering(answer(BODY))
    service = Upstream(lambda connection: serve(service, connection))
    sidecar = Sidecar(service.url)
    recipes = Recipes(service.port, sidecar.port, folder)
    for add in (operator_recipes, prometheus_recipes, other_recipes):
        add(recipes)
    manager = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Alertmanager)
    manager.alerts = []
    threading.Thread(target=manager.serve_forever, daemon=True).start()
    alert, = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["alerting"]["alert_relabel_configs"]
    rules = folder / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "g", "interval": "1s", "rules": [
        {"alert": name, "expr": "vector(1)", "labels": labels, "annotations": {"server": "{{ $externalLabels.shard }}"}}
        for name, labels in (("OfTarget", {}), ("OfShard", {"shard": "7"}))]}]}))
    managers = [{"static_configs": [{"targets": [f"127.0.0.1:{manager.server_port}"]}]}]
    servers = [Prometheus(folder / f"server-{shard}", jobs, "--rules.alert.resend-delay=1s", rule_files=[str(rules)],
                          global_settings={"external_labels": {"shard": shard}},
                          alerting={"alert_relabel_configs": [{**alert, "regex": shard}], "alertmanagers": managers})
               for shard, jobs in (("0", recipes.before), (ALL, recipes.after))]
    try:
        for s in servers:
            s.wait_ready()
            # The health of a target is told before the series of its scrape are there.
            wait_until(lambda s=s: set(recipes.pairs) <= {t["scrapePool"].split("/")[0] for t in active(s)} and
                       len(s.query("up == 1")) == len(active(s)), "not all targets are up", PATIENCE)
        yield recipes, *servers, manager.alerts
    finally:
        for s in servers:
            s.process.terminate()
        assert [s.stop() for s in servers] == [0, 0]
        manager.shutdown()
        assert sidecar.stop() == 0
        service.close()


def active(server, name=""):
    return [t for t in server.api("targets", state="active")["activeTargets"] if t["scrapePool"].startswith(name)]


def series(server, name):
    """All series of a recipe, with all labels."""
    return {frozenset(m.items()) for m in server.api("series", **{"match[]": f'{{namespace="{name}"}}'})}


# Labels.


RECIPES = ["podmonitor", "servicemonitor", "topology", "all-zones", "scrapeconfig", "plain", "static", "annotations", "agent",
           "alloy", "collector", "allocator"]
# Where up and scrape_* of the copies have a label of their own.
TOLD_APART = {"agent": [ALL], "alloy": [ALL], "collector": [ALL], "allocator": ["0", "1", "2"]}


def test_all_recipes_are_here(fleet):
    assert sorted(fleet[0].pairs) == sorted(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_the_labels_stay(fleet, name):
    _, before, after, _ = fleet
    was, now = series(before, name), series(after, name)
    reports = {s for s in was if dict(s)["__name__"] in OWN_SERIES}
    assert len(was - reports) == FAMILIES and len(reports) == len(OWN_SERIES)
    if name in TOLD_APART:
        now, copies = now & was, {frozenset(s) for s in now - was}
        assert copies == {s | {("scrape_shard", shard)} for s in reports for shard in TOLD_APART[name]}
        was -= reports
    assert now == was


def test_labels_are_those_of_the_pod(fleet):
    """The labels are not only the same: they are there."""
    recipes, _, after, _ = fleet
    own = {"instance": f"127.0.0.1:{recipes.service}", "job": "podmonitor/app", "container": "app", "endpoint": "http",
           "namespace": "podmonitor", "pod": "podmonitor-0"}
    assert [t["labels"] for t in active(after, "podmonitor/")] == [own]
    assert [t["labels"] for t in active(after, "servicemonitor/")] == [
        {**own, "job": "app", "service": "app", "namespace": "servicemonitor", "pod": "servicemonitor-0"}]


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "allocator"])
def test_scrapes_ask_for_the_shard(fleet, name):
    recipes, before, after, _ = fleet
    target, = active(after, f"{name}/")
    asked = "shard=0-5&shard_count=6" if name == "all-zones" else "shard=0-2&shard_count=3"
    assert target["scrapeUrl"].endswith(f":{recipes.sidecar}/metrics?{asked}")
    assert [t["scrapeUrl"] for t in active(before, f"{name}/")] == [f"http://127.0.0.1:{recipes.service}/metrics"]


def test_annotations_without_a_port(fleet):
    """Each port of the Pod is discovered, and the series are there once."""
    recipes, _, after, _ = fleet
    assert [t["labels"]["instance"] for t in active(after, "no-port/")] == [f"127.0.0.1:{recipes.sidecar}"]


@pytest.mark.parametrize("name, kept", [("stays-in-zone", False), ("no-zone-first", True), ("no-zone-other", False),
                                        ("no-zone-all", True), ("no-zone-lost", False)])
def test_zones(fleet, name, kept):
    """A class keeps a Pod in the servers of its zone, and a Pod without a zone in those of the first; a class that is not
    made for zones loses it, as the document says."""
    assert bool(active(fleet[2], f"{name}/")) == kept


def test_zones_divide_the_shards():
    spec = kind_of(KUBERNETES / "overlays/topology/prometheus.yaml", "Prometheus")["spec"]
    zones = spec["shardingStrategy"]["topology"]["values"]
    in_zone, everywhere = ([r for r in c["relabelings"] if r.get("targetLabel") == "__param_shard_count"][0]["replacement"]
                           for c in spec["scrapeClasses"])
    assert int(everywhere) == spec["shards"] == int(in_zone) * len(zones)


# VictoriaMetrics.


@pytest.fixture(scope="module")
def vmagent(tmp_path_factory):
    """(the service's port, the sidecar's, the targets of a vmagent by job): it runs vmagent.yml and what the operator makes
    of vm-operator.yaml, as shard 2, and one of its flags spreads the targets over three agents, which the operator's
    flag undoes."""
    folder = tmp_path_factory.mktemp("vmagent")
    serve = answering(answer(BODY))
    service = Upstream(lambda connection: serve(service, connection))
    sidecar = Sidecar(service.url)
    agent, *scrapes = documents(KUBERNETES / "vm-operator.yaml")
    spec = agent["spec"]
    env = {e["name"]: e["value"].replace("%SHARD_NUM%", "2") for e in spec["extraEnvs"]}
    flags = [f"-promscrape.cluster.membersCount={spec['shardCount']}", f"-promscrape.cluster.memberNum={env['SHARD']}",
             *(f"-{name}={value}" for name, value in spec["extraArgs"].items())]
    jobs = yaml.safe_load((PROMETHEUS / "vmagent.yml").read_text())["scrape_configs"]
    for scrape in scrapes:
        jobs.append(vm_operator_job(f"operator-{scrape['metadata']['name']}", scrape, spec, "shop"))
    found = folder / "pods.json"
    found.write_text(json.dumps([group for i in range(6) for group in pod(
        "shop", f"app-{i}", [("app", "http", service.port), ("scrapeshard", "shard-admin", sidecar.admin_port)], {**NAME, **SIDECAR})]))
    for j in jobs:
        if "static_configs" not in j:
            j["file_sd_configs"] = [{"files": [str(found)]}]
    text = json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}).replace(":19480", f":{sidecar.port}")
    config, port = folder / "vmagent.yml", free_port()
    config.write_text(re.sub(r"app-\d:", "127.0.0.1:", text.replace(":8080", f":{service.port}")
                             .replace(":19481", f":{sidecar.admin_port}")))
    command = ["vmagent", f"-promscrape.config={config}", f"-httpListenAddr=127.0.0.1:{port}", *flags,
               f"-remoteWrite.url=http://127.0.0.1:{port}/nowhere", f"-remoteWrite.tmpDataPath={folder}"]
    environment = {**os.environ, **env, "SHARD_COUNT": "3"}
    good(*command, "-dryRun", env=environment)
    p = Process(command, env=environment)

    def targets():
        r = run("curl", "-sf", f"http://127.0.0.1:{port}/api/v1/targets")
        found = json.loads(r.stdout)["data"]["activeTargets"] if r.returncode == 0 else []
        jobs = {t["labels"]["job"] for t in found if t["health"] == "up"}
        return {"app", "shop/app"} <= jobs and all(t["health"] == "up" for t in found) and found
    try:
        yield service.port, sidecar.port, wait_until(targets, "vmagent does not scrape", PATIENCE)
    finally:
        p.stop()
        assert sidecar.stop() == 0
        service.close()


def of_job(targets, name):
    return [t for t in targets if t["labels"]["job"] == name]


def test_vmagent(vmagent):
    """It takes its shard from its environment, and names targets as they are without a sidecar."""
    service, sidecar, targets = vmagent
    assert {json.dumps(t["labels"]) for t in of_job(targets, "app")} == \
        {json.dumps({"instance": f"127.0.0.1:{service}", "job": "app"})}
    assert {t["scrapeUrl"] for t in of_job(targets, "app")} == {f"http://127.0.0.1:{sidecar}/metrics?shard=2&shard_count=3"}


def test_vm_operator(vmagent):
    """All Pods are scraped, each for the shard of this agent, with the labels of a VMPodScrape without a class."""
    service, sidecar, targets = vmagent
    own = {"container": "app", "endpoint": "http", "instance": f"127.0.0.1:{service}", "job": "shop/app", "namespace": "shop"}
    assert sorted(t["labels"]["pod"] for t in of_job(targets, "shop/app")) == [f"app-{i}" for i in range(6)]
    for t in of_job(targets, "shop/app"):
        assert t["labels"] == {**own, "pod": t["labels"]["pod"]}
        assert t["scrapeUrl"] == f"http://127.0.0.1:{sidecar}/metrics?shard=2&shard_count=3"


def test_vm_operator_numbers():
    spec = documents(KUBERNETES / "vm-operator.yaml")[0]["spec"]
    counts = {r["replacement"] for r in spec["scrapeClasses"][0]["relabelConfigs"] if r["targetLabel"] == "__param_shard_count"}
    assert counts == {spec["extraArgs"]["promscrape.cluster.replicationFactor"]} == {str(spec["shardCount"])}


# Alerts on up.


def test_an_alert_of_all_servers_is_one(fleet):
    """The server's own number is taken off; another shard's stays."""
    def sent():
        return {(server, *sorted(labels.items())) for server, labels in fleet[3]}
    wait_until(lambda: len(sent()) >= 4, "not both servers have sent both alerts", PATIENCE)
    assert sent() == {(server, *labels) for server in ("0", ALL) for labels in (
        (("alertname", "OfTarget"),), (("alertname", "OfShard"), ("shard", "7")))}


def test_every_configuration_takes_the_number_off():
    relabel = {"source_labels": ["shard"], "regex": "$(SHARD)", "target_label": "shard", "replacement": ""}
    secret, = documents(KUBERNETES / "operator/alert-relabel/secret.yaml")
    template = yaml.safe_load((KUBERNETES / "overlays/plain/prometheus.yml").read_text().replace("modulus: $", "modulus: #"))
    static = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert yaml.safe_load(secret["stringData"]["alert-relabel.yaml"]) == [relabel]
    assert template["alerting"]["alert_relabel_configs"] == [relabel]
    assert static["alerting"]["alert_relabel_configs"] == [{**relabel, "regex": static["global"]["external_labels"]["shard"]}]
    for server in (KUBERNETES / "operator/prometheus.yaml", KUBERNETES / "overlays/topology/prometheus.yaml"):
        assert kind_of(server, "Prometheus")["spec"]["additionalAlertRelabelConfigs"] == {
            "name": secret["metadata"]["name"], "key": "alert-relabel.yaml"}
