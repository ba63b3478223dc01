# SPDX-License-Identifier: Apache-2.0
"""Scrape jobs as operators and Kubernetes make them: what the Prometheus operator (0.93) and VictoriaMetrics' operator
(0.74) put into a configuration for a monitor, and targets with the labels that discovery of Pods gives. Written after their
sources; a real Prometheus or vmagent runs them."""
import json
import re

META = "__meta_kubernetes_"


def sanitized(label):
    return re.sub("[^a-zA-Z0-9_]", "_", label)


# What discovery finds.


def pod(namespace, name, ports, labels=(), annotations=(), zone=None, service=None):
    """Targets of a Pod as a group of file discovery: one for each port (container, port's name, number), all on loopback.
    With a service there is what the endpoints role adds."""
    common = {f"{META}namespace": namespace, f"{META}pod_name": name, f"{META}pod_phase": "Running"}
    for kind, pairs in (("label", labels), ("annotation", annotations)):
        for key, value in dict(pairs).items():
            common[f"{META}pod_{kind}_{sanitized(key)}"] = value
            common[f"{META}pod_{kind}present_{sanitized(key)}"] = "true"
    if zone:
        common |= {f"{META}node_label_topology_kubernetes_io_zone": zone,
                   f"{META}node_labelpresent_topology_kubernetes_io_zone": "true"}
    if service:
        common |= {f"{META}service_name": service, f"{META}service_label_app_kubernetes_io_name": service,
                   f"{META}service_labelpresent_app_kubernetes_io_name": "true",
                   f"{META}endpointslice_address_target_kind": "Pod", f"{META}endpointslice_address_target_name": name}
    return [{"targets": [f"127.0.0.1:{number}"],
             "labels": {**common, f"{META}pod_container_name": container, f"{META}pod_container_port_name": port,
                        f"{META}endpointslice_port_name": port, f"{META}pod_container_port_number": str(number)}}
            for container, port, number in ports]


# The Prometheus operator.


def snake(rule):
    """A relabeling of an operator's as Prometheus has it."""
    return {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), key): value for key, value in rule.items()}


def label(source, target):
    return {"source_labels": [source], "target_label": target}


def sharding(prometheus):
    """The relabelings at the end of each job, by which each shard keeps its own targets."""
    shards, zones = prometheus.get("shards", 1), []
    if prometheus.get("shardingStrategy", {}).get("mode") == "Topology":
        zones = prometheus["shardingStrategy"]["topology"]["values"]
    rules = []
    if zones:
        for zone in (f"{META}endpointslice_endpoint_zone", f"{META}node_label_topology_kubernetes_io_zone"):
            rules.append({"source_labels": [zone, "__tmp_topology"], "regex": "(.+);", "target_label": "__tmp_topology"})
        rules.append({"source_labels": ["__tmp_topology", "__tmp_disable_sharding"], "regex": "$(TOPOLOGY_ZONE);|.+;.+",
                      "action": "keep"})
    return [*rules,
            {"source_labels": ["__address__", "__tmp_hash"], "target_label": "__tmp_hash", "regex": "(.+);"},
            {"source_labels": ["__tmp_hash"], "target_label": "__tmp_hash", "action": "hashmod",
             "modulus": max(shards // len(zones), 1) if zones else shards},
            {"source_labels": ["__tmp_hash", "__tmp_disable_sharding"], "action": "keep",
             "regex": f"$({'INZONE_SHARD' if zones else 'SHARD'});|.+;.+"}]


def selected(kind, selector):
    return [{"source_labels": [f"{META}{kind}_label_{sanitized(key)}", f"{META}{kind}_labelpresent_{sanitized(key)}"],
             "regex": f"({value});true", "action": "keep"} for key, value in sorted(selector["matchLabels"].items())]


def operator_job(name, monitor, prometheus, namespace):
    """The job of a PodMonitor or ServiceMonitor in a namespace; `$(SHARD)` and its like are still there."""
    spec, service = monitor["spec"], monitor["kind"] == "ServiceMonitor"
    endpoint, = spec["endpoints" if service else "podMetricsEndpoints"]
    classes = {c["name"]: c["relabelings"] for c in prometheus.get("scrapeClasses", [])}
    port = f"{META}endpointslice_port_name" if service else f"{META}pod_container_port_name"
    rules = selected("service" if service else "pod", spec["selector"])
    rules.append({"source_labels": [port], "regex": endpoint["port"], "action": "keep"})
    rules += [label(f"{META}namespace", "namespace"), label(f"{META}pod_name", "pod"),
              label(f"{META}pod_container_name", "container")]
    if service:
        rules += [label(f"{META}service_name", "service"), label(f"{META}service_name", "job")]
    else:
        rules.append({"target_label": "job", "replacement": f"{namespace}/{monitor['metadata']['name']}"})
    rules.append({"target_label": "endpoint", "replacement": endpoint["port"]})
    own = [*classes[spec["scrapeClass"]], *endpoint.get("relabelings", [])] if "scrapeClass" in spec else []
    return {"job_name": name, "metrics_path": endpoint["path"],
            "relabel_configs": [*rules, *map(snake, own), *sharding(prometheus)]}


def scrape_config_job(name, config, prometheus):
    """The job of a ScrapeConfig."""
    spec = config["spec"]
    return {"job_name": name, "metrics_path": spec["metricsPath"], "relabel_configs": [
        {"target_label": "job", "replacement": spec["jobName"]}, *map(snake, spec["relabelings"]), *sharding(prometheus)]}


# VictoriaMetrics' operator.


def vm_operator_job(name, scrape, agent, namespace):
    """The job of a VMPodScrape."""
    spec = scrape["spec"]
    endpoint, = spec["podMetricsEndpoints"]
    classes = {c["name"]: c["relabelConfigs"] for c in agent["scrapeClasses"]}
    own = classes[spec["scrapeClass"]] if "scrapeClass" in spec else []
    return {"job_name": name, "metrics_path": endpoint["path"], "relabel_configs": [
        *selected("pod", spec["selector"]),
        {"source_labels": [f"{META}pod_container_port_name"], "regex": endpoint["port"], "action": "keep"},
        label(f"{META}namespace", "namespace"), label(f"{META}pod_container_name", "container"),
        label(f"{META}pod_name", "pod"),
        {"target_label": "job", "replacement": f"{namespace}/{scrape['metadata']['name']}"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
        *map(snake, own), *map(snake, endpoint.get("relabelConfigs", []))]}


# Grafana Alloy.


def alloy(text):
    """Blocks of a configuration: [(name, label or None, {attribute: value}, [block])]. A call such as sys.env("X") becomes
    $(X), a reference its own text."""
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|[\w.]+\("\w+"\)|[\w.]+|[{}\[\]=,]', re.sub(r"(?m)^\s*//.*$", "", text))
    at = 0

    def take(wanted=None):
        nonlocal at
        token, at = tokens[at], at + 1
        assert wanted in (None, token), f"{token} instead of {wanted}"
        return token

    def value():
        token = take()
        if token == "[":
            items = []
            while tokens[at] != "]":
                items.append(value())
                if tokens[at] == ",":
                    take()
            take("]")
            return items
        if token == "{":
            fields = {}
            while tokens[at] != "}":
                key = take()
                take("=")
                fields[key] = value()
                take(",")
            take("}")
            return fields
        if token.startswith('"'):
            return json.loads(token)
        env = re.fullmatch(r'sys\.env\("(\w+)"\)', token)
        return f"$({env[1]})" if env else token

    def body():
        attributes, blocks = {}, []
        while at < len(tokens) and tokens[at] != "}":
            name = take()
            if tokens[at] == "=":
                take()
                attributes[name] = value()
            else:
                name_label = json.loads(take()) if tokens[at] != "{" else None
                take("{")
                blocks.append((name, name_label, *body()))
                take("}")
        return attributes, blocks

    attributes, blocks = body()
    assert not attributes and at == len(tokens)
    return blocks


def alloy_job(text):
    """The scrape of a configuration with one chain: discovery.relabel, prometheus.scrape, prometheus.relabel."""
    blocks = {name: (attributes, [rule for _, _, rule, _ in inner]) for name, _, attributes, inner in alloy(text)}
    scrape, clustering = blocks["prometheus.scrape"]
    assert scrape["targets"] == "discovery.relabel.app.output" and not clustering
    return {"job_name": "alloy", "params": scrape["params"], "relabel_configs": blocks["discovery.relabel"][1],
            "metric_relabel_configs": blocks["prometheus.relabel"][1]}
