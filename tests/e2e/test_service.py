# SPDX-License-Identifier: Apache-2.0
"""Flags and files, listening, reload, shutdown, and what is logged."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest

from conftest import BINARY, ROOT, SLOW, TEXT, Process, Sidecar, answer, answering, free_port, run, wait_until
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\nhttp_requests_total 2\n"
LARGE = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(20000))


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


def endpoint(name, url, *more):
    return "\n".join([f"[endpoint {name}]", f"upstream = {url}", *more, ""])


class Gated:
    """An upstream that responds once allowed; the first bytes are sent at once."""

    def __init__(self, body=BODY, streams=False):
        self.body, self.streams = body, streams
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __call__(self, upstream, connection):
        while upstream.read_request(connection):
            whole = answer(self.body)
            cut = len(whole) - 20 if self.streams else 0
            connection.sendall(whole[:cut])
            self.asked.set()
            self.go_on.wait(20 * SLOW)
            connection.sendall(whole[cut:])


class Asking(threading.Thread):
    """A scrape in another thread; result() is what get() returned."""

    def __init__(self, sidecar, target="/metrics"):
        super().__init__(daemon=True)
        self.sidecar, self.target, self.got = sidecar, target, None
        self.start()

    def run(self):
        try:
            self.got = self.sidecar.get(self.target)
        except (OSError, http.client.HTTPException) as error:
            self.got = error

    def result(self):
        self.join(20 * SLOW)
        assert self.got is not None, "the scrape does not end"
        return self.got


# The command line.


def test_version():
    status, out, err = run("--version")
    first, *others = out.splitlines()
    assert (status, err) == (0, "") and re.fullmatch(r"scrapeshard \d+\.\d+\.\d+\S*", first)
    versions = dict(re.split(r"  +", line.strip()) for line in others)
    assert list(versions) == ["libevent", "libcurl", "OpenSSL", "xxHash", "PCRE2", "seccomp", "zlib", "libyaml", "ISA-L", "inih",
                              "built by"]
    assert re.fullmatch(r"(gcc|clang) \d+\.\d+.*", versions.pop("built by"))
    assert all(re.match(r"\d+(\.\d+)*", version) for version in versions.values())


def test_versions_are_logged_at_the_start(sidecar, service):
    """Of the libraries that listen and fetch: security advisories name versions."""
    versions = dict(re.split(r"  +", line.strip()) for line in run("--version")[1].splitlines()[1:])
    begins = sidecar(service.url).lines[0]
    assert re.search(rf'msg="starting scrapeshard" version=\d+\.\d+\.\d+ libevent={versions["libevent"]}\S* '
                     rf'libcurl={versions["libcurl"]}', begins), begins


@pytest.mark.parametrize("package, library", [
    ("libevent-2.1-7", "libevent"), ("libcurl4", "libcurl"), ("libssl3", "OpenSSL"), ("libxxhash0", "xxHash"),
    ("libpcre2-8-0", "PCRE2"), ("libseccomp2", "seccomp"), ("zlib1g", "zlib"), ("libyaml-0-2", "libyaml"), ("libisal2", "ISA-L"),
    ("libinih1", "inih"),
])
def test_versions_are_those_of_the_libraries(package, library):
    """As Debian numbers them."""
    r = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False)
    if r.returncode:
        pytest.skip(f"{package} is not Debian's")
    said = re.search(rf"^  {library} +(\d+(?:\.\d+)*)", run("--version")[1], re.M)[1]
    assert re.sub(r"^\d+:", "", r.stdout).startswith(said)


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["serve", "--help"], ["check", "--help"], ["split", "--help"]])
def test_help(args):
    status, out, err = run(*args)
    assert (status, err) == (0, "")
    assert "scrapeshard" in out and "--help" in out
    assert all(len(line) <= 120 for line in out.splitlines())


def test_help_tells_where_a_web_config_is():
    """It names settings of both listeners."""
    said = re.search(r"--web.config.file is part of the configuration: ([^.]*)", run("--help")[1])[1]
    names = re.findall(r"\b\w+_\w+", said)
    table = (ROOT / "sidecar/service/config/config.def").read_text()
    assert len(names) == 6 and "[web]" in said and "[admin]" in said
    assert all(f"GLOBAL({section}, {name}," in table for section in ("web", "admin") for name in names)


def test_listen_address_may_be_repeated(sidecar, service, tmp_path):
    """Also the flag, as for exporters; each kind of address."""
    port = free_port()
    s = sidecar(service.url, f"--web.listen-address=127.0.0.1:{port}", f"--web.listen-address=unix:{tmp_path}/s")
    assert s.get("/metrics")[0] == 200
    r = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/metrics", "--next", "-sf", "--unix-socket",
                        tmp_path / "s", "http://localhost/metrics"], capture_output=True, check=False)
    assert r.returncode == 0 and r.stdout == 2 * s.get("/metrics")[2]


def test_help_names_every_flag():
    out = run("--help")[1]
    for flag in ("config.file", "upstream.url", "web.listen-address", "admin.listen-address", "log.level", "log.format",
                 "set"):
        assert f"--{flag}=" in out


@pytest.mark.parametrize("args, reason", [
    (["--nonsense"], "--nonsense"),
    (["--nonsense=3"], "--nonsense"),
    (["--upstream.urls=http://a/"], "--upstream.urls"),
    (["-x"], "x"),
    (["--upstream.url"], "needs a value"),
    (["--set", "sharding.key"], "sharding.key"),
    (["nonsense"], "nonsense"),
    (["serve", "nonsense"], "nonsense"),
    (["--help=3"], "help"),
    (["check"], "one file"),
    (["check", "a", "b"], "one file"),
    (["check", "--nonsense", "a"], "--nonsense"),
], ids=" ".join)
def test_wrong_command_line(args, reason):
    status, out, err = run(*args)
    assert (status, out) == (2, "")
    assert reason in err and "--help" in err and err.count("\n") == 1


def test_file_that_may_not_be_read(service):
    """By a user who is not root."""
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    with tempfile.NamedTemporaryFile("w") as file:
        os.chmod(file.name, 0)
        r = subprocess.run([*become, BINARY, f"--config.file={file.name}"], capture_output=True, text=True,
                           timeout=20 * SLOW)
    assert r.returncode == 1 and r.stderr.startswith(f"{file.name}: Permission denied\n")


@pytest.mark.parametrize("args, reason", [
    ([], "upstream"),
    (["--upstream.url=ftp://a/b"], "--upstream.url.*ftp://a/b|upstream.*ftp://a/b"),
    (["--upstream.url=127.0.0.1:80"], "upstream"),
    (["--upstream.url=http://user:secret@a/"], "credentials"),
    (["--upstream.url=unix:relative:/m"], "unix:"),
    (["--upstream.url=http://a/", "--log.level=loud"], "--log.level.*loud.*debug"),
    (["--upstream.url=http://a/", "--log.format=xml"], "--log.format.*xml.*json"),
    (["--upstream.url=http://a/", "--set", "sharding.kee=family"], "sharding.kee"),
    (["--upstream.url=http://a/", "--set", "nonsense=3"], "--set nonsense"),
    (["--upstream.url=http://a/", "--set", "endpoint.timeout=3s"], "endpoint.timeout"),
    (["--upstream.url=http://a/", "--set", "endpoint.default.timeout=soon"], "soon"),
    (["--upstream.url=http://a/", "--set", "endpoint.default.timeout=0s"], "timeout"),
    (["--upstream.url=http://a/", "--set", "endpoint.default.path=metrics"], "path"),
    (["--upstream.url=http://a/", "--set", "sharding.shard_param=shard_count"], "shard_param"),
    (["--upstream.url=http://a/", "--set", "sharding.shard_param=a b"], "shard_param"),
    (["--config.file=/nowhere/at.all"], "/nowhere/at.all"),
])
def test_startup_fails(args, reason):
    """Exit 2 for the command line, or 1 for the file, before anything listens."""
    status, out, err = run(*args, "--web.listen-address=127.0.0.1:0", "--admin.listen-address=off")
    assert (status, out) == (1 if reason.startswith("/nowhere") else 2, "")
    assert re.search(reason, err), err
    assert "listening" not in err


def test_credentials_are_not_repeated():
    """An error about a secret must not contain it."""
    err = run("--upstream.url=http://user:topsecret@a/")[2]
    assert "credentials" in err and "topsecret" not in err


def test_flag_with_a_separate_value(sidecar, service):
    s = sidecar(None, "--upstream.url", service.url, "-log.level", "debug", "--set", "endpoint.default.path=/m")
    assert s.get("/m")[2] == BODY


# Flag, file, default.


def test_flag_wins_over_file(sidecar, config, service, upstream):
    other = upstream(answering(answer(b"other 1\n")))
    path = config(endpoint("app", other.url, "path = /file", "default_content_type = a/b") + "[log]\nlevel = error\n")
    s = sidecar(service.url, "--set", "endpoint.app.path=/flag", "--log.level=info", config=path)
    assert s.get("/flag")[2] == BODY
    assert s.get("/file")[0] == 404
    assert not other.requests
    s.wait_line("msg=scrape")


def test_file_wins_over_default(sidecar, config, upstream):
    u = upstream(answering(answer(BODY, None)))
    path = config(endpoint("app", u.url, "path = /m", "default_content_type = text/x-cured")
                  + "[sharding]\nshard_param = part\nshard_count_param = of\nrequire_shard = true\n")
    s = sidecar(config=path)
    status, headers, body = s.get("/m?part=0&of=1")
    assert (status, headers["Content-Type"], body) == (200, "text/x-cured", BODY)
    assert s.get("/m")[0] == 400


def test_listen_address_of_the_flag_replaces_those_of_the_file(sidecar, config, service):
    """A list is replaced, not added to."""
    path = config("[web]\nlisten_address = unix:/nowhere/a.sock\nlisten_address = unix:/nowhere/b.sock\n"
                  + endpoint("app", service.url))
    s = sidecar(config=path)
    assert s.get()[2] == BODY
    assert s.count("listening for scrapes") == 1


def test_upstream_flag_with_many_endpoints_is_refused(config):
    path = config(endpoint("a", "http://a/", "path = /a") + endpoint("b", "http://b/", "path = /b"))
    status, _, err = run(f"--config.file={path}", "--upstream.url=http://c/")
    assert status == 2 and "--upstream.url" in err and "2 endpoints" in err


def test_many_endpoints(sidecar, config, upstream):
    bodies = {name: b"of_service %d\n" % i for i, name in enumerate(("a", "b-2", "c.d", "e f"))}
    services = {name: upstream(answering(answer(body))) for name, body in bodies.items()}
    path = config("".join(endpoint(name, services[name].url, f"path = /{i}")
                          for i, name in enumerate(bodies)))
    s = sidecar(config=path)
    for i, (name, body) in enumerate(bodies.items()):
        assert s.get(f"/{i}")[2] == body
        s.wait_line(rf'msg=scrape endpoint="?{re.escape(name)}"? ')
    text = s.get("/metrics")[2]
    assert all(b" /%d" % i in text for i in range(4))


def test_endpoint_by_flags_alone(sidecar, service):
    s = sidecar(service.url, "--set", f"endpoint.second.upstream={service.url}?second",
                "--set", "endpoint.second.path=/second")
    assert s.get("/second")[2] == BODY and s.get("/metrics")[2] == BODY
    assert service.requests[0].startswith(b"GET /metrics?second ")


def test_indented_keys_and_comments(sidecar, config, service):
    """Spaces before a key do not make it part of the previous line."""
    path = config(f"  ; all of it\n[endpoint app]\n    upstream = {service.url} ; here\n\t path = /in/dent\n"
                  "  # default_content_type = a/b\n")
    assert sidecar(config=path).get("/in/dent")[2] == BODY


# Listening.


def unix_get(path, target="/metrics"):
    """One scrape over a unix socket: (status, body)."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(path)
        raw.settimeout(20 * SLOW)
        raw.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        response = http.client.HTTPResponse(raw)
        response.begin()
        return response.status, response.read()


def test_listen_on_ipv6(sidecar, service):
    s = sidecar(service.url, listen="[::1]:0")
    assert s.address.startswith("[::1]:")
    connection = http.client.HTTPConnection("::1", s.port, timeout=20 * SLOW)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read() == BODY
    connection.close()
    s.wait_line('msg=scrape .*peer="?::1')


def test_listen_on_any_address(sidecar, service):
    s = sidecar(service.url, listen=":0")
    assert s.port and s.get()[2] == BODY


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_listen_on_a_unix_socket(sidecar, upstream, tmp_path, body):
    path = str(tmp_path / "s")
    s = sidecar(upstream(answering(answer(body))).url, listen=f"unix:{path}")
    for _ in range(3):
        assert unix_get(path) == (200, body)
    assert unix_get(path, "/metrics?shard=1")[0] == 400


PROMETHEUS_3 = {
    "Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;"
              "q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
    "Accept-Encoding": "gzip", "User-Agent": "Prometheus/3.5.0", "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "app-0:19480"])
def test_unix_socket_that_prometheus_scrapes(sidecar, upstream, tmp_path, host):
    """__unix_socket__ replaces the connection, and the Host header is the target's address. curl keeps the connection, as
    Prometheus does; no rule for addresses applies; the shard page and the log name the scraper "unix"."""
    path, body = str(tmp_path / "s"), b"".join(b"# TYPE family_%d gauge\nfamily_%d 1\n" % (i, i) for i in range(20000))
    s = sidecar(upstream(answering(answer(body))).url, "--set=web.allow_networks=192.0.2.0/24", listen=f"unix:{path}")
    headers = [part for name, value in PROMETHEUS_3.items() for part in ("-H", f"{name}: {value}")]
    urls = [f"http://{host}/metrics?shard={i}&shard_count=3" for i in range(3)]
    outputs = [part for i, url in enumerate(urls) for part in ("-o", f"{tmp_path}/{i}", url)]
    r = subprocess.run(["curl", "-sS", "--compressed", "--unix-socket", path, "-w", "%{http_code} %{num_connects}\n",
                        *headers, *outputs], capture_output=True, text=True, timeout=30 * SLOW, check=False)
    assert r.stdout.split("\n")[:3] == ["200 1", "200 0", "200 0"], r
    lines = [line for i in range(3) for line in (tmp_path / str(i)).read_bytes().splitlines()]
    assert sorted(lines) == sorted(body.splitlines())
    s.wait_line(r"msg=scrape .*peer=unix shard=2 shard_count=3")
    assert "<td class=\"left\">unix</td>" in s.admin("/")[2].decode()


def test_unix_socket_and_http_10(sidecar, upstream, tmp_path):
    """The close ends the body there, and cannot be a reset: a response that would stream is rejected."""
    path = str(tmp_path / "s")
    for body, status in ((BODY, b"200"), (LARGE, b"400")):
        s = sidecar(upstream(answering(answer(body))).url, listen=f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as raw, raw.makefile("rb") as file:
            raw.connect(path)
            raw.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            got = file.read()
        assert got.split(b" ")[1] == status
        assert got.endswith(body) or b"needs HTTP/1.1 on a unix socket" in got
        assert unix_get(path) == (200, body)
        assert s.stop() == 0


def test_client_of_a_unix_socket_leaves(sidecar, upstream, tmp_path):
    gated = Gated()
    s = sidecar(upstream(gated).url, listen=f"unix:{tmp_path}/s")
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(f"{tmp_path}/s")
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert gated.asked.wait(10 * SLOW)
    s.wait_line("outcome=client_gone")
    gated.go_on.set()


def test_listen_on_several(sidecar, service, tmp_path):
    s = sidecar(service.url, "--web.listen-address=127.0.0.1:0", f"--web.listen-address=unix:{tmp_path}/s")
    s.wait_line("listening for scrapes.*unix:")
    ports = [int(m[1]) for m in (re.search(r"listening for scrapes\S* address=127.0.0.1:(\d+)", line)
                                 for line in s.lines) if m]
    assert len(set(ports)) == 2
    for port in ports:
        assert s.get(port=port)[2] == BODY
    assert unix_get(f"{tmp_path}/s") == (200, BODY)


def test_stale_socket_file_is_removed(sidecar, service, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    sidecar(service.url, listen=f"unix:{path}")
    assert unix_get(path) == (200, BODY)


def test_socket_file_in_use_is_left_alone(sidecar, service, tmp_path):
    path = str(tmp_path / "s")
    sidecar(service.url, listen=f"unix:{path}")
    status, _, err = run(f"--upstream.url={service.url}", f"--web.listen-address=unix:{path}",
                         "--admin.listen-address=off")
    assert status == 1 and path in err
    assert unix_get(path) == (200, BODY)


def test_socket_file_of_a_process_that_accepts_nothing(service, tmp_path):
    """If a socket's backlog is full, startup does not wait for that to change."""
    path = str(tmp_path / "s")
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(path)
        busy.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                raw = stack.enter_context(socket.socket(socket.AF_UNIX))
                raw.setblocking(False)
                raw.connect(path)
        status, _, err = run(f"--upstream.url={service.url}", f"--web.listen-address=unix:{path}",
                             "--admin.listen-address=off")
        assert status == 1 and "in use" in err
        assert os.path.exists(path)


def test_file_in_the_way_is_left_alone(service, tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    status, _, err = run(f"--upstream.url={service.url}", f"--web.listen-address=unix:{path}",
                         "--admin.listen-address=off")
    assert status == 1 and str(path) in err
    assert path.read_text() == "precious"


@pytest.mark.parametrize("flag", ["web", "admin"])
def test_port_in_use(service, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = {"web": "127.0.0.1:0", "admin": "off", flag: address}
        status, _, err = run(f"--upstream.url={service.url}", *(f"--{k}.listen-address={v}" for k, v in flags.items()))
    assert status == 1 and address in err and "in use" in err


@pytest.mark.parametrize("address", ["19480", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:-1",
                                     "127.0.0.1:80x", "unix:", "unix:relative", "unix:/" + "x" * 200, "",
                                     "192.0.2.1:19480", "unix:/nowhere/at.all", "[::1:80", "a:b:80"])
def test_invalid_address(service, address):
    status, out, err = run(f"--upstream.url={service.url}", f"--web.listen-address={address}",
                           "--admin.listen-address=off")
    assert (status, out) == (1 if address in ("192.0.2.1:19480", "unix:/nowhere/at.all") else 2, "")
    assert address[:100] in err


# The upstream.


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_upstream_over_a_unix_socket(sidecar, upstream, tmp_path, body):
    u = upstream(answering(answer(body)), path=f"{tmp_path}/u")
    s = sidecar(u.url)
    for _ in range(3):
        assert s.get("/metrics?a=b")[::2] == (200, body)
    assert u.connections == 1
    assert u.requests[0].startswith(b"GET /metrics?a=b HTTP/1.1\r\nHost: localhost\r\n")


def test_two_sockets_are_two_services(sidecar, config, upstream, tmp_path):
    """Though the URL of both is http://localhost/metrics, neither is taken for the other."""
    one = upstream(answering(answer(b"one 1\n")), path=f"{tmp_path}/1")
    two = upstream(answering(answer(b"two 2\n")), path=f"{tmp_path}/2")
    s = sidecar(config=config(endpoint("a", one.url, "path = /a") + endpoint("b", two.url, "path = /b")))
    for _ in range(3):
        assert (s.get("/a")[2], s.get("/b")[2]) == (b"one 1\n", b"two 2\n")


def test_proxy_of_the_environment_is_ignored(sidecar, upstream, service):
    proxy = upstream(answering(answer(b"proxied 1\n")))
    url = proxy.url.removesuffix("/metrics")
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")
    s = sidecar(service.url, env={**os.environ, **{name: url for name in names}, "no_proxy": ""})
    assert s.get()[2] == BODY
    assert not proxy.connections


def test_netrc_is_ignored(sidecar, service, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    s = sidecar(service.url, env={**os.environ, "HOME": str(tmp_path)})
    assert s.get()[2] == BODY
    assert b"Authorization" not in service.requests[0]


# Administration.


@pytest.mark.parametrize("method, target, status, reason", [
    ("GET", "/-/healthy", 200, b"healthy"),
    ("HEAD", "/-/healthy", 200, b""),
    ("GET", "/-/ready", 200, b"ready"),
    ("GET", "/-/ready?x=y", 200, b"ready"),
    ("POST", "/-/reload", 200, b"reloaded"),
    ("PUT", "/-/reload", 200, b"reloaded"),
    ("GET", "/nowhere", 404, b"/-/healthy"),
    ("GET", "/-/", 404, b"/-/reload"),
    ("POST", "/nowhere", 404, b"/-/healthy"),
])
def test_admin(sidecar, service, method, target, status, reason):
    got, headers, body = sidecar(service.url).admin(target, method)
    assert got == status and reason in body
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("method, target, allow", [
    ("POST", "/-/healthy", "GET, HEAD"), ("DELETE", "/-/ready", "GET, HEAD"), ("GET", "/-/reload", "POST, PUT"),
    ("HEAD", "/-/reload", "POST, PUT"),
])
def test_admin_wrong_method(sidecar, service, method, target, allow):
    status, headers, _ = sidecar(service.url).admin(target, method)
    assert (status, headers["Allow"]) == (405, allow)


def test_ready_does_not_depend_on_the_upstream(sidecar):
    """An upstream that is down does not make the Pod unready."""
    s = sidecar(f"http://127.0.0.1:{free_port()}/metrics")
    assert s.get()[0] == 502
    assert s.admin("/-/ready")[0] == 200


def test_admin_does_not_scrape_and_scrapes_do_not_administer(sidecar, service):
    s = sidecar(service.url)
    assert s.admin("/metrics?shard=0&shard_count=1")[2] != BODY
    assert s.get("/-/healthy")[0] == 404
    assert s.get("/-/reload", method="POST")[0] == 404


def test_admin_off(process, service):
    p = process([BINARY, f"--upstream.url={service.url}", "--web.listen-address=127.0.0.1:0",
                 "--admin.listen-address=off"])
    p.wait_line("listening for scrapes")
    port = int(p.find(r"listening for scrapes\S* address=\S+:(\d+)")[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * SLOW)
    connection.request("GET", "/metrics")
    assert connection.getresponse().read() == BODY
    connection.close()
    assert not p.find("administration")


# Reload.


def hang_up(sidecar):
    before = sidecar.count("msg=reloaded|reload failed")
    sidecar.process.send_signal(signal.SIGHUP)
    wait_until(lambda: sidecar.count("msg=reloaded|reload failed") > before, "SIGHUP has no effect")


def post(sidecar):
    return sidecar.admin("/-/reload", "POST")


@pytest.mark.parametrize("reload", [hang_up, post])
def test_reload(sidecar, config, service, upstream, reload):
    other = upstream(answering(answer(b"other 1\n")))
    s = sidecar(config=config(endpoint("a", service.url, "path = /a")))
    assert (s.get("/a")[2], s.get("/b")[0]) == (BODY, 404)
    config(endpoint("b", other.url, "path = /b") + "[sharding]\nrequire_shard = true\n")
    reload(s)
    s.wait_line('msg=reloaded endpoints=1')
    assert s.get("/a")[0] == 404 and s.get("/b")[0] == 400
    assert s.get("/b?shard=0&shard_count=1")[2] == b"other 1\n"


def test_reload_during_startup(process, service, tmp_path):
    """It does not end the process, and takes effect after startup."""
    path = tmp_path / "c.ini"
    os.mkfifo(path)
    p = process([BINARY, "--web.listen-address=127.0.0.1:0", "--admin.listen-address=off", f"--config.file={path}"])

    def opened():
        with contextlib.suppress(OSError):  # until the other end is open, too
            return open(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "w")
    with wait_until(opened, "the configuration is not read") as config:
        p.process.send_signal(signal.SIGHUP)
        config.write(endpoint("a", service.url))
        path.unlink()
        path.write_text(endpoint("a", service.url) + endpoint("b", service.url, "path = /b"))
    p.wait_line("msg=reloaded endpoints=2")
    assert p.stop() == 0


@pytest.mark.parametrize("kind", ["pipe", "fifo"])
def test_configuration_from_a_pipe(process, service, tmp_path, kind):
    """It can be read only once: it does not seem to change, and a reload leaves what is in force."""
    path, text = tmp_path / "c.ini", endpoint("a", service.url, "max_body = 2MiB") + "[rules]\ndrop = dropped\n"
    argv = [BINARY, "--web.listen-address=127.0.0.1:0", "--admin.listen-address=127.0.0.1:0"]
    if kind == "fifo":
        os.mkfifo(path)
        p = process([*argv, f"--config.file={path}"])
        path.write_text(text)
    else:
        p = process([*argv, "--config.file=/dev/stdin"], stdin=subprocess.PIPE)
        p.process.stdin.write(text)
        p.process.stdin.close()
    port = p.wait_line(r'msg="listening for administration" address=127.0.0.1:(\d+)')[1]

    def config():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/config", timeout=20 * SLOW) as got:
            return got.read()
    assert b"dropped" in config()
    time.sleep(2)
    assert not p.find("changed|msg=reloaded|reload failed")
    p.process.send_signal(signal.SIGHUP)
    p.wait_line("reload failed.*not a regular file, so it cannot be read again")
    assert b"dropped" in config()
    assert p.stop() == 0


@pytest.mark.parametrize("reload", [hang_up, post])
@pytest.mark.parametrize("bad", ["[log]\nlevel = loud\n", "junk\n", None], ids=["value", "junk", "gone"])
def test_bad_file_changes_nothing(sidecar, config, service, reload, bad):
    """The operator gets the reason in the response and in the log."""
    text = endpoint("a", service.url, "path = /a")
    path = config(text)
    s = sidecar(config=path)
    assert s.get("/a")[2] == BODY
    if bad is None:
        os.unlink(path)
    else:
        config(endpoint("b", service.url, "path = /b") + bad)
    answered = reload(s)
    wait_until(lambda: s.find(f'level=error msg="reload failed" .*{re.escape(path)}'), "the log does not say why")
    if answered:
        assert answered[0] == 500 and path.encode() in answered[2]
    assert s.get("/a")[2] == BODY and s.get("/b")[0] == 404
    config(text + "strict_close = false\n")
    assert post(s)[0] == 200
    assert s.get("/a")[2] == BODY


def test_reload_logs_every_mistake_without_its_line(sidecar, config, service):
    """Lines of the file must not be in the log or a response; the first line of each error is."""
    s = sidecar(config=config(endpoint("a", service.url)))
    path = config(endpoint("a", service.url, "tiemout = 1s") + "[log]\n  level = loud\n")
    answered = post(s)[2].decode()
    line = s.wait_line('msg="reload failed"').string
    assert f"{path}:3:1: unknown key tiemout" in line and f"{path}:5:11: log.level:" in line
    assert f"{path}:3:1: unknown key tiemout" in answered
    for said in (line, answered):
        assert "tiemout = 1s" not in said and "^" not in said


def test_reload_keeps_secrets(sidecar, config, service):
    """An upstream's query may be a secret."""
    s = sidecar(config=config(endpoint("a", service.url)))
    config("[endpoint a]\nupstream = htp://127.0.0.1:1/metrics?token=topsecret\n")
    answered = post(s)[2].decode()
    line = s.wait_line('msg="reload failed"').string
    for said in (line, answered):
        assert "htp://127.0.0.1:1/metrics?***" in said and "topsecret" not in said


def test_reload_keeps_flags(sidecar, config, service):
    s = sidecar(None, "--set", "endpoint.a.path=/flag", config=config(endpoint("a", service.url, "path = /file")))
    config(endpoint("a", service.url, "path = /other"))
    assert post(s)[0] == 200
    assert s.get("/flag")[2] == BODY and s.get("/other")[0] == 404


@pytest.mark.parametrize("setting", ["web.listen_address", "admin.listen_address", "process.sandbox"])
def test_reload_says_what_needs_a_restart(process, config, service, tmp_path, setting):
    """The old value stays in force; each reload reports that the new one was not applied."""
    values = {"web.listen_address": f"unix:{tmp_path}/web", "admin.listen_address": f"unix:{tmp_path}/admin",
              "process.sandbox": "on"}

    def text(values):
        lines = [f"[{name.replace('.', ']|')} = {value}|" for name, value in values.items()]
        return "".join(lines).replace("|", "\n") + endpoint("a", service.url)

    def warnings():
        return p.count(f'level=warn msg="a changed setting needs a restart" setting={setting}')
    # A changed file that is seen before the signal would be another reload.
    p = process([BINARY, f"--config.file={config(text(values))}", "--set=process.watch_files=off"])
    p.wait_line("privileges dropped")
    hang_up(p)
    assert not p.find("needs a restart")
    config(text({**values, setting: "off" if setting == "process.sandbox" else f"unix:{tmp_path}/other"}))
    for n in range(1, 4):
        hang_up(p)
        assert warnings() == n
        shown = unix_get(f"{tmp_path}/admin", "/-/config")[1].decode()
        assert values[setting] in shown and "/other" not in shown
        assert f"sandbox = {values['process.sandbox']}\n" in shown
    assert unix_get(f"{tmp_path}/web") == (200, BODY)
    assert not os.path.exists(f"{tmp_path}/other")
    config(text(values))
    hang_up(p)
    assert p.count("needs a restart") == 3


@pytest.mark.parametrize("streams", [False, True], ids=["held", "streaming"])
@pytest.mark.parametrize("after", ["same", "gone"])
def test_reload_with_a_scrape_in_flight(sidecar, config, upstream, service, streams, after):
    """It ends with the configuration it started with, whatever happens to its endpoint."""
    gated = Gated(LARGE if streams else BODY, streams)
    text = endpoint("a", upstream(gated).url, "path = /a")
    s = sidecar(config=config(text))
    asking = Asking(s, "/a")
    assert gated.asked.wait(10 * SLOW)
    if after == "gone":
        config(endpoint("b", service.url, "path = /b"))
    for _ in range(3):
        assert post(s)[0] == 200
    gated.go_on.set()
    assert asking.result()[::2] == (200, gated.body)
    s.wait_line("msg=scrape endpoint=a outcome=ok")
    assert s.get("/a" if after == "same" else "/b")[0] == 200


def test_reload_under_load(sidecar, config, service, upstream, tmp_path):
    """No scrape fails or loses its connection while valid and invalid files are loaded as fast as possible."""
    texts = [endpoint("a", service.url), endpoint("a", service.url, "max_age = 1ms"), "junk\n",
             endpoint("a", service.url, "timeout = 5s") + "[web]\ncompression = off\n"]
    steer = Steer(tmp_path / "steer")
    s = sidecar(config=config(texts[0]), env=steer.environment)
    over, wrong, done = threading.Event(), [], [0] * 8

    def scrape(i):
        connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
        connection.connect()
        connection.auto_open = False
        try:
            while not over.is_set():
                connection.request("GET", "/metrics")
                response = connection.getresponse()
                got = response.status, response.read()
                done[i] += 1
                if got != (200, BODY):
                    wrong.append(got)
        except (OSError, http.client.HTTPException) as error:
            wrong.append(error)
        finally:
            connection.close()
    threads = [threading.Thread(target=scrape, args=(i,), daemon=True) for i in range(8)]
    for t in threads:
        t.start()
    statuses = []
    for text in texts * 10:
        before = done.copy()
        config(text)
        steer.forward(1)
        statuses.append(post(s)[0])
        # Every scrape of now ends, so that the clock is not put forward to its deadline.
        wait_until(lambda: wrong or all(now > then for now, then in zip(done, before, strict=True)),
                   "not everyone is served")
    over.set()
    for t in threads:
        t.join(20 * SLOW)
    assert not wrong
    assert statuses == [200, 200, 500, 200] * 10


def test_requests_for_reloads_are_limited_in_rate(sidecar, config, service, tmp_path):
    """A few at once, and one a second; rejected ones get Retry-After, and succeed after that. Other requests and SIGHUP are
    unaffected."""
    steer = Steer(tmp_path / "steer")
    s = sidecar(None, "--set=process.watch_files=off", config=config(endpoint("a", service.url)), env=steer.environment)
    before = time.monotonic()
    answers = [post(s) for _ in range(30)]
    earned = time.monotonic() - before  # one a second
    assert [status for status, _, _ in answers[:5]] == [200] * 5
    refused = [(int(headers["Retry-After"]), body) for status, headers, body in answers if status == 429]
    assert len(refused) >= 25 - earned
    assert {after for after, _ in refused} == {1} and b"too many reloads" in refused[0][1]
    wait_until(lambda: s.count("msg=reloaded") == 30 - len(refused), "the log does not say so")
    assert s.admin("/-/healthy")[0] == s.admin("/metrics")[0] == s.get()[0] == 200
    hang_up(s)
    config("junk\n")

    def spend():
        """Statuses of a whole burst and one more, and of two requests a second later; None if real time added to it."""
        steer.forward(60)
        before = time.monotonic()
        statuses = [post(s)[0] for _ in range(6)]
        steer.forward(1)
        statuses += [post(s)[0] for _ in range(2)]
        return statuses if time.monotonic() - before < 1 else None
    assert wait_until(spend, "eight requests always take a second") == [500] * 5 + [429, 500, 429]


def test_of_many_hangups_the_last_counts(sidecar, config, service):
    """However fast they come: the file as of the last one is in force, after few reloads."""
    s = sidecar(config=config(endpoint("a", service.url)))
    for i in range(200):
        config(endpoint("a", service.url, f"max_series = {i + 1}"))
        s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: b"max_series = 200\n" in s.admin("/-/config")[2], "the last one is lost")
    assert s.count("msg=reloaded") < 50


def test_many_reloads_leave_nothing(sidecar, config, service, tmp_path):
    steer = Steer(tmp_path / "steer")
    s = sidecar(config=config(endpoint("a", service.url)), env=steer.environment)

    def reload(times):
        for _ in range(times):
            steer.forward(1)
            assert post(s)[0] == 200
    reload(20)
    memory, descriptors = s.memory(), s.descriptors()
    reload(200)
    wait_until(lambda: s.descriptors() <= descriptors + 1, f"descriptors stay open, {descriptors} before")
    assert SLOW > 1 or s.memory() < memory + (1 << 20)


# Shutdown.


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_ends_at_once_when_idle(sidecar, service, sig):
    s = sidecar(service.url)
    with s.connect() as idle:
        assert s.get()[2] == BODY
        assert s.stop(sig) == 0
        assert idle.recv(1) == b""
    assert s.find("shutting down") and "msg=exiting" in s.lines[-1]


def refused(sidecar):
    """Whether a new scrape is rejected: by the kernel, or by a 503 that closes the connection."""
    try:
        status, headers, _ = sidecar.get("/metrics?new")
    except ConnectionError:
        return True
    return status == 503 and headers["Connection"] == "close"


@pytest.mark.parametrize("streams", [False, True], ids=["held", "streaming"])
def test_drains(sidecar, upstream, streams):
    """A scrape in flight finishes; no other starts, on new connections or kept ones."""
    gated = Gated(LARGE if streams else BODY, streams)
    u = upstream(gated)
    s = sidecar(u.url, "--set", "endpoint.default.timeout=60s")
    kept = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
    kept.request("GET", "/metrics?shard=8&shard_count=8")
    kept.getresponse().read()
    asking = Asking(s)
    assert gated.asked.wait(10 * SLOW)
    s.process.send_signal(signal.SIGTERM)
    s.wait_line('msg="shutting down" .*in_flight=1')
    assert s.admin("/-/ready")[0] == 503
    assert s.admin("/-/healthy")[0] == 200
    assert refused(s)
    try:
        kept.request("GET", "/metrics?kept")
        assert kept.getresponse().status == 503
    except (ConnectionError, http.client.HTTPException):
        pass
    kept.close()
    assert s.process.poll() is None
    gated.go_on.set()
    assert asking.result()[::2] == (200, gated.body)
    assert s.stop(0) == 0
    assert len(u.requests) == 1
    assert s.find("msg=scrape .*outcome=ok")


def test_request_that_comes_whole_only_while_it_drains(sidecar, upstream):
    """It had a connection before, and is still rejected: the drain ends."""
    gated = Gated()
    u = upstream(gated)
    s = sidecar(u.url, "--set", "endpoint.default.timeout=60s")
    with s.connect() as raw:
        raw.sendall(b"GET /metrics?late HTTP/1.1\r\n")
        asking = Asking(s)
        assert gated.asked.wait(10 * SLOW)
        s.process.send_signal(signal.SIGTERM)
        s.wait_line('msg="shutting down" .*in_flight=1')
        raw.sendall(b"Host: a\r\n\r\n")
        with raw.makefile("rb") as file:
            got = file.read()
    assert got.startswith(b"HTTP/1.1 503 ") and b"\r\nConnection: close\r\n" in got
    assert got.endswith(b"scrapeshard is shutting down\n")
    gated.go_on.set()
    assert asking.result()[0] == 200
    assert s.stop(0) == 0
    assert len(u.requests) == 1


@pytest.mark.parametrize("streams", [False, True], ids=["held", "streaming"])
def test_second_signal_ends_at_once(sidecar, upstream, streams):
    """The scrape in flight fails, and is not taken for a success."""
    gated = Gated(LARGE if streams else BODY, streams)
    s = sidecar(upstream(gated).url, "--set", "endpoint.default.timeout=60s")
    asking = Asking(s)
    assert gated.asked.wait(10 * SLOW)
    s.process.send_signal(signal.SIGTERM)
    s.wait_line('msg="shutting down" .*in_flight=1')
    start = time.monotonic()
    assert s.stop(signal.SIGTERM, 10) == 0
    assert time.monotonic() - start < 5 * SLOW
    assert isinstance(asking.result(), (ConnectionError, http.client.HTTPException)), asking.got
    gated.go_on.set()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_killed_while_an_answer_streams(upstream, version):
    """The kernel aborts the transfer, even where a close would end the body."""
    gated = Gated(LARGE, streams=True)
    s = Sidecar(upstream(gated).url, "--set", "endpoint.default.timeout=60s")
    with s.connect() as raw:
        raw.sendall(f"GET /metrics HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        got = raw.recv(1000)
        assert s.stop(signal.SIGKILL) == -signal.SIGKILL
        try:
            while piece := raw.recv(1 << 20):
                got += piece
            assert version == "1.1", "it looks like the end of the body"
        except ConnectionResetError:
            pass
    assert not got.endswith(b"0\r\n\r\n")
    gated.go_on.set()


def test_listens_no_more_while_it_drains(sidecar, upstream):
    """The kernel refuses new connections, idle kept ones are closed, and another process may bind the port."""
    gated = Gated()
    u = upstream(gated)
    # The kernel may give a port of its own choice to someone else as soon as nobody listens there.
    s = sidecar(u.url, "--set", "endpoint.default.timeout=60s", listen=f"127.0.0.1:{free_port()}")
    idle = [s.connect() for _ in range(3)]
    for raw in idle:
        raw.sendall(b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 404 " in raw.recv(65536)
    asking = Asking(s)
    assert gated.asked.wait(10 * SLOW)
    s.process.send_signal(signal.SIGTERM)
    s.wait_line("shutting down")
    for raw in idle:
        assert raw.recv(1) == b""
        raw.close()
    with pytest.raises(ConnectionRefusedError):
        s.connect()
    other = sidecar(u.url, listen=f"127.0.0.1:{s.port}")
    gated.go_on.set()
    assert asking.result()[::2] == (200, gated.body)
    assert s.stop(0) == 0
    assert other.get()[0] == 200


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["small", "large"])
def test_ends_under_load(sidecar, upstream, body):
    """Many scrape over kept connections: each scrape that was started is complete, and the exit status is 0."""
    s = sidecar(upstream(answering(answer(body))).url)
    wrong, done, connected = [], [], threading.Barrier(13)

    def scrape():
        c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20 * SLOW)
        c.connect()
        c.auto_open = False
        connected.wait()
        while True:
            try:
                c.request("GET", "/metrics")
                response = c.getresponse()
            except (OSError, http.client.HTTPException):
                return  # none was started
            try:
                got = response.read()
            except (OSError, http.client.HTTPException) as error:
                got = error
            if response.status == 503 and response.headers["Connection"] == "close":
                return
            done.append(1)
            if response.status != 200 or got != body:
                wrong.append((response.status, got))
                return
    threads = [threading.Thread(target=scrape, daemon=True) for _ in range(12)]
    for t in threads:
        t.start()
    connected.wait()
    wait_until(lambda: len(done) > 100, "nothing is scraped", 30)
    assert s.stop() == 0
    for t in threads:
        t.join(20 * SLOW)
    assert not wrong
    assert s.find('msg=exiting in_flight=0')


@pytest.mark.parametrize("streams", [False, True], ids=["held", "streaming"])
def test_grace(upstream, streams):
    """Scrapes that do not end are aborted, none is taken for a success, and the exit status says so."""
    gated = Gated(LARGE if streams else BODY, streams)
    s = Sidecar(upstream(gated).url, "--set", "endpoint.default.timeout=60s", "--set", "web.grace=300ms")
    asking = Asking(s)
    assert gated.asked.wait(10 * SLOW)
    assert s.stop() == 3
    assert isinstance(asking.result(), (ConnectionError, http.client.HTTPException)), asking.got
    assert s.find("level=error .*setting=web.grace in_flight=1")
    gated.go_on.set()


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_gives_up_privileges(sidecar, config, service, sandbox):
    """It still reloads, resolves names and serves."""
    path = config(endpoint("a", service.url.replace("127.0.0.1", "localhost")) + f"[process]\nsandbox = {sandbox}\n")
    s = sidecar(config=path)
    reported = s.wait_line(r"privileges dropped.* capabilities=(\w+)")[1]
    on = sandbox == "on" and SLOW == 1  # sanitizers need the privileges that it drops
    assert reported == ("yes" if on else "no")
    assert s.get()[2] == BODY  # starts a thread that looks up the name
    threads = []
    for path in pathlib.Path(f"/proc/{s.pid}/task").glob("*/status"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the lookup's thread ends
            threads.append(path.read_text())
    assert len(threads) > 1  # at least the log's
    for status in threads:
        assert SLOW > 1 or re.search(r"NoNewPrivs:\s1", status)  # a sanitizer has threads of its own
        assert bool(re.search(r"Seccomp:\s2", status)) == on
        if on:
            assert re.search(r"CapEff:\s0+\n", status) and re.search(r"CapPrm:\s0+\n", status)
    for _ in range(3):
        hang_up(s)
        assert s.get()[2] == BODY
    assert not s.find("reload failed")


def test_drains_no_longer_than_the_deadline(sidecar, upstream):
    gated = Gated()
    s = sidecar(upstream(gated).url, "--set", f"endpoint.default.timeout={1500 * SLOW:.0f}ms")
    asking = Asking(s)
    assert gated.asked.wait(10 * SLOW)
    assert s.stop(signal.SIGTERM, 10) == 0
    assert asking.result()[0] == 504
    gated.go_on.set()


def test_broken_pipe_of_the_log_ends_nothing(service):
    """Standard error has no reader any more: scrapes go on."""
    read, write = os.pipe()
    p = subprocess.Popen([BINARY, f"--upstream.url={service.url}", "--web.listen-address=127.0.0.1:0",
                          "--admin.listen-address=off"], stderr=write, stdout=subprocess.DEVNULL)
    try:
        os.close(write)
        text = b""
        while not (m := re.search(rb"listening for scrapes\S* address=\S+:(\d+)\n", text)):
            piece = os.read(read, 4096)
            assert piece, text
            text += piece
        os.close(read)
        for _ in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", int(m[1]), timeout=20 * SLOW)
            connection.request("GET", "/metrics")
            assert connection.getresponse().read() == BODY
            connection.close()
        assert p.poll() is None
    finally:
        p.terminate()
        assert p.wait(20 * SLOW) == 0


# The log.


class JsonSidecar(Sidecar):
    """A sidecar whose log is JSON from its first line on."""

    def __init__(self, upstream):
        Process.__init__(self, [BINARY, f"--upstream.url={upstream}", "--web.listen-address=127.0.0.1:0",
                                "--admin.listen-address=127.0.0.1:0", "--log.format=json"])
        port = r'"listening for %s","address":"127\.0\.0\.1:(\d+)"'
        self.port = int(self.wait_line(port % "scrapes")[1])
        self.admin_port = int(self.wait_line(port % "administration")[1])


@pytest.fixture
def json_sidecar():
    started = []

    def start(url):
        started.append(JsonSidecar(url))
        return started[-1]
    yield start
    for s in started:
        assert s.stop() == 0


ODD = [b"odd\xff\xfe\xed\xa0\x80{ 1\n", b"\x01\x02\x1b[31m\x7f\n", b'"\\"\n\\u0000\n', "\u2028 é\n".encode(),
       b"\t\r\n{", b"a\\", b"<html>\"quoted\"\\\n"]


@pytest.mark.parametrize("body", ODD)
def test_json_is_valid_whatever_the_reason(json_sidecar, upstream, body):
    s = json_sidecar(upstream(answering(answer(body))).url)
    assert s.get("/metrics?shard=1%22%5C&shard_count=%00")[0] == 400
    s.get()
    s.get("/metrics?shard=0,1&shard_count=2")
    wait_until(lambda: s.count('"msg":"scrape"') == 3, "not one line for each scrape")
    s.stop()
    for line in s.lines:
        assert "\ufffd" not in line, "a byte that is no UTF-8"
        fields = json.loads(line)
        assert {"ts", "level", "msg"} <= fields.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields["ts"])
        assert fields["level"] in ("debug", "info", "warn", "error")


@pytest.mark.parametrize("body", ODD)
def test_logfmt_is_one_line_whatever_the_reason(sidecar, upstream, body):
    s = sidecar(upstream(answering(answer(body))).url)
    s.get()
    s.wait_line("msg=scrape")
    s.stop()
    for line in s.lines:
        assert re.match(r"ts=\S+ level=(debug|info|warn|error) msg=", line), line
        assert re.fullmatch(r'(?:[a-z_]+=(?:[^\s"=\\]+|"(?:[^"\\]|\\.)*")(?: |$))+', line), line


def test_one_line_for_each_scrape(json_sidecar, upstream):
    """Peer, shard, bytes in and out, outcome."""
    s = json_sidecar(upstream(answering(answer(BODY))).url)
    parts = [s.get(f"/metrics?shard={i}&shard_count=3")[2] for i in range(3)]
    s.get("/metrics")
    s.get("/metrics?shard=3&shard_count=3")
    s.get("/nowhere")
    s.admin("/-/healthy")
    wait_until(lambda: s.count('"msg":"scrape"') >= 5, "not one line for each scrape")
    scrapes = [fields for fields in map(json.loads, s.lines) if fields["msg"] == "scrape"]
    assert len(scrapes) == 5
    for i, fields in enumerate(scrapes[:3]):
        assert (fields["shard"], fields["shard_count"]) == (str(i), 3)
        assert fields["bytes_out"] == len(parts[i])
    for fields in scrapes[:4]:
        assert (fields["outcome"], fields["status"], fields["level"]) == ("ok", 200, "info")
        assert (fields["endpoint"], fields["peer"]) == ("default", "127.0.0.1")
        assert fields["bytes_in"] == len(BODY)
        assert fields["series_in"] == 2 and fields["families_in"] == 2
        assert 0 < fields["seconds"] < 20 * SLOW
    assert sum(f["series_out"] for f in scrapes[:3]) == 2
    assert (scrapes[3]["bytes_out"], scrapes[3]["series_out"]) == (len(BODY), 2)
    assert (scrapes[4]["outcome"], scrapes[4]["status"], scrapes[4]["level"]) == ("bad_request", 400, "warn")
    assert "shard" in scrapes[4]["reason"]


@pytest.mark.parametrize("script, status, outcome", [
    (answer(BODY), 200, "ok"),
    (answer(b"no\n", status="404 Not Found"), 404, "passed_on"),
    (answer(b"<html>\n"), 502, "no_exposition"),
    (answer(BODY, extra=["Content-Length: 3"]), 502, "upstream_failed"),
    (b"HTTP/1.1 200 OK\r\nContent-Type: " + TEXT.encode() + b"\r\nConnection: close\r\n\r\nup 1\nu", 502,
     "upstream_truncated"),
    (answer(b"a" * 2000000), 502, "too_large"),
], ids=["ok", "passed_on", "no_exposition", "upstream_failed", "upstream_truncated", "too_large"])
def test_outcomes(sidecar, upstream, script, status, outcome):
    def serve(u, connection):
        u.read_request(connection)
        connection.sendall(script)
    s = sidecar(upstream(serve).url)
    assert s.get()[0] == status
    s.wait_line(f"msg=scrape .*outcome={outcome} status={status} ")


def test_log_level_is_taken_by_a_reload(sidecar, config, service):
    s = sidecar(config=config(endpoint("a", service.url)), level=None)
    config(endpoint("a", service.url) + "[log]\nlevel = warn\nformat = json\n")
    assert post(s)[0] == 200
    assert s.get()[2] == BODY
    assert s.get("/metrics?shard=1")[0] == 400
    s.wait_line('"outcome":"bad_request"')
    assert not s.find("outcome.{2,3}ok")


def test_split_takes_sharding_from_a_file(config):
    """Of three shards, up is in shard 2 by md5 and in 1 by xxh64."""
    path = config(endpoint("app", "http://127.0.0.1:1/metrics") + "[sharding]\nhash = md5\n")
    body = "up 1\n"
    for shard, kept in (("2", "up 1\n"), ("1", "")):
        status, out, err = run("split", "--shard", shard, "--shard-count=3", f"--config.file={path}", input=body)
        assert (status, out, err) == (0, kept, "")
    status, out, err = run("split", "--shard=1", "--shard-count=3", input=body)
    assert (status, out) == (0, "up 1\n")
    assert run("split", "--shard=1", "--shard-count=3", f"--config.file={config('junk')}", input=body)[0] == 1
