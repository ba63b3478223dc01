# SPDX-License-Identifier: Apache-2.0
"""The protocols between systemd and the sidecar: passed sockets (by systemd's own systemd-socket-activate), and
notifications by datagram."""
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import BINARY, SLOW, Process, answer, answering, free_port, wait_until
from test_service import Asking, Gated

BODY = b"# TYPE up gauge\nup 1\n"
ADMIN_OFF = "--admin.listen-address=off"


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


class Passed:
    """A listening socket that is passed to one sidecar after another, as systemd keeps it over restarts."""

    def __init__(self, kind=socket.SOCK_STREAM, listens=True):
        self.socket = socket.socket(type=kind)
        self.socket.bind(("127.0.0.1", 0))
        if listens:
            self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.fd = self.socket.fileno()

    def argv(self, *args, names="scrapes", pid="$$"):
        """A command that gets the socket as systemd passes it: as descriptor 3, under its name."""
        script = f'LISTEN_PID={pid} LISTEN_FDS=1 LISTEN_FDNAMES={names} exec "$0" "$@" 3<&{self.fd}'
        return ["bash", "-c", script, BINARY, *args]

    def start(self, *args, **options):
        return Process(self.argv(*args, ADMIN_OFF, **options), pass_fds=[self.fd])

    def get(self):
        return Scrape(self.port).result()

    def close(self):
        self.socket.close()


class Scrape:
    """A scrape, or another request, that is sent at once; result() reads the response."""

    def __init__(self, port, target="/metrics"):
        self.raw = socket.create_connection(("127.0.0.1", port), timeout=20 * SLOW)
        self.raw.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())

    def result(self):
        with self.raw, self.raw.makefile("rb") as file:
            return file.read()


@pytest.fixture
def passed():
    with contextlib.ExitStack() as stack:
        def make(*args, **options):
            return stack.enter_context(contextlib.closing(Passed(*args, **options)))
        yield make


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="there is no systemd-socket-activate")
def test_socket_activation(service):
    """Both listeners, by the names of their sockets, in any order."""
    scrapes, admin = free_port(), free_port()
    p = Process(["systemd-socket-activate", f"--listen=127.0.0.1:{admin}", f"--listen=127.0.0.1:{scrapes}",
                 "--fdname=admin:scrapes", BINARY, f"--upstream.url={service.url}",
                 "--web.listen-address=systemd:scrapes", "--admin.listen-address=systemd:admin"])
    try:
        p.wait_line("Listening on .*as 4")
        assert Scrape(scrapes).result().endswith(BODY)
        p.wait_line(rf'"listening for scrapes" address=127.0.0.1:{scrapes}')
        with socket.create_connection(("127.0.0.1", admin)) as raw:
            raw.sendall(b"GET /-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")
    finally:
        status = p.stop()
    assert status == 0, p.lines


def test_nobody_is_refused_through_a_restart(service, passed):
    """A client that connects between the end of one sidecar and the start of the next waits, and gets a response."""
    kept = passed()
    first = kept.start(f"--upstream.url={service.url}", "--web.listen-address=systemd:scrapes")
    first.wait_line("listening for scrapes")
    assert kept.get().endswith(BODY)
    assert first.stop() == 0
    waiting = [Scrape(kept.port) for _ in range(10)]
    second = kept.start(f"--upstream.url={service.url}", "--web.listen-address=systemd:scrapes")
    try:
        assert all(scrape.result().endswith(BODY) for scrape in waiting)
    finally:
        assert second.stop() == 0


def test_who_connects_while_it_drains_waits_for_the_next(upstream, passed):
    """The draining sidecar accepts no more, and does not shut down a socket that is not its own."""
    gated, kept = Gated(), passed()
    u = upstream(gated)
    flags = [f"--upstream.url={u.url}", "--web.listen-address=systemd:scrapes", "--set=endpoint.default.timeout=60s"]
    first = kept.start(*flags)
    first.wait_line("listening for scrapes")
    in_flight = Scrape(kept.port)
    assert gated.asked.wait(10 * SLOW)
    first.process.send_signal(signal.SIGTERM)
    first.wait_line("shutting down")
    late = Scrape(kept.port)
    second = kept.start(*flags)
    try:
        wait_until(lambda: len(u.requests) == 2, "the next sidecar does not take the scrape")
        gated.go_on.set()
        assert in_flight.result().endswith(gated.body) and late.result().endswith(gated.body)
        assert first.stop(0) == 0
        second.wait_line("msg=scrape")
        assert first.count("msg=scrape") == second.count("msg=scrape") == 1
    finally:
        gated.go_on.set()
        assert second.stop() == 0


@pytest.mark.parametrize("names, pid, reason", [
    ("other", "$$", "systemd passed no socket of this name"),
    ("other:scrapes", "$$", "systemd passed no socket of this name"),  # two names, but one socket
    ("scrapes", "1", "systemd passed no socket of this name"),  # meant for another process
], ids=["another name", "no such descriptor", "another process"])
def test_no_socket_was_passed(service, passed, names, pid, reason):
    p = passed().start(f"--upstream.url={service.url}", "--web.listen-address=systemd:scrapes", names=names, pid=pid)
    assert p.process.wait(20 * SLOW) == 1
    p.reader.join(5)
    assert p.find(f"cannot listen for scrapes.* address=systemd:scrapes reason=\"{reason}"), p.lines


@pytest.mark.parametrize("options", [{"listens": False}, {"kind": socket.SOCK_DGRAM, "listens": False}],
                         ids=["it does not listen", "datagrams"])
def test_socket_of_another_kind(service, passed, options):
    p = passed(**options).start(f"--upstream.url={service.url}", "--web.listen-address=systemd:scrapes")
    assert p.process.wait(20 * SLOW) == 1
    p.reader.join(5)
    assert p.find("under this name is not listening"), p.lines


def several(sockets, *args, names):
    """Starts a sidecar with several sockets, under their names."""
    moved = [fcntl.fcntl(s.fd, fcntl.F_DUPFD, 100) for s in sockets]  # from 100 on, but none that is in use
    redirections = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(moved))
    script = f'LISTEN_PID=$$ LISTEN_FDS={len(moved)} LISTEN_FDNAMES={names} exec "$0" "$@" {redirections}'
    try:
        return Process(["bash", "-c", script, BINARY, *args], pass_fds=moved)
    finally:
        for fd in moved:
            os.close(fd)


def test_all_sockets_of_a_name(service, passed):
    """As many as a .socket unit has ListenStream= lines, for scrapes and for administration."""
    sockets = [passed() for _ in range(5)]
    p = several(sockets, f"--upstream.url={service.url}", "--web.listen-address=systemd:a",
                "--admin.listen-address=systemd:b", names="a:b:a:b:a")
    try:
        p.wait_line("privileges dropped")
        for i, s in enumerate(sockets):
            which = "administration" if i % 2 else "scrapes"
            assert p.count(f'"listening for {which}" address=127.0.0.1:{s.port}$') == 1, p.lines
            expected = ("/-/ready", b"scrapeshard is ready\n") if i % 2 else ("/metrics", BODY)
            assert Scrape(s.port, expected[0]).result().endswith(expected[1])
        assert not p.find("no listener uses")
    finally:
        assert p.stop() == 0


def test_socket_that_nobody_listens_on(service, passed):
    """A client that connects to it would wait forever."""
    sockets = [passed() for _ in range(3)]
    p = several(sockets, f"--upstream.url={service.url}", "--web.listen-address=systemd:b", ADMIN_OFF, names="a:b:c")
    try:
        p.wait_line("privileges dropped")
        said = 'level=warn msg="systemd passed a socket that no listener uses" name='
        assert p.find(said + "a$") and p.find(said + "c$") and p.count(said) == 2, p.lines
        assert sockets[1].get().endswith(BODY)
    finally:
        assert p.stop() == 0


def test_one_socket_of_a_name_is_of_another_kind(service, passed):
    sockets = [passed(), passed(listens=False)]
    p = several(sockets, f"--upstream.url={service.url}", "--web.listen-address=systemd:a", ADMIN_OFF, names="a:a")
    assert p.process.wait(20 * SLOW) == 1
    p.reader.join(5)
    assert p.find("under this name is not listening"), p.lines


def test_address_without_a_name(service):
    done = subprocess.run([BINARY, f"--upstream.url={service.url}", "--web.listen-address=systemd:"],
                          capture_output=True, text=True, timeout=20 * SLOW)
    assert done.returncode == 2 and "or systemd:NAME)" in done.stderr


# Notifications.


@pytest.fixture(params=["path", "abstract"])
def news(request, tmp_path):
    """A socket as systemd listens on for notifications, with its NOTIFY_SOCKET name."""
    name = f"{tmp_path}/notify" if request.param == "path" else f"@scrapeshard-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(name.replace("@", "\0"))
        s.settimeout(20 * SLOW)
        yield s, name


def test_news(sidecar, upstream, config, news):
    """Ready when it listens and not before, through a reload, whether it succeeds or not, and when it ends."""
    s, name = news
    gated = Gated()
    # Without reloads that nobody asked for.
    path = config(f"[process]\nwatch_files = off\n[endpoint a]\nupstream = {upstream(gated).url}\n")
    running = sidecar(config=path, env={**os.environ, "NOTIFY_SOCKET": name})
    assert s.recv(100) == b"READY=1"
    running.wait_line("listening for scrapes")
    running.wait_line("listening for administration")
    for text in (None, "junk\n"):
        if text:
            config(text)
        running.process.send_signal(signal.SIGHUP)
        reloading = s.recv(100)
        assert reloading.startswith(b"RELOADING=1\nMONOTONIC_USEC=") and int(reloading.rsplit(b"=", 1)[1]) > 0
        assert s.recv(100) == b"READY=1"
    asking = Asking(running)
    assert gated.asked.wait(10 * SLOW)
    running.process.send_signal(signal.SIGTERM)
    assert s.recv(100) == b"STOPPING=1"
    assert running.process.poll() is None
    gated.go_on.set()
    assert asking.result()[0] == 200
    assert running.stop(0) == 0


@pytest.mark.parametrize("name", ["/nowhere/at/all", "@scrapeshard-nobody", "x" * 200])
def test_nobody_hears_the_news(sidecar, service, name):
    s = sidecar(service.url, env={**os.environ, "NOTIFY_SOCKET": name})
    assert s.get()[2] == BODY
