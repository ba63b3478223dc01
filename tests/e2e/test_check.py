# SPDX-License-Identifier: Apache-2.0
"""scrapeshard check: every error of a file with its place, and --print."""
import re

import pytest

from conftest import ROOT, run

GOOD_FILE = """
; a comment
# another
[web]
  listen_address = 127.0.0.1:19480   ; after a value
listen_address = [::1]:19480
\tlisten_address: unix:/run/scrapeshard.sock

[admin] ; after a section
listen_address=off
[endpoint app] 	
path = /metrics
upstream = http://127.0.0.1:8080/metrics?a=b;c
timeout = 1m30s
max_age = 0
max_body = 1GiB
max_line = 64KiB
default_content_type = text/plain; version=0.0.4
strict_close = off
max_series = 100000
max_families = 0
[endpoint other]
path = /other
   upstream = unix:/run/app.sock:/metrics
host_header = [fd00::1]:8080
[endpoint third]
path = /third
upstream = https://[::1]:8443/
timeout = 500ms
[sharding]
key = family
source_labels = __name__,instance , "a ; b"
source_labels = job
separator = "; "
require_shard = yes
shard_count = 080
reshard_to = off
shard_param = s
[rules]
keep = http_.*
keep = "a ; ""b"" c"
drop = (go|process)_.*
[log]
level = "debug" ; or "info"
format = json
"""

GOOD_PRINTED = """\
[web]
listen_address = 127.0.0.1:19480
listen_address = [::1]:19480
listen_address = unix:/run/scrapeshard.sock
compression = auto
compression_level = 1
max_connections = 512
max_connections_per_peer = 256
head_timeout = 10s
max_upstream_connections = 8
grace = 20s
tls_certificate = off
tls_key = off
tls_client_ca = off
tls_client_names = any
basic_auth_file = off
bearer_token_file = off
allow_networks = any
max_snapshots = 64
max_snapshot_bytes = 64MiB

[admin]
listen_address = off
scrape_interval = 1m
max_connections = 64
tls_certificate = off
tls_key = off
tls_client_ca = off
tls_client_names = any
basic_auth_file = off
bearer_token_file = off
allow_networks = any

[endpoint app]
path = /metrics
upstream = http://127.0.0.1:8080/metrics?a=b;c
host_header = off
upstream_encoding = identity
upstream_keepalive = on
tls_ca = system
tls_certificate = off
tls_key = off
tls_server_name = off
tls_insecure = false
authorization_file = off
timeout = 1m30s
max_in_flight = 256
max_age = 0s
timestamps = off
max_body = 1GiB
max_line = 64KiB
max_series = 100000
max_families = 0
default_content_type = text/plain; version=0.0.4
strict_close = false

[endpoint other]
path = /other
upstream = unix:/run/app.sock:/metrics
host_header = [fd00::1]:8080
upstream_encoding = identity
upstream_keepalive = on
tls_ca = system
tls_certificate = off
tls_key = off
tls_server_name = off
tls_insecure = false
authorization_file = off
; timeout = 10s
max_in_flight = 256
max_age = 0s
timestamps = off
max_body = 256MiB
max_line = 1MiB
max_series = 0
max_families = 0
default_content_type = text/plain; version=0.0.4; charset=utf-8
strict_close = true

[endpoint third]
path = /third
upstream = https://[::1]:8443/
host_header = off
upstream_encoding = identity
upstream_keepalive = on
tls_ca = system
tls_certificate = off
tls_key = off
tls_server_name = off
tls_insecure = false
authorization_file = off
timeout = 500ms
max_in_flight = 256
max_age = 0s
timestamps = off
max_body = 256MiB
max_line = 1MiB
max_series = 0
max_families = 0
default_content_type = text/plain; version=0.0.4; charset=utf-8
strict_close = true

[sharding]
key = family
source_labels = __name__
source_labels = instance
source_labels = "a ; b"
source_labels = job
separator = "; "
hash = xxh64
placement = modulo
require_shard = true
shard_count = 80
reshard_to = off
shard_param = s
shard_count_param = shard_count

[rules]
keep = http_.*
keep = "a ; ""b"" c"
drop = (go|process)_.*
; replicate =
; colocate =
; split =

[process]
sandbox = on
watch_files = on

[log]
level = debug
format = json
"""


@pytest.mark.parametrize("convert", [
    lambda text: text, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text.lstrip(),
    lambda text: text.rstrip(),
], ids=["plain", "CRLF", "BOM", "no last LF"])
def test_good(config, convert):
    path = config(convert(GOOD_FILE))
    status, out, err = run("check", path)
    assert (status, err) == (0, "")
    assert path in out and "3 endpoints" in out


APP = "[endpoint app]\nupstream = http://127.0.0.1:1/metrics\n"

BAD_LINES = [
    # text after a good section, line in it (from 1) and column of the error, what the message says
    ("[nonsense]\na = b\n", 1, 2, r"\[nonsense\]"),
    ("[nonsense]\n", 1, 2, r"\[nonsense\]"),
    ("[endpoint]\npath = /a\n", 1, 2, "name"),
    ("[endpoint ]\npath = /a\n", 1, 2, "name"),
    ("[endpoints x]\npath = /a\n", 1, 2, r"\[endpoints x\]"),
    ("[Log]\nlevel = info\n", 1, 2, r"\[Log\]"),
    ("[log]\nlevl = info\n", 2, 1, "levl"),
    ("[log]\nLevel = info\n", 2, 1, "Level"),
    ("[log]\n= info\n", 2, 1, "key"),
    ("[log]\nlevel = loud\n", 2, 9, "loud.*debug"),
    ("[log]\nlevel =\n", 2, 8, "log.level"),
    ("[log]\nlevel\n", 2, 1, "key = value"),
    ("[log\nlevel = info\n", 1, 1, "unterminated"),
    ("[" + "x" * 60 + "]\na = b\n", 1, 1, "longer than"),
    ("[web] allow_networks = 10.0.0.0/8\n", 1, 7, "after the section header"),
    ("[web]allow_networks = 10.0.0.0/8\n", 1, 6, "after the section header"),
    ("[endpoint b]\tpath = /b\nupstream = http://b/\npath = /b\n", 1, 14, "after the section header"),
    ("[web]; no comment\n", 1, 6, "after the section header"),
    ("[web] # no comment\n", 1, 7, "after the section header"),
    ("[log]\nlevel = info\nformat = json\nlevel = warn\n", 4, 1, "duplicate.*line 4"),
    ("[log]\n" + "\n" * 300 + "levl = info\n", 302, 1, "levl"),
    ("timeout = soon\n", 1, 11, "soon.*10s"),
    ("timeout = 10\n", 1, 11, "10s"),
    ("timeout = -1s\n", 1, 11, "duration"),
    ("timeout = 1.5s\n", 1, 11, "duration"),
    ("timeout = 10s later\n", 1, 11, "duration"),
    ("timeout = 99999999999h\n", 1, 11, "duration"),
    ("timeout =\n", 1, 10, "duration"),
    ("timeout = 0s\n", 1, 11, "timeout"),
    ("max_body = big\n", 1, 12, "big.*MiB"),
    ("max_body = 1MiBB\n", 1, 12, "size"),
    ("max_body = -1\n", 1, 12, "size"),
    ("max_body = 99999999999GiB\n", 1, 12, "size"),
    ("max_line = 1\n", 1, 12, "max_line"),
    ("max_line = 1GiB\n", 1, 12, "max_line"),
    ("strict_close = maybe\n", 1, 16, "maybe.*true"),
    ("path = metrics\n", 1, 8, "/metrics"),
    ("path = /a?b\n", 1, 8, "path"),
    ("path =\n", 1, 7, "path"),
    ("timestamps = snapshot\n", 1, 14, "max_age"),
    ("timestamps = on\n", 1, 14, "off.*snapshot"),
    ("upstream = http://b/\n", 1, 1, "duplicate"),
    ("path = /a # b\n", 1, 8, "path"),
    ("[endpoint b]\nupstream = 127.0.0.1:80\npath = /b\n", 2, 12, "http://"),
    ("[endpoint b]\nupstream = ftp://a/b\npath = /b\n", 2, 12, "http://"),
    ("[endpoint b]\nupstream = http://\npath = /b\n", 2, 12, "http://"),
    ("[endpoint b]\nupstream = http://user:x@b/\npath = /b\n", 2, 12, "credentials"),
    ("[endpoint b]\nupstream = unix:/a\npath = /b\n", 2, 12, "unix:/"),
    ("[endpoint b]\nupstream = unix:a:/b\npath = /b\n", 2, 12, "unix:/"),
    ("[endpoint b]\nupstream = http://b/\npath = /metrics\n", 3, 8, r"\[endpoint app\]"),
    ("[endpoint b]\nupstream = http://b/\n", 1, 2, r"\[endpoint app\]"),
    ("[endpoint b]\npath = /b\n", 1, 2, "upstream"),
    ("[endpoint b]\n", 1, 2, "upstream"),
    ("[sharding]\nshard_param = shard_count\n", 2, 15, "shard_param"),
    ("[sharding]\nshard_param = a b\n", 2, 15, "shard_param"),
    ("[sharding]\nkey = nonsense\n", 2, 7, "nonsense.*family"),
    ("[sharding]\nshard_count = 0\n", 2, 15, "number of shards.*1 to 65536"),
    ("[sharding]\nshard_count = off\n", 2, 15, "number of shards.*1 to 65536"),
    ("[sharding]\nshard_count = 3\nreshard_to = 65537\n", 3, 14, "number of shards.*1 to 65536"),
    ("[sharding]\nreshard_to = 5\n", 2, 14, "needs shard_count"),
    ("[sharding]\nreshard_to = 5\nshard_count = 5\n", 2, 14, "is shard_count already"),
    *((f"host_header = {host}\n", 1, 15, "not a valid Host header.*app.example.com") for host in (
        "http://a", "a/b", "a b", "a,b", "a:", ":80", "a:0", "a:65536", "a:8o", "a:1:2", "[::1", "[a]", "[::1]x", "a@b", "é",
        "fd00::1", "a?b", "a#b", '""')),
    ("x" * 129 + " = a\n", 1, 1, "key longer than"),
    ("; " + "x" * 4000 + "\n" + "x" * 128 + " = a\n", 2, 1, "unknown key x"),
    ("[rules]\nkeep = " + "x" * 4000 + "(\n", 2, 4009, "missing closing parenthesis"),
    ('[rules]\nkeep = "' + ' ; ""' * 1000 + '("\n', 2, 5010, "missing closing parenthesis"),
    ("[sharding]\nsource_labels = " + "label, " * 600 + "b-c\n", 2, 4217, "b-c.*label name"),
    ("max_age" + " " * 4000 + "= soon\n", 1, 4010, "duration"),
    ("max_age =" + " " * 4000 + "soon\n", 1, 4010, "duration"),
    ("\r[endpoint x]\n", 1, 1, "control"),
    ("\v[endpoint x]=\n", 1, 1, "control"),
    ("timeout = 1s\0\n", 1, 13, "NUL"),
    ("# a\0b\n", 1, 4, "NUL"),
    ("[web]\nlisten_address = 19480\n", 2, 18, "listen_address"),
    ("[web]\nlisten_address = unix:relative\n", 2, 18, "listen_address"),
    ("[web]\nlisten_address = 127.0.0.1:99999\n", 2, 18, "listen_address"),
    ("[web]\nlisten_address = off\n", 2, 18, "off.*:PORT"),
    ("[web]\nlisten_address = :80\nlisten_address = :80\n", 3, 18, "duplicate listen_address :80"),
    ("[web]\nlisten_address = systemd:a\nlisten_address = \"systemd:a\"\n", 3, 19, "duplicate listen_address systemd:a"),
    ("[admin]\nlisten_address = :80\n[web]\nlisten_address = :80\n", 2, 18, r"\[web\]"),
    ("[web]\nlisten_address = systemd:0\n[admin]\nlisten_address = systemd:0\n", 4, 18, r"\[web\]"),
    ("[web]\nlisten_address = :80\nlisten_address = 127.0.0.1:19481\n", 3, 18, r"\[web\]"),
    ("[admin]\nlisten_address = nonsense\n", 2, 18, "listen_address"),
    ('[log]\nlevel = "info\n', 2, 9, "quotes"),
    ('[log]\nlevel = "info" x\n', 2, 9, "quotes"),
    ("max_series = many\n", 1, 14, "count"),
    ("max_families = 1k\n", 1, 16, "count"),
    ("[sharding]\nkey = labels\n", 2, 7, "source_labels"),
    ("[rules]\ndrop = a|(b\n", 2, 12, "missing closing parenthesis"),
    ("[rules]\nkeep = x\nkeep = \"y ; [\"\n", 3, 14, "missing terminating ]"),
    ("[rules]\ncolocate = job_.*\n", 2, 12, "group"),
    ("[rules]\ncolocate = my group: job_.*\n", 2, 14, "name of letters"),
    ("[rules]\ncolocate = \": job_.*\"\n", 2, 13, "name of letters"),
    ("[rules]\ncolocate = jöbs: job_.*\n", 2, 13, "name of letters"),
    ("[rules]\ncolocate = jobs: a|(b\n", 2, 22, "missing closing parenthesis"),
    ("[rules]\ncolocate = \"jobs: \"\n", 2, 19, "after the group"),
    ("[rules]\nsplit = ab\\C\n", 2, 13, "is disabled"),
    ("[rules]\ncolocate = " + "(a)" * 17 + "\n", 2, 12, "16 capture groups"),
    ("[sharding]\nseparator = ;\n", 2, 13, r'empty.*";"'),
    ("[sharding]\nseparator =\n", 2, 12, r'empty.*";"'),
    ("[sharding]\nsource_labels =\n", 2, 16, "empty label name"),
    ("[sharding]\nsource_labels = a, b-c, d\n", 2, 20, "b-c.*quotes"),
    ("[sharding]\nsource_labels = a,,b\n", 2, 19, "empty label name"),
    ("[sharding]\nsource_labels = a, b ,\n", 2, 23, "empty label name"),
    ('[sharding]\nsource_labels = "a", ""\n', 2, 22, "empty label name"),
    ('[sharding]\nsource_labels = "a ; b, c\n', 2, 17, "quotes"),
    ('[sharding]\nsource_labels = a, "b" c\n', 2, 20, "quotes"),
    ("[sharding]\nsource_labels = 1a\n", 2, 17, "1a"),
    ("[rules]\nkeep = a.*\nkeep =\n", 3, 7, "empty"),
    ('[rules]\n\tdrop = ""\n', 2, 10, "empty"),
    ("[rules]\nsplit = ; all of them\n", 2, 9, "empty"),
]


@pytest.mark.parametrize("text, line, column, reason", BAD_LINES, ids=[repr(b[0])[:50] for b in BAD_LINES])
def test_names_the_place(config, text, line, column, reason):
    path = config(APP + text)
    status, out, err = run("check", path)
    assert (status, out) == (1, ""), err
    assert re.search(rf"(?m)^{re.escape(path)}:{line + 2}:{column}: .*{reason}", err), err


def test_ports_that_the_kernel_chooses(config):
    """Each asks the kernel for a port of its own."""
    listen = "listen_address = 127.0.0.1:0\n"
    assert run("check", config(APP + "[web]\n" + listen + listen + "[admin]\n" + listen))[0] == 0


@pytest.mark.parametrize("name", [b"a\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xc3"])
def test_endpoint_name_that_is_not_utf8(config, name):
    """Its metric labels could equal those of another."""
    path = config(APP.encode() + b"[endpoint " + name + b"]\npath = /b\nupstream = http://b/\n")
    status, _, err = run("check", path, errors="replace")
    assert status == 1 and err.startswith(f"{path}:3:2: endpoint name is not valid UTF-8\n") and err.count("\n") == 3
    status, _, err = run("check", "--set", b"endpoint." + name + b".path=/b", config(APP), errors="replace")
    assert status == 2 and "is not a valid endpoint name (expected at most 39 bytes of UTF-8 without ])" in err
    assert run("check", config(APP + "[endpoint été]\npath = /b\nupstream = http://b/\n"))[0] == 0


def test_finds_every_error(config):
    """No error hides another."""
    path = config("[endpoint app]\nupstream = http://a/\ntimeout = soon\nmax_body = big\n[log]\nlevl = 1\nlevel = 2\n"
                  "junk\n[nonsense]\na = b\n")
    status, _, err = run("check", path)
    assert status == 1
    assert re.findall(rf"(?m)^{re.escape(path)}:(\d+:\d+):", err) == ["3:11", "4:12", "6:1", "7:9", "8:1", "9:2"]


@pytest.mark.parametrize("value", ["x" * 4000, " ;=[]" * 800, "a = b" * 800, "é" * 2000], ids=["x", "marks", "pairs", "é"])
def test_long_line(config, value):
    """inih's line buffer has 200 bytes: nothing is lost, and no part of the line is taken for another one."""
    quoted = '"' + value + '"'
    path = config(APP + f"default_content_type = {quoted} ; {'comment ' * 500}\n[log]\nlevel = warn\n")
    status, printed, err = run("check", "--print", path)
    assert (status, err) == (0, "")
    shown = quoted if " ;" in value else value
    assert f"\ndefault_content_type = {shown}\n" in printed and "\nlevel = warn\n" in printed
    assert again(config, printed) == printed


@pytest.mark.parametrize("path, reason", [("/nowhere/at.all", "No such file"), ("/", "directory")])
def test_unreadable(path, reason):
    """No other error is reported: what seems missing may be in it."""
    status, out, err = run("check", path)
    assert (status, out) == (1, "")
    assert path in err and reason in err and err.count("\n") == 1


def test_empty(config):
    status, _, err = run("check", config(""))
    assert status == 1 and "upstream" in err


def test_with_a_flag(config):
    path = config(APP)
    assert run("check", "--set", "endpoint.app.timeout=3s", path)[0] == 0
    status, _, err = run("check", "--set", "endpoint.app.timeout=soon", path)
    assert status == 2 and re.match("--set endpoint.app.timeout: ", err)


# Whole messages.

GOLDEN = {
    "key": (APP + "  tiemout = 3s\n", """\
FILE:3:3: unknown key tiemout in [endpoint app] (did you mean timeout?)
      tiemout = 3s
      ^
"""),
    "key in capitals": (APP + "[log]\nLEVEL = info\n", """\
FILE:4:1: unknown key LEVEL in [log] (did you mean level?)
    LEVEL = info
    ^
"""),
    "key of another section": (APP + "[log]\nmax_age = 3s\n", """\
FILE:4:1: unknown key max_age in [log] (max_age belongs in [endpoint NAME])
    max_age = 3s
    ^
"""),
    "key of two other sections": (APP + "listen_address = :80\n", """\
FILE:3:1: unknown key listen_address in [endpoint app] (listen_address belongs in [web] or [admin])
    listen_address = :80
    ^
"""),
    "key like none": (APP + "[log]\nverbosity = 3\n", """\
FILE:4:1: unknown key verbosity in [log] (expected level, format)
    verbosity = 3
    ^
"""),
    "key like none because it is long": (APP + "[log]\n" + "level" * 12 + " = 3\n", f"""\
FILE:4:1: unknown key {"level" * 12} in [log] (expected level, format)
    {"level" * 12} = 3
    ^
"""),
    "section": (APP + " [shardign]\nkey = family\n", """\
FILE:3:3: unknown section [shardign] (did you mean [sharding]?)
     [shardign]
      ^
"""),
    "after a section header, which counts all the same": (APP + "[log] format = json\nlevel = info\n", """\
FILE:3:7: unexpected text after the section header
    [log] format = json
          ^
"""),
    "endpoint": (APP + "[endpiont b]\n", """\
FILE:3:2: unknown section [endpiont b] (did you mean [endpoint NAME]?)
    [endpiont b]
     ^
"""),
    "value after tabs": (APP + "\ttimeout\t=\tsoon\t; a comment\n", """\
FILE:3:12: endpoint.timeout: "soon" is not a valid duration (expected e.g. 10s or 1m30s)
     timeout = soon ; a comment
               ^
"""),
    "value with a colon": (APP + "timeout:soon\n", """\
FILE:3:9: endpoint.timeout: "soon" is not a valid duration (expected e.g. 10s or 1m30s)
    timeout:soon
            ^
"""),
    "after a byte order mark": ("\ufefflevel = info\n" + APP, """\
FILE:1:4: key level before any section (expected [section] first)
    level = info
    ^
"""),
    "no last newline": (APP + "timeout = soon", """\
FILE:3:11: endpoint.timeout: "soon" is not a valid duration (expected e.g. 10s or 1m30s)
    timeout = soon
              ^
"""),
    "after letters of two bytes": (APP + '[sharding]\nsource_labels = "é", été\n', """\
FILE:4:23: sharding.source_labels: "été" is not a valid label name (expected only letters, digits and _, or a name \
in double quotes)
    source_labels = "é", été
                         ^
"""),
    "separator taken for a comment": (APP + "[sharding]\nseparator = ;\n", """\
FILE:4:13: sharding.separator: "" is empty, since " ;" starts a comment (expected ";" in double quotes, or "" for none)
    separator = ;
                ^
"""),
    "pattern": (APP + "[rules]\nkeep = a\nkeep = \n", """\
FILE:5:8: rules.keep: the pattern is empty, expected a regular expression such as http_.*
    keep = 
           ^
"""),
    "found late": (APP + "[endpoint b]\npath = /metrics\nmax_body = 10B\n", """\
FILE:3:2: missing upstream (expected e.g. upstream = http://HOST:PORT/PATH)
    [endpoint b]
     ^
FILE:4:8: path /metrics is already used by [endpoint app]
    path = /metrics
           ^
FILE:5:12: max_line is out of range (expected 64B to max_body)
    max_body = 10B
               ^
"""),
    "long line": (APP + "[rules]\nkeep = " + "é" * 2000 + "(\n", f"""\
FILE:4:4009: rules.keep: missing closing parenthesis
    ...{"é" * 34}(
       {" " * 35}^
"""),
    "control character": (APP + "path = /\x1b[2J\n", """\
FILE:3:9: unexpected control character
    path = /?[2J
            ^
"""),
    "nowhere": ("", """\
no upstream (expected --upstream.url=URL or an [endpoint NAME] section)
"""),
}


@pytest.mark.parametrize("text, message", GOLDEN.values(), ids=GOLDEN)
def test_whole_message(config, text, message):
    path = config(text)
    assert run("check", path) == (1, "", message.replace("FILE", path))


@pytest.mark.parametrize("flag, message", [
    ("log.levle=info", "unknown key levle in [log] (did you mean level?)"),
    ("log.timeout=3s", "unknown key timeout in [log] (timeout belongs in [endpoint NAME])"),
    ("endpoint.app.tiemout=3s", "unknown key tiemout in [endpoint NAME] (did you mean timeout?)"),
    ("lgo.level=info", "unknown section [lgo] (did you mean [log]?)"),
    ("log.a.level=info", "unknown setting log.a.level (expected section.key or endpoint.NAME.key)"),
    ("endpoint.a]b.path=/x", '"a]b" is not a valid endpoint name (expected at most 39 bytes of UTF-8 without ])'),
    (f"endpoint.{40 * 'a'}.path=/x", f'"{40 * "a"}" is not a valid endpoint name (expected at most 39 bytes of UTF-8 without ])'),
    ("endpoint.app.default_content_type=a\nb: c", "unexpected control character"),
    ("rules.keep=", "rules.keep: the pattern is empty, expected a regular expression such as http_.*"),
    ("sharding.source_labels=a,b-c", 'sharding.source_labels: "b-c" is not a valid label name (expected only letters, '
                                     'digits and _, or a name in double quotes)'),
    ("endpoint.app.max_body=10", "max_line is out of range (expected 64B to max_body)"),
])
def test_flag_has_no_line(config, flag, message):
    name = flag.partition("=")[0]
    assert run("check", "--set", flag, config(APP)) == (2, "", f"--set {name}: {message}\n")


@pytest.mark.parametrize("tool", [
    ["split", "--shard=0", "--shard-count=2"], ["plan", "--shard-count=2"], ["explain", "--shard-count=2"],
    ["verify", "--shard-count=2"],
], ids=lambda tool: tool[0])
def test_exit_code_says_where_the_error_is(config, tool):
    """2: in the command line. 1: in a file."""
    of = {"explain": "up", "verify": "http://127.0.0.1:1/metrics"}.get(tool[0], "/dev/null")
    bad, good = ["--set", "sharding.key=nonsense"], ["--set", "sharding.key=name"]
    status, out, err = run(*tool, *bad, of)
    assert (status, out) == (2, "") and err.startswith("--set sharding.key: ")
    assert run(*tool, "--set", "sharding.key=labels", of)[0] == 2
    file = [f"--config.file={config(APP)}"]
    assert run(*tool, *file, *bad, of)[0] == 2
    config(APP + "[sharding]\nhash = nonsense\n")
    assert run(*tool, *file, *good, of)[0] == 1
    assert run(*tool, *file, *bad, of)[0] == 1
    assert run(*tool, "--config.file=/nowhere/at.all", *good, of)[0] == 1


@pytest.mark.parametrize("line", [
    "upstream = http://user:topsecret@a/", "upsteam = http://user:topsecret@a/", "path = http://user:topsecret@a/",
    "max_age = 1x ; http://user:topsecret@a/", "timeout = user:topsecret@a", "[http://user:topsecret@a/",
    "upstream = http://user:topsecret@b@a/", "upstream = http://user:topsecret x@a/", "upstream = user:topsecret x@a/",
])
def test_credentials_are_not_shown(config, line):
    err = run("check", config("[endpoint app]\n" + line + "\n"))[2]
    assert ":2:" in err and "*@a" in err and "topsecret" not in err


@pytest.mark.parametrize("line", [
    "upstream = htp://a/m?token=topsecret", "upstream = http://a/m?token=x topsecret", "upstream = unix:/a?t=topsecret",
    "upsteam = http://a/m?token=topsecret", "path = /m?token=topsecret", "upstream = http://a/m?token=@topsecret x",
    "upstream = htp://user:top?topsecret@a/",
])
def test_queries_are_not_shown(config, line):
    err = run("check", config("[endpoint app]\n" + line + "\n"))[2]
    assert ":2:" in err and "***" in err and "topsecret" not in err


def test_only_queries_are_hidden(config):
    err = run("check", config(APP + "[rules]\ndrop = http?_a|(b\n"))[2]
    assert "\n    drop = http?_a|(b\n" in err


SUFFIXED = ["h_bucket", ".*_(bucket|sum|count)", "h_sum|(?:g|h)_count$", "a: h_count", "((x|y)_bucket|z_sum)", "[^_]+_sum",
            r"h\(_bucket"]
NOT_SUFFIXED = ["h", "h_bucket|h", "h(_bucket)?", "h_(bucket|total)", "h_.*", ".*", "h_bucke[t]", "h_buckets?", "(?!x)h_sum|h",
                "h_sum.", r"h_sum\$", "h_(?=sum)", "h_total", "sum", "h|[(]_sum|[]x]", "_count_x"]


def test_warns_of_rules_that_some_formats_do_not_honour(config):
    """They match samples that a histogram or summary does not have in protobuf and OpenMetrics 2.0."""
    lines = ["[endpoint app]", "upstream = http://a", "[rules]",
             *(f"drop = {pattern}" for pattern in [*SUFFIXED, *NOT_SUFFIXED]), "colocate = a: x_sum|y_count", "keep = h_sum"]
    path = config("\n".join(lines) + "\n")
    status, out, err = run("check", path)
    assert status == 0 and "no errors" in out
    warned = [int(n) for n in re.findall(rf"^{re.escape(str(path))}:(\d+):\d+: warning: rules\.", err, re.M)]
    assert [lines[n - 1] for n in warned] == ["keep = h_sum", *(f"drop = {pattern}" for pattern in SUFFIXED),
                                              "colocate = a: x_sum|y_count"]
    assert "    drop = h_bucket\n           ^\n" in err
    # Where the key rules these formats out, nothing is to be said, nor by another command.
    assert run("check", "--set=sharding.key=name", path)[2] == ""
    assert run("explain", "--shard-count=2", f"--config.file={path}", "up")[2] == ""
    assert "rules.drop: warning" not in err
    assert re.search(r"^--set rules.drop: warning: ", run("check", "--set=rules.drop=h_sum", path)[2], re.M)


def test_standard_input():
    status, out, err = run("check", "-", input=APP)
    assert (status, err) == (0, "") and "1 endpoint" in out
    assert run("check", "-", input="junk\n")[2].startswith("/dev/stdin:1:1: expected [section] or key = value")


# --print.


def test_print_writes_the_defaults(config):
    """The same as the full file in conf/."""
    status, printed, err = run("check", "--print", config("[endpoint app]\nupstream = http://127.0.0.1:8080/metrics\n"))
    assert (status, err) == (0, "")
    full = [line for line in (ROOT / "conf/scrapeshard.ini").read_text().splitlines() if line and line[0] != ";"]
    assert [line for line in printed.splitlines() if line and line[0] != ";"] == full
    empty = ["source_labels", "keep", "drop", "replicate", "colocate", "split"]
    assert re.findall(r"(?m)^; (\w+) =$", printed) == empty


def test_print_writes_the_file(config):
    status, printed, err = run("check", "--print", config(GOOD_FILE))
    assert (status, err) == (0, "")
    assert printed == GOOD_PRINTED


def again(config, printed):
    """--print of a printed file."""
    status, out, err = run("check", "--print", config(printed))
    assert (status, err) == (0, "")
    return out


@pytest.mark.parametrize("given, shown", [("", "; timeout = 10s"), ("timeout = 10s\n", "timeout = 10s")])
def test_print_keeps_whether_the_timeout_was_set(config, given, shown):
    """If set, even to the default, it caps the timeout that a scraper sends."""
    printed = run("check", "--print", config("[endpoint app]\nupstream = http://127.0.0.1:8080/metrics\n" + given))[1]
    assert f"\n{shown}\n" in printed and again(config, printed) == printed


def test_print_is_a_file(config):
    assert again(config, GOOD_PRINTED) == GOOD_PRINTED


VALUES = ["a", "a b", " a", "a ", "a ; b", "a\t; b", ";a", ";", '"', 'a"b', '"a"', '""', '" ; "', "\\\\", "# a", "[a]",
          "a = b", "é ; ü", "'a ; b'", '\\" ;""', "a" * 4000, ' ;"' * 1000]


@pytest.mark.parametrize("setting, value", [(s, v) for v in VALUES for s in (
    "endpoint.app.default_content_type", "sharding.separator", "sharding.source_labels", "rules.keep")])
def test_print_of_any_value(config, setting, value):
    """A flag accepts what a file accepts, quotes included; what is printed reads back as the same value."""
    quoted = '"' + value.replace('"', '""') + '"'
    status, printed, err = run("check", "--print", "--set", f"{setting}={quoted}", config(APP))
    assert (status, err) == (0, "")
    key = setting.rpartition(".")[2]
    line = next(line for line in printed.splitlines() if line.startswith(key + " = ") or line.startswith(key + "="))
    shown = line.partition("=")[2].strip()
    assert shown in (value, quoted)
    assert again(config, printed) == printed


def test_print_includes_flags(config):
    path = config(APP + "[rules]\nkeep = a\nkeep = b\ndrop = c\n")
    flags = ["--set", "rules.keep=x", "--set", "rules.keep=y", "--set", "log.level=warn"]
    printed = run("check", "--print", *flags, path)[1]
    assert re.findall(r"(?m)^(\w+) = (\w+)$", printed.partition("[rules]")[2]) == [
        ("keep", "x"), ("keep", "y"), ("drop", "c"), ("sandbox", "on"), ("watch_files", "on"),
        ("level", "warn"), ("format", "logfmt")]


@pytest.mark.parametrize("given, shown", [
    ("timeout = 90000ms", "1m30s"), ("timeout = 3601s1ms", "1h1s1ms"), ("timeout = 24h", "24h"),
    ("timeout = 1ms", "1ms"),
    ("max_age = 0", "0s"), ("max_body = 268435456", "256MiB"), ("max_body = 1500000", "1500kB"),
    ("max_body = 3GiB1", "3221225473B"), ("max_body = 2GB", "2GB"), ("max_line = 64", "64B"), ("max_series = 007", "7"),
    ("strict_close = 0", "false"),
])
def test_print_units(config, given, shown):
    printed = run("check", "--print", config(APP + given + "\n"))[1]
    assert f"\n{given.partition('=')[0]}= {shown}\n" in printed
    assert again(config, printed) == printed


def test_print_writes_nothing_after_an_error(config):
    status, out, err = run("check", "--print", config(APP + "timeout = soon\n"))
    assert (status, out) == (1, "") and ":3:11: " in err
