# SPDX-License-Identifier: Apache-2.0
"""Networks that drop, delay and disconnect: scraper, sidecar and upstream each run in their own network namespace, so that
nothing leaks out. A scrape may fail, by its deadline; it must never be short, and the next one succeeds."""
import concurrent.futures
import contextlib
import ctypes
import gzip
import http.client
import os
import socket
import subprocess
import threading

import pytest

from conftest import SLOW, answer, answering, wait_until
from exposition import text_shard
from slow_cable import SlowCable, open_tun

BODY = b"".join(b"# TYPE f_%d gauge\n" % i + b"".join(b'f_%d{id="%d"} %d\n' % (i, j, i * j) for j in range(20))
                for i in range(1000))
SHARDS = {"held": (3, 80), "streamed": (0, 1)}
LIBC = ctypes.CDLL(None, use_errno=True)
SCRAPER, SIDECAR_OF_SCRAPER, SIDECAR_OF_SERVICE, SERVICE = "10.99.1.1", "10.99.1.2", "10.99.2.2", "10.99.2.1"


def enter(namespace):
    """Moves this thread, and the sockets that it opens, into a namespace."""
    with open(namespace) as file:
        if LIBC.setns(file.fileno(), 0x40000000):  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


class Network:
    """scraper -- sidecar -- upstream, connected by two cables, slow ones on request."""

    def __init__(self, slow=False):
        self.slow, self.cables = slow, []
        self.names = {who: f"scrapeshard-{os.getpid()}-{who}" for who in ("scraper", "sidecar", "service")}

    def build(self):
        for name in self.names.values():
            self.run("ip", "netns", "add", name)
            self.run("ip", "-n", name, "link", "set", "lo", "up")
        for end, address, other in (("scraper", SCRAPER, SIDECAR_OF_SCRAPER), ("service", SERVICE, SIDECAR_OF_SERVICE)):
            self.lay_slow_cable(end) if self.slow else self.lay_cable(end)
            for name, device, own in ((end, "cable", address), ("sidecar", f"to-{end}", other)):
                self.run("ip", "-n", self.names[name], "address", "add", f"{own}/24", "dev", device)
                self.run("ip", "-n", self.names[name], "link", "set", device, "up")

    def lay_cable(self, end):
        self.run("ip", "link", "add", "cable", "netns", self.names[end], "type", "veth", "peer", "name", f"to-{end}",
                 "netns", self.names["sidecar"])

    def lay_slow_cable(self, end):
        fds = []
        for who, name in ((end, "cable"), ("sidecar", f"to-{end}")):
            with self.inside(who):
                fds.append(open_tun(name))
        self.cables.append(SlowCable(*fds))

    def remove(self):
        for cable in self.cables:
            cable.close()
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, capture_output=True, text=True)

    @contextlib.contextmanager
    def inside(self, who):
        enter(f"/run/netns/{self.names[who]}")
        try:
            yield
        finally:
            enter(f"/proc/{os.getpid()}/ns/net")

    def lose(self):
        """iptables drops incoming packets."""
        for name in self.names.values():
            self.run("ip", "netns", "exec", name, "iptables", "-A", "INPUT", "!", "-i", "lo", "-m", "statistic", "--mode",
                     "random", "--probability", "0.05", "-j", "DROP")

    def cut(self, whose):
        self.run("ip", "-n", self.names[whose], "link", "set", "cable", "down")

    def mend(self, whose):
        self.run("ip", "-n", self.names[whose], "link", "set", "cable", "up")

    def connect(self, port):
        with self.inside("scraper"):
            return socket.create_connection((SIDECAR_OF_SCRAPER, port), timeout=60 * SLOW)


@pytest.fixture
def network(request):
    n = Network(**getattr(request, "param", {}))
    try:
        n.build()
        with n.inside("scraper"):
            pass
    except (OSError, subprocess.CalledProcessError) as error:
        n.remove()
        pytest.skip(f"no network namespaces: {error} {getattr(error, 'stderr', '')}")
    yield n
    n.remove()


@pytest.fixture
def start(network, sidecar, upstream):
    """start(serve, *flags) starts an upstream and the sidecar in front of it, in their namespaces."""
    def start(serve, *flags):
        with network.inside("service"):
            u = upstream(serve, host=SERVICE)
        return sidecar(u.url, *flags, listen=f"{SIDECAR_OF_SCRAPER}:0",
                       preexec_fn=lambda: enter(f"/run/netns/{network.names['sidecar']}"))
    return start


class Scraper:
    """A scraper with its own connection."""

    def __init__(self, network, sidecar):
        self.connection = http.client.HTTPConnection(SIDECAR_OF_SCRAPER, sidecar.port)
        self.connection.auto_open = False
        self.connection.sock = network.connect(sidecar.port)

    def scrape(self, shard, count, headers=None):
        """The body of a success, or None for a failure."""
        try:
            self.connection.request("GET", f"/metrics?shard={shard}&shard_count={count}", headers=headers or {})
            response = self.connection.getresponse()
            body = response.read()
            if response.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            return body if response.status == 200 else None
        except (http.client.HTTPException, OSError, EOFError):
            return None

    def close(self):
        self.connection.close()


def scrape(network, sidecar, *args):
    s = Scraper(network, sidecar)
    try:
        return s.scrape(*args)
    finally:
        s.close()


def halves(gate):
    """Responds in two halves, the second after the gate opens; once it is open, in one piece."""
    def serve(upstream, connection):
        whole = answer(BODY)
        while upstream.read_request(connection):
            if gate.is_set():
                connection.sendall(whole)
                continue
            connection.sendall(whole[:len(whole) // 2])
            gate.wait(60 * SLOW)
    return serve


@pytest.mark.parametrize("compressed", [False, True], ids=["identity", "gzip"])
@pytest.mark.parametrize("network", [{}, {"slow": True}], indirect=True, ids=["loss", "loss and delay"])
def test_loss(network, start, compressed):
    if not network.slow:
        network.lose()
    s = start(answering(answer(BODY)), "--set=endpoint.default.timeout=40s")
    headers = {"Accept-Encoding": "gzip"} if compressed else {}

    def one(i):
        shard, count = SHARDS["streamed"] if i % 2 else (i % 80, 80)
        return scrape(network, s, shard, count, headers), text_shard(BODY, shard, count)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        got = list(pool.map(one, range(12)))
    for body, right in got:
        assert body is None or body == right
    assert sum(body is not None for body, _ in got) > len(got) // 2, s.lines[-12:]
    assert all(cable.lost and cable.late for cable in network.cables)


@pytest.mark.parametrize("network, way, timeout", [({}, "held", 4), ({}, "streamed", 4), ({"slow": True}, "streamed", 8)],
                         indirect=["network"], ids=["held", "streamed", "slow"])
def test_service_cut_off_in_mid_body(network, start, way, timeout):
    """Neither more data nor a close arrives: the deadline ends the scrape."""
    gate = threading.Event()
    s = start(halves(gate), f"--set=endpoint.default.timeout={timeout * SLOW:.0f}s")
    got = []
    t = threading.Thread(target=lambda: got.append(scrape(network, s, *SHARDS[way])))
    t.start()
    try:
        wait_until(lambda: in_flight(network, s) == 1, "no scrape is in flight")
        network.cut("service")
        t.join(40 * SLOW)
        assert got == [None]
        s.wait_line("msg=scrape .*outcome=timeout")
        assert scrape(network, s, *SHARDS[way]) is None, "a scrape of a service that cannot be reached"
    finally:
        gate.set()
        network.mend("service")
    right = text_shard(BODY, *SHARDS[way])
    wait_until(lambda: scrape(network, s, *SHARDS[way]) == right, "scrapes do not become right again", 40)


@pytest.mark.parametrize("network", [{"slow": True}], indirect=True, ids=["slow"])
def test_kept_connections_over_a_slow_cable(network, start):
    """Successive scrapes take some round trips each but no handshake: one connection on both sides."""
    opened = []

    def serve(u, connection):
        opened.append(1)
        answering(answer(BODY))(u, connection)
    s = start(serve, "--set=endpoint.default.timeout=40s")
    kept = Scraper(network, s)
    for shard in range(8):
        assert kept.scrape(shard, 80) == text_shard(BODY, shard, 80)
    kept.close()
    assert len(opened) == 1


def in_flight(network, sidecar):
    """Scrapes in flight, by the sidecar's metric."""
    with network.inside("sidecar"):
        text = sidecar.admin("/metrics")[2].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("scrapeshard_scrapes_in_flight"))


def test_scraper_cut_off_in_mid_body(network, start):
    """The sidecar gives up at the deadline; the scraper, once reconnected, sees no complete body."""
    large = b"".join(b'large{id="%07d"} 1\n' % i for i in range(2000000))
    right = text_shard(large, 1, 80)
    s = start(answering(answer(large)), f"--set=endpoint.default.timeout={5 * SLOW:.0f}s")
    with network.connect(s.port) as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        got = raw.recv(65536)
        network.cut("scraper")
        try:
            s.wait_line("msg=scrape .*outcome=timeout")
            assert in_flight(network, s) == 0
        finally:
            network.mend("scraper")
        raw.settimeout(5 * SLOW)  # the reset was lost; the next one only answers a packet of ours
        with contextlib.suppress(ConnectionError, TimeoutError):
            while piece := raw.recv(1 << 20):
                got = got[-16:] + piece
        assert not got.endswith(b"0\r\n\r\n")
    wait_until(lambda: scrape(network, s, 1, 80) == right, "the next scrape is not right", 30)


def test_idle_connections_outlive_a_cut(network, start):
    """With nothing in flight, kept connections are used again afterwards, on both sides."""
    s = start(answering(answer(BODY)))
    kept = Scraper(network, s)
    right = text_shard(BODY, 3, 80)
    assert kept.scrape(3, 80) == right
    for whose in ("scraper", "service"):
        network.cut(whose)
        network.mend(whose)
    assert kept.scrape(3, 80) == right
    kept.close()
