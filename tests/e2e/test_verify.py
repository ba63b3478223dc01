# SPDX-License-Identifier: Apache-2.0
"""scrapeshard verify: real sidecars pass, and it finds what broken ones, real sockets too, do wrong."""
import itertools
import json
import math
import re
import shlex
import subprocess
import threading

import pytest
from conftest import BINARY, OPENMETRICS, ROOT, SLOW, TEXT, answer, answering, run
from exposition import PROTOBUF, gauge_family, protobuf_shard, shard_of, text_shard
from pki import Authority
from test_captured import CAPTURED, CASES
from tools import complaints

FORMATS = {TEXT: "text", PROTOBUF: "protobuf"}


def verify(count, url, *args):
    """(exit status, JSON of verify)."""
    done = subprocess.run([BINARY, "verify", f"--shard-count={count}", "--json", *args, url], capture_output=True,
                          text=True, timeout=60 * SLOW, check=False)
    assert complaints(done.stderr) == "" and done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def passes(count, url, *args):
    """The JSON of verify, which finds no violations."""
    status, v = verify(count, url, *args)
    assert (status, v["ok"], v["violations"], v["first_violations"]) == (0, True, 0, [])
    return v


def violations(count, url, *args):
    """[(kind, series or metadata, shard or shards, other shard)] of the violations that verify finds."""
    status, v = verify(count, url, *args)
    assert (status, v["ok"]) == (1, False)
    assert v["violations"] >= len(v["first_violations"]) > 0
    return [(m["kind"], m.get("series", m.get("metadata")), m.get("shard", m.get("shards")), m.get("other_shard"))
            for m in v["first_violations"]]


# Real sidecars.


@pytest.mark.parametrize("count", [1, 3, 80])
@pytest.mark.parametrize("accept", FORMATS)
def test_node_exporter(sidecar, node_exporter, count, accept):
    s = sidecar(node_exporter)
    v = passes(count, f"http://127.0.0.1:{s.port}/metrics", f"--accept={accept}")
    assert v["format"] == FORMATS[accept]
    assert v["samples_before"] > 100 and v["samples_in_shards"] == pytest.approx(v["samples_before"], rel=0.2)
    assert v["replicated_series"] == v["dropped_series"] == 0


def test_node_exporter_report(sidecar, node_exporter):
    s = sidecar(node_exporter)
    status, out, err = run("verify", "--shard-count=5", f"http://127.0.0.1:{s.port}/metrics")
    assert (status, complaints(err)) == (0, "")
    assert "OK: the shards are complete and disjoint.\n" in out


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
    """With the configuration, each series is in the expected shard."""
    if "protobuf" in name and "__name__" in sharding:
        pytest.skip("this key takes protobuf out of the Accept")
    service = upstream(answering(answer((CASES / f"{name}.in").read_bytes(), content_type(name))))
    file = config(f"[endpoint a]\nupstream = {service.url}\n{sharding}")
    s = sidecar(config=file)
    for count in 2, 7:
        url = f"http://127.0.0.1:{s.port}/metrics"
        v = passes(count, url, f"--config.file={file}")
        if not sharding:
            assert v["samples_before"] == v["samples_in_shards"] > 0
            assert passes(count, url) == v


def test_that_groups_meet_is_proved(sidecar, upstream, config):
    """Against a sidecar that does not know the group, its families are misplaced."""
    service = upstream(answering(answer(b"aa 1\nbb 1\ncc 1\ndd 1\n", TEXT)))
    plain = config(f"[endpoint a]\nupstream = {service.url}\n")
    s = sidecar(config=plain)
    url = f"http://127.0.0.1:{s.port}/metrics"
    assert passes(7, url, f"--config.file={plain}")
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
    """A sidecar with rules: (its URL, the flag with its configuration, the upstream's URL)."""
    service = upstream(answering(answer(RULED)))
    file = config(f"[endpoint a]\nupstream = {service.url}\n{RULES}")
    return f"http://127.0.0.1:{sidecar(config=file).port}/metrics", f"--config.file={file}", service.url


def test_replicated_and_dropped_families_are_accounted_for(ruled):
    url, config_flag, service = ruled
    v = passes(3, url, config_flag, f"--whole={service}")
    assert (v["replicated_series"], v["replicated_families"]) == (1, ["build_info"])
    assert (v["dropped_series"], v["dropped_families"]) == (2, ["unwanted_total"])
    assert (v["samples_before"], v["samples_in_shards"]) == (7, 3 + 4)
    status, out, _ = run("verify", "--shard-count=3", config_flag, f"--whole={service}", url)
    assert status == 0 and "in every shard: 1 series of build_info\ndropped: 2 series of unwanted_total\n" in out


def test_rules_that_verify_does_not_know(ruled):
    """What is in every shard counts as replicated; what the upstream has and no shard has is lost."""
    url, _, service = ruled
    v = passes(3, url)
    assert v["replicated_families"] == ["build_info"] and v["dropped_series"] == 0
    # In text, the TYPE of unwanted has no samples.
    assert violations(3, url, f"--whole={service}") == [
        ("lost", 'unwanted_total{a="1"}', None, None), ("lost", 'unwanted_total{a="2"}', None, None),
        ("lost", "TYPE of unwanted", None, None)]
    status, out, _ = run("verify", "--shard-count=3", f"--whole={service}", url)
    assert status == 1 and "pass --config.file=FILE" in out


def test_a_configuration_other_than_the_sidecars(ruled, sidecar):
    """verify expects the rules, and the sidecar does not have them."""
    _, config_flag, service = ruled
    url = f"http://127.0.0.1:{sidecar(service).port}/metrics"
    found = violations(3, url, config_flag)
    home = shard_of("build_info", 3)
    assert ("not_replicated", 'build_info{version="1"}', 1, None) in found
    assert ("not_dropped", 'unwanted_total{a="1"}', shard_of("unwanted", 3), None) in found
    assert violations(3, url, "--set=sharding.hash=md5")[0][0] == "misplaced"
    misplaced = dict((m[1], m[2:]) for m in violations(3, url, "--set=sharding.key=name", "--set=sharding.hash=md5"))
    assert all(shard != other for shard, other in misplaced.values())
    assert home == shard_of("build", 3)


def test_an_unknown_key_splits_families(sidecar, upstream):
    service = upstream(answering(answer(RULED)))
    url = f"http://127.0.0.1:{sidecar(service.url, '--set=rules.split=wanted').port}/metrics"
    (kind, series, shard, other), = violations(8, url)
    assert kind == "family_split" and series.startswith("wanted{") and shard != other
    passes(8, url, "--set=rules.split=wanted")


def test_require_shard_is_reported(sidecar, upstream):
    url = f"http://127.0.0.1:{sidecar(upstream(answering(answer(RULED))).url, '--set=sharding.require_shard=on').port}/metrics"
    status, out, err = run("verify", "--shard-count=3", url)
    assert (status, out) == (1, "") and "unsharded body: HTTP status 400: " in err
    passes(3, url, f"--whole={url}?shard=0-2&shard_count=3")


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
    """The requested shard, or None."""
    found = re.match(rb"GET \S*[?&]shard=(\d+)&shard_count=4 ", head)
    assert found or b"shard" not in head.split(b"\r\n")[0]
    return int(found[1]) if found else None


@pytest.fixture
def broken(upstream):
    """broken(change) starts a sidecar with wrong responses: change(shard, body) returns the body, or a whole response that
    starts with HTTP; shard is None for the unsharded body."""
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
    """Removes a line from its shard."""
    assert line in BODY
    return lambda shard, body: body if shard is None else body.replace(line, b"")


def with_more(where, line):
    return lambda shard, body: body + line if shard == where else body


def test_nothing_is_broken(broken):
    """All requests use one connection, and the unsharded body is fetched before and after the shards."""
    service = broken(lambda shard, body: body)
    v = passes(N, service.url)
    assert v["samples_before"] == v["samples_after"] == v["samples_in_shards"] == 7
    assert service.connections == 1
    assert [shard_in(head) for head in service.requests] == [None, 0, 1, 2, 3, None]


def test_a_lost_series(broken):
    assert violations(N, broken(without(b'memory_bytes{kind="a \\"b\\"\\n\\\\",zone="1"} 5\n')).url) == [
        ("lost", MEMORY_A, None, None)]


def test_a_lost_family(broken):
    """Its metadata are lost too."""
    found = violations(N, broken(without(b"# TYPE up gauge\nup 1\n")).url)
    assert found == [("lost", "up", None, None), ("lost", "TYPE of up", None, None)]


def test_a_short_shard(broken):
    """The rest of a shard is missing after some byte, with a Content-Length that fits."""
    found = violations(N, broken(lambda shard, body: body[:body.index(b"http_seconds_sum")] if shard == HTTP else body).url)
    assert [f for f in found if f[1].startswith("http_")] == [("lost", 'http_seconds_sum{path="/a"}', None, None),
                                                             ("lost", 'http_seconds_count{path="/a"}', None, None)]


def test_a_duplicated_series(broken):
    other = (UP + 1) % N
    found = violations(N, broken(with_more(other, b"# TYPE up gauge\nup 1\n")).url)
    assert found == [("duplicated", "up", *sorted([UP, other]))]


def test_a_series_twice_in_its_shard(broken):
    assert violations(N, broken(with_more(UP, b"up 1\n")).url) == [("repeated", "up", UP, None)]


TWICE = b"# TYPE t gauge\nt 1 1000\nt 2 2000\nlone 1\nother 1\n"


@pytest.mark.parametrize("args", [(), ("--set=sharding.key=family",)], ids=["", "configuration"])
def test_a_sample_of_a_series_is_lost(broken, args):
    """The unsharded body has it with two timestamps."""
    home = shard_of("t", N)
    passes(N, broken(lambda _, body: body, TWICE).url, *args)
    service = broken(lambda shard, body: body if shard is None else body.replace(b"t 2 2000\n", b""), TWICE)
    assert violations(N, service.url, *args) == [("lost", "t", home, None)]
    status, out, _ = run("verify", f"--shard-count={N}", *args, service.url)
    assert status == 1 and f"  lost              t: less often in shard {home} than in the unsharded body\n" in out


def test_a_sample_of_a_replicated_series_is_lost(broken):
    def change(kept):
        return lambda shard, body: body if shard is None else body.replace(b"t 1 1000\nt 2 2000\n", b"").replace(b"# TYPE t gauge\n", b"") + kept
    whole = b"# TYPE t gauge\nt 1 1000\nt 2 2000\n"
    assert passes(N, broken(change(whole), TWICE).url, "--set=rules.replicate=t")["replicated_families"] == ["t"]
    assert violations(N, broken(change(whole[:-9]), TWICE).url, "--set=rules.replicate=t") == [("lost", "t", 0, None)]


def test_a_series_less_often_once_is_churn(broken):
    """One of its samples is away while the shards are fetched for the first time."""
    requested = itertools.count()

    def change(shard, body):
        return body.replace(b"t 2 2000\n", b"") if 0 < next(requested) <= N else body
    assert passes(N, broken(change, TWICE).url)["churned_series"] == 1


def test_a_series_in_every_shard_is_replicated(broken):
    v = passes(N, broken(lambda shard, body: body if shard in (None, UP) else body + b"# TYPE up gauge\nup 1\n").url)
    assert v["replicated_families"] == ["up"]


def test_a_split_family(broken):
    """A histogram without its sum, which is in the next shard."""
    line, other = b'http_seconds_sum{path="/a"} 3\n', (HTTP + 1) % N

    def change(shard, body):
        return body if shard is None else body.replace(line, b"") + line * (shard == other)
    found = violations(N, broken(change).url)
    kind, series, *shards = found[0]
    assert kind == "family_split" and series.startswith("http_seconds_") and sorted(shards) == sorted([HTTP, other])
    assert {f[0] for f in found[1:]} == {"metadata_missing"} and {f[2] for f in found[1:]} == {other}
    # With the configuration the series itself is named.
    assert violations(N, broken(change).url, "--set=sharding.key=family")[0] == (
        "misplaced", 'http_seconds_sum{path="/a"}', other, HTTP)


def test_a_misplaced_family(broken):
    """Only the configuration says that its shard is wrong."""
    def change(shard, body):
        lines = b"# TYPE up gauge\nup 1\n"
        return body if shard is None else body.replace(lines, b"") + lines * (shard == (UP + 1) % N)
    passes(N, broken(change).url)
    assert violations(N, broken(change).url, "--set=sharding.key=family") == [("misplaced", "up", (UP + 1) % N, UP)]


def test_an_unexpected_series(broken):
    assert violations(N, broken(with_more(2, b'alien{a="1"} 1\n')).url) == [("unexpected", 'alien{a="1"}', 2, None)]


def test_missing_metadata(broken):
    assert violations(N, broken(without(b"# TYPE memory_bytes gauge\n")).url) == [
        ("metadata_missing", "TYPE of memory_bytes", MEMORY, None)]


def test_metadata_without_samples(broken):
    other = (UP + 1) % N
    assert violations(N, broken(with_more(other, b"# TYPE up gauge\n")).url) == [("metadata_orphaned", "TYPE of up", other, None)]


def test_metadata_twice(broken):
    assert violations(N, broken(with_more(UP, b"# TYPE up gauge\n")).url) == [("repeated", "TYPE of up", UP, None)]


def test_metadata_of_no_series(broken):
    assert violations(N, broken(without(b"# HELP lonely Nothing.\n")).url) == [("lost", "HELP of lonely", None, None)]
    other = (LONELY + 1) % N
    assert violations(N, broken(with_more(other, b"# HELP lonely Nothing.\n")).url) == [
        ("duplicated", "HELP of lonely", *sorted([LONELY, other]))]


def test_a_server_that_ignores_shards(upstream):
    assert violations(N, upstream(answering(answer(BODY))).url)[0] == ("not_sharded", None, None, None)
    passes(1, upstream(answering(answer(BODY))).url)


def test_values_orders_and_escapes_do_not_matter(broken):
    """Series are compared by their unescaped names and labels."""
    def change(shard, body):
        if shard is None:
            return body
        body = body.replace(b'{kind="a \\"b\\"\\n\\\\",zone="1"} 5', b'{zone="1" , "kind"="a \\"b\\"\n\\\\",none="",} 7e3 1234')
        return body.replace(b"up 1", b'{"up"} 0')
    passes(N, broken(change).url)


def test_an_empty_label_is_ignored_and_another_value_is_another_series(broken):
    assert [f[0] for f in violations(N, broken(lambda shard, body: body if shard is None else body.replace(b"\\n", b"\\t")).url)] == [
        "lost", "unexpected"]


def test_churn_is_not_a_violation(broken):
    """A series in only one of the unsharded bodies is churn, whether a shard has it or not."""
    requested = []

    def change(shard, body):
        requested.append(shard)
        came = b"# TYPE came gauge\ncame 1\ncame_too 1\n"
        if shard is None:
            return body + b'# TYPE went gauge\nwent{a="1"} 1\nwent{a="2"} 1\n' if len(requested) == 1 else body + came
        line = b'went{a="1"} 1\n' if shard == 0 else b""
        return body + line + (b"came 1\n" if shard == 3 else b"")
    v = passes(N, broken(change).url)
    assert v["churned_series"] == 4


STEADY = b"".join(b"steady_%d 1\n" % i for i in range(12))


def in_turns(period, turns, flapping, steady=STEADY):
    """An upstream with some families only in those of every `period` requests whose numbers are in `turns`."""
    numbers = itertools.count()

    def serve(u, connection):
        while u.read_request(connection):
            there = next(numbers) % period in turns
            connection.sendall(answer(steady + (flapping if there else b"")))
    return serve


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("period, turns", [(2, [0]), (2, [1]), (3, [0]), (3, [1]), (3, [0, 2]), (5, [1, 3]), (5, [0, 2, 4]), (7, [2])])
def test_flapping_is_not_a_violation(sidecar, upstream, count, period, turns):
    """Absent from both unsharded bodies and present between them, or the reverse, for any shards and turns: it is fetched
    again, and counted as churn."""
    flapping = b"# HELP flap_a x\n# TYPE flap_a gauge\nflap_a 1\nflap_b{x=\"1\"} 1\nflap_b{x=\"2\"} 1\n"
    s = sidecar(upstream(in_turns(period, turns, flapping)).url)
    v = passes(count, f"http://127.0.0.1:{s.port}/metrics")
    assert v["churned_series"] <= 3 and 1 <= v["rounds"] <= 5


def test_flapping_is_reported(sidecar, upstream):
    s = sidecar(upstream(in_turns(2, [1], b"flap 1\n")).url)
    home = shard_of("flap", 3)
    status, out, err = run("verify", "--shard-count=3", f"http://127.0.0.1:{s.port}/metrics")
    assert (status, complaints(err)) == (0, "") and "OK: " in out
    # Requests 0 and 4 are those without a shard.
    assert "churn: 1 series came or went\n" in out and (home == 1 or "rounds: " in out)


@pytest.mark.parametrize("turns", [[0], [1]])
def test_mostly_flapping_series_prove_nothing(sidecar, upstream, turns):
    flapping = b"".join(b"flap_%d 1\n" % i for i in range(13))
    s = sidecar(upstream(in_turns(2, turns, flapping)).url)
    url = f"http://127.0.0.1:{s.port}/metrics"
    assert violations(3, url) == [("unstable", None, None, None)]
    status, out, _ = run("verify", "--shard-count=3", url)
    assert status == 1 and "OK" not in out and "most series came or went" in out and "Warning: " in out


def test_a_violation_is_found_beside_flapping_series(broken):
    """It is found in each round, and the rounds are bounded."""
    numbers = itertools.count()
    lost = without(b'memory_bytes{kind="c",zone="2"} 5\n')

    def change(shard, body):
        return lost(shard, body) + (b"" if next(numbers) % 3 else b'flap{a="%d"} 1\n' % (shard or 0))
    service = broken(change)
    assert violations(N, service.url) == [("lost", 'memory_bytes{kind="c",zone="2"}', None, None)]
    assert len(service.requests) == 5 * (N + 2) + 1 + 2 + 3 + 4


class SinceYourLastRequest:
    """An upstream like netdata by default: each client, identified by its address or by a parameter, gets the series that
    changed since its last request. Each series changes once a second, at its own time. By its clock two requests are a
    hundredth of a second apart, however long they take."""
    SERIES = 200

    def __init__(self):
        self.last, self.ticks, self.lock = {}, itertools.count(401, 4), threading.Lock()

    def body(self, client):
        with self.lock:
            now = next(self.ticks) / 400  # between the times of all series
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


def test_an_upstream_with_a_different_body_for_each_client(sidecar, differing):
    """It takes all servers for one client, the sidecar: what one shard got, the next does not get."""
    s = sidecar(differing.url)
    status, out, _ = run("verify", "--shard-count=3", f"http://127.0.0.1:{s.port}/metrics")
    assert status == 1 and "OK" not in out and "Warning: " in out and "max_age" in out
    status, v = verify(3, f"http://127.0.0.1:{s.port}/metrics")
    assert status == 1 and v["high_churn"]


def test_max_age_solves_it(sidecar, differing):
    s = sidecar(differing.url, "--set=endpoint.default.max_age=1m")
    v = passes(3, f"http://127.0.0.1:{s.port}/metrics")
    assert v["samples_in_shards"] == SinceYourLastRequest.SERIES and not v["high_churn"]
    status, out, _ = run("verify", "--shard-count=3", f"http://127.0.0.1:{s.port}/metrics")
    assert status == 0 and "OK: " in out and "Warning" not in out


def test_a_parameter_for_each_server_solves_it(sidecar, differing):
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
    passes(N, broken(lambda shard, body: body, OM_BODY, OPENMETRICS).url, f"--accept={OPENMETRICS}")
    lost = broken(lambda shard, body: body if shard is None else body.replace(b'a_created{x="1"} 1\n', b""), OM_BODY, OPENMETRICS)
    assert violations(N, lost.url) == [("lost", 'a_created{x="1"}', None, None)]
    assert b"Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," in lost.requests[0]


PROTO_BODY = gauge_family("a", {"1": 1, "2": 2}) + gauge_family("b", {"1": 1}) + gauge_family("c_total", {"1": 1})


def test_protobuf(broken):
    passes(N, broken(lambda shard, body: body, PROTO_BODY, PROTOBUF, protobuf_shard).url)
    where = shard_of("a", N)
    short = gauge_family("a", {"1": 1})

    def lose(shard, body):
        return body.replace(gauge_family("a", {"1": 1, "2": 2}), short) if shard is not None else body
    assert violations(N, broken(lose, PROTO_BODY, PROTOBUF, protobuf_shard).url) == [("lost", 'a{id="2"}', None, None)]
    other = (where + 1) % N
    assert violations(N, broken(with_more(other, short), PROTO_BODY, PROTOBUF, protobuf_shard).url) == [
        ("duplicated", 'a{id="1"}', *sorted([where, other]))]


@pytest.mark.parametrize("said, reply", [
    ("HTTP status 502: the service is away", answer(b"the service is away\n", status="502 Bad Gateway")),
    ("bytes remaining to read", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\nup 1\n"),
    ("line 2, byte 5: no value", answer(b"up 1\nup\n")),
    ("its format is openmetrics, that of the unsharded body text", answer(b"# EOF\n", OPENMETRICS)),
])
def test_a_shard_that_fails(broken, said, reply):
    """Series are not checked then: any of them may be in it."""
    def change(shard, body):
        return reply if shard == 2 else body
    service = broken(change)
    status, v = verify(N, service.url)
    assert status == 1 and v["violations"] == 1
    assert v["first_violations"][0]["kind"] == "shard_failed" and v["first_violations"][0]["shard"] == 2
    assert said in v["first_violations"][0]["reason"]
    status, out, _ = run("verify", f"--shard-count={N}", service.url)
    assert status == 1 and re.search(f"shard_failed +shard 2 could not be read: .*{said}", out)


def test_an_unsharded_body_that_fails(broken):
    status, out, err = run("verify", f"--shard-count={N}", broken(lambda *_: answer(b"away\n", status="502 Bad")).url)
    assert (status, out) == (1, "") and ": unsharded body: HTTP status 502: away\n" in err


def test_only_the_first_violations_are_listed(broken):
    body = b"".join(b'a{i="%d"} 1\n' % i for i in range(100))
    service = broken(lambda shard, body: body if shard is None else b"", body)
    status, v = verify(N, service.url)
    assert status == 1 and v["violations"] == 100 and len(v["first_violations"]) == 20
    status, out, _ = run("verify", f"--shard-count={N}", service.url)
    assert "FAILED: 100 violations, the first 20:\n" in out and out.count("  lost ") == 20


@pytest.mark.parametrize("args, status, said", [
    (["http://127.0.0.1:1/"], 2, "--shard-count is required"),
    (["--shard-count=3"], 2, "verify expects one URL"),
    (["--shard-count=3", str(ROOT)], 2, f'"{ROOT}" '),
    (["--shard-count=3", "--whole=ftp://a/", "http://127.0.0.1:1/"], 2, '"ftp://a/" '),
    (["--shard-count=3", "--timeout=0s", "http://127.0.0.1:1/"], 2, '--timeout: "0s" '),
    (["--shard-count=3", "http://127.0.0.1:1/"], 1, "unsharded body: "),
])
def test_verify_refuses(args, status, said):
    r = run("verify", *args)
    assert r[0] == status and r[1] == "" and said in r[2]


SECRETS = ["http://127.0.0.1:1/m?password=hush", "http://127.0.0.1:1/m?a=b#hush", "http://me:hush@127.0.0.1:1/m",
           "http://me:hu/hush@127.0.0.1:1/m", "ftp://me:hush@127.0.0.1/m?hush", "me:hush@127.0.0.1/m", "unix:/none?hush",
           "unix:/none:/m?token=hush"]


@pytest.mark.parametrize("url", SECRETS)
def test_messages_hide_the_secrets_of_a_url(broken, url):
    good = broken(lambda shard, body: body).url
    for args in ["verify", "--shard-count=3", f"--whole={url}", good], ["verify", "--shard-count=3", url], \
            ["plan", "--shard-count=3", url], ["plan", "--shard-count=3", "--json", url]:
        if args[0] == "plan" and "://" not in url and not url.startswith("unix:"):
            continue  # the name of a file
        status, out, err = run(*args)
        assert status in (1, 2) and err and "hush" not in out + err and ("127.0.0.1" in err or "unix:/none" in err), err


def test_reports_hide_the_secrets_of_a_url(broken):
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
    passes(N, upstream(serve, path=str(tmp_path / "socket")).url)


def test_a_sidecar_with_authentication(sidecar, upstream, tmp_path):
    """TLS both ways and a token: each is read from a file, and none can be omitted."""
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
    passes(N, url, *flags)
    passes(N, url, "--tls-insecure", *flags[1:])
    for i in 0, 3:
        status, _, err = run("verify", f"--shard-count={N}", *flags[:i], *flags[i + 1:], url)
        assert status == 1 and "unsharded body: " in err
    assert "HTTP status 401" in err
    status, _, err = run("verify", f"--shard-count={N}", flags[0], flags[3], url)
    assert status == 1 and "unsharded body: " in err
    status, _, err = run("verify", f"--shard-count={N}", "--authorization-file=/nonexistent", url)
    assert status == 1 and err.startswith("scrapeshard: /nonexistent: ")
