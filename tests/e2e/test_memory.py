# SPDX-License-Identifier: Apache-2.0
"""Out of memory: each allocation fails in turn, alone or with all after it. A scrape may fail; its body may never be short,
and nothing may crash or leak. FULL=1 fails every allocation of a scrape, not a sample of them."""
import concurrent.futures
import contextlib
import gzip
import http.client
import mmap
import os
import pathlib
import re
import shlex
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from conftest import (BINARY, OPENMETRICS, ROOT, SANITIZED, SLOW, TEXT, Peak, answer, answering, stands_still,
                      wait_until)
from exposition import PROTOBUF, gauge_family, protobuf_shard, target, text_shard
from pki import Authority
from steer import Steer

CASES = ROOT / "tests/cases"
LIBRARY = pathlib.Path(BINARY).resolve().parents[1] / "tests/libfail-malloc.so"
FULL = os.environ.get("FULL") == "1"
MODES = {"one fails": 0, "all from one on fail": 1}

pytestmark = pytest.mark.skipif(SANITIZED, reason="sanitizers have their own malloc")


class Memory:
    """The file that steers tests/torture/fail-malloc.c."""
    FIELDS = struct.Struct("5q224sq")

    def __init__(self, path):
        path.write_bytes(bytes(self.FIELDS.size))
        self.environment = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FAIL_MALLOC": str(path)}
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), self.FIELDS.size)

    def with_(self, steer):
        """An environment in which the clock is steered, too."""
        return {**steer.environment, **self.environment,
                "LD_PRELOAD": f"{self.environment['LD_PRELOAD']}:{steer.environment['LD_PRELOAD']}"}

    def fail(self, at, all_after=0, size=0):
        """Fails allocation number `at` from now on, with all_after also all after it; with size, counts only allocations
        of that size."""
        self.map[8:32] = struct.pack("3q", all_after, 0, 0)
        self.map[40:self.FIELDS.size] = bytes(224) + struct.pack("q", size)
        self.map[:8] = struct.pack("q", at)

    def end(self):
        """Stops failing: the number that failed, and the caller of the first."""
        _, _, _, failed, _, where, _ = self.FIELDS.unpack(self.map[:])
        self.map[:8] = bytes(8)
        return failed, where.rstrip(b"\0").decode()

    def count(self):
        """The number of allocations that might have failed."""
        return self.FIELDS.unpack(self.map[:])[2]

    def live(self):
        """The number of allocated blocks."""
        return self.FIELDS.unpack(self.map[:])[4]


@pytest.fixture
def memory(tmp_path):
    assert LIBRARY.exists(), f"{LIBRARY} is not built: ninja"
    return Memory(tmp_path / "memory")


# Commands.


def failing_in_turn(memory, argv, all_after, check):
    """Runs a command for each allocation that can fail. check(run, where) checks each run."""
    for n in range(1, 100000):
        memory.fail(n, all_after)
        done = subprocess.run([BINARY, *argv], capture_output=True, env=memory.environment, timeout=60)
        failed, where = memory.end()
        check(done, f"allocation {n} by {where}: {done}")
        if not failed:
            assert n > 1, "nothing was allocated"
            return
    pytest.fail("more than 100000 allocations")


def case(name):
    return (*shlex.split((CASES / f"{name}.args").read_text()), str(CASES / f"{name}.in")), \
        (CASES / f"{name}.out").read_bytes()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["text-mixed-1of3", "openmetrics-0of2", "protobuf-node-1of3",
                                  "key-labels-protobuf", "key-name-openmetrics", "rules-text", "rules-openmetrics",
                                  "rules-protobuf", "selector-all-text", "selector-all-protobuf",
                                  "haproxy-text-74of80", "native-federated-protobuf-0of7"])
def test_split(memory, name, mode):
    """Not with MD5: OpenSSL 3.0 crashes when it is out of memory at its initialization; the sidecar initializes it before
    any scrape."""
    args, out = case(name)

    def check(done, what):
        assert done.returncode in (0, 1), what
        if done.returncode == 0:
            assert done.stdout == out, what
        else:
            assert done.stderr.endswith(b"\n"), what
            assert out.startswith(done.stdout), what
    failing_in_turn(memory, ["split", *args], MODES[mode], check)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("valid", [True, False], ids=["valid", "invalid"])
def test_check(memory, config, valid, mode):
    """A valid file is never reported invalid for another reason than memory, and an invalid one never valid."""
    path = config("[endpoint a]\npath = /a\nupstream = http://127.0.0.1:1/metrics\n[rules]\nkeep = (a|b)_.*\n"
                  "colocate = (x)_.*\nsplit = y\n[sharding]\nkey = labels\nsource_labels = a, b\n" +
                  ("" if valid else "[rules]\ndrop = (\n"))
    untouched = subprocess.run([BINARY, "check", path], capture_output=True, timeout=60)
    assert untouched.returncode == (not valid)

    def check(done, what):
        blames_memory = b"memory" in done.stderr
        assert done.returncode in (0, 1), what
        assert blames_memory or (done.returncode, done.stdout, done.stderr) == \
            (untouched.returncode, untouched.stdout, untouched.stderr), what
        assert not blames_memory or done.returncode == 1, what
    failing_in_turn(memory, ["check", path], MODES[mode], check)


@pytest.mark.parametrize("mode", MODES)
def test_rules(memory, tmp_path, mode):
    """It says what it says with enough memory, or that there is not enough."""
    rules, body = tmp_path / "rules.yml", tmp_path / "body"
    rules.write_text("groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'a{x=~\"b.*\"} / b'}\n"
                     "  - {record: r, expr: 'sum({__name__=~\"a|c\"} or d)'}\n  - {alert: B, expr: r > 1, annotations: "
                     "{x: '{{ query \"e\" }}'}}\n")
    body.write_text("a 1\nb 1\nc 1\nd 1\ne 1\n")
    argv = ["rules", "--json", "--shard-count=3", f"--body={body}", str(rules)]
    untouched = subprocess.run([BINARY, *argv], capture_output=True, timeout=60)
    assert untouched.returncode == 1 and b"colocate" in untouched.stdout

    def check(done, what):
        assert (done.returncode, done.stdout, done.stderr) == (1, untouched.stdout, b"") or \
            (done.returncode == 3 and b"emory" in done.stderr), what
    failing_in_turn(memory, argv, MODES[mode], check)


# The sidecar.


FAILURE = re.compile(rb"^(?:ts=\S+ level=error msg=.*|scrapeshard: .*|\[err\] .*|/\S+: .*)\n", re.M)


@pytest.mark.parametrize("mode", MODES)
def test_start(memory, config, mode):
    """A start that fails reports what failed; this one fails when it listens, at the latest."""
    path = config("[endpoint a]\nupstream = http://127.0.0.1:1/metrics\n[rules]\nkeep = (a|b)_.*\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        argv = [BINARY, f"--config.file={path}", "--admin.listen-address=off",
                f"--web.listen-address=127.0.0.1:{taken.getsockname()[1]}"]

        def start():
            return subprocess.run(argv, capture_output=True, env=memory.environment, timeout=60)
        memory.fail(1 << 40)
        assert b"cannot listen" in start().stderr
        total, reported = memory.count(), set()
        # Nearly all are OpenSSL's, which libcurl initializes.
        for n in [*range(1, total - 250, 1 if FULL else 41), *range(total - 250, total + 1)]:
            memory.fail(n, MODES[mode])
            done = start()
            what = f"allocation {n} of {total} by {memory.end()[1]}: {done}"
            failures = FAILURE.findall(done.stderr)
            assert done.returncode == 1 and failures and b"(null)" not in done.stderr, what
            reported.add(re.sub(rb"[0-9]|\S*/\S*", b"", failures[0]))
    assert len(reported) > 2, reported


def test_start_without_libcurl(tmp_path):
    """The real libcurl cannot be made to fail here, so a preloaded one does."""
    library = tmp_path / "libcurl.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], check=True,
                   input=b"int curl_global_init_mem(void) { return 27; }\n")
    done = subprocess.run([BINARY, "--upstream.url=http://127.0.0.1:1/m"], capture_output=True, timeout=60,
                          env={**os.environ, "LD_PRELOAD": str(library)})
    assert done.returncode == 1 and FAILURE.fullmatch(done.stderr) and b"libcurl" in done.stderr, done


@pytest.mark.skipif(SLOW > 1, reason="sanitizers use descriptors of their own")
def test_start_without_descriptors(tmp_path):
    """The reason is not memory."""
    reported = set()
    for n in range(4, 14):
        done = subprocess.run(["sh", "-c", f"ulimit -n {n} && exec $0 $@", BINARY, "--upstream.url=http://127.0.0.1:1/m",
                               "--web.listen-address=127.0.0.1:0", f"--admin.listen-address=unix:{tmp_path}/no/s"],
                              capture_output=True, timeout=60)
        failures = FAILURE.findall(done.stderr)
        assert done.returncode == 1 and len(failures) == 1 and b"memory" not in done.stderr, done
        reported.add(re.sub(rb"[0-9]|\S*/\S*", b"", failures[0]))
    assert len(reported) > 2, reported


TEXT_BODY = b"".join(b"# HELP f_%d Help.\n# TYPE f_%d gauge\n" % (i, i) +
                     b"".join(b'f_%d{id="%d"} %d\n' % (i, j, i * j) for j in range(40)) for i in range(800))
BODIES = {
    "text": (TEXT, TEXT_BODY, text_shard),
    "OpenMetrics": (OPENMETRICS, TEXT_BODY + b"# EOF\n", text_shard),
    "protobuf": (PROTOBUF, b"".join(gauge_family(f"f_{i}", {f"{j}": i * j for j in range(40)}) for i in range(800)),
                 protobuf_shard),
}


# A small response that decodes to much: the fetch pauses many times in the same piece.
UNZIPPED = (1, False, ("--set=endpoint.default.upstream_encoding=gzip",))


class Way:
    """A running sidecar with Memory, and scrapes of one shard whose bodies are checked."""

    def __init__(self, sidecar, memory, upstream, body, count, compressed, *flags, pki=None):
        content_type, whole, shard_of_body = BODIES[body]
        self.expected = {shard: shard_of_body(whole, shard, count) for shard in range(min(count, 4))}
        self.count, self.memory, self.kept, self.resting = count, memory, [], False
        self.headers = {"Accept": content_type, **({"Accept-Encoding": "gzip"} if compressed else {})}
        zipped = UNZIPPED[2][0] in flags
        extra = ["Content-Encoding: gzip"] if zipped else []
        sent = gzip.compress(whole) if zipped else whole
        honest = answer(sent, content_type, extra=extra)
        # Connections that are kept and that are not: they allocate differently.
        closing = answer(sent, content_type, extra=[*extra, "Connection: close"])

        def serve(upstream, connection):
            self.kept.append(connection)
            while upstream.read_request(connection):
                kept = len(upstream.requests) % 3 and not self.resting
                connection.sendall(honest if kept else closing)
                if not kept:
                    return

        def serve_over_tls(upstream, connection):
            with pki.server.wrap_socket(connection, server_side=True) as t:
                serve(upstream, t)
        self.context = pki.client if pki else None
        url = upstream(serve_over_tls if pki else serve).url
        # No scrape is to meet its deadline, on a busy machine either. Over TLS some are left hanging until then.
        self.sidecar = sidecar(url.replace("http:", "https:") if pki else url, "--set=web.compression=auto",
                               f"--set=endpoint.default.timeout={'5s' if pki else '10s'}", *flags,
                               *(pki.flags if pki else ()), env=memory.environment)
        self.listeners = self.sockets()

    def scrape(self, shard):
        """One scrape: its body, or None if a scraper sees it fail."""
        connection = http.client.HTTPConnection("127.0.0.1", self.sidecar.port)
        try:
            connection.sock = socket.socket()
            connection.sock.settimeout(30)
            if self.count == 1:  # a slow reader, so that the fetch is paused
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536 if self.context else 8192)
            connection.sock.connect(("127.0.0.1", self.sidecar.port))
            if self.context:
                connection.sock = self.context.wrap_socket(connection.sock, server_hostname="127.0.0.1")
            connection.request("GET", f"/metrics?shard={shard}&shard_count={self.count}", headers=self.headers)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                return None
            return gzip.decompress(body) if response.headers["Content-Encoding"] == "gzip" else body
        except (http.client.HTTPException, OSError, EOFError):
            return None
        finally:
            connection.close()

    def at_rest(self):
        """(RssAnon, allocated blocks) after scrapes that succeed, without connections. Some scrapes are concurrent, as
        happens on a busy machine when a scraper gives up: what those allocate for good is no leak."""
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            list(pool.map(self.scrape, [0] * 30))
        for i in range(24):
            scrapes = self.sidecar.count("msg=scrape")
            assert self.is_expected(i % len(self.expected), self.scrape(i % len(self.expected))), self.sidecar.lines[-3:]
            wait_until(lambda: self.sidecar.count("msg=scrape") > scrapes, "the scrape is not over")
        self.resting = True
        for connection in self.kept:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

        def are_closed():
            """Scrapes close idle connections to the upstream that have ended."""
            return self.sockets() == self.listeners or self.scrape(0) and False
        wait_until(are_closed, "connections are left")
        self.resting = False
        return self.sidecar.memory(), self.fewest()

    def fewest(self):
        """Allocated blocks, without those that the loop's next iteration frees."""
        blocks = []
        for _ in range(20):
            blocks.append(self.memory.live())
            time.sleep(0.02)
        return min(blocks)

    def sockets(self):
        n = 0
        for link in pathlib.Path(f"/proc/{self.sidecar.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                n += str(link.readlink()).startswith("socket:")
        return n

    def is_expected(self, shard, body):
        return body == self.expected[shard]

    def fail_in_turn(self, all_after, step):
        """Fails every step-th allocation of a scrape, until several scrapes in a row pass untouched."""
        untouched, n, failures = 0, 1, 0
        while untouched < 3:
            shard = n % len(self.expected)
            self.memory.fail(n, all_after)
            body = self.scrape(shard)
            failed, where = self.memory.end()
            what = f"allocation {n} by {where}, shard {shard}"
            assert self.sidecar.process.poll() is None, (what, self.sidecar.process.returncode)
            assert body is None or self.is_expected(shard, body), (what, body[:2000])
            assert self.is_expected(shard, self.scrape(shard)), (f"the scrape after {what}", self.sidecar.lines[-3:])
            untouched = 0 if failed else untouched + 1
            failures += body is None
            n += step
        assert failures, "no scrape failed"
        return n


def torture(w, name, step=5):
    """Fails the allocations of scrapes in turn, and looks for leaks. What is kept once is none (a table that grew, code
    that had never run): a leak recurs in the next round."""
    # OpenSSL keeps the texts of its last 16 errors, three blocks for each.
    bound = 48 if w.context else 2
    before, blocks_after = w.at_rest()
    for _ in range(3):
        blocks = blocks_after
        for all_after in MODES.values():
            n = w.fail_in_turn(all_after, 1 if FULL else step)
        after, blocks_after = w.at_rest()
        print(f"{name}: {n} allocations, RssAnon {before} -> {after}, blocks {blocks} -> {blocks_after}")
        if blocks_after < blocks + bound:
            break
    else:
        pytest.fail("it leaks")
    wait_until(lambda: w.sidecar.descriptors() < 20, "descriptors leak")
    assert after < before + 4 * 1024 * 1024


WAYS = {
    "streamed": (1, False, ()),
    "streamed, gzip": (1, True, ()),
    "held": (80, False, ("--set=sharding.shard_count=80", "--set=sharding.reshard_to=81", "--set=endpoint.default.host_header=a")),
    "held, gzip": (80, True, ()),
    "snapshot": (1, False, ("--set=endpoint.default.max_age=1ms",)),
    "snapshot, gzip": (80, True, ("--set=endpoint.default.max_age=1ms",)),
    "labels": (2, False, ("--set=sharding.key=labels", "--set=sharding.source_labels=id")),
    "unzipped": UNZIPPED,
    "rules": (2, False, ("--set=rules.split=f_1.*", "--set=rules.colocate=f_(2).*", "--set=rules.drop=f_3.*")),
}


class Pki:
    """Mutual TLS on both sides: contexts for scraper and upstream, and the sidecar's flags."""

    def __init__(self, directory):
        ca = Authority(directory, "memory")
        pem, key = ca.issue("both", "IP:127.0.0.1")
        self.client = ssl.create_default_context(cafile=ca.pem)
        self.client.load_cert_chain(pem, key)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca.pem)
        self.server.verify_mode = ssl.CERT_REQUIRED
        self.server.load_cert_chain(pem, key)
        settings = {"web.tls_certificate": pem, "web.tls_key": key, "web.tls_client_ca": ca.pem,
                    "web.tls_client_names": "both", "endpoint.default.tls_ca": ca.pem,
                    "endpoint.default.tls_certificate": pem, "endpoint.default.tls_key": key}
        self.flags = [f"--set={name}={value}" for name, value in settings.items()]


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("body, way", [(body, way) for i, body in enumerate(BODIES) for j, way in enumerate(WAYS)
                                       if FULL or j % len(BODIES) == i])
def test_scrape(sidecar, memory, upstream, body, way):
    count, compressed, flags = WAYS[way]
    w = Way(sidecar, memory, upstream, body, count, compressed, *flags)
    if way in ("labels", "rules"):
        w.expected = {shard: w.scrape(shard) for shard in range(count)}
        assert None not in w.expected.values()
    torture(w, f"{body}, {way}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["held", "held, gzip", "streamed", "streamed, gzip", "snapshot"])
def test_upstream_is_not_blamed(sidecar, memory, upstream, way, mode):
    """When memory runs out, the log says so."""
    count, compressed, flags = WAYS[way]
    w = Way(sidecar, memory, upstream, "text", count, compressed, *flags)
    w.fail_in_turn(MODES[mode], 1)
    outcomes = {m[1] for m in (re.search(r"outcome=(\w+)", line) for line in w.sidecar.lines) if m}
    assert outcomes == {"ok", "no_memory"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", [b"a 1\n", TEXT_BODY], ids=["held", "streamed"])
def test_scraper_is_not_blamed(sidecar, memory, upstream, body, mode):
    """When libevent lacks memory for a request header larger than the reserve's blocks, the log does not say that the scraper
    left."""
    s = sidecar(upstream(answering(answer(body, extra=[f"X-Long: {'x' * 3000}"]))).url, "--log.level=debug",
                env=memory.environment)
    for n in range(1, 180):
        memory.fail(n, MODES[mode])
        try:
            status, _, got = s.get()
        except (http.client.HTTPException, OSError):
            status, got = None, b""
        where = memory.end()
        assert status != 200 or got == body, where
        status, _, got = s.get()
        assert status == 200 and got == body, where
    outcomes = {m[1] for m in (re.search(r"outcome=(\w+)", line) for line in s.lines) if m}
    assert outcomes == {"ok", "no_memory"}


@pytest.mark.parametrize("max_age", ["0s", "1ms"])
def test_tables_that_cannot_grow(sidecar, memory, upstream, max_age):
    """libevent's tables of timers and of descriptors cannot grow at 256 entries: nothing waits for ever. Connections without
    a request are closed, scrapes are complete or fail, and succeed again afterwards."""
    s = sidecar(upstream(answering(answer(TEXT_BODY))).url, "--set=web.head_timeout=5s",
                f"--set=endpoint.default.max_age={max_age}", env=memory.environment)
    assert s.get()[2] == TEXT_BODY

    def scrape():
        try:
            status, _, body = s.get()
        except (http.client.HTTPException, OSError):
            status, body = None, b""
        assert status != 200 or body == TEXT_BODY, status
        return status
    memory.fail(1, 1, 256 * 8)
    with contextlib.ExitStack() as stack:
        idle = []
        for _ in range(220):
            idle.append(stack.enter_context(s.connect()))
            scrape()
        failed, where = memory.end()
        assert failed, "no table had to grow"
        blamed = [line for line in s.lines if "outcome=" in line and not re.search("outcome=(ok|no_memory)", line)]
        assert not blamed, (where, blamed[0])
        assert scrape() == 200
        for connection in idle:
            connection.settimeout(20)
            with contextlib.suppress(ConnectionError):
                while connection.recv(4096):
                    pass


@pytest.mark.parametrize("body", ["text", "protobuf"])
def test_long_names(sidecar, upstream, body):
    """100 MB of families whose names are long: the memory does not grow with the body."""
    def families():
        for i in range(100):
            name = f"n{i:06}_" + "x" * 1000000
            yield gauge_family(name, {"a": i}) if body == "protobuf" else f"{name} {i}\n".encode()
    s = sidecar(upstream(answering(answer(b"".join(families()), BODIES[body][0]))).url, "--set=endpoint.default.timeout=1m")
    with Peak(s) as peak:
        assert s.get(target(0, 80))[0] == 200
    assert peak.bytes < 16 * 1024 * 1024


def test_others_continue(sidecar, memory, upstream):
    """A response that fails for memory ends no other: scrapes in flight whose first half has been sent."""
    honest, go_on = answer(TEXT_BODY), threading.Event()

    def serve(upstream, connection):
        while upstream.read_request(connection):
            connection.sendall(honest[:len(honest) // 2])
            assert go_on.wait(60)
            connection.sendall(honest[len(honest) // 2:])
    s = sidecar(upstream(serve).url, "--set=endpoint.default.timeout=1m", env=memory.environment)
    got, failed = [0] * 3, set()

    def scrape(i):
        connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            response, body = connection.getresponse(), b""
            while piece := response.read1(65536):
                body += piece
                got[i] = len(body)
            return body

    def received():
        assert s.admin("/-/healthy")[0] == 200  # whatever had come to the sidecar before is done
        return tuple(got)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        scrapes = [pool.submit(scrape, i) for i in range(3)]
        # What is still on its way may fail for memory itself.
        wait_until(lambda: all(got) and stands_still(received), "the first half is not sent", 30)
        for n in range(1, 200):
            memory.fail(n)
            with contextlib.suppress(http.client.HTTPException, OSError):
                if s.admin("/metrics")[0] == 200:
                    failed.add(n)
            memory.end()
        assert len(failed) < 199, "no response failed"
        go_on.set()
        for done in scrapes:
            assert done.result() == TEXT_BODY, s.lines[-4:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target, end", [("/", b"</html>\n"), ("/metrics", b"\n"), ("/-/config", b"\n")])
def test_admin(sidecar, memory, upstream, target, end, mode):
    """Its responses are complete, too, or fail; and the next one on the same connection is never taken for part of one."""
    s = sidecar(upstream(answering(answer(TEXT_BODY))).url, env=memory.environment)
    expected = s.admin(target)

    def get(connection):
        with contextlib.suppress(http.client.HTTPException, OSError):
            connection.request("GET", target)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        connection.close()
        return None
    untouched, n, failures = 0, 1, 0
    connection = http.client.HTTPConnection("127.0.0.1", s.admin_port, timeout=30)
    while untouched < 3:
        memory.fail(n, MODES[mode])
        responses = get(connection), get(connection)
        failed, where = memory.end()
        assert s.process.poll() is None, where
        for got in responses:
            failures += not got or got[0] != 200
            if got and got[0] == 200:
                assert got[2].endswith(end) and abs(len(got[2]) - len(expected[2])) < 200, (n, where, got)
                assert set(got[1].keys()) == set(expected[1].keys()), (n, where, got[1].items())
        untouched = 0 if failed else untouched + 1
        n += 1
    connection.close()
    assert failures, "no response failed"


@pytest.mark.parametrize("body, way", [("text", "streamed"), ("OpenMetrics", "held, gzip"), ("protobuf", "snapshot")])
def test_scrape_over_tls(sidecar, memory, upstream, pki, body, way):
    """From the scraper and to the upstream: 8000 allocations, most of them OpenSSL's."""
    count, compressed, flags = WAYS[way]
    torture(Way(sidecar, memory, upstream, body, count, compressed, *flags, pki=pki), f"{body}, {way}, TLS", 151)


@pytest.mark.parametrize("at, mode", [*((at, "all from one on fail") for at in (50, 150, 250, 450, 700)),
                                      *((at, "one fails") for at in range(372, 387, 3))])
def test_first_handshake(sidecar, memory, upstream, pki, at, mode):
    """OpenSSL's lazy initialization, also of a CA, is forced at startup: if it failed later, no handshake would succeed
    again."""
    w = Way(sidecar, memory, upstream, "text", 80, False, pki=pki)
    memory.fail(at, MODES[mode])
    w.scrape(0)
    failed, where = memory.end()
    assert failed, "nothing failed"
    assert w.is_expected(0, w.scrape(0)), (where, w.sidecar.lines[-3:])


@pytest.mark.parametrize("mode", MODES)
def test_reload(sidecar, memory, upstream, pki, tmp_path, mode):
    """Of all that comes from files and from OpenSSL: either the old or the new configuration is in force, completely."""
    users, config = tmp_path / "users", tmp_path / "c.ini"
    subprocess.run(["htpasswd", "-cbB", "-C", "4", users, "a", "b"], check=True, capture_output=True)
    url = upstream(answering(answer(TEXT_BODY))).url
    texts = [f"[process]\nwatch_files = off\n[endpoint a]\nupstream = {url}\n" + more for more in (
        "", "[sharding]\nhash = md5\nplacement = jump\n[rules]\nsplit = f_1.*\n[web]\n"
        f"basic_auth_file = {users}\nallow_networks = 127.0.0.0/8\n[admin]\nallow_networks = 127.0.0.0/8\n")]
    tls = "".join(f"{flag[6:].split('=')[0][4:]} = {flag[6:].split('=')[1]}\n" for flag in pki.flags
                  if flag.startswith("--set=web."))
    texts[1] += "[web]\n" + tls
    config.write_text(texts[0])
    steer = Steer(tmp_path / "steer")
    s = sidecar(config=config, env=memory.with_(steer))

    def reload():
        steer.forward(1)
        return s.admin("/-/reload", "POST")[0]

    def in_force():
        return b"hash = md5" in s.admin("/-/config")[2]
    untouched, n, failures = 0, 1, 0
    while untouched < 3:
        config.write_text(texts[0])
        assert reload() == 200 and not in_force()
        config.write_text(texts[1])
        memory.fail(n, MODES[mode])
        try:
            reload()
        except (http.client.HTTPException, OSError):
            pass
        failed, where = memory.end()
        assert s.process.poll() is None, (f"allocation {n} by {where}", s.process.returncode)
        failures += not in_force()
        assert reload() == 200 and in_force(), f"after allocation {n} by {where}"
        untouched = 0 if failed else untouched + 1
        n += 1 if FULL else 7
    assert failures, "no reload failed"


@pytest.mark.parametrize("mode", MODES)
def test_failed_reload_adds_no_endpoint(sidecar, memory, upstream, tmp_path, mode):
    """Not to the metrics either, which keep the endpoints that are gone."""
    config = tmp_path / "c.ini"
    url = upstream(answering(answer(TEXT_BODY))).url

    def text(names):
        return "[process]\nwatch_files = off\n" + "".join(
            f"[endpoint {name}]\npath = /{name}\nupstream = {url}\n" for name in names)
    config.write_text(text(["a"]))
    steer = Steer(tmp_path / "steer")
    s = sidecar(config=config, env=memory.with_(steer))
    untouched, n = 0, 1
    while untouched < 3:
        names = [f"n{n}-{i}" for i in range(5)]
        config.write_text(text(names))
        steer.forward(1)
        memory.fail(n, MODES[mode])
        with contextlib.suppress(http.client.HTTPException, OSError):
            s.admin("/-/reload", "POST")
        failed, where = memory.end()
        there = {name.encode() in s.admin("/-/config")[2] for name in names}
        counted = {f'endpoint="{name}"'.encode() in s.admin("/metrics")[2] for name in names}
        assert there == counted and len(there) == 1, f"after allocation {n} by {where}"
        untouched = 0 if failed else untouched + 1
        n += 1 if FULL else 7
