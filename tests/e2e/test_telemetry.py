# SPDX-License-Identifier: Apache-2.0
"""Our own metrics on the admin listener: their format, and that they count correctly."""
import http.client
import re
import socket
import subprocess
import threading
import time

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from conftest import OPENMETRICS, ROOT, SLOW, TEXT, answer, answering, free_port, run, wait_until
from exposition import shard_of, target
from prometheus import CALM, PROMTOOL, Prometheus, job
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\nhttp_requests_total 2\n"
ACCEPT_2_42 = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
               "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
OUTCOMES = re.findall(r'= \{"(\w+)"', (ROOT / "sidecar/proxy/outcome.c").read_text())
DEF = (ROOT / "sidecar/service/telemetry/telemetry.def").read_text()
NAMES = re.findall(r'^(?:ENDPOINT_|COUNTER|GAUGE|COMPUTED)\w*\(\w+, "(\w+)"', DEF, re.M)


def metrics_text(sidecar, accept=None):
    status, headers, body = sidecar.get("/metrics", {"Accept": accept} if accept else {}, port=sidecar.admin_port)
    assert status == 200
    return headers["Content-Type"], body.decode()


def samples(sidecar):
    """{(name, (label, value)...): value} of all samples, including histogram buckets."""
    _, text = metrics_text(sidecar)
    found = [(s.name, *sorted(s.labels.items())) for family in parse_text(text) for s in family.samples]
    assert len(found) == len(set(found)), "a series is there twice"
    return {(s.name, *sorted(s.labels.items())): s.value for family in parse_text(text) for s in family.samples}


def value(sidecar, name, **labels):
    return samples(sidecar).get((f"scrapeshard_{name}", *sorted(labels.items())))


def after(sidecar, scrapes, endpoint="default"):
    """All samples, once this many scrapes are over: a scrape is counted when its response is sent, not before."""
    def over():
        found = samples(sidecar)
        done = sum(v for k, v in found.items() if k[0] == "scrapeshard_scrapes_total" and ("endpoint", endpoint) in k)
        return found if done == scrapes else None
    return wait_until(over, f"not {scrapes} scrapes are counted")


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


def promtool(text):
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


# The form.


def test_promtool_finds_nothing(sidecar, service):
    s = sidecar(service.url)
    for shard in range(3):
        s.get(f"/metrics?shard={shard}&shard_count=3")
    s.get("/metrics?shard=3&shard_count=3")
    after(s, 4)
    assert promtool(metrics_text(s)[1]) == (0, "")


def test_promtool_would_find_something():
    assert promtool("# TYPE a counter\na 1\n")[0] != 0


def test_the_table_is_read():
    assert "scrapeshard_scrapes_total" in NAMES and "process_open_fds" in NAMES and len(NAMES) > 25


def test_all_metrics_are_there_from_the_start(sidecar, service):
    """All series exist from the start, so that rate() sees the first increase."""
    s = sidecar(service.url)
    found = samples(s)
    names = {key[0] for key in found}
    for name in NAMES:
        assert names & {name, f"{name}_count"} or re.match(r"scrapeshard_(shards?_(?!counts)|reshard|snapshot_age|certificate_expiry)", name), name
    for outcome in OUTCOMES:
        assert found["scrapeshard_scrapes_total", ("endpoint", "default"), ("outcome", outcome)] == 0
    assert len(OUTCOMES) > 8
    assert sum(v for k, v in found.items() if k[0] == "scrapeshard_limit_hits_total") == 0


@pytest.mark.parametrize("accept, openmetrics", [
    (None, False),
    ("*/*", False),
    ("text/plain", False),
    (TEXT, False),
    (ACCEPT_2_42, True),
    ("application/openmetrics-text", True),
    ("Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", True),
    ("application/openmetrics-text;version=0.0.1", False),
    ("application/openmetrics-text;version=1.0.0;q=0", False),
    ("application/openmetrics-text;q=0.3,text/plain;q=0.4", False),
    ("text/plain;version=1.0.0;q=0.9,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6", True),
    (",;q=,;;,application/openmetrics-text;q", True),
    ("a" * 3000 + ";" + "version=" * 300, False),
])
def test_negotiation(sidecar, service, accept, openmetrics):
    s = sidecar(service.url)
    content_type, text = metrics_text(s, accept)
    assert content_type == (OPENMETRICS if openmetrics else TEXT)
    assert text.endswith("# EOF\n") == openmetrics
    list(parse_openmetrics(text) if openmetrics else parse_text(text))


def test_both_formats_say_the_same(sidecar, service):
    """The same series with the same labels, including le: a change of format renames nothing."""
    s = sidecar(service.url)
    s.get("/metrics?shard=0&shard_count=2")
    after(s, 1)
    own = re.compile(r"^(?!process_|#)(\S+) (\S+)$", re.M)
    text, openmetrics = (metrics_text(s, accept)[1] for accept in (TEXT, ACCEPT_2_42))
    assert own.findall(text) == own.findall(openmetrics)
    families = {f.name: f.type for f in parse_openmetrics(openmetrics)}
    assert families["scrapeshard_scrapes"] == "counter"
    assert families["scrapeshard_build"] == "info"
    assert families["scrapeshard_scrape_duration_seconds"] == "histogram"


@pytest.mark.parametrize("name", ['a"b\\c', "été"])
def test_endpoint_names_are_escaped(sidecar, service, name):
    s = sidecar(None, "--set", f"endpoint.{name}.upstream={service.url}")
    assert s.get()[2] == BODY
    assert after(s, 1, name)["scrapeshard_scrapes_total", ("endpoint", name), ("outcome", "ok")] == 1
    assert promtool(metrics_text(s)[1]) == (0, "")


def test_head_and_wrong_method(sidecar, service):
    s = sidecar(service.url)
    status, headers, body = s.admin("/metrics", "HEAD")
    assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 1000
    assert s.admin("/metrics", "POST")[0] == 405


# The counts.


def test_counts_of_good_scrapes(sidecar, upstream):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url)
    parts = [s.get(f"/metrics?shard={i}&shard_count=3")[2] for i in range(3)] + [s.get()[2]]
    s.get(method="HEAD")
    found = after(s, 5)

    def got(name, *labels):
        return found[f"scrapeshard_{name}", ("endpoint", "default"), *labels]
    assert got("scrapes_total", ("outcome", "ok")) == 5
    assert got("upstream_received_bytes_total") == got("upstream_body_bytes_sum") == 5 * len(BODY)
    assert got("response_sent_bytes_total") == got("response_body_bytes_sum") == 2 * len(BODY) == len(b"".join(parts))
    assert got("upstream_body_bytes_count") == got("response_body_bytes_count") == 5
    assert got("upstream_body_bytes_bucket", ("le", "1024.0")) == got("upstream_body_bytes_bucket", ("le", "+Inf")) == 5
    assert got("scrape_duration_seconds_count") == 5
    assert 0 < got("scrape_duration_seconds_sum") < 20 * SLOW
    assert (got("series_seen_total"), got("series_kept_total")) == (10, 6)
    assert (got("families_seen_total"), got("families_kept_total")) == (10, 6)
    assert found["scrapeshard_upstream_connections_opened_total",] == u.connections == 1
    assert found["scrapeshard_scrapes_in_flight",] == 0
    assert sum(v for k, v in found.items() if k[0] == "scrapeshard_upstream_errors_total") == 0


@pytest.mark.parametrize("setting", ["max_age=0s", "max_age=1h"])
def test_a_family_that_reappears_is_one(sidecar, upstream, setting):
    """Interleaved families, as dnsdist writes those of its servers: in the counters and by max_families."""
    body = b"".join(b'a_%d{server="%d"} 1\n' % (family, server) for server in range(50) for family in range(7))
    s = sidecar(upstream(answering(answer(body))).url, f"--set=endpoint.default.{setting}",
                "--set=endpoint.default.max_families=7")
    parts = [s.get(f"/metrics?shard={i}&shard_count=3")[2] for i in range(3)]
    assert sum(map(len, parts)) == len(body)
    after(s, 3)
    bodies = 3 if setting == "max_age=0s" else 1
    assert value(s, "families_seen_total", endpoint="default") == 7 * bodies
    assert value(s, "families_kept_total", endpoint="default") == 7
    lines = [s.wait_line(rf"msg=scrape .*shard={i} .*families_in=(\d+) families_out=(\d+)") for i in range(3)]
    assert [line[1] for line in lines] == ["7"] * 3 and sum(int(line[2]) for line in lines) == 7


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: " + TEXT.encode() + b"\r\n"
BAD = {
    "passed_on status": answer(b"no\n", status="404 Not Found"),
    "no_exposition exposition": answer(b"<html>\n"),
    "upstream_failed http": answer(BODY, extra=["Content-Length: 3"]),
    "upstream_failed encoding": answer(BODY, extra=["Content-Encoding: br"]),
    "upstream_failed encoding gzip": answer(BODY, extra=["Content-Encoding: gzip"]),
    "upstream_failed truncated": HEAD + b"Content-Length: 100\r\nConnection: close\r\n\r\nup 1\n",
    "upstream_failed truncated empty": b"",
    "upstream_truncated truncated": HEAD + b"Connection: close\r\n\r\nup 1\nu",
    "too_large too_large line": answer(b"a" * 2000000),
    "too_large too_large body": answer(b"a 1\n" * 600000),
}


@pytest.mark.parametrize("case", BAD)
def test_counts_of_bad_answers(sidecar, upstream, case):
    """By outcome, by upstream error, and by the limit that was hit."""
    outcome, reason, *more = case.split()

    def serve(u, connection):
        u.read_request(connection)
        connection.sendall(BAD[case])
    s = sidecar(upstream(serve).url, "--set", "endpoint.default.max_body=2000001B")
    assert s.get(target(1 - shard_of("a", 2), 2))[0] in (404, 502)
    found = after(s, 1)
    assert found["scrapeshard_scrapes_total", ("endpoint", "default"), ("outcome", outcome)] == 1

    def counted(name, label):
        return {dict(k[1:])[label]: v for k, v in found.items() if k[0] == f"scrapeshard_{name}" and v}
    assert counted("upstream_errors_total", "reason") == {reason: 1}
    assert counted("limit_hits_total", "limit") == ({f"max_{more[0]}": 1} if outcome == "too_large" else {})
    assert found["scrapeshard_upstream_body_bytes_count", ("endpoint", "default")] == 0
    assert found["scrapeshard_scrape_duration_seconds_count", ("endpoint", "default")] == 1


@pytest.mark.parametrize("limit", ["series", "families"])
def test_limits_of_a_body(sidecar, service, limit):
    s = sidecar(service.url, "--set", f"endpoint.default.max_{limit}=1")
    assert s.get()[0] == 502
    after(s, 1)
    assert value(s, "limit_hits_total", limit=f"max_{limit}") == 1
    assert value(s, "upstream_errors_total", endpoint="default", reason="too_large") == 1


def test_a_service_that_is_not_there(sidecar):
    s = sidecar(f"http://127.0.0.1:{free_port()}/metrics")
    assert s.get()[0] == 502
    after(s, 1)
    assert value(s, "upstream_errors_total", endpoint="default", reason="connect") == 1
    assert value(s, "upstream_connections_opened_total") == 0


def test_a_service_that_does_not_answer(sidecar, upstream):
    go_on = threading.Event()

    def serve(u, connection):
        u.read_request(connection)
        go_on.wait(20 * SLOW)
    s = sidecar(upstream(serve).url, "--set", "endpoint.default.timeout=300ms")
    assert s.get()[0] == 504
    after(s, 1)
    go_on.set()
    assert value(s, "upstream_errors_total", endpoint="default", reason="timeout") == 1
    assert value(s, "limit_hits_total", limit="slow_reader") == 0


def test_a_scraper_that_does_not_read(sidecar, upstream):
    """The scraper's failure, not the upstream's."""
    s = sidecar(upstream(answering(answer(b"requests_total 1234567890\n" * 2000000))).url,
                "--set", "endpoint.default.timeout=3s")  # by then the service has filled what lies between
    with s.connect() as connection:
        # Else the kernel may take in the whole body.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        after(s, 1)
    assert value(s, "scrapes_total", endpoint="default", outcome="timeout") == 1
    assert value(s, "limit_hits_total", limit="slow_reader") == 1
    assert not any(v for k, v in samples(s).items() if k[0] == "scrapeshard_upstream_errors_total")


def test_scrapes_in_flight(sidecar, upstream):
    go_on = threading.Event()

    def serve(u, connection):
        u.read_request(connection)
        go_on.wait(20 * SLOW)
        connection.sendall(answer(BODY))
    s = sidecar(upstream(serve).url)
    with s.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: value(s, "scrapes_in_flight") == 1, "the scrape is not in flight")
        go_on.set()
        wait_until(lambda: value(s, "scrapes_in_flight") == 0, "the scrape is in flight for ever")


def test_open_connections(sidecar, service):
    s = sidecar(service.url)
    assert (value(s, "http_connections", listener="web"), value(s, "http_connections", listener="admin")) == (0, 1)
    with s.connect(), s.connect():
        wait_until(lambda: value(s, "http_connections", listener="web") == 2, "the connections are not counted")
    wait_until(lambda: value(s, "http_connections", listener="web") == 0, "the connections are counted for ever")


def test_bad_requests_are_no_fault_of_the_service(sidecar, service):
    s = sidecar(service.url)
    assert s.get("/metrics?shard=1")[0] == 400
    after(s, 1)
    assert value(s, "scrapes_total", endpoint="default", outcome="bad_request") == 1
    assert not any(v for k, v in samples(s).items() if k[0] == "scrapeshard_upstream_errors_total")
    assert not service.requests


# Reload.


def config_text(*endpoints):
    return "".join(f"[endpoint {name}]\npath = /{name}\nupstream = {url}\n" for name, url in endpoints)


def test_reload(sidecar, service, tmp_path):
    path = tmp_path / "scrapeshard.ini"
    path.write_text(config_text(("a", service.url)))
    s = sidecar(config=str(path))
    assert value(s, "config_last_reload_successful") == 1
    begun = value(s, "config_last_reload_success_timestamp_seconds")
    assert abs(begun - time.time()) < 60 * SLOW
    wait_until(lambda: time.time() >= begun + 1, "time stands still")

    path.write_text("junk\n")
    assert s.admin("/-/reload", "POST")[0] == 500
    assert value(s, "config_last_reload_successful") == 0
    assert value(s, "config_reloads_total", result="failure") == 1
    assert value(s, "config_last_reload_success_timestamp_seconds") == begun

    path.write_text(config_text(("a", service.url)))
    assert s.admin("/-/reload", "POST")[0] == 200
    assert value(s, "config_last_reload_successful") == 1
    assert value(s, "config_reloads_total", result="success") == 1
    assert value(s, "config_last_reload_success_timestamp_seconds") > begun


def test_counts_survive_a_reload(sidecar, service, tmp_path):
    """Also the counters of an endpoint that is removed and comes back."""
    path = tmp_path / "scrapeshard.ini"
    path.write_text(config_text(("a", service.url)))
    s = sidecar(config=str(path))
    for endpoints, target in [((("a", service.url),), "/a"), ((("b", service.url),), "/b"),
                              ((("b", service.url), ("a", service.url)), "/a")]:
        path.write_text(config_text(*endpoints))
        assert s.admin("/-/reload", "POST")[0] == 200
        assert s.get(target)[0] == 200
    after(s, 2, "a")
    after(s, 1, "b")


def test_endpoints_that_left_are_bounded(sidecar, service, tmp_path):
    path = tmp_path / "scrapeshard.ini"
    path.write_text(config_text(("first", service.url)))
    steer = Steer(tmp_path / "steer")
    s = sidecar(config=str(path), env=steer.environment)
    for i in range(100):
        path.write_text(config_text((f"e{i}", service.url)))
        steer.forward(1)
        assert s.admin("/-/reload", "POST")[0] == 200
    names = {dict(k[1:]).get("endpoint") for k in samples(s)} - {None}
    assert names == {f"e{i}" for i in range(35, 100)}


# The shard tracker.


BODY_OF_MANY = b"".join(b"metric_%d_total %d\n" % (i, i) for i in range(40))


@pytest.fixture
def many(upstream):
    return upstream(answering(answer(BODY_OF_MANY)))


def tracked(sidecar, name, endpoint="default"):
    """{shard, or shard_count: value} of one of the tracker's metrics."""
    return {dict(k[1:]).get("shard") or dict(k[1:]).get("shard_count"): v for k, v in samples(sidecar).items()
            if k[0] == f"scrapeshard_{name}" and ("endpoint", endpoint) in k}


def test_last_scrape_of_each_shard(sidecar, many):
    s = sidecar(many.url)
    begun = time.time()
    bodies = {str(i): s.get(target(i, 4))[2] for i in (0, 1, 3)}
    after(s, 3)
    assert tracked(s, "shard_bytes") == {i: len(body) for i, body in bodies.items()}
    assert tracked(s, "shard_series") == {i: body.count(b"\n") for i, body in bodies.items()}
    last = tracked(s, "shard_last_scrape_timestamp_seconds")
    assert last.keys() == bodies.keys()
    assert all(begun - 1 <= when <= time.time() + 1 for when in last.values())
    assert tracked(s, "shards_unknown") == {"4": 1}
    assert tracked(s, "shards_missing") == {"4": 0}
    assert tracked(s, "shard_interval_seconds") == {"4": 60}
    assert value(s, "shard_counts_in_use", endpoint="default") == 1


def test_a_set_of_shards_is_one_series(sidecar, many):
    """The series and bytes are those of the set; each of its shards counts as scraped."""
    s = sidecar(many.url)
    body = s.get("/metrics?shard=0-2%2C5&shard_count=6")[2]
    after(s, 1)
    assert tracked(s, "shard_bytes") == {"0-2,5": len(body)}
    assert tracked(s, "shards_unknown") == {"6": 2}


def test_missing_shards(sidecar, many):
    """A shard that is never scraped, and then those that are no longer scraped."""
    s = sidecar(many.url, "--set", "admin.scrape_interval=1s")

    def scrape():
        for i in (0, 1, 3):
            assert s.get(target(i, 4))[0] == 200
        return tracked(s, "shards_missing")
    begun = time.monotonic()
    assert scrape() == {"4": 0} or time.monotonic() - begun > 3  # intervals
    wait_until(lambda: scrape() == {"4": 1}, "shard 2 is not missing", 30)
    assert tracked(s, "shards_unknown") == {"4": 0}
    wait_until(lambda: tracked(s, "shards_missing") == {"4": 4}, "no shard is missing", 30)
    wait_until(lambda: value(s, "shard_counts_in_use", endpoint="default") == 0, "the count is in use for ever")
    assert tracked(s, "shard_series").keys() == {"0", "1", "3"}
    wait_until(lambda: s.get(target(2, 4)) and tracked(s, "shards_missing") == {"4": 3}, "shard 2 is missing still")


def test_a_failed_scrape_is_no_last_scrape(sidecar, upstream):
    bodies = [BODY_OF_MANY]

    def serve(u, connection):
        while u.read_request(connection):
            connection.sendall(answer(bodies[-1]))
    s = sidecar(upstream(serve).url)
    assert s.get(target(0, 2))[0] == 200
    after(s, 1)
    last = tracked(s, "shard_last_scrape_timestamp_seconds")["0"]
    series = tracked(s, "shard_series")
    bodies.append(b"<html>\n")
    for shard in (0, 1):
        assert s.get(target(shard, 2))[0] == 502
    after(s, 3)
    assert tracked(s, "shard_last_scrape_timestamp_seconds") == {"0": pytest.approx(last, abs=0.01)}
    assert tracked(s, "shard_series") == series
    assert tracked(s, "shards_unknown") == {"2": 1}


def test_neither_head_nor_a_bad_request_is_a_scrape(sidecar, many):
    s = sidecar(many.url)
    assert s.get(target(0, 2), method="HEAD")[0] == 200
    assert s.get(target(2, 2))[0] == 400
    assert s.get()[0] == 200
    after(s, 3)
    assert not tracked(s, "shard_series") and not tracked(s, "shards_missing")


def test_the_tools_are_no_scrapers(sidecar, many):
    """verify would hide a shard that nobody scrapes, from those who look for it."""
    s = sidecar(many.url)
    url = f"http://127.0.0.1:{s.port}/metrics"
    assert s.get(target(0, 2))[0] == 200
    assert run("verify", "--shard-count=2", url)[0] == run("plan", "--shard-count=2", url)[0] == 0
    after(s, 6)
    assert tracked(s, "shards_unknown") == {"2": 1} and set(tracked(s, "shard_series")) == {"0"}
    assert "<dt>Whole body</dt>" not in s.admin("/")[2].decode()


def test_a_sidecar_before_another_is_a_scraper(sidecar, many):
    """Unless it passes on what a tool asks; its own User-Agent is there if its scraper has none."""
    behind = sidecar(many.url)
    s = sidecar(f"http://127.0.0.1:{behind.port}/metrics")
    assert run("verify", "--shard-count=2", f"http://127.0.0.1:{s.port}/metrics")[0] == 0
    after(behind, 4)
    assert "<dt>Whole body</dt>" not in behind.admin("/")[2].decode()
    assert s.get()[0] == 200
    after(behind, 5)
    assert "<dt>Whole body</dt>" in behind.admin("/")[2].decode()


def test_two_counts_in_use(sidecar, many):
    """Two servers disagree."""
    s = sidecar(many.url)
    for shard, count in ((0, 80), (1, 80), (80, 81)):
        assert s.get(target(shard, count))[0] == 200
    after(s, 3)
    assert value(s, "shard_counts_in_use", endpoint="default") == 2
    assert tracked(s, "shards_unknown") == {"80": 78, "81": 80}


def test_tracking_is_bounded(sidecar, many):
    """Whatever shards and counts a stranger requests, memory and metrics stay small, and established scrapers stay."""
    s = sidecar(many.url)
    for i in range(3):
        assert s.get(target(i, 3))[0] == 200
    memory = s.memory()
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30 * SLOW)

    def scrape(shard, count):
        connection.request("GET", target(shard, count))
        response = connection.getresponse()
        assert (response.read(), response.status)[1] == 200
    for i in range(3000):
        scrape(i, 65536 - i % 300)
    for i in range(1200):
        scrape(f"{i}-65535", 65536)
    connection.close()
    found = after(s, 3 + 3000 + 1200)
    assert tracked(s, "shards_missing")["3"] == 0
    assert len(found) < 300 + 3 * 4 * 1024
    assert value(s, "shard_tracking_overflow_total", endpoint="default", what="shard_count") > 100
    assert value(s, "shard_tracking_overflow_total", endpoint="default", what="shards") > 100
    assert SLOW > 1 or s.memory() < memory + (4 << 20)


def test_a_removed_endpoint_is_no_longer_tracked(sidecar, many, tmp_path):
    """A removed endpoint misses no shards; when it comes back, it starts without scrapers."""
    path = tmp_path / "scrapeshard.ini"
    path.write_text(config_text(("a", many.url)))
    s = sidecar(config=str(path))
    s.get(target(0, 2, "/a"))
    after(s, 1, "a")
    assert tracked(s, "shards_missing", "a") == {"2": 0}
    path.write_text(config_text(("b", many.url)) + "[admin]\nscrape_interval = 20s\n")
    assert s.admin("/-/reload", "POST")[0] == 200
    assert not tracked(s, "shards_missing", "a")
    path.write_text(config_text(("a", many.url)) + "[admin]\nscrape_interval = 20s\n")
    assert s.admin("/-/reload", "POST")[0] == 200
    assert not tracked(s, "shards_missing", "a")
    s.get(target(0, 2, "/a"))
    after(s, 2, "a")
    assert tracked(s, "shard_interval_seconds", "a") == {"2": 20}


# The process, and a real Prometheus.


def test_process_metrics(sidecar, service):
    s = sidecar(service.url)
    assert s.get()[2] == BODY
    found = samples(s)
    assert abs(found["process_start_time_seconds",] - time.time()) < 120 * SLOW
    assert 0 < found["process_cpu_seconds_total",] < 60
    assert abs(found["process_resident_memory_bytes",] - s.memory("VmRSS")) < 8 << 20
    assert found["process_virtual_memory_bytes",] >= found["process_resident_memory_bytes",]
    assert abs(found["process_open_fds",] - s.descriptors()) <= 2
    assert found["process_max_fds",] >= found["process_open_fds",]


def test_build_info(sidecar, service):
    s = sidecar(service.url)
    key = next(k for k in samples(s) if k[0] == "scrapeshard_build_info")
    labels = dict(key[1:])
    assert {"version", "libevent", "libcurl", "openssl", "xxhash", "isal", "pcre2", "zlib"} <= labels.keys()
    assert all(re.match(r"\d+\.\d+", v) for v in labels.values()), labels
    assert s.find(f"starting scrapeshard.*version={re.escape(labels['version'])}")


@pytest.mark.parametrize("flags", [[], ["--enable-feature=native-histograms"]], ids=["openmetrics", "protobuf first"])
def test_a_real_prometheus_takes_it(sidecar, service, tmp_path, flags):
    s = sidecar(service.url)
    s.get("/metrics?shard=0&shard_count=2")
    after(s, 1)
    p = Prometheus(tmp_path / "prometheus", [job("own", s.admin_port)], *flags, global_settings=CALM)
    try:
        p.wait_ready()
        p.wait_scrapes(2)
        assert set(p.ups()["own"]) == {1}
        assert p.query('scrapeshard_scrapes_total{outcome="ok"}')[0]["value"][1] == "1"
        assert p.metadata("own")["scrapeshard_scrapes"][0] == "counter"
        assert not p.complaints()
    finally:
        p.stop()
