# SPDX-License-Identifier: Apache-2.0
"""max_age: one response of the upstream serves all shards."""
import calendar
import gzip
import http.client
import itertools
import re
import signal
import socket
import threading
import time

import pytest

from conftest import OPENMETRICS, SLOW, TEXT, Peak, answer, answering, free_port, wait_until
from exposition import COUNTS, PROTOBUF, delimited, field, gauge_family, labels, messages, read_fields, target
from prometheus import CALM, PATIENCE, Prometheus, shard_jobs

BODY = b"".join(b"# HELP family_%d Help.\n# TYPE family_%d gauge\n" % (i, i) +
                b"".join(b'family_%d{id="%d",job="%d"} %d\n' % (i, j, j % 3, i * j) for j in range(1, 1 + i % 7 * 20))
                for i in range(300))
LONG = "1h"  # a snapshot that stays for the test


class Service:
    """An upstream that sends body for each request: at once, or, after hold(), only after go_on(). heads are the requests."""

    def __init__(self, upstream, body=BODY, content_type=TEXT, response=None):
        self.response = response or answer(body, content_type)
        self.open = threading.Event()
        self.open.set()
        self.gone = 0
        self.upstream = upstream(self._serve)
        self.url = self.upstream.url

    def _serve(self, upstream, connection):
        while upstream.read_request(connection):
            while not self.open.wait(0.01):
                connection.settimeout(0.001)
                try:
                    if not connection.recv(1, socket.MSG_PEEK):
                        self.gone += 1
                        return
                except TimeoutError:
                    pass
                except OSError:
                    self.gone += 1
                    return
            connection.settimeout(None)
            connection.sendall(self.response)

    @property
    def heads(self):
        return self.upstream.requests

    def hold(self):
        self.open.clear()

    def go_on(self):
        self.open.set()

    def wait_requested(self, times):
        wait_until(lambda: len(self.heads) >= times, f"expected {times} requests, got {len(self.heads)}")
        assert len(self.heads) == times


class Scraping(threading.Thread):
    """A scrape in another thread; result() is what get() returned or raised."""

    def __init__(self, sidecar, *args, **options):
        super().__init__(daemon=True)
        self.ask, self.got = lambda: sidecar.get(*args, **options), None
        self.start()

    def run(self):
        try:
            self.got = self.ask()
        except (OSError, http.client.HTTPException) as error:
            self.got = error

    def result(self):
        self.join(30 * SLOW)
        assert self.got is not None, "the scrape does not end"
        return self.got


class Metrics:
    """The sidecar's own metrics, now."""

    def __init__(self, sidecar):
        status, _, body = sidecar.admin("/metrics")
        assert status == 200
        self.values = dict(line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))

    def __getitem__(self, name):
        return next(float(value) for key, value in self.values.items() if key.split("{")[0] == name)


@pytest.fixture
def snapshots(upstream, sidecar, config):
    """snapshots(service, *settings) starts a sidecar whose endpoint keeps snapshots. Several use the same file in turn, so
    it is not watched."""
    def start(service, *settings, max_age=LONG, before=""):
        text = ["[process]", "watch_files = off", before, "[endpoint app]", f"upstream = {service.url}", f"max_age = {max_age}", *settings, ""]
        return sidecar(config=config("\n".join(text)))
    return start


@pytest.fixture
def service(upstream):
    return Service(upstream)


def waiting(sidecar, count):
    """Waits until count scrapes are in flight."""
    wait_until(lambda: Metrics(sidecar)["scrapeshard_scrapes_in_flight"] == count, f"{count} scrapes are not in flight")


def kept(sidecar):
    return Metrics(sidecar)["scrapeshard_snapshots"]


def plain(headers, body):
    return gzip.decompress(body) if headers["Content-Encoding"] == "gzip" else body


def check_whole(results, body=BODY):
    """The shards add up to the body, line by line."""
    assert all(status == 200 for status, _, _ in results), [r[0] for r in results]
    parts = [plain(headers, part) for _, headers, part in results]
    assert sorted(line for part in parts for line in part.splitlines()) == sorted(body.splitlines())
    return parts


# One request for all.


GZIP = pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}], ids=["identity", "gzip"])


@GZIP
def test_one_after_another(service, snapshots, headers):
    s = snapshots(service)
    for _ in range(2):
        check_whole([s.get(target(i, 80), headers) for i in range(80)])
    assert s.get("/metrics", headers)[0] == 200
    check_whole([s.get(target(i, 7), headers) for i in range(7)])
    assert len(service.heads) == 1
    m = Metrics(s)
    assert (m["scrapeshard_snapshot_misses_total"], m["scrapeshard_snapshot_hits_total"]) == (1, 167)
    assert m["scrapeshard_snapshots"] == 1 and len(BODY) < m["scrapeshard_snapshot_bytes"] < 3 * len(BODY)
    assert m["scrapeshard_upstream_received_bytes_total"] == len(BODY)
    age = m["scrapeshard_snapshot_age_seconds"]
    wait_until(lambda: Metrics(s)["scrapeshard_snapshot_age_seconds"] > age >= 0, "it does not grow older")


@GZIP
def test_all_at_once(service, snapshots, headers):
    s = snapshots(service)
    service.hold()
    scrapes = [Scraping(s, target(i, 80), headers) for i in range(80)]
    waiting(s, 80)
    service.go_on()
    check_whole([scrape.result() for scrape in scrapes])
    assert len(service.heads) == 1


def test_expires(service, snapshots):
    s = snapshots(service, max_age="50ms")
    s.get()
    wait_until(lambda: kept(s) == 0, "the snapshot does not expire")
    s.get()
    service.wait_requested(2)
    wait_until(lambda: s.count("msg=snapshot") == 2, "not two snapshots")


def test_age_is_from_the_start_of_the_fetch(service, snapshots):
    """A snapshot that is older than max_age when it is complete serves only the scrapes that waited."""
    s = snapshots(service, max_age="50ms")
    service.hold()
    first = Scraping(s)
    service.wait_requested(1)
    second = []
    # Once the snapshot has expired it is no longer found, so the upstream gets another request.
    wait_until(lambda: second.append(Scraping(s)) or len(service.heads) > 1, "an old fetch is joined")
    service.go_on()
    assert first.result()[2] == BODY and all(scrape.result()[2] == BODY for scrape in second)


def test_time_is_that_of_the_upstream_request(upstream, snapshots):
    """Not that of the scrape, which waited for an upstream slot."""
    service = Service(upstream, body=b"up 1\n")
    s = snapshots(service, "timestamps = snapshot", before="[web]\nmax_upstream_connections = 1\n")
    service.hold()
    first = Scraping(s, "/metrics?first")
    service.wait_requested(1)
    second = Scraping(s)
    waiting(s, 2)
    time.sleep(0.05)
    slot_is_free = time.time()
    service.go_on()
    assert first.result()[0] == 200
    _, headers, body = second.result()
    told = re.fullmatch(r"(\S+)\.(\d{3})Z", headers["Scrapeshard-Snapshot"])
    timestamp = calendar.timegm(time.strptime(told[1], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(told[2])
    assert body == b"up 1 %d\n" % timestamp
    assert timestamp >= int(slot_is_free * 1000)


def test_max_age_counts_from_the_upstream_request(service, snapshots):
    """A fetch that waits for an upstream slot, however long, is one for all that come meanwhile."""
    s = snapshots(service, max_age="50ms", before="[web]\nmax_upstream_connections = 1\n")
    service.hold()
    first = Scraping(s, "/metrics?first")
    service.wait_requested(1)
    scrapes = []
    for i in range(3):
        scrapes.append(Scraping(s, target(i, 3)))
        waiting(s, 2 + i)
        time.sleep(0.1)
    service.go_on()
    assert first.result()[2] == BODY
    check_whole([scrape.result() for scrape in scrapes])
    assert len(service.heads) == 2
    wait_until(lambda: kept(s) == 0, "the snapshot does not expire")


def test_headers(service, snapshots):
    s = snapshots(service)
    before = time.time()
    first = s.get()[1]
    after = time.time()
    assert 0 <= int(first["Age"]) <= after - before
    assert first["Content-Length"] == str(len(BODY)) and "Transfer-Encoding" not in first
    made = first["Scrapeshard-Snapshot"]
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z", made)
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S")) + int(found[2]) / 1000
    assert before - 0.002 <= seconds <= after
    later = wait_until(lambda: int((h := s.get()[1])["Age"]) > int(first["Age"]) and h, "the age does not grow")
    assert later["Scrapeshard-Snapshot"] == made and later["Content-Type"] == TEXT and later["Vary"] == "Accept-Encoding"


def test_age_of_the_upstream_is_replaced(upstream, snapshots):
    s = snapshots(Service(upstream, response=answer(BODY, extra=["Age: 77", "Scrapeshard-Snapshot: yesterday"])))
    headers = s.get()[1]
    age, = headers.get_all("Age")
    assert int(age) < 77 and headers.get_all("Scrapeshard-Snapshot")[0].startswith("20")
    assert len(headers.get_all("Scrapeshard-Snapshot")) == 1


@GZIP
def test_head(service, snapshots, headers):
    s = snapshots(service)
    for _ in range(2):
        status, head, body = s.get(target(1, 3), headers, method="HEAD")
        assert (status, body) == (200, b"")
        _, full, part = s.get(target(1, 3), headers)
        assert head["Content-Length"] == full["Content-Length"] == str(len(part))
        assert head["Content-Encoding"] == full["Content-Encoding"]
    assert len(service.heads) == 1 and service.heads[0].startswith(b"GET ")


def test_head_keeps_step(service, snapshots):
    """No body follows, which would be read as the next response."""
    s = snapshots(service)
    with s.connect() as raw, raw.makefile("rb") as file:
        for method in ("HEAD", "HEAD", "GET"):
            raw.sendall(f"{method} /metrics HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            length = int(http.client.parse_headers(file)["Content-Length"])
        assert file.read(length) == BODY


def test_connection_is_kept(service, snapshots):
    s = snapshots(service)
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
    for i in range(20):
        connection.request("GET", target(i, 20))
        response = connection.getresponse()
        assert response.status == 200 and response.read()
        assert not response.will_close
    connection.close()


def test_without_max_age_nothing_is_kept(service, sidecar):
    s = sidecar(service.url)
    for _ in range(2):
        assert "Age" not in s.get()[1]
    assert len(service.heads) == 2


# The same bytes as without snapshots.


OM_BODY = (b"# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds \"It\" # EOF\n"
           b'a_seconds_total{x="1"} 1.0 1.5 # {trace_id="}# EOF"} 0.5 1.0\na_seconds_total{x="2"} 2\n'
           b'# TYPE h histogram\n' +
           b"".join(b'h_bucket{x="%d",le="%s"} 1\n' % (i, le) for i in range(40) for le in (b"1.0", b"+Inf")) +
           b"".join(b"# TYPE g%d gauge\ng%d %d\n" % (i, i, i) for i in range(40)) + b"# EOF\n")
ODD_TEXT = (b'# a comment "\n\n# HELP x A.\nx{a="1\n2",b="} 3"} 4 1395066363000\n  y 2\nz{c="\\"\n\\\\"} 1' +
            BODY.replace(b"# HELP", b"\n# HELP", 1))
PROTOBUF_BODY = b"".join(gauge_family(f"family_{i}", {str(j): i * j for j in range(1 + i % 5 * 30)}) for i in range(60))
BODIES = {"text": (ODD_TEXT, TEXT), "openmetrics": (OM_BODY, OPENMETRICS), "protobuf": (PROTOBUF_BODY, PROTOBUF),
          "unknown": (BODY + b"# EOF\n", "application/x"), "empty": (b"", TEXT)}
RULES = """[rules]
drop = family_1.
replicate = family_2[0-4]|a_seconds
colocate = (family)_3.
colocate = named: family_[45]6|g1.
colocate = named: family_4[0-3]|g2
split = family_5.|h
"""
SHARDINGS = {
    "family": "", "declared": "key = declared\n", "name": "key = name\n", "labels": "key = labels\nsource_labels = id, x\n",
    "md5, jump": "hash = md5\nplacement = jump\n", "rules": RULES, "labels, rules": f"key = labels\nsource_labels = x, id\n{RULES}",
}


@pytest.mark.parametrize("sharding", SHARDINGS)
@pytest.mark.parametrize("name", BODIES)
def test_same_as_streamed(upstream, sidecar, config, name, sharding):
    body, content_type = BODIES[name]
    service = upstream(answering(answer(body, content_type)))
    s = sidecar(config=config(f"[endpoint kept]\npath = /kept\nupstream = {service.url}\nmax_age = 1h\n"
                              f"[endpoint streamed]\npath = /streamed\nupstream = {service.url}\n"
                              f"[sharding]\n{SHARDINGS[sharding]}"))
    shards = [*((i, n) for n in COUNTS for i in range(n)), ("0-3,9", 16), ("1,2", 3)]
    targets = ["", *(f"?shard={i}&shard_count={n}" for i, n in shards)]
    for query, headers in itertools.product(targets, [{}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "gzip"}]):
        streamed, from_kept = (s.get(f"/{path}{query}", headers) for path in ("streamed", "kept"))
        assert streamed[0] == from_kept[0], (streamed, from_kept)
        # The endpoint's name appears only in the reason of a failure.
        assert plain(*streamed[1:]).replace(b"endpoint streamed", b"endpoint kept") == plain(*from_kept[1:]), query
        for header in ("Content-Type", "Content-Encoding", "Vary"):
            assert streamed[1][header] == from_kept[1][header], (query, header)


def test_upstream_that_compresses(upstream, snapshots):
    response = answer(gzip.compress(BODY[:5000]) + gzip.compress(BODY[5000:]), extra=["Content-Encoding: gzip"])
    s = snapshots(Service(upstream, response=response))
    check_whole([s.get(target(i, 5)) for i in range(5)])


def test_missing_content_type(upstream, snapshots):
    s = snapshots(Service(upstream, body=OM_BODY, content_type=None), f"default_content_type = {OPENMETRICS}")
    status, headers, body = s.get(target(0, 2))
    assert (status, headers["Content-Type"]) == (200, OPENMETRICS) and body.endswith(b"# EOF\n")


# Which requests share a snapshot.


def test_what_does_not_differ(service, snapshots):
    s = snapshots(service)
    for i in range(3):
        s.get(target(i, 3), {"User-Agent": f"Prometheus/{i}", "traceparent": f"00-{i}", "tracestate": f"a={i}",
                             "X-Prometheus-Scrape-Timeout-Seconds": str(10 + i), "Accept-Encoding": "gzip, identity"[i:],
                             "Accept": "text/plain", "If-None-Match": str(i)})
    assert len(service.heads) == 1


@pytest.mark.parametrize("first, second", [
    ({"headers": {"Accept": "text/plain"}}, {"headers": {"Accept": "application/openmetrics-text"}}),
    ({"headers": {"Authorization": "Bearer a"}}, {"headers": {"Authorization": "Bearer b"}}),
    ({"headers": {"Authorization": "Bearer a"}}, {}),
    ({"headers": {"Cookie": "a"}}, {"headers": {"Cookie": "b"}}),
    ({"headers": {"X-Scope-OrgID": "1"}}, {"headers": {"X-Scope-OrgID": "2"}}),
    ({"target": "/metrics?a=1"}, {"target": "/metrics?a=2"}),
    ({"target": "/metrics?a=1"}, {"target": "/metrics"}),
    ({"target": "/metrics?a=1&b=2"}, {"target": "/metrics?b=2&a=1"}),
    ({"headers": {"A": "b\tc"}}, {"headers": {"A": "b c"}}),
], ids=str)
def test_what_differs(upstream, snapshots, first, second):
    """The response for one never goes to the other: here it contains the request."""
    def serve(service, connection):
        while head := service.read_request(connection):
            connection.sendall(answer(b'requested{by="%s"} 1\n' % b"".join(b"%02x" % byte for byte in head)))
    s = snapshots(upstream(serve))
    responses = [s.get(**request)[2] for request in (first, second, first, second)]
    assert responses[0] == responses[2] != responses[1] == responses[3]
    assert kept(s) == 2


def test_endpoints_differ(upstream, sidecar, config):
    services = [Service(upstream, body=b"up %d\n" % i) for i in range(3)]
    s = sidecar(config=config("".join(f"[endpoint e{i}]\npath = /{i}\nupstream = {one.url}\nmax_age = 1h\n"
                                      for i, one in enumerate(services))))
    for _ in range(2):
        assert [s.get(f"/{i}")[2] for i in range(3)] == [b"up 0\n", b"up 1\n", b"up 2\n"]
    assert [len(one.heads) for one in services] == [1, 1, 1]


# Deadlines, and scrapers that leave.


def test_each_has_a_deadline_of_its_own(service, snapshots):
    s = snapshots(service, "timeout = 60s")
    service.hold()
    hasty = Scraping(s, headers={"X-Prometheus-Scrape-Timeout-Seconds": "4"})
    service.wait_requested(1)
    patient = Scraping(s)
    waiting(s, 2)
    status, _, body = hasty.result()
    assert (status, body) == (504, b"endpoint app: the upstream did not respond within 3.6 s "
                                   b"(X-Prometheus-Scrape-Timeout-Seconds 4 less 0.4 s)\n")
    service.go_on()
    assert patient.result()[2] == BODY
    assert len(service.heads) == 1 and s.get()[2] == BODY and len(service.heads) == 1


def test_deadline_of_the_fetch(service, snapshots):
    s = snapshots(service, f"timeout = {1000 * SLOW:.0f}ms")
    service.hold()
    results = [scrape.result() for scrape in [Scraping(s, target(i, 9)) for i in range(9)]]
    assert {(status, body) for status, _, body in results} == \
        {(504, f"endpoint app: the upstream did not respond within {SLOW:g} s (endpoint.app.timeout)\n".encode())}
    assert kept(s) == 0
    wait_until(lambda: service.gone == len(service.heads), "the connections to the upstream stay open")
    service.go_on()
    assert s.get()[2] == BODY


def leave(connection, reset):
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def send_request(sidecar, path="/metrics", source="127.0.0.1", **headers):
    connection = socket.create_connection(("127.0.0.1", sidecar.port), timeout=60 * SLOW, source_address=(source, 0))
    lines = [f"GET {path} HTTP/1.1", "Host: x", *(f"{key}: {value}" for key, value in headers.items())]
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
    return connection


def read_body(connection, body):
    """The rest of a response with a length, of which body has been read."""
    head, body = body.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    while len(body) < length:
        piece = connection.recv(1 << 20)
        assert piece, "the response is truncated"
        body += piece
    return body


def test_last_waiting_scraper_leaves(service, snapshots):
    s = snapshots(service)
    service.hold()
    leaving = [send_request(s, target(i, 3)) for i in range(3)]
    waiting(s, 3)
    for connection in leaving[:2]:
        leave(connection, True)
    waiting(s, 1)
    assert service.gone == 0 and kept(s) == 1
    leave(leaving[2], True)
    wait_until(lambda: service.gone == 1, "the fetch is not cancelled")
    waiting(s, 0)
    assert kept(s) == 0
    service.go_on()
    assert s.get()[2] == BODY


def test_leaving_while_others_are_served(service, snapshots):
    s = snapshots(service)
    service.hold()
    scrapes, leaving = [], []
    for i in range(20):
        scrapes.append(Scraping(s, target(i, 20)))
        leaving.append(send_request(s, target(i, 20)))
    waiting(s, 40)
    service.go_on()
    for connection in leaving:
        leave(connection, True)
    check_whole([scrape.result() for scrape in scrapes])
    waiting(s, 0)


@pytest.mark.parametrize("how", ["closed", "reset", "floods"])
def test_leaving_a_ready_snapshot(upstream, snapshots, how):
    """A response that is not sent at once is watched for a hangup."""
    s = snapshots(Service(upstream, body=LARGE))
    assert s.get(target(0, 2))[0] == 200
    connection = send_request(s)
    assert connection.recv(300).startswith(b"HTTP/1.1 200 ")
    if how == "floods":
        with pytest.raises(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1_000_000)
    else:
        leave(connection, how == "reset")
    s.wait_line("outcome=client_gone")
    connection.close()
    check_whole([s.get(target(i, 2)) for i in range(2)], LARGE)


@pytest.mark.parametrize("pieces", [1, 3])
def test_leaving_in_mid_body(upstream, snapshots, pieces):
    gates = [threading.Event() for _ in range(3)]
    whole = answer(BODY)

    def serve(service, connection):
        while service.read_request(connection):
            for i, gate in enumerate(gates):
                gate.wait(20 * SLOW)
                connection.sendall(whole[i * len(whole) // 3:(i + 1) * len(whole) // 3])
    s = snapshots(upstream(serve))
    leaving, staying = send_request(s), Scraping(s, target(0, 2))
    waiting(s, 2)
    for gate in gates[:pieces]:
        gate.set()
    leave(leaving, True)
    for gate in gates:
        gate.set()
    assert staying.result()[0] == 200
    check_whole([s.get(target(i, 2)) for i in range(2)])


def test_upstream_slots(service, snapshots):
    """An address that has all slots it may have waits; other addresses do not wait with it."""
    s = snapshots(service, before="[web]\nmax_upstream_connections = 2\n")
    service.hold()
    first = Scraping(s, "/metrics?i=1")
    service.wait_requested(1)
    second = Scraping(s, "/metrics?i=2")
    waiting(s, 2)
    assert len(service.heads) == 1
    other = send_request(s, "/metrics?i=2", "127.0.0.2")
    service.wait_requested(2)
    third = Scraping(s, "/metrics?i=3", {"X-Prometheus-Scrape-Timeout-Seconds": "0.2"})
    assert third.result()[0] == 504 and b"could not connect to the upstream" in third.result()[2]
    service.go_on()
    assert first.result()[2] == second.result()[2] == read_body(other, other.recv(300)) == BODY
    assert len(service.heads) == 2


@pytest.mark.parametrize("ends, leaves", [("a", None), ("b", None), ("b", 0), ("a", 1)],
                         ids=["the first", "the joiner", "the joiner alone", "the first alone"])
def test_slot_of_any_waiting_scraper(upstream, snapshots, ends, leaves):
    """A scraper that joins delays nobody: the fetch starts when the first of them gets a slot."""
    gates, requested = {name: threading.Event() for name in "abc"}, []

    def serve(service, connection):
        while request := service.read_request(connection):
            requested.append(re.search(rb"\?(\w)", request)[1].decode())
            gates[requested[-1]].wait(20 * SLOW)
            connection.sendall(answer(BODY))
    s = snapshots(upstream(serve), before="[web]\nmax_upstream_connections = 2\n")
    others = {}
    for i, name in enumerate("ab"):
        others[name] = send_request(s, f"/metrics?{name}", f"127.0.0.{i + 1}")
        wait_until(lambda: requested == [*others], "no request reaches the upstream")
    waiters = []
    for i in range(2):
        waiters.append(send_request(s, "/metrics?c", f"127.0.0.{i + 1}"))
        waiting(s, 3 + i)
    if leaves is not None:
        leave(waiters.pop(leaves), True)
        waiting(s, 3)
    gates[ends].set()
    wait_until(lambda: requested == ["a", "b", "c"], f"no request when {ends} has ended: {requested}")
    for gate in gates.values():
        gate.set()
    for connection in [*others.values(), *waiters]:
        assert read_body(connection, connection.recv(300)) == BODY
        connection.close()
    waiting(s, 0)
    assert requested == ["a", "b", "c"]


def test_fetch_takes_no_endpoint_slot(service, snapshots):
    """max_in_flight counts scrapes; the fetch for them is not one."""
    s = snapshots(service, "max_in_flight = 2")
    service.hold()
    first = Scraping(s)
    service.wait_requested(1)
    with send_request(s, source="127.0.0.2") as other:
        waiting(s, 2)
        assert s.get()[0] == 503
        waiting(s, 2)
        service.go_on()
        assert read_body(other, other.recv(300)) == BODY
    assert first.result()[2] == BODY
    waiting(s, 0)


# Failures.


FAILURES = {
    "truncated": (502, answer(BODY)[:-5]),
    "no exposition": (502, answer(b"<html>")),
    "an encoding": (502, answer(BODY, extra=["Content-Encoding: br"])),
    "broken gzip": (502, answer(gzip.compress(BODY)[:-1], extra=["Content-Encoding: gzip"])),
    "closed in a line": (502, b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nup 12"),
    "junk": (502, b"junk\r\n\r\n"),
    "too large": (502, answer(BODY * 5)),
    "a long line": (502, answer(b"a" * 5000 + b" 1\n")),
    "too many series": (502, answer(b"".join(b"f{a=\"%d\"} 1\n" % i for i in range(20000)))),
    "not found": (404, answer(b"not here\n", "text/plain", "404 Not Found", ["X-Why: because"])),
    "unavailable": (503, answer(gzip.compress(b"busy"), "text/html", "503 Busy", ["Content-Encoding: gzip"])),
    "no content": (204, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "moved": (502, answer(b"", None, "302 Found", ["Location: http://elsewhere/"])),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failure_is_for_all_who_waited_and_not_kept(upstream, sidecar, config, name):
    expected, response = FAILURES[name]
    gate, good = threading.Event(), threading.Event()

    def serve(service, connection):
        while service.read_request(connection):
            gate.wait(20 * SLOW)
            connection.sendall(answer(BODY) if good.is_set() else response)
            if not good.is_set():
                return
    service = upstream(serve)
    limits = "max_body = 1MiB\nmax_line = 4KiB\nmax_series = 19999\n"
    s = sidecar(config=config(f"[endpoint app]\npath = /kept\nupstream = {service.url}\nmax_age = 1h\n{limits}"
                              f"[endpoint other]\npath = /streamed\nupstream = {service.url}\n{limits}"))
    scrapes = [Scraping(s, target(i, 20, "/kept"), {"Accept-Encoding": "gzip"}) for i in range(20)]
    waiting(s, 20)
    gate.set()
    results = [scrape.result() for scrape in scrapes]
    streamed = s.get(target(0, 80, "/streamed"), {"Accept-Encoding": "gzip"})  # so short that it is held to the end
    for status, headers, body in results:
        assert status == expected == streamed[0]
        assert body == streamed[2].replace(b"endpoint other", b"endpoint app")
        for header in ("Content-Type", "Content-Encoding", "X-Why", "Location", "Vary"):
            assert headers[header] == streamed[1][header]
    assert len(service.requests) == 2 and kept(s) == 0
    good.set()
    check_whole([s.get(target(i, 3, "/kept")) for i in range(3)])


def test_upstream_is_down(sidecar, config):
    s = sidecar(config=config(f"[endpoint app]\nupstream = http://127.0.0.1:{free_port()}/\nmax_age = 1h\n"))
    for _ in range(2):
        status, _, body = s.get()
        assert status == 502 and b"the upstream's response failed" in body
    assert kept(s) == 0


# Memory.


LARGE = b"".join(b'large_%d{id="%08d"} %d\n' % (i // 100, i, i) for i in range(300_000))  # 9 MB


def check_memory_back(sidecar, before):
    if SLOW == 1:
        wait_until(lambda: sidecar.memory() < before + (1 << 20), f"memory stays: {sidecar.memory()}, before {before}")


def test_expiry_frees_memory(upstream, snapshots):
    s = snapshots(Service(upstream, body=LARGE), max_age="300ms")
    s.get("/metrics?warm=up", {"Accept-Encoding": "gzip"})
    wait_until(lambda: kept(s) == 0, "the snapshot does not expire")
    before = s.memory()
    for i in range(5):
        assert s.get(f"/metrics?i={i}", {"Accept-Encoding": "gzip"})[0] == 200
    assert SLOW > 1 or s.memory() > before + len(LARGE) or kept(s) < 5
    wait_until(lambda: kept(s) == 0, "the snapshots do not expire")
    check_memory_back(s, before)
    assert Metrics(s)["scrapeshard_snapshot_bytes"] == 0


def test_slow_reader_holds_what_has_expired(upstream, snapshots):
    service = Service(upstream, body=LARGE)
    s = snapshots(service, "timeout = 60s", max_age="300ms", before="[web]\nmax_snapshot_bytes = 256MiB\n")
    base = s.memory()
    slow = send_request(s)
    wait_until(lambda: s.count("msg=snapshot"), "no snapshot is logged")
    beginning = slow.recv(300)
    for i in range(3):
        wait_until(lambda: kept(s) == 1, "what nobody reads stays")
        service.response = answer(LARGE.replace(b"large", b"other"))
        assert s.get(f"/metrics?i={i}")[2].startswith(b"other_0")
    wait_until(lambda: kept(s) == 1, "what nobody reads stays")
    assert Metrics(s)["scrapeshard_snapshot_bytes"] > len(LARGE)
    assert read_body(slow, beginning) == LARGE
    wait_until(lambda: kept(s) == 0, "what was read stays")
    if SLOW == 1:
        wait_until(lambda: s.memory() < base + (3 << 20), f"memory stays: {s.memory()}, before {base}")


def test_reader_that_never_reads_is_bounded_by_its_deadline(upstream, snapshots):
    s = snapshots(Service(upstream, body=LARGE), f"timeout = {2000 * SLOW:.0f}ms", max_age="50ms")
    slow = send_request(s)
    s.wait_line("outcome=timeout.*did not read")
    wait_until(lambda: kept(s) == 0, "the snapshot stays")
    slow.close()


# Bounds.


def test_max_snapshots(service, snapshots):
    s = snapshots(service, before="[web]\nmax_snapshots = 2\n")
    ages = [[("Age" in s.get(f"/metrics?i={i}")[1]) for i in range(4)] for _ in range(2)]
    assert ages == [[True, True, False, False]] * 2
    assert len(service.heads) == 6 and kept(s) == 2


def test_no_snapshots_at_all(service, snapshots):
    s = snapshots(service, before="[web]\nmax_snapshots = 0\n")
    check_whole([s.get(target(i, 3)) for i in range(3)])
    assert len(service.heads) == 3


def in_chunks(body):
    return (f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() +
            body + b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("response", [answer(LARGE), in_chunks(LARGE),
                                      answer(gzip.compress(LARGE), extra=["Content-Encoding: gzip"]),
                                      answer(LARGE, status="500 Oh")],
                         ids=["length", "chunked", "gzip", "status"])
def test_body_over_the_budget_is_streamed(upstream, snapshots, response):
    """For the scrapes that waited, too; later ones do not try again until it has expired."""
    service = Service(upstream, response=response)
    s = snapshots(service, before="[web]\nmax_snapshot_bytes = 4MiB\n")
    service.hold()
    with Peak(s) as peak:
        scrapes = [Scraping(s, target(i, 3)) for i in range(3)]
        waiting(s, 3)
        service.go_on()
        results = [scrape.result() for scrape in scrapes]
        if b"500 Oh" in response:
            assert all((status, body) == (500, LARGE) for status, _, body in results)
        else:
            check_whole(results, LARGE)
        assert all("Age" not in headers for _, headers, _ in results)
    assert len(service.heads) == 4
    s.wait_line("level=warn msg=snapshot .*outcome=over_budget.*max_snapshot_bytes")
    assert s.get(target(0, 3))[2] and len(service.heads) == 5
    assert peak.bytes < 12 << 20


def test_gzip_over_the_budget(upstream, snapshots):
    """Then the response is not compressed, and memory stays within the budget."""
    s = snapshots(Service(upstream, body=LARGE[:3_000_000].rsplit(b"\n", 1)[0] + b"\n"),
                  before="[web]\nmax_snapshot_bytes = 4MiB\n")
    encodings = [s.get(target(f"0-{i}", 100), {"Accept-Encoding": "gzip"})[1]["Content-Encoding"] for i in range(99)]
    assert encodings[0] == "gzip" and encodings[-1] is None
    assert Metrics(s)["scrapeshard_snapshot_bytes"] <= 4 << 20


def test_gzip_is_kept(service, snapshots):
    s = snapshots(service)
    one, other = (s.get(target(1, 4), {"Accept-Encoding": "gzip"}) for _ in range(2))
    before = Metrics(s)["scrapeshard_snapshot_bytes"]
    assert s.get(target(1, 4), {"Accept-Encoding": "gzip"})[2] == one[2] == other[2]
    assert Metrics(s)["scrapeshard_snapshot_bytes"] == before
    wait_until(lambda: s.count("msg=scrape .*series_out=[1-9]") == 3, "not each has series")


# Life.


def test_reload_invalidates(service, snapshots, config):
    s = snapshots(service)
    before = [s.get(target(i, 2))[2] for i in range(2)]
    config(f"[endpoint app]\nupstream = {service.url}\nmax_age = 1h\n[sharding]\nhash = md5\n[rules]\nreplicate = family_8\n")
    s.process.send_signal(signal.SIGHUP)
    s.wait_line("msg=reloaded")
    after = [s.get(target(i, 2))[2] for i in range(2)]
    assert before != after and all(b"\nfamily_8{" in part for part in after)
    assert len(service.heads) == 2 and kept(s) == 1


def reload(s):
    before = s.count("msg=reloaded")
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: s.count("msg=reloaded") > before, "SIGHUP does not reload")


def test_reload_keeps_what_it_does_not_change(service, snapshots, config, upstream):
    """Snapshots stay when another endpoint changes, or a setting that affects no body; they go when their endpoint or the
    rules change."""
    other = Service(upstream, b"other 1\n")

    def text(of_other="", more=""):
        return (f"[process]\nwatch_files = off\n[endpoint app]\nupstream = {service.url}\nmax_age = 1h\n"
                f"[endpoint other]\npath = /other\nupstream = {other.url}\nmax_age = 1h\n{of_other}\n{more}\n")
    s = snapshots(service)
    config(text())
    reload(s)

    def requested():
        check_whole([s.get(target(i, 7), {"Accept-Encoding": "gzip"}) for i in range(7)])
        assert s.get("/other")[2] == b"other 1\n"
        return len(service.heads), len(other.heads)
    assert requested() == (1, 1)
    for _ in range(3):
        reload(s)
        assert requested() == (1, 1)
    for new, expected in ((("", "[log]\nlevel = debug"), (1, 1)), (("max_line = 2KiB", ""), (1, 2)), (("", ""), (1, 3)),
                          (("", "[rules]\nreplicate = nothing"), (2, 4)), (("", ""), (3, 5)),
                          (("", "[web]\nmax_snapshot_bytes = 32MiB"), (4, 6))):
        config(text(*new))
        reload(s)
        assert requested() == expected, new
    assert kept(s) == 2


def test_reload_keeps_a_fetch(service, snapshots):
    """Scrapes from before and after the reload share one response."""
    s = snapshots(service)
    service.hold()
    old = [Scraping(s, target(i, 6)) for i in range(3)]
    service.wait_requested(1)
    reload(s)
    new = [Scraping(s, target(i, 6)) for i in range(3, 6)]
    waiting(s, 6)
    service.go_on()
    check_whole([scrape.result() for scrape in old + new])
    reload(s)
    check_whole([s.get(target(i, 2)) for i in range(2)])
    assert len(service.heads) == 1


def test_reload_in_a_loop_undoes_no_max_age(service, snapshots):
    """However often a client reloads, the upstream gets one request. Reloads are rate-limited; a refused client is given
    Retry-After."""
    s = snapshots(service)
    statuses = []
    for i in range(98):
        status, headers, _ = s.admin("/-/reload", "POST")
        statuses.append(status)
        assert status == 200 or int(headers["Retry-After"]) > 0
        assert s.get(target(i % 80, 80))[0] == 200
    assert len(service.heads) == 1
    assert set(statuses) == {200, 429} and statuses[0] == 200


def test_reload_in_the_middle(service, snapshots, config):
    """Waiting scrapes are served under the configuration they came under; the next under the new one."""
    s = snapshots(service)
    service.hold()
    old = [Scraping(s, target(i, 3)) for i in range(3)]
    service.wait_requested(1)
    waiting(s, 3)
    config(f"[endpoint app]\nupstream = {service.url}\nmax_age = 1h\n[rules]\ndrop = .*\n")
    s.process.send_signal(signal.SIGHUP)
    s.wait_line("msg=reloaded")
    new = Scraping(s)
    service.wait_requested(2)
    service.go_on()
    check_whole([scrape.result() for scrape in old])
    assert new.result()[2] == b""
    assert s.get()[2] == b"" and len(service.heads) == 2


def test_sigterm_in_the_middle(service, snapshots):
    s = snapshots(service)
    service.hold()
    scrapes = [Scraping(s, target(i, 10)) for i in range(10)]
    waiting(s, 10)
    idle = s.connect()
    s.process.send_signal(signal.SIGTERM)
    s.wait_line("shutting down")
    service.go_on()
    check_whole([scrape.result() for scrape in scrapes])
    idle.close()
    assert s.process.wait(20 * SLOW) == 0


def test_second_sigterm_in_the_middle(service, snapshots):
    s = snapshots(service)
    service.hold()
    scrapes = [Scraping(s, target(i, 10)) for i in range(10)]
    waiting(s, 10)
    s.process.send_signal(signal.SIGTERM)
    s.wait_line("shutting down")
    s.process.send_signal(signal.SIGTERM)
    assert all(isinstance(scrape.result(), Exception) for scrape in scrapes)
    s.process.wait(20 * SLOW)


def test_exit_while_a_reader_holds_one(upstream, snapshots):
    s = snapshots(Service(upstream, body=LARGE), "timeout = 60s")
    slow = send_request(s)
    wait_until(lambda: s.count("msg=snapshot"), "no snapshot is logged")
    s.process.send_signal(signal.SIGTERM)
    s.wait_line("shutting down")
    s.process.send_signal(signal.SIGTERM)
    s.process.wait(20 * SLOW)
    slow.close()


# A real Prometheus.


@pytest.fixture
def prometheus(tmp_path):
    started = []

    def start(jobs, *flags):
        p = Prometheus(tmp_path / f"prometheus-{len(started)}", jobs, *flags, global_settings=CALM)
        started.append(p)
        p.wait_ready()
        return p
    yield start
    assert [p.stop() for p in started] == [0] * len(started)


def test_prometheus(prometheus, upstream, snapshots):
    """The jobs of five servers: about one request per max_age, and the union is exact."""
    count, max_age, times = itertools.count(1), round(1400 * SLOW), []

    def serve(service, connection):
        while service.read_request(connection):
            times.append(time.monotonic())
            connection.sendall(answer(BODY + b"requested_total %d\n" % next(count)))
    s = snapshots(upstream(serve), max_age=f"{max_age}ms")
    p = prometheus(shard_jobs("service", s.port, 5))
    p.wait_scrapes(5)
    assert all(set(up) == {1} for up in p.ups().values()) and p.complaints() == []
    scraped = sum(len(up) for up in p.ups().values())
    # How many share a request depends on when Prometheus scrapes whom. The first request may be noticed late.
    requested, seconds = len(times), time.monotonic() - times[0]
    assert 1 < requested <= seconds * 1000 / max_age + 2 and requested < scraped
    parts = [p.series(f"service-{i}") for i in range(5)]
    assert sum(map(len, parts)) == len({key for part in parts for key in part}) == BODY.count(b"{") + 1


# timestamps = snapshot.


TIMESTAMPED = [
    (b"up 1\n", b"up 1 @\n"), (b"up 1", b"up 1 @"), (b"up 1 17\n", b"up 1 17\n"), (b"up{} 1 -17\n", b"up{} 1 -17\n"),
    (b"# HELP up 1\n", b"# HELP up 1\n"), (b"\n  \n", b"\n  \n"), (b"# EOF\n", b"# EOF\n"),
    (b'a{x="1\n2",y="} 3"} 4\n', b'a{x="1\n2",y="} 3"} 4 @\n'), (b'a{x="\\"\n"} 4\nb 5', b'a{x="\\"\n"} 4 @\nb 5 @'),
    (b'a{x=" # {"}4\n', b'a{x=" # {"}4 @\n'), (b"  a\t+Inf  \n", b"  a\t+Inf @  \n"),
    (b'{"a.b",c="d"} 1e5\n', b'{"a.b",c="d"} 1e5 @\n'), (b'# TYPE "a\n" gauge\na{} NaN\n', b'# TYPE "a\n" gauge\na{} NaN @\n'),
    (b'a { b = "c" , } 1\n', b'a { b = "c" , } 1 @\n'), (b"up 1\r\n", b"up 1\r\n"),
]
OM_TIMESTAMPED = [
    (b"a 1\n", b"a 1 @\n"), (b"a 1 1.5\n", b"a 1 1.5\n"), (b'a{x="1"} 1 # {t="}"} 2 3\n', b'a{x="1"} 1 @ # {t="}"} 2 3\n'),
    (b'a_total 1 7 # {} 2\n', b'a_total 1 7 # {} 2\n'), (b'a{x=" # {"} 1\n', b'a{x=" # {"} 1 @\n'),
    (b'# HELP a 1\n', b'# HELP a 1\n'), (b"h {count:1,sum:2}\n", b"h {count:1,sum:2}\n"),
]

OPENMETRICS2 = "application/openmetrics-text; version=2.0.0; charset=utf-8"
OM2_TIMESTAMPED = [
    (b'c_total{x=" st@1"} 1 st@1.5 # {t="}"} 2 3 # {} 4 5\n', b'c_total{x=" st@1"} 1 @ st@1.5 # {t="}"} 2 3 # {} 4 5\n'),
    (b"h {count:1,sum:2,bucket:[+Inf:1]} st@1\nh {count:1,sum:2} 17 st@1\n",
     b"h {count:1,sum:2,bucket:[+Inf:1]} @ st@1\nh {count:1,sum:2} 17 st@1\n"),
]


def in_time(headers, decimals):
    found = re.fullmatch(r"(.*)\.(\d{3})Z", headers["Scrapeshard-Snapshot"])
    seconds = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    return f"{seconds}.{found[2]}".encode() if decimals else f"{seconds}{found[2]}".encode()


def byte_by_byte(response):
    """Sends the response in pieces of one byte."""
    def serve(service, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while service.read_request(connection):
            for i in range(len(response)):
                connection.sendall(response[i:i + 1])
    return serve


@pytest.mark.parametrize("serve", [answering, byte_by_byte])
@pytest.mark.parametrize("before, after, content_type",
                         [(*case, TEXT) for case in TIMESTAMPED] + [(b"a 1\n# EOF\n", b"a 1\n# EOF\n", "application/x")] +
                         [(a + b"# EOF\n", b + b"# EOF\n", OPENMETRICS) for a, b in OM_TIMESTAMPED] +
                         [(a + b"# EOF\n", b + b"# EOF\n", OPENMETRICS2) for a, b in OM2_TIMESTAMPED] +
                         [(b"a 1\n# EOF", b"a 1 @\n# EOF", OPENMETRICS)])
def test_timestamped_text(upstream, snapshots, serve, before, after, content_type):
    s = snapshots(upstream(serve(answer(before, content_type))), "timestamps = snapshot")
    status, headers, body = s.get()
    assert status == 200, body
    assert body == re.sub(b"(?<!st)@", in_time(headers, content_type in (OPENMETRICS, OPENMETRICS2)), after)


def test_timestamped_shards(service, snapshots):
    s = snapshots(service, "timestamps = snapshot")
    headers = s.get()[1]
    suffix = b" " + in_time(headers, False)
    expected = b"".join(line if line.startswith(b"#") else line[:-1] + suffix + b"\n" for line in BODY.splitlines(True))
    check_whole([s.get(target(i, 7)) for i in range(7)], expected)


def metric_time(metric):
    return dict(read_fields(metric)).get(6)


def by_name(body):
    return {name: fields for name, _, fields in messages(body)}


def test_timestamped_protobuf(upstream, snapshots):
    large = gauge_family("large", {str(i): i for i in range(30000)})
    with_time = delimited(field(1, "timed"), field(2, "Help."), field(3, 1),
                          field(4, labels(id="a") + field(2, field(1, 1.0)) + field(6, 17)),
                          field(4, field(2, field(1, 2.0)) + labels(id="b")))
    body = PROTOBUF_BODY + with_time + large + delimited(field(2, "nothing"), field(1, "empty"))
    s = snapshots(Service(upstream, body=body, content_type=PROTOBUF), "timestamps = snapshot")
    parts = []
    for i in range(3):
        status, headers, part = s.get(target(i, 3))
        assert status == 200, part
        parts.append(part)
    now = int(in_time(headers, False))
    got, expected = by_name(b"".join(parts)), by_name(body)
    assert set(got) == set(expected)
    for name, fields in expected.items():
        assert [(n, v) for n, v in got[name] if n != 4] == [(n, v) for n, v in fields if n != 4]
        for (_, metric), (_, timestamped) in zip([f for f in fields if f[0] == 4], [f for f in got[name] if f[0] == 4],
                                             strict=True):
            if metric_time(metric) is None:
                assert timestamped.startswith(metric) and metric_time(timestamped) == now
            else:
                assert timestamped == metric


WRONG = {
    "html": (b"<html>\n", TEXT), "quoted": (b'a{x="1\n', TEXT), "no marker": (b"a 1\n", OPENMETRICS),
    "truncated": (PROTOBUF_BODY[:-1], PROTOBUF), "a length": (b"\xff" * 6, PROTOBUF), "a field": (b"\5\x22\x09abc", PROTOBUF),
    "a long line": (b"a" * 5000 + b" 1\n", TEXT), "a long comment": (b"a 1\n" * 10 + b"#" * 5000, TEXT),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_fails_without_timestamps_fails_with_them(upstream, snapshots, name):
    body, content_type = WRONG[name]
    s = snapshots(Service(upstream, body=body, content_type=content_type), "timestamps = snapshot", "max_line = 4KiB")
    for i in range(3):
        assert s.get(target(i, 3))[0] == 502


def test_timestamped_close_in_a_line(upstream, snapshots):
    """A line may still be held back; that must not make a truncated body whole."""
    def serve(service, connection):
        service.read_request(connection)
        connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {TEXT}\r\n\r\nup 1\nfoo 12".encode())
    assert snapshots(upstream(serve), "timestamps = snapshot").get()[0] == 502


def test_prometheus_accepts_the_timestamps(prometheus, upstream, snapshots):
    early = int((time.time() - 60) * 1000)
    bodies = [(BODY + b"early_seconds 1 %d\n" % early, TEXT),
              (b'# TYPE a gauge\na 1\n# TYPE b counter\nb_total 1 # {trace_id="x"} 1\n# EOF\n', OPENMETRICS)]
    for content, content_type in bodies:
        service = Service(upstream, body=content, content_type=content_type)
        s = snapshots(service, "timestamps = snapshot", max_age=f"{round(1400 * SLOW)}ms")
        p = prometheus(shard_jobs("service", s.port, 3))
        p.wait_scrapes(4)
        assert all(set(up) == {1} for up in p.ups().values()) and p.complaints() == []
        # Without the timestamps, each job's samples would have times of their own.
        times = {when for result in p.query('{__name__=~"family_.*|a|b_total"}[1h]') for when, _ in result["values"]}
        assert 1 < len(times) <= len(service.heads) < sum(map(len, p.ups().values()))
        if content_type == TEXT:
            assert p.query("early_seconds[1h]")[0]["values"] == [[early / 1000, "1"]]
