# SPDX-License-Identifier: Apache-2.0
"""Never a short success: upstreams that lie, break off, hang or talk nonsense.

A small response is held until the upstream's body is complete, so that every fault is still a status with a reason. Part
of a large one was sent when the fault comes, and it can only be aborted, unless the fault comes with the first part.
"""
import concurrent.futures
import contextlib
import gzip
import http.client
import itertools
import random
import re
import socket
import ssl
import struct
import threading
import time

import pytest

from conftest import OPENMETRICS, SLOW, TEXT, answer, answering, free_port, stands_still, wait_until
from pki import Authority
from prometheus import PATIENCE, Prometheus, job, shard_jobs
from steer import Steer

SMALL = b"# TYPE up gauge\nup 1\n"
LARGE = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(60000))
REST = b'last_seen{zone="a\\"b"} 1234\n'
BODY = SMALL + REST
# Long enough for what comes before a fault, and for the healthy scrape after it, on a busy machine.
SHORT = ("--set", f"endpoint.default.timeout={2000 * SLOW:.0f}ms")
CHUNKED = "Transfer-Encoding: chunked"

# Steps of a script other than bytes.


def CLOSE(connection):
    raise ConnectionError


def RESET(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionError


def HANG(connection):
    """Says nothing until the sidecar has given up."""
    connection.settimeout(20 * SLOW)
    while connection.recv(4096):
        pass
    raise ConnectionError


def drip(byte):
    """A byte now and then, for ever: a timer that restarts with every byte would never end it."""
    def step(connection):
        while True:
            connection.sendall(byte)
            time.sleep(0.1 * SLOW)  # REST would take longer than SHORT
    return step


def GATE(connection):
    """Waits until the scraper has seen the beginning; Stage opens it."""


def head(*lines, content_type=TEXT, status="HTTP/1.1 200 OK"):
    return "\r\n".join([status, f"Content-Type: {content_type}", *lines]).encode() + b"\r\n\r\n"


def chunk(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


LAST_CHUNK = b"0\r\n\r\n"
# To libcurl 0x and what follows is a last chunk, and lines with colons are its trailers.
COLONS = b'up{instance="a:9100"} 2\nup{instance="b:9100"} 3\n'
BAD_SIZES = {"0x": b"0x%x" % len(COLONS), "a letter": b"%xg" % len(COLONS), "a blank and a letter": b"%x g" % len(COLONS),
             "0 and a blank": b"0 x", "a return and a letter": b"%x\rg" % len(COLONS), "a point": b"%x.0" % len(COLONS)}


def bad_chunk(size, body=COLONS):
    return size + b"\r\n" + body + b"\r\n" + LAST_CHUNK


def with_length(first):
    """The beginning of a response with a Content-Length: first, and REST."""
    return head(f"Content-Length: {len(first + REST)}") + first


def in_chunks(first):
    return head(CHUNKED) + chunk(first)


def by_close(first):
    return head("Connection: close") + first


class Stage:
    """A sidecar in front of an upstream that plays a script for every request: bytes are sent, functions called."""

    HEALTHY = [answer(BODY)]

    def __init__(self, upstream, sidecar, *flags, **options):
        self.script = self.HEALTHY
        self.go_on = threading.Event()
        self.upstream = upstream(self._serve)
        self.sidecar = sidecar(self.upstream.url, *flags, **options)

    def _serve(self, upstream, connection):
        while upstream.read_request(connection):
            for step in self.script:
                if step is GATE:
                    self.go_on.wait(20 * SLOW)
                elif callable(step):
                    step(connection)
                else:
                    connection.sendall(step)

    def play(self, script):
        """Sets the script of the next requests, with its gate shut."""
        self.script = script
        self.go_on.clear()

    def passes(self, script, body=BODY, target="/metrics"):
        self.play(script)
        status, headers, got = self.sidecar.get(target)
        assert (status, got) == (200, body)
        return headers

    def recovers(self):
        self.passes(self.HEALTHY)

    def fails(self, script, reason, status=502, target="/metrics"):
        """A status with one line of text that matches reason; afterwards a healthy upstream is scraped again."""
        self.play(script)
        got_status, headers, body = self.sidecar.get(target)
        text = body.decode(errors="replace")
        assert got_status == status, text
        assert headers["Content-Type"].startswith("text/plain")
        assert re.fullmatch(r"[^\n]+\n", text), text
        assert re.search(reason, text), text
        self.recovers()

    def breaks(self, script):
        """A 200 that has started cannot be taken for a complete one, in HTTP/1.1 and 1.0."""
        self.play(script)
        connection = http.client.HTTPConnection("127.0.0.1", self.sidecar.port, timeout=30 * SLOW)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            connection.request("GET", "/metrics")
            response = connection.getresponse()
            assert response.status == 200 and len(response.read(1000)) == 1000
            self.go_on.set()
            response.read()
        connection.close()

        self.play(script)
        with self.sidecar.connect() as raw:
            raw.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert re.match(rb"HTTP/1.[01] 200 ", raw.recv(1000))
            self.go_on.set()
            with pytest.raises(ConnectionResetError):
                while raw.recv(1 << 20):
                    pass
        self.recovers()


@pytest.fixture
def stage(upstream, sidecar):
    return lambda *flags, **options: Stage(upstream, sidecar, *flags, **options)


# In the body: every fault after a small beginning that is held, and after a large one that streams.

FAULTS = [
    # name, framing, what follows the beginning, status of the small one, its reason (by libcurl 7.88 or 8.14)
    *((f"cut after {n} more bytes", with_length, [REST[:n], CLOSE], 502, "closed|missing")
      for n in (0, 1, 9, 10, 16, 20, 23, 25, len(REST) - 1)),
    ("reset", with_length, [RESET], 502, "reset"),
    ("reset in a line", with_length, [REST[:12], RESET], 502, "reset"),
    ("hang", with_length, [HANG], 504, "did not respond within"),
    ("hang in a line", with_length, [REST[:12], HANG], 504, "did not respond within"),
    ("drip", with_length, [drip(b"\n")], 504, "did not respond within"),
    ("longer than its length", with_length, [REST + b"more 1\n"], 502, "longer than its Content-Length"),
    ("length ends in a line", with_length, [b'last_seen{zone="abcdefghij"} 1234\n'], 502,
     "longer than its Content-Length"),
    ("no last chunk", in_chunks, [CLOSE], 502, "closed"),
    ("no last chunk after another", in_chunks, [chunk(REST), CLOSE], 502, "closed"),
    ("no last chunk, reset", in_chunks, [RESET], 502, "reset"),
    ("cut in a chunk's size", in_chunks, [b"1", CLOSE], 502, "closed"),
    ("cut after a chunk's size", in_chunks, [b"1f\r\n", CLOSE], 502, "closed"),
    ("cut in a chunk", in_chunks, [chunk(REST)[:12], CLOSE], 502, "closed"),
    ("cut after a chunk's bytes", in_chunks, [chunk(REST)[:-2], CLOSE], 502, "closed"),
    ("cut in the last chunk", in_chunks, [b"0", CLOSE], 502, "closed"),
    ("reset in a chunk", in_chunks, [chunk(REST)[:12], RESET], 502, "reset"),
    ("hang in a chunk", in_chunks, [chunk(REST)[:12], HANG], 504, "did not respond within"),
    ("hang before the last chunk", in_chunks, [HANG], 504, "did not respond within"),
    ("drip of chunks", in_chunks, [drip(chunk(b"\n"))], 504, "did not respond within"),
    ("invalid chunk size", in_chunks, [b"zz\r\n" + REST + b"\r\n" + LAST_CHUNK], 502, "[Cc]hunk"),
    ("negative chunk size", in_chunks, [b"-1\r\n" + REST + b"\r\n" + LAST_CHUNK], 502, "[Cc]hunk"),
    ("empty chunk size", in_chunks, [b"\r\n" + REST + b"\r\n" + LAST_CHUNK], 502, "[Cc]hunk"),
    ("chunk size beyond 64 bits", in_chunks, [b"fffffffffffffffff1\r\n" + REST + b"\r\n" + LAST_CHUNK], 502,
     "[Cc]hunk"),
    *((f"chunk size with {name}", in_chunks, [bad_chunk(size)], 502, "invalid chunk size") for name, size in BAD_SIZES.items()),
    ("chunk size with 0x before a blank line", in_chunks, [bad_chunk(b"0x%x" % len(REST), b"\n" + REST[1:])], 502,
     "invalid chunk size"),
    ("chunk longer than its size", in_chunks, [b"5\r\n" + REST + b"\r\n" + LAST_CHUNK], 502, "[Cc]hunk"),
    ("closed in a line", by_close, [REST[:23], CLOSE], 502, "strict_close"),
    ("closed before a line's end", by_close, [REST[:-1], CLOSE], 502, "strict_close"),
    ("closed in quotes", by_close, [b'a{b="c\n', CLOSE], 502, "strict_close|quotes"),
    ("reset at a line's end", by_close, [RESET], 502, "reset"),
    ("hang without a length", by_close, [HANG], 504, "did not respond within"),
    ("many trailers", in_chunks, [chunk(REST) + b"0\r\n" + (b"a: " + b"b" * 91 + b"\r\n") * 700 + b"\r\n"], 502,
     "its header and trailers are larger than 64 KiB"),
    ("a page after good lines", in_chunks, [chunk(b"<html>no</html>\n"), LAST_CHUNK], 502, "not a valid exposition: line"),
]


def table(faults):
    return pytest.mark.parametrize("framing, rest, status, reason", [f[1:] for f in faults], ids=[f[0] for f in faults])


@table(FAULTS)
def test_held(stage, framing, rest, status, reason):
    stage(*(SHORT if status == 504 else ())).fails([framing(SMALL)] + rest, reason, status)


@table(FAULTS)
def test_streaming(stage, framing, rest, status, reason):
    stage(*(SHORT if status == 504 else ())).breaks([framing(LARGE), GATE] + rest)


# With gzip too more than is held.
MIDDLE = b"".join(b'orders_total{id="%s"} 1\n' % random.Random(n).randbytes(32).hex().encode() for n in range(3000))
TOGETHER = {
    "length": ([with_length(MIDDLE), CLOSE], "closed|missing"),
    "chunked": ([in_chunks(MIDDLE), CLOSE], "closed"),
    "bad line": ([answer(MIDDLE + b"<html>\n" + REST)], "not a valid exposition"),
}


@pytest.mark.parametrize("asking", ["HTTP/1.1", "HTTP/1.1\r\nAccept-Encoding: gzip", "HTTP/1.0",
                                    "HTTP/1.0\r\nConnection: keep-alive"], ids=["1.1", "gzip", "1.0", "1.0 kept"])
@pytest.mark.parametrize("listener", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("fault", TOGETHER)
def test_fault_together_with_the_beginning(stage, tmp_path, listener, asking, fault):
    """Never a connection that ends without a byte: clients ask again, and the upstream would be scraped twice."""
    if listener == "unix" and "1.0" in asking:
        pytest.skip("needs HTTP/1.1")
    script, reason = TOGETHER[fault]
    pair = Authority(tmp_path, "own").issue("server") if listener == "tls" else None
    s = stage(*(("--set", f"web.tls_certificate={pair[0]}", "--set", f"web.tls_key={pair[1]}") if pair else ()),
              listen=f"unix:{tmp_path}/listener" if listener == "unix" else "127.0.0.1:0")
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    seen = {200: 0, 502: 0}

    def ask(connection):
        connection.sendall(f"GET /metrics {asking}\r\nHost: a\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()  # raises if there is no byte
        return response

    def scrape():
        s.play(script)
        raw = s.sidecar.connect()
        with trust.wrap_socket(raw, suppress_ragged_eofs=False) if pair else raw as connection:
            response = ask(connection)
            seen[response.status] += 1
            if response.status == 200:
                with pytest.raises((http.client.IncompleteRead, OSError)):
                    response.read()
                return
            text = response.read().decode()
            assert re.search(reason, text) and "Content-Encoding" not in response.headers, (text, response.headers)
            assert response.headers["Content-Length"] == str(len(text)) and not response.chunked
            if response.will_close:
                assert connection.recv(1) == b""
            else:
                s.play(s.HEALTHY)
                again = ask(connection)
                assert (again.status, len(again.read())) == (200, int(again.headers["Content-Length"]))

    while sum(seen.values()) < 40 or not seen[502]:
        scrape()
        assert sum(seen.values()) < 1000, seen
    failures = r"msg=scrape .*status=502 .*bytes_out=(\d+) "
    wait_until(lambda: s.sidecar.count(failures) == seen[502], "scrapes do not end")
    assert all(int(found[1]) < 300 for line in s.sidecar.lines if (found := re.search(failures, line)))


@pytest.mark.parametrize("ending", [CLOSE, RESET])
@pytest.mark.parametrize("whole", [
    with_length(SMALL) + REST,
    # After the size of the last chunk nothing that is missing matters.
    (in_chunks(SMALL) + chunk(REST) + LAST_CHUNK)[:-3],
], ids=["length", "chunked"])
def test_cut_at_every_byte(stage, whole, ending):
    """In the head and in the body, wherever it is."""
    s = stage()
    for cut in range(len(whole)):
        s.play([whole[:cut], ending])
        status, _, body = s.sidecar.get()
        assert status == 502 and body.count(b"\n") == 1, (cut, body)
    s.recovers()


# Before and in the head.

HEADS = [
    # name, script, status, reason
    ("closed before the head", [CLOSE], 502, "(?i)empty reply"),
    ("reset before the head", [RESET], 502, "reset"),
    ("hang before the head", [HANG], 504, "did not respond within"),
    ("hang in the head", [b"HTTP/1.1 200 OK\r\nContent-", HANG], 504, "did not respond within"),
    ("drip in the head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", drip(b"a")], 504, "did not respond within"),
    ("drip of headers", [b"HTTP/1.1 200 OK\r\n", drip(b"X-Slow: a\r\n")], 504, "did not respond within"),
    ("hang after an early head", [b"HTTP/1.1 103 Early Hints\r\n\r\n", HANG], 504, "did not respond within"),
    ("early head alone", [b"HTTP/1.1 103 Early Hints\r\n\r\n", CLOSE], 502, "failed"),
    ("another protocol", [b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE], 502, "HTTP/0.9|failed"),
    ("garbage", [bytes(range(1, 256)) * 20, CLOSE], 502, "failed"),
    ("garbage with NUL", [b"\0" * 1000, CLOSE], 502, "failed"),
    ("HTTP/0.9", [BODY, CLOSE], 502, "HTTP/0.9"),
    ("status that is no number", [b"HTTP/1.1 abc OK\r\nContent-Length: 5\r\n\r\nup 1\n", CLOSE], 502, "failed"),
    ("invalid status", [answer(BODY, status="600 Odd")], 502, "status"),
    ("switch to another protocol", [head("Upgrade: a", "Connection: upgrade", status="HTTP/1.1 101 Switching"), BODY],
     502, "another protocol"),
    ("a head in the head", [head("Content-Length: 9", "HTTP/1.1 200 a: b") + BODY, CLOSE], 502, "a second status line"),
    ("many headers", [head(*(f"X-Header-{i:04d}: {'x' * 80}" for i in range(700)), "Content-Length: 5") + b"up 1\n"],
     502, "64 KiB"),
    ("long header", [head("X-Long: " + "x" * 70000, "Content-Length: 5") + b"up 1\n"], 502, "64 KiB"),
    ("header without an end", [b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 3000000, CLOSE], 502, "(?i)head|larger than allowed"),
    ("lengths that differ", [head(f"Content-Length: {len(BODY)}", "Content-Length: 21") + BODY], 502, "different"),
    ("lengths that differ, shorter first", [head("Content-Length: 21", f"Content-Length: {len(BODY)}") + BODY], 502,
     "different"),
    ("lengths in one header", [head(f"Content-Length: {len(BODY)}, {len(BODY)}") + BODY, CLOSE], 502,
     "(?i)content-length"),
    ("negative length", [head("Content-Length: -1") + BODY, CLOSE], 502, "(?i)content-length"),
    ("length that is no number", [head("Content-Length: 0x10") + BODY, CLOSE], 502, "(?i)content-length"),
    ("length beyond 64 bits", [head("Content-Length: 99999999999999999999") + BODY[:-3], CLOSE], 502, "(?i)length|closed|missing"),
    ("length just beyond 64 bits", [head("Content-Length: 9223372036854775808") + BODY[:-3], CLOSE], 502,
     "(?i)length|closed|missing"),
    ("length of 64 bits", [head("Content-Length: 9223372036854775807") + BODY[:-3], CLOSE], 502, "(?i)length|closed|missing"),
    ("length and chunks", [head(f"Content-Length: {len(BODY)}", CHUNKED) + chunk(BODY) + LAST_CHUNK], 502, "both"),
    ("chunks and length", [head(CHUNKED, f"Content-Length: {len(BODY)}") + chunk(BODY) + LAST_CHUNK], 502, "both"),
    ("chunks of chunks", [head(CHUNKED, CHUNKED) + chunk(chunk(BODY) + LAST_CHUNK) + LAST_CHUNK], 502,
     "Transfer-Encoding"),
    ("another transfer encoding", [head("Transfer-Encoding: gzip, chunked") + chunk(BODY) + LAST_CHUNK], 502,
     "Transfer-Encoding"),
    ("header without a colon", [head("X-A: b", "no colon\x07here", f"Content-Length: {len(BODY)}") + BODY], 502,
     r'after "X-A: b" cannot be read'),
    ("header with a NUL", [head("X-A: b", "X-B: a\0b", f"Content-Length: {len(BODY)}") + BODY], 502,
     r'after "X-A: b" cannot be read'),
    ("header with a bare CR", [head("X-Odd: a\rb", f"Content-Length: {len(BODY)}") + BODY], 502, '"X-Odd" contains a CR'),
    ("folded before any header", [b"HTTP/1.1 200 OK\r\n X-A: b\r\nContent-Length: 5\r\n\r\nup 1\n"], 502,
     '" ?X-A: b" (cannot be read|continues a header)'),
    ("folded Transfer-Encoding", [head("Transfer-Encoding:", " chunked") + chunk(BODY) + LAST_CHUNK, CLOSE], 502,
     '"Transfer-Encoding" is folded'),
    ("folded Transfer-Encoding, gzip before", [head("Transfer-Encoding: gzip,", "\tchunked") + chunk(BODY) + LAST_CHUNK,
                                               CLOSE], 502, "Transfer-Encoding"),
    ("folded Content-Length", [head("Content-Length: 2", f" {len(BODY) - 20}") + BODY, CLOSE], 502, "(?i)content-length"),
    ("first chunk size with 0x", [head(CHUNKED) + bad_chunk(b"0x%x" % len(COLONS))], 502, "invalid chunk size"),
    ("folded value that looks like a head", [head("X-A: b", " HTTP/1.1 404 No", "HTTP/1.1 200 a: b")], 502,
     "a second status line"),
    ("unknown content type", [answer(b"\0\1\2", "application/vnd.google.protobuf; proto=a; encoding=compact")],
     502, "cannot be split|not a valid exposition"),
]


@pytest.mark.parametrize("script, status, reason", [h[1:] for h in HEADS], ids=[h[0] for h in HEADS])
def test_head(stage, script, status, reason):
    stage(*(SHORT if status == 504 else ())).fails(script, reason, status)


@pytest.mark.parametrize("cut", [5, 16, 25])
@pytest.mark.parametrize("pieces", [1, 2], ids=["in one piece", "in two pieces"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_length_shorter_than_body(stage, cut, pieces, connection):
    """Whether the body comes with the head or after it, bytes after the Content-Length show the lie."""
    first = head(f"Content-Length: {cut}", f"Connection: {connection}")
    script = [first + BODY] if pieces == 1 else [first, lambda _: time.sleep(0.05), BODY]
    stage().fails(script, "longer than its Content-Length")


PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
# A family "a" with an untyped metric of 0.
MESSAGE = b"\x10\x0a\x01a\x22\x0b\x2a\x09\x09" + bytes(8)


@pytest.mark.parametrize("pieces", [1, 2], ids=["in one piece", "in two pieces"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("blank", [b"\r\n", b"\n", b"\r", b"\n\n\r\n" * 10])
@pytest.mark.parametrize("body", [BODY, BODY[:-1], b"a 1\n" * 50000], ids=["lines", "no last newline", "large"])
def test_blank_bytes_after_the_length(stage, body, blank, connection, pieces):
    """They are not part of the body, and if they were, they would hold no sample; the next request goes over another
    connection."""
    first = head(f"Content-Length: {len(body)}", f"Connection: {connection}") + body
    sent = threading.Semaphore(0)

    def later(service):
        time.sleep(0.02)
        try:
            service.sendall(blank)
        finally:
            sent.release()
    s = stage()
    for _ in range(3):
        s.passes([first + blank] if pieces == 1 else [first, later], body)
        assert pieces == 1 or sent.acquire(timeout=10 * SLOW)


@pytest.mark.parametrize("more", [b"\r\n ", b"\n\t", b"\n\0", b"\r\n#", b"\nb 2\n", b"\r\n" * 5000 + b"b 2\n"])
def test_blank_bytes_after_the_length_and_more(stage, more):
    stage().fails([head(f"Content-Length: {len(BODY)}") + BODY + more], "longer than its Content-Length")


@pytest.mark.parametrize("more", [b"\n", b"\r", b"\n\r"])
def test_blank_bytes_after_protobuf_are_not_blank(stage, more):
    """They may be the beginning of another, truncated message."""
    s = stage()
    s.passes([answer(MESSAGE, PROTOBUF)], MESSAGE)
    s.fails([answer(MESSAGE, PROTOBUF) + more], "longer than its Content-Length")


def test_kept_connection_with_extra_body_is_not_reused(stage):
    """Bytes after a response are not the head of the next one."""
    s = stage()
    s.recovers()
    before = s.upstream.connections
    s.fails([head("Content-Length: 5") + b"up 1\n" + answer(b"smuggled 1\n")], "longer")
    assert s.upstream.connections > before


@pytest.fixture(params=[False, True], ids=["later", "at once"])
def steered(request, tmp_path):
    """An environment: libcurl finds the response later, or in the very call that sends the request."""
    steer = Steer(tmp_path / "steer")
    if request.param:
        steer.be_patient()
    return steer.environment


def test_kept_connection_with_trailing_bytes_is_not_reused(upstream, sidecar, steered):
    """The last chunk proves the response; but the connection, where more was sent, is not reused."""
    answers = [answer(BODY), head(CHUNKED) + chunk(BODY) + LAST_CHUNK + b"HTTP/1.1 200 OK\r\nContent-", answer(BODY)]
    u = upstream(answering(*answers))
    s = sidecar(u.url, env=steered)
    for connections in (1, 1, 2):
        assert s.get()[::2] == (200, BODY)
        assert u.connections == connections


@pytest.mark.parametrize("uses", [1, 2, 3])
def test_late_bytes_are_not_the_next_response(upstream, sidecar, steered, uses):
    """With unsolicited bytes on an idle connection each scrape would get the response to the one before."""
    sent = threading.Event()

    def serve(u, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or it would wait for the next request
        for _ in range(uses):
            u.read_request(connection)
            connection.sendall(answer(BODY))
        if u.connections == 1:
            wait_until(lambda: s.count("msg=scrape") == uses, "the scrapes do not end")
            connection.sendall(answer(b"smuggled 1\n"))
            sent.set()
        HANG(connection)
    u = upstream(serve)
    s = sidecar(u.url, env=steered)
    for _ in range(uses):
        assert s.get()[::2] == (200, BODY)
    assert sent.wait(10 * SLOW)
    status, _, body = s.get()
    assert (status, body) == (200, BODY)
    assert u.connections == 2


def test_extra_body_is_not_the_response_of_the_next_in_the_queue(upstream, sidecar):
    """A scrape that waited for a connection gets it in the very turn in which the one before has ended."""
    go_on = threading.Event()

    def serve(u, connection):
        u.read_request(connection)
        go_on.wait(20 * SLOW)
        connection.sendall(head(f"Content-Length: {len(BODY)}"))
        time.sleep(0.05)
        connection.sendall(BODY + answer(b"smuggled 1\n"))
        HANG(connection)
    u = upstream(serve)
    s = sidecar(u.url, "--set", f"endpoint.default.timeout={10 * SLOW:.0f}s")
    # The last connection is for an address that has none yet.
    clients = [http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW,
                                          source_address=(f"127.0.0.{i + 1}", 0))
               for i in range(24)]
    for client in clients:
        client.request("GET", "/metrics")
    wait_until(lambda: len(u.requests) == 8, "not all connections are in use")
    go_on.set()
    answers = [(response.status, response.read()) for response in (client.getresponse() for client in clients)]
    for client in clients:
        client.close()
    assert not [body for _, body in answers if b"smuggled" in body]
    assert {status for status, _ in answers} == {502}, answers


# Unusual and valid.

BODY_IN_CHUNKS = b"15;a\r\n" + SMALL + b"\r\n" + b"0%X \r\n" % len(REST) + REST + b"\r\n" + LAST_CHUNK
GOOD = [
    ("lengths that agree", [head(f"Content-Length: {len(BODY)}", f"Content-Length: {len(BODY)}") + BODY]),
    ("closed after a line", [by_close(SMALL) + REST, CLOSE]),
    ("no Connection header, closed", [head() + BODY, CLOSE]),
    ("HTTP/1.0, closed", [head(status="HTTP/1.0 200 OK") + BODY, CLOSE]),
    ("HTTP/1.0 with a length", [head(f"Content-Length: {len(BODY)}", status="HTTP/1.0 200 OK") + BODY, CLOSE]),
    ("HTTP/1.0 kept alive", [head(f"Content-Length: {len(BODY)}", "Connection: keep-alive",
                                  status="HTTP/1.0 200 OK") + BODY]),
    ("early hints", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\n\r\n" + answer(BODY)]),
    ("early hints twice, apart", [b"HTTP/1.1 103 Early Hints\r\n\r\n", lambda _: time.sleep(0.02),
                                  b"HTTP/1.1 102 Processing\r\n\r\n" + answer(BODY)]),
    ("100 Continue unasked", [b"HTTP/1.1 100 Continue\r\n\r\n" + answer(BODY)]),
    ("chunk extensions", [head(CHUNKED) + b"15;a=b;c=\"d\"\r\n" + SMALL + b"\r\n" + chunk(REST) + b"0;last\r\n\r\n"]),
    ("chunk sizes with zeros", [head(CHUNKED) + b"0000015\r\n" + SMALL + b"\r\n" + chunk(REST) + b"000\r\n\r\n"]),
    ("chunk sizes with blanks", [head(CHUNKED) + b"15  \r\n" + SMALL + b"\r\n" + b"%x\t ;a=0x5\r\n" % len(REST) + REST +
                                 b"\r\n0 \r\n\r\n"]),
    ("chunk sizes in capitals", [head(CHUNKED) + b"00%X\r\n" % len(BODY) + BODY + b"\r\n" + LAST_CHUNK]),
    ("chunk sizes in pieces", [head(CHUNKED), *(BODY_IN_CHUNKS[i:i + 1] for i in range(len(BODY_IN_CHUNKS)))]),
    ("trailers up to the limit", [in_chunks(SMALL) + chunk(REST) + b"0\r\n" + (b"a: b\r\n" + b" c\r\n" * 20) * 700 + b"\r\n"]),
    ("trailers", [in_chunks(SMALL) + chunk(REST) + b"0\r\nX-Sum: 1\r\nContent-Length: 2\r\nETag: a\r\n\r\n"]),
    ("a chunk for every byte", [head(CHUNKED) + b"".join(chunk(BODY[i:i + 1]) for i in range(len(BODY))) + LAST_CHUNK]),
    ("Chunked in capitals", [head("TRANSFER-ENCODING: Chunked") + chunk(BODY) + LAST_CHUNK]),
    ("identity named", [answer(BODY, extra=["Content-Encoding: identity"])]),
    ("reason phrase missing", [answer(BODY, status="200")]),
    ("byte by byte", [answer(BODY)[i:i + 1] for i in range(len(answer(BODY)))]),
]


@pytest.mark.parametrize("script", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_unusual_but_right(stage, script):
    s = stage()
    for _ in range(2):
        s.passes(script)
    s.recovers()


def test_folded_header_is_one_line(stage):
    """RFC 9112, 5.2: folded lines are joined by a blank."""
    headers = stage().passes([head("X-Folded: a", "\t  b", " c  ", " ", "X-Empty:", " d", f"Content-Length: {len(BODY)}",
                                   content_type="text/plain;\r\n\tversion=0.0.4") + BODY])
    assert (headers["X-Folded"], headers["X-Empty"]) == ("a b c", "d")
    assert headers["Content-Type"] == "text/plain; version=0.0.4"


def test_trailers_are_not_headers(stage):
    headers = stage().passes([in_chunks(SMALL) + chunk(REST) + b"0\r\nX-Sum: 1\r\n\r\n"])
    assert "X-Sum" not in headers


@pytest.mark.parametrize("trailer", [b"a: " + b"b" * 91 + b"\r\n", b" " + b"c" * 93 + b"\r\n"], ids=["plain", "folded"])
@pytest.mark.parametrize("settings", [(), ("--set=endpoint.default.max_age=1h",)], ids=["streamed", "snapshot"])
def test_trailers_without_an_end(stage, settings, trailer):
    """libcurl keeps them all, and 7.88 joins folded ones in a time that is quadratic: they are not waited for."""
    def for_ever(connection):
        while True:
            connection.sendall(trailer * 1000)
    s = stage(*settings)
    s.recovers()
    before = s.sidecar.memory("VmHWM")
    s.play([in_chunks(SMALL) + b"0\r\na: b\r\n", for_ever])
    status, _, body = s.sidecar.get("/metrics?endless")
    assert (status, body.decode().split(": ", 1)[1]) == \
        (502, "the upstream's response failed: its header and trailers are larger than 64 KiB\n")
    assert SLOW > 1 or s.sidecar.memory("VmHWM") < before + (8 << 20)
    s.recovers()


def test_redirect_with_a_bad_chunk(upstream, sidecar):
    """Nothing of its body is used, and its connection neither."""
    def serve(u, connection):
        while request := u.read_request(connection):
            if request.startswith(b"GET /metrics "):
                connection.sendall(head(CHUNKED, "Location: /other", status="HTTP/1.1 302 Found") + b"0x30\r\n" + COLONS + b"\r\n")
            else:
                connection.sendall(answer(BODY))
    u = upstream(serve)
    assert sidecar(u.url).get()[::2] == (200, BODY)
    assert u.connections == 2


def test_early_hints_are_not_headers(stage):
    headers = stage().passes([b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" + answer(BODY)])
    assert "X-Early" not in headers


# Delimited by close alone.

MARKED = BODY.replace(b"last_seen", b"last_seen_total") + b"# EOF\n"


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "lax"])
@pytest.mark.parametrize("body, content_type, good", [
    (BODY, TEXT, "both"),
    (BODY[:-1], TEXT, "lax"),
    (BODY[:-3], TEXT, "lax"),
    (b"", TEXT, "lax"),
    (BODY + b'a{b="c', TEXT, "none"),
    (MARKED, OPENMETRICS, "both"),
    (MARKED[:-1], OPENMETRICS, "both"),
    (MARKED[:-2], OPENMETRICS, "none"),
    (MARKED[:-6], OPENMETRICS, "none"),
    (MARKED[:-8], OPENMETRICS, "none"),
    (b"", OPENMETRICS, "none"),
])
def test_closed_without_a_length(stage, body, content_type, good, strict):
    s = stage(*([] if strict else ["--set", "endpoint.default.strict_close=false"]))
    script = [head(content_type=content_type) + body, CLOSE]
    if good == "both" or (good == "lax" and not strict):
        s.passes(script, body)
        s.recovers()
    else:
        s.fails(script, "strict_close|# EOF|quotes|not a valid exposition")


def test_openmetrics_without_end_fails_with_a_length(stage):
    s = stage()
    s.fails([answer(MARKED[:-6], OPENMETRICS)], "# EOF")
    for shard in range(4):
        s.fails([answer(MARKED[:-6], OPENMETRICS)], "# EOF", target=f"/metrics?shard={shard}&shard_count=4")


# Unreachable.


@pytest.mark.parametrize("url, reason", [
    ("http://127.0.0.1:{port}/metrics", "(?i)connect"),
    ("http://{label}.invalid/metrics", "(?i)resolve"),
    ("unix:/nowhere/at.all:/metrics", "(?i)connect"),
], ids=["connection refused", "name does not resolve", "no such socket"])
def test_nobody_there(sidecar, url, reason):
    """A label of more than 63 letters fails to resolve without a query."""
    s = sidecar(url.format(port=free_port(), label="x" * 70))
    for _ in range(2):
        status, _, body = s.get()
        assert status == 502 and re.search(reason, body.decode()), body


def test_socket_that_vanishes(sidecar, upstream, tmp_path):
    """The upstream's socket file goes, and comes back; or only its listener goes. (A kept connection needs neither.)"""
    path, script = tmp_path / "s", answering(answer(BODY, extra=["Connection: close"]))
    u = upstream(script, path=str(path))
    s = sidecar(u.url)
    for file_goes in (True, False):
        assert s.get()[::2] == (200, BODY)
        path.unlink() if file_goes else u.close()
        for target in ("/metrics", "/metrics?shard=0&shard_count=2"):
            status, _, body = s.get(target)
            assert status == 502 and re.search(rb"(?i)endpoint default: .*connect", body), body
        path.unlink(missing_ok=True)
        u = upstream(script, path=str(path))
    assert s.get()[::2] == (200, BODY)
    wait_until(lambda: s.count("outcome=upstream_failed") == 4, "the log does not say so")


def test_service_comes_back(stage, sidecar, upstream):
    port = free_port()
    s = sidecar(f"http://127.0.0.1:{port}/metrics")
    assert s.get()[0] == 502
    with socket.create_server(("127.0.0.1", port)) as listener:
        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer(BODY, extra=["Connection: close"]))
        thread = threading.Thread(target=serve)
        thread.start()
        assert s.get()[::2] == (200, BODY)
        thread.join()


# Too large.


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_max_body_held(stage, framing):
    s = stage("--set", "endpoint.default.max_body=1KiB", "--set", "endpoint.default.max_line=1KiB")
    fits = b"a 1\n" * 256
    for body in (fits, fits + b"\n"):
        script = [answer(body)] if framing == "length" else [head(CHUNKED) + chunk(body) + LAST_CHUNK]
        if body is fits:
            s.passes(script, fits)
        else:
            s.fails(script, "max_body")


def test_max_body_streaming(stage):
    most = len(LARGE) + 100
    s = stage("--set", f"endpoint.default.max_body={most}B")
    s.passes([in_chunks(LARGE) + chunk(b"#" * 99 + b"\n") + LAST_CHUNK], LARGE + b"#" * 99 + b"\n")
    s.breaks([in_chunks(LARGE), GATE, chunk(b"#" * 100 + b"\n"), LAST_CHUNK])
    s.breaks([in_chunks(LARGE), GATE, chunk(LARGE), LAST_CHUNK])


def test_max_body_counts_what_is_not_kept(stage):
    """A shard that keeps nothing does not bypass it."""
    s = stage("--set", "endpoint.default.max_body=1MiB")
    for shard in range(4):
        target = f"/metrics?shard={shard}&shard_count=4"
        s.play([answer(LARGE)])
        try:
            assert s.sidecar.get(target)[0] == 502
        except (http.client.IncompleteRead, ConnectionError):
            pass
    wait_until(lambda: s.sidecar.count("outcome=too_large") == 4, "not every shard's outcome is too_large")


def test_fault_after_a_pause(upstream, sidecar):
    """Found when a fetch that was paused for a slow reader resumes: that ends the scrape, not the deadline."""
    u = upstream(answering(in_chunks(LARGE) + chunk(b"bad{\n") + LAST_CHUNK))
    s = sidecar(u.url, "--set", f"endpoint.default.timeout={8 * SLOW:.0f}s")
    for i in range(20):
        with s.connect() as raw:
            raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: len(u.requests) == i + 1, "the upstream gets no request")
            try:
                while raw.recv(65536):
                    pass
            except ConnectionError:
                pass
    wait_until(lambda: s.count("msg=scrape .*outcome=no_exposition") == 20, "scrapes do not end so")


def test_max_line(stage):
    s = stage("--set", "endpoint.default.max_line=100B")
    fits = b'a{b="' + b"x" * 90 + b'"} 1\n'
    assert len(fits) == 100
    s.passes([answer(fits)], fits)
    s.fails([answer(b"x" + fits)], "max_line")
    s.fails([answer(SMALL + b"#" * 5000)], "max_line")
    s.fails([answer(b'a{b="' + b"\n" * 200 + b'"} 1\n')], "max_line")
    s.breaks([in_chunks(LARGE), GATE, chunk(b"x" + fits), LAST_CHUNK])


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_gzip_unasked(stage, encoding):
    """It is decoded, and if that fails, so does the scrape; the request had Accept-Encoding: identity."""
    s = stage()
    body, extra = gzip.compress(BODY), [f"Content-Encoding: {encoding}"]
    headers = s.passes([answer(body, extra=extra)])
    assert "Content-Encoding" not in headers
    for bad in (body[:-1], body[:-8], body[:20], b"", body[:-8] + bytes(8), BODY):
        s.fails([answer(bad, extra=extra)], ".")


# Not codings, for Prometheus as for us: it looks for "gzip" alone.
NO_CODINGS = ["", "identity", "utf-8", "UTF-8", "none", "8bit", "text/plain; version=0.0.4", "charset=utf-8",
              "identity, identity", "identity,", "zebra", "gzipped", "gzip;q=1", "br0", "x-br", "*"]


@pytest.mark.parametrize("target", ["/metrics", "/metrics?shard=0&shard_count=1"], ids=["whole", "shard"])
@pytest.mark.parametrize("encoding", NO_CODINGS)
def test_content_encoding_that_names_no_coding(stage, encoding, target):
    """The body is plain, and is checked as such."""
    s, extra = stage(), [f"Content-Encoding: {encoding}"]
    assert "Content-Encoding" not in s.passes([answer(BODY, extra=extra)], target=target)
    assert s.sidecar.get(headers={"Accept-Encoding": "gzip"})[0] == 200
    s.fails([answer(gzip.compress(BODY, mtime=0), extra=extra)], "not a valid exposition|inside quotes", target=target)


def test_prometheus_reads_what_names_no_coding(tmp_path, upstream, sidecar, config):
    """Series and values from two shards are those that a real Prometheus has from the service itself."""
    body = b"".join(b'family_%d{id="a"} %d\n' % (i, i) for i in range(20))
    services = [upstream(answering(answer(body, extra=[f"Content-Encoding: {encoding}"]))) for encoding in NO_CODINGS]
    s = sidecar(config=config("".join(f"[endpoint e{i}]\npath = /e{i}\nupstream = {service.url}\n"
                                      for i, service in enumerate(services))))
    p = Prometheus(tmp_path / "prometheus", [job(f"direct-{i}", service.port) for i, service in enumerate(services)] +
                   [j for i in range(len(services)) for j in shard_jobs(f"e{i}", s.port, 2, f"/e{i}")])
    try:
        p.wait_ready()
        p.wait_scrapes(2)
        for i, encoding in enumerate(NO_CODINGS):
            names = f"direct-{i}", f"e{i}-0", f"e{i}-1"
            direct, *shards = map(p.series, names)
            assert len(direct) == 20, encoding
            assert all(shards) and shards[0] | shards[1] == direct and not shards[0] & shards[1], encoding

            def is_same():
                direct, *shards = map(p.values, names)
                return len(direct) == 20 and shards[0] | shards[1] == direct
            # A job whose last scrape took too long has no values until the next.
            wait_until(is_same, f"values differ: {encoding}", PATIENCE)
    finally:
        assert p.stop() == 0


@pytest.mark.parametrize("encodings", [["gzip, identity"], ["identity , X-GZIP"], ["identity", "gzip"], ["gzip", ""],
                                       ["utf-8,gzip"], [",gzip,"]], ids=str)
def test_gzip_among_other_words(stage, encodings):
    s, extra = stage(), [f"Content-Encoding: {encoding}" for encoding in encodings]
    s.passes([answer(gzip.compress(BODY), extra=extra)])
    s.fails([answer(BODY, extra=extra)], "decoded")


@pytest.mark.parametrize("encodings, named", [
    *(([coding], coding) for coding in ("br", "zstd", "deflate", "compress", "x-compress", "aes128gcm", "exi",
                                        "pack200-gzip", "dcb", "dcz", "BR", "Deflate")),
    (["gzip, br"], "br"), (["identity,zstd"], "zstd"), (["gzip", "deflate"], "deflate"), (["gzip, gzip"], "gzip, gzip"), (["gzip", "utf-8", "GZIP"], "gzip, utf-8, GZIP"),
    (["x-gzip", "gzip"], "x-gzip, gzip"),
], ids=str)
def test_coding_that_cannot_be_undone(stage, encodings, named):
    """Even if the body is plain: a coding that is named is believed."""
    s = stage()
    s.fails([answer(BODY, extra=[f"Content-Encoding: {encoding}" for encoding in encodings])], f'encoded as ".*{named}')
    wait_until(lambda: s.sidecar.find("outcome=upstream_failed"), "no line of log")


# Kept connections.


@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_kept_connection_ends_at_the_next_request(upstream, sidecar, ending):
    """The scraper does not notice: the request goes over a new connection."""
    def serve(u, connection):
        if u.read_request(connection):
            connection.sendall(answer(BODY))
        if u.read_request(connection):
            ending(connection)
    u = upstream(serve)
    s = sidecar(u.url)
    for _ in range(4):
        assert s.get()[::2] == (200, BODY)
    assert (u.connections, len(u.requests)) == (4, 7)


@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_kept_connection_ends_while_idle(upstream, sidecar, ending):
    closed = threading.Semaphore(0)

    def serve(u, connection):
        n = u.connections
        u.read_request(connection)
        connection.sendall(answer(BODY))
        # A reset must not overtake the response.
        wait_until(lambda: s.count("msg=scrape") == n, "no line of log")
        try:
            with connection:
                ending(connection)
        finally:
            closed.release()
    u = upstream(serve)
    s = sidecar(u.url)
    for _ in range(3):
        assert s.get()[::2] == (200, BODY)
        assert closed.acquire(timeout=10 * SLOW)
    assert u.connections == 3


def test_kept_connection_breaks_in_mid_answer(upstream, sidecar):
    """After the first byte of a response it is not a stale connection: the scrape fails, and is not retried."""
    def serve(u, connection):
        u.read_request(connection)
        connection.sendall(answer(BODY))
        u.read_request(connection)
        connection.sendall(answer(BODY)[:-5])
    u = upstream(serve)
    s = sidecar(u.url)
    assert [s.get()[0] for _ in range(4)] == [200, 502, 200, 502]
    assert len(u.requests) == 4


def answers_of(raw, n):
    """The bodies of n responses with a length, or in chunks."""
    file = raw.makefile("rb")
    for _ in range(n):
        assert file.readline().startswith(b"HTTP/1.1 200 ")
        headers, body = http.client.parse_headers(file), b""
        if headers["Content-Length"]:
            yield file.read(int(headers["Content-Length"]))
            continue
        while size := int(file.readline(), 16):
            body += file.read(size)
            assert file.readline() == b"\r\n"
        assert file.readline() == b"\r\n"
        yield body


@pytest.mark.skipif(SLOW > 1, reason="LeakSanitizer cannot be traced")
def test_answer_that_is_there_at_once_is_not_taken_for_stray(upstream, sidecar, tmp_path):
    """On a kept connection, for a scraper that does not read: the fetch is paused before its socket is watched, and the
    response waits there while the next scrape starts. strace makes sending so slow that the response is there after it."""
    bodies = {b"large": b"".join(b'requests_total{path="/shop/%07d"} %d\n' % (i, i) for i in range(300000)),
              b"small": b"# " + b"x" * 30000 + b"\nup 1\n"}

    def serve(u, connection):
        while request := u.read_request(connection):
            connection.sendall(answer(bodies[request[13:18]]))
    strace = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", "trace=sendto", "-e", "inject=sendto:delay_exit=200000"]
    u = upstream(serve)
    s = sidecar(u.url, "--set=endpoint.default.timeout=1h", listen=f"unix:{tmp_path}/s", prefix=strace)

    def scrapes():
        return s.count("msg=scrape")

    def ask(raw, which):
        raw.sendall(b"GET /metrics?%s HTTP/1.1\r\nHost: a\r\n\r\n" % which)

    with contextlib.ExitStack() as stack:
        late, other = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        for raw in (late, other):
            raw.settimeout(20)
            raw.connect(f"{tmp_path}/s")
        ask(other, b"large")  # so that the windows are large enough
        assert list(answers_of(other, 1)) == [bodies[b"large"]]
        wait_until(lambda: scrapes() == 1, "no line of log")
        n = 0
        while scrapes() == 1 + n:
            ask(late, b"small")
            n += 1
            wait_until(lambda: scrapes() == 1 + n or len(u.requests) == 1 + n and stands_still(scrapes), "no answer")
        ask(late, b"large")
        got = answers_of(late, n + 1)
        assert next(got) == bodies[b"small"]
        wait_until(lambda: len(u.requests) == n + 2, "the large one is not requested")
        assert u.connections == 1
        ask(other, b"small")
        assert list(answers_of(other, 1)) == [bodies[b"small"]]
        assert list(got) == [bodies[b"small"]] * (n - 1) + [bodies[b"large"]]


# Not an exposition.

PAGES = [
    (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "text/html; charset=utf-8"),
    (b"<html>\n", TEXT),
    (b'{"status": "up"}\n', "application/json"),
    (b'{"status":"up","count":3}', TEXT),
    (b'[\n  {"a": 1}\n]\n', TEXT),
    (b"OK", TEXT),
    (b"OK\n", "text/plain"),
    (b"OK\n", None),
    (b"up 1\nNot Found\n", TEXT),
    (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", TEXT),
    (b"<html>\n# EOF\n", OPENMETRICS),
]


@pytest.mark.parametrize("body, content_type", PAGES, ids=[f"{body[:12]} {ct}" for body, ct in PAGES])
def test_no_exposition_fails_in_every_shard(stage, body, content_type):
    s = stage()
    for target in ["/metrics", *(f"/metrics?shard={i}&shard_count=4" for i in range(4))]:
        s.fails([answer(body, content_type)], "not a valid exposition", target=target)


# Other statuses than 200.

STATUSES = [
    ("404 Not Found", b"no such page\n", []),
    ("500 Internal Server Error", b"panic: nil\nat line 3\n", ["X-Trace: 1"]),
    ("500 Internal Server Error", b"", []),
    ("401 Unauthorized", b"who?\n", ['WWW-Authenticate: Basic realm="service"']),
    ("403 Forbidden", b"\xff\0binary", []),
    ("429 Too Many Requests", b"", ["Retry-After: 7"]),
    ("503 Service Unavailable", b"starting\n", ["Retry-After: 30"]),
    ("206 Partial Content", SMALL, []),
    ("201 Created", SMALL, []),
    ("203 Non-Authoritative Information", SMALL, []),
]


@pytest.mark.parametrize("target", ["/metrics", "/metrics?shard=0&shard_count=2"], ids=["whole", "shard"])
@pytest.mark.parametrize("status, body, extra", STATUSES, ids=[s[0] for s in STATUSES])
def test_status_is_passed_on(stage, status, body, extra, target):
    s = stage()
    s.play([answer(body, "text/x-reason", status, extra)])
    got_status, headers, got = s.sidecar.get(target)
    assert (got_status, got) == (int(status[:3]), body)
    assert headers["Content-Type"] == "text/x-reason"
    for line in extra:
        name, _, value = line.partition(": ")
        assert headers[name] == value
    wait_until(lambda: s.sidecar.find("outcome=passed_on"), "no line of log")
    s.recovers()


@pytest.mark.parametrize("script", [
    [b"HTTP/1.1 204 No Content\r\n\r\n"],
    [b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\nX-A: b\r\n\r\n", CLOSE],
], ids=["kept", "closed"])
def test_no_content(stage, script):
    s = stage()
    for _ in range(2):
        s.play(script)
        status, headers, body = s.sidecar.get()
        assert (status, body) == (204, b"")
        assert "Content-Length" not in headers and "Transfer-Encoding" not in headers
    s.recovers()


def test_no_content_type_is_plain_text(stage):
    """evhttp would make it text/html."""
    s = stage()
    s.play([answer(b"<b>no</b>\n", None, "404 Not Found")])
    status, headers, body = s.sidecar.get()
    assert (status, headers["Content-Type"], body) == (404, "text/plain; charset=utf-8", b"<b>no</b>\n")


def test_large_error_page_is_passed_on_whole(stage):
    s = stage()
    s.play([answer(LARGE, status="500 Oops")])
    assert s.sidecar.get()[::2] == (500, LARGE)
    s.recovers()


def test_error_page_that_is_cut(stage):
    """Not even a failure is passed on truncated."""
    s = stage()
    s.fails([b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\nno su", CLOSE], "closed|missing")


def test_faults_leave_nothing_behind(stage):
    """Descriptors and connections are released, however the scrape ended."""
    s = stage()
    s.recovers()
    before = s.sidecar.descriptors()
    for _ in range(10):
        for _, framing, rest, status, reason in FAULTS:
            if status == 502:
                s.play([framing(SMALL)] + rest)
                assert s.sidecar.get()[0] == 502
    s.recovers()
    wait_until(lambda: s.sidecar.descriptors() <= before + 2, f"descriptors stay open, {before} before")


@pytest.mark.parametrize("unix, connections", [(False, 2), (False, 7), (True, 2)], ids=["two", "seven", "unix"])
def test_unsolicited_response_on_an_idle_connection(sidecar, upstream, tmp_path, unix, connections):
    """What an upstream sends without a request, on any of its connections, is not a response."""
    stray, both, said = threading.Event(), threading.Barrier(connections), threading.Semaphore(0)

    def serve(u, connection):
        for i in itertools.count():
            if not u.read_request(connection):
                return
            early = not stray.is_set()  # after the response it may be set
            if early:
                both.wait(10 * SLOW)  # scrapes at once, so that there are as many connections
            connection.sendall(answer(BODY))
            if i == 0 and early:
                stray.wait(10 * SLOW)
                connection.sendall(answer(b"smuggled 1\n"))
                said.release()
    s = sidecar(upstream(serve, str(tmp_path / "s") if unix else None).url)
    with concurrent.futures.ThreadPoolExecutor(connections) as pool:
        assert {r[2] for r in pool.map(lambda _: s.get(), range(connections))} == {BODY}
    stray.set()
    for _ in range(connections):
        assert said.acquire(timeout=10 * SLOW)
    for _ in range(4):
        assert s.get()[::2] == (200, BODY)
