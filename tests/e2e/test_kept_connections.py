# SPDX-License-Identifier: Apache-2.0
"""Connections to every kind of upstream are kept: over TCP, TLS and unix sockets. What nobody asked for is never the next
response, and neither connections nor TLS sessions of other settings are used."""
import concurrent.futures
import contextlib
import fcntl
import re
import signal
import socket
import ssl
import struct
import termios
import threading

import pytest

from conftest import SLOW, TEXT, answer, wait_until
from kinds import ca, context_of, kind, over_tls, server  # ca, kind and server are fixtures
from pki import Authority
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\n"
SMUGGLED = answer(b"smuggled 1\n")


@pytest.fixture
def tls(upstream, ca, server):
    return over_tls(upstream, ca, context_of(server))


def answering(*answers):
    def serve(u, connection, _n):
        i = 0
        while u.read_request(connection):
            connection.sendall(answers[min(i, len(answers) - 1)])
            i += 1
    return serve


def counted(s, reused):
    text = s.admin("/metrics")[2].decode()
    name = f'scrapeshard_upstream_connections_total{{endpoint="default",reused="{reused}"}}'
    return float(re.search(rf"^{re.escape(name)} (\S+)", text, re.M)[1])


def get(s):
    status, _, body = s.get()
    return status, body


GOOD = (200, BODY)


def test_one_for_200_scrapes(sidecar, kind):
    chunked = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {TEXT}", "Transfer-Encoding: chunked", "", ""]).encode()
    chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    u = kind.start(answering(answer(BODY), chunked, answer(BODY)))
    s = sidecar(u.url, *kind.flags)
    for _ in range(200):
        assert get(s) == GOOD
    assert u.connections == 1
    assert (counted(s, "false"), counted(s, "true")) == (1, 199)


def test_as_many_as_scrapes_at_once(sidecar, kind):
    """The second time they are all used again."""
    together = threading.Barrier(4)

    def serve(u, connection, _n):
        while u.read_request(connection):
            together.wait(20 * SLOW)
            connection.sendall(answer(BODY))
    u = kind.start(serve)
    s = sidecar(u.url, *kind.flags)
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            assert {tuple(r) for r in pool.map(lambda _: get(s), range(4))} == {GOOD}
    assert u.connections == 4
    assert (counted(s, "false"), counted(s, "true")) == (4, 8)


# Guards.


def wait_arrived(connection):
    """Until the peer's kernel has all that was sent: over TCP that may be later than send(2), also on loopback."""
    def unacknowledged():
        return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]
    if connection.family != socket.AF_UNIX:
        wait_until(lambda: not unacknowledged(), "what was sent does not arrive")


@pytest.mark.parametrize("steered", [False, True], ids=["later", "at once"])
def test_late_response_is_not_the_next(sidecar, kind, tmp_path, steered):
    """Whether libcurl finds a response later, or in the very call that sends the request."""
    said = threading.Semaphore(0)

    def serve(u, connection, n):
        while u.read_request(connection):
            connection.sendall(answer(BODY))
            if n == 0 and len(u.requests) == 3:
                wait_until(lambda: s.count("msg=scrape") == 3, "no line of log")
                connection.sendall(SMUGGLED)
                wait_arrived(connection)
                said.release()
    u = kind.start(serve)
    env = None
    if steered:
        steer = Steer(tmp_path / "steer")
        steer.be_patient()
        env = steer.environment
    s = sidecar(u.url, *kind.flags, env=env)
    for _ in range(3):
        assert get(s) == GOOD
    assert said.acquire(timeout=10 * SLOW)
    assert get(s) == GOOD and get(s) == GOOD
    assert u.connections == 2


@pytest.mark.parametrize("more, status", [(b"more 1\n", 502), (SMUGGLED, 502), (b"\r\n", 200)],
                         ids=["body", "response", "blank"])
@pytest.mark.parametrize("in_one", [True, False], ids=["one record", "two records"])
def test_bytes_after_the_length(sidecar, kind, more, status, in_one):
    """They fail the scrape, except for a blank line; and that connection has no other request. Two records arrive together
    all the same."""
    def serve(u, connection, n):
        while u.read_request(connection):
            if n or len(u.requests) < 2:
                connection.sendall(answer(BODY))
            elif in_one or kind.path:
                connection.sendall(answer(BODY) + more)
            else:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                connection.sendall(answer(BODY))
                connection.sendall(more)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
    u = kind.start(serve)
    s = sidecar(u.url, *kind.flags)
    assert get(s) == GOOD
    assert get(s)[0] == status
    for _ in range(3):
        assert get(s) == GOOD
    assert u.connections == 2


def test_bytes_after_the_last_chunk(sidecar, kind):
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    odd = head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY) + b"HTTP/1.1 200 OK\r\nContent-"
    u = kind.start(answering(answer(BODY), odd, answer(BODY)))
    s = sidecar(u.url, *kind.flags)
    for connections in (1, 1, 2, 2):
        assert get(s) == GOOD
        assert u.connections == connections


# Connections that the upstream closes.


def end_orderly(connection):
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(0.05)
        with contextlib.suppress(OSError):
            connection.unwrap()


def end_without_close_notify(connection):
    """A context manager closes it."""


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("ending", [end_orderly, end_without_close_notify, reset])
def test_closed_while_idle(sidecar, kind, ending):
    """No scrape fails, also with more closed connections than libcurl tries one after the other."""
    together, closed = threading.Barrier(7), threading.Semaphore(0)

    def serve(u, connection, n):
        while u.read_request(connection):
            if n < 7:
                together.wait(20 * SLOW)
            connection.sendall(answer(BODY))
            if n < 7:
                wait_until(lambda: s.count("msg=scrape") == 7, "no line of log")
                ending(connection)
                connection.close()
                closed.release()
    u = kind.start(serve)
    s = sidecar(u.url, *kind.flags)
    with concurrent.futures.ThreadPoolExecutor(7) as pool:
        assert {tuple(r) for r in pool.map(lambda _: get(s), range(7))} == {GOOD}
    for _ in range(7):
        assert closed.acquire(timeout=10 * SLOW)
    assert get(s) == GOOD and get(s) == GOOD
    assert u.connections == 8


@pytest.mark.parametrize("ending", [end_orderly, end_without_close_notify, reset])
def test_closed_at_the_next_request(sidecar, kind, ending):
    """Which goes over another connection."""
    def serve(u, connection, _n):
        if u.read_request(connection):
            connection.sendall(answer(BODY))
        if u.read_request(connection):
            ending(connection)
    u = kind.start(serve)
    s = sidecar(u.url, *kind.flags)
    for _ in range(4):
        assert get(s) == GOOD
    assert (u.connections, len(u.requests)) == (4, 7)


def test_broken_in_a_later_response(sidecar, kind):
    """That is no stale connection: the scrape fails, and is not tried again."""
    def serve(u, connection, _n):
        u.read_request(connection)
        connection.sendall(answer(BODY))
        u.read_request(connection)
        connection.sendall(answer(BODY)[:-5])
    u = kind.start(serve)
    s = sidecar(u.url, *kind.flags)
    assert [s.get()[0] for _ in range(4)] == [200, 502, 200, 502]
    assert len(u.requests) == 4


def test_later_response_without_a_close_notify(sidecar, tls):
    """It may be truncated, on a kept connection as on a new one."""
    def serve(u, connection, _n):
        u.read_request(connection)
        connection.sendall(answer(BODY))
        u.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)
        if len(u.requests) == 4:
            end_orderly(connection)
    u = tls.start(serve)
    s = sidecar(u.url, *tls.flags)
    answers = [get(s) for _ in range(4)]
    assert [status for status, _ in answers] == [200, 502, 200, 200]
    assert b"close_notify" in answers[1][1]


# Settings of TLS.


def reload(s):
    before = s.count("msg=reloaded")
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: s.count("msg=reloaded") > before, "SIGHUP is not heard")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("client", [False, True], ids=["", "with a client certificate"])
def test_sessions_are_resumed(sidecar, upstream, ca, server, version, client):
    tls = over_tls(upstream, ca, context_of(server, version, ca if client else None))
    if client:
        pem, key = ca.issue("sidecar")
        tls.flags += [f"--set=endpoint.default.tls_certificate={pem}", f"--set=endpoint.default.tls_key={key}"]

    def serve(u, connection, _n):
        u.read_request(connection)
        connection.sendall(answer(BODY, extra=["Connection: close"]))
    u = tls.start(serve)
    s = sidecar(u.url, *tls.flags)
    for _ in range(4):
        assert get(s) == GOOD
    assert tls.resumed == [False, True, True, True]
    assert (counted(s, "false"), counted(s, "true")) == (4, 0)


def test_reload(sidecar, tls, config, ca, tmp_path):
    """Nothing of the settings before is used; with other authorities the upstream is not believed any more."""
    u = tls.start(answering(answer(BODY)))
    authorities = tmp_path / "authorities"
    authorities.write_bytes(ca.pem.read_bytes())
    s = sidecar(config=config(f"[process]\nwatch_files = off\n[endpoint default]\nupstream = {u.url}\n"
                              f"tls_ca = {authorities}\n"))
    for _ in range(2):
        assert get(s) == GOOD and get(s) == GOOD
        reload(s)
    assert (u.connections, tls.resumed) == (2, [False, False])
    authorities.write_bytes(Authority(tmp_path, "other").pem.read_bytes())
    reload(s)
    requests = len(u.requests)
    assert get(s)[0] == 502 and get(s)[0] == 502
    assert len(u.requests) == requests
    authorities.write_bytes(ca.pem.read_bytes())
    reload(s)
    assert get(s) == GOOD
    assert True not in tls.resumed
    wait_until(lambda: s.descriptors() <= 20, "connections of former settings stay open")


def test_endpoints_with_other_settings(sidecar, upstream, config, ca, server):
    """One shows a certificate, one another, and one does not verify the upstream: none takes a connection of another."""
    tls = over_tls(upstream, ca, context_of(server, ca=ca))
    u = tls.start(answering(answer(BODY)))
    text = ""
    for name, more in (("a", f"tls_ca = {ca.pem}\n"), ("b", f"tls_ca = {ca.pem}\n"), ("c", "tls_insecure = true\n")):
        pem, key = ca.issue(f"client-{name}")
        text += f"[endpoint {name}]\npath = /{name}\nupstream = {u.url}\ntls_certificate = {pem}\ntls_key = {key}\n{more}"
    s = sidecar(config=config(text))
    for _ in range(2):
        for name in "abc":
            assert s.get(f"/{name}")[::2] == GOOD
    assert [peer["subject"][0][0][1] for peer in tls.peers] == ["client-a", "client-b", "client-c"]


def test_verified_again_after_an_hour(sidecar, tls, tmp_path):
    u = tls.start(answering(answer(BODY)))
    steer = Steer(tmp_path / "steer")
    s = sidecar(u.url, *tls.flags, "--set=endpoint.default.upstream_keepalive=10h", env=steer.environment)
    for connections in (1, 1, 2, 2):
        assert get(s) == GOOD
        assert u.connections == connections
        steer.forward(2000)
    assert tls.resumed == [False, False]


def test_verified_again_while_a_scrape_is_in_flight(sidecar, tls, tmp_path):
    """Under load there is always one, and its connection is of the hour before."""
    end = threading.Event()

    def serve(u, connection, _n):
        while head := u.read_request(connection):
            if b"/metrics?slow" in head:
                end.wait(60 * SLOW)
            connection.sendall(answer(BODY))
    u = tls.start(serve)
    steer = Steer(tmp_path / "steer")
    s = sidecar(u.url, *tls.flags, "--set=endpoint.default.upstream_keepalive=10h", "--set=endpoint.default.timeout=1h",
                env=steer.environment)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        try:
            assert get(s) == GOOD
            steer.forward(2000)
            slow = pool.submit(s.get, "/metrics?slow")
            wait_until(lambda: len(u.requests) == 2, "the slow one did not come")
            assert get(s) == GOOD
            steer.forward(1700)
            assert get(s) == GOOD
            assert u.connections == 3
        finally:
            end.set()
        assert slow.result()[::2] == GOOD


def offers_session(hello):
    """Whether a ClientHello of TLS 1.3 has the extension pre_shared_key."""
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 1 + hello[at]
    at += 2
    while at < len(hello):
        if hello[at:at + 2] == b"\0\x29":
            return True
        at += 4 + int.from_bytes(hello[at + 2:at + 4], "big")
    return False


def test_upstream_that_fails_on_sessions(sidecar, upstream, ca, server):
    """The scrape goes on without one, and no more is offered."""
    offers, context = [], context_of(server)

    def serve(u, connection):
        hello = connection.recv(65536, socket.MSG_PEEK)
        offers.append(offers_session(hello))
        if offers[-1]:
            connection.recv(len(hello))
            connection.sendall(b"\x15\3\3\0\2\2\x28")  # handshake_failure
            return
        with context.wrap_socket(connection, server_side=True) as t:
            u.read_request(t)
            t.sendall(answer(BODY, extra=["Connection: close"]))
    u = upstream(serve)
    s = sidecar(u.url.replace("http:", "https:"), f"--set=endpoint.default.tls_ca={ca.pem}")
    for _ in range(4):
        assert get(s) == GOOD
    assert offers == [False, True, False, False, False]


@pytest.mark.parametrize("ending", ["close_notify", "our keepalive"])
def test_reason_is_not_the_dead_connections(sidecar, tls, ending):
    """libcurl keeps the first error of a transfer, which here is that of the connection that was kept."""
    served = threading.Event()

    def serve(u, connection, _n):
        while u.read_request(connection):
            connection.sendall(answer(BODY))
            if ending == "close_notify":
                s.wait_line("msg=scrape")
                connection.settimeout(0.2)
                with contextlib.suppress(OSError):
                    connection.unwrap()  # waits in vain for the peer's
                break
        served.set()
    u = tls.start(serve)
    keepalive = "50ms" if ending == "our keepalive" else "on"
    s = sidecar(u.url, *tls.flags, f"--set=endpoint.default.upstream_keepalive={keepalive}")
    assert get(s) == GOOD
    assert served.wait(20 * SLOW)
    u.close()
    status, _, body = s.get()
    assert status == 502 and b"onnect to" in body, body


class Full:
    """A listener that lets nobody connect any more: its backlog is full."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/metrics"
        self.waiting = []

    def fill(self):
        while True:
            self.waiting.append(socket.socket())
            self.waiting[-1].settimeout(0.3)
            try:
                self.waiting[-1].connect(self.socket.getsockname())
            except socket.timeout:
                return

    def close(self):
        for one in (self.socket, *self.waiting):
            one.close()


@pytest.mark.parametrize("before", ["dead", "redirect"])
def test_connecting_anew_is_not_waiting_for_a_response(sidecar, before):
    """A timeout names what took the time."""
    with contextlib.closing(Full()) as full, concurrent.futures.ThreadPoolExecutor(1) as pool:
        s = sidecar(full.url, f"--set=endpoint.default.timeout={2 * SLOW:.0f}s")
        scrape = pool.submit(s.get)
        connection, _ = full.socket.accept()
        connection.recv(65536)
        if before == "dead":
            connection.sendall(answer(BODY))
            assert scrape.result()[::2] == (200, BODY)
            full.fill()
            connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            scrape = pool.submit(s.get)
        else:
            full.fill()
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            connection.close()
        status, _, body = scrape.result()
        assert status == 504 and b"could not connect to the upstream" in body, body
