# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus in front: what it takes in through scrapeshard, and what it says of scrapes that fail.

Prometheus asks for gzip in every scrape; 2.42 has no enable_compression to ask without.
"""
import hashlib
import http.client
import itertools
import re
import signal
import threading
import time

import pytest

from conftest import OPENMETRICS, TEXT, answer, answering, free_port, wait_until
from prometheus import CALM, OWN_SERIES, PATIENCE, Prometheus, job, settings_for, shard_jobs, version_of


@pytest.fixture
def prometheus(tmp_path):
    """prometheus(jobs, *flags) starts a Prometheus with these scrape jobs."""
    started = []

    def start(jobs, *flags):
        p = Prometheus(tmp_path / f"prometheus-{len(started)}", jobs, *flags, global_settings=CALM)
        started.append(p)
        p.wait_ready()
        return p
    yield start
    assert [p.stop() for p in started] == [0] * len(started)


@pytest.mark.parametrize("version, jobs, features, setting", [
    ((2, 42), {}, ["--enable-feature=native-histograms"], None),
    ((3, 7), {"fallback_scrape_protocol": "PrometheusText0.0.4"}, ["--enable-feature=native-histograms"], None),
    ((3, 14), {"fallback_scrape_protocol": "PrometheusText0.0.4"}, [], True)])
def test_versions_of_prometheus(version, jobs, features, setting):
    """What later ones take as settings of the configuration is no flag for them."""
    found = settings_for(version, [{"job_name": "a"}], ["--enable-feature=native-histograms"])
    assert found[0].get("scrape_native_histograms") is setting
    assert found[1:] == ([{"job_name": "a", **jobs}], features)
    both = settings_for(version, [], ["--enable-feature=native-histograms,exemplar-storage"])[2]
    assert both == ["--enable-feature=exemplar-storage" if setting else "--enable-feature=native-histograms,exemplar-storage"]
    assert version_of(f"prometheus, version {version[0]}.{version[1]}.0 (branch: HEAD, revision: 1234)\n") == version


def port_of(url):
    return int(re.search(r":(\d+)/", url)[1])


def fetch(url):
    """The body of a service, asked once."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(url), timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics", headers={"Accept": TEXT})
        response = connection.getresponse()
        assert response.status == 200
        return response.read()
    finally:
        connection.close()


def name_of(series):
    return dict(series)["__name__"]


def assert_disjoint(parts):
    for a, b in itertools.combinations(parts, 2):
        assert not a & b, "two shards have the same series"


def assert_all_up(p):
    """Every scrape until now went well, in Prometheus' eyes."""
    assert all(up and set(up) == {1} for up in p.ups().values()), p.ups()
    assert set(p.last_errors().values()) == {""}
    assert p.complaints() == []


# What the shards make together.


def family_of(name, metadata):
    """The family that a sample belongs to: the one of its name, or of its name without a suffix."""
    if name in metadata:
        return name
    return re.sub("_(bucket|sum|count|gcount|gsum|total|created|info)$", "", name)


def families(p, job_name):
    """The families that the job has series of."""
    metadata = p.metadata(job_name)
    return {family_of(name_of(series), metadata) for series in p.series(job_name)}


def check_metadata(p, direct, shards):
    """A shard's target speaks of the families that it has series of, and of no other shard's."""
    with_series, merged = families(p, direct), {}
    for shard in shards:
        metadata = p.metadata(shard)
        assert set(metadata) & with_series == families(p, shard)
        assert not set(metadata) & set(merged), "two shards speak of the same family"
        merged.update(metadata)
    assert merged == p.metadata(direct)


def check_exactly(p, direct, shards):
    """For a service that never changes: the shards have each series of it once, with its value."""
    parts = [p.values(shard) for shard in shards]
    assert_disjoint([set(part) for part in parts])
    assert {series: value for part in parts for series, value in part.items()} == p.values(direct)
    assert_disjoint([p.series(shard) for shard in shards])
    assert set().union(*(p.series(shard) for shard in shards)) == p.series(direct)
    # A sample that came twice in one shard makes no second series, but is counted here.
    scraped = {r["metric"]["job"]: int(r["value"][1]) for r in p.query("scrape_samples_scraped")}
    assert sum(scraped[shard] for shard in shards) == scraped[direct] == len(p.values(direct))
    check_metadata(p, direct, shards)


def check_alive(p, direct, shards, stable):
    """For a service that is alive: the same, of the families whose series do not come and go."""
    def get(name):
        return {series for series in p.series(name) if re.match(stable, name_of(series))}
    # A series may be born between the scrape of one job and that of another; the next round brings it to all.
    wait_until(lambda: set().union(*map(get, shards)) == get(direct), "the shards are not the whole", PATIENCE)
    assert_disjoint([p.series(shard) for shard in shards])
    assert all(get(shard) for shard in shards)
    assert len(get(direct)) > 200


def start_node_exporter(request):
    """node_exporter's interfaces, mounts, disks, units and text files come and go with what else happens on the
    machine, between the scrape of one shard and that of another; these families do not."""
    return request.getfixturevalue("node_exporter"), \
        "(go|process|promhttp)_|node_(cpu|exporter|load|memory|netstat|procs|scrape|sockstat|softnet|time|vmstat)"


def start_prometheus(request):
    """A Prometheus that has no jobs of its own. It has all of its series once it was scraped and has counted that."""
    service = request.getfixturevalue("prometheus")([])
    url = f"http://127.0.0.1:{service.port}/metrics"
    wait_until(lambda: b'http_requests_total{code="200",handler="/metrics"}' in fetch(url),
               "Prometheus does not count its answers")
    return url, ""


@pytest.mark.parametrize("start", [start_node_exporter, start_prometheus], ids=["node_exporter", "prometheus"])
def test_shards_add_up_to_the_service(start, request, prometheus, upstream, sidecar):
    # The service itself can only be compared in what is stable; a recording of its body never changes, so that there
    # every series and value must be the same.
    url, stable = start(request)
    recorded = upstream(answering(answer(fetch(url)))).url
    p = prometheus([job("alive", port_of(url)), *shard_jobs("alive", sidecar(url).port, 5),
                    job("recorded", port_of(recorded)), *shard_jobs("recorded", sidecar(recorded).port, 5)])
    p.wait_up(1)
    check_exactly(p, "recorded", [f"recorded-{i}" for i in range(5)])
    check_alive(p, "alive", [f"alive-{i}" for i in range(5)], stable)
    assert_all_up(p)


OPENMETRICS_BODY = """\
# TYPE requests counter
# HELP requests Requests \\"answered\\".
requests_total{{path="/",code="200"}} 1027.0 # {{trace_id="KOO5S4vxi0o"}} 1.0 {now:.3f}
requests_total{{path="/a\\nb",code="400"}} 3.0
requests_created{{path="/",code="200"}} 1520430000.123
requests_created{{path="/a\\nb",code="400"}} 1520430000.321
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
# HELP latency_seconds How long they took.
latency_seconds_bucket{{le="0.01"}} 0.0
latency_seconds_bucket{{le="0.1"}} 8.0 # {{}} 0.054
latency_seconds_bucket{{le="1.0"}} 11.0 # {{trace_id="oHg5SJYRHA0",span_id="# {{"}} 0.67 {now:.3f}
latency_seconds_bucket{{le="+Inf"}} 12.0 # {{trace_id="EOF"}} 9.8
latency_seconds_count 12.0
latency_seconds_sum 18.5
latency_seconds_created 1520430000.123
# TYPE build info
# HELP build What was built.
build_info{{version="1.0",revision="# EOF"}} 1.0
# TYPE phase stateset
# HELP phase Where it stands.
phase{{phase="starting"}} 0.0
phase{{phase="running"}} 1.0
# TYPE size_bytes gauge
# UNIT size_bytes bytes
# HELP size_bytes How large it is.
size_bytes 4096.0
# TYPE pause_seconds summary
# UNIT pause_seconds seconds
pause_seconds{{quantile="0.5"}} 0.001
pause_seconds_count 4.0
pause_seconds_sum 0.01
# TYPE queue gaugehistogram
queue_bucket{{le="1.0"}} 2.0
queue_bucket{{le="+Inf"}} 5.0
queue_gcount 5.0
queue_gsum 7.0
# TYPE empty gauge
# HELP empty A family without a sample.
# EOF
"""


def exemplars(p, job_name):
    """{(series, exemplar's labels, value)}"""
    now = time.time()
    found = p.api("query_exemplars", query=f'{{job="{job_name}"}}', start=now - 3600, end=now + 3600)
    return {(tuple(sorted((k, v) for k, v in one["seriesLabels"].items() if k not in ("job", "instance"))),
             tuple(sorted(exemplar["labels"].items())), exemplar["value"])
            for one in found for exemplar in one["exemplars"]}


def test_openmetrics(prometheus, upstream, sidecar):
    url = upstream(answering(answer(OPENMETRICS_BODY.format(now=time.time()).encode(), OPENMETRICS))).url
    shards = [f"service-{i}" for i in range(3)]
    p = prometheus([job("service", port_of(url)), *shard_jobs("service", sidecar(url).port, 3)],
                   "--enable-feature=exemplar-storage")
    p.wait_up(1)
    check_exactly(p, "service", shards)
    parts = [exemplars(p, shard) for shard in shards]
    assert_disjoint(parts)
    assert set().union(*parts) == exemplars(p, "service")
    assert len(exemplars(p, "service")) == 4
    assert_all_up(p)


# Scrapes that fail.


def body_of(families, value):
    """A body of two series a family. Their ids are of the kind that gzip cannot make much smaller: a large body stays
    large."""
    def sample(i, part):
        return f'family_{i}{{id="{hashlib.md5(f"{i}{part}".encode()).hexdigest()}"}} {value}\n'
    return "".join(f"# TYPE family_{i} gauge\n" + sample(i, "a") + sample(i, "b") for i in range(families)).encode()


def framed(framing, body):
    """A body that is told to be longer than it is, or whose end would be told by more bytes."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\n"
    if framing == "length":
        return f"{head}Content-Length: {len(body) + 1000}\r\n\r\n".encode() + body
    if framing == "chunked":
        return f"{head}Transfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


def answering_unless(broken, whole, cut):
    """Answers whole; while broken is set, sends what is cut instead and closes the connection."""
    def serve(service, connection):
        while service.read_request(connection):
            if broken.is_set():
                connection.sendall(cut)
                return
            connection.sendall(whole)
    return serve


# 20 families wait for the end of the body; of 8,000, each of two shards has far more than the 64 KiB that wait, with
# and without gzip.
SIZES = {"small": 20, "large": 8000}
# In the middle of a value, "56" for "5678", and at the end of a line, where only the framing tells that more follows.
CUTS = {"value": -3, "line": None}
# Behind a whole line, a body that ends by closing may well have ended.
ENDS = [*itertools.product(("length", "chunked"), CUTS), ("close", "value")]


def test_cut_bodies(prometheus, upstream, sidecar, tmp_path):
    broken = threading.Event()
    config, names = tmp_path / "scrapeshard.ini", []
    with config.open("w") as out:
        for size, (framing, cut) in itertools.product(SIZES, ENDS):
            name = f"{size}-{framing}-{cut}"
            service = upstream(answering_unless(broken, answer(body_of(SIZES[size], 1234)),
                                                framed(framing, body_of(SIZES[size], 5678)[:CUTS[cut]])))
            out.write(f"[endpoint {name}]\npath = /{name}\nupstream = {service.url}\n")
            names.append(name)
    s = sidecar(config=config)
    p = prometheus([j for name in names for j in shard_jobs(name, s.port, 2, f"/{name}")])

    p.wait_up(1)
    broken.set()
    errors = {}

    def have_failed():
        """On a busy machine a scrape may also be late, by either's deadline; then the next one is looked at."""
        errors.update({name: e for name, e in p.last_errors().items()
                       if e and not re.search("deadline exceeded| 504 ", e)})
        return len(errors) == len(p.jobs)
    wait_until(have_failed, "the scrapes do not fail as they should", PATIENCE)
    broken.clear()
    p.wait_up(1)

    for name, error in errors.items():
        # What has not begun to go out is a status; what has, a transfer that breaks. A large one may end before it has.
        expected = "502 Bad Gateway" + ("" if name.startswith("small") else "|EOF|connection reset")
        assert re.search(expected, error), (name, error)
    ingested = p.samples('{__name__=~"family_.*"}')
    assert {value for _, values in ingested for value in values} == {"1234"}
    assert len(ingested) == 2 * len(ENDS) * sum(SIZES.values())


def test_wrong_shards(prometheus, upstream, sidecar):
    s = sidecar(upstream(answering(answer(body_of(20, 1)))).url)
    wrong = [job("beyond", s.port, shard=3, shard_count=3), job("no count", s.port, shard=0),
             job("no shard", s.port, shard_count=3), job("junk", s.port, shard="one", shard_count=3)]
    p = prometheus(wrong)
    p.wait_up(0)
    assert p.last_errors() == {j["job_name"]: "server returned HTTP status 400 Bad Request" for j in wrong}
    assert {metric["__name__"] for metric, _ in p.samples('{job!=""}')} == OWN_SERIES
    assert all(set(up) == {0} for up in p.ups().values())


# Scrape after scrape.


def connections_to(port):
    """The peers' ports of all TCP connections to a port of 127.0.0.1, those that have ended lately among them."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in itertools.islice(table, 1, None)]
    # 0A listens. Other addresses may have the same port.
    return {int(row[2].split(":")[1], 16) for row in rows if row[3] != "0A" and row[1] == f"0100007F:{port:04X}"}


def test_connections_are_kept(prometheus, upstream, sidecar):
    service = upstream(answering(answer(body_of(1000, 1))))
    s = sidecar(service.url)
    others = connections_to(s.port)  # who had the port before may have left some
    p = prometheus(shard_jobs("service", s.port, 5))
    p.wait_up(1)
    first = connections_to(s.port) - others
    p.wait_scrapes(7)
    assert connections_to(s.port) - others == first
    assert len(first) == 5  # one for each job
    assert len(service.requests) >= 35
    assert service.connections <= 5
    assert_all_up(p)


def test_restart(prometheus, upstream, sidecar):
    url = upstream(answering(answer(body_of(20, 1)))).url
    s = sidecar(url, listen=f"127.0.0.1:{free_port()}")  # nobody else is given it in between
    p = prometheus(shard_jobs("service", s.port, 3))
    p.wait_up(1)
    assert s.stop() == 0
    p.wait_up(0)
    wait_until(lambda: all("connection refused" in error for error in p.last_errors().values()),
               "the scrapes do not fail as they should", PATIENCE)
    sidecar(url, listen=f"127.0.0.1:{s.port}")
    p.wait_up(1)
    assert {tuple(value for value, _ in itertools.groupby(up)) for up in p.ups().values()} == {(1, 0, 1)}


def test_reload_in_every_scrape(prometheus, upstream, sidecar, tmp_path):
    body = body_of(20000, 1)  # half of a shard is more than what waits for the end of the body

    def reload():
        before = s.count("msg=reloaded")
        s.process.send_signal(signal.SIGHUP)
        wait_until(lambda: s.count("msg=reloaded") > before, "scrapeshard does not reload")

    def serve(service, connection):
        while service.read_request(connection):
            whole = answer(body)
            connection.sendall(whole[:len(whole) // 2])
            reload()
            connection.sendall(whole[len(whole) // 2:])

    config = tmp_path / "scrapeshard.ini"
    config.write_text(f"[endpoint app]\nupstream = {upstream(serve).url}\n")
    s = sidecar(config=config)
    p = prometheus(shard_jobs("service", s.port, 5))
    p.wait_scrapes(5)
    assert s.count("msg=reloaded") >= 5
    assert_all_up(p)
    parts = [p.series(f"service-{i}") for i in range(5)]
    assert_disjoint(parts)
    assert len(set().union(*parts)) == 40000
