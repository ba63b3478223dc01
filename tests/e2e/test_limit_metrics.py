# SPDX-License-Identifier: Apache-2.0
"""A client that hits a limit gets the reason, the log names the peer, and only this limit's metric counts it.
The limits of a body are in test_body_limits.py."""
import contextlib
import socket

import pytest

from conftest import SLOW, answer, answering, wait_until
from test_limits import BODY, LARGE, Gated, Kept, ended, scrape_in_thread, setting, soon
from test_telemetry import samples


def hits(sidecar):
    """{limit: hits}, without those of 0."""
    return {dict(k[1:])["limit"]: v for k, v in samples(sidecar).items() if k[0] == "scrapeshard_limit_hits_total" and v}


def is_reported(sidecar, limit, logged=True, times=1):
    """Only this limit's metric counts it; the log has the same word, and the peer."""
    wait_until(lambda: hits(sidecar) == {limit: times}, f"{limit} is not counted alone: {hits(sidecar)}")
    if logged:
        sidecar.wait_line(f"level=warn .*limit={limit} peer=127.0.0.1")


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


@pytest.mark.parametrize("before", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "kept"])
@pytest.mark.parametrize("head", [
    b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 8300 + b"\r\n\r\n",
    b"GET /metrics?" + b"x" * 8300 + b" HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 80) for i in range(120)) + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100000,
], ids=["a header", "the target", "many headers", "without an end"])
def test_request_head(sidecar, service, head, before):
    s = sidecar(service.url)
    with s.connect() as raw:
        if before:
            raw.sendall(before)
            while not raw.recv(65536).endswith(BODY):
                pass
        with contextlib.suppress(ConnectionError):
            raw.sendall(head)
        got = ended(raw)
    assert got == b"" or got.startswith(b"HTTP/1.1 400 ")  # a reset may overtake it
    is_reported(s, "request_head")


@pytest.mark.parametrize("head, body, status", [
    (b"GET /metrics HTTP/1.1\r\nConnection: close\r\nX: " + b"x" * 7900, b"", b"200"),
    (b"junk", b"", b"400"),
    (b"GET /metrics HTTP/1.1\r\nConnection: close\r\nContent-Length: 8000\r\nX: " + b"x" * 1000, b"x" * 8000, b"200"),
], ids=["just within", "junk", "with a body"])
def test_request_head_that_is_no_limit(sidecar, service, head, body, status):
    s = sidecar(service.url)
    with s.connect() as raw:
        raw.sendall(head + b"\r\n\r\n" + body)
        assert ended(raw).split(b" ")[1] == status
    assert hits(s) == {}


@pytest.mark.parametrize("begun, answered", [(b"GET /metrics HTTP/1.1\r\n", b"HTTP/1.1 408 "), (b"", b"")],
                         ids=["half a head", "nothing"])
def test_request_deadline(sidecar, service, begun, answered):
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)))
    with s.connect() as raw:
        raw.sendall(begun)
        assert ended(raw).startswith(answered)
    is_reported(s, "head_timeout")


def turned_away(sidecar):
    with sidecar.connect() as raw:
        got = ended(raw)
    assert got.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in got


def test_connections(sidecar, service):
    s = sidecar(service.url, *setting(web_max_connections=2, web_max_connections_per_peer=0))
    with contextlib.closing(Kept(s)), contextlib.closing(Kept(s)):
        turned_away(s)
    is_reported(s, "max_connections")


def test_connections_per_peer(sidecar, service):
    s = sidecar(service.url, *setting(web_max_connections_per_peer=2))
    with contextlib.closing(Kept(s)), contextlib.closing(Kept(s)):
        turned_away(s)
    is_reported(s, "max_connections_per_peer")


def test_evicted(sidecar, service):
    s = sidecar(service.url, *setting(web_max_connections=2))
    with s.connect() as oldest, s.connect(), contextlib.closing(Kept(s)):
        assert ended(oldest) == b""
    is_reported(s, "evicted")


def test_in_flight(sidecar, upstream):
    gated = Gated()
    s = sidecar(upstream(gated).url, "--set=endpoint.default.max_in_flight=2")
    got = []
    t = scrape_in_thread(s, "/metrics", got)
    wait_until(lambda: gated.asked == 1, "the scrape does not reach the upstream")
    status, headers, body = s.get()
    assert (status, headers["Retry-After"]) == (503, "1") and b"max_in_flight = 2" in body
    gated.go_on.set()
    t.join(20 * SLOW)
    assert got[0][0] == 200
    is_reported(s, "max_in_flight")


@pytest.mark.parametrize("max_age", ["0s", "1h"], ids=["streamed", "snapshot"])
def test_upstream_connections(sidecar, upstream, max_age):
    """A scrape that waits for a connection and gets none in time."""
    gated = Gated()
    s = sidecar(upstream(gated).url, *setting(web_max_upstream_connections=2),
                f"--set=endpoint.default.timeout={soon(20)}", f"--set=endpoint.default.max_age={max_age}")
    got = []
    t = scrape_in_thread(s, "/metrics?first", got)
    wait_until(lambda: gated.asked == 1, "the scrape does not reach the upstream")
    status, _, body = s.get("/metrics?second", {"X-Prometheus-Scrape-Timeout-Seconds": str(SLOW)})
    assert status == 504 and b"could not connect to the upstream within " in body
    gated.go_on.set()
    t.join(20 * SLOW)
    assert got[0][0] == 200
    is_reported(s, "max_upstream_connections", logged=False)


def test_whole_scrape(sidecar, upstream):
    """The upstream's fault: counted as an upstream error, not as a limit."""
    gated = Gated()
    s = sidecar(upstream(gated).url, f"--set=endpoint.default.timeout={soon(1)}")
    status, _, body = s.get()
    assert status == 504 and b"the upstream did not respond within " in body
    gated.go_on.set()
    wait_until(lambda: samples(s)["scrapeshard_scrapes_total", ("endpoint", "default"), ("outcome", "timeout")] == 1,
               "the scrape is not counted")
    assert samples(s)["scrapeshard_upstream_errors_total", ("endpoint", "default"), ("reason", "timeout")] == 1
    assert hits(s) == {}


@pytest.mark.parametrize("max_age", ["0s", "1h"], ids=["streamed", "snapshot"])
def test_slow_reader(sidecar, upstream, max_age):
    s = sidecar(upstream(answering(answer(LARGE * 4))).url, f"--set=endpoint.default.timeout={soon(5)}",
                f"--set=endpoint.default.max_age={max_age}")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", s.port))
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        s.wait_line("outcome=timeout .*the scraper did not read the response in time", 20)
        with contextlib.suppress(ConnectionError):
            got = b""
            while piece := raw.recv(1 << 20):
                got = got[-16:] + piece
            assert not got.endswith(b"0\r\n\r\n")
    is_reported(s, "slow_reader", logged=False)


def test_our_own_response_that_nobody_reads(sidecar, service):
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)))
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", s.port))
        raw.settimeout(20 * SLOW)
        with pytest.raises(ConnectionError):
            while True:
                raw.sendall(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
    is_reported(s, "slow_reader")
