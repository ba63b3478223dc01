# SPDX-License-Identifier: Apache-2.0
"""scrapeshard verify: it passes real sidecars, and finds what is wrong with broken ones, which are real sockets too."""
import itertools
import json
import math
import re
import shlex
import subprocess
import threading
import time

import pytest
from conftest import BINARY, OPENMETRICS, ROOT, SLOW, TEXT, answer, answering, run
from exposition import PROTOBUF, gauge_family, protobuf_shard, shard_of, text_shard
from pki import Authority
from test_captured import CAPTURED, CASES
from tools import complaints

FORMATS = {TEXT: "text", PROTOBUF: "protobuf"}


def verify(count, url, *args):
    """(exit status, what verify --json says)."""
    done = subprocess.run([BINARY, "verify", f"--shard-count={count}", "--json", *args, url], capture_output=True,
                          text=True, timeout=60 * SLOW, check=False)
    assert complaints(done.stderr) == "" and done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def right(count, url, *args):
    """What verify says, which has nothing to complain of."""
    status, v = verify(count, url, *args)
    assert (status, v["right"], v["mistakes"], v["first_mistakes"]) == (0, True, 0, [])
    return v


def wrong(count, url, *args):
    """[(mistake, series or metadata, shard or shards, other shard)] of what verify finds."""
    status, v = verify(count, url, *args)
    assert (status, v["right"]) == (1, False)
    assert v["mistakes"] >= len(v["first_mistakes"]) > 0
    return [(m["mistake"], m.get("series", m.get("metadata")), m.get("shard", m.get("shards")), m.get("other_shard"))
            for m in v["first_mistakes"]]


# Real sidecars.


@pytest.mark.parametrize("count", [1, 3, 80])
@pytest.mark.parametrize("accept", FORMATS)
def test_node_exporter(sidecar, node_exporter, count, accept):
    s = sidecar(node_exporter)
    v = right(count, f"http://127.0.0.1:{s.port}/metrics", f"--accept={accept}")
    assert v["format"] == FORMATS[accept]
    assert v["samples_before"] > 100 and v["samples_in_shards"] == pytest.approx(v["samples_before"], rel=0.2)
    assert v["replicated_series"] == v["dropped_series"] == 0


def test_node_exporter_for_a_person(sidecar, node_exporter):
    s = sidecar(node_exporter)
    status, out, err = run("verify", "--shard-count=5", f"http://127.0.0.1:{s.port}/metrics")
    assert (status, complaints(err)) == (0, "")
    assert "Right: the shards are the whole, and they are disjoint.\n" in out


def content_type(name):
    args = shlex.split((CASES / f"{name}.args").read_text())
    return next((a.partition("=")[2] for a in args if a.startswith("--content-type")), TEXT)


CRAFTED = ["text-mixed-0of3", "utf8-list", "openmetrics-0of2", "cr", "protobuf-node-1of3"]
SHARDINGS = ["", "[sharding]\nkey = labels\nsource_labels = __name__, id\nhash = md5\n",
             "[sharding]\nkey = labels\nsource_labels = id, code, cpu, job\n",
             "[sharding]\nkey = declared\nplacement = jump\nshard_param = s\nshard_count_param = n\n",
             "[rules]\nsplit = .*\n", "[rules]\nreplicate = go_.*|process_.*\ndrop = .*a.*\ncolocate = ([a-z]+)_.*\n",
             "[rules]\ncolocate = g-1: go_.*|process_c.*\ncolocate = g-1: http_.*|process_r.*\n"]


@pytest.mark.parametrize("name", CAPTURED + CRAFTED)
@pytest.mark.parametrize("sharding", SHARDINGS)
def test_bodies_through_a_real_sidecar(sidecar, upstream, config, name, sharding):
    """With the configuration, each series is even in the very shard it ought to be."""
    if "protobuf" in name and "__name__" in sharding:
        pytest.skip("this key takes protobuf out of the Accept")
    service = upstream(answering(answer((CASES / f"{name}.in").read_bytes(), content_type(name))))
    file = config(f"[endpoint a]\nupstream = {service.url}\n{sharding}")
    s = sidecar(config=file)
    for count in 2, 7:
        url = f"http://127.0.0.1:{s.port}/metrics"
        v = right(count, url, f"--config.file={file}")
        if not sharding:
            assert v["samples_before"] == v["samples_in_shards"] > 0
            assert right(count, url) == v


def test_that_groups_meet_is_proved(sidecar, upstream, config):
    """Against a sidecar that does not know the group, its families are misplaced."""
    service = upstream(answering(answer(b"aa 1\nbb 1\ncc 1\ndd 1\n", TEXT)))
    plain = config(f"[endpoint a]\nupstream = {service.url}\n")
    s = sidecar(config=plain)
    url = f"http://127.0.0.1:{s.port}/metrics"
    assert right(7, url, f"--config.file={plain}")
    grouped = config(f"[endpoint a]\nupstream = {service.url}\n[rules]\ncolocate = g: aa|bb|cc|dd\n")
    status, out, _ = run("verify", "--shard-count=7", f"--config.file={grouped}", url)
    assert status == 1 and "misplaced" in out


RULED = b"""# HELP build_info a
# TYPE build_info gauge
build_info{version="1"} 1
# TYPE unwanted counter
unwanted_total{a="1"} 1
unwanted_total{a="2"} 1
# TYPE wanted gauge
wanted{a="1"} 1
wanted{a="2"} 2
wanted{a="3"} 2
# HELP other b
other 1
"""
RULES = "[rules]\nreplicate = build_info\ndrop = unwanted.*\n"


@pytest.fixture
def ruled(sidecar, upstream, config):
    """A sidecar with rules: (its URL, the flag of its configuration, the service's URL)."""
    service = upstream(answering(answer(RULED)))
    file = config(f"[endpoint a]\nupstream = {service.url}\n{RULES}")
    return f"http://127.0.0.1:{sidecar(config=file).port}/metrics", f"--config.file={file}", service.url


def test_replicated_and_dropped_families_are_accounted_for(ruled):
    url, config_flag, service = ruled
    v = right(3, url, config_flag, f"--whole={service}")
    assert (v["replicated_series"], v["replicated_families"]) == (1, ["build_info"])
    assert (v["dropped_series"], v["dropped_families"]) == (2, ["unwanted_total"])
    assert (v["samples_before"], v["samples_in_shards"]) == (7, 3 + 4)
    status, out, _ = run("verify", "--shard-count=3", config_flag, f"--whole={service}", url)
    assert status == 0 and "in every shard: 1 series of build_info\ndropped: 2 series of unwanted_total\n" in out


def test_rules_that_nobody_told_of(ruled):
    """What is in every shard is replicated; what the service has and no shard has is lost."""
    url, _, service = ruled
    v = right(3, url)
    assert v["replicated_families"] == ["build_info"] and v["dropped_series"] == 0
    # Under text, the TYPE of unwanted stands for no sample.
    assert wrong(3, url, f"--whole={service}") == [
        ("lost", 'unwanted_total{a="1"}', None, None), ("lost", 'unwanted_total{a="2"}', None, None),
        ("lost", "TYPE of unwanted", None, None)]
    status, out, _ = run("verify", "--shard-count=3", f"--whole={service}", url)
    assert status == 1 and "--config.file=FILE tells of them" in out


def test_a_configuration_that_is_not_the_sidecars(ruled, sidecar):
    """The rules are asked for, and a sidecar without them is found out."""
    _, config_flag, service = ruled
    url = f"http://127.0.0.1:{sidecar(service).port}/metrics"
    found = wrong(3, url, config_flag)
    home = shard_of("build_info", 3)
    assert ("not_replicated", 'build_info{version="1"}', 1, None) in found
    assert ("undropped", 'unwanted_total{a="1"}', shard_of("unwanted", 3), None) in found
    assert wrong(3, url, "--set=sharding.hash=md5")[0][0] == "misplaced"
    misplaced = dict((m[1], m[2:]) for m in wrong(3, url, "--set=sharding.key=name", "--set=sharding.hash=md5"))
    assert all(shard != other for shard, other in misplaced.values())
    assert home == shard_of("build", 3)


def test_a_key_that_nobody_told_of_tears_families(sidecar, upstream):
    service = upstream(answering(answer(RULED)))
    url = f"http://127.0.0.1:{sidecar(service.url, '--set=rules.split=wanted').port}/metrics"
    (mistake, series, shard, other), = wrong(8, url)
    assert mistake == "family_split" and series.startswith("wanted{") and shard != other
    right(8, url, "--set=rules.split=wanted")


def test_require_shard_is_said(sidecar, upstream):
    url = f"http://127.0.0.1:{sidecar(upstream(answering(answer(RULED))).url, '--set=sharding.require_shard=on').port}/metrics"
    status, out, err = run("verify", "--shard-count=3", url)
    assert (status, out) == (1, "") and "the whole: it answers 400: " in err
    right(3, url, f"--whole={url}?shard=0-2&shard_count=3")


# Broken ones.


BODY = b"""# HELP http_seconds How long.
# TYPE http_seconds histogram
http_seconds_bucket{path="/a",le="1"} 1
http_seconds_bucket{path="/a",le="+Inf"} 2
http_seconds_sum{path="/a"} 3
http_seconds_count{path="/a"} 2
# TYPE memory_bytes gauge
memory_bytes{kind="a \\"b\\"\\n\\\\",zone="1"} 5
memory_bytes{kind="c",zone="2"} 5
# HELP lonely Nothing.
# TYPE up gauge
up 1
"""
N = 4
HTTP, MEMORY, UP, LONELY = (shard_of(name, N) for name in ("http_seconds", "memory_bytes", "up", "lonely"))
MEMORY_A = r'memory_bytes{kind="a \"b\"\n\\",zone="1"}'


def shard_in(head):
    """The shard that a request asks for, or None."""
    found = re.match(rb"GET \S*[?&]shard=(\d+)&shard_count=4 ", head)
    assert found or b"shard" not in head.split(b"\r\n")[0]
    return int(found[1]) if found else None


@pytest.fixture
def broken(upstream):
    """broken(change) starts a sidecar that changes what it ought to answer: change(shard, body) gives the body, or bytes
    of an answer that begins with HTTP; shard is None for the whole."""
    def start(change, body=BODY, kind=TEXT, part=text_shard):
        def serve(service, connection):
            while head := service.read_request(connection):
                shard = shard_in(head)
                changed = change(shard, body if shard is None else part(body, shard, N))
                connection.sendall(changed if changed.startswith(b"HTTP/") else answer(changed, kind))
                if b"Connection: close" in changed:
                    return
        return upstream(serve)
    return start


def without(line):
    """A line is in no shard."""
    assert line in BODY
    return lambda shard, body: body if shard is None else body.replace(line, b"")


def with_more(where, line):
    return lambda shard, body: body + line if shard == where else body


def test_nothing_is_broken(broken):
    """One connection serves for all, and the wholes are asked for around the shards."""
    service = broken(lambda shard, body: body)
    v = right(N, service.url)
    assert v["samples_before"] == v["samples_after"] == v["samples_in_shards"] == 7
    assert service.connections == 1
    assert [shard_in(head) for head in service.requests] == [None, 0, 1, 2, 3, None]


def test_a_lost_series(broken):
    assert wrong(N, broken(without(b'memory_bytes{kind="a \\"b\\"\\n\\\\",zone="1"} 5\n')).url) == [
        ("lost", MEMORY_A, None, None)]


def test_a_lost_family(broken):
    """Its metadata are lost too."""
    found = wrong(N, broken(without(b"# TYPE up gauge\nup 1\n")).url)
    assert found == [("lost", "up", None, None), ("lost", "TYPE of up", None, None)]


def test_a_short_shard(broken):
    """All of a shard behind some byte is gone, and its length tells nothing."""
    found = wrong(N, broken(lambda shard, body: body[:body.index(b"http_seconds_sum")] if shard == HTTP else body).url)
    assert [f for f in found if f[1].startswith("http_")] == [("lost", 'http_seconds_sum{path="/a"}', None, None),
                                                             ("lost", 'http_seconds_count{path="/a"}', None, None)]


def test_a_doubled_series(broken):
    other = (UP + 1) % N
    found = wrong(N, broken(with_more(other, b"# TYPE up gauge\nup 1\n")).url)
    assert found == [("doubled", "up", *sorted([UP, other]))]


def test_a_series_twice_in_its_shard(broken):
    assert wrong(N, broken(with_more(UP, b"up 1\n")).url) == [("repeated", "up", UP, None)]


def test_a_series_in_every_shard_is_replicated(broken):
    v = right(N, broken(lambda shard, body: body if shard in (None, UP) else body + b"# TYPE up gauge\nup 1\n").url)
    assert v["replicated_families"] == ["up"]


def test_a_torn_family(broken):
    """A histogram without its sum, which is in the next shard."""
    line, other = b'http_seconds_sum{path="/a"} 3\n', (HTTP + 1) % N

    def change(shard, body):
        return body if shard is None else body.replace(line, b"") + line * (shard == other)
    found = wrong(N, broken(change).url)
    mistake, series, *shards = found[0]
    assert mistake == "family_split" and series.startswith("http_seconds_") and sorted(shards) == sorted([HTTP, other])
    assert {f[0] for f in found[1:]} == {"metadata_missing"} and {f[2] for f in found[1:]} == {other}
    # With the configuration the series itself is named.
    assert wrong(N, broken(change).url, "--set=sharding.key=family")[0] == (
        "misplaced", 'http_seconds_sum{path="/a"}', other, HTTP)


def test_a_misplaced_family(broken):
    """Only the configuration tells that it is in the wrong shard."""
    def change(shard, body):
        lines = b"# TYPE up gauge\nup 1\n"
        return body if shard is None else body.replace(lines, b"") + lines * (shard == (UP + 1) % N)
    right(N, broken(change).url)
    assert wrong(N, broken(change).url, "--set=sharding.key=family") == [("misplaced", "up", (UP + 1) % N, UP)]


def test_a_stray_series(broken):
    assert wrong(N, broken(with_more(2, b'alien{a="1"} 1\n')).url) == [("unexpected", 'alien{a="1"}', 2, None)]


def test_metadata_that_are_missing(broken):
    assert wrong(N, broken(without(b"# TYPE memory_bytes gauge\n")).url) == [
        ("metadata_missing", "TYPE of memory_bytes", MEMORY, None)]


def test_metadata_without_samples(broken):
    other = (UP + 1) % N
    assert wrong(N, broken(with_more(other, b"# TYPE up gauge\n")).url) == [("metadata_orphaned", "TYPE of up", other, None)]


def test_metadata_twice(broken):
    assert wrong(N, broken(with_more(UP, b"# TYPE up gauge\n")).url) == [("repeated", "TYPE of up", UP, None)]


def test_metadata_of_no_series(broken):
    assert wrong(N, broken(without(b"# HELP lonely Nothing.\n")).url) == [("lost", "HELP of lonely", None, None)]
    other = (LONELY + 1) % N
    assert wrong(N, broken(with_more(other, b"# HELP lonely Nothing.\n")).url) == [
        ("doubled", "HELP of lonely", *sorted([LONELY, other]))]


def test_a_service_that_knows_of_no_shards(upstream):
    assert wrong(N, upstream(answering(answer(BODY))).url)[0] == ("unsharded", None, None, None)
    right(1, upstream(answering(answer(BODY))).url)


def test_values_orders_and_escapes_do_not_matter(broken):
    """Series are the same by what their names and labels mean."""
    def change(shard, body):
        if shard is None:
            return body
        body = body.replace(b'{kind="a \\"b\\"\\n\\\\",zone="1"} 5', b'{zone="1" , "kind"="a \\"b\\"\n\\\\",none="",} 7e3 1234')
        return body.replace(b"up 1", b'{"up"} 0')
    right(N, broken(change).url)


def test_an_empty_label_is_none_and_another_value_is_another_series(broken):
    assert [f[0] for f in wrong(N, broken(lambda shard, body: body if shard is None else body.replace(b"\\n", b"\\t")).url)] == [
        "lost", "unexpected"]


def test_what_comes_and_goes_is_no_mistake(broken):
    """In only one of the wholes: churn, whether a shard has it or not."""
    asked = []

    def change(shard, body):
        asked.append(shard)
        came = b"# TYPE came gauge\ncame 1\ncame_too 1\n"
        if shard is None:
            return body + b'# TYPE went gauge\nwent{a="1"} 1\nwent{a="2"} 1\n' if len(asked) == 1 else body + came
        line = b'went{a="1"} 1\n' if shard == 0 else b""
        return body + line + (b"came 1\n" if shard == 3 else b"")
    v = right(N, broken(change).url)
    assert v["series_that_came_or_went"] == 4


STEADY = b"".join(b"steady_%d 1\n" % i for i in range(12))


def in_turns(period, turns, flapping, steady=STEADY):
    """A service of which some families are there in some of every so many requests only, by their number."""
    numbers = itertools.count()

    def serve(u, connection):
        while u.read_request(connection):
            there = next(numbers) % period in turns
            connection.sendall(answer(steady + (flapping if there else b"")))
    return serve


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("period, turns", [(2, [0]), (2, [1]), (3, [0]), (3, [1]), (3, [0, 2]), (5, [1, 3]), (5, [0, 2, 4]), (7, [2])])
def test_what_flaps_is_no_mistake(sidecar, upstream, count, period, turns):
    """Absent from both wholes and there in between, and the reverse, whatever the shards and the turns: it is asked for
    again, and counted as what comes and goes."""
    flapping = b"# HELP flap_a x\n# TYPE flap_a gauge\nflap_a 1\nflap_b{x=\"1\"} 1\nflap_b{x=\"2\"} 1\n"
    s = sidecar(upstream(in_turns(period, turns, flapping)).url)
    v = right(count, f"http://127.0.0.1:{s.port}/metrics")
    assert v["series_that_came_or_went"] <= 3 and 1 <= v["rounds"] <= 5


def test_what_flaps_is_told(sidecar, upstream):
    s = sidecar(upstream(in_turns(2, [1], b"flap 1\n")).url)
    home = shard_of("flap", 3)
    status, out, err = run("verify", "--shard-count=3", f"http://127.0.0.1:{s.port}/metrics")
    assert (status, complaints(err)) == (0, "") and "Right: " in out
    # Requests 0 and 4 are the wholes.
    assert "came or went meanwhile: 1 series\n" in out and (home == 1 or "asked again" in out)


@pytest.mark.parametrize("turns", [[0], [1]])
def test_most_that_flaps_proves_nothing(sidecar, upstream, turns):
    flapping = b"".join(b"flap_%d 1\n" % i for i in range(13))
    s = sidecar(upstream(in_turns(2, turns, flapping)).url)
    url = f"http://127.0.0.1:{s.port}/metrics"
    assert wrong(3, url) == [("unsteady", None, None, None)]
    status, out, _ = run("verify", "--shard-count=3", url)
    assert status == 1 and "Right" not in out and "most of the series came or went" in out and "Warning: " in out


def test_a_mistake_is_found_among_what_flaps(broken):
    """It is there each time. The rounds are bounded."""
    numbers = itertools.count()
    lost = without(b'memory_bytes{kind="c",zone="2"} 5\n')

    def change(shard, body):
        return lost(shard, body) + (b"" if next(numbers) % 3 else b'flap{a="%d"} 1\n' % (shard or 0))
    service = broken(change)
    assert wrong(N, service.url) == [("lost", 'memory_bytes{kind="c",zone="2"}', None, None)]
    assert len(service.requests) == 5 * (N + 2) + 1 + 2 + 3 + 4


class SinceYourLastRequest:
    """A service as netdata is by default: each client, by its address or by a parameter of its own, gets the series that
    have changed since that client asked last. Each of them changes once a second, at a time of its own."""
    SERIES = 200

    def __init__(self):
        self.last, self.lock = {}, threading.Lock()

    def body(self, client):
        with self.lock:
            now = time.monotonic()
            last, self.last[client] = self.last.get(client, now - 1), now
        changed = (i for i in range(self.SERIES) if math.floor(now - i / self.SERIES) > math.floor(last - i / self.SERIES))
        return b"".join(b"chart_%d 1\n" % i for i in changed)

    def serve(self, u, connection):
        while head := u.read_request(connection):
            server = re.search(rb"[?&]server=(\w+)", head)
            connection.sendall(answer(self.body(server[1] if server else connection.getpeername()[0])))


@pytest.fixture
def differing(upstream):
    return upstream(SinceYourLastRequest().serve)


def test_a_service_that_answers_each_client_differently(sidecar, differing):
    """It takes all servers for one, the sidecar, and what one shard has got the next does not get."""
    s = sidecar(differing.url)
    status, out, _ = run("verify", "--shard-count=3", f"http://127.0.0.1:{s.port}/metrics")
    assert status == 1 and "Right" not in out and "Warning: " in out and "max_age" in out
    status, v = verify(3, f"http://127.0.0.1:{s.port}/metrics")
    assert status == 1 and v["much_came_or_went"]


def test_max_age_cures_it(sidecar, differing):
    s = sidecar(differing.url, "--set=endpoint.default.max_age=1m")
    v = right(3, f"http://127.0.0.1:{s.port}/metrics")
    assert v["samples_in_shards"] == SinceYourLastRequest.SERIES and not v["much_came_or_went"]
    status, out, _ = run("verify", "--shard-count=3", f"http://127.0.0.1:{s.port}/metrics")
    assert status == 0 and "Right: " in out and "Warning" not in out


def test_a_parameter_of_its_own_for_each_server_cures_it(sidecar, differing):
    s = sidecar(differing.url)

    def series(*more):
        bodies = [s.get(f"/metrics?shard={i}&shard_count=3{m}")[2] for i, m in enumerate(more)]
        return sum(body.count(b"\n") for body in bodies)
    assert series("&server=a", "&server=b", "&server=c") == SinceYourLastRequest.SERIES
    assert series("", "", "") < SinceYourLastRequest.SERIES


OM_BODY = b"""# TYPE a counter
# UNIT a_bytes bytes
a_total{x="1"} 1 # {trace="x y"} 1
a_created{x="1"} 1
# TYPE b info
b_info{v="1"} 1
# EOF
"""


def test_openmetrics(broken):
    right(N, broken(lambda shard, body: body, OM_BODY, OPENMETRICS).url, f"--accept={OPENMETRICS}")
    lost = broken(lambda shard, body: body if shard is None else body.replace(b'a_created{x="1"} 1\n', b""), OM_BODY, OPENMETRICS)
    assert wrong(N, lost.url) == [("lost", 'a_created{x="1"}', None, None)]
    assert b"Accept: text/plain;version=0.0.4\r\n" in lost.requests[0]


PROTO_BODY = gauge_family("a", {"1": 1, "2": 2}) + gauge_family("b", {"1": 1}) + gauge_family("c_total", {"1": 1})


def test_protobuf(broken):
    right(N, broken(lambda shard, body: body, PROTO_BODY, PROTOBUF, protobuf_shard).url)
    where = shard_of("a", N)
    short = gauge_family("a", {"1": 1})

    def lose(shard, body):
        return body.replace(gauge_family("a", {"1": 1, "2": 2}), short) if shard is not None else body
    assert wrong(N, broken(lose, PROTO_BODY, PROTOBUF, protobuf_shard).url) == [("lost", 'a{id="2"}', None, None)]
    other = (where + 1) % N
    assert wrong(N, broken(with_more(other, short), PROTO_BODY, PROTOBUF, protobuf_shard).url) == [
        ("doubled", 'a{id="1"}', *sorted([where, other]))]


@pytest.mark.parametrize("said, reply", [
    ("it answers 502: the service is away", answer(b"the service is away\n", status="502 Bad Gateway")),
    ("bytes remaining to read", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nup 1\n"),
    ("line 2, byte 5: no value", answer(b"up 1\nup\n")),
    ("it is openmetrics, where the whole is text", answer(b"# EOF\n", OPENMETRICS)),
])
def test_a_shard_that_fails(broken, said, reply):
    """Then nothing is said of the series: they may all be in it."""
    def change(shard, body):
        return reply if shard == 2 else body
    service = broken(change)
    status, v = verify(N, service.url)
    assert status == 1 and v["mistakes"] == 1
    assert v["first_mistakes"][0]["mistake"] == "failed" and v["first_mistakes"][0]["shard"] == 2
    assert said in v["first_mistakes"][0]["reason"]
    status, out, _ = run("verify", f"--shard-count={N}", service.url)
    assert status == 1 and re.search(f"failed +shard 2 cannot be had: .*{said}", out)


def test_a_whole_that_fails(broken):
    status, out, err = run("verify", f"--shard-count={N}", broken(lambda *_: answer(b"away\n", status="502 Bad")).url)
    assert (status, out) == (1, "") and ": the whole: it answers 502: away\n" in err


def test_only_the_first_mistakes_are_told(broken):
    body = b"".join(b'a{i="%d"} 1\n' % i for i in range(100))
    service = broken(lambda shard, body: body if shard is None else b"", body)
    status, v = verify(N, service.url)
    assert status == 1 and v["mistakes"] == 100 and len(v["first_mistakes"]) == 20
    status, out, _ = run("verify", f"--shard-count={N}", service.url)
    assert "Wrong: 100 things, of which the first 20 are\n" in out and out.count("  lost ") == 20


@pytest.mark.parametrize("args, status, said", [
    (["http://127.0.0.1:1/"], 2, "--shard-count is needed"),
    (["--shard-count=3"], 2, "verify takes one URL"),
    (["--shard-count=3", str(ROOT)], 2, f'"{ROOT}" '),
    (["--shard-count=3", "--whole=ftp://a/", "http://127.0.0.1:1/"], 2, '"ftp://a/" '),
    (["--shard-count=3", "--timeout=0s", "http://127.0.0.1:1/"], 2, '--timeout: "0s" '),
    (["--shard-count=3", "http://127.0.0.1:1/"], 1, "the whole: "),
])
def test_verify_refuses(args, status, said):
    r = run("verify", *args)
    assert r[0] == status and r[1] == "" and said in r[2]


SECRETS = ["http://127.0.0.1:1/m?password=hush", "http://127.0.0.1:1/m?a=b#hush", "http://me:hush@127.0.0.1:1/m",
           "http://me:hu/hush@127.0.0.1:1/m", "ftp://me:hush@127.0.0.1/m?hush", "me:hush@127.0.0.1/m", "unix:/none?hush",
           "unix:/none:/m?token=hush"]


@pytest.mark.parametrize("url", SECRETS)
def test_no_message_has_the_secrets_of_a_url(broken, url):
    good = broken(lambda shard, body: body).url
    for args in ["verify", "--shard-count=3", f"--whole={url}", good], ["verify", "--shard-count=3", url], \
            ["plan", "--shard-count=3", url], ["plan", "--shard-count=3", "--json", url]:
        if args[0] == "plan" and "://" not in url and not url.startswith("unix:"):
            continue  # the name of a file
        status, out, err = run(*args)
        assert status in (1, 2) and err and "hush" not in out + err and ("127.0.0.1" in err or "unix:/none" in err), err


def test_no_report_has_the_secrets_of_a_url(broken):
    url = broken(lambda shard, body: body).url + "?password=hush"
    for args in ["verify", f"--shard-count={N}", url], ["verify", "--json", f"--shard-count={N}", url], \
            ["plan", "--shard-count=3", url], ["plan", "--json", "--shard-count=3", url]:
        status, out, err = run(*args)
        assert status == 0 and "/metrics?<secret>" in out and "hush" not in out + err


def test_unix_socket(upstream, tmp_path):
    def serve(service, connection):
        while head := service.read_request(connection):
            shard = shard_in(head)
            connection.sendall(answer(BODY if shard is None else text_shard(BODY, shard, N)))
    right(N, upstream(serve, path=str(tmp_path / "socket")).url)


def test_a_sidecar_that_does_not_let_everybody_in(sidecar, upstream, tmp_path):
    """TLS both ways and a token: each is told by a file, and none of it can be left away."""
    ca = Authority(tmp_path, "ca")
    pem, key = ca.issue("server", "IP:127.0.0.1")
    own_pem, own_key = ca.issue("operator")
    token, header = tmp_path / "token", tmp_path / "header"
    token.write_text("s3cr3t\n")
    header.write_text("Bearer s3cr3t\n")
    s = sidecar(upstream(answering(answer(BODY))).url, f"--set=web.tls_certificate={pem}", f"--set=web.tls_key={key}",
                f"--set=web.tls_client_ca={ca.pem}", f"--set=web.bearer_token_file={token}")
    url = f"https://127.0.0.1:{s.port}/metrics"
    flags = [f"--tls-ca={ca.pem}", f"--tls-certificate={own_pem}", f"--tls-key={own_key}", f"--authorization-file={header}"]
    right(N, url, *flags)
    right(N, url, "--tls-insecure", *flags[1:])
    for i in 0, 3:
        status, _, err = run("verify", f"--shard-count={N}", *flags[:i], *flags[i + 1:], url)
        assert status == 1 and "the whole: " in err
    assert "it answers 401" in err
    status, _, err = run("verify", f"--shard-count={N}", flags[0], flags[3], url)
    assert status == 1 and "the whole: " in err
    status, _, err = run("verify", f"--shard-count={N}", "--authorization-file=/nonexistent", url)
    assert status == 1 and err.startswith("scrapeshard: /nonexistent: ")
