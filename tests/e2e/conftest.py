# SPDX-License-Identifier: Apache-2.0
"""Real processes and real sockets for the end-to-end tests: the sidecar, services that behave and services that do not.

Everything listens on loopback, on ports from the kernel, and is ended by the test that started it.
"""
import contextlib
import http.client
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SCRAPESHARD", str(ROOT / "build/sidecar/scrapeshard"))
# Sanitizers and valgrind make everything slower; waits stretch with it, assertions on time do not exist.
SLOW = float(os.environ.get("SLOW", "1"))
# Whether it was built with AddressSanitizer.
SANITIZED = b"__asan_init" in pathlib.Path(BINARY).read_bytes()


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures, or needs what there is one of: runs when no other test does")
    config.addinivalue_line("markers", "xdist_group(name): share what is dear, and run one behind the other, by pytest-xdist")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Groups come first: they take longest, and nobody is to wait for one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def wait_until(condition, message, timeout=10):
    """Waits until condition() is true, and returns what it said; fails with the message when it does not come true."""
    end = time.monotonic() + timeout * SLOW
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout * SLOW:.0f} s in vain: {message}")
        time.sleep(0.01)


def stands_still(number):
    """Whether number() has not changed for a while."""
    before = number()
    time.sleep(0.3)
    return number() == before


def run(*args, **options):
    """(exit status, standard output, standard error) of a command that ends by itself."""
    done = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20 * SLOW, **options)
    return done.returncode, done.stdout, done.stderr


class Process:
    """A child process whose standard error is collected line by line."""

    def __init__(self, argv, **options):
        self.lines = []
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                        errors="replace", **options)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def find(self, pattern):
        """The first line of standard error that matches, or None."""
        return next((m for m in (re.search(pattern, line) for line in list(self.lines)) if m), None)

    def count(self, pattern):
        return sum(1 for line in list(self.lines) if re.search(pattern, line))

    def wait_line(self, pattern, timeout=10):
        def look():
            if self.process.poll() is not None and not self.find(pattern):
                self.reader.join(5)
                pytest.fail(f"{self.process.args[0]} ended with {self.process.returncode}: {self.lines}")
            return self.find(pattern)
        return wait_until(look, f"no line /{pattern}/ in {self.lines[-5:]}", timeout)

    def stop(self, sig=signal.SIGTERM, timeout=20):
        """Ends the process by a signal, once, and returns its exit status. By 0 it is only waited for: no other signal is
        harmless, a leak checker hangs for good when SIGCONT comes to it."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"{self.process.args[0]} did not end: {self.lines[-5:]}")
        self.reader.join(5)
        return self.process.returncode


class Sidecar(Process):
    """A running scrapeshard. Give it an upstream's URL, or a config file by config=; prefix= is a command that becomes
    it. Its log has a line for each scrape, unless level= is None or another one."""

    def __init__(self, upstream=None, *args, config=None, listen="127.0.0.1:0", prefix=(), level="debug", **options):
        argv = [*prefix, BINARY, f"--web.listen-address={listen}", "--admin.listen-address=127.0.0.1:0"]
        if upstream:
            argv.append(f"--upstream.url={upstream}")
        if config:
            argv.append(f"--config.file={config}")
        if level:
            argv.append(f"--log.level={level}")
        super().__init__(argv + list(args), **options)
        self.address = self.wait_line(r'msg="listening for scrapes" address=(\S+)')[1]
        self.admin_port = int(self.wait_line(r'msg="listening for administration" address=\S+:(\d+)')[1])
        self.port = None if self.address.startswith("unix:") else int(self.address.rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def connect(self):
        """A raw connection to the scrape listener."""
        if self.port is None:
            raw = socket.socket(socket.AF_UNIX)
            raw.settimeout(60 * SLOW)
            raw.connect(self.address.removeprefix("unix:"))
            return raw
        return socket.create_connection(("127.0.0.1", self.port), timeout=60 * SLOW)

    def get(self, target="/metrics", headers=None, method="GET", port=None):
        """One request on a connection of its own: (status, headers, body). A broken transfer raises
        http.client.IncompleteRead or ConnectionError, as Prometheus would see it."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30 * SLOW)
        try:
            connection.request(method, target, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def admin(self, target, method="GET"):
        return self.get(target, method=method, port=self.admin_port)

    def memory(self, field="RssAnon"):
        """Bytes of a field of /proc/PID/status."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Peak:
    """The most anonymous memory that a sidecar has in a while. Sanitizers keep memory of their own: there it is 0."""

    def __init__(self, sidecar):
        self.sidecar, self.bytes, self.over = sidecar, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.over.wait(0.002):
            self.bytes = max(self.bytes, self.sidecar.memory() if SLOW == 1 else 0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        assert SLOW > 1 or self.bytes, "nothing was measured"


class Upstream:
    """A service made of a real listening socket and a function of the test: serve(connection) is called in a thread for
    each connection; what it returns or raises closes it. Helpers read requests and count."""

    def __init__(self, serve, path=None, host="127.0.0.1"):
        self.serve = serve
        self.connections = 0
        self.requests = []  # heads as they came, bytes
        if path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.bind(path)
            self.url = f"unix:{path}:/metrics"
        else:
            ipv6 = ":" in host  # "::" is both
            self.socket = socket.create_server((host, 0), backlog=256, family=socket.AF_INET6 if ipv6 else socket.AF_INET,
                                               dualstack_ipv6=host == "::")
            self.port = self.socket.getsockname()[1]
            self.url = f"http://[{host}]:{self.port}/metrics" if ipv6 else f"http://{host}:{self.port}/metrics"
        self.socket.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        with connection:
            try:
                self.serve(connection)
            except (ConnectionError, OSError):
                pass

    def read_request(self, connection):
        """Reads a request's head; b"" when the peer has closed."""
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return b""
            head += piece
        self.requests.append(head)
        return head

    def close(self):
        # Only shutdown() wakes the accept() of the other thread.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def answer(body, content_type=TEXT, status="200 OK", extra=()):
    """An honest answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *extra]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(*answers):
    """A serve function that answers each request of a connection with the next of the answers, the last one again and
    again, and keeps the connection."""
    def serve(upstream, connection):
        i = 0
        while upstream.read_request(connection):
            connection.sendall(answers[min(i, len(answers) - 1)])
            i += 1
    return serve


@pytest.fixture
def config(tmp_path):
    """config(text) writes a configuration file and gives its path; bytes are written as they are."""
    path = tmp_path / "scrapeshard.ini"

    def write(text):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)
    return write


@pytest.fixture
def upstream():
    """upstream(serve) starts a service; serve(upstream, connection) is called for each of its connections."""
    started = []

    def start(serve, path=None, host="127.0.0.1"):
        u = Upstream(lambda connection: serve(u, connection), path, host)
        started.append(u)
        return u
    yield start
    for u in started:
        u.close()


@pytest.fixture
def sidecar():
    """sidecar(url, *flags) starts a scrapeshard; at the end it must end by itself, with 0 and without a sanitizer's
    report."""
    started = []

    def start(*args, **options):
        s = Sidecar(*args, **options)
        started.append(s)
        return s
    yield start
    for s in started:
        status = s.stop()
        report = [line for line in s.lines if "Sanitizer" in line or "runtime error" in line]
        assert not report, "\n".join(s.lines)
        assert status == 0, s.lines[-5:]


@pytest.fixture
def process():
    """process(argv) starts any other program; it is ended with the test."""
    started = []

    def start(argv, **options):
        p = Process(argv, **options)
        started.append(p)
        return p
    yield start
    for p in started:
        p.stop()


def free_port():
    """A port for programs that cannot tell which one the kernel gave them. It is below those that the kernel gives out, so
    that nobody is given it before it is used; where there are too few, it is one of all."""
    given_out = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10000, given_out if given_out > 12000 else 65536)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@pytest.fixture
def node_exporter(process):
    """Debian's prometheus-node-exporter on loopback: its /metrics URL."""
    port = free_port()
    p = process(["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"])
    p.wait_line("Listening on|listening|TLS is disabled")
    wait_until(lambda: _connects(port), "node_exporter does not listen")
    return f"http://127.0.0.1:{port}/metrics"


def _connects(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0
