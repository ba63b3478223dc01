# SPDX-License-Identifier: Apache-2.0
"""Bodies that come in large writes: all that was read at once is taken at once, whatever libcurl passes on of it."""
import gzip
import random
import socket
import ssl
import time

import pytest

from conftest import TEXT, wait_until
from kinds import ca, kind, server  # fixtures

LINES = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(60000))
FRAMINGS = ["length", "close", "chunk"]


def framed(framing, body, *extra):
    """A whole response of one chunk, or of none."""
    headers = {"length": f"Content-Length: {len(body)}", "close": "Connection: close",
               "chunk": "Transfer-Encoding: chunked"}
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {TEXT}", headers[framing], *extra, "", ""]).encode()
    return head + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if framing == "chunk" else body)


def sends(response, framing):
    def serve(u, connection, _n):
        while u.read_request(connection):
            connection.sendall(response)
            if framing == "close":
                if isinstance(connection, ssl.SSLSocket):
                    connection.unwrap()
                return
    return serve


@pytest.mark.parametrize("framing", FRAMINGS)
def test_each_byte(sidecar, kind, framing):
    s = sidecar(kind.start(sends(framed(framing, LINES), framing)).url, *kind.flags)
    for _ in range(3):
        assert s.get()[::2] == (200, LINES)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("framing", FRAMINGS)
def test_reader_that_pauses(sidecar, kind, framing, encoding, tmp_path):
    """The transfer is paused after any part of what was read at once, and what was taken of it comes once."""
    extra = ["Content-Encoding: gzip"] if encoding == "gzip" else []
    body = gzip.compress(LINES, 1) if extra else LINES
    serve = sends(framed(framing, body, *extra), framing)
    s = sidecar(kind.start(serve).url, *kind.flags, f"--set=endpoint.default.upstream_encoding={encoding}",
                listen=f"unix:{tmp_path}/listen")
    choose = random.Random(1)
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = []
        while piece := raw.recv(choose.choice([1000, 20000, 200000])):
            received.append(piece)
            if choose.random() < 0.05:
                time.sleep(0.01)
    rest, whole = b"".join(received).split(b"\r\n\r\n", 1)[1], b""
    while not rest.startswith(b"0\r\n"):
        size, rest = rest.split(b"\r\n", 1)
        whole += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]
    assert whole == LINES
    s.wait_line("outcome=ok")


@pytest.mark.parametrize("after", [b"\n", b"\r\n", b"up 1\n"])
def test_what_follows_in_the_same_write(sidecar, upstream, after):
    """It is no part of the body: passed over if it is blank, and else the response is none."""
    body = LINES[:LINES.index(b"\n", 60000) + 1]
    u = upstream(lambda u, connection: sends(framed("length", body) + after, "close")(u, connection, 0))
    status, _, got = sidecar(u.url).get()
    if after.strip():
        assert status == 502
    else:
        assert (status, got) == (200, body)


def test_after_a_redirect(sidecar, upstream):
    """What was read of the redirect's body says nothing about the next one, which is read into the same memory."""
    filler, body = b"x" * 50000, LINES[:LINES.index(b"\n", 9000) + 1]
    apart = 0.3

    def serve(u, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        u.read_request(connection)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 50000\r\n\r\n")
        time.sleep(apart)
        connection.sendall(filler)
        u.read_request(connection)
        head, chunk = framed("chunk", body).split(b"\r\n\r\n", 1)
        connection.sendall(head + b"\r\n\r\n" + chunk[:10])
        for part in (chunk[10:8000], chunk[8000:]):
            time.sleep(apart)
            connection.sendall(part)
        u.read_request(connection)
    u = upstream(serve)
    assert sidecar(u.url).get()[::2] == (200, body)
    wait_until(lambda: len(u.requests) == 2, "the redirect was not followed on its connection")
