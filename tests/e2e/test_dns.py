# SPDX-License-Identifier: Apache-2.0
"""DNS that does not answer, answers late, or has no such name: only scrapes that need it wait for it. Test, sidecar,
upstreams and name server run in their own network namespace."""
import concurrent.futures
import http.client
import os
import signal
import ssl
import statistics
import subprocess
import threading
import time

import pytest

from conftest import BINARY, SANITIZED, SLOW, answer, answering, wait_until
from name_server import NameServer
from pki import Authority
from steer import Steer
from test_memory import MODES, memory  # noqa: F401 (a fixture)
from test_networks import enter

BODY = b"".join(b"# TYPE f_%d gauge\nf_%d 1\n" % (i, i) for i in range(20))
KUBERNETES = "search default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
PATIENT = "options timeout:30\n"  # until the C library asks again, or gives up
SEARCHED = [f"silent.app{domain}" for domain in
            (".default.svc.cluster.local", ".svc.cluster.local", ".cluster.local", "")]


@pytest.fixture
def lonely():
    """Moves the test, its threads and its children into their own network namespace."""
    name, before = f"scrapeshard-{os.getpid()}-dns", f"/proc/{os.getpid()}/fd/{os.open('/proc/self/ns/net', os.O_RDONLY)}"
    try:
        for command in (["ip", "netns", "add", name], ["ip", "-n", name, "link", "set", "lo", "up"]):
            subprocess.run(command, check=True, capture_output=True, text=True)
        enter(f"/run/netns/{name}")
    except (OSError, subprocess.CalledProcessError) as error:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        pytest.skip(f"no network namespaces: {error} {getattr(error, 'stderr', '')}")
    yield
    enter(before)
    os.close(int(before.rsplit("/", 1)[1]))
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@pytest.fixture
def name_server(lonely):
    """name_server(hosts, silent, delay) starts it."""
    started = []

    def start(*args, **options):
        started.append(NameServer(*args, **options))
        return started[-1]
    yield start
    for server in started:
        server.close()


@pytest.fixture
def resolving(tmp_path):
    """resolving(more) is a command's prefix under which resolv.conf names the test's server, and contains more."""
    def prefix(more=""):
        conf = tmp_path / "resolv.conf"
        conf.write_text(f"nameserver 127.0.0.1\n{more}")
        return ["unshare", "--mount", "sh", "-c", f'mount --bind {conf} /etc/resolv.conf && exec "$@"', "sh"]
    return prefix


@pytest.fixture
def start(sidecar, config, resolving, upstream):
    """start(hosts, more) starts a sidecar with endpoints for the hosts, at /HOST, and one at /metrics that needs no DNS."""
    def start(hosts, more="", settings="", **options):
        service = upstream(answering(answer(BODY)))
        port = service.socket.getsockname()[1]
        text = f"[endpoint near]\nupstream = http://127.0.0.1:{port}/metrics\n"
        for i, host in enumerate(hosts):
            text += f"[endpoint e{i}]\npath = /{host}\nupstream = http://{host}:{port}/metrics\n{settings}"
        s = sidecar(config=config(text), prefix=resolving(more), **options)
        s.service = service
        return s
    return start


class Probe:
    """Requests /-/healthy every 50 ms, as the kubelet does every few seconds, and the endpoint that needs no DNS."""

    def __init__(self, sidecar):
        self.sidecar, self.over = sidecar, threading.Event()
        self.health, self.near = [], []

    def watch(self, times, get):
        while not self.over.wait(0.05):
            before = time.monotonic()
            status, _, body = get()
            times.append(time.monotonic() - before)
            assert status == 200, body

    def __enter__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.watches = [self.pool.submit(self.watch, self.health, lambda: self.sidecar.admin("/-/healthy")),
                        self.pool.submit(self.watch, self.near, self.sidecar.get)]
        return self

    def __exit__(self, *_):
        self.over.set()
        self.pool.shutdown()
        for watch in self.watches:
            watch.result()
        for times in (self.health, self.near):
            assert len(times) >= 10, times
            assert statistics.median(times) < 0.3 * SLOW, times
            # To wait for DNS would take three seconds or more.
            assert max(times) < max(2.5, 1.5 * SLOW), times


def threads(sidecar):
    return len(os.listdir(f"/proc/{sidecar.pid}/task"))


@pytest.mark.parametrize("more", ["", KUBERNETES], ids=["", "search list"])
def test_silence_delays_no_other_scrape(start, name_server, more):
    """The scrape ends at its own timeout, with a reason; the process ends while the C library still waits for DNS."""
    server = name_server(silent=SEARCHED)
    s = start(["silent.app"], more, "timeout = 1s\n")
    with Probe(s), concurrent.futures.ThreadPoolExecutor(3) as pool:
        for status, _, body in list(pool.map(s.get, ["/silent.app"] * 9)):
            assert status == 504 and b"DNS" in body, body
    assert server.asked
    before = time.monotonic()
    assert s.stop() == 0
    assert time.monotonic() - before < max(5, 2 * SLOW)  # DNS would take seven


def test_grace_holds(start, name_server):
    """SIGTERM with scrapes in flight that wait for a name: they are aborted after web.grace."""
    name_server(silent=["silent.app"])
    s = start(["silent.app"], settings="timeout = 60s\n[web]\ngrace = 500ms\n")
    own = threads(s)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(s.get, "/silent.app")
        wait_until(lambda: threads(s) > own, "no name is looked up")
        before = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        assert s.process.wait(20 * SLOW) == 3
        assert time.monotonic() - before < max(5, 2 * SLOW)  # DNS would take ten
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            scrape.result()
    s.process.returncode = 0  # as expected


def test_threads_are_bounded(start, name_server):
    """However many scrapes give up on a name, and however many names there are."""
    hosts = ["silent.app", *(f"silent{i}.app" for i in range(40))]
    name_server(silent=hosts)
    s = start(hosts, PATIENT, "timeout = 50ms\n")
    before, own = s.memory(), threads(s)
    with Probe(s) as probe, concurrent.futures.ThreadPoolExecutor(8) as pool:
        for status, _, body in list(pool.map(s.get, ["/silent.app"] * 100)):
            assert status == 504, body
        assert threads(s) <= own + 4
        answers = list(pool.map(s.get, [f"/{host}" for host in hosts]))
        assert {status for status, _, _ in answers} == {502, 504}
        assert any(b"all lookup threads" in body for _, _, body in answers)
        assert threads(s) == own + 32
        wait_until(lambda: min(len(probe.health), len(probe.near)) >= 10, "too few requests succeed")
    assert SLOW > 1 or s.memory() < before + 8 * 1024 * 1024


def test_a_late_answer_serves_all_who_wait(start, name_server):
    """One lookup for all scrapes of a name, cached for the next ones."""
    server = name_server({"late.app": "127.0.0.1"}, delay=3)
    s = start(["late.app"], PATIENT)
    with Probe(s), concurrent.futures.ThreadPoolExecutor(8) as pool:
        for status, _, body in list(pool.map(s.get, ["/late.app?shard=0&shard_count=1"] * 8)):
            assert status == 200 and body == BODY
    assert server.asked.count("late.app") <= 2  # A and AAAA
    assert s.get("/late.app")[0] == 200
    assert server.asked.count("late.app") <= 2


def test_a_kept_connection_needs_no_dns(start, name_server, upstream):
    server = name_server({"good.app": "127.0.0.1"})
    s = start(["good.app"])
    assert s.get("/good.app")[0] == 200
    server.silent = ["good.app"]
    assert s.get("/good.app")[0] == 200
    assert s.service.connections == 1


def test_a_dead_connection_is_looked_up_again(start, name_server):
    """A request that was lost on a dead connection is sent again over a new one, for a host name too."""
    server = name_server({"good.app": "127.0.0.1"})
    s = start(["good.app"])

    def serve(connection):
        if s.service.read_request(connection):
            connection.sendall(answer(BODY))
    s.service.serve = serve
    for _ in range(5):
        status, _, body = s.get("/good.app")
        assert status == 200 and body == BODY
    assert s.service.connections == 5 and server.asked


def test_a_late_redirect_is_looked_up_again(start, name_server, tmp_path):
    """After a minute libcurl has forgotten the addresses."""
    server = name_server({"good.app": "127.0.0.1"})
    steer = Steer(tmp_path / "steer")
    s = start(["good.app"], settings="timeout = 10m\n", env=steer.environment)
    redirect = answer(b"", status="302 Found", extra=["Location: /elsewhere", "Connection: close"])

    def serve(connection):
        head = s.service.read_request(connection)
        if b" /metrics " in head:
            asked.append(len(server.asked))
            steer.forward(61)
        connection.sendall(redirect if b" /metrics " in head else answer(BODY))
    s.service.serve, asked = serve, []
    assert s.get("/good.app")[::2] == (200, BODY)
    assert s.service.connections == 2 and len(server.asked) > asked[0]


def test_no_such_name(start, name_server):
    name_server({})
    s = start(["nowhere.app"], KUBERNETES)
    status, _, body = s.get("/nowhere.app")
    assert status == 502 and b"nowhere.app" in body and b"resolve" in body, body
    assert b'scrapeshard_upstream_errors_total{endpoint="e0",reason="connect"} 1' in s.admin("/metrics")[2]


@pytest.mark.parametrize("host", ["good.app", "GOOD.app", "good.app."])
def test_search_list(start, name_server, host):
    """A name is found through the search list; one that ends in a dot is not searched for."""
    name = "good.app" if host.endswith(".") else "good.app.svc.cluster.local"
    server = name_server({name: "127.0.0.1"})
    s = start([host], KUBERNETES)
    status, _, body = s.get(f"/{host}")
    assert status == 200 and body == BODY, body
    assert server.asked[-1] == name


def test_server_name(name_server, resolving, sidecar, upstream, tmp_path):
    """With tls_server_name, still the URL's host is looked up."""
    server = name_server({"good.app": "127.0.0.1"})
    ca = Authority(tmp_path, "dns")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*ca.issue("service", "DNS:other.name"))

    def serve(upstream, connection):
        with context.wrap_socket(connection, server_side=True) as t:
            answering(answer(BODY))(upstream, t)
    port = upstream(serve).socket.getsockname()[1]
    s = sidecar(f"https://good.app:{port}/metrics", f"--set=endpoint.default.tls_ca={ca.pem}",
                "--set=endpoint.default.tls_server_name=other.name", prefix=resolving())
    assert s.get()[2] == BODY
    assert set(server.asked) == {"good.app"}


def test_truncated_answer(start, name_server):
    """An answer that is too long for UDP comes over TCP."""
    name_server({"large.app": "127.0.0.1"}, truncated=["large.app"])
    s = start(["large.app"])
    assert s.get("/large.app")[0] == 200


def test_localhost_needs_no_dns(start, name_server):
    server = name_server(silent=["localhost", "x.localhost"])
    s = start(["localhost", "x.localhost", "127.1"])
    for host in ("localhost", "x.localhost", "127.1"):
        assert s.get(f"/{host}")[0] == 200
    assert not server.asked


def test_comes_back(start, name_server):
    """A lookup that failed is repeated."""
    server = name_server({"late.app": "127.0.0.1"}, silent=["late.app"])
    s = start(["late.app"], settings="timeout = 200ms\n")
    assert s.get("/late.app")[0] == 504
    server.silent = []
    wait_until(lambda: s.get("/late.app")[0] == 200, "the name is never found", 20)


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_commands(name_server, resolving, command):
    """Their timeout holds, and Ctrl-C."""
    name_server(silent=["silent.app"])
    argv = [*resolving(), BINARY, command, "--shard-count=2", "http://silent.app:1/metrics"]
    before = time.monotonic()
    done = subprocess.run([*argv[:-1], "--timeout=500ms", argv[-1]], capture_output=True, text=True, timeout=60)
    assert done.returncode and "500ms" in done.stderr or "0.5 s" in done.stderr, done
    assert time.monotonic() - before < max(5, 3 * SLOW)  # DNS would take ten
    # A shell starts what is in the background with SIGINT ignored, and children inherit that.
    p = subprocess.Popen(argv, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_until(lambda: len(os.listdir(f"/proc/{p.pid}/task")) > 1, "no name is looked up")
    p.send_signal(signal.SIGINT)
    assert p.wait(max(5, 2 * SLOW)) == -signal.SIGINT


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has a malloc of its own")
@pytest.mark.parametrize("mode", MODES)
def test_without_memory(start, name_server, memory, mode):
    """For each name another allocation of the lookup fails: the scrape fails or is complete, and the next is complete."""
    hosts = [f"h{n}.app" for n in range(150)]
    name_server(dict.fromkeys(hosts, "127.0.0.1"))
    s = start(hosts, env=memory.environment)
    failures, own = 0, threads(s)
    for n, host in enumerate(hosts):
        memory.fail(1 + n, MODES[mode])
        try:
            status, _, body = s.get(f"/{host}")
        except (http.client.HTTPException, OSError):
            status, body = None, b""
        where = memory.end()
        assert s.process.poll() is None, where
        assert status != 200 or body == BODY, (where, body)
        failures += status != 200
        status, _, body = s.get(f"/{host}")
        assert status == 200 and body == BODY, (where, body)
    assert failures > 10
    wait_until(lambda: threads(s) == own, "threads are left")
