# SPDX-License-Identifier: Apache-2.0
"""The scraper's side: connections, methods, headers, and scrapers that are slow, gone, or worse."""
import hashlib
import http.client
import pathlib
import re
import socket
import struct
import threading
import time

import pytest

from conftest import SLOW, TEXT, answer, answering, stands_still, wait_until
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\nhttp_requests_total 2\n"
LARGE = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(20000))
MIB = 1 << 20
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def chunk(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


LAST_CHUNK = b"0\r\n\r\n"


class Client:
    """One connection to the scrape listener, for raw HTTP."""

    def __init__(self, sidecar):
        self.socket = sidecar.connect()
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()

    def send(self, target="/metrics", method="GET", version="1.1", headers=(), body=b""):
        lines = [f"{method} {target} HTTP/{version}", "Host: sidecar", *headers]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def read(self, method="GET"):
        """(status, headers, body) of one response; what follows it is left for the next."""
        line = self.file.readline().decode()
        assert re.match(r"HTTP/1\.[01] \d{3} ", line), f"no status line: {line!r}"
        headers = http.client.parse_headers(self.file)
        status = int(line.split()[1])
        if method == "HEAD" or status == 204:
            return status, headers, b""
        if headers["Transfer-Encoding"] == "chunked":
            return status, headers, b"".join(self._chunks())
        if headers["Content-Length"] is None:
            return status, headers, self.file.read()
        body = self.file.read(int(headers["Content-Length"]))
        assert len(body) == int(headers["Content-Length"])
        return status, headers, body

    def _chunks(self):
        while True:
            size = int(self.file.readline(), 16)
            piece = self.file.read(size)
            assert len(piece) == size and self.file.readline() == b"\r\n"
            if not size:
                return
            yield piece

    def scrape(self, *args, **options):
        self.send(*args, **options)
        return self.read(options.get("method", "GET"))

    def at_end(self):
        """Whether the other side has closed after what was read."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


@pytest.fixture
def client(sidecar):
    """client(url, *flags): a sidecar and a connection to it."""
    clients = []

    def start(*args):
        s = sidecar(*args)
        clients.append(Client(s))
        return s, clients[-1]
    yield start
    for c in clients:
        c.close()


def header_lines(request):
    """The request line and the headers of a request that the upstream got."""
    line, *headers = request.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    return line, [tuple(h.split(": ", 1)) if ": " in h else (h.rstrip(":"), "") for h in headers]


def header_values(request, name):
    return [v for k, v in header_lines(request)[1] if k.lower() == name.lower()]


# Connections.


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_keep_alive(client, upstream, body):
    s, c = client(upstream(answering(answer(body))).url)
    for _ in range(20):
        status, headers, got = c.scrape()
        assert (status, got) == (200, body)
        assert (headers["Connection"] or "").lower() != "close"


def test_thousand_scrapes_open_one_upstream_connection(client, upstream):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    for i in range(1000):
        assert c.scrape(f"/metrics?shard={i % 8}&shard_count=8")[0] == 200
    assert (u.connections, len(u.requests)) == (1, 1000)


def test_each_of_many_endpoints_keeps_its_connection(sidecar, upstream):
    """However few of them are scraped at the same time."""
    services = [upstream(answering(answer(b"of_service %d\n" % i))) for i in range(12)]
    flags = [f"--set=endpoint.n{i}.{setting}" for i, u in enumerate(services)
             for setting in (f"upstream={u.url}", f"path=/{i}")]
    s = sidecar(None, *flags)
    with Client(s) as c:
        for _ in range(3):
            for i in range(len(services)):
                assert c.scrape(f"/{i}")[2] == b"of_service %d\n" % i
    assert [u.connections for u in services] == [1] * len(services)


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"], ["Connection: close"],
                                     ["Connection: keep-alive"] * 2, ["Connection: close", "Connection: keep-alive"]],
                         ids=["plain", "keep-alive", "close", "keep-alive twice", "close and keep-alive"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_versions(sidecar, upstream, body, headers, version):
    """The whole body arrives, with a length, or delimited by the close."""
    s = sidecar(upstream(answering(answer(body))).url)
    with Client(s) as c:
        status, got_headers, got = c.scrape(version=version, headers=headers)
        assert (status, got) == (200, body)
        if version == "1.0":
            assert "Transfer-Encoding" not in got_headers
            assert int(got_headers["Content-Length"] or len(body)) == len(body)
        if version == "1.1" and not headers:
            assert c.scrape()[2] == body
        elif version == "1.0" and (got_headers["Connection"] or "").lower() == "keep-alive":
            assert headers[0] == "Connection: keep-alive"
            assert c.scrape(version=version, headers=headers)[2] == body
        elif headers[:1] != ["Connection: keep-alive"]:
            assert c.at_end()


def test_pipelined(client, upstream):
    """Responses come in the order of the requests, and none is lost."""
    def serve(u, connection):
        while request := u.read_request(connection):
            n = int(re.search(rb"n=(\d+)", request)[1])
            connection.sendall(answer(b"up %d\n" % n + (LARGE if n % 5 == 0 else b"")))
    s, c = client(upstream(serve).url)
    c.socket.sendall(b"".join(b"GET /metrics?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(40)))
    for i in range(40):
        status, _, body = c.read()
        assert status == 200 and body.startswith(b"up %d\n" % i)
        assert len(body) < 100 or body.endswith(LARGE)


def test_request_in_pieces(client, upstream):
    s, c = client(upstream(answering(answer(BODY))).url)
    for byte in b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n":
        c.socket.sendall(bytes([byte]))
    assert c.read()[2] == BODY


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_head_has_no_body(client, upstream, body):
    u = upstream(answering(answer(body)))
    s, c = client(u.url)
    for _ in range(3):
        status, headers, _ = c.scrape(method="HEAD")
        assert (status, headers["Content-Type"]) == (200, TEXT)
        assert headers["Content-Length"] in (None, str(len(body)))
    assert c.scrape()[2] == body
    assert c.scrape("/nowhere", method="HEAD")[0] == 404
    assert c.scrape("/metrics?shard=1", method="HEAD")[0] == 400
    assert c.scrape()[2] == body
    assert u.connections == 1


def test_head_of_an_error(client, upstream):
    answers = {b"a": answer(b"no\n", status="500 Oops"), b"b": answer(b"<html>\n"), b"c": answer(BODY)}

    def serve(u, connection):
        while request := u.read_request(connection):
            connection.sendall(answers[re.search(rb"\?(.)", request)[1]])
    s, c = client(upstream(serve).url)
    assert c.scrape("/metrics?a", method="HEAD")[0] == 500
    status, headers, _ = c.scrape("/metrics?b", method="HEAD")
    assert (status, headers["Content-Type"]) == (502, "text/plain; charset=utf-8")
    assert c.scrape("/metrics?c")[2] == BODY


@pytest.mark.parametrize("target", ["/", "/metric", "/metrics/", "/METRICS", "//metrics", "/%6detrics", "/a?/metrics"])
def test_not_found_names_what_is_there(client, upstream, target):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    status, headers, body = c.scrape(target)
    assert status == 404 and headers["Content-Type"].startswith("text/plain")
    assert b" /metrics" in body.rpartition(b"the endpoints are:")[2], body
    assert c.scrape()[2] == BODY
    assert len(u.requests) == 1


@pytest.mark.parametrize("listener", ["web", "admin"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("target", ["example.com:443", "[::1]:443", "/metrics", "http://example.com/metrics"])
def test_connect_is_answered_and_closed(sidecar, upstream, target, version, listener):
    """What follows it is meant for the host it names: nothing on that connection is a request."""
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url)
    port = s.port if listener == "web" else s.admin_port
    with socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW) as raw, raw.makefile("rb") as file:
        raw.sendall(f"CONNECT {target} HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.[01] 405 ", file.readline())
        headers = http.client.parse_headers(file)
        assert headers["Connection"] == "close" and "GET" in headers["Allow"]
        assert b"not a proxy" in file.read()  # and the end
    assert not u.requests and s.get()[2] == BODY


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_wrong_method(client, upstream, method):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    status, headers, body = c.scrape(method=method, headers=["Content-Length: 0"])
    assert status == 405 and set(re.split(", *", headers["Allow"])) == {"GET", "HEAD"}
    assert body
    assert c.scrape()[2] == BODY
    assert len(u.requests) == 1


def test_unknown_method_harms_nothing(client, upstream):
    s, c = client(upstream(answering(answer(BODY))).url)
    c.send(method="SCRAPE")
    assert 400 <= c.read()[0] <= 501
    assert s.get()[2] == BODY


def test_absolute_form(client, upstream):
    """As sent to a proxy; the host it names is not contacted."""
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape("http://elsewhere.example:1/metrics?a=b")[::2] == (200, BODY)
    assert header_lines(u.requests[0])[0] == "GET /metrics?a=b HTTP/1.1"
    with Client(s) as other:
        assert other.scrape("http://elsewhere.example/other")[0] == 404


@pytest.mark.parametrize("extra", [
    ["X-Long: " + "x" * 9000],
    [f"X-{i}: {'x' * 80}" for i in range(120)],
], ids=["one header", "many headers"])
def test_head_too_large(client, upstream, extra):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    c.send(headers=extra)
    assert 400 <= c.read()[0] < 500
    assert not u.requests
    assert s.get()[2] == BODY


def test_head_without_an_end(client, upstream):
    """Neither memory nor time is spent on it."""
    s, c = client(upstream(answering(answer(BODY))).url)
    c.socket.settimeout(5 * SLOW)
    with pytest.raises((ConnectionError, TimeoutError)):
        for _ in range(200):
            c.socket.sendall(b"GET /metrics HTTP/1.1\r\nX-Long: " + b"x" * 100000)
    assert_small(s, 8 * MIB)
    assert s.get()[2] == BODY


def test_target_too_long(client, upstream):
    s, c = client(upstream(answering(answer(BODY))).url)
    c.send("/metrics?" + "x" * 9000)
    assert 400 <= c.read()[0] < 500
    assert s.get()[2] == BODY


@pytest.mark.parametrize("size", [1, 1000, 8000])
@pytest.mark.parametrize("lengths", [1, 2])
def test_request_with_a_body(client, upstream, size, lengths):
    """It is read, discarded, and not taken for the next request."""
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    for _ in range(2):
        assert c.scrape(headers=[f"Content-Length: {size}"] * lengths, body=b"G" * size)[::2] == (200, BODY)
    for request in u.requests:
        assert not header_values(request, "Content-Length") and request.endswith(b"\r\n\r\n")


def test_request_with_a_large_body(client, upstream):
    s, c = client(upstream(answering(answer(BODY))).url)
    c.send(headers=["Content-Length: 100000000"])
    assert c.read()[0] == 413
    assert s.get()[2] == BODY


SMUGGLED = b"GET /metrics?smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("head", [
    b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: gzip\r\n",
    b"GET /metrics HTTP/1.1\r\nContent-Length : %d\r\n" % len(SMUGGLED),
    b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: %d\r\n" % len(SMUGGLED),
    b"GET /metrics HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED),
    b"GET /metrics HTTP/1.1\r\nContent-Length: %d\r\ncontent-length: 0\r\n" % len(SMUGGLED),
    b"HEAD /metrics HTTP/1.1\r\nContent-Length: %d\r\n" % len(SMUGGLED),
    b"CONNECT a:1 HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED),
], ids=["chunked", "encoding", "blank before the colon", "two lengths", "none and a length", "a length and none", "HEAD",
        "CONNECT"])
def test_no_request_is_smuggled(client, upstream, head):
    """What others may take for the body of a request is not taken for the next one."""
    u = upstream(answering(answer(BODY)))
    _, c = client(u.url)
    c.socket.sendall(head + b"Host: a\r\n\r\n" + SMUGGLED)
    try:
        got = c.file.read()
    except ConnectionError:
        got = b""
    assert got.count(b"HTTP/1.1 ") <= 1 and (not got or got.startswith(b"HTTP/1.1 4")), got
    assert not u.requests


@pytest.mark.parametrize("junk", [
    b"\r\n\r\n\r\n", b"\0" * 100, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"GET\r\n\r\n", b"GET /metrics\r\n\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n", b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", b"GET  /metrics  HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET * HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /metrics?a=\xff\x01 HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])
def test_junk_harms_nothing(client, upstream, junk):
    s, c = client(upstream(answering(answer(BODY))).url)
    c.socket.sendall(junk)
    c.socket.shutdown(socket.SHUT_WR)
    try:
        while c.file.read(4096):
            pass
    except ConnectionError:
        pass
    assert s.get()[::2] == (200, BODY)


# A scraper that leaves.


class Watched:
    """An upstream that records how much it sent, and whether the sidecar has closed the connection."""

    def __init__(self, *steps, endless=False):
        self.steps, self.endless = steps, endless
        self.asked, self.left = threading.Event(), threading.Event()
        self.sent = 0

    def __call__(self, upstream, connection):
        if b"healthy" in upstream.read_request(connection):
            connection.sendall(answer(BODY))
            return
        self.asked.set()
        try:
            for step in self.steps:
                connection.sendall(step)
            while self.endless:
                self.sent += connection.send(chunk(LARGE))
            connection.settimeout(30 * SLOW)
            while connection.recv(4096):
                pass
        except TimeoutError:
            return
        except ConnectionError:
            pass
        self.left.set()


PHASES = [
    # name, upstream, what the scraper reads before it leaves, what the upstream does meanwhile
    ("before the head", lambda: Watched(), 0),
    ("in the head", lambda: Watched(b"HTTP/1.1 200 OK\r\nContent-"), 0),
    ("while held", lambda: Watched(HEAD + chunk(BODY)), 0),
    ("while streaming", lambda: Watched(HEAD + chunk(LARGE)), 100000),
    ("while paused", lambda: Watched(HEAD, endless=True), 0),
    ("while read", lambda: Watched(HEAD, endless=True), 3000000),
]


def leaves(sidecar, upstream, service, reads, reset, *flags, **options):
    """A scraper sends a request, reads some bytes, and leaves: (upstream, sidecar)."""
    watched = service()
    s = sidecar(upstream(watched).url, "--set", "endpoint.default.max_body=100GiB", *flags, **options)
    c = Client(s)
    c.send()
    assert watched.asked.wait(10 * SLOW)
    if reads:
        assert len(c.file.read(reads)) == reads
    elif watched.endless:
        wait_until(lambda: watched.sent and stands_still(lambda: watched.sent), "the upstream is not held back")
    c.close(reset)
    return watched, s


LEAVING = [(*phase[1:], how, f"{phase[0]}-{how}") for how in ("reset", "close", "unix")
           for phase in PHASES[3 if how == "close" else 0:]]


@pytest.mark.parametrize("service, reads, how", [case[:3] for case in LEAVING], ids=[case[3] for case in LEAVING])
def test_client_leaves(sidecar, upstream, tmp_path, service, reads, how):
    """The upstream is not kept busy for nothing; its connection ends long before the scrape's deadline. Over TCP a close
    shows only by the reset that follows sent bytes; before that it looks like a shutdown of the sending side."""
    watched, s = leaves(sidecar, upstream, service, reads, how == "reset", "--set", "endpoint.default.timeout=15s",
                        listen=f"unix:{tmp_path}/s" if how == "unix" else "127.0.0.1:0")
    wait_until(watched.left.is_set, "the upstream still has its connection", 5)
    wait_until(lambda: s.find("msg=scrape .*outcome=client_gone"), "no log line")
    assert s.count("msg=scrape") == 1
    with Client(s) as other:
        assert other.scrape("/metrics?healthy")[2] == BODY


@pytest.mark.parametrize("service, reads", [p[1:] for p in PHASES[:3]], ids=[p[0] for p in PHASES[:3]])
def test_client_closes_before_a_byte_was_sent(sidecar, upstream, service, reads):
    """It looks like a scraper that waits for its response: the deadline limits what that costs the upstream."""
    watched, s = leaves(sidecar, upstream, service, reads, False, "--set", f"endpoint.default.timeout={2 * SLOW:.0f}s")
    wait_until(watched.left.is_set, "the upstream still has its connection", 5)
    s.wait_line("msg=scrape .*outcome=timeout")
    assert s.count("msg=scrape") == 1
    assert s.get("/metrics?healthy")[2] == BODY


HALVES = {
    # the upstream's response, what the scraper requests, the status
    "small": (answer(BODY), {}, 200),
    "large": (answer(LARGE), {}, 200),
    "a shard": (answer(BODY + LARGE), {"target": "/metrics?shard=0-3&shard_count=4"}, 200),
    "HEAD": (answer(BODY), {"method": "HEAD"}, 200),
    "HTTP/1.0": (answer(BODY), {"version": "1.0"}, 200),
    "a failure": (answer(b"no\n", status="500 Oops"), {}, 500),
    "no exposition": (answer(b"<html>\n"), {}, 502),
    "bad parameters": (answer(BODY), {"target": "/metrics?shard=9"}, 400),
    "nothing there": (answer(BODY), {"target": "/nowhere"}, 404),
}


@pytest.mark.parametrize("max_age", ["0s", "1m"])
@pytest.mark.parametrize("listen", ["tcp", "unix"])
@pytest.mark.parametrize("when", ["with the request", "while waiting"])
@pytest.mark.parametrize("reply, asked, status", HALVES.values(), ids=HALVES)
def test_client_that_shuts_its_sending_side(sidecar, upstream, tmp_path, reply, asked, status, when, listen, max_age):
    """It still waits for the response, and gets it."""
    go_on = threading.Event()

    def serve(u, connection):
        while u.read_request(connection):
            go_on.wait(20 * SLOW)
            connection.sendall(reply)
    s = sidecar(upstream(serve).url, f"--set=endpoint.default.max_age={max_age}",
                listen=f"unix:{tmp_path}/s" if listen == "unix" else "127.0.0.1:0")
    with Client(s) as c:
        c.send(**asked)
        if when == "while waiting" and status not in (400, 404):
            wait_until(lambda: b"scrapeshard_scrapes_in_flight 1\n" in s.admin("/metrics")[2], "the scrape has not started")
        c.socket.shutdown(socket.SHUT_WR)
        assert s.admin("/-/healthy")[0] == 200
        go_on.set()
        got = c.read(asked.get("method", "GET"))
        assert got[0] == status
        assert status != 200 or asked.get("method") or got[2] == reply.partition(b"\r\n\r\n")[2]
        assert c.at_end()
    wait_until(lambda: s.admin("/-/healthy")[0] == 200, "the sidecar is gone")
    assert not s.find("client_gone")


def test_client_that_shuts_its_sending_side_reads_slowly(sidecar, upstream):
    """The response is sent in many chunks, and none of them is lost."""
    large = LARGE * 20
    s = sidecar(upstream(answering(answer(large))).url)
    with Client(s) as c:
        c.send()
        assert c.file.read(1) == b"H"
        c.socket.shutdown(socket.SHUT_WR)
        assert s.admin("/-/healthy")[0] == 200
        assert (c.file.readline(), http.client.parse_headers(c.file)["Transfer-Encoding"]) == \
            (b"TTP/1.1 200 OK\r\n", "chunked")
        assert b"".join(c._chunks()) == large and c.at_end()
    s.wait_line("msg=scrape .*outcome=ok")


def test_client_that_shuts_its_sending_side_after_several_requests(sidecar, upstream):
    s = sidecar(upstream(answering(answer(BODY))).url)
    with Client(s) as c:
        c.socket.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 5)
        c.socket.shutdown(socket.SHUT_WR)
        for _ in range(5):
            assert c.read()[::2] == (200, BODY)
        assert c.at_end()


def test_client_that_resets_after_it_shut_its_sending_side(sidecar, upstream):
    watched = Watched()
    s = sidecar(upstream(watched).url, "--set", "endpoint.default.timeout=60s")
    c = Client(s)
    c.send()
    assert watched.asked.wait(10 * SLOW)
    c.socket.shutdown(socket.SHUT_WR)
    assert s.admin("/-/healthy")[0] == 200 and not s.find("msg=scrape")
    c.close(reset=True)
    wait_until(watched.left.is_set, "the upstream still has its connection", 5)
    s.wait_line("msg=scrape .*outcome=client_gone")


def test_client_leaves_while_waiting_for_a_connection(sidecar, upstream):
    """All upstream connections that one address may have are in use; a scrape that leaves the queue causes no request."""
    go_on = threading.Event()

    def serve(u, connection):
        while u.read_request(connection):
            go_on.wait(20 * SLOW)
            connection.sendall(answer(BODY))
    u = upstream(serve)
    s = sidecar(u.url, "--set", "endpoint.default.timeout=60s")
    first = [Client(s) for _ in range(7)]
    for c in first:
        c.send()
    wait_until(lambda: len(u.requests) == 7, "not all requests arrive")
    late = Client(s)
    late.send("/metrics?late")
    wait_until(lambda: s.admin("/-/healthy")[0] == 200, "the event loop is stuck")
    late.close(reset=True)
    wait_until(lambda: s.find("outcome=client_gone"), "the scraper that left is not noticed")
    go_on.set()
    for c in first:
        assert c.read()[2] == BODY
        c.close()
    assert not [r for r in u.requests if b"late" in r]


# A scraper that sends what it should not.


def assert_small(sidecar, most, field="RssAnon"):
    """Sanitizers keep memory of their own: what is not measured is not asserted."""
    if SLOW == 1:
        assert sidecar.memory(field) < most


JUNK = [b"x", b"\r\n", b"\0", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"]


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("service, reads", [p[1:] for p in PHASES[:4]], ids=[p[0] for p in PHASES[:4]])
def test_byte_before_the_end(sidecar, upstream, service, reads, junk):
    """evhttp would abort the process for a byte that it does not expect."""
    watched = service()
    s = sidecar(upstream(watched).url)
    c = Client(s)
    c.send()
    assert watched.asked.wait(10 * SLOW)
    c.file.read(reads)
    for _ in range(3):
        c.socket.sendall(junk)
        assert s.admin("/-/healthy")[0] == 200
    c.close(reset=True)
    wait_until(watched.left.is_set, "the upstream still has its connection")
    assert s.get("/metrics?healthy")[2] == BODY


@pytest.mark.parametrize("junk", [b"x" * 100000, b"x" * 1000, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 2500],
                         ids=["garbage", "small garbage", "requests"])
@pytest.mark.parametrize("service, reads", [PHASES[0][1:], PHASES[2][1:], PHASES[3][1:]],
                         ids=[PHASES[0][0], PHASES[2][0], PHASES[3][0]])
def test_flood_while_the_reply_is_on_its_way(sidecar, upstream, service, reads, junk):
    """50 MB are sent, or as many as the sidecar takes: nothing is kept, and the connection is aborted."""
    watched = service()
    s = sidecar(upstream(watched).url)
    c = Client(s)
    c.send()
    assert watched.asked.wait(10 * SLOW)
    c.file.read(reads)
    c.socket.settimeout(1 * SLOW)
    try:
        for _ in range(50000000 // len(junk)):
            c.socket.sendall(junk)
    except (ConnectionError, TimeoutError):
        pass
    assert s.admin("/-/healthy")[0] == 200
    assert_small(s, 8 * MIB)
    wait_until(watched.left.is_set, "the upstream still has its connection", 5)
    c.close(reset=True)
    assert s.get("/metrics?healthy")[2] == BODY


def test_byte_that_waits_spins_nothing(sidecar, upstream, tmp_path):
    """It stays readable until the response is sent."""
    watched, steer = Watched(), Steer(tmp_path / "steer")
    s = sidecar(upstream(watched).url, "--set", "endpoint.default.timeout=60s", env=steer.environment)
    with Client(s) as c:
        c.send()
        assert watched.asked.wait(10 * SLOW)
        c.socket.sendall(b"x")
        assert s.admin("/-/healthy")[0] == 200
        before = steer.turns()
        assert before, "nothing is counted"
        time.sleep(0.5)
        assert steer.turns() - before < 20, "it spins"
        c.close(reset=True)


@pytest.mark.parametrize("service, reads", [PHASES[0][1:], PHASES[3][1:]], ids=[PHASES[0][0], PHASES[3][0]])
def test_trickle_while_the_reply_is_on_its_way(sidecar, upstream, service, reads):
    """A flood that is never long in the kernel's buffers: little of it is read, then the connection is aborted."""
    watched = service()
    s = sidecar(upstream(watched).url, "--set", "endpoint.default.timeout=1h")
    with Client(s) as c:
        c.send()
        assert watched.asked.wait(10 * SLOW)
        c.file.read(reads)
        with pytest.raises(ConnectionError):
            for _ in range(256):
                c.socket.sendall(b"X" * 4096)
                assert s.admin("/-/healthy")[0] == 200  # what came has been read, if it is read at all
        wait_until(watched.left.is_set, "the upstream still has its connection")


def test_flood_of_pipelined_requests_while_streaming(sidecar, upstream):
    """Requests after one whose response is streaming wait in the kernel."""
    watched = Watched(HEAD, endless=True)
    s = sidecar(upstream(watched).url, "--set", "endpoint.default.max_body=100GiB")
    with Client(s) as c:
        c.send()
        c.file.read(100000)
        stop = threading.Event()

        def flood():
            c.socket.settimeout(0.2)
            while not stop.is_set():
                try:
                    c.socket.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
                except TimeoutError:
                    continue
                except OSError:
                    return
        thread = threading.Thread(target=flood)
        thread.start()
        for _ in range(100):
            try:
                c.file.read(100000)
            except (OSError, TimeoutError):
                break
        stop.set()
        thread.join()
        assert_small(s, 8 * MIB)
    assert s.get("/metrics?healthy")[2] == BODY


# A slow scraper.


def kernel_buffers():
    """The most bytes that the kernel keeps of a TCP connection, of what is to be sent and of what is to be read."""
    return sum(int(pathlib.Path(f"/proc/sys/net/ipv4/{name}").read_text().split()[2]) for name in ("tcp_wmem", "tcp_rmem"))


def test_slow_reader_holds_the_upstream_back(sidecar, upstream):
    """A slow reader costs no memory and gets the whole body."""
    in_kernel = 2 * kernel_buffers()  # of the service's connection and of the scraper's
    pieces, sent, hashed = 128 + in_kernel // MIB, [0], hashlib.sha256()
    block = (b'requests_total{path="/shop/%08d"} 1\n' * 30000)[:MIB].rpartition(b"\n")[0] + b"\n"

    def serve(u, connection):
        u.read_request(connection)
        connection.sendall(HEAD)
        for i in range(pieces):
            piece = b"# %d\n" % i + block
            hashed.update(piece)
            connection.sendall(chunk(piece))
            sent[0] += len(piece)
        connection.sendall(LAST_CHUNK)
    s = sidecar(upstream(serve).url, "--set", "endpoint.default.timeout=120s")

    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        response = http.client.HTTPResponse(raw)
        response.begin()
        got, total = hashlib.sha256(), 0
        # Stops at the beginning, and once more in the middle, until nothing moves.
        for stop in (MIB, 100 * MIB):
            while total < stop:
                piece = response.read(65536)
                got.update(piece)
                total += len(piece)
                if total % (16 * MIB) < 65536:
                    assert_small(s, 4 * MIB)
            wait_until(lambda: stands_still(lambda: sent[0]), "the upstream is not held back")
            assert sent[0] < total + in_kernel + 4 * MIB, "the body is buffered outside the kernel"
            assert_small(s, 4 * MIB)
        while piece := response.read(MIB):
            got.update(piece)
            total += len(piece)
        assert_small(s, 4 * MIB)
    assert got.hexdigest() == hashed.hexdigest()
    assert total == sent[0] > (pieces - 1) * MIB


def test_slow_reader_does_not_slow_others(sidecar, upstream):
    watched = Watched(HEAD, endless=True)
    s = sidecar(upstream(watched).url, "--set", "endpoint.default.max_body=100GiB")
    with Client(s) as slow:
        slow.send()
        wait_until(lambda: watched.sent and stands_still(lambda: watched.sent), "the upstream is not held back")
        for _ in range(10):
            assert s.get("/metrics?healthy")[2] == BODY
        assert s.admin("/-/healthy")[0] == 200


def test_reader_that_never_reads_meets_the_deadline(sidecar, upstream):
    watched = Watched(HEAD, endless=True)
    # Long enough for some MB, which fill the buffers of the kernel: before that the service is what is waited for.
    s = sidecar(upstream(watched).url, "--set", f"endpoint.default.timeout={4000 * SLOW:.0f}ms",
                "--set", "endpoint.default.max_body=100GiB")
    with Client(s) as c:
        c.send()
        wait_until(watched.left.is_set, "the upstream still has its connection")
        wait_until(lambda: s.find("outcome=timeout .*the scraper did not read the response in time"), "no log line")
        with pytest.raises((ConnectionError, AssertionError, ValueError)):
            c.read()


def test_late_reader_of_bad_requests_gets_every_response(sidecar, upstream, tmp_path):
    """Error responses get as much time to be read as any other. Over a unix socket few responses have to wait."""
    s = sidecar(upstream(answering(answer(BODY))).url, "--set", "endpoint.default.timeout=1h", "--set",
                "web.head_timeout=1h", listen=f"unix:{tmp_path}/s")
    s.wait_line("privileges dropped")
    begun, sent, got = len(s.lines), 0, b""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(20 * SLOW)
        raw.connect(f"{tmp_path}/s")
        # Until responses wait: each is logged once it is sent.
        while len(s.lines) == begun + sent:
            raw.sendall(b"GET /metrics?shard=1 HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
            sent += 200
            wait_until(lambda: len(s.lines) == begun + sent or stands_still(lambda: len(s.lines)),
                       "the requests are not answered")
        time.sleep(1.5)
        while got.count(b"HTTP/1.1 400 ") < sent:
            piece = raw.recv(65536)
            assert piece, f"{got.count(b'HTTP/1.1 400 ')} answers of {sent}"
            got += piece


# Request headers.

ACCEPTS = [
    "text/plain",
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "text/plain;version=0.0.4;q=1,*/*;q=2",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.1",
    "*/*  ;  q=2",
]


@pytest.mark.parametrize("name, value", [
    *(("Accept", a) for a in ACCEPTS),
    ("Authorization", "Basic dXNlcjpwYXNzd29yZA=="),
    ("Authorization", "Bearer a.b-c_d~e+f/g=="),
    ("User-Agent", "Prometheus/3.5.0"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("X-Scope-OrgID", "tenant-1|tenant-2"),
    ("X-Empty", ""),
    ("Cookie", "a=b; c=d"),
    ("Cache-Control", "no-cache"),
])
def test_header_is_forwarded(client, upstream, name, value):
    """Character by character."""
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape(headers=[f"{name}: {value}"])[0] == 200
    assert header_values(u.requests[0], name) == [value]


def test_repeated_headers_are_forwarded(client, upstream):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape(headers=["X-A: 1", "X-B: 2", "X-A: 3"])[0] == 200
    assert header_values(u.requests[0], "X-A") == ["1", "3"]


@pytest.mark.parametrize("header", [
    "Keep-Alive: timeout=5", "TE: trailers", "Upgrade: websocket", "Proxy-Authorization: Basic eA==",
    "Proxy-Connection: keep-alive", "Proxy-Authenticate: Basic", "Range: bytes=0-5", 'If-Range: "a"',
    'If-None-Match: "a"', 'If-Match: "a"', "If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT",
    "If-Unmodified-Since: Mon, 01 Jan 2024 00:00:00 GMT", "Trailer: X-A", "HTTP2-Settings: AAMAAABkAAQ",
    "range: bytes=0-5", "IF-NONE-MATCH: *",
])
def test_header_is_not_forwarded(client, upstream, header):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape(headers=[header])[::2] == (200, BODY)
    assert not header_values(u.requests[0], header.partition(":")[0])


def test_connection_and_what_it_names_is_not_forwarded(client, upstream):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    headers = ["Connection: keep-alive, X-Hop,x-another", "X-Hop: 1", "X-Another: 2", "X-Stays: 3", "X-Ho: 4"]
    assert c.scrape(headers=headers)[0] == 200
    request = u.requests[0]
    assert [header_values(request, n) for n in ("X-Hop", "X-Another", "X-Stays", "X-Ho")] == [[], [], ["3"], ["4"]]
    assert header_values(request, "Connection") in ([], ["keep-alive"])


@pytest.mark.parametrize("encoding", [[], ["Accept-Encoding: gzip"],
                                      ["Accept-Encoding: gzip, br", "accept-encoding: x"]])
def test_upstream_is_sent_identity(client, upstream, encoding):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape(headers=encoding)[0] == 200
    assert header_values(u.requests[0], "Accept-Encoding") == ["identity"]


def test_host_is_the_upstream_and_nothing_is_added(client, upstream):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape()[0] == 200
    line, headers = header_lines(u.requests[0])
    assert line == "GET /metrics HTTP/1.1"
    assert dict(headers)["Host"] == re.match("http://([^/]+)/", u.url)[1]
    assert {name.lower() for name, _ in headers} == {"host", "accept-encoding", "user-agent"}
    assert dict(headers)["User-Agent"].startswith("scrapeshard/")


@pytest.mark.parametrize("header", ["X-A: a\x01b", "X-A: a\x7fb", "X-A: a\r b\x02", "X A: b", "X(A): b"])
def test_header_that_cannot_be_passed_on_safely(client, upstream, header):
    """Rejected or dropped: the upstream never sees it."""
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    assert c.scrape(headers=[header])[0] in (200, 400)
    for request in u.requests:
        assert not re.search(rb"(?i)^X.?A.?:", request, re.MULTILINE), request


def test_folded_header_is_no_second_one(client, upstream):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    status = c.scrape(headers=["X-A: b\r\n X-Smuggled: c"])[0]
    assert status in (200, 400)
    for request in u.requests:
        assert not header_values(request, "X-Smuggled")


# Response headers.


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_response_headers(client, upstream, body):
    passed = {"Vary": "Accept, Accept-Encoding", "X-Custom": "a  b", "Cache-Control": "no-store",
              "X-Content-Type-Options": "nosniff", "Server": "service/1.0"}
    dropped = {"Keep-Alive": "timeout=5", "X-Hop": "1", "ETag": '"a"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
               "Accept-Ranges": "bytes", "Content-MD5": "Q2hlY2sgSW50ZWdyaXR5IQ==", "Digest": "sha-256=x",
               "Proxy-Authenticate": "Basic", "Upgrade": "h2c", "Trailer": "X-A"}
    extra = [f"{k}: {v}" for k, v in {**passed, **dropped}.items()] + ["Connection: keep-alive, X-Hop"]
    s, c = client(upstream(answering(answer(body, extra=extra))).url)
    for _ in range(2):
        status, headers, got = c.scrape("/metrics?shard=0&shard_count=1")
        assert (status, got) == (200, body)
        assert {k: headers.get_all(k) for k in passed} == {k: [v] for k, v in passed.items()}
        assert not [k for k in dropped if k in headers]
        assert "X-Hop" not in (headers["Connection"] or "")
        assert headers.get_all("Content-Length") in (None, [str(len(body))])


def test_length_is_the_shards_own(client, upstream):
    s, c = client(upstream(answering(answer(BODY))).url)
    bodies = [c.scrape(f"/metrics?shard={i}&shard_count=3") for i in range(3)]
    for _, headers, body in bodies:
        assert headers.get_all("Content-Length") == [str(len(body))]
    assert sum(len(body) for _, _, body in bodies) == len(BODY)


@pytest.mark.parametrize("content_type", [
    TEXT, "text/plain", "text/plain;version=0.0.4", 'text/plain; version="0.0.4"; charset=UTF-8; escaping=values',
    "TEXT/PLAIN; Version=0.0.4", "text/plain; version=1.0.0; escaping=allow-utf-8", "application/octet-stream",
])
@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_content_type_is_verbatim(client, upstream, content_type, body):
    s, c = client(upstream(answering(answer(body, content_type))).url)
    status, headers, got = c.scrape()
    assert (status, got, headers.get_all("Content-Type")) == (200, body, [content_type])


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_missing_content_type_is_replaced(sidecar, upstream, body):
    u = upstream(answering(answer(body, None)))
    for flags, expected in (([], TEXT), (["--set", "endpoint.default.default_content_type=text/plain; a=b"],
                                         "text/plain; a=b")):
        status, headers, got = sidecar(u.url, *flags).get()
        assert (status, got, headers.get_all("Content-Type")) == (200, body, [expected])


def test_response_header_with_control_characters(client, upstream):
    s, c = client(upstream(answering(answer(BODY, extra=["X-A: a\x01b", "X-B: c"]))).url)
    status, headers, body = c.scrape()
    assert status in (200, 502)
    assert "X-A" not in headers
    assert s.get()[0] == status


# Time.


def silent(upstream, connection):
    upstream.read_request(connection)
    connection.settimeout(30 * SLOW)
    connection.recv(1)


def timed(function):
    start = time.monotonic()
    result = function()
    return result, time.monotonic() - start


@pytest.mark.parametrize("endpoint, header, least, most", [
    ("30s", "1.5", 1.35, 5),
    ("30s", "1.500000", 1.35, 5),
    ("30s", "0.6", 0.54, 5),
    ("30s", "0.5", 0.45, 5),
    ("500ms", "30", 0.5, 5),
    ("500ms", "99999999999999999999", 0.5, 5),
    ("500ms", None, 0.5, 5),
])
def test_timeout_header(client, upstream, endpoint, header, least, most):
    """Less a tenth, so that the scraper gets our reason; it only ever shortens the configured timeout."""
    s, c = client(upstream(silent).url, "--set", f"endpoint.default.timeout={endpoint}")
    headers = [f"X-Prometheus-Scrape-Timeout-Seconds: {header}"] if header else []
    (status, _, body), seconds = timed(lambda: c.scrape(headers=headers))
    assert status == 504 and b"did not respond within" in body
    assert seconds > least - 0.01
    assert SLOW > 1 or seconds < most
    c.send("/nowhere")
    assert c.read()[0] == 404, "the connection is unusable"


@pytest.mark.parametrize("value", ["abc", "-1", "nan", "inf", "0", "0.0", "", "1e3", "+1", "0x10", "1s", "1,5", "1.2.3",
                                   ".", "10 s", "1\x0b"])
def test_invalid_timeout_header(client, upstream, value):
    u = upstream(answering(answer(BODY)))
    s, c = client(u.url)
    status, _, body = c.scrape(headers=[f"X-Prometheus-Scrape-Timeout-Seconds: {value}"])
    assert status == 400 and b"X-Prometheus-Scrape-Timeout-Seconds" in body and body.count(b"\n") == 1
    assert not u.requests
    assert c.scrape()[2] == BODY


# Many at once.


def test_bounded_concurrency(sidecar, upstream):
    """The upstream sees at most 7 connections for one address, however many scrape from it: the eighth is for another;
    all finish."""
    rounds, most, at_once = 4, 30, 7
    gates = [threading.Event() for _ in range(rounds)]

    def serve(u, connection):
        while request := u.read_request(connection):
            gates[int(re.search(rb"round=(\d)", request)[1])].wait(20 * SLOW)
            connection.sendall(answer(BODY))
    u = upstream(serve)
    s = sidecar(u.url, "--set", "endpoint.default.timeout=15s")
    clients = [Client(s) for _ in range(most)]
    for i, gate in enumerate(gates):
        for c in clients:
            c.send(f"/metrics?round={i}")
        wait_until(lambda: len(u.requests) >= i * most + at_once, "not even 7 are asked for at once")
        # After a few iterations of the loop all have been read.
        for _ in range(5):
            assert s.admin("/-/healthy")[0] == 200
        assert (u.connections, len(u.requests)) == (at_once, i * most + at_once)
        gate.set()
        # A connection passes from one scrape to the next without a pause: no scrape is blamed for another's bytes.
        assert [c.read()[::2] for c in clients] == [(200, BODY)] * most
    assert u.connections == at_once
    for c in clients:
        c.close()


def test_idle_clients_cost_nothing_lasting(sidecar, upstream):
    s = sidecar(upstream(answering(answer(BODY))).url, "--set=web.head_timeout=1h")
    assert s.get()[2] == BODY
    before = s.descriptors()
    clients = [Client(s) for _ in range(200)]
    for c in clients:
        assert c.scrape()[2] == BODY
    assert_small(s, 8 * MIB)
    for c in clients:
        c.close()
    wait_until(lambda: s.descriptors() <= before + 1, "descriptors stay open")
