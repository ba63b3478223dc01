# SPDX-License-Identifier: Apache-2.0
"""The command line of all subcommands: exit statuses as in --help, help on standard output, errors on standard error.

0: success. 1: a missing or invalid file, a port in use, an unreachable upstream, a body that is not a valid exposition.
2: an invalid command line. 3 is for the end of serve (test_service.py).
"""
import re
import socket
import subprocess

import pytest

from conftest import BINARY, SLOW, answer, answering, run, wait_until
from test_client import Watched
from tools import complaints

COMMANDS = ("serve", "check", "split", "plan", "verify", "explain", "rules")
FILES = {
    "good.ini": "[endpoint app]\nupstream = http://127.0.0.1:1/metrics\n",
    "bad.ini": "[endpoint app]\nupstreem = http://127.0.0.1:1/metrics\n",
    "two.ini": "[endpoint a]\npath = /a\nupstream = http://127.0.0.1:1/\n[endpoint b]\nupstream = http://127.0.0.1:1/\n",
    "body": "# TYPE up gauge\nup 1\n",
    "page": "<html>\n",
}
NOTHING = "http://127.0.0.1:1/metrics"  # nothing listens there

CASES = [
    # status, command line, part of standard error
    (2, "", "--upstream.url=URL"),
    (2, "servee", "servee"),
    (2, "serve extra", "extra"),
    (2, "--nonsense", "--nonsense"),
    (2, "--version=1", "--version"),
    (2, "--upstream.url", "--upstream.url=URL"),
    (2, "--upstream.url=", "upstream"),
    (2, "--upstream.url=nonsense", "http://HOST:PORT/PATH"),
    (2, "serve --upstream.url=http://a:99999/", "port"),
    (2, f"--upstream.url={NOTHING} --log.level=loud", "debug"),
    (2, f"--upstream.url={NOTHING} --web.listen-address=nonsense", "nonsense"),
    (2, f"--upstream.url={NOTHING} --set=web.nonsense=1", "nonsense"),
    (2, f"--upstream.url={NOTHING} --set=web.grace", "section.key=value"),
    (2, f"--upstream.url={NOTHING} --set", "SECTION.KEY=VALUE"),
    (2, f"--config.file=two.ini --upstream.url={NOTHING}", "2 endpoints"),
    (2, "--config.file=good.ini --set=endpoint.app.timeout=long", "long"),
    (2, f"--upstream.url={NOTHING} --set=endpoint.a.timeout=1s --set=endpoint.b.timeout=1s",
     "--set endpoint.b.timeout: unknown endpoint b (expected default, or endpoint.b.upstream=URL)"),
    (2, "--config.file=good.ini --set=endpoint.x.timeout=1s", "unknown endpoint x (expected app, or"),
    (2, "check --set=endpoint.x.timeout=1s two.ini", "unknown endpoint x (expected a, b, or"),
    (2, "--set=endpoint.app.timeout=1s", "[endpoint app]: missing upstream"),
    (1, f"--upstream.url={NOTHING} --set=web.bearer_token_file=absent", "absent"),
    (1, f"--upstream.url={NOTHING} --set=web.basic_auth_file=page", "page:1: "),
    (1, "--upstream.url=https://127.0.0.1/ --set=endpoint.default.tls_ca=absent", "absent"),
    (1, "--upstream.url=https://127.0.0.1/ --set=endpoint.default.authorization_file=absent", "absent"),
    (2, f"--upstream.url={NOTHING} --set=endpoint.default.tls_server_name=a", "tls_server_name"),
    (2, "--config.file=", "--config.file=FILE"),
    (1, "--config.file=absent.ini", "absent.ini"),
    (1, "--config.file=.", "directory"),
    (1, "--config.file=bad.ini", "bad.ini:2:1"),
    (1, "--config.file=bad.ini --log.level=loud", "bad.ini:2:1"),
    (1, f"--upstream.url={NOTHING} --web.listen-address=127.0.0.1:TAKEN", "in use"),
    (1, f"--upstream.url={NOTHING} --web.listen-address=127.0.0.1:0 --admin.listen-address=127.0.0.1:TAKEN", "in use"),
    (2, "check", "one file"),
    (2, "check good.ini two.ini", "one file"),
    (2, "check --config.file=good.ini two.ini", "one file"),
    (1, "check --config.file=bad.ini", "bad.ini:2:1"),
    (2, "check good.ini --print", "one file"),
    (2, "check --nonsense good.ini", "--nonsense"),
    (2, "check --set=log.level=loud good.ini", "loud"),
    (1, "check --set=log.level=loud bad.ini", "bad.ini:2:1"),
    (1, "check absent.ini", "absent.ini"),
    (1, "check .", "directory"),
    (1, "check bad.ini", "bad.ini:2:1"),
    (0, "check good.ini", ""),
    (0, "check --print good.ini", ""),
    (2, "split", "--shard"),
    (2, "split --shard=0", "--shard-count"),
    (2, "split --shard=3 --shard-count=3 body", "--shard: "),
    (2, "split --shard=0 --shard-count=0 body", "--shard-count: "),
    (2, "split --shard=0 --shard-count=1 body page", "one file"),
    (2, "split --shard=0 --shard-count=1 --set=sharding.key=x body", "sharding.key"),
    (1, "split --shard=0 --shard-count=1 --config.file=absent.ini body", "absent.ini"),
    (1, "split --shard=0 --shard-count=1 --config.file=bad.ini body", "bad.ini:2:1"),
    (1, "split --shard=0 --shard-count=1 absent", "absent"),
    (1, "split --shard=0 --shard-count=1 .", "directory"),
    (1, "split --shard=0 --shard-count=1 page", "page"),
    (0, "split --shard=0 --shard-count=1 body", ""),
    (2, "plan", "--shard-count"),
    (2, "plan --shard-count=x body", "--shard-count: "),
    (2, "plan --shard-count=3 body page", "one body"),
    (2, "plan --shard-count=3 --to=0 body", "--to"),
    (2, "plan --shard-count=3 --interval=1m body", "--targets"),
    (2, "plan --shard-count=3 --targets=0 body", "--targets"),
    (2, "plan --shard-count=3 --targets=1 --interval=0s body", "--interval"),
    (2, "plan --shard-count=3 --timeout=long body", "--timeout"),
    (2, "plan --shard-count=3 --timeout=0s body", "--timeout"),
    (2, "plan --shard-count=3 --set=sharding.key=x body", "sharding.key"),
    (2, "plan --shard-count=3 http://a:b/", "port"),
    (2, "plan --shard-count=3 ftp://a/", "http://HOST:PORT/PATH"),
    (1, f"plan --shard-count=3 {NOTHING}", "connect"),
    (1, f"plan --shard-count=3 --authorization-file=absent {NOTHING}", "absent"),
    (1, "plan --shard-count=3 absent", "absent"),
    (1, "plan --shard-count=3 .", "directory"),
    (1, "plan --shard-count=3 page", "page"),
    (1, "plan --shard-count=3 --config.file=bad.ini body", "bad.ini:2:1"),
    (0, "plan --shard-count=3 body", ""),
    (0, "plan --shard-count=3 --json body", ""),
    (2, "verify", "--shard-count"),
    (2, "verify --shard-count=3", "one URL"),
    (2, f"verify --shard-count=3 {NOTHING} {NOTHING}", "one URL"),
    (2, "verify --shard-count=3 body", "http://HOST:PORT/PATH"),
    (2, f"verify --shard-count=3 --timeout=long {NOTHING}", "--timeout"),
    (2, f"verify --shard-count=3 --whole=nonsense {NOTHING}", "nonsense"),
    (1, f"verify --shard-count=3 {NOTHING}", "connect"),
    (1, f"verify --shard-count=3 --config.file=absent.ini {NOTHING}", "absent.ini"),
    (2, "explain", "--shard-count"),
    (2, "explain --shard-count=3", "one or more series"),
    (2, "explain --shard-count=3 --nonsense up", "--nonsense"),
    (2, "explain --shard-count=3 --set=sharding.key=x up", "sharding.key"),
    (1, "explain --shard-count=3 up{", "up{"),
    (1, "explain --shard-count=3 --config.file=bad.ini up", "bad.ini:2:1"),
    (0, "explain --shard-count=3 up", ""),
    (0, "explain --shard-count=3 --json up", ""),
]


@pytest.fixture
def files(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("status, line, said", CASES, ids=[line or "nothing" for _, line, _ in CASES])
def test_exit_status(files, status, line, said):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = line.replace("TAKEN", str(taken.getsockname()[1])).split()
        got, out, err = run(*words, cwd=files, stdin=0)
    assert (got, said in err) == (status, True), err
    assert bool(out) == (status == 0) or line.startswith("split"), out
    assert not complaints(err) or status, err


def test_a_url_in_the_place_of_a_command_keeps_its_secrets():
    status, _, err = run("http://me:s3cret@127.0.0.1/m?token=s3cret")
    assert status == 2 and "unknown command http://" in err and "s3cret" not in err and "me:" not in err


ENDPOINTS = [
    # flags, besides --upstream.url; the endpoints by their names, and their timeouts
    ([], {"default": "10s"}),
    (["endpoint.default.timeout=5s"], {"default": "5s"}),
    (["endpoint.app.timeout=5s"], {"app": "5s"}),
    (["endpoint.my.app.timeout=5s", "endpoint.my.app.path=/metrics"], {"my.app": "5s"}),
    (["endpoint.other.upstream=" + NOTHING, "endpoint.other.path=/o", "endpoint.other.timeout=5s"],
     {"default": "10s", "other": "5s"}),
    (["endpoint.other.upstream=" + NOTHING, "endpoint.other.path=/o", "endpoint.app.timeout=5s"],
     {"app": "5s", "other": "10s"}),
]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("settings, endpoints", ENDPOINTS, ids=[" ".join(e) for _, e in ENDPOINTS])
def test_endpoint_of_the_upstream_flag(sidecar, upstream, settings, endpoints, first):
    """The only endpoint named by flags is that of --upstream.url, in any order."""
    url = upstream(answering(answer(b"up 1\n"))).url
    flags = [f"--set={setting}" for setting in settings]
    s = sidecar(None, *([f"--upstream.url={url}", *flags] if first else [*flags, f"--upstream.url={url}"]))
    assert s.get()[2] == b"up 1\n"
    printed = s.admin("/-/config")[2].decode()
    assert dict(re.findall(r"\[endpoint (.*)\]\n(?:.+\n)*?(?:; )?timeout = (.*)", printed)) == endpoints
    assert set(re.findall(r'scrapeshard_scrapes_total\{endpoint="([^"]*)"', s.admin("/metrics")[2].decode())) == set(endpoints)


@pytest.mark.parametrize("word", ["--help", "-help", "-h", "--h"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command, word):
    """It goes to standard output, exits with 0, and has the command's flags and exit statuses."""
    status, out, err = run(*command.split(), word)
    assert (status, err) == (0, "")
    assert out.startswith("scrapeshard [serve] " if command in ("", "serve") else f"scrapeshard {command} ")
    assert re.search(r"\bExits 0\b", out) and re.search(r"\b2\s+if\s+the\s+command\s+line\b", out), out
    assert "\n  --help " in out
    assert max(map(len, out.split("\n"))) <= 120


def test_help_names_every_command():
    assert set(re.findall(r"(?m)^  ([a-z]+) +", run("--help")[1])) == set(COMMANDS)


def test_help_before_other_errors():
    """What follows --help is ignored, what precedes it is checked."""
    assert run("plan", "--help", "--nonsense")[0] == 0
    assert run("plan", "--nonsense", "--help")[0] == 2


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_that_cannot_be_written(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, *command.split(), "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "standard output" in done.stderr


def test_ready_until_the_end(sidecar, upstream):
    """Ready from the start, whatever the upstream does, until it shuts down; healthy to the end."""
    watched = Watched()
    s = sidecar(upstream(watched).url)
    for method in ("GET", "HEAD"):
        for path in ("/-/ready", "/-/healthy"):
            assert s.admin(path, method)[0] == 200
    assert s.admin("/-/ready", "POST")[0] == 405
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert watched.asked.wait(10 * SLOW)
        s.process.terminate()
        status, _, body = wait_until(lambda: s.admin("/-/ready") if s.admin("/-/ready")[0] != 200 else None, "still ready")
        assert status == 503 and b"shutting down" in body
        assert s.admin("/-/ready", "HEAD")[0] == 503
        assert s.admin("/-/healthy")[0] == 200
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert s.stop(0) == 0
