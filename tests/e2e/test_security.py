# SPDX-License-Identifier: Apache-2.0
"""Access control and TLS of the listeners, TLS and authorization towards upstreams, and that no secret leaks."""
import base64
import contextlib
import gzip
import http.client
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import BINARY, SLOW, answer, answering, wait_until
from pki import Authority, openssl
from prometheus import INTERVAL_SECONDS, Prometheus, job
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\n"
LARGE = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(60000))
TOKEN = "s3cr3t-t0ken~of+the/scraper="
DOOR = ("web", "admin")


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"), "scrapers")


@pytest.fixture(scope="session")
def other_ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"), "strangers")


@pytest.fixture(scope="session")
def server(ca):
    return ca.issue("server", "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(scope="session")
def passwords(tmp_path_factory):
    """A file with two users, written by htpasswd."""
    path = tmp_path_factory.mktemp("passwords") / "users"
    for flags, user, password in (("-cbB", "prometheus", "correct horse"), ("-bB", "other", "battéry:staple")):
        subprocess.run(["htpasswd", flags, "-C", "8", path, user, password], check=True, capture_output=True)
    return path


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return path


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


def flags(section="web", **values):
    return [word for key, value in values.items() for word in ("--set", f"{section}.{key}={value}")]


def tls(server, section="web", **more):
    return flags(section, tls_certificate=server[0], tls_key=server[1], **more)


def trusting(ca, certificate=None, **options):
    context = ssl.create_default_context(cafile=ca.pem)
    if certificate:
        context.load_cert_chain(*certificate)
    for name, value in options.items():
        setattr(context, name, value)
    return context


def ask(port, target="/metrics", context=None, headers=None, method="GET", source="127.0.0.1"):
    """One request: (status, headers, body)."""
    if context:
        c = http.client.HTTPSConnection("127.0.0.1", port, timeout=60 * SLOW, context=context,
                                        source_address=(source, 0))
    else:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * SLOW, source_address=(source, 0))
    try:
        c.request(method, target, headers=headers or {})
        response = c.getresponse()
        return response.status, response.headers, response.read()
    finally:
        c.close()


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


GOOD = basic("prometheus", "correct horse")


def reload(s, good=True):
    before = s.count("msg=reloaded|reload failed")
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: s.count("msg=reloaded|reload failed") > before, "SIGHUP is not heard")
    assert bool(s.find("reload failed")) != good


RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER


def ask_and_reset(s, port, request, times):
    """Clients that reset their connections before they are accepted."""
    s.process.send_signal(signal.SIGSTOP)
    try:
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", port), 20 * SLOW) as raw:
                raw.sendall(request)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    finally:
        s.process.send_signal(signal.SIGCONT)


# TLS.


def s_client(port, *args, text=""):
    """The output of openssl s_client."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *args], input=text,
                          capture_output=True, text=True, check=False, timeout=30 * SLOW)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("args, good", [
    (["-tls1_3"], True),
    (["-tls1_2"], True),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], True),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"], True),
    (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], False),
    (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], False),
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0"], False),  # CBC
    (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"], False),
    (["-tls1_2", "-cipher", "AES128-GCM-SHA256:@SECLEVEL=0"], False),  # no forward secrecy
    (["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"], False),
    (["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"], False),
    (["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"], False),
], ids=str)
@pytest.mark.parametrize("section", DOOR)
def test_versions_and_ciphers(sidecar, service, server, section, args, good):
    s = sidecar(service.url, *tls(server, section))
    status, said = s_client(s.port if section == "web" else s.admin_port, *args)
    assert (status == 0) == good, said
    assert ("Cipher is (NONE)" in said) != good


LAX = """\
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
Options = ClientRenegotiation
"""


@pytest.fixture
def lax(tmp_path):
    """An environment in which OpenSSL itself permits everything."""
    path = tmp_path / "openssl.cnf"
    path.write_text(LAX)
    return {**os.environ, "OPENSSL_CONF": str(path)}


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
@pytest.mark.parametrize("section", DOOR)
def test_old_versions_are_refused_for_what_they_are(sidecar, service, server, lax, section, version):
    s = sidecar(service.url, *tls(server, section), env=lax)
    status, said = s_client(s.port if section == "web" else s.admin_port, version, "-cipher", "ALL:@SECLEVEL=0")
    assert status and "alert protocol version" in said, said
    s.wait_line('limit=tls .*reason="unsupported protocol"')


def test_no_renegotiation(sidecar, service, server, lax):
    """Regardless of OpenSSL's own settings."""
    s = sidecar(service.url, *tls(server), env=lax)
    status, said = s_client(s.port, "-tls1_2", text="R\n")
    assert "RENEGOTIATING" in said and "no renegotiation" in said and status, said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_taken_up_again(sidecar, service, ca, server, version):
    """Each connection presents its certificate, even while the one whose session it offers is still open."""
    s = sidecar(service.url, *tls(server))
    context, session = trusting(ca, minimum_version=version, maximum_version=version), None
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            raw = stack.enter_context(s.connect())
            t = stack.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1", session=session))
            t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            assert t.recv(1000).startswith(b"HTTP/1.1 200 ")
            assert not t.session_reused and not t.session.has_ticket
            session = t.session


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}], ids=["identity", "gzip"])
def test_scrapes_over_tls(sidecar, upstream, ca, server, body, headers):
    u = upstream(answering(answer(body)))
    s = sidecar(u.url, *tls(server))
    c = http.client.HTTPSConnection("127.0.0.1", s.port, context=trusting(ca), timeout=20 * SLOW)
    for _ in range(5):
        c.request("GET", "/metrics", headers=headers)
        response = c.getresponse()
        got = response.read()
        assert response.status == 200
        assert (gzip.decompress(got) if response.headers["Content-Encoding"] else got) == body
    c.request("HEAD", "/metrics", headers=headers)
    assert c.getresponse().read() == b""
    c.close()
    assert u.connections == 1


def test_without_tls_nothing_is_said(sidecar, service, server):
    s = sidecar(service.url, *tls(server))
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in raw.recv(1000)
    s.wait_line("limit=tls peer=127.0.0.1 .*reason=\"http request\"")
    assert not service.requests


def test_tls_over_a_unix_socket(sidecar, service, ca, server, tmp_path):
    s = sidecar(service.url, *tls(server), listen=f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(f"{tmp_path}/s")
        with trusting(ca).wrap_socket(raw, server_hostname="localhost") as t:
            t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            response = http.client.HTTPResponse(t)
            response.begin()
            assert response.read() == BODY
    assert s.address.startswith("unix:")


def test_handshake_that_does_not_end(sidecar, service, server):
    s = sidecar(service.url, *tls(server), *flags(head_timeout=f"{500 * SLOW:.0f}ms"))
    with s.connect() as raw, contextlib.suppress(ConnectionError):  # a reset, if the bytes come only after the deadline
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert raw.recv(100) == b""
    s.wait_line("limit=head_timeout")


@contextlib.contextmanager
def tls_connection(s, ca, ragged=False):
    context = trusting(ca)
    if not ragged:  # Python tells OpenSSL to accept any end
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with s.connect() as raw, context.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=ragged) as t:
        yield t


def cut(upstream, connection):
    """A large body that is truncated."""
    while upstream.read_request(connection):
        connection.sendall(answer(LARGE)[:len(LARGE) // 2])
        raise ConnectionError


def read_all(t):
    got = b""
    while piece := t.recv(65536):
        got += piece
    return got


def test_streamed_answer_to_http_10_ends_with_a_close_notify(sidecar, upstream, ca, server):
    s = sidecar(upstream(answering(answer(LARGE))).url, *tls(server))
    with tls_connection(s, ca) as t:
        t.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert read_all(t).endswith(b"\r\n\r\n" + LARGE)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_broken_answer_is_seen_as_broken(sidecar, upstream, ca, server, version):
    """Neither a last chunk nor a close_notify."""
    s = sidecar(upstream(cut).url, *tls(server))
    got = b""
    with tls_connection(s, ca) as t:
        t.sendall(f"GET /metrics HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        with pytest.raises((ssl.SSLEOFError, ConnectionError)):
            while piece := t.recv(65536):
                got += piece
    assert got.startswith(f"HTTP/{version} 200".encode()) and not got.endswith(b"0\r\n\r\n")
    s.wait_line("outcome=upstream_failed|outcome=upstream_truncated")


class Gated:
    """An upstream that responds when allowed; the start of the response comes at once."""

    def __init__(self, body, streams):
        self.body, self.streams = body, streams
        self.asked, self.go_on, self.left = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, upstream, connection):
        while upstream.read_request(connection):
            whole = answer(self.body)
            at = len(whole) // 2 if self.streams else 0
            connection.sendall(whole[:at])
            self.asked.set()
            connection.settimeout(0.05)
            while not self.go_on.is_set():
                with contextlib.suppress(TimeoutError):
                    try:
                        assert connection.recv(1)
                    except (AssertionError, ConnectionError):
                        self.left.set()
                        return
            connection.settimeout(None)
            connection.sendall(whole[at:])


@pytest.mark.parametrize("streams, how", [(False, "reset"), (True, "close"), (True, "close_notify"), (True, "reset")])
def test_scraper_leaves(sidecar, upstream, ca, server, streams, how):
    """The upstream request is aborted."""
    gated = Gated(LARGE if streams else BODY, streams)
    s = sidecar(upstream(gated).url, *tls(server), "--set", "endpoint.default.timeout=60s")
    with tls_connection(s, ca, True) as t:
        t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gated.asked.wait(10 * SLOW)
        if streams:
            t.recv(100)
        if how == "close_notify":
            with contextlib.suppress(OSError):
                t.settimeout(0.1)
                t.unwrap()
        elif how == "reset":
            t.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    s.wait_line("outcome=client_gone")
    assert gated.left.wait(10 * SLOW)


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_scraper_that_shuts_its_sending_side(sidecar, upstream, ca, server, body):
    """It gets its response, over TLS too."""
    go_on = threading.Event()

    def serve(u, connection):
        while u.read_request(connection):
            go_on.wait(20 * SLOW)
            connection.sendall(answer(body))
    s = sidecar(upstream(serve).url, *tls(server))
    with tls_connection(s, ca) as t:
        t.sendall(b"GET /metrics HTTP/1.0\r\nHost: a\r\n\r\n")
        super(ssl.SSLSocket, t).shutdown(socket.SHUT_WR)
        assert s.admin("/-/healthy")[0] == 200
        go_on.set()
        assert t.makefile("rb").read().endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("streams", [False, True], ids=["held", "streaming"])
def test_bytes_sent_ahead(sidecar, upstream, ca, server, streams):
    """A request that arrives during the previous response is not taken for a disconnect, and is served next."""
    gated = Gated(LARGE if streams else BODY, streams)
    s = sidecar(upstream(gated).url, *tls(server))
    with tls_connection(s, ca, True) as t:
        t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gated.asked.wait(10 * SLOW)
        t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        gated.go_on.set()
        assert read_all(t).count(b"HTTP/1.1 200 OK") == 2


def test_flood_over_tls_is_not_taken_in(sidecar, upstream, ca, server):
    gated = Gated(LARGE, True)
    s = sidecar(upstream(gated).url, *tls(server), "--set", "endpoint.default.timeout=3s")
    with tls_connection(s, ca) as t:
        t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gated.asked.wait(10 * SLOW)
        before, t_end = s.memory(), time.monotonic() + 60 * SLOW
        t.settimeout(0.5)
        with contextlib.suppress(OSError):
            while time.monotonic() < t_end:
                t.sendall(b"X" * 65536)
        assert SLOW > 1 or s.memory() < before + (4 << 20)
    gated.go_on.set()


def test_slow_reader_over_tls_meets_the_deadline(sidecar, upstream, ca, server):
    kernel = int(pathlib.Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])
    larger = LARGE * (kernel // len(LARGE) + 2)  # than what the kernel buffers for a client that does not read
    # Until the deadline the upstream must have filled all buffers.
    s = sidecar(upstream(answering(answer(larger))).url, *tls(server), "--set",
                f"endpoint.default.timeout={3 * SLOW:.0f}s")
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", s.port))
        with trusting(ca).wrap_socket(raw, server_hostname="127.0.0.1") as t:
            t.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            s.wait_line("outcome=timeout .*the scraper did not read the response in time")


# Handshakes.


@pytest.fixture(scope="session")
def dear(tmp_path_factory):
    """A certificate with slow handshakes."""
    directory = tmp_path_factory.mktemp("dear")
    pem, key = directory / "pem", directory / "key"
    openssl("req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-subj", "/CN=dear", "-keyout", key, "-out", pem)
    return pem, key


def client_hello():
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


@contextlib.contextmanager
def stopped(s, connections):
    """Stops the sidecar while its accepted connections send all their data."""
    wait_until(lambda: s.descriptors() > connections, "not all were accepted")
    assert s.admin("/-/healthy")[0] == 200
    s.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        s.process.send_signal(signal.SIGCONT)


@pytest.mark.alone
@pytest.mark.parametrize("many, accepted, idle", [(200, True, 0), (200, True, 2), (100, False, 0)],
                         ids=["accepted", "accepted long ago", "new"])
def test_handshakes_let_all_else_go_first(sidecar, service, dear, tmp_path, many, accepted, idle):
    """Many at once from one address: health and a scrape over a kept connection, though sent after all of them, wait for
    only a few."""
    steer = Steer(tmp_path / "steer")
    s = sidecar(service.url, *tls(dear), env=steer.environment)
    hello = client_hello()
    kept = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=60 * SLOW, context=ssl._create_unverified_context())
    admin = http.client.HTTPConnection("127.0.0.1", s.admin_port, timeout=60 * SLOW)

    def ask_all():
        kept.request("GET", "/metrics")
        admin.request("GET", "/-/healthy")

    def round():
        """How many handshakes were done when the other requests had their responses."""
        with contextlib.ExitStack() as stack:
            def connect():
                return [stack.enter_context(socket.create_connection(("127.0.0.1", s.port), 60 * SLOW,
                                                                     ("127.0.0.2", 0))) for _ in range(many)]
            flood = connect() if accepted else []
            with stopped(s, len(flood)):
                flood = flood or connect()
                for raw in flood:
                    raw.sendall(hello)
                steer.forward(idle)
                ask_all()
            for connection in (admin, kept):
                response = connection.getresponse()
                assert (response.status, bool(response.read())) == (200, True)
            done = len(select.select(flood, [], [], 0)[0])
            for raw in flood:  # each is served eventually
                assert raw.recv(1) == b"\x16"
            return done
    ask_all()
    for connection in (admin, kept):
        assert connection.getresponse().read()
    # While this process waits for a CPU, more of them are done: the quickest round counts.
    done = [round()]
    while len(done) < 10 and min(done) >= many // 8:
        done.append(round())
    assert min(done) < many // 8, done


def test_handshake_that_has_waited_waits_no_more(sidecar, service, server, tmp_path):
    """Handshakes progress even if there is always something else to do."""
    steer, connections, requests = Steer(tmp_path / "steer"), 24, 50
    s = sidecar(service.url, *tls(server), env=steer.environment)

    def round():
        """How many requests had their responses when the handshake went on."""
        with s.connect() as raw, contextlib.ExitStack() as stack:
            busy = [stack.enter_context(socket.create_connection(("127.0.0.1", s.admin_port), 60))
                    for _ in range(connections)]
            with stopped(s, connections):
                raw.sendall(client_hello())
                for b in busy:
                    b.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * requests)
                steer.forward(2)
            assert raw.recv(1) == b"\x16"
            s.process.send_signal(signal.SIGSTOP)
            done = sum(read_what_is_there(b).count(b"HTTP/1.1 200 OK") for b in busy)
            s.process.send_signal(signal.SIGCONT)
        return done
    # While this process waits for a CPU, more of them are served: the quickest round counts.
    done = [round()]
    while len(done) < 10 and min(done) >= connections * requests / 2:
        done.append(round())
    assert min(done) < connections * requests / 2, done


def read_what_is_there(raw):
    raw.setblocking(False)
    got = b""
    with contextlib.suppress(BlockingIOError):
        while piece := raw.recv(1 << 20):
            got += piece
    return got


# Certificates of clients.


@pytest.mark.parametrize("section", DOOR)
def test_client_certificate(sidecar, service, ca, other_ca, server, section):
    s = sidecar(service.url, *tls(server, section, tls_client_ca=ca.pem))
    port, target = (s.port, "/metrics") if section == "web" else (s.admin_port, "/-/reload")
    method = "GET" if section == "web" else "POST"
    good = trusting(ca, ca.issue("good"))
    assert ask(port, target, good, method=method)[0] == 200
    for certificate in (other_ca.issue("stranger"), None):
        context = trusting(ca, certificate)
        if section == "admin" and certificate is None:
            status, _, body = ask(port, target, context, method=method)
            assert status == 403 and b"certificate" in body
            continue
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(port, target, context, method=method)
        s.wait_line("limit=tls")
    assert not service.requests or section == "web" and len(service.requests) == 1


def test_probes_need_no_client_certificate(sidecar, service, ca, server, passwords):
    """A kubelet has neither a certificate nor credentials, but speaks TLS."""
    s = sidecar(service.url, *tls(server, "admin", tls_client_ca=ca.pem, basic_auth_file=passwords))
    for target in ("/-/healthy", "/-/ready"):
        assert ask(s.admin_port, target, trusting(ca))[0] == 200
    assert ask(s.admin_port, "/-/healthy/x", trusting(ca))[0] == 403
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(s.admin_port, "/-/healthy")


@pytest.mark.parametrize("san, cn, good", [
    ("DNS:prometheus.example", "x", True), ("DNS:PROMETHEUS.example", "x", True),
    ("DNS:a,DNS:prometheus.example", "x", True), ("URI:spiffe://example/prometheus", "x", True),
    ("", "the prometheus", True),
    ("DNS:prometheus.example.com", "x", False), ("DNS:*.example", "x", False), ("DNS:a.prometheus.example", "x", False),
    ("URI:spiffe://example/Prometheus", "x", False), ("URI:prometheus.example.", "x", False),
    ("email:prometheus.example", "x", False), ("", "The prometheus", False), ("", "x", False),
])
def test_client_names(sidecar, service, ca, server, san, cn, good):
    s = sidecar(service.url, *tls(server, tls_client_ca=ca.pem, tls_client_names="prometheus.example"),
                *flags(tls_client_names="spiffe://example/prometheus"), *flags(tls_client_names="the prometheus"))
    name = f"c{abs(hash((san, cn)))}"
    status, _, body = ask(s.port, context=trusting(ca, ca.issue(name, san.replace("email:", "email:a@"), cn)))
    assert status == (200 if good else 403)
    assert good or b"name not allowed" in body
    assert len(service.requests) == good


# Passwords and tokens.


@pytest.mark.parametrize("headers, good", [
    (GOOD, True),
    (basic("other", "battéry:staple"), True),
    ({"authorization": "bAsIc   " + GOOD["Authorization"][6:]}, True),
    ({}, False),
    (basic("prometheus", "battéry:staple"), False),
    (basic("prometheus", ""), False),
    (basic("nobody", "correct horse"), False),
    (basic("Prometheus", "correct horse"), False),
    (basic("", ""), False),
    (basic("prometheus", "correct horse\0"), False),
    ({"Authorization": GOOD["Authorization"][:-2]}, False),
    ({"Authorization": GOOD["Authorization"] + "!"}, False),
    ({"Authorization": "Basic"}, False),
    ({"Authorization": "Basic ===="}, False),
    ({"Authorization": "Basic " + "QUFB" * 1500}, False),
    ({"Authorization": "Basic:" + GOOD["Authorization"][6:]}, False),
    ({"Authorization": ""}, False),
    (bearer(TOKEN), False),
    ({"X-Authorization": GOOD["Authorization"]}, False),
    ({"Proxy-Authorization": GOOD["Authorization"]}, False),
], ids=str)
def test_basic_auth(sidecar, service, passwords, headers, good):
    s = sidecar(service.url, *flags(basic_auth_file=passwords))
    for _ in range(2):
        status, answered, body = ask(s.port, headers=headers)
        assert status == (200 if good else 401), body
        assert good or answered["WWW-Authenticate"].startswith("Basic ")
    assert len(service.requests) == 2 * good
    assert not any(b"uthorization" in request.replace(b"X-Auth", b"").replace(b"Proxy-Auth", b"")
                   for request in service.requests)


@pytest.mark.parametrize("headers, good", [
    (bearer(TOKEN), True), ({"Authorization": f"BEARER {TOKEN}"}, True),
    (bearer(TOKEN[:-1]), False), (bearer(TOKEN + "x"), False), (bearer(TOKEN.upper()), False), (bearer(""), False),
    ({"Authorization": TOKEN}, False), ({}, False), (GOOD, False),
], ids=str)
@pytest.mark.parametrize("section", DOOR)
def test_bearer_token(sidecar, service, token, section, headers, good):
    s = sidecar(service.url, *flags(section, bearer_token_file=token))
    port, target = (s.port, "/metrics") if section == "web" else (s.admin_port, "/-/nowhere")
    status, answered, _ = ask(port, target, headers=headers)
    assert status == ((200 if section == "web" else 404) if good else 401)
    assert good or answered["WWW-Authenticate"].startswith("Bearer ")


def test_two_authorizations_are_none(sidecar, service, token):
    s = sidecar(service.url, *flags(bearer_token_file=token))
    with s.connect() as raw:
        raw.sendall(f"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n"
                    f"Authorization: Bearer {TOKEN}x\r\n\r\n".encode())
        assert b" 401 " in raw.recv(1000)


def test_password_or_token(sidecar, service, token, passwords):
    s = sidecar(service.url, *flags(bearer_token_file=token, basic_auth_file=passwords))
    for headers, status in ((GOOD, 200), (bearer(TOKEN), 200), ({}, 401), (bearer("x"), 401)):
        assert ask(s.port, headers=headers)[0] == status
    assert len(ask(s.port)[1].get_all("WWW-Authenticate")) == 2


def test_everything_together(sidecar, service, ca, server, passwords):
    s = sidecar(service.url, *tls(server, tls_client_ca=ca.pem, tls_client_names="good", basic_auth_file=passwords,
                                  allow_networks="127.0.0.2/32"))
    good, bad = trusting(ca, ca.issue("good2", cn="good")), trusting(ca, ca.issue("bad"))
    assert ask(s.port, context=good, headers=GOOD, source="127.0.0.2")[0] == 200
    assert ask(s.port, context=good, source="127.0.0.2")[0] == 401
    assert ask(s.port, context=bad, headers=GOOD, source="127.0.0.2")[0] == 403
    with pytest.raises((ConnectionError, ssl.SSLError, http.client.HTTPException)):
        ask(s.port, context=good, headers=GOOD, source="127.0.0.3")
    assert len(service.requests) == 1


ADDRESS = "10.99.9.1"


@pytest.fixture
def elsewhere():
    """The name of a network namespace with an address besides loopback."""
    name = f"scrapeshard-{os.getpid()}-elsewhere"
    for command in (f"add {name}", f"exec {name} ip link set lo up", f"exec {name} ip address add {ADDRESS}/32 dev lo"):
        subprocess.run(["ip", "netns", *command.split()], check=True, capture_output=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True, capture_output=True)


def ask_there(namespace, host, port, target, *args):
    """The status of a request by curl inside a namespace, sent from its destination address."""
    method = "POST" if target == "/-/reload" else "GET"
    done = subprocess.run(["ip", "netns", "exec", namespace, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X",
                           method, *args, f"http://{host}:{port}{target}"], capture_output=True, text=True, check=True)
    return int(done.stdout)


OPEN, GUARDED = ("/-/healthy", "/-/ready", "/metrics", "/"), ("/-/reload", "/-/config")


def test_configuration_is_for_this_host(sidecar, service, elsewhere, tmp_path):
    """Unless credentials are required: a Pod's admin listener is open to the cluster for probes and Prometheus."""
    s = sidecar(service.url, "--set", "admin.listen_address=[::]:0", prefix=["ip", "netns", "exec", elsewhere])
    port = s.wait_line(r'"listening for administration" address=\S+:(\d+)')[1]
    for target in OPEN:
        assert ask_there(elsewhere, ADDRESS, port, target) == 200
    for target in GUARDED:
        assert ask_there(elsewhere, ADDRESS, port, target) == 403
        assert ask_there(elsewhere, "127.0.0.1", port, target) == ask_there(elsewhere, "[::1]", port, target) == 200
    s.wait_line(f"limit=credentials peer={ADDRESS} .*from this host.*bearer_token_file")
    assert s.stop() == 0  # then all lines are there
    assert s.count("msg=reloaded") == 2


@pytest.mark.parametrize("credential", ["token", "password"])
def test_configuration_is_for_who_shows_a_credential(sidecar, service, elsewhere, token, passwords, credential):
    values = {"bearer_token_file": token} if credential == "token" else {"basic_auth_file": passwords}
    s = sidecar(service.url, "--set", "admin.listen_address=:0", *flags("admin", **values),
                prefix=["ip", "netns", "exec", elsewhere])
    good, bad = ([f"Authorization: Bearer {t}" for t in (TOKEN, "x")] if credential == "token" else
                 [f"Authorization: {h['Authorization']}" for h in (GOOD, basic("prometheus", "x"))])
    for target in GUARDED:
        assert ask_there(elsewhere, ADDRESS, s.admin_port, target, "-H", good) == 200
        assert ask_there(elsewhere, ADDRESS, s.admin_port, target, "-H", bad) == 401
        assert ask_there(elsewhere, ADDRESS, s.admin_port, target) == 401


def test_configuration_over_a_unix_socket(process, service, tmp_path):
    p = process([BINARY, f"--upstream.url={service.url}", "--web.listen-address=127.0.0.1:0",
                 f"--admin.listen-address=unix:{tmp_path}/s"])
    p.wait_line("listening for administration")
    for target, method in (("/-/config", "GET"), ("/-/reload", "POST")):
        done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", method, "--unix-socket",
                               tmp_path / "s", f"http://localhost{target}"], capture_output=True, text=True, check=True)
        assert done.stdout == "200"


def test_listeners_are_apart(sidecar, service, token, passwords):
    s = sidecar(service.url, *flags("web", bearer_token_file=token), *flags("admin", basic_auth_file=passwords))
    assert ask(s.port, headers=bearer(TOKEN))[0] == 200
    assert ask(s.port, headers=GOOD)[0] == 401
    assert ask(s.admin_port, "/-/reload", headers=GOOD, method="POST")[0] == 200
    assert ask(s.admin_port, "/-/reload", headers=bearer(TOKEN), method="POST")[0] == 401
    assert ask(s.admin_port, "/-/reload", method="POST")[0] == 401
    assert ask(s.admin_port, "/-/healthy")[0] == 200


def cpu(s):
    """CPU seconds of all threads."""
    fields = pathlib.Path(f"/proc/{s.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.fixture(scope="session")
def slow_passwords(tmp_path_factory):
    path = tmp_path_factory.mktemp("passwords") / "slow"
    subprocess.run(["htpasswd", "-cbB", "-C", "10", path, "prometheus", "correct horse"], check=True,
                   capture_output=True)
    return path


def test_a_password_is_matched_once(sidecar, service, slow_passwords):
    """A hundred scrapes cost less than one bcrypt check."""
    s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
    start = cpu(s)
    assert ask(s.port, headers=GOOD)[0] == 200
    once = cpu(s) - start
    for _ in range(100):
        assert ask(s.port, headers=GOOD)[0] == 200
    assert cpu(s) - start < 10 * once
    assert ask(s.port, headers=basic("prometheus", "correct horse "))[0] == 401


def test_a_password_is_matched_once_for_all_reloads(sidecar, config, service, slow_passwords, tmp_path):
    """Unless a user or a hash changed."""
    users = tmp_path / "users"
    users.write_bytes(slow_passwords.read_bytes())
    s = sidecar(config=config(basic_auth_file=users))
    start = cpu(s)
    assert ask(s.port, headers=GOOD)[0] == 200
    once, start = cpu(s) - start, cpu(s)
    for _ in range(10):
        reload(s)
        assert ask(s.port, headers=GOOD)[0] == 200
    assert cpu(s) - start < 5 * once
    subprocess.run(["htpasswd", "-bB", "-C", "5", users, "prometheus", "another"], check=True, capture_output=True)
    reload(s)
    assert ask(s.port, headers=GOOD)[0] == 401
    assert ask(s.port, headers=basic("prometheus", "another"))[0] == 200


def test_guessing_harms_nobody(sidecar, service, slow_passwords):
    """Wrong passwords from many connections: clients with cached credentials and health checks are served, the guessers get
    429, and the log is not flooded."""
    began = time.monotonic()
    s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
    assert ask(s.port, headers=GOOD)[0] == 200
    over, seen = threading.Event(), set()

    def guess(i):
        n = 0
        while not over.is_set():
            n += 1
            with contextlib.suppress(OSError, http.client.HTTPException):
                seen.add(ask(s.port, headers=basic("prometheus", f"{i}-{n}"), source="127.0.0.2")[0])
    threads = [threading.Thread(target=guess, args=(i,), daemon=True) for i in range(20)]
    for t in threads:
        t.start()
    wait_until(lambda: seen == {401, 429}, "no 429", 30)
    for _ in range(50):
        assert ask(s.port, headers=GOOD)[0] == 200
        assert ask(s.admin_port, "/-/healthy")[0] == 200
    # A client whose credentials are not cached yet waits for some guesses, but is admitted.
    assert ask(s.port, headers=basic("prometheus", "wrong"), source="127.0.0.3")[0] == 401
    over.set()
    for t in threads:
        t.join(30 * SLOW)
    # Each limit has a line in ten seconds, by a clock without fractions.
    most = 1 + (time.monotonic() - began) / 9
    said = [m[1] for line in list(s.lines) if (m := re.search(r"limit=(\w+)", line))]
    assert all(said.count(limit) <= most for limit in said), said


def request_with(credential, version="1.1"):
    """The bytes of a request that presents it."""
    return f"GET /metrics HTTP/{version}\r\nHost: a\r\nAuthorization: {credential['Authorization']}\r\n\r\n".encode()


def connect_from(s, source):
    """A connection from an address of loopback."""
    return socket.create_connection(("127.0.0.1", s.port), 60 * SLOW, (source, 0))


def hits(s, limit):
    """How often a limit was hit."""
    return int(re.search(rb'scrapeshard_limit_hits_total{limit="%s"} (\d+)' % limit.encode(),
                         s.admin("/metrics")[2])[1])


def test_addresses_take_turns_with_their_passwords(sidecar, service, slow_passwords):
    """Eight addresses fill the queue with guesses. A new address, as after a restart, is served after at most one more
    turn of each."""
    guessing = [f"127.0.0.{i}" for i in range(2, 10)]

    def refused_meanwhile():
        """How many guesses are checked while the new address waits."""
        s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
        with contextlib.ExitStack() as stack:
            over = threading.Event()

            def guess(source, n):
                """As fast as responses arrive, always over the same connection."""
                with contextlib.suppress(OSError):
                    raw = stack.enter_context(connect_from(s, source))
                    raw.sendall(request_with(basic("prometheus", f"wrong {n}")))
                    while not over.is_set() and raw.recv(4096):
                        raw.sendall(request_with(basic("prometheus", "wrong")))
            threads = [threading.Thread(target=guess, args=(source, n), daemon=True)
                       for source in guessing for n in range(9)]
            for t in threads:
                t.start()
            wait_until(lambda: hits(s, "attempts") >= len(guessing), "the queue is not full")
            before = hits(s, "credentials")
            status, _, body = ask(s.port, headers=GOOD, source="127.0.0.99")
            matched = hits(s, "credentials") - before
            over.set()
        s.process.send_signal(signal.SIGTERM)
        s.wait_line("shutting down")  # the second signal does not wait for the guesses
        s.stop()
        assert (status, body) == (200, BODY)
        return matched
    # One was being checked when it arrived, and one may finish before the number is read. While this process waits for
    # a CPU, more are checked: the quickest time counts.
    matched = [refused_meanwhile()]
    while len(matched) < 5 and min(matched) > len(guessing) + 2:
        matched.append(refused_meanwhile())
    assert min(matched) <= len(guessing) + 2, matched


def test_guesses_of_those_who_have_gone_are_bounded(sidecar, service, slow_passwords):
    """Checks of disconnected clients leave the queue, so that another address gets its turn."""
    s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
    guess = basic("prometheus", "wrong")["Authorization"]
    ask_and_reset(s, s.port, f"GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: {guess}\r\n\r\n".encode(), times=20)
    s.wait_line("limit=attempts peer=127.0.0.1")
    assert ask(s.port, headers=GOOD, source="127.0.0.2")[0] == 200


def test_client_leaves_while_its_password_is_matched(sidecar, service, slow_passwords):
    s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
    before = s.descriptors()
    for i in range(12):
        with s.connect() as raw:
            raw.sendall(request_with(basic("prometheus", str(i))))
    assert ask(s.port, headers=GOOD)[0] in (200, 429)
    wait_until(lambda: s.descriptors() <= before + 3, "connections are left")
    wait_until(lambda: ask(s.port, headers=GOOD)[0] == 200, "who knows the password does not come in", 40)


def test_ends_while_a_password_is_matched(sidecar, service, slow_passwords):
    s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
    with contextlib.ExitStack() as stack:
        for i in range(5):
            raw = stack.enter_context(s.connect())
            raw.sendall(request_with(basic("prometheus", str(i))))
        assert s.admin("/-/healthy")[0] == 200
        assert s.stop() == 0


def test_scrape_whose_password_is_matched_is_in_flight(sidecar, service, slow_passwords):
    """It finishes after SIGTERM, though others are checked first."""
    s = sidecar(service.url, *flags(basic_auth_file=slow_passwords))
    with contextlib.ExitStack() as stack:
        for password in ("a", "b", "c", "d", "correct horse"):
            raw = stack.enter_context(s.connect())
            raw.sendall(request_with(basic("prometheus", password)))
            assert s.admin("/-/healthy")[0] == 200
        s.process.send_signal(signal.SIGTERM)
        s.wait_line("shutting down")
        got = read_all(raw)
    assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(BODY)
    assert s.stop(0) == 0


# Networks.


@pytest.mark.parametrize("networks, source, good", [
    (["127.0.0.2"], "127.0.0.2", True), (["127.0.0.2/32"], "127.0.0.3", False), (["127.0.0.0/8"], "127.9.9.9", True),
    (["127.0.0.0/30"], "127.0.0.3", True), (["127.0.0.0/30"], "127.0.0.4", False), (["0.0.0.0/0"], "127.0.0.2", True),
    (["10.0.0.0/8", "127.0.0.7"], "127.0.0.7", True), (["::1"], "127.0.0.2", False), (["::/0"], "127.0.0.2", False),
])
def test_networks(sidecar, service, networks, source, good):
    s = sidecar(service.url, *[word for network in networks for word in flags(allow_networks=network)])
    try:
        status = ask(s.port, source=source)[0]
    except (ConnectionError, http.client.HTTPException):
        status = 0
    assert status == 200 if good else status in (0, 403)
    assert good or s.wait_line(f"limit=allow_networks peer={source}")
    assert len(service.requests) == good
    assert ask(s.admin_port, "/-/healthy")[0] == 200


@pytest.mark.parametrize("network, good", [("::1", True), ("::/0", True), ("fd00::/8", False), ("127.0.0.1", False)])
def test_networks_of_ipv6(sidecar, service, network, good):
    s = sidecar(service.url, *flags(allow_networks=network), listen="[::1]:0")
    c = http.client.HTTPConnection("::1", s.port, timeout=20 * SLOW)
    try:
        c.request("GET", "/metrics")
        assert (c.getresponse().status == 200) == good
    except (ConnectionError, http.client.HTTPException):
        assert not good
    finally:
        c.close()


def test_ipv4_on_a_socket_for_both(sidecar, service):
    s = sidecar(service.url, *flags(allow_networks="127.0.0.2"), listen=":0")
    assert ask(s.port, source="127.0.0.2")[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException, AssertionError)):
        assert ask(s.port, source="127.0.0.3")[0] == 200


def test_who_is_in_no_network_is_not_waited_for(sidecar, service):
    """The connection is closed before a byte of it is read."""
    s = sidecar(service.url, *flags(allow_networks="127.0.0.2", head_timeout="1h"))
    with socket.create_connection(("127.0.0.1", s.port), 20 * SLOW) as raw:
        assert read_all(raw).startswith(b"HTTP/1.1 403 ")
    s.wait_line("limit=allow_networks peer=127.0.0.1")


def test_who_is_in_no_network_gets_no_handshake(sidecar, service, ca, server):
    s = sidecar(service.url, *tls(server, allow_networks="127.0.0.2", head_timeout="1h"))
    with socket.create_connection(("127.0.0.1", s.port), 20 * SLOW) as raw:
        with contextlib.suppress(ConnectionError):
            assert read_all(raw) == b""
    assert ask(s.port, context=trusting(ca), source="127.0.0.2")[0] == 200
    s.wait_line("limit=allow_networks peer=127.0.0.1")


@pytest.mark.parametrize("section", DOOR)
def test_who_is_in_no_network_and_has_gone(sidecar, service, section):
    """The request of a client that did not wait for a response is not executed either."""
    s = sidecar(service.url, *flags(section, allow_networks="10.0.0.0/8"))
    port, request = (s.port, "GET /metrics") if section == "web" else (s.admin_port, "POST /-/reload")
    ask_and_reset(s, port, f"{request} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), times=20)
    wait_until(lambda: s.find("limit=allow_networks peer=127.0.0.1|msg=reloaded|msg=scrape "), "no connection is rejected")
    assert not service.requests and not s.find("msg=reloaded|msg=scrape "), s.lines


def test_unix_sockets_are_let_in(sidecar, service, tmp_path):
    s = sidecar(service.url, *flags(allow_networks="10.0.0.0/8"), listen=f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(f"{tmp_path}/s")
        raw.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert read_all(raw).endswith(BODY)
    assert s.address


# Reload.


@pytest.fixture
def config(tmp_path, service):
    path = tmp_path / "c.ini"

    def write(**web):
        path.write_text(f"[endpoint a]\nupstream = {service.url}\n[web]\n"
                        + "".join(f"{key} = {value}\n" for key, value in web.items())
                        # Reloads come when a test says so.
                        + "[process]\nwatch_files = off\n")
        return str(path)
    return write


def subject(port, ca):
    """The common name of the certificate served to a new connection."""
    with socket.create_connection(("127.0.0.1", port)) as raw, \
            trusting(ca).wrap_socket(raw, server_hostname="127.0.0.1") as t:
        return dict(pair[0] for pair in t.getpeercert()["subject"])["commonName"]


@pytest.mark.parametrize("target, status", [("/metrics", 200), ("/metrics?shard=1", 400)], ids=["right", "failure"])
def test_certificates_are_read_anew(sidecar, config, ca, tmp_path, target, status):
    pem, key = tmp_path / "s.pem", tmp_path / "s.key"

    def put(name):
        for path, source in zip((pem, key), ca.issue(name, "IP:127.0.0.1")):
            path.write_bytes(source.read_bytes())
    put("first")
    s = sidecar(config=config(tls_certificate=pem, tls_key=key))
    kept = http.client.HTTPSConnection("127.0.0.1", s.port, context=trusting(ca), timeout=20 * SLOW)
    kept.request("GET", "/metrics")
    assert kept.getresponse().read() == BODY
    assert subject(s.port, ca) == "first"
    put("second")
    assert subject(s.port, ca) == "first"
    reload(s)
    assert subject(s.port, ca) == "second"
    # A kept connection is served, and asked to reconnect.
    kept.request("GET", target)
    response = kept.getresponse()
    assert response.read() and response.status == status and response.headers["Connection"] == "close"


@pytest.mark.parametrize("damage", ["certificate", "key", "another key", "gone", "ca", "passwords", "token"])
def test_bad_files_change_nothing(sidecar, config, ca, passwords, tmp_path, damage):
    files = {name: tmp_path / name for name in ("s.pem", "s.key", "ca.pem", "users", "token")}
    server, client = ca.issue("server3", "IP:127.0.0.1"), trusting(ca, ca.issue("client3"))
    for path, source in zip(files.values(), (*server, ca.pem, passwords)):
        path.write_bytes(source.read_bytes())
    files["token"].write_text(TOKEN)
    s = sidecar(config=config(tls_certificate=files["s.pem"], tls_key=files["s.key"], tls_client_ca=files["ca.pem"],
                              basic_auth_file=files["users"], bearer_token_file=files["token"]))
    assert ask(s.port, context=client, headers=GOOD)[0] == 200
    name, reason = {"certificate": ("s.pem", "PEM file with the certificate"), "key": ("s.key", "passphrase"),
                    "another key": ("s.key", "mismatch"), "gone": ("s.pem", "No such file"),
                    "ca": ("ca.pem", "CA certificates"), "passwords": ("users", "bcrypt hash"),
                    "token": ("token", "empty")}[damage]
    if damage == "gone":
        files[name].unlink()
    elif damage == "another key":
        files[name].write_bytes(ca.issue("another")[1].read_bytes())
    else:
        files[name].write_text({"passwords": "a:{SHA}topsecret\n", "token": "\n"}.get(damage, "junk\n"))
    reload(s, good=False)
    line = s.find("reload failed.*").string
    assert str(files[name]) in line and reason in line, line
    assert "topsecret" not in line
    for headers in (GOOD, bearer(TOKEN)):
        assert ask(s.port, context=client, headers=headers)[0] == 200
    r = subprocess.run([BINARY, "check", tmp_path / "c.ini"], capture_output=True, text=True, check=False)
    assert r.returncode == 1 and str(files[name]) in r.stderr


def test_who_is_taken_out_comes_in_no_more(sidecar, config, token, passwords):
    """Not on a kept connection either."""
    s = sidecar(config=config(basic_auth_file=passwords))
    kept = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)

    def again(headers):
        kept.request("GET", "/metrics", headers=headers)
        response = kept.getresponse()
        response.read()
        return response.status
    assert again(GOOD) == 200
    config(bearer_token_file=token)
    reload(s)
    assert again(GOOD) == 401 and again(bearer(TOKEN)) == 200
    config(allow_networks="10.0.0.0/8")
    reload(s)
    assert again({}) == 403
    kept.close()


@pytest.mark.parametrize("between", [False, True], ids=["direct", "intermediate"])
@pytest.mark.parametrize("kept_one", [False, True], ids=["replaced", "added"])
def test_authority_that_is_taken_out(sidecar, config, service, ca, other_ca, server, tmp_path, kept_one, between):
    """Its certificates are rejected, on kept connections too; with the CA that stays, no scrape fails."""
    authority = Authority(tmp_path, "between", ca) if between else ca
    pem, key = authority.issue("scraper", "DNS:scraper")
    (tmp_path / "chain.pem").write_bytes(pem.read_bytes() + (authority.pem.read_bytes() if between else b""))
    authorities = tmp_path / "authorities"
    authorities.write_bytes(ca.pem.read_bytes())
    s = sidecar(config=config(tls_certificate=server[0], tls_key=server[1], tls_client_ca=authorities))
    kept = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=20 * SLOW,
                                       context=trusting(ca, (tmp_path / "chain.pem", key)))
    kept.request("GET", "/metrics")
    assert kept.getresponse().read() == BODY
    authorities.write_bytes(other_ca.pem.read_bytes() + ca.pem.read_bytes() * kept_one)
    reload(s)
    kept.request("GET", "/metrics")
    response = kept.getresponse()
    body = response.read()
    assert (response.status, response.headers["Connection"]) == (200 if kept_one else 403, "close"), body
    assert kept_one or b"certificate" in body
    assert len(service.requests) == 1 + kept_one


@pytest.mark.parametrize("change, status", [("networks", 403), ("user", 401), ("nothing", 200)])
def test_reload_while_a_password_waits(sidecar, config, service, slow_passwords, tmp_path, change, status):
    """The policy in force after the password check decides."""
    users = tmp_path / "users"
    users.write_bytes(slow_passwords.read_bytes())
    s = sidecar(config=config(basic_auth_file=users))
    with contextlib.ExitStack() as stack:
        def send(source, credential):
            raw = stack.enter_context(connect_from(s, source))
            raw.sendall(request_with(credential, "1.0"))
            return raw
        for i in range(16):  # an address each, so that it waits for all of them: longer than a reload takes
            send(f"127.0.0.{i + 2}", basic("prometheus", str(i)))
        waiting = send("127.0.0.1", GOOD)
        assert s.admin("/-/healthy")[0] == 200
        if change == "user":
            users.write_bytes(users.read_bytes().replace(b"prometheus", b"another"))
        config(basic_auth_file=users, **({"allow_networks": "10.0.0.0/8"} if change == "networks" else {}))
        reload(s)
        assert not select.select([waiting], [], [], 0)[0], "it did not wait"
        got = read_all(waiting)
    assert got.startswith(b"HTTP/1.0 %d " % status), got
    assert len(service.requests) == (status == 200)


def test_tls_that_comes_with_a_reload(sidecar, config, ca, server):
    s = sidecar(config=config())
    kept = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
    kept.request("GET", "/metrics")
    assert kept.getresponse().read() == BODY
    config(tls_certificate=server[0], tls_key=server[1])
    reload(s)
    kept.request("GET", "/metrics")
    assert kept.getresponse().status == 403
    assert ask(s.port, context=trusting(ca))[0] == 200


def test_reload_of_certificates_under_load(sidecar, config, ca, server):
    """No scrape fails."""
    s = sidecar(config=config(tls_certificate=server[0], tls_key=server[1]))
    over, wrong, done = threading.Event(), [], []

    def scrape():
        c = http.client.HTTPSConnection("127.0.0.1", s.port, context=trusting(ca), timeout=20 * SLOW)
        while not over.is_set():
            try:
                c.request("GET", "/metrics")
                response = c.getresponse()
                assert (response.status, response.read()) == (200, BODY)
                done.append(1)
            except Exception as error:  # pylint: disable=broad-except
                wrong.append(error)
                return
    threads = [threading.Thread(target=scrape, daemon=True) for _ in range(6)]
    for t in threads:
        t.start()
    for _ in range(20):
        n = len(done)
        reload(s)
        wait_until(lambda: len(done) > n + 10 or wrong, "nothing is scraped")
    over.set()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("values, reason", [
    ({"tls_certificate": "/nowhere"}, "together"),
    ({"tls_client_ca": "/nowhere"}, "needs tls_certificate"),
    ({"tls_client_names": "a"}, "needs tls_client_ca"),
    ({"basic_auth_file": "/"}, "not a regular file"),
    ({"basic_auth_file": "/dev/zero"}, "not a regular file"),
    ({"bearer_token_file": "/nowhere"}, "No such file"),
    ({"allow_networks": "10.0.0.1/8"}, "host bits set"),
    ({"allow_networks": "10.0.0/8"}, "not a valid network"),
    ({"allow_networks": "10.0.0.0/33"}, "not a valid network"),
    ({"allow_networks": "10.0.0.0/"}, "not a valid network"),
    ({"allow_networks": "fd00::/129"}, "not a valid network"),
    ({"allow_networks": "localhost"}, "not a valid network"),
], ids=str)
def test_settings_that_are_wrong(config, values, reason):
    path = config(**values)
    r = subprocess.run([BINARY, "check", path], capture_output=True, text=True, check=False)
    assert r.returncode == 1 and re.search(rf"^{re.escape(path)}:4:\d+: .*{reason}", r.stderr), r.stderr


def test_passphrase_is_not_asked_for(config, ca, tmp_path):
    """A key with a passphrase is refused without a prompt on the terminal or standard input."""
    pem, key = ca.issue("guarded")
    openssl("ec", "-in", key, "-aes256", "-passout", "pass:secret", "-out", tmp_path / "key")
    r = subprocess.run([BINARY, "check", config(tls_certificate=pem, tls_key=tmp_path / "key")], input="secret\n",
                       capture_output=True, text=True, check=False, start_new_session=True)
    assert r.returncode == 1 and "without a passphrase" in r.stderr, r.stderr


@pytest.mark.parametrize("line, reason", [
    ("prometheus", "USER:HASH"), (":$2y$05$" + "a" * 53, "USER:HASH"), ("a:secret", "bcrypt"),
    ("a:$apr1$x$y", "bcrypt"), ("a:$2y$05$" + "a" * 52, "bcrypt"), ("a:$2y$31$" + "a" * 53, "cost 31"),
    ("a:$2x$05$" + "a" * 53, "bcrypt"), ("prometheus2:$2y$05$" + "a" * 53 + "\nprometheus2:$2y$05$" + "a" * 53, "duplicate user"),
    ("#", "no users"), ("x" * 2000, "longer"),
])
def test_files_of_passwords_that_are_wrong(config, tmp_path, line, reason):
    (tmp_path / "users").write_text("# comment\n\n" + line + "\n")
    r = subprocess.run([BINARY, "check", config(basic_auth_file=tmp_path / "users")], capture_output=True, text=True,
                       check=False)
    assert r.returncode == 1 and reason in r.stderr and "$2" not in r.stderr, r.stderr


# TLS and authorization towards upstreams.


def https_service(upstream, context, body=BODY):
    """An https upstream; peers are the client certificates it received."""
    peers = []

    def serve(u, connection):
        with context.wrap_socket(connection, server_side=True) as t:
            peers.append(t.getpeercert())
            while u.read_request(t):
                t.sendall(answer(body))
    u = upstream(serve)
    u.url = u.url.replace("http://", "https://")
    return u, peers


def serving(certificate, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    if ca:
        context.load_verify_locations(ca.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def of_endpoint(**values):
    return flags("endpoint.default", **values)


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_https_service(sidecar, upstream, ca, server, body):
    u, _ = https_service(upstream, serving(server), body)
    s = sidecar(u.url, *of_endpoint(tls_ca=ca.pem))
    for _ in range(3):
        assert s.get("/metrics?a=b")[::2] == (200, body)
    assert u.requests[0].startswith(b"GET /metrics?a=b HTTP/1.1\r\n")


@pytest.mark.parametrize("settings, reason", [
    ({}, b"certificate"),  # the system does not know the CA
    ({"tls_ca": "other"}, b"certificate"),
    ({"tls_ca": "ca", "tls_server_name": "service.example"}, b"service.example"),
])
def test_https_service_that_is_not_believed(sidecar, upstream, ca, other_ca, server, settings, reason):
    u, _ = https_service(upstream, serving(server))
    values = {key: {"ca": ca.pem, "other": other_ca.pem}.get(value, value) for key, value in settings.items()}
    status, _, body = sidecar(u.url, *of_endpoint(**values)).get()
    assert status == 502 and reason in body, body
    assert not u.requests


SYSTEM_CA = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def test_tls_ca_may_be_the_system_s_bundle(sidecar, upstream, ca, server, tmp_path):
    """It is larger than a secret may be."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(SYSTEM_CA.read_bytes() + ca.pem.read_bytes())
    assert bundle.stat().st_size > 64 * 1024
    u, _ = https_service(upstream, serving(server))
    assert sidecar(u.url, *of_endpoint(tls_ca=bundle)).get()[::2] == (200, BODY)
    assert sidecar(u.url, *of_endpoint(tls_ca=SYSTEM_CA)).get()[0] == 502


@pytest.mark.parametrize("tls_ca, status", [("system", 200), ("ca", 502)])
def test_tls_ca_replaces_the_system_s_authorities(sidecar, upstream, ca, other_ca, tmp_path, tls_ca, status):
    """The directory with hashes too, which libcurl of Debian reads besides any file."""
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "other.pem").write_bytes(other_ca.pem.read_bytes())
    (folder / "ca-certificates.crt").write_bytes(other_ca.pem.read_bytes())
    openssl("rehash", folder)
    inside = ["unshare", "--mount", "sh", "-c", f'mount --bind {folder} /etc/ssl/certs && exec "$@"', "sh"]
    u, _ = https_service(upstream, serving(other_ca.issue("elsewhere", "IP:127.0.0.1")))
    s = sidecar(u.url, *of_endpoint(tls_ca={"ca": ca.pem}.get(tls_ca, tls_ca)), prefix=inside)
    assert s.get()[0] == status


def test_https_service_with_a_name_of_its_own(sidecar, upstream, ca):
    """The name applies to the certificate and SNI; the Host header keeps the URL's host, as with Prometheus' server_name."""
    named = []
    context = serving(ca.issue("named", "DNS:service.example"))
    context.sni_callback = lambda _socket, name, _context: named.append(name)
    u, _ = https_service(upstream, context)
    assert sidecar(u.url, *of_endpoint(tls_ca=ca.pem)).get()[0] == 502
    s = sidecar(u.url, *of_endpoint(tls_ca=ca.pem, tls_server_name="service.example"))
    assert s.get("/metrics?a=b")[::2] == (200, BODY)
    assert named[-1] == "service.example"
    host = u.url.split("/")[2].encode()
    assert u.requests[0].startswith(b"GET /metrics?a=b HTTP/1.1\r\n") and b"\r\nHost: " + host + b"\r\n" in u.requests[0]
    s = sidecar(u.url, *of_endpoint(tls_ca=ca.pem, tls_server_name="service.example", host_header="other.example"))
    assert s.get()[::2] == (200, BODY) and named[-1] == "service.example"
    assert re.findall(rb"(?i)\r\nhost: ([^\r]*)", u.requests[-1]) == [b"other.example"]


@pytest.mark.parametrize("scheme, status", [("https", 200), ("http", 502)])
@pytest.mark.parametrize("name", [{}, {"tls_server_name": "service.example"}], ids=["named by its URL", "another name"])
def test_https_service_that_redirects_to_its_host_header(sidecar, upstream, ca, name, scheme, status):
    """The same upstream, whatever its certificate says; but not without TLS."""
    context = serving(ca.issue("named", "DNS:service.example" if name else "IP:127.0.0.1"))

    def serve(u, connection):
        with context.wrap_socket(connection, server_side=True) as t:
            while head := u.read_request(t):
                host = re.search(rb"\r\nHost: (.*)\r\n", head)[1].decode()
                t.sendall(answer(BODY) if b" /m/ " in head else
                          answer(b"", status="302 Found", extra=[f"Location: {scheme}://{host}/m/"]))
    u = upstream(serve)
    s = sidecar(u.url.replace("http:", "https:"), *of_endpoint(tls_ca=ca.pem, **name))
    assert s.get()[0] == status
    assert len(u.requests) == (2 if status == 200 else 1)


def test_https_service_that_is_believed_blindly(sidecar, upstream, server):
    u, _ = https_service(upstream, serving(server))
    assert sidecar(u.url, *of_endpoint(tls_insecure="true")).get()[0] == 200


def test_certificate_for_the_service(sidecar, upstream, ca, server):
    u, peers = https_service(upstream, serving(server, ca))
    pem, key = ca.issue("sidecar")
    assert sidecar(u.url, *of_endpoint(tls_ca=ca.pem)).get()[0] == 502
    assert sidecar(u.url, *of_endpoint(tls_ca=ca.pem, tls_certificate=pem, tls_key=key)).get()[0] == 200
    assert peers[-1]["subject"][0][0] == ("commonName", "sidecar")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("most, good", [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)])
def test_https_service_below_tls_1_2_is_refused(sidecar, upstream, ca, server, lax, most, good):
    context = serving(server)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, most
    u, _ = https_service(upstream, context)
    status, _, body = sidecar(u.url, *of_endpoint(tls_ca=ca.pem), env=lax).get()
    assert (status == 200) == good and len(u.requests) == good, body


def by_close(upstream, context, body, ending):
    """An https upstream whose body is delimited only by connection close."""
    def serve(u, connection):
        with context.wrap_socket(connection, server_side=True) as t:
            u.read_request(t)
            t.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" + body)
            ending(t)
    return upstream(serve).url.replace("http://", "https://")


def unwrap(t):
    with contextlib.suppress(OSError):
        t.unwrap()


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("ending, strict, good", [
    (unwrap, "true", True), (lambda t: None, "true", False), (lambda t: None, "false", True),
], ids=["close_notify", "cut", "not strict"])
def test_https_service_that_ends_by_close(sidecar, upstream, ca, server, ending, strict, good, body):
    """Without a close_notify anyone on the path may have truncated it, even after a line."""
    s = sidecar(by_close(upstream, serving(server), body, ending), *of_endpoint(tls_ca=ca.pem, strict_close=strict))
    try:
        status, _, got = s.get()
    except (http.client.HTTPException, ConnectionError):
        status, got = 0, b""
    assert ((status, got) == (200, body)) if good else (status == (502 if body == BODY else 0)), got[-200:]
    s.wait_line("outcome=ok" if good else "outcome=upstream_.*strict_close")


def test_stray_answer_of_an_https_service(sidecar, upstream, ca, server):
    """An unsolicited response is not taken for the next one."""
    context, said = serving(server), threading.Semaphore(0)

    def serve(u, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or it would wait for the next request
        with context.wrap_socket(connection, server_side=True) as t:
            while u.read_request(t):
                t.sendall(answer(BODY))
                wait_until(lambda: s.count("msg=scrape") == len(u.requests), "no line of log")
                with contextlib.suppress(OSError):
                    t.sendall(answer(b"smuggled 1\n"))
                said.release()
    u = upstream(serve)
    s = sidecar(u.url.replace("http://", "https://"), *of_endpoint(tls_ca=ca.pem))
    for _ in range(4):
        assert s.get()[::2] == (200, BODY)
        assert said.acquire(timeout=20 * SLOW)


def test_authorization_from_a_file(sidecar, service, tmp_path):
    """It replaces what the scraper sent, and a reload reads it again."""
    secret, config = tmp_path / "a", tmp_path / "c.ini"
    secret.write_text("Bearer one\n")
    config.write_text(f"[process]\nwatch_files = off\n[endpoint a]\nupstream = {service.url}\n"
                      f"authorization_file = {secret}\n")
    s = sidecar(config=config)
    for headers in ({}, bearer("scraper's")):
        assert s.get(headers=headers)[0] == 200
        assert re.findall(rb"(?i)authorization: (.*)\r\n", service.requests[-1]) == [b"Bearer one"]
    secret.write_text("Basic dHdv")
    s.get()
    assert b"Bearer one" in service.requests[-1]
    reload(s)
    s.get()
    assert re.findall(rb"(?i)authorization: (.*)\r\n", service.requests[-1]) == [b"Basic dHdv"]
    secret.write_text("a\r\nX-Injected: b")
    reload(s, good=False)
    s.get()
    assert b"X-Injected" not in service.requests[-1]


@pytest.mark.parametrize("values, reason", [
    ({"tls_ca": "/nowhere"}, "No such file"), ({"tls_certificate": "/nowhere"}, "No such file"),
    ({"tls_key": "/etc/hostname"}, "together"), ({"authorization_file": "/dev/null"}, "not a regular file"),
    ({"tls_server_name": "a"}, "https"), ({"tls_server_name": "a b"}, "not a valid host name"),
    ({"tls_insecure": "maybe"}, "not a boolean"),
], ids=str)
def test_settings_of_an_endpoint_that_are_wrong(tmp_path, values, reason):
    config = tmp_path / "c.ini"
    config.write_text("[endpoint a]\nupstream = http://127.0.0.1:1/\n"
                      + "".join(f"{key} = {value}\n" for key, value in values.items()))
    r = subprocess.run([BINARY, "check", config], capture_output=True, text=True, check=False)
    assert r.returncode == 1 and re.search(rf"^{re.escape(str(config))}:3:\d+: .*{reason}", r.stderr, re.M), r.stderr


# Leaks and injection.


def test_secrets_are_nowhere(sidecar, service, ca, server, token, passwords, tmp_path):
    """Not in the debug log, in a page or in the command line."""
    (tmp_path / "up").write_text("Bearer upstream-secret")
    s = sidecar(service.url, *tls(server, bearer_token_file=token, basic_auth_file=passwords),
                *of_endpoint(authorization_file=tmp_path / "up"))
    said = b""
    for headers in (GOOD, bearer(TOKEN), basic("prometheus", "guessed-wrong"), bearer("guessed-token"), {}):
        for target in ("/metrics", "/metrics?shard=1", "/nowhere"):
            _, answered, body = ask(s.port, target, trusting(ca), headers)
            said += body + str(answered).encode()
    for target in ("/", "/metrics", "/-/healthy", "/-/config"):
        said += ask(s.admin_port, target)[2]
    reload(s)
    log = "\n".join(s.lines).encode() + pathlib.Path(f"/proc/{s.pid}/cmdline").read_bytes()
    for secret in (TOKEN, "correct horse", "guessed", "upstream-secret", "PRIVATE KEY", "$2y$",
                   GOOD["Authorization"][6:]):
        assert secret.encode() not in log + said


@pytest.mark.parametrize("target", [
    "/metrics?a=b%0d%0aX-Injected:%20c", "/metrics?a=b%0aX-Injected:%20c", "/nowhere%0d%0aX-Injected:%20c",
    "/metrics?shard=%0d%0aX-Injected:%20c", "/metrics?x=\rX-Injected: c", "/metrics?x=\tX-Injected: c",
    "//evil.example/metrics", "http://evil.example/metrics?x=y", "/metrics/../metrics", "/%6detrics", "/metrics#x",
    "/metrics?@evil.example/", "/metrics;x", "*",
])
def test_no_header_is_injected_and_nobody_else_is_asked(sidecar, upstream, target):
    other = upstream(answering(answer(b"other 1\n")))
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url)
    with s.connect() as raw:
        raw.sendall(f"GET {target.replace('evil.example', other.url[7:].split('/')[0])} HTTP/1.1\r\nHost: "
                    f"{other.url[7:].split('/')[0]}\r\nConnection: close\r\n\r\n".encode())
        got = read_all(raw)
    head = got.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"(?m)^X-Injected", head + b"".join(u.requests))
    assert not other.requests and not other.connections
    assert all(request.startswith(b"GET /metrics") for request in u.requests)


@pytest.mark.parametrize("value", ["a\rX-Injected: b", "a\nX-Injected: b", "a\0b"])
def test_header_of_the_service_is_not_split(sidecar, upstream, value):
    s = sidecar(upstream(answering(answer(BODY, extra=[f"X-Of-Service: {value}"]))).url)
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head = read_all(raw).partition(b"\r\n\r\n")[0]
    assert b"\rX-Inj" not in head and (b"\nX-Injected" not in head or b"\r\nX-Injected: b" in head)
    assert b"\0" not in head


# A real Prometheus.


@pytest.fixture
def prometheus(tmp_path):
    started = []

    def start(jobs):
        # A scrape that a busy machine delays is to be no failed one.
        patient = dict.fromkeys(("scrape_interval", "scrape_timeout"), f"{2 * INTERVAL_SECONDS}s")
        p = Prometheus(tmp_path / f"prometheus-{len(started)}", jobs, global_settings=patient)
        started.append(p)
        p.wait_ready()
        return p
    yield start
    assert [p.stop() for p in started] == [0] * len(started)


def test_prometheus(sidecar, upstream, prometheus, ca, server, passwords, token, tmp_path):
    """With mutual TLS, a password and a token; unauthorized jobs are down."""
    service = upstream(answering(answer(LARGE[:100000].rpartition(b"\n")[0] + b"\n")))
    good, bad = ca.issue("prometheus"), ca.issue("else")
    mutual = sidecar(service.url, *tls(server, tls_client_ca=ca.pem, tls_client_names="prometheus"))
    with_password = sidecar(service.url, *tls(server, basic_auth_file=passwords))
    with_token = sidecar(service.url, *flags(bearer_token_file=token))
    secret = tmp_path / "password"
    secret.write_text("correct horse")

    def over_tls(certificate=None):
        config = {"ca_file": str(ca.pem)}
        if certificate:
            config |= {"cert_file": str(certificate[0]), "key_file": str(certificate[1])}
        return {"scheme": "https", "tls_config": config}
    password = {"basic_auth": {"username": "prometheus", "password_file": str(secret)}}
    p = prometheus([
        job("mutual", mutual.port, shard=0, shard_count=3) | over_tls(good),
        job("mutual-else", mutual.port) | over_tls(bad),
        job("mutual-none", mutual.port) | over_tls(),
        job("password", with_password.port) | over_tls() | password,
        job("password-none", with_password.port) | over_tls(),
        job("token", with_token.port) | {"authorization": {"credentials_file": str(token)}},
        job("token-none", with_token.port),
    ])
    p.wait_scrapes(3)
    ups = p.ups()
    assert {name: set(up) for name, up in ups.items()} == {
        "mutual": {1}, "password": {1}, "token": {1}, "mutual-else": {0}, "mutual-none": {0}, "password-none": {0},
        "token-none": {0}}
    errors = p.last_errors()
    assert "403" in errors["mutual-else"] and "401" in errors["token-none"]
    mutual.wait_line("limit=tls .*reason=\"peer did not return a certificate\"")
    assert len(p.series("password")) > 1000 and p.series("password") == p.series("token") > p.series("mutual")
