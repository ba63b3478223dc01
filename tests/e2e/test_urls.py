# SPDX-License-Identifier: Apache-2.0
"""Upstream URLs: the fetch takes what check accepts, verbatim; what check refuses is reported with its place."""
import os
import random
import re
import subprocess

import pytest

from conftest import BINARY, SLOW, answer, answering, run

BODY = b"# TYPE up gauge\nup 1\n"

GOOD = [
    # URL, request target, Host header
    ("http://127.0.0.1:PORT/metrics", "/metrics", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT", "/", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/", "/", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT?a=b", "/?a=b", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/m?a=b&c", "/m?a=b&c", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/a/../b/./c", "/a/../b/./c", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT//m", "//m", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/%41%zz", "/%41%zz", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/m?match[]={job=%22x%22}", "/m?match[]={job=%22x%22}", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/a@b:c?u=http://x:1/", "/a@b:c?u=http://x:1/", "127.0.0.1:PORT"),
    ("http://127.0.0.1:PORT/$(X)", "/$(X)", "127.0.0.1:PORT"),
    ("HTTP://127.0.0.1:PORT/M", "/M", "127.0.0.1:PORT"),
    ("http://127.1:PORT/m", "/m", "127.0.0.1:PORT"),
    ("http://127.0.0.1:0PORT/m", "/m", "127.0.0.1:PORT"),
    ("http://localhost:PORT/m", "/m", "localhost:PORT"),
    ("http://LocalHost:PORT/m", "/m", "LocalHost:PORT"),
    ("http://[::1]:PORT/m", "/m", "[::1]:PORT"),
    ("http://[0:0::0:1]:PORT/m", "/m", None),
    ("http://[::ffff:127.0.0.1]:PORT/m", "/m", None),
    ("http://[::1%25lo]:PORT/m", "/m", "[::1]:PORT"),
]


def test_accepted_urls_are_requested_verbatim(sidecar, upstream, config):
    u = upstream(answering(answer(BODY)), host="::")
    urls = [url.replace("PORT", str(u.port)) for url, *_ in GOOD]
    path = config("".join(f"[endpoint n{i}]\npath = /{i}\nupstream = {url}\n" for i, url in enumerate(urls)))
    assert run("check", path)[::2] == (0, "")
    s = sidecar(None, config=path)
    for i, (url, target, host) in enumerate(GOOD):
        for query, joined in (("", ""), ("?x=1", ("&" if "?" in target else "?") + "x=1")):
            status, _, body = s.get(f"/{i}{query}")
            assert (status, body) == (200, BODY), url
            line, *headers = u.requests[-1].decode().split("\r\n")
            assert line == f"GET {target}{joined} HTTP/1.1", url
            assert not host or f"Host: {host}".replace("PORT", str(u.port)) in headers, (url, headers)


def test_unix_socket(sidecar, upstream, tmp_path):
    u = upstream(answering(answer(BODY)), path=f"{tmp_path}/a socket?")
    s = sidecar(f"unix:{tmp_path}/a socket?:/m?a=b")
    assert s.get("/metrics?x=1")[2] == BODY
    assert u.requests[-1].startswith(b"GET /m?a=b&x=1 HTTP/1.1\r\nHost: localhost\r\n")


def checks_host(upstream, connection):
    """A service that answers one Host only, as Django does with ALLOWED_HOSTS."""
    while head := upstream.read_request(connection):
        hosts = re.findall(rb"(?i)\r\nhost: *([^\r]*)", head)
        connection.sendall(answer(BODY) if hosts == [b"App.example.com:8443"] else answer(b"", status="400 Bad Request"))


def test_host_header(sidecar, upstream, tmp_path):
    for u in (upstream(checks_host), upstream(checks_host, path=f"{tmp_path}/s")):
        assert sidecar(u.url).get()[0] == 400
        assert sidecar(u.url, "--set=endpoint.default.host_header=App.example.com:8443").get()[::2] == (200, BODY)


@pytest.mark.parametrize("address, host", [("127.0.0.2", "127.0.0.2"), ("::1", "[::1]")])
def test_address_of_the_pod(sidecar, upstream, config, address, host):
    """A service that listens on the Pod's address only, which Kubernetes tells in an environment variable."""
    u = upstream(answering(answer(BODY)), host=address)
    path = config("[endpoint app]\nupstream = http://$(POD_IP):$(APP_PORT)/$(POD_IP)?a=$(POD_IP)\n")
    environment = {**os.environ, "POD_IP": address, "APP_PORT": str(u.port)}
    s = sidecar(config=path, env=environment)
    assert s.get()[::2] == (200, BODY)
    assert u.requests[0].startswith(f"GET /$(POD_IP)?a=$(POD_IP) HTTP/1.1\r\nHost: {host}:{u.port}\r\n".encode())
    printed = run("check", "--print", path, env=environment)[1]
    assert f"\nupstream = http://{host}:{u.port}/$(POD_IP)?a=$(POD_IP)\n" in printed


@pytest.mark.parametrize("value", [None, "", "a/b", "user:secret@a", "a b", "10.0.0.1?b", "[::1]"])
def test_variable_that_is_no_host(config, value):
    """It stays as it is, and is refused; the value is not shown."""
    path = config("[endpoint app]\nupstream = http://$(POD_IP):8080/metrics\n")
    environment = {**os.environ, **({} if value is None else {"POD_IP": value})}
    status, out, err = run("check", path, env=environment)
    assert (status, out) == (1, "") and "$(POD_IP)" in err and "environment variable" in err and "secret" not in err


BRACKETS = r"IPv6 address without brackets \(expected http://\[ADDRESS\]:PORT/PATH\)"
PORT = r"invalid port \(expected a number from 1 to 65535\)"
HOST = r"no host \(expected http://HOST:PORT/PATH"
FORM = r"not an upstream URL \(expected http://HOST:PORT/PATH"
PLACEHOLDER = "an unexpanded placeholder"
CHARACTER = "a character that is not valid in a URL"

BAD = [
    ("http://fd00::5:8080/m", BRACKETS), ("http://::1/m", BRACKETS), ("http://fd00::5", BRACKETS),
    ("http://$(POD_IP):8080/m", PLACEHOLDER), ("http://${POD_IP}:8080/m", PLACEHOLDER),
    ("http://{{ .Values.host }}/m", PLACEHOLDER), ("http://%POD_IP%:8080/", PLACEHOLDER),
    ("http://127.0.0.1:$(PORT)/m", PLACEHOLDER), ("http://$(POD_IP)", PLACEHOLDER), ("http://<POD_IP>:80/", CHARACTER),
    ("http://a:99999/m", PORT), ("http://a:65536", PORT), ("http://a:0/m", PORT), ("http://a:000/m", PORT),
    ("http://a:b/", PORT), ("http://a:-1/", PORT), ("http://a:8o80/", PORT), ("http://host:1:2/m", PORT),
    ("http://[::1]8080/m", PORT), ("http://[::1]:99999/m", PORT),
    ("http://[::1:8080/m", "invalid IPv6 address"), ("http://[a.b]/m", "invalid IPv6 address"),
    ("http://[]/m", "invalid IPv6 address"),
    ("http://", HOST), ("http:///m", HOST), ("http:////m", HOST), ("http://:80/m", HOST), ("http://?a=b", HOST),
    ("http://a,b/m", "invalid host"), ("http://a\\b/m", "invalid host"), ("http://a*/m", "invalid host"),
    ("http://münchen/m", "not ASCII"),
    ("http://user:password@a/m", "authorization_file"), ("http://user@a/m", "authorization_file"),
    ("http://a/m#b", "fragment"), ("http://a/m?b#c", "fragment"),
    ("http://a b/m", CHARACTER), ("http://a/b c", CHARACTER), ("http://a/<b>", CHARACTER),
    ("a", FORM), ("a:80", FORM), ("a/m", FORM), ("//a/m", FORM), ("http:/a/m", FORM), ("http:a", FORM),
    ("ftp://a/m", FORM), ("file:///m", FORM), ("tcp://a:1", FORM), ("httpx://a/", FORM),
    ("unix:", "unix:/SOCKET:/PATH"), ("unix:/s", "unix:/SOCKET:/PATH"), ("unix:s:/m", "unix:/SOCKET:/PATH"),
    ("unix:/s:m", "unix:/SOCKET:/PATH"), ("unix:///s", "unix:/SOCKET:/PATH"), ("unix:/s:/a b", CHARACTER),
    ("unix:/s:/m#b", "fragment"), (f"unix:/{'s' * 120}:/m", "107 bytes"),
]


@pytest.mark.parametrize("url, reason", BAD, ids=[url for url, _ in BAD])
def test_refused_urls_are_reported_with_their_place(config, url, reason):
    path = config(f"[endpoint app]\npath = /m\nupstream = {url}\n")
    status, out, err = run("check", path)
    first = err.split("\n")[0]
    assert (status, out) == (1, "")
    assert re.match(rf"{re.escape(path)}:3:12: endpoint\.upstream: .*{reason}", first), err
    assert "password" not in err and ("@" in url or url.partition("?")[0] in first)
    for words in (["serve", f"--config.file={path}"], ["serve", f"--upstream.url={url}"],
                  ["plan", "--shard-count=1", url], ["verify", "--shard-count=1", url]):
        status, out, err = run(*words)
        if words[0] == "plan" and "://" not in url and not url.startswith("unix:"):
            continue  # it is a file
        assert status == (1 if words[1].startswith("--config") else 2) and re.search(reason, err), (words, err)
        assert "password" not in err


def mutations(port):
    """Mistyped URLs, most of them bad; the same in each run."""
    rng = random.Random(12)
    good = [url.replace("PORT", str(port)) for url, *_ in GOOD] + [f"unix:/nowhere/{port}:/m"]
    pieces = list(":/?#[]@!$&'()*+,;=%{}|\\^`\"<>.-_~ 019azAZ\t\177é") + ["//", "::", "http://", "%00", "xn--"]
    for _ in range(400):
        url = rng.choice(good)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(url) + 1)
            url = url[:at] + rng.choice(["", rng.choice(pieces)]) + url[at + rng.randint(0, 2):]
        yield url


def test_whatever_check_accepts_the_fetch_takes(upstream):
    """It may fail to connect, but never to parse the URL. Without a network, so that no name is resolved."""
    u = upstream(answering(answer(BODY)), host="::")
    prefix = ["unshare", "--net"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        prefix = []
    accepted = 0
    for url in mutations(u.port):
        if not url or url[0] == "-" or run("check", f"--set=endpoint.app.upstream={url}", "/dev/null")[0]:
            continue
        accepted += 1
        done = subprocess.run([*prefix, BINARY, "plan", "--shard-count=1", "--timeout=1s", url], capture_output=True,
                              text=True, timeout=20 * SLOW, check=False)
        assert done.returncode == 1, (url, done)
        assert not re.search(r"(?i)malformed|illegal|bad url|URL using|unsupported|protocol", done.stderr), (url, done.stderr)
    assert accepted > 40


def test_words_of_libcurl(upstream):
    """The test above looks for these words, which libcurl uses if it cannot parse a URL."""
    done = subprocess.run(["curl", "-sS", "http://a:99999/", "http://[::1:8080/m"], capture_output=True, text=True,
                          check=False)
    assert len(re.findall(r"(?i)malformed|illegal|bad url|URL using", done.stderr)) == 2, done.stderr
