# SPDX-License-Identifier: Apache-2.0
"""Limits: what one peer, or many, may use of the sidecar, and that a scraper's kept connection outlives them all."""
import contextlib
import http.client
import os
import re
import resource
import socket
import subprocess
import threading
import time

import pytest

from conftest import BINARY, SLOW, Process, answer, answering, wait_until
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\n"
# More than the 4 MiB that the kernel buffers for a client that does not read.
LARGE = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(150000))


def setting(**values):
    """Flags for settings: web_grace="1s" is --set web.grace=1s."""
    return [word for name, value in values.items() for word in ("--set", f"{name.replace('_', '.', 1)}={value}")]


def soon(seconds):
    """A duration, longer under sanitizers. Where something has to be done within it, not less than some seconds: a busy
    machine may stop a process for one."""
    return f"{seconds * SLOW * 1000:.0f}ms"


def ended(raw, timeout=20):
    """What came until the peer closed; fails if it does not close."""
    raw.settimeout(timeout * SLOW)
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := raw.recv(65536):
            got += piece
    return got


def is_open(raw):
    """Whether a connection on which nothing is expected is still open."""
    raw.setblocking(False)
    try:
        return raw.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        raw.setblocking(True)


class Kept:
    """A scraper with a kept connection; again() scrapes over the same connection, or fails."""

    def __init__(self, sidecar, source="127.0.0.1"):
        self.connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=20 * SLOW,
                                                     source_address=(source, 0))
        self.connection.auto_open = False
        self.connection.connect()
        self.again()

    def again(self):
        self.connection.request("GET", "/metrics")
        response = self.connection.getresponse()
        assert (response.status, response.read()) == (200, BODY)

    def close(self):
        self.connection.close()


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


@pytest.fixture
def many():
    """many(sidecar, n, source) opens connections that send nothing; they are closed after the test."""
    with contextlib.ExitStack() as stack:
        def start(sidecar, n, source="127.0.0.1"):
            return [stack.enter_context(socket.create_connection(("127.0.0.1", sidecar.port), 20 * SLOW, (source, 0)))
                    for _ in range(n)]
        yield start


# The deadline of the request header.


def drip(raw, data):
    """Sends a byte now and then, as long as they are accepted."""
    with contextlib.suppress(OSError):
        for byte in data * 1000:
            raw.sendall(bytes([byte]))
            time.sleep(0.05 * SLOW)


@pytest.mark.parametrize("before", [b"", b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "kept"])
@pytest.mark.parametrize("begun", [b"", b"GET /metrics HTTP/1.1\r\n"], ids=["line", "headers"])
def test_head_byte_by_byte(sidecar, service, before, begun):
    """Every byte would restart an inactivity timer; the deadline does not move."""
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)))
    with s.connect() as raw:
        if before:
            raw.sendall(before)
            wait_until(lambda: s.count("msg=scrape") == 1, "no scrape")
            while not raw.recv(65536).endswith(BODY):
                pass
        raw.sendall(begun)
        threading.Thread(target=drip, args=(raw, b"X-A:_b\r\n" if begun else b"GET"), daemon=True).start()
        got = ended(raw)
    assert got == b"" or got.startswith(b"HTTP/1.1 408 ")
    s.wait_line("limit=head_timeout peer=127.0.0.1")


@pytest.mark.parametrize("ahead", [b"G", b"GET /metrics HTTP/1.1\r\nX: "], ids=["a byte", "half a head"])
def test_head_that_began_before_the_last_answer(sidecar, service, ahead):
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)))
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" + ahead)
        got = ended(raw)
    assert got.startswith(b"HTTP/1.1 200 ") and BODY in got
    s.wait_line("limit=head_timeout peer=127.0.0.1")


def test_body_of_a_request_byte_by_byte(sidecar, service):
    s = sidecar(service.url, *setting(web_head_timeout=soon(0.5)))
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n")
        threading.Thread(target=drip, args=(raw, b"x"), daemon=True).start()
        ended(raw)
    s.wait_line("limit=head_timeout")
    assert not service.requests


def test_connection_that_sends_nothing(sidecar, service, many):
    s = sidecar(service.url, *setting(web_head_timeout=soon(0.3)))
    assert ended(many(s, 1)[0]) == b""


def test_kept_connection_may_be_idle_for_longer(sidecar, service, many):
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)))
    kept = Kept(s)
    for _ in range(2):
        ended(many(s, 1)[0])
    kept.again()
    assert service.connections == 1
    kept.close()


def test_head_timeout_of_the_admin_listener(sidecar, service):
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)))
    with socket.create_connection(("127.0.0.1", s.admin_port)) as raw:
        raw.sendall(b"GET /-/healthy HTTP/1.1\r\n")
        assert ended(raw).startswith(b"HTTP/1.1 408 ")


def test_slowloris(sidecar, service):
    """Many at once, and a scraper that does not notice."""
    s = sidecar(service.url, *setting(web_head_timeout=soon(2), web_max_connections=50))
    kept, over = Kept(s), threading.Event()

    def attack():
        while not over.is_set():
            with contextlib.suppress(OSError), s.connect() as raw:
                drip(raw, b"GET /metrics HTTP/1.1\r\nX-A: b\r\n"[:20])
    threads = [threading.Thread(target=attack, daemon=True) for _ in range(80)]
    for t in threads:
        t.start()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        kept.again()
        begun = time.monotonic()
        try:
            assert s.get()[0] == 200
        except (ConnectionError, http.client.HTTPException):
            # Between its connect(2) and its request, on a busy machine, the others have made 50 newer connections.
            assert time.monotonic() - begun > 0.05
    over.set()
    kept.close()
    assert len(service.requests) > 10


# Connections.


def test_the_oldest_that_never_got_anything_makes_room(sidecar, service, many):
    s = sidecar(service.url, *setting(web_max_connections=10))
    kept = Kept(s)
    idle = many(s, 9)
    assert s.get()[0] == 200
    ended(idle[0])
    assert all(is_open(raw) for raw in idle[2:])
    s.wait_line("limit=evicted")
    many(s, 30)
    for raw in idle:
        ended(raw)
    kept.again()
    kept.close()


def test_served_connections_make_no_room(sidecar, service):
    s = sidecar(service.url, *setting(web_max_connections=4))
    kept = [Kept(s) for _ in range(4)]
    with s.connect() as raw:
        assert ended(raw).startswith(b"HTTP/1.1 503 ")
    s.wait_line("limit=max_connections peer=127.0.0.1")
    for k in kept:
        k.again()
    kept.pop().close()
    wait_until(lambda: refused(s) is False, "the free slot cannot be used")
    for k in kept:
        k.again()
        k.close()


def test_the_peer_with_the_most_makes_room(sidecar, service):
    """Even connections with a response, of a peer that has more than the new one's: never a scraper's only one."""
    s = sidecar(service.url, *setting(web_max_connections=6))
    scraper, many = Kept(s, "127.0.0.2"), [Kept(s, "127.0.0.3") for _ in range(5)]
    new = [Kept(s, f"127.0.0.{i}") for i in range(4, 8)]
    s.wait_line("limit=evicted peer=127.0.0.3")
    with socket.create_connection(("127.0.0.1", s.port), source_address=("127.0.0.8", 0)) as raw:
        assert ended(raw).startswith(b"HTTP/1.1 503 ")
    for k in (scraper, many[-1], *new):
        k.again()
    for k in (scraper, *many, *new):
        k.close()


def test_the_peer_with_the_most_makes_room_even_during_a_request(sidecar, service):
    """A byte now and then does not keep a connection for ever."""
    s = sidecar(service.url, *setting(web_max_connections=6, web_head_timeout="1h"))
    scraper, many = Kept(s, "127.0.0.2"), [Kept(s, "127.0.0.3") for _ in range(5)]
    for k in many:
        k.connection.sock.sendall(b"G")
    assert s.admin("/-/healthy")[0] == 200
    new = [Kept(s, f"127.0.0.{i}") for i in range(4, 8)]
    s.wait_line("limit=evicted peer=127.0.0.3")
    with socket.create_connection(("127.0.0.1", s.port), source_address=("127.0.0.8", 0)) as raw:
        assert ended(raw).startswith(b"HTTP/1.1 503 ")
    assert is_open(many[-1].connection.sock)
    for k in (scraper, *new):
        k.again()
    for k in (scraper, *many, *new):
        k.close()


def refused(sidecar):
    try:
        return sidecar.get()[0] == 503
    except (ConnectionError, http.client.HTTPException):
        return True


def test_connections_of_one_peer(sidecar, service, many):
    """Only connections of the same address are evicted."""
    s = sidecar(service.url, *setting(web_max_connections=100, web_max_connections_per_peer=5))
    other = many(s, 5, "127.0.0.2")
    mine = many(s, 8, "127.0.0.3")
    for raw in mine[:3]:
        ended(raw)
    assert all(is_open(raw) for raw in other + mine[3:])
    kept = [Kept(s, "127.0.0.4") for _ in range(5)]
    with socket.create_connection(("127.0.0.1", s.port), source_address=("127.0.0.4", 0)) as raw:
        assert ended(raw).startswith(b"HTTP/1.1 503 ")
    s.wait_line("limit=max_connections_per_peer peer=127.0.0.4")
    assert all(is_open(raw) for raw in other)
    for k in kept:
        k.again()
        k.close()


def test_connections_over_a_unix_socket(sidecar, service, tmp_path):
    """They have no address; the limit for all applies."""
    path = f"{tmp_path}/s"
    s = sidecar(service.url, listen=f"unix:{path}", *setting(web_max_connections=6, web_max_connections_per_peer=1))
    with contextlib.ExitStack() as stack:
        def connect():
            raw = stack.enter_context(socket.socket(socket.AF_UNIX))
            raw.connect(path)
            return raw
        idle = [connect() for _ in range(6)]
        last = connect()
        ended(idle[0])
        assert all(is_open(raw) for raw in [*idle[1:], last])


def test_admin_connections(sidecar, service):
    s = sidecar(service.url, *setting(admin_max_connections=4, web_max_connections=1))
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", s.admin_port))) for _ in range(6)]
        for raw in idle[:4]:
            ended(raw)
        assert s.admin("/-/healthy")[0] == 200


def test_limits_are_taken_by_a_reload(sidecar, service, tmp_path):
    config = tmp_path / "c.ini"
    text = f"[endpoint a]\nupstream = {service.url}\n[web]\nmax_connections = "
    config.write_text(text + "2\n")
    s = sidecar(config=config)
    kept = [Kept(s), Kept(s)]
    assert refused(s)
    config.write_text(text + "3\n")
    assert s.admin("/-/reload", "POST")[0] == 200
    wait_until(lambda: not refused(s), "the new limit is not applied")
    for k in kept:
        k.again()
        k.close()


@pytest.mark.parametrize("request_", [b"", b"GET /metrics HTT", b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"],
                         ids=["silent", "half a head", "not found"])
def test_flood(sidecar, service, request_):
    """Connections from one address as fast as possible: the scraper's is kept, and the log is not flooded."""
    s = sidecar(service.url, *setting(web_max_connections=40, web_max_connections_per_peer=20))
    kept, over, start = Kept(s, "127.0.0.2"), threading.Event(), time.monotonic()

    def attack():
        held = []
        while not over.is_set():
            with contextlib.suppress(OSError):
                raw = s.connect()
                held.append(raw)
                raw.sendall(request_)
            if len(held) > 50:
                held.pop(0).close()
        for raw in held:
            raw.close()
    threads = [threading.Thread(target=attack, daemon=True) for _ in range(4)]
    for t in threads:
        t.start()
    wait_until(lambda: s.find("limit="), "no limit is hit")
    for _ in range(200):
        kept.again()
        assert s.admin("/-/healthy")[0] == 200
    new = Kept(s, "127.0.0.3")
    new.close()
    over.set()
    for t in threads:
        t.join()
    kept.close()
    assert s.count("limit=") < 20 + (time.monotonic() - start)
    wait_until(lambda: s.descriptors() < 20, "connections stay open")


# Descriptors.


class Small(Process):
    """A sidecar with few descriptors."""

    def __init__(self, url, most, steer):
        self.steer = steer
        # Connections must make room by eviction, not by head_timeout.
        super().__init__(["prlimit", f"--nofile={most}:{most}", BINARY, f"--upstream.url={url}",
                          "--web.listen-address=127.0.0.1:0", "--admin.listen-address=127.0.0.1:0",
                          "--set=web.head_timeout=1h"], env=steer.environment)
        self.port = int(self.wait_line(r'"listening for scrapes" address=\S+:(\d+)')[1])
        self.admin_port = int(self.wait_line(r'"listening for administration" address=\S+:(\d+)')[1])

    def descriptors(self):
        return [int(name) for name in os.listdir(f"/proc/{self.process.pid}/fd")]

    def has_reserve(self):
        for fd in self.descriptors():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if fd > 2 and os.readlink(f"/proc/{self.process.pid}/fd/{fd}") == "/dev/null":
                    return True
        return False

    def get(self, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=20 * SLOW)
        try:
            connection.request("GET", "/-/healthy" if port else "/metrics")
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def small(service, tmp_path):
    s = Small(service.url, 32, Steer(tmp_path / "steer"))
    yield s
    assert s.stop() == 0
    assert not s.find("Sanitizer|runtime error")


def test_few_descriptors(small, many):
    """ulimit -n 32 and a hundred connections: the scraper goes on, and once they are closed all is as before."""
    kept = Kept(small)
    idle = many(small, 100)
    small.wait_line("limit=")
    wait_until(lambda: len(small.descriptors()) <= 24, "no room is made for scrapes")
    for _ in range(20):
        kept.again()
        assert small.get(small.admin_port) == 200
        assert small.get() == 200
    for raw in idle:
        raw.close()
    kept.again()
    for _ in range(20):
        assert small.get() == 200
    assert small.count("limit=") < 10
    kept.close()


def lower(small, most):
    resource.prlimit(small.process.pid, resource.RLIMIT_NOFILE, (most, 32))


def test_no_descriptors(small, many):
    """None left for accept(2): new connections are rejected at once with the reserve, and all recovers."""
    kept = Kept(small)
    small.wait_line("msg=scrape")
    used = small.descriptors()
    many(small, max(used) + 1 - len(used))  # the lowest are used first
    wait_until(lambda: len(small.descriptors()) == max(used) + 1, "the gaps are not filled")
    lower(small, max(used) + 1)
    for raw in many(small, 20):
        assert ended(raw) == b""
    small.wait_line("limit=descriptors peer=127.0.0.1")
    lower(small, 3)
    with pytest.raises(AssertionError, match="503"):
        kept.again()  # a scrape needs two: it fails with a reason
    small.wait_line("outcome=no_memory .*out of file descriptors")
    lower(small, 32)
    kept.again()
    assert small.get() == 200
    kept.close()
    assert small.count("limit=descriptors") < 5


def test_not_even_the_reserve(small, many):
    """New connections wait, and nothing spins, until there is a descriptor again."""
    assert small.has_reserve()
    lower(small, 3)
    waiting = many(small, 5)
    wait_until(lambda: not small.has_reserve(), "the reserve is not used")
    before, start = small.steer.turns(), time.monotonic()
    assert before, "nothing is counted"
    time.sleep(1)
    turns = small.steer.turns() - before
    assert turns < 30 * (time.monotonic() - start), "it spins"
    assert not small.has_reserve()
    lower(small, 32)
    assert small.get() == 200
    assert all(is_open(raw) for raw in waiting)
    assert small.has_reserve()


# Scrapes.


class Gated:
    def __init__(self):
        self.asked, self.go_on = 0, threading.Event()

    def __call__(self, upstream, connection):
        while upstream.read_request(connection):
            self.asked += 1
            self.go_on.wait(20 * SLOW)
            connection.sendall(answer(BODY))


def scrape_in_thread(s, target, got):
    t = threading.Thread(target=lambda: got.append(s.get(target)), daemon=True)
    t.start()
    return t


def test_scrapes_in_flight(sidecar, upstream, service, tmp_path):
    """Beyond the limit 503 with Retry-After; the last slot is for another address; another endpoint is unaffected, and
    neither a reload nor rejected scrapes take a slot."""
    gated, config = Gated(), tmp_path / "c.ini"
    config.write_text(f"[endpoint a]\npath = /a\nupstream = {upstream(gated).url}\nmax_in_flight = 4\ntimeout = 1h\n"
                      f"[endpoint b]\npath = /b\nupstream = {service.url}\nmax_in_flight = 4\n")
    s = sidecar(config=config)
    got = []
    threads = [scrape_in_thread(s, "/a", got) for _ in range(3)]
    wait_until(lambda: gated.asked == 3, "the scrapes do not reach the upstream")
    for _ in range(5):
        status, headers, body = s.get("/a")
        assert status == 503 and int(headers["Retry-After"]) > 0
        assert b"endpoint a" in body and b"max_in_flight" in body
        assert s.get("/b")[0] == 200
    assert s.admin("/-/reload", "POST")[0] == 200
    assert s.get("/a")[0] == 503
    wait_until(lambda: s.count("msg=scrape .*outcome=busy status=503") == 6, "the log does not say so")
    assert s.count("limit=max_in_flight") == 1
    other = Asking(s, "/a", "127.0.0.2")
    wait_until(lambda: gated.asked == 4, "the last slot is not for another address")
    assert get_from(s, "127.0.0.3", "/a") == 503
    gated.go_on.set()
    for t in threads:
        t.join(20 * SLOW)
    assert [status for status, _, _ in got] == [200] * 3 and other.result() == 200
    assert s.get("/a")[0] == 200


def get_from(s, source, target="/metrics"):
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW, source_address=(source, 0))
    try:
        c.request("GET", target)
        response = c.getresponse()
        response.read()
        return response.status
    finally:
        c.close()


class Asking(threading.Thread):
    """A scrape from an address, in another thread; result() is its status."""

    def __init__(self, sidecar, target, source):
        super().__init__(daemon=True)
        self.args, self.status = (sidecar, source, target), None
        self.start()

    def run(self):
        self.status = get_from(*self.args)

    def result(self):
        self.join(20 * SLOW)
        return self.status


def test_upstream_connections(sidecar, upstream):
    """The peer that scrapes the most cannot use the last one."""
    gated = Gated()
    u = upstream(gated)
    s = sidecar(u.url, *setting(web_max_upstream_connections=3))
    got = []
    threads = [scrape_in_thread(s, "/metrics", got) for _ in range(6)]
    wait_until(lambda: gated.asked == 2, "the scrapes do not reach the upstream")
    assert s.admin("/-/healthy")[0] == 200
    assert u.connections == 2
    others = [Asking(s, "/metrics", "127.0.0.2") for _ in range(2)]
    wait_until(lambda: gated.asked == 3, "the last connection is not for another address")
    assert s.admin("/-/healthy")[0] == 200
    assert u.connections == 3
    gated.go_on.set()
    for t in threads:
        t.join(20 * SLOW)
    assert [status for status, _, _ in got] == [200] * 6 and u.connections == 3
    assert [other.result() for other in others] == [200] * 2


def test_service_that_hangs_keeps_no_other_waiting(sidecar, upstream, service, tmp_path):
    """Scrapes that wait for it are not in another upstream's queue."""
    gated, config = Gated(), tmp_path / "c.ini"
    config.write_text(f"[web]\nmax_upstream_connections = 2\n[endpoint a]\npath = /a\nupstream = {upstream(gated).url}\n"
                      f"[endpoint b]\npath = /b\nupstream = {service.url}\n")
    s = sidecar(config=config)
    hanging = [Asking(s, "/a", f"127.0.0.{i}") for i in range(1, 9)]
    wait_until(lambda: gated.asked == 2 and in_flight(s) == 8, "the scrapes do not reach the upstream")
    for _ in range(2):
        waiting = [Asking(s, "/b", f"127.0.0.{i}") for i in range(1, 9)]
        assert [other.result() for other in waiting] == [200] * 8
    gated.go_on.set()
    assert [other.result() for other in hanging] == [200] * 8


def in_flight(s):
    return int(re.search(rb"^scrapeshard_scrapes_in_flight (\d+)", s.admin("/metrics")[2], re.M)[1])


def test_services_on_unix_sockets_are_not_one(sidecar, upstream, tmp_path):
    gated, config = Gated(), tmp_path / "c.ini"
    a, b = upstream(gated, f"{tmp_path}/a"), upstream(answering(answer(BODY)), f"{tmp_path}/b")
    config.write_text(f"[web]\nmax_upstream_connections = 2\n"
                      f"[endpoint a]\npath = /a\nupstream = {a.url}\ntimeout = 1h\n"
                      f"[endpoint b]\npath = /b\nupstream = {b.url}\ntimeout = {soon(10)}\n")
    s = sidecar(config=config)
    assert s.get("/b")[0] == 200
    hanging = [Asking(s, "/a", f"127.0.0.{i}") for i in (1, 2)]
    wait_until(lambda: gated.asked == 2, "the scrapes do not reach the upstream")
    assert s.get("/b")[0] == 200
    gated.go_on.set()
    assert [other.result() for other in hanging] == [200] * 2


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_endpoints_of_one_service_share_its_connections(sidecar, upstream, tmp_path, unix):
    gated, config = Gated(), tmp_path / "c.ini"
    u = upstream(gated, f"{tmp_path}/s" if unix else None)
    config.write_text(f"[web]\nmax_upstream_connections = 3\n[endpoint a]\npath = /a\nupstream = {u.url}\n"
                      f"[endpoint b]\npath = /b\nupstream = {u.url}/other\nmax_age = 1h\n")
    s = sidecar(config=config)
    asking = [Asking(s, path, f"127.0.0.{i}") for i in range(1, 5) for path in ("/a", f"/b?{i}")]
    wait_until(lambda: gated.asked == 3 and in_flight(s) == 8, "the scrapes do not reach the upstream")
    assert s.admin("/-/healthy")[0] == 200
    assert gated.asked == 3
    gated.go_on.set()
    assert [other.result() for other in asking] == [200] * 8
    assert unix or u.connections == 3  # those of a unix socket are not reused


def test_upstream_connections_of_scrapers_on_a_unix_socket(sidecar, upstream, tmp_path):
    """They have no address; the limit for all applies."""
    gated = Gated()
    u = upstream(gated)
    s = sidecar(u.url, *setting(web_max_upstream_connections=3), listen=f"unix:{tmp_path}/s")
    with contextlib.ExitStack() as stack:
        scrapers = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(8)]
        for raw in scrapers:
            raw.connect(f"{tmp_path}/s")
            raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        wait_until(lambda: gated.asked == 3 and in_flight(s) == 8, "the scrapes do not reach the upstream")
        assert u.connections == 3
        gated.go_on.set()
        assert [ended(raw).endswith(BODY) for raw in scrapers] == [True] * 8
    assert u.connections == 3



@pytest.mark.parametrize("max_age", ["0s", "1h"], ids=["streamed", "snapshot"])
def test_upstream_connections_of_a_reload(sidecar, upstream, tmp_path, max_age):
    """Waiting scrapes go on at once, whatever the limit was when they were queued."""
    gated, config = Gated(), tmp_path / "c.ini"
    text = f"[endpoint a]\nupstream = {upstream(gated).url}\nmax_age = {max_age}\n[web]\nmax_upstream_connections = "

    def reload(most):
        config.write_text(f"{text}{most}\n")
        assert s.admin("/-/reload", "POST")[0] == 200
    config.write_text(f"{text}1\n")
    s = sidecar(config=config)
    asking = [Asking(s, f"/metrics?{i}", "127.0.0.1") for i in range(4)]
    wait_until(lambda: gated.asked == 1 and in_flight(s) == 4, "the scrapes do not reach the upstream")
    reload(3)
    wait_until(lambda: gated.asked == 2, "the waiting scrapes do not go on")
    asking += [Asking(s, f"/metrics?{i}", "127.0.0.2") for i in range(4, 6)]
    wait_until(lambda: gated.asked == 3 and in_flight(s) == 6, "the last connection is not for another address")
    reload(0)
    wait_until(lambda: gated.asked == 6, "the waiting scrapes do not go on")
    reload(2)
    asking.append(Asking(s, "/metrics?late", "127.0.0.3"))
    wait_until(lambda: in_flight(s) == 7, "the scrape has not started")
    assert gated.asked == 6
    gated.go_on.set()
    assert [other.result() for other in asking] == [200] * 7


def test_scrapes_that_wait_for_a_connection(sidecar, upstream):
    """They time out or leave, and no other scrape loses its turn."""
    gated = Gated()
    u = upstream(gated)
    s = sidecar(u.url, *setting(web_max_upstream_connections=2), "--set", f"endpoint.default.timeout={soon(20)}")
    first = Asking(s, "/metrics", "127.0.0.1")
    wait_until(lambda: gated.asked == 1, "the scrape does not reach the upstream")
    status, _, body = s.get(headers={"X-Prometheus-Scrape-Timeout-Seconds": str(SLOW)})
    assert status == 504 and b"could not connect to the upstream within " in body
    with s.connect() as leaving:
        leaving.sendall(b"GET /metrics?leaves HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.admin("/-/healthy")[0] == 200
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a close could be half a close
    s.wait_line("outcome=client_gone")
    last = Asking(s, "/metrics?last", "127.0.0.1")
    assert s.admin("/-/healthy")[0] == 200
    gated.go_on.set()
    assert (first.result(), last.result()) == (200, 200)
    assert len(u.requests) == 2 and b"?last" in u.requests[1]


def test_slow_readers_do_not_take_every_connection(sidecar, upstream):
    """They hold the upstream's connections; another address is still served."""
    u = upstream(answering(answer(LARGE)))
    s = sidecar(u.url, "--set", "endpoint.default.timeout=60s")
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            raw = stack.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", s.port))
            raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: len(u.requests) == 7, "they do not reach the upstream")
        for _ in range(10):
            assert get_from(s, "127.0.0.2") == 200
    wait_until(lambda: s.descriptors() < 30, "connections stay open")


def slowly(raw):
    """Reads a byte now and then until the end."""
    with contextlib.suppress(OSError):
        while raw.recv(1):
            time.sleep(0.1)


def test_reader_of_a_byte_a_second_meets_the_deadline(sidecar, upstream):
    """Each byte is progress; the scrape as a whole still times out."""
    s = sidecar(upstream(answering(answer(LARGE))).url, "--set",
                f"endpoint.default.timeout={soon(4)}")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", s.port))
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        threading.Thread(target=slowly, args=(raw,), daemon=True).start()
        s.wait_line("outcome=timeout .*the scraper did not read the response in time", 20)
        wait_until(lambda: s.descriptors() < 20, "the connection stays open")


@pytest.mark.parametrize("target", ["/nowhere", "/metrics?shard=1"], ids=["not found", "bad request"])
def test_responses_that_nobody_reads(sidecar, service, target):
    """Endless requests, and no response is read: the connection does not outlive the deadline."""
    s = sidecar(service.url, *setting(web_head_timeout=soon(2)),
                "--set", f"endpoint.default.timeout={soon(2)}")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", s.port))
        before = s.descriptors()
        raw.settimeout(20 * SLOW)
        with pytest.raises(ConnectionError):
            while True:
                raw.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 100)
    wait_until(lambda: s.descriptors() <= before, "the connection stays open")
    assert s.get()[0] == 200


# The file.


@pytest.mark.parametrize("line", ["max_connections = many", "max_connections_per_peer = -1", "head_timeout = 0s",
                                  "max_upstream_connections = 1x", "grace = soon"])
def test_invalid_limits(tmp_path, line):
    config = tmp_path / "c.ini"
    config.write_text(f"[web]\n{line}\n[endpoint a]\nupstream = http://127.0.0.1:1/\n")
    r = subprocess.run([BINARY, "check", config], capture_output=True, text=True, check=False)
    assert r.returncode == 1
    assert re.match(rf"{config}:2:\d+: .*{line.split()[0]}", r.stderr), r.stderr
