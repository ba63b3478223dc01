# SPDX-License-Identifier: Apache-2.0
"""scrapeshard explain: it agrees with hashlib and xxhash."""
import hashlib
import json
import re
import shlex

import pytest
import xxhash
from conftest import ROOT, run
from exposition import family_key
from tools import jump


def explain(count, *args):
    """The series of explain --json."""
    status, out, err = run("explain", f"--shard-count={count}", "--json", *args)
    assert (status, err) == (0, "")
    return json.loads(out)["series"]


def low32(key):
    return xxhash.xxh64_intdigest(key.encode()) & 0xffffffff


def last8(key):
    return int.from_bytes(hashlib.md5(key.encode()).digest()[8:], "big")


NAMES = ["up", "http_requests_total", "node_cpu_seconds_total", "kube_pod_info", "x_bucket", "_total", "a:b_sum_count",
         '{"métrique.été"}', '{"my.dotted.metric"}']


def bare(series):
    return series[2:-2] if series.startswith("{") else series


@pytest.mark.parametrize("count", [1, 3, 8, 80, 65536])
def test_explain_shows_family_key_hash_and_shard(count):
    for series, e in zip(NAMES, explain(count, *NAMES), strict=True):
        key = family_key(bare(series))
        assert e == {"series": series, "name": bare(series), "family": key, "key": key, "shards": "one", "rule": None,
                     "hash": xxhash.xxh64_hexdigest(key.encode()), "shard": low32(key) % count}


@pytest.mark.parametrize("count", [1, 3, 8, 80])
def test_explain_under_every_key_hash_and_placement(count):
    """Whole names as keys, as in the vectors of the contract."""
    for function, hashed, number in [("xxh64", lambda k: xxhash.xxh64_intdigest(k.encode()), low32), ("md5", last8, last8)]:
        for placement in "modulo", "jump":
            for e in explain(count, "--set=sharding.key=name", f"--set=sharding.hash={function}",
                             f"--set=sharding.placement={placement}", *NAMES):
                key = e["name"]
                place = jump(hashed(key), count) if placement == "jump" else number(key) % count
                assert (e["key"], e["hash"], e["shard"]) == (key, f"{hashed(key):016x}", place)


def test_explain_labels():
    """The worked example of hashmod over labels: values are unescaped, missing ones empty."""
    by_labels = ["--set=sharding.key=labels", "--set=sharding.source_labels=__name__,cpu,mode", "--set=sharding.hash=md5"]
    first, second, third = explain(
        16, *by_labels, 'node_cpu_seconds_total{mode="idle",cpu="cpu0"}', "up",
        r'msdos_file_access_time_seconds{cpu="C:\\DIR\\FILE.TXT",mode="Cannot find file:\n\"FILE.TXT\""}')
    assert first["key"] == "node_cpu_seconds_total;cpu0;idle" and first["shard"] == 10
    assert first["hash"] == f"{7516868834195457258:016x}"
    assert second["key"] == "up;;" and second["shard"] == last8("up;;") % 16
    assert third["hash"] == f"{5251257173398942997:016x}"
    assert third["key"] == 'msdos_file_access_time_seconds;C:\\DIR\\FILE.TXT;Cannot find file:\n"FILE.TXT"'


RULES = ["--set=rules.drop=go_.*", "--set=rules.replicate=target_info|build_info", "--set=rules.colocate=(http)_(?:in|out)_.*",
         "--set=rules.split=huge"]


def test_explain_rules():
    dropped, replicated, one, other, split, none = explain(
        8, *RULES, "go_threads", "target_info", "http_in_total", "http_out_total", 'huge_total{b="1",a="2"}', "up")
    assert (dropped["shards"], dropped["shard"], dropped["key"]) == ("none", None, None)
    assert dropped["rule"] == {"action": "drop", "pattern": "go_.*"}
    assert (replicated["shards"], replicated["shard"]) == ("every", None)
    assert replicated["rule"] == {"action": "replicate", "pattern": "target_info|build_info"}
    assert one["key"] == other["key"] == "http" and one["shard"] == other["shard"] == low32("http") % 8
    assert one["rule"]["action"] == "colocate"
    assert split["rule"] == {"action": "split", "pattern": "huge"} and split["key"] not in ("huge", "huge_total")
    assert split == explain(8, *RULES, 'huge_total{a="2",b="1"}')[0] | {"series": split["series"]}
    assert none["rule"] is None and none["shards"] == "one"


def test_a_group_is_keyed_by_its_name():
    """Lines of one name add up, and the key is the name's bytes, whatever else has them as its key."""
    rules = ["--set=rules.colocate=file-system.1: node_(?:filesystem|disk)_.*", "--set=rules.colocate=file-system.1: up|(x)y",
             "--set=rules.colocate=(node).*", "--set=rules.colocate=disks: sd.", "--set=rules.split=up"]
    *group, named, sda, disks = explain(8, *rules, "node_disk_reads_total", 'node_filesystem_size_bytes{a="b"}', "up", "xy",
                                        "node_load1", "sda", "disks")
    for one in group:
        assert (one["key"], one["shard"]) == ("file-system.1", low32("file-system.1") % 8)
        assert one["rule"]["action"] == "colocate" and one["rule"]["pattern"].startswith("file-system.1:")
    assert named["key"] == "node"
    assert disks["rule"] is None and (disks["key"], disks["hash"]) == (sda["key"], sda["hash"])


def test_explain_keep_rules(config):
    """A configuration without an endpoint is enough."""
    file = config("[rules]\nkeep = http_.*\n")
    kept, dropped = explain(8, f"--config.file={file}", "http_requests_total", "up")
    assert (kept["shards"], kept["rule"]) == ("one", None)
    assert (dropped["shards"], dropped["rule"]) == ("none", {"action": "keep", "pattern": ""})


def test_explain_report():
    status, out, err = run("explain", "--shard-count=80", *RULES, 'up{a="1"}', "go_threads", "target_info",
                           '{"a\nb\x1b\x7f\x9b\\\\"}')
    assert (status, err) == (0, "")
    assert out == f"""\
up{{a="1"}}
  name    up
  family  up
  key     up
  hash    23af5a217b078e8f (xxh64)
  shard   15 of 80 (modulo)
  rule    none: key = family decides

go_threads
  name    go_threads
  family  go_threads
  shard   none of 80
  rule    drop = go_.*

target_info
  name    target_info
  family  target
  shard   all 80
  rule    replicate = target_info|build_info

{{"a\\nb\\x1b\\x7f\\xc2\\x9b\\\\"}}
  name    a\\nb\\x1b\\x7f\\xc2\\x9b\\\\
  family  a\\nb\\x1b\\x7f\\xc2\\x9b\\\\
  key     a\\nb\\x1b\\x7f\\xc2\\x9b\\\\
  hash    {xxhash.xxh64_hexdigest(chr(97) + chr(10) + "b" + chr(27) + chr(127) + chr(0x9b) + chr(92))} (xxh64)
  shard   {low32("a" + chr(10) + "b" + chr(27) + chr(127) + chr(0x9b) + chr(92)) % 80} of 80 (modulo)
  rule    none: key = family decides
"""


@pytest.mark.parametrize("args, status, said", [
    (["up"], 2, "--shard-count is required"),
    (["--shard-count=0", "up"], 2, "--shard-count: "),
    (["--shard-count=3"], 2, "expects one or more series"),
    (["--shard-count=3", "--shard=1", "up"], 2, "unknown flag --shard"),
    (["--shard-count=3", "up{"], 1, "up{: malformed labels"),
    (["--shard-count=3", "up", "1x"], 1, "1x: no metric name"),
    (["--shard-count=3", "--set=rules.drop=(", "up"], 2, "rules.drop"),
    (["--shard-count=3", "--config.file=/nonexistent", "up"], 1, "/nonexistent"),
])
def test_explain_refuses(args, status, said):
    r = run("explain", *args)
    assert r[0] == status and said in r[2]


def test_help_names_every_command():
    status, out, _ = run("--help")
    assert status == 0
    for command in "check", "split", "plan", "verify", "explain":
        assert re.search(rf"^  {command} ", out, re.M)
        assert run(command, "--help")[0] == 0


def test_documentation_shows_the_output_of_explain():
    text = (ROOT / "contrib/docs/rules.md").read_text()
    command, shown = re.search(r"^ {4}\$ scrapeshard (explain .*)\n((?: {4}.*\n|\n)*)", text, re.M).groups()
    assert run(*shlex.split(command)) == (0, re.sub("^ {4}", "", shown, flags=re.M).rstrip("\n") + "\n", "")
