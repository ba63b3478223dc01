# SPDX-License-Identifier: Apache-2.0
"""scrapeshard rules: its verdicts on public rules match an independent evaluation, and its lines fix the rules."""
import collections
import glob
import json
import os
import random
import re
import subprocess

import pytest
from conftest import BINARY, ROOT, SLOW, TEXT, answer, answering, run
from prometheus import PROMTOOL

RULES = ROOT / "tests/rules"
ORACLES = sorted(glob.glob(str(RULES / "oracle/*.tsv")))
VERDICTS = ["right", "everywhere", "silent", "false", "false elsewhere", "in parts", "unknown"]


def rules(*args, **options):
    """The exit status and the output of rules --json."""
    status, out, err = run("rules", "--json", *map(str, args), **options)
    assert err == "" and status in (0, 1), err
    return status, json.loads(out)


def verdicts(report):
    return {r["name"]: r["verdict"] for r in report["rules"]}


@pytest.fixture(name="rule_file")
def make_rule_file(tmp_path):
    def make(text, name="rules.yml"):
        path = tmp_path / name
        path.write_text(text)
        return path
    return make


def group(*items):
    """A rule file: items are (name, expression), and a name with a colon is recorded."""
    written = [{"record" if ":" in name else "alert": name, "expr": expression} for name, expression in items]
    return json.dumps({"groups": [{"name": "g", "rules": written}]})


# Public rules.


def oracle_rows(path):
    """(the files, the verdict and families of each of their rules, in order)"""
    with open(path, encoding="utf-8") as table:
        rows = [line.rstrip("\n").split("\t") for line in table.readlines()[1:]]
    report = collections.defaultdict(list)
    for file, in_group, kind, name, verdict, selectors, families, _ in rows:
        verdict = {"every server": "everywhere"}.get(verdict, verdict)
        report[file, in_group, kind, name].append((verdict, selectors.split(), families.split()))
    return list(dict.fromkeys(row[0] for row in rows)), report


@pytest.mark.parametrize("oracle", ORACLES, ids=os.path.basename)
def test_selectors_families_and_verdicts_are_the_oracles(oracle):
    files, wanted = oracle_rows(oracle)
    status, report = rules(*files, cwd=RULES)
    got = collections.defaultdict(list)
    for r in report["rules"]:
        got[r["file"], r["group"], r["kind"], r["name"]].append((r["verdict"], r["selectors"], r["families"]))
    assert got == wanted
    counted = collections.Counter(r["verdict"] for r in report["rules"])
    assert report["totals"] == {"rules": len(report["rules"]), **{v: counted[v] for v in VERDICTS}}
    assert status == (counted["right"] + counted["everywhere"] != len(report["rules"]))


def as_settings(lines):
    return [f"--set=rules.{line.replace(' = ', '=', 1)}" for line in lines]


@pytest.mark.parametrize("oracle", ORACLES, ids=os.path.basename)
def test_the_lines_fix_the_rules(oracle, config):
    """The lines are the same in every run. With them in force, from a file or from flags, rules reports what it predicted
    and adds no more lines."""
    files, _ = oracle_rows(oracle)
    _, report = rules(*files, cwd=RULES)
    assert rules(*files, cwd=RULES)[1] == report
    lines, after = report["lines"], report["after"]
    file = config("[rules]\n" + "".join(f"{line}\n" for line in lines))
    for force in [f"--config.file={file}"], as_settings(lines):
        status, again = rules(*force, *files, cwd=RULES)
        assert (again["totals"], again["lines"], again["after"]) == (after, [], after)
        assert status == (after["right"] + after["everywhere"] != after["rules"])
        assert again["ruler"] == report["ruler"]
    wrong = [r for r in again["rules"] if r["verdict"] not in ("right", "everywhere")]
    assert [(r["file"], r["line"], r["name"]) for r in wrong] == [(r["file"], r["line"], r["name"]) for r in report["ruler"]]
    assert {r["name"] for r in wrong} <= {"etcdMembersDown", "etcdHighNumberOfLeaderChanges", "InfoInhibitor"}


def test_the_example_of_groups():
    """contrib/prometheus has the lines for the rules of the node exporter's mixin."""
    example = ROOT / "contrib/prometheus/groups.ini"
    files = ["mixins/node-exporter.alerts.yaml", "mixins/node-exporter.rules.yaml"]
    lines = [line for line in example.read_text().splitlines() if line.startswith(("colocate", "replicate"))]
    assert lines == rules(*files, cwd=RULES)[1]["lines"]
    assert rules(f"--config.file={example}", *files, cwd=RULES)[0] == 0


def used():
    """The processor time of finished children: not that of others on the machine."""
    times = os.times()
    return times.children_user + times.children_system


def test_all_rules_are_evaluated_quickly():
    """A few hundredths of a second."""
    files, before = sorted(glob.glob(str(RULES / "*/*.yaml"))), used()
    _, report = rules(*files, *files[:8])
    assert report["totals"]["rules"] > 800
    assert used() - before < 5 * SLOW


# One rule.


def test_the_json_output(rule_file):
    file = rule_file(group(("Full", "node_filesystem_avail_bytes / node_filesystem_size_bytes"), ("Up", "up == 0"),
                           ("Gone", "absent(a_total)"), ("job:a", "sum(rate(a_total[5m]))")))
    status, report = rules(file)
    nothing = dict.fromkeys(VERDICTS, 0)
    line = "colocate = node_filesystem: node_filesystem_avail_bytes|node_filesystem_size_bytes"
    why = "`absent()` is true on every server that does not have `a_total`; guard it with `and on () X`, where X always " \
        "exists and is on the same server"
    common = {"file": str(file), "line": 1}
    assert status == 1 and report == {
        "totals": {"rules": 4, **nothing, "right": 1, "everywhere": 1, "silent": 1, "false elsewhere": 1},
        "rules": [
            common | {"group": "g", "kind": "alert", "name": "Full", "verdict": "silent",
                      "selectors": ["node_filesystem_avail_bytes", "node_filesystem_size_bytes"],
                      "families": ["node_filesystem_avail_bytes", "node_filesystem_size_bytes"],
                      "why": "no server has both sides of `/`"},
            common | {"group": "g", "kind": "alert", "name": "Up", "verdict": "everywhere",
                      "selectors": ["up"], "families": [],
                      "why": "every server has everything it needs and evaluates it independently"},
            common | {"group": "g", "kind": "alert", "name": "Gone", "verdict": "false elsewhere",
                      "selectors": ["a_total"], "families": ["a"], "why": why},
            common | {"group": "g", "kind": "record", "name": "job:a", "verdict": "right",
                      "selectors": ["a_total"], "families": ["a"], "why": "it needs only one family"}],
        "lines": [line],
        "after": {"rules": 4, **nothing, "right": 2, "everywhere": 1, "false elsewhere": 1},
        "ruler": [common | {"name": "Gone", "why": why}]}


def test_selectors_are_what_the_expression_names(rule_file):
    """In its order, each as often as it is there; null where none is named."""
    file = rule_file(group(("A", "{'c.d'} + b * on (x) {__name__='a'} + b + {x='y'} + {__name__=~'e|f'}"), ("B", "vector(1)"),
                           ("C", "info(a) + info(b, {x='y'})")))
    assert [r["selectors"] for r in rules(file)[1]["rules"]] == [["c.d", "b", "a", "b", None, None], [], ["a", "b", None]]


def test_exit_statuses(rule_file, config):
    good, bad = rule_file(group(("A", "a > 1")), "good.yml"), rule_file(group(("A", "a / b")), "bad.yml")
    assert run("rules", good)[0] == 0
    assert run("rules", bad)[0] == 1
    assert run("rules", good, bad)[0] == 1
    assert run("rules", rule_file("", "empty.yml"))[0] == 0
    for wrong in [], ["--nonsense", good], ["--shard-count=0", good], ["--set=sharding.key=x", good]:
        status, out, err = run("rules", *wrong)
        assert (status, out) == (2, "") and err
    for wrong in [good, "/nonexistent"], [f"--config.file={config('[rules')}", good], ["--body=/nonexistent", good], [RULES]:
        status, out, err = run("rules", *wrong)
        assert (status, out) == (3, "") and err


def test_errors_have_file_line_and_column(rule_file):
    broken = rule_file("groups:\n- name: g\n  rules:\n  - record: a\n    expr: |\n      sum(b\n        + )\n", "broken.yml")
    helm = rule_file("{{- if .Values.rules }}\ngroups: []\n{{- end }}\n", "helm.yml")
    shape = rule_file("groups:\n- name: g\n  rules:\n  - alert: \x1b[31m\n", "shape.yml")
    status, out, err = run("rules", broken, helm, shape)
    assert (status, out) == (3, "")
    first, second, third = err.splitlines()
    assert first == f"scrapeshard: {broken}:7:11: expected a metric, a function, a number or `(`, got `)`"
    assert second.startswith(f"scrapeshard: {helm}:1:1: ") and "Helm" in second
    assert third.startswith(f"scrapeshard: {shape}:4:12: ") and "\x1b" not in third


def test_a_group_that_is_there_twice(rule_file):
    """promtool refuses the file too; in another file the name may be there again."""
    text = "groups:\n- {name: g, rules: []}\n- {name: h, rules: []}\n"
    once, other = rule_file(text), rule_file(text, "other.yml")
    twice = rule_file(text + "- name: g\n  rules: [{record: a, expr: b}]\n", "twice.yml")
    for file, good in (once, True), (other, True), (twice, False):
        done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) == good and ('groupname: "g" is repeated' in done.stderr) != good
    assert run("rules", once, other)[0] == 0
    status, out, err = run("rules", once, twice)
    assert (status, out) == (3, "")
    assert err == f"scrapeshard: {twice}:4:9: duplicate group name g\n"


def test_a_file_that_is_too_large(tmp_path):
    file = tmp_path / "large.yml"
    with open(file, "wb") as out:
        out.truncate(100 << 20)
    status, _, err = run("rules", file)
    assert status == 3 and f"{file}:1:1: the file is larger than 32 MiB" in err


def test_what_info_reads_without_a_selector(rule_file):
    file = rule_file(group(("A", "info(a)"), ("x:b", "sum by (x) (info(rate(b_total[5m])))")))
    _, report = rules(file)
    assert [r["families"] for r in report["rules"]] == [["a", "target"], ["b", "target"]]
    assert report["totals"]["false"] == report["after"]["right"] == 2
    status, report = rules("--set=rules.replicate=target_info", file)
    assert (status, report["totals"]["right"], report["lines"]) == (0, 2, [])


def test_standard_input():
    status, report = rules("-", input=group(("A", "a / b")))
    assert (status, report["rules"][0]["file"], report["lines"]) == (1, "-", ["colocate = a: a|b"])


def test_queries_in_annotations(rule_file):
    text = group(("A", "a > 1")).replace('"expr"', '"annotations": {"d": "{{ range query `b` }}{{ .Value }}{{ end }}"}, "expr"')
    status, report = rules(rule_file(text))
    rule = report["rules"][0]
    assert (status, rule["verdict"], rule["families"], rule["queried_families"]) == (0, "right", ["a"], ["b"])
    assert "annotations query `b`" in rule["why"] and report["lines"] == ["colocate = a: a|b"]


@pytest.mark.parametrize("template", [
    '{{ range query (print "sum(b)") }}x{{ end }}', '{{ with query "sum(b" }}x{{ end }}',
    '{{ with "sum(b)" | query }}x{{ end }}', '{{ query $q | first }}'])
def test_queries_that_cannot_be_read(rule_file, template):
    """The verdict is of the expression; that a query of an annotation was not evaluated is told."""
    items = json.loads(group(("A", "a > 1"), ("B", "b > 1")))
    items["groups"][0]["rules"][0]["annotations"] = {"d": template}
    file = rule_file(json.dumps(items))
    status, report = rules(file)
    assert (status, verdicts(report)) == (0, {"A": "right", "B": "right"})
    assert [r.get("has_unreadable_query", False) for r in report["rules"]] == [True, False]
    status, out, err = run("rules", file)
    assert (status, err) == (0, "")
    assert out.endswith(f"""
Templates with queries that are built at run time or not valid, and were not evaluated:
    A  {file}:1
""")


def test_standard_input_is_read_once(rule_file):
    """The second reader would find it empty: no rules, or no families."""
    file = rule_file(group(("A", "a / b")))
    for args, names in ((["-", "-"], "the rule file - and the rule file -"),
                        (["--body=-", "-"], "--body=- and the rule file -"),
                        (["--body=-", "--body=-", file], "--body=- and --body=-"),
                        ([file, "-", file, "-"], "the rule file - and the rule file -")):
        status, out, err = run("rules", *args, input=group(("A", "a / b")))
        assert (status, out) == (2, "") and f"{names} both read standard input" in err
    assert run("rules", "--body=-", file, input="a 1\nb 1\n")[0] == 1


def test_right_by_chance(rule_file):
    """A rule whose families are on the same shard only with this shard count."""
    file = rule_file(group(*((f"A{i}", f"a{i} / b{i}") for i in range(30)), ("C", "absent(c)"), ("D", "d > 1")))
    for count in 1, 2, 3, 7:
        _, report = rules(f"--shard-count={count}", file)
        _, out, _ = run("explain", f"--shard-count={count}", "--json", *(x + str(i) for i in range(30) for x in "ab"))
        shards = [s["shard"] for s in json.loads(out)["series"]]
        wanted = [shards[2 * i] == shards[2 * i + 1] for i in range(30)] + [count == 1, False]
        assert [r["by_chance"] for r in report["rules"]] == wanted
        assert report["totals"]["silent"] == 30 and any(wanted[:30]) and (count == 1) == all(wanted[:30])
        out = run("rules", f"--shard-count={count}", file)[1]
        assert out.count("by chance") == sum(wanted)
        assert f"a0 (shard {shards[0]}), b0 (shard {shards[1]})" in out


# The sharding configuration.


def test_sharding_rules(rule_file):
    file = rule_file(group(("A", "sum(a) / b"), ("B", "c > 1"), ("D", "d * on (x) e")))
    assert verdicts(rules(file)[1]) == {"A": "silent", "B": "right", "D": "silent"}
    replicated = "--set=rules.replicate=b|e"
    assert verdicts(rules(replicated, file)[1]) == {"A": "right", "B": "right", "D": "right"}
    split = rules("--set=rules.split=[ac]", replicated, file)
    assert verdicts(split[1]) == {"A": "false", "B": "in parts", "D": "right"}
    assert split[1]["lines"] == ["colocate = a: a"]
    out = run("rules", "--set=rules.split=[ac]", replicated, file)[1]
    assert re.search(r"Split, but rules need them unsplit:\n +a \(split = \[ac\]\): A\n", out)
    labels = rules("--set=sharding.key=labels", "--set=sharding.source_labels=x", file)
    assert verdicts(labels[1]) == {"A": "false", "B": "in parts", "D": "silent"}
    assert verdicts(rules("--set=rules.keep=a|b", file)[1]) == {"A": "silent", "B": "silent", "D": "silent"}


def test_quoted_names(tmp_path, rule_file):
    """Names of other characters are placed as explain places them, and matched by patterns."""
    names = ["http.server.duration", "http.server.limit", 'a"b\\c\nd', "é"]
    quoted = ["{%s}" % json.dumps(name, ensure_ascii=False) for name in names]
    exposed = tmp_path / "body"
    exposed.write_text("".join(f"{name[:-1]},i=\"1\"}} 1\n" for name in quoted))
    file = rule_file(group(*((f"A{i}", f"{name} > 1") for i, name in enumerate(quoted)),
                           *((f"B{i}", f"{quoted[0]} / {name} > 1") for i, name in enumerate(quoted) if i)))
    options = [f"--body={exposed}", "--shard-count=5"]
    explained = json.loads(run("explain", "--json", "--shard-count=5", *quoted)[1])["series"]
    status, report = rules(*options, file)
    assert (status, report["missing_families"], report["ruler"]) == (1, [], [])
    assert [r["verdict"] for r in report["rules"]] == ["right"] * 4 + ["silent"] * 3
    assert [r["by_chance"] for r in report["rules"][4:]] == [s["shard"] == explained[0]["shard"] for s in explained[1:]]
    assert len(report["lines"]) == 1 and report["after"]["right"] == 7
    status, again = rules(*options, *as_settings(report["lines"]), file)
    assert (status, again["lines"]) == (0, [])
    dropped = rules("--set=rules.drop=http\\.server\\.limit", *options, file)[1]
    assert [r["verdict"] for r in dropped["rules"]][:5] == ["right", "silent", "right", "right", "silent"]


# Bodies.


def body(**families):
    return "".join(f'{name}{{i="{i}"}} 1\n' for name, n in families.items() for i in range(n))


def test_bodies(tmp_path, rule_file):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(body(a=100, b_total=10, hub=3))
    second.write_text(body(c=100, d=100))
    file = rule_file(group(("A", "a * on (x) hub"), ("B", "b_total * on (x) hub"), ("C", "c * on (x) hub"), ("E", "e > 1")))
    status, report = rules(f"--body={first}", f"--body={second}", "--shard-count=2", file)
    assert status == 1 and report["missing_families"] == ["e"] and report["ruler"] == []
    assert verdicts(report) == {"A": "silent", "B": "silent", "C": "silent", "E": "unknown"}
    assert report["lines"] == ["replicate = hub"] and report["balance"]["replicated_series"] == 3
    assert verdicts(rules(f"--body={first}", "--set=rules.replicate=hub", file)[1])["A"] == "right"
    # One shard has room for all.
    _, report = rules(f"--body={first}", f"--body={second}", "--shard-count=1", file)
    assert report["lines"] == ["colocate = a: a|b|c|hub"]
    assert report["balance"]["before"]["most_series"] == report["balance"]["after"]["most_series"] == 313
    out = run("rules", f"--body={first}", f"--body={second}", "--shard-count=1", file)[1]
    assert "a has families of several bodies: the sidecars of all of them need the same lines" in out
    assert re.search(r"In none of the bodies:\n +e\n", out)


@pytest.mark.parametrize("key", ["family", "declared", "name"])
def test_a_group_of_one_of_several_bodies(tmp_path, rule_file, key):
    """Under key = name the group has names of samples, the body families."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(body(a=1, b_total=1))
    second.write_text(body(c=1))
    options = [f"--set=sharding.key={key}", f"--body={first}", f"--body={second}"]
    for expression, several in ("a / b_total", False), ("c / b_total", True):
        out = run("rules", *options, rule_file(group(("A", expression))))[1]
        assert "colocate = " in out and ("has families of several bodies" in out) == several


@pytest.mark.parametrize("seed", range(3))
def test_the_balance_is_that_of_plan(tmp_path, rule_file, seed):
    draw = random.Random(seed)
    path = tmp_path / "body"
    path.write_text(body(**{f"f{i}": draw.randrange(1, 60) for i in range(40)}))
    file = rule_file(group(*((f"A{i}", f"f{draw.randrange(40)} / f{draw.randrange(40)}") for i in range(20))))
    _, report = rules(f"--body={path}", "--shard-count=5", file)
    for key, force in ("before", []), ("after", as_settings(report["lines"])):
        planned = json.loads(run("plan", "--shard-count=5", "--json", *force, path)[1])["balance"]
        assert report["balance"][key] == {k: planned[k] for k in report["balance"][key]}
    assert report["lines"] and report["balance"]["before"] != report["balance"]["after"]


def test_selectors_of_many_families_are_evaluated_quickly(tmp_path, rule_file):
    """A few tenths of a second."""
    exposed, before = tmp_path / "body", used()
    exposed.write_text(body(**{f"f{i}": 1 for i in range(3000)}))
    file = rule_file(group(*((f"A{i}", f"count({{__name__=~'.+', i!='{i}'}}) > 9") for i in range(4)), ("B", "f7 * 2")))
    _, report = rules(f"--body={exposed}", "--set=rules.split=f7", file)
    assert verdicts(report) == {"A0": "false", "A1": "false", "A2": "false", "A3": "false", "B": "in parts"}
    assert used() - before < 3 * SLOW


def test_a_body_of_a_service(upstream, rule_file):
    service = upstream(answering(answer(b"a 1\nb 2\n", TEXT)))
    file = rule_file(group(("A", "{__name__=~'a|b'} > 1"), ("C", "a + c")))
    _, report = rules(f"--body={service.url}", file)
    assert verdicts(report) == {"A": "in parts", "C": "unknown"} and report["missing_families"] == ["c"]
    service = upstream(answering(answer(b"", TEXT, "503 Service Unavailable")))
    status, _, err = run("rules", f"--body={service.url}", file)
    assert status == 3 and "503" in err


# A body in the text format and in OpenMetrics: {family: the metrics with its samples}.
TYPES = {"foo": "counter", "h": "histogram", "g": "gauge", "b": "info", "x_count": "counter", "s": "summary"}
SAMPLES = {"foo": ["foo_total", "foo_created"], "h": ["h_bucket", "h_sum", "h_count"], "g": ["g"], "b": ["b_info"],
           "x_count": ["x_count_total"], "s": ["s", "s_sum", "s_count"]}


def typed_body(openmetrics):
    def lines():
        for family, kind in TYPES.items():
            if openmetrics or kind in ("gauge", "histogram", "summary"):
                yield f"# TYPE {family} {kind}"
            for name in SAMPLES[family]:
                yield f'{name}{{le="+Inf"}} 1' if name == "h_bucket" else f"{name} 1"
        yield "# EOF" if openmetrics else ""
    return "".join(f"{line}\n" for line in lines())


@pytest.mark.parametrize("openmetrics", [False, True], ids=["text", "openmetrics"])
@pytest.mark.parametrize("key", ["family", "declared", "name"])
@pytest.mark.parametrize("lines", [[], ["drop=h_bucket"], ["keep=(h|s)_.*|foo"], ["colocate=G: h_bucket|g"],
                                   ["colocate=(.)_.*"], ["replicate=foo_total|x_count", "colocate=b: b_info|s"],
                                   ["drop=foo|x_count_total"]])
def test_metrics_are_where_split_puts_them(tmp_path, rule_file, openmetrics, key, lines):
    """A rule over two metrics is right at this count if one shard has both, or all have; each pattern is tried on the
    names of samples and of families, and key = declared takes the families of the body."""
    exposed, count = tmp_path / "body", 5
    content_type = "application/openmetrics-text; version=1.0.0" if openmetrics else TEXT
    exposed.write_text(typed_body(openmetrics))
    options = [f"--set=sharding.key={key}", *(f"--set=rules.{line}" for line in lines), f"--shard-count={count}",
               f"--content-type={content_type}"]
    parts = [run("split", f"--shard={i}", *options, exposed)[1] for i in range(count)]
    metrics = [name for names in SAMPLES.values() for name in names]
    having = {name: {i for i, part in enumerate(parts) if re.search(rf"^{name}[ {{]", part, re.M)} for name in metrics}
    pairs = [(a, b) for a in metrics for b in metrics if a < b]
    file = rule_file(group(*((f"{a} {b}", f"{a} and on () {b}") for a, b in pairs),
                           *((f"{a}|{b}", f"count({{__name__=~'{a}|{b}'}})") for a, b in pairs)))
    report = rules(*options, f"--body={exposed}", file)[1]
    assert report["missing_families"] == []
    both = {f"{a} {b}": having[a] & having[b] for a, b in pairs}
    good = {r["name"]: r["by_chance"] or r["verdict"] in ("right", "everywhere") for r in report["rules"]}
    counted = {f"{a}|{b}": bool(having[a]) and having[a] == having[b] for a, b in pairs}
    assert good == {name: bool(shards) for name, shards in both.items()} | counted


# The text output.


def test_the_report(rule_file):
    file = rule_file(group(("Full", "a / b"), ("Gone", "absent(c)")))
    status, out, err = run("rules", file)
    assert (status, err) == (1, "")
    guard = "guard it with `and on () X`, where X always exists and is on the same server"
    assert out == f"""\
2 rules: 1 silent, 1 false elsewhere
key = family, hash = xxh64, placement = modulo

Not right:
silent          Full  {file}:1
    no server has both sides of `/`
    needs a, b
false elsewhere Gone  {file}:1
    `absent()` is true on every server that does not have `c`; {guard}
    needs c

These lines make 1 of 2 rules right:
    [rules]
    colocate = a: a|b
With these lines: 1 right, 1 false elsewhere

Must be evaluated over all servers, by a ruler (Thanos Ruler, vmalert, Mimir):
    Gone  {file}:1
        `absent()` is true on every server that does not have `c`; {guard}
"""


def test_a_write_error_is_reported(rule_file):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BINARY, "rules", rule_file(group(("A", "a")))], stdout=full, stderr=subprocess.PIPE,
                              check=False)
    assert done.returncode == 3 and b"No space left" in done.stderr
