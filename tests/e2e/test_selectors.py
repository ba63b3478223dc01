# SPDX-License-Identifier: Apache-2.0
"""keep, drop and replicate with a selector: bodies of real services, streamed and from a snapshot, compared with another
implementation."""
import json
import re
import subprocess

import pytest

from conftest import BINARY, OPENMETRICS, ROOT, TEXT, answer, answering
from exposition import PROTOBUF, family_key, line_name, lines, shard_of, varint
from test_explain import explain
from test_sharding import metric_labels, raw_messages, read_labels
from test_telemetry import after, value

CASES = ROOT / "tests/cases"
BODIES = {"selector-drop-text": TEXT, "prometheus-text-9of80": TEXT, "selector-drop-openmetrics": OPENMETRICS,
          "prom-client-openmetrics-4of7": OPENMETRICS, "selector-drop-protobuf": PROTOBUF,
          "prometheus-protobuf-6of7": PROTOBUF}
RULES = {
    "drop": {"drop": [("http_.*", ["code=~2..", "job!=batch"]), ("", ["service=~login|pay.*", "le_="]),
                      ("prometheus_.*", ["handler!~/api.*", "handler!="])]},
    "keep": {"keep": [("", ["code!="]), ("[a-m].*", ["code=", "room!~b"])]},
    "replicate": {"replicate": [("http_.*|prometheus_h.*", ["code=~[45].."]), ("", ["role=~.+"]), ("nodejs.*", ["type=~Pipe"])]},
    "all": {"drop": [("", ["code=404"])], "keep": [(".*_seconds|.*(_total|_requests|info|_celsius)", ["job!=batch"])],
            "replicate": [("", ["code=200"]), (".*", ["room=b"])]},
}
COUNT = 3


def body_of(name):
    """Without a quoted name, which the implementation below does not read."""
    return (CASES / f"{name}.in").read_bytes().replace(b'{"temperature.celsius",room="b"} 1\n', b"")


def setting(action, rule):
    pattern, matchers = rule
    written = ", ".join(re.sub(r"^(\w+)(=~|!~|!=|=)(.*)$", r'\1\2"\3"', m) for m in matchers)
    return f"--set=rules.{action}={pattern}{{{written}}}"


def settings(rules):
    return [setting(action, rule) for action in rules for rule in rules[action]]


# The contract in Python.


def matches(matcher, pairs):
    label, op, wanted = re.fullmatch(r"(\w+)(=~|!~|!=|=)(.*)", matcher).groups()
    value = dict(pairs).get(label, "")
    found = re.fullmatch(wanted, value, re.DOTALL) is not None if "~" in op else value == wanted
    return found != op.startswith("!")


def concerns(rules, action, names):
    """The selectors of an action that concern a line with these names."""
    return [matchers for pattern, matchers in rules.get(action, ())
            if not pattern or any(re.fullmatch(pattern, n, re.DOTALL) for n in names)]


def decide(rules, names, pairs):
    """drop, replicate or None; of metadata (pairs is None) only what the names decide."""
    if "keep" in rules and not concerns(rules, "keep", names):
        return "drop"
    if pairs is None:
        return None

    def selected(action):
        return any(all(matches(m, pairs) for m in matchers) for matchers in concerns(rules, action, names))
    if selected("drop") or ("keep" in rules and not selected("keep")):
        return "drop"
    return "replicate" if selected("replicate") else None


def text_shards(rules, body, openmetrics):
    types = {n.decode(): t.decode() for n, t in re.findall(rb"^# TYPE (\S+) (\S+)$", body, re.M)}
    shards, waiting = [[] for _ in range(COUNT)], [{} for _ in range(COUNT)]
    for line in lines(body):
        name, meta = line_name(line), line.startswith(b"#")
        if name is None:
            targets = range(COUNT) if line.rstrip(b"\n") == b"# EOF" else [0]
        else:
            family = family_key(name)
            names, home = [family, name], shard_of(name, COUNT)
            if meta and openmetrics:
                names.append(name + {"counter": "_total", "info": "_info"}.get(types.get(name), ""))
            action = decide(rules, names, None if meta else read_labels(re.sub(rb"\s*([=,])\s*", rb"\1", line)))
            targets = {"drop": [], "replicate": range(COUNT)}.get(action, [home])
            if meta and targets and concerns(rules, "replicate", names):
                for i in set(range(COUNT)) - {home}:
                    waiting[i].setdefault(family, []).append(line)
        for i in targets:
            if name is not None and not meta:
                shards[i] += waiting[i].pop(family, [])
            shards[i].append(line)
    return [b"".join(shard) for shard in shards]


def protobuf_shards(rules, body):
    shards = [[] for _ in range(COUNT)]
    for raw, fields in raw_messages(body):
        name = next(value for number, _, value in fields if number == 1).decode()
        names, home = [family_key(name), name], shard_of(name, COUNT)
        if decide(rules, names, None) == "drop":
            continue
        places = [{"drop": [], "replicate": range(COUNT)}.get(decide(rules, names, list(metric_labels(value))), [home])
                  if number == 4 else None for number, _, value in fields]
        for i in range(COUNT):
            if i == home or any(i in place for place in places if place is not None):
                message = b"".join(f for (_, f, _), place in zip(fields, places) if place is None or i in place)
                shards[i].append(varint(len(message)) + message)
    return [b"".join(shard) for shard in shards]


def expected_shards(rules, body, content_type):
    if content_type == PROTOBUF:
        return protobuf_shards(rules, body)
    return text_shards(rules, body, content_type == OPENMETRICS)


def samples_of(body, content_type):
    """The series of a body: lines, or names with their metrics."""
    if content_type == PROTOBUF:
        return [(next(v for n, _, v in fields if n == 1), raw) for _, fields in raw_messages(body)
                for number, raw, _ in fields if number == 4]
    return [line for line in lines(body) if not line.startswith(b"#") and line.strip()]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", BODIES)
def test_every_shard_streamed_and_from_a_snapshot(upstream, sidecar, name, rules):
    body, content_type, rules = body_of(name), BODIES[name], RULES[rules]
    wanted = expected_shards(rules, body, content_type)
    url = upstream(answering(answer(body, content_type))).url
    for max_age in "0s", "1m":
        s = sidecar(url, *settings(rules), f"--set=endpoint.app.max_age={max_age}")
        for i in range(COUNT):
            status, _, got = s.get(f"/metrics?shard={i}&shard_count={COUNT}")
            assert (status, got) == (200, wanted[i]), f"shard {i}, max_age {max_age}"
    after(s, COUNT, "app")
    kept = sum(len(samples_of(shard, content_type)) for shard in wanted)
    assert value(s, "series_kept_total", endpoint="app") == kept


@pytest.mark.parametrize("name", ["selector-drop-text", "selector-drop-openmetrics", "selector-drop-protobuf"])
@pytest.mark.parametrize("rules", ["drop", "all"])
def test_verify(upstream, sidecar, name, rules):
    body, flags = body_of(name), settings(RULES[rules])
    service = upstream(answering(answer(body, BODIES[name])))
    s = sidecar(service.url, *flags)
    done = subprocess.run([BINARY, "verify", f"--shard-count={COUNT}", "--json", *flags, f"--whole={service.url}",
                           f"http://127.0.0.1:{s.port}/metrics"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    shards = expected_shards(RULES[rules], body, BODIES[name])
    assert found["ok"] and found["dropped_series"] == len(samples_of(body, BODIES[name])) - len(
        {one for shard in shards for one in samples_of(shard, BODIES[name])})


def test_plan():
    """What selectors drop and replicate is counted series by series."""
    path = CASES / "selector-drop-text.in"
    done = subprocess.run([BINARY, "plan", f"--shard-count={COUNT}", "--json", *settings(RULES["all"]), path],
                          capture_output=True, check=True)
    plan, shards = json.loads(done.stdout), expected_shards(RULES["all"], path.read_bytes(), TEXT)
    assert [shard["series"] for shard in plan["shards"]] == [len(samples_of(shard, TEXT)) for shard in shards]
    assert [shard["bytes"] for shard in plan["shards"]] == [len(shard) for shard in shards]
    all_series = [samples_of(shard, TEXT) for shard in shards]
    replicated = sum(all(line in shard for shard in all_series) for line in all_series[0])
    assert plan["body"]["replicated_series"] == replicated
    assert plan["body"]["dropped_series"] == plan["body"]["series"] - sum(map(len, all_series)) + (COUNT - 1) * replicated


MISTAKES = {
    'drop = a{le="1"}': (7 + 2, "le cannot be selected"),
    'keep = a{b=~"c", quantile="0.5"}': (7 + 10, "quantile cannot be selected"),
    'replicate = é{b=~"c("}': (12 + 9, "missing closing parenthesis"),
    'drop = a{b="c" ;"}': (7 + 7, "expected a comma or }"),
    'split = a{b="c"}': (8 + 1, "this rule takes no selector"),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_check(tmp_path, line):
    file = tmp_path / "s.ini"
    file.write_text(f"[endpoint app]\nupstream = http://127.0.0.1:1/metrics\n[rules]\n{line}\n")
    done = subprocess.run([BINARY, "check", file], capture_output=True, text=True, check=False)
    column, reason = MISTAKES[line]
    assert done.returncode == 1
    message, shown, caret = (done.stdout + done.stderr).splitlines()[:3]
    assert message.startswith(f"{file}:4:{column + 1}: rules.{line.split()[0]}: {reason}"), message
    assert caret.index("^") - 4 == len(line.encode()[:column].decode()) and shown == "    " + line


def test_what_is_in_force(tmp_path):
    """check --print writes selectors so that they are read back."""
    file, rules = tmp_path / "s.ini", ['a{b="c;d", e=~"\\\\d{2}"}', '{b!=""}', "a{b='c'}"]
    file.write_text("[rules]\n" + "".join(f"drop = {rule}\n" for rule in rules))
    args = [BINARY, "check", "--print", "--set=endpoint.app.upstream=http://127.0.0.1:1/"]
    first = subprocess.run([*args, file], capture_output=True, text=True, check=True).stdout
    assert re.findall("(?m)^drop = (.*)$", first) == rules
    file.write_text(first)
    assert subprocess.run([*args, file], capture_output=True, text=True, check=True).stdout == first


def test_explain():
    rules = ["--set=rules.drop=http_.*{code=~\"2..\"}", "--set=rules.replicate={env=\"prod\"}"]
    dropped, placed, everywhere = explain(8, *rules, 'http_requests_total{a="b",code="204"}', "http_requests_total", 'x{env="prod"}')
    assert (dropped["shards"], dropped["rule"]) == ("none", {"action": "drop", "pattern": 'http_.*{code=~"2.."}'})
    assert (placed["shards"], placed["rule"]) == ("one", None)
    assert everywhere["shards"] == "every" and everywhere["rule"]["pattern"] == '{env="prod"}'
    report = subprocess.run([BINARY, "explain", "--shard-count=8", *rules, "http_requests_total"], capture_output=True,
                            text=True, check=True).stdout
    assert report.endswith('none: key = family decides\n          by its labels: drop = http_.*{code=~"2.."}\n'), report
