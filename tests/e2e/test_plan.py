# SPDX-License-Identifier: Apache-2.0
"""scrapeshard plan: its numbers agree with an independent count and with the output of split."""
import collections
import gzip
import json
import re
import shlex
import subprocess
import threading

import prometheus
import pytest
import xxhash
from conftest import BINARY, OPENMETRICS, ROOT, SLOW, TEXT, answer, answering, run, wait_until
from exposition import PROTOBUF, family_key, gauge_family, line_name, lines, messages, read_fields, shard_of
from test_captured import CAPTURED, CASES, split
from tools import complaints, jump

# prometheus/prometheus, scrape/scrape.go, acceptHeader(), with the default scrape protocols of 3.14.
ACCEPT = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6," \
         "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4," \
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

NODE = CASES / "node-exporter-text-6of7.in"


def plan(count, *args, **options):
    """The output of plan --json."""
    done = subprocess.run([BINARY, "plan", f"--shard-count={count}", "--json", *map(str, args)], capture_output=True,
                          timeout=30 * SLOW, check=False, **options)
    assert (done.returncode, complaints(done.stderr.decode())) == (0, ""), done.stderr
    return json.loads(done.stdout)


def case(name):
    """The flags and the file of a golden case."""
    return [a for a in shlex.split((CASES / f"{name}.args").read_text()) if not a.startswith("--shard")] + [CASES / f"{name}.in"]


def families_of(body, protobuf):
    """{family: its series}, by key."""
    found = collections.Counter()
    if protobuf:
        for name, _, fields in messages(body):
            found[family_key(name)] += sum(number == 4 for number, _ in fields)
    else:
        for line in lines(body):
            if name := line_name(line):
                found[family_key(name)] += not line.startswith(b"#")
    return found


def balance(loads):
    """(maximum, skew) of numbers."""
    return max(loads), pytest.approx(max(loads) * len(loads) / sum(loads) if sum(loads) else 1, abs=0.001)


# The numbers.


@pytest.mark.parametrize("name", CAPTURED)
@pytest.mark.parametrize("count", [1, 7, 80])
def test_shards_agree_with_split(name, count):
    protobuf = "protobuf" in name
    shards = [split(name, s, count) for s in range(count)]
    counted = [families_of(s, protobuf) for s in shards]
    body = (CASES / f"{name}.in").read_bytes()
    p = plan(count, *case(name))
    assert p["shards"] == [{"shard": i, "series": f.total(), "families": len(f), "bytes": len(s)}
                           for i, (s, f) in enumerate(zip(shards, counted))]
    assert p["shard_count"] == count
    whole = families_of(body, protobuf)
    assert p["body"] | {"source": ""} == {
        "source": "", "format": name.split("-")[-2], "series": whole.total(), "families": len(whole),
        "bytes": len(body), "replicated_series": 0, "dropped_series": 0}
    b = p["balance"]
    assert (b["most_series"], b["skew_series"]) == balance([f.total() for f in counted])
    assert (b["most_bytes"], b["skew_bytes"]) == balance(list(map(len, shards)))
    assert b["mean_series"] == pytest.approx(whole.total() / count, abs=0.001)
    fullest = counted[b["fullest_shard"]]
    assert fullest.total() == b["most_series"]
    largest = p["largest_families"]
    assert [f["series"] for f in largest] == sorted(filter(None, fullest.values()), reverse=True)[:5]
    assert all(fullest[f["family"]] == f["series"] for f in largest)


@pytest.mark.parametrize("name", ["node-exporter-text-6of7", "python-openmetrics-1of7", "prometheus-protobuf-6of7"])
@pytest.mark.parametrize("rules", [
    ["rules.split=.*"], ["sharding.key=labels", "sharding.source_labels=code,cpu,job,quantile_"],
    ["sharding.hash=md5", "sharding.placement=jump"], ["rules.drop=go_.*|python_.*", "rules.replicate=process_.*"],
    ["sharding.key=declared", "rules.split=.*"]])
def test_shards_under_rules_agree_with_split(name, rules):
    """Bytes are exact, also where families are split, metadata follow series and protobuf is framed again."""
    flags = [f"--set={r}" for r in rules]
    p = plan(7, *flags, *case(name))
    for s in p["shards"]:
        body = subprocess.run([BINARY, "split", f"--shard={s['shard']}", "--shard-count=7", *flags,
                               *map(str, case(name))], capture_output=True, check=True).stdout
        families = families_of(body, "protobuf" in name)
        assert (s["series"], s["bytes"]) == (families.total(), len(body))
        assert s["families"] == len(families) or "declared" in rules[0]
    every = sum(n for f, n in families_of(case(name)[-1].read_bytes(), "protobuf" in name).items()
                if f.startswith("process_"))
    if "replicate" in rules[-1]:
        assert p["body"]["replicated_series"] == every
        assert (p["body"]["dropped_series"] > 0) == (name != "python-openmetrics-1of7")


@pytest.mark.parametrize("name", ["haproxy-text-74of80", "prometheus-protobuf-6of7"])
def test_counts_and_moves(name):
    families = families_of((CASES / f"{name}.in").read_bytes(), "protobuf" in name)
    p = plan(5, "--to=9", *case(name))
    assert [c["shard_count"] for c in p["counts"]] == list(range(2, 129))
    for c in p["counts"]:
        loads = [0] * c["shard_count"]
        for family, series in families.items():
            loads[shard_of(family, c["shard_count"])] += series
        assert (c["most_series"], c["skew_series"]) == balance(loads)
        assert loads[c["fullest_shard"]] == c["most_series"]

    def jumped(family, count):
        return jump(xxhash.xxh64_intdigest(family.encode()), count)
    assert p["move"] == {
        "from": 5, "to": 9,
        "modulo_series": sum(n for f, n in families.items() if shard_of(f, 5) != shard_of(f, 9)),
        "jump_series": sum(n for f, n in families.items() if jumped(f, 5) != jumped(f, 9))}
    assert plan(5, *case(name))["move"]["to"] == 6


def test_arithmetic_of_the_fleet():
    path = CASES / "node-exporter-text-6of7.in"
    p = plan(80, "--targets=3400", "--interval=30s", path)
    body, b, fleet = p["body"], p["balance"], p["fleet"]
    assert (fleet["targets"], fleet["interval_seconds"], fleet["servers"]) == (3400, 30, 80)
    for kind, whole in ("samples_per_second", body["series"]), ("bytes_per_second", body["bytes"]):
        before, after, what = fleet[kind]["before"], fleet[kind]["after"], kind.split("_", maxsplit=1)[0].replace("samples", "series")
        one = pytest.approx(3400 * whole / 30, abs=0.001)
        assert before["server"] == before["fullest_server"] == one
        assert before["fleet"] == pytest.approx(80 * 3400 * whole / 30, abs=0.001)
        assert after["fleet"] == one  # each series once
        assert after["server"] == pytest.approx(3400 * whole / 80 / 30, abs=0.001)
        assert after["fullest_server"] == pytest.approx(3400 * b[f"most_{what}"] / 30, abs=0.001)
    assert plan(80, "--targets=3400", path)["fleet"]["interval_seconds"] == 60
    assert plan(80, path)["fleet"] is None


# Suggested split rules.


def skewed(name='giant{id="%d"}', series=1000, rest=60):
    return "".join(name % i + " 1\n" for i in range(series)) + "".join(f"small_{i} 1\n" * 3 for i in range(rest))


def tried_again(p, *args):
    """The balance of a plan with the rules that another plan suggests."""
    return plan(p["shard_count"], *(f"--set=rules.split={s}" for s in p["suggested_split"]["split"]), *args)["balance"]


def test_the_family_that_causes_the_skew_is_split(tmp_path):
    body = tmp_path / "body"
    body.write_text(skewed())
    p = plan(8, body)
    assert p["balance"]["fullest_shard"] == shard_of("giant", 8)
    assert p["largest_families"][0] == {"family": "giant", "series": 1000, "bytes": len(skewed(rest=0))}
    assert p["suggested_split"]["split"] == ["giant"] and p["suggested_split"]["families"] == 1
    assert p["balance"]["skew_series"] > 4 and p["suggested_split"]["balance"]["skew_series"] < 1.3
    assert tried_again(p, body) == p["suggested_split"]["balance"]


def test_several_families_are_split(tmp_path):
    body = tmp_path / "body"
    body.write_text("".join(skewed(f'large_family_{i}_with_a_name_of_some_length{{id="%d"}}', 300, 0) for i in range(12)))
    p = plan(40, body)
    assert p["suggested_split"]["families"] > 8 and len(p["suggested_split"]["split"]) > 1
    assert all(len(f"split = {s}") < 198 for s in p["suggested_split"]["split"])
    assert p["suggested_split"]["balance"]["skew_series"] < p["balance"]["skew_series"] / 2
    assert tried_again(p, body) == p["suggested_split"]["balance"]


def test_suggestion_adds_to_the_rules_of_the_file(tmp_path, config):
    body = tmp_path / "body"
    body.write_text(skewed() + skewed('"other_giant{a=\\"b\\",id=\\"%d\\"}"'.replace('"', "").replace("\\", '"'), 1000, 0))
    file = config('[rules]\nsplit = "other_(?:giant|"")"\n')
    p = plan(8, f"--config.file={file}", body)
    assert p["suggested_split"]["split"] == ["giant"]
    assert p["suggested_split"]["balance"]["skew_series"] < 1.3
    file = config('[rules]\nsplit = "other_(?:giant|"")"\nsplit = giant\n')
    assert plan(8, f"--config.file={file}", body)["balance"] == p["suggested_split"]["balance"]


@pytest.mark.parametrize("name", [r'{"my.giant; \"x\\y\"\n metric ",id="%d"}', '{"é|.*",id="%d"}'])
def test_suggestion_for_a_strange_name_fits_in_a_file(tmp_path, config, name):
    body = tmp_path / "body"
    body.write_text(skewed(name), encoding="utf-8")
    p = plan(8, body)
    file = config(f"[rules]\nsplit = {p['suggested_split']['split'][0]}\n")
    assert plan(8, f"--config.file={file}", body)["balance"] == p["suggested_split"]["balance"]
    assert p["suggested_split"]["balance"]["skew_series"] < 1.3


def test_suggestion_in_protobuf(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(gauge_family("giant_total", {f"{i}": 1 for i in range(1000)}) +
                     b"".join(gauge_family(f"small_{i}", {"a": 1}) for i in range(100)))
    p = plan(8, f"--content-type={PROTOBUF}", body)
    assert p["suggested_split"]["split"] == ["giant"]
    assert tried_again(p, f"--content-type={PROTOBUF}", body) == p["suggested_split"]["balance"]


def test_an_even_body_needs_no_suggestion(tmp_path):
    body = tmp_path / "body"
    body.write_text("".join(f"series_{i} 1\n" for i in range(5000)))
    assert plan(4, body)["suggested_split"] is None
    assert "skew" not in run("plan", "--shard-count=4", str(body))[1]


def test_skew_that_splitting_cannot_reduce(tmp_path):
    """Families of one series each, too few of them."""
    body = tmp_path / "body"
    body.write_text("".join(f"series_{i} 1\n" for i in range(10)))
    p = plan(16, body)
    assert p["balance"]["skew_series"] > 1.2 and p["suggested_split"] is None
    assert "Splitting families would not reduce the skew" in run("plan", "--shard-count=16", str(body))[1]


# Label cardinality.


def label_counts(body, protobuf):
    """{(family, label): its number of values}, and {family: its series}."""
    values, series = collections.defaultdict(set), collections.Counter()
    if protobuf:
        for name, _, fields in messages(body):
            for metric in (value for number, value in fields if number == 4):
                series[family_key(name)] += 1
                for label in (dict(read_fields(value)) for number, value in read_fields(metric) if number == 1):
                    values[family_key(name), label[1].decode()].add(label.get(2, b""))
    else:
        for line in lines(body):
            if not line.startswith(b"#") and (name := line_name(line)):
                series[family_key(name)] += 1
                of_sample = re.match(rb'[^{ ]*(?:\{((?:[^"}]|"(?:\\.|[^"\\])*")*))?', line)[1]
                for label, value in re.findall(rb'(\w+)="((?:\\.|[^"\\])*)"', of_sample or b""):
                    values[family_key(name), label.decode()].add(value)
    return {key: len(found - {b""}) for key, found in values.items() if found - {b""}}, series


@pytest.mark.parametrize("name", CAPTURED)
def test_labels_of_the_largest_families(name):
    counts, series = label_counts((CASES / f"{name}.in").read_bytes(), "protobuf" in name)
    found = plan(7, *case(name))["label_cardinality"]
    assert [f["series"] for f in found] == sorted(series.values(), reverse=True)[:5]
    for f in found:
        assert f["series"] == series[f["family"]] and not f["more_labels"]
        wanted = [{"label": label, "values": n, "at_least": False}
                  for (family, label), n in counts.items() if family == f["family"]]
        assert f["labels"] == sorted(wanted, key=lambda w: (-w["values"], w["label"]))


LABELLED = """# TYPE a gauge
a{x="1",y="p\\nq",le=""} 1
a { x = "2" , y = "p\\\\nq" , } 1
{"a","x y"="1",x="1"} 1
# TYPE b histogram
b_bucket{le="1",x="1"} 1 # {trace="1"} 1
b_bucket{le="+Inf",x="1"} 2 # {trace="2"} 1
a{x="3",y="\U0001f600"} 1
"""


def test_labels_as_they_are_written():
    """Escapes, blanks, quoted names, empty values, exemplars; a family that is there in two places."""
    found = plan(3, input=LABELLED.encode())["label_cardinality"]
    assert [(f["family"], f["series"], {v["label"]: v["values"] for v in f["labels"]}) for f in found] == [
        ("a", 4, {"x": 3, "y": 3, "x y": 1}), ("b", 2, {"le": 2, "x": 1})]
    out = run("plan", "--shard-count=3", input=LABELLED)[1]
    assert "          4 series  a  x 3, y 3, x y 1\n          2 series  b  le 2, x 1\n" in out


@pytest.mark.parametrize("setting", ["rules.split=.*", "sharding.key=name", "sharding.key=declared", "rules.replicate=go_.*",
                                     "rules.colocate=g: .*"])
@pytest.mark.parametrize("name", ["node-exporter-text-6of7", "node-exporter-protobuf-5of7"])
def test_labels_do_not_depend_on_the_sharding(name, setting):
    if "protobuf" in name and setting == "sharding.key=name":
        pytest.skip("protobuf has no such key")
    def found(*args):
        found = plan(7, *args, *case(name))["label_cardinality"]
        return {family_key(f["family"]): f["labels"] for f in found if f["series"] > 4}
    assert found(f"--set={setting}") == found() and found()


def test_many_labels_and_values():
    """Beyond the limits, at least is said."""
    names = [f"l{i:02}" for i in range(70)]
    body = "".join('wide{' + ",".join(f'{n}="{i}"' for n in names) + '} 1\n' for i in range(3))
    body += "".join(f'tall{{id="{i}",one="1"}} 1\n' for i in range(100_010))
    body += "".join(f'exact{{id="{i}"}} 1\n' for i in range(100_000))
    found = {f["family"]: f for f in plan(3, input=body.encode())["label_cardinality"]}
    assert found["tall"]["labels"] == [{"label": "id", "values": 100_000, "at_least": True},
                                       {"label": "one", "values": 1, "at_least": False}]
    assert found["exact"]["labels"] == [{"label": "id", "values": 100_000, "at_least": False}]
    assert found["wide"]["labels"] == [{"label": n, "values": 3, "at_least": False} for n in names[:64]]
    assert [found[n]["more_labels"] for n in ("wide", "tall", "exact")] == [True, False, False]
    out = run("plan", "--shard-count=3", input=body)[1]
    assert "     100010 series  tall  id at least 100000, one 1\n" in out
    assert "          3 series  wide  l00 3, l01 3, l02 3, l03 3, l04 3, and more than 59 other labels\n" in out


def test_values_of_all_labels_are_limited():
    names = [f"l{i:02}" for i in range(12)]
    body = "".join('a{' + ",".join(f'{n}="{i}"' for n in names) + '} 1\n' for i in range(90_000))
    found, = plan(3, input=body.encode())["label_cardinality"]
    assert sum(v["values"] for v in found["labels"]) == 1_000_000 and all(v["at_least"] for v in found["labels"])


# Sources of the body.


def test_standard_input():
    body = (CASES / "node-exporter-text-6of7.in").read_bytes()
    for where in [], ["-"]:
        p = plan(7, *where, input=body)
        assert p["body"]["source"] == "standard input" and p["body"]["bytes"] == len(body)


def test_a_line_longer_than_a_sidecar_takes_by_default():
    assert plan(3, input=b'a{b="' + b"x" * 2**21 + b'"} 1\n')["body"]["series"] == 1


@pytest.mark.parametrize("empty", [b"", b"\n", b"# only a comment\n"])
def test_a_body_without_series(empty):
    p = plan(3, input=empty)
    assert [s["series"] for s in p["shards"]] == [0, 0, 0] and p["balance"]["skew_series"] == 1
    assert run("plan", "--shard-count=3", input=empty.decode())[0] == 0


@pytest.mark.parametrize("unix", [False, True])
def test_url(upstream, tmp_path, unix):
    """The response's content type decides, and the Accept header is that of Prometheus."""
    body = b"# TYPE a counter\na_total 1\n# EOF\n"
    service = upstream(answering(answer(body, OPENMETRICS)), path=str(tmp_path / "socket") if unix else None)
    p = plan(3, service.url)
    assert (p["body"]["format"], p["body"]["series"], p["body"]["source"]) == ("openmetrics", 1, service.url)
    assert f"Accept: {ACCEPT}\r\n".encode() in service.requests[0]
    plan(3, "--accept=text/plain", service.url)
    assert b"Accept: text/plain\r\n" in service.requests[1]


@pytest.mark.parametrize("key", ["family", "name"])
def test_the_accept_is_what_a_sidecar_would_send(upstream, sidecar, key):
    """With a key for which protobuf is not offered."""
    service = upstream(answering(answer(b"a 1\n", TEXT)))
    s = sidecar(service.url, f"--set=sharding.key={key}")
    for accept in f"{PROTOBUF.replace(' ', '')},{ACCEPT}", PROTOBUF, ACCEPT:
        s.get(headers={"Accept": accept})
        plan(3, f"--set=sharding.key={key}", f"--accept={accept}", service.url)
        sent = [re.findall(rb"\r\nAccept: (.*)\r\n", request) for request in service.requests[-2:]]
        assert sent[0] == sent[1]
        assert any(b"protobuf" in a for a in sent[0]) == (key == "family" and "protobuf" in accept)


def test_real_prometheus_sends_the_same_accept(upstream, process, tmp_path):
    """A later Prometheus than Debian's sends the Accept that plan sends."""
    if prometheus.VERSION < (3, 4):
        pytest.skip("needs PROMETHEUS=/path/to/prometheus, 3.4 or later")
    service = upstream(answering(answer(b"a 1\n", TEXT)))
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
        {"job_name": "a", "static_configs": [{"targets": [service.url.split("/")[2]]}]}]}))
    process([prometheus.BINARY, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
             "--web.listen-address=127.0.0.1:0"])
    wait_until(lambda: service.requests, "Prometheus does not scrape", 60)
    plan(3, service.url)
    accept = [re.search(rb"\r\nAccept: (.*)\r\n", r)[1] for r in (service.requests[0], service.requests[-1])]
    assert accept[0] == accept[1]


def closing(head, body):
    def serve(service, connection):
        service.read_request(connection)
        connection.sendall(head + body)
    return serve


CLOSE = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n"


@pytest.mark.parametrize("serve, said", [
    (answering(answer(b"no such page\nmore", status="404 Not Found")), "HTTP status 404: no such page\n"),
    (answering(answer(b"\x1b[31mred\x9b", status="500 No")), "HTTP status 500: \\x1b[31mred\\x9b\n"),
    (answering(answer(b"", status="301 Moved", extra=["Location: /other"])), "status 301) to \"/other\", "),
    (answering(answer(gzip.compress(b"a 1\n"), extra=["Content-Encoding: gzip"])), "Content-Encoding gzip was not requested"),
    (answering(answer(b"<html>\n")), "line 1, byte 0: "),
    (answering(answer(b"a 1\nb 2\nc\n")), "line 3, byte 8: "),
    (answering(answer(b"a 1\n", OPENMETRICS)), "the body ends without # EOF"),
    (closing(CLOSE, b"a 1\nb 12"), "the connection was closed in mid-body"),
    (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", b"a 1\n"), "46 bytes remaining"),
    (closing(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", b"a 1\n"), "two different Content-Lengths"),
    (closing(b"", b""), "Empty reply"),
])
def test_url_without_a_body(upstream, serve, said):
    service = upstream(serve)
    status, out, err = run("plan", "--shard-count=3", service.url)
    assert (status, out) == (1, "")
    assert complaints(err).startswith(f"scrapeshard: {service.url}: ") and said in err


def test_url_closed_behind_a_whole_body(upstream):
    assert plan(3, upstream(closing(CLOSE, b"a 1\nb 12\n")).url)["body"]["series"] == 2


def test_url_that_takes_too_long(upstream):
    over = threading.Event()

    def serve(service, connection):
        service.read_request(connection)
        over.wait(60)
    status, _, err = run("plan", "--shard-count=3", "--timeout=200ms", upstream(serve).url)
    over.set()
    assert status == 1 and "no complete response within 0.2 s" in err


@pytest.mark.parametrize("args, status, said", [
    ([], 2, "--shard-count is required"),
    (["--shard-count=65537"], 2, "--shard-count: "),
    (["--shard-count=3", "a", "b"], 2, "plan expects one body"),
    (["--shard-count=3", "--to=0"], 2, "--to: "),
    (["--shard-count=3", "--targets=-1"], 2, '--targets: "-1" '),
    (["--shard-count=3", "--targets=0"], 2, '--targets: "0" is not a number above 0'),
    (["--shard-count=3", "--interval=1s"], 2, "--interval needs --targets"),
    (["--shard-count=3", "--targets=1", "--interval=0s"], 2, '--interval: "0s" is not a positive duration'),
    (["--shard-count=3", "ftp://host/"], 2, '"ftp://host/" '),
    (["--shard-count=3", "--timeout=soon", "http://127.0.0.1:1/"], 2, '--timeout: "soon" '),
    (["--shard-count=3", "--accept=a\nb", "http://127.0.0.1:1/"], 2, "--accept: expected a header of one line"),
    (["--shard-count=3", "/nonexistent"], 1, "/nonexistent: No such file"),
    (["--shard-count=3", "/"], 1, "/: Is a directory"),
    (["--shard-count=3", str(ROOT / "tests/cases/html.in")], 1, "html.in: line 1, byte 0: "),
    (["--shard-count=3", "--set=sharding.key=name", f"--content-type={PROTOBUF}",
      str(ROOT / "tests/cases/protobuf-node-1of3.in")], 1, "does not work in protobuf"),
])
def test_plan_refuses(args, status, said):
    r = run("plan", *args, input="")
    assert r[0] == status and said in r[2]
    assert r[1] == ""


@pytest.mark.parametrize("args", [
    ["plan", "--shard-count=3", NODE], ["plan", "--shard-count=3", "--json", NODE], ["explain", "--shard-count=3", "up"],
    ["split", "--shard=0", "--shard-count=1", NODE], ["check", ROOT / "conf/scrapeshard.ini"],
    ["check", "--print", ROOT / "conf/scrapeshard.ini"], ["--version"], ["--help"], ["verify", "--help"],
])
def test_output_that_cannot_be_written_fails(args):
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([BINARY, *args], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1 and b"standard output: No space left" in done.stderr


# Rules that have to stay right.


def rule_file(path, **rules):
    path.write_text(json.dumps({"groups": [{"name": "g", "rules": [{"alert": n, "expr": e} for n, e in rules.items()]}]}))
    return path


def uneven(**families):
    return "".join(f'{name}{{i="{i}"}} 1\n' for name, n in families.items() for i in range(n))


def test_standard_input_is_read_once(tmp_path):
    """The second reader would find it empty: no rules, or no series."""
    body, file = tmp_path / "body", rule_file(tmp_path / "rules.yml", A="a > 1")
    body.write_text("a 1\n")
    for args, names in ((["--rules=-"], "--rules=- and the body"), (["--rules=-", "-"], "--rules=- and the body"),
                        (["--rules=-", f"--rules={file}", "--rules=-", body], "--rules=- and --rules=-")):
        status, out, err = run("plan", "--shard-count=3", *args, input=file.read_text())
        assert (status, out) == (2, "") and f"{names} both read standard input" in err
    assert plan(3, "--rules=-", body, input=file.read_bytes())["rules"]["rules"] == 1
    assert plan(3, f"--rules={file}", input=body.read_bytes())["rules"]["rules"] == 1


def test_what_rules_need_is_not_split(tmp_path):
    body, file = tmp_path / "body", tmp_path / "rules.yml"
    body.write_text(uneven(giant=2000, whole=800, other_a=10, other_b=10, **{f"f{i}": 15 for i in range(60)}))
    rule_file(file, Sum="sum(whole) > 1", One="giant > 1", Pair="other_a / other_b")
    without, p = plan(8, body), plan(8, f"--rules={file}", body)
    line = "colocate = other: other_a|other_b"
    assert without["suggested_split"]["split"] == ["giant|whole"] and without["rules"] is None
    assert p["rules"] == {"rules": 3, "right": 2, "lines": [line], "right_after": 3}
    assert p["suggested_split"]["split"] == ["giant"]
    assert without["split_all"]["colocate"] is None and p["split_all"]["colocate"] == "(whole)"
    # All numbers are those of the configuration with the lines.
    force = ["--set=rules.colocate=other: other_a|other_b"]
    assert p["balance"] == plan(8, *force, body)["balance"]
    assert p["suggested_split"]["balance"] == plan(8, *force, "--set=rules.split=giant", body)["balance"]
    assert p["split_all"]["balance"] == plan(8, *force, "--set=rules.colocate=(whole)", "--set=rules.split=.*", body)["balance"]
    assert without["split_all"]["balance"] == plan(8, "--set=rules.split=.*", body)["balance"]
    assert without["split_all"]["balance"]["skew_series"] < 1.2
    out = run("plan", "--shard-count=8", f"--rules={file}", body)[1]
    assert f"2 of 3 rules are right. This report assumes these lines:\n    [rules]\n    {line}\n" in out
    assert "colocate = (whole)" in out


@pytest.mark.parametrize("expression, right", [
    ('sum({__name__=~"whole(_total)?"}) > 1', 1), ("sum(whole) or sum(up) * 0", 0), ("sum(whole) or vector(0)", 0),
    ("up * on (x) sum(whole) or up", 0)])
def test_what_rules_of_any_kind_need_is_not_split(tmp_path, expression, right):
    body, file = tmp_path / "body", tmp_path / "rules.yml"
    body.write_text(uneven(giant=2000, whole=800, **{f"f{i}": 15 for i in range(60)}))
    p = plan(8, f"--rules={rule_file(file, Sum=expression, One='giant > 1')}", body)
    assert p["rules"]["right"] == right + 1
    assert p["suggested_split"]["split"] == ["giant"] and p["split_all"]["colocate"] == "(whole)"


@pytest.mark.parametrize("key", ["family", "declared", "name"])
@pytest.mark.parametrize("name, kind", [("whole_total", "counter"), ("whole_bucket", "histogram"), ("whole", "gauge")])
def test_what_rules_need_is_not_split_under_any_key(tmp_path, key, name, kind):
    """The rule names a sample, the suggestion a family of the body."""
    body, file = tmp_path / "body", tmp_path / "rules.yml"
    family = name.removesuffix("_bucket")
    body.write_text(f"# TYPE {family} {kind}\n" + uneven(**{name: 800}, giant=2000, **{f"f{i}": 15 for i in range(60)}))
    force = f"--set=sharding.key={key}"
    p = plan(8, force, f"--rules={rule_file(file, Sum=f'sum({name}) > 1', One='giant > 1')}", body)
    assert plan(8, force, body)["suggested_split"]["families"] == 2
    assert p["suggested_split"]["split"] == ["giant"]


@pytest.mark.parametrize("expression", ['count({__name__=~".+"}) > 9', 'sum({__name__=~"gone.*"})',
                                        'sum({i="1"}) > 9', 'topk(3, count by (__name__) ({__name__=~"giant|whole"}))'])
def test_rules_over_several_names_do_not_decide(tmp_path, expression):
    """They are not right before, and other services may have more of the families."""
    body, file = tmp_path / "body", tmp_path / "rules.yml"
    body.write_text(uneven(giant=2000, whole=800, **{f"f{i}": 15 for i in range(60)}))
    p = plan(8, f"--rules={rule_file(file, Any=expression)}", body)
    assert p["rules"] == {"rules": 1, "right": 0, "lines": [], "right_after": 0}
    assert p["suggested_split"]["split"] == ["giant|whole"]


def test_with_split_everywhere_rules_are_right(tmp_path):
    """By what rules says: parts of an alert over one family are harmless."""
    body, file = tmp_path / "body", tmp_path / "rules.yml"
    body.write_text(uneven(giant=2000, whole=800, a=9, b=9))
    rule_file(file, Sum="sum(whole) > 1", One="giant > 1", Pair="a / b")
    p = plan(8, f"--rules={file}", body)
    force = [f"--set=rules.{line.replace(' = ', '=', 1)}" for line in
             [*p["rules"]["lines"], f"colocate = {p['split_all']['colocate']}", "split = .*"]]
    said = json.loads(run("rules", "--json", *force, file)[1])
    assert {r["name"]: r["verdict"] for r in said["rules"]} == {"Sum": "right", "One": "in parts", "Pair": "right"}
    assert said["lines"] == [] and said["ruler"] == []


def test_a_few_giants_cure_most(tmp_path):
    body = tmp_path / "body"
    body.write_text(uneven(giant=4000, **{f"f{i}": 200 for i in range(20)}))
    p = plan(8, body)
    if p["suggested_split"]["families"] > 1:
        assert p["few_splits"]["families"] < p["suggested_split"]["families"]
        few = p["few_splits"]["balance"]["skew_series"]
        assert p["suggested_split"]["balance"]["skew_series"] < few < p["balance"]["skew_series"]
        assert "the first 1 " in run("plan", "--shard-count=8", body)[1]
    assert p["few_splits"], p["suggested_split"]


def test_rules_that_cannot_be_read(tmp_path):
    """The exit status is that of rules; that of a body is another."""
    body, file = tmp_path / "body", tmp_path / "rules.yml"
    body.write_text("a 1\n")
    rule_file(file, A="sum(")
    for wrong, said in (file, f"{file}:1:"), (tmp_path / "none.yml", "none.yml: No such file"):
        status, out, err = run("plan", "--shard-count=8", f"--rules={wrong}", body)
        assert (status, out) == (3, "") and said in err
        assert run("rules", wrong)[0] == 3
    rule_file(file, A="a")
    assert run("plan", "--shard-count=8", f"--rules={file}", tmp_path / "none")[0] == 1


RULES = (ROOT / "contrib/docs/rules.md").read_text()
TOOLS = (ROOT / "contrib/docs/tools.md").read_text()


def test_documentation_shows_the_output_of_plan(tmp_path):
    """rules.md shows plan for the body of the bench."""
    body = subprocess.run(["/usr/bin/python3", ROOT / "tests/bench/body.py"], capture_output=True, check=True).stdout
    (tmp_path / "app.prom").write_bytes(body)
    status, out, _ = run("plan", "--shard-count=8", "--targets=3400", "--interval=60s", "app.prom", cwd=tmp_path)
    shown = RULES.split("$ scrapeshard plan --shard-count=8 --targets=3400 --interval=60s app.prom\n", 1)[1]
    shown = re.sub("^ {4}", "", shown.split("\nIn protobuf", 1)[0], flags=re.M)
    assert status == 0
    for part in shown.split("...\n"):
        assert part.strip("\n") in out


def test_documentation_names_the_keys_of_json():
    row = re.search(r"^\| plan \| (.*) \|$", TOOLS, re.M)[1]

    def keys(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)
        for inner in value if isinstance(value, list) else []:
            yield from keys(inner)
    found = set(keys(plan(80, "--targets=1", NODE)))
    assert len(found) > 40
    assert {k for k in found if not re.search(rf"\b{k}\b", row)} == {"sharding", "key", "hash", "placement"}


def test_json_of_strange_names():
    """The JSON is UTF-8, whatever bytes a family's name has."""
    name = b'{"a\x01\x7f\xff\\"\\\\\\nb\xc3\xa9"} 1\n'
    p = plan(1, input=name)
    assert p["largest_families"][0]["family"] == 'a\x01\x7f\ufffd"\\\nbé'
