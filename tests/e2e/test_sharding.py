# SPDX-License-Identifier: Apache-2.0
"""Keys and rules over captured bodies, compared with another implementation of the contract: every shard, byte for byte; and
invariants of all shards together."""
import collections
import concurrent.futures
import hashlib
import re
import subprocess

import pytest
import xxhash

from conftest import BINARY, OPENMETRICS, ROOT, SANITIZED, TEXT, answer, answering
from exposition import (COUNTS, PROTOBUF, delimited, family_key, field, labels, line_name, lines, read_fields,
                        read_varint, varint)

CASES = ROOT / "tests/cases"
BODIES = {"python-text-1of7": TEXT, "prom-client-openmetrics-4of7": OPENMETRICS,
          "python-openmetrics-1of7": OPENMETRICS, "prometheus-protobuf-6of7": PROTOBUF,
          "native-federated-protobuf-0of7": PROTOBUF}
KEYS = {
    "family": {}, "declared": {"key": "declared"}, "name": {"key": "name", "hash": "md5"},
    "one label": {"key": "labels", "source_labels": "method"},
    "labels": {"key": "labels", "source_labels": "code,__name__,handler", "separator": "--", "hash": "md5"},
    "labels in protobuf": {"key": "labels", "source_labels": "code,handler,quantile_", "placement": "jump"},
}
RULES = {
    "none": {},
    "keep": {"keep": "(go|python|process|node|prometheus)_.*"},
    "drop": {"drop": ".*_total|go_gc.*"},
    "replicate": {"replicate": ".*_info"},
    "colocate": {"colocate": "(go|process)_([a-z]+).*"},
    "colocate by name": {"colocate": "go-process: (go|process)_([a-z]+).*"},
    "named groups": {"drop": ".*_created", "replicate": ".*_info", "split": ".*_seconds|go_.*",
                     "colocate": ("rest: process_.*", "threads: (go)_(threads|goroutines)", "rest: .*_seconds|go_gc_.*")},
    "split": {"split": ".*duration.*|node_cpu.*|h.*|prometheus_http.*"},
    "all": {"keep": "[^g].*|go_memstats_.*", "drop": ".*_created|node_s.*", "replicate": ".*_info|.*_load1",
            "colocate": "(process|node)_[a-m].*", "split": ".*_seconds|p.*"},
}
ORDER = ("drop", "keep", "replicate", "colocate", "split")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
OPENMETRICS_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count", "_created"), "summary": ("_sum", "_count", "_created"),
                        "counter": ("_total", "_created"), "info": ("_info",),
                        "gaugehistogram": ("_bucket", "_gsum", "_gcount")}


# The contract in Python.


def jump(h, count):
    bucket, following = -1, 0
    while following < count:
        bucket = following
        h = (h * 2862933555777941757 + 1) & 0xffffffffffffffff
        following = int(float(bucket + 1) * (float(1 << 31) / float((h >> 33) + 1)))
    return bucket


def patterns(rules, action):
    """A rule of one line, or of several."""
    found = rules.get(action, ())
    return (found,) if isinstance(found, str) else found


class Contract:
    def __init__(self, sharding, rules):
        self.key = sharding.get("key", "family")
        self.labels = sharding.get("source_labels", "").split(",")
        self.separator = sharding.get("separator", ";")
        self.md5 = sharding.get("hash") == "md5"
        self.jump = sharding.get("placement") == "jump"
        self.rules = rules

    def place(self, key, count):
        digest = (int.from_bytes(hashlib.md5(key).digest()[8:], "big") if self.md5 else xxhash.xxh64_intdigest(key))
        if self.jump:
            return jump(digest, count)
        return (digest if self.md5 else digest & 0xffffffff) % count

    def rule(self, *names):
        """(the action that decides, the key of a colocate rule)"""
        for action, rule in ((a, r) for a in ORDER for r in patterns(self.rules, a) or ("(?!)",)):
            group, colon, pattern = rule.rpartition(": ")
            found = [m for m in (re.fullmatch(pattern, n, re.DOTALL) for n in names) if m]
            if action == "keep" and action in self.rules and not found:
                return "drop", None
            if found and colon:
                return action, group.encode()
            if found and action != "keep":
                return action, self.separator.join(g or "" for g in found[0].groups()).encode()
        return None, None

    def family(self, name, declared):
        return declared if self.key == "declared" else family_key(name)

    def parts(self, action):
        return action == "split" or (action is None and self.key in ("name", "labels"))

    def series_key(self, action, name, declared, pairs):
        if action == "split":
            counted = sorted((n, v) for n, v in pairs if v and n not in ("le", "quantile"))
            return b"".join([family_key(name).encode(),
                             *(b"\xff" + n.encode() + b"\xff" + v.encode() for n, v in counted)])
        if self.key == "labels":
            named = {"__name__": name, **dict(pairs)}
            return self.separator.join(named.get(label, "") for label in self.labels).encode()
        return (name if self.key == "name" else self.family(name, declared)).encode()


def read_labels(line):
    unescape = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    block = re.match(rb'[^{\s]*(\{(?:[^"}]|"(?:\\.|[^"\\])*")*\})?', line)[1] or b""
    return [(name, re.sub(r'\\[\\"n]', lambda m: unescape[m[0]], value))
            for name, value in re.findall(r'([a-zA-Z_]\w*)="((?:\\.|[^"\\])*)"', block.decode())]


def declared_family(name, types, suffixes):
    if name in types:
        return name
    for base, kind in types.items():
        if name.startswith(base) and name[len(base):] in suffixes.get(kind, ()):
            return base
    return name


def text_shards(contract, body, count, openmetrics):
    suffixes = OPENMETRICS_SUFFIXES if openmetrics else SUFFIXES
    all_types = {n.decode(): t.decode() for n, t in re.findall(rb"^# TYPE (\S+) (\S+)$", body, re.M)}
    types, shards = {}, [[] for _ in range(count)]
    waiting = [{} for _ in range(count)]
    for line in lines(body):
        name, meta = line_name(line), line.startswith(b"#")
        targets = range(count)
        if name is None:
            targets = targets if line.rstrip(b"\n") == b"# EOF" else [0]
        elif meta:
            names = [contract.family(name, name), name]
            if openmetrics and all_types.get(name) in ("counter", "info"):
                names.append(name + {"counter": "_total", "info": "_info"}[all_types[name]])
            if line.startswith(b"# TYPE"):
                types[name] = all_types[name]
            action, key = contract.rule(*names)
            if contract.parts(action):
                for shard in waiting:
                    shard.setdefault(name, []).append(line)
                continue
            key = key if action == "colocate" else contract.family(name, name).encode()
        else:
            declared = declared_family(name, types, suffixes)
            action, key = contract.rule(contract.family(name, declared), name)
            if action != "colocate":
                key = contract.series_key(action, name, declared, read_labels(line))
        if name is not None:
            targets = {"drop": [], "replicate": targets}.get(action, [contract.place(key, count)])
        for i in targets:
            if name is not None and not meta:
                shards[i] += waiting[i].pop(declared, [])
            shards[i].append(line)
    return [b"".join(shard) for shard in shards]


def raw_fields(message):
    """The fields of a message in their order: [(number, bytes, value)]."""
    at, found = 0, []
    for number, value in read_fields(message):
        start = at
        tag, at = read_varint(message, at)
        if tag & 7 == 2:
            size, at = read_varint(message, at)
            at += size
        else:
            at = read_varint(message, at)[1] if tag & 7 == 0 else at + (8 if tag & 7 == 1 else 4)
        found.append((number, message[start:at], value))
    return found


def raw_messages(body):
    at = 0
    while at < len(body):
        start = at
        size, at = read_varint(body, at)
        at += size
        yield body[start:at], raw_fields(body[at - size:at])


def read_fields_of(fields):
    return [(number, value) for number, _, value in fields]


def metric_labels(metric):
    for number, value in read_fields(metric):
        if number == 1:
            pair = dict(read_fields(value))
            yield pair[1].decode(), pair.get(2, b"").decode()


def protobuf_shards(contract, body, count):
    shards = [[] for _ in range(count)]
    for raw, fields in raw_messages(body):
        name = next(value for number, _, value in fields if number == 1).decode()
        action, key = contract.rule(contract.family(name, name), name)
        if not contract.parts(action):
            key = key if action == "colocate" else contract.series_key(action, name, name, [])
            for i in {"drop": [], "replicate": range(count)}.get(action, [contract.place(key, count)]):
                shards[i].append(raw)
            continue
        places = [contract.place(contract.series_key(action, name, name, metric_labels(value)), count)
                  if number == 4 else None for number, _, value in fields]
        for i in set(places) - {None}:
            message = b"".join(field_raw for (_, field_raw, _), place in zip(fields, places) if place in (None, i))
            shards[i].append(varint(len(message)) + message)
    return [b"".join(shard) for shard in shards]


def expected_shards(contract, body, content_type, count):
    if content_type == PROTOBUF:
        return protobuf_shards(contract, body, count)
    return text_shards(contract, body, count, content_type == OPENMETRICS)


# The program.


def settings(sharding, rules):
    return [*(f"--set=sharding.{key}={value}" for key, value in sharding.items()),
            *(f"--set=rules.{action}={pattern}" for action in rules for pattern in patterns(rules, action))]


def split(body, content_type, sharding, rules, shard, count):
    done = subprocess.run([BINARY, "split", f"--shard={shard}", f"--shard-count={count}", f"--content-type={content_type}",
                           *settings(sharding, rules)], input=body, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fits(key, content_type):
    return content_type != PROTOBUF or key not in ("name", "labels")


def samples(body, content_type):
    """The series of a body, sorted: lines, or names with their metrics."""
    if content_type == PROTOBUF:
        return sorted((dict(read_fields_of(fields))[1], raw) for _, fields in raw_messages(body)
                      for number, raw, _ in fields if number == 4)
    return sorted(line for line in lines(body) if not line.startswith(b"#") and line.strip())


def check_together(shards, body, content_type, contract):
    """Holds for any expectation: each series is in one shard, in all, or in none."""
    whole = collections.Counter(samples(body, content_type))
    parts = [collections.Counter(samples(shard, content_type)) for shard in shards]
    union = sum(parts, collections.Counter())
    if not contract.rules:
        assert union == whole
    for series, n in union.items():
        assert n == whole[series] or ("replicate" in contract.rules and n == whole[series] * len(shards))
    for shard in shards:
        assert shard.endswith(b"# EOF\n") or content_type != OPENMETRICS
        if content_type != PROTOBUF:
            said = collections.Counter(line for line in lines(shard) if line.startswith(b"#"))
            assert said <= collections.Counter(lines(body))


@pytest.fixture(scope="module")
def pool():
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name, key", [(name, key) for name in BODIES for key in KEYS if fits(key, BODIES[name])])
def test_every_shard_is_what_the_contract_says(pool, name, key, rules):
    body, content_type = (CASES / f"{name}.in").read_bytes(), BODIES[name]
    contract = Contract(KEYS[key], RULES[rules])
    for count in COUNTS[1:-1] if SANITIZED else COUNTS if rules == "all" else COUNTS[:-1]:
        got = list(pool.map(lambda s: split(body, content_type, KEYS[key], RULES[rules], s, count), range(count)))
        for shard, wanted in enumerate(expected_shards(contract, body, content_type, count)):
            assert got[shard] == wanted, f"shard {shard} of {count}"
        check_together(got, body, content_type, contract)


# Criteo's filter: the low 32 bits of XXH64 of a name. Computed by others: FORMATS of the contract.
CRITEO = {"http_requests_total": (0, 0, 2, 2, 6), "http_request_duration_seconds": (0, 1, 0, 4, 0), "up": (1, 1, 3, 7, 5),
          "my.dotted.metric": (1, 1, 3, 7, 1), "": (1, 2, 1, 1, 3),
          "graphite.par4.bidder.srv00001.requests_per_second_p99": (1, 0, 1, 1, 9)}


@pytest.mark.parametrize("name", CRITEO)
@pytest.mark.parametrize("sharding", [{"key": "declared"}, {"key": "labels", "source_labels": "name"}],
                         ids=lambda sharding: sharding["key"])
def test_criteos_formula(name, sharding):
    text = f'm{{name="{name}"}} 1\n' if sharding["key"] == "labels" else f'{{"{name}"}} 1\n'
    metric = field(4, labels(name=name) + field(2, field(1, 1.0)))
    message = delimited(field(1, "m" if sharding["key"] == "labels" else name), metric)
    for count, shard in zip((2, 3, 4, 8, 10), CRITEO[name]):
        for body, content_type in (text.encode(), TEXT), (message, PROTOBUF):
            for i in range(count):
                assert split(body, content_type, sharding, {}, i, count) == (body if i == shard else b"")


# Large protobuf families, streamed through a real sidecar.


def large_family(name_late, series):
    head = [field(1, "large_seconds"), field(2, "Help."), field(3, 1)]
    metrics = [field(4, labels(id=str(i), filler="x" * (i % 100)) + field(2, field(1, float(i)))) for i in range(series)]
    at = min(300, series // 2) if name_late else 0
    return delimited(*metrics[:at], *head, *metrics[at:], field(5, "seconds"), field(200, "unknown"))


@pytest.mark.parametrize("series", [10, 200, 400, 3000, 9000])
@pytest.mark.parametrize("name_late", [False, True], ids=["name first", "name late"])
@pytest.mark.parametrize("sharding, rules", [({"key": "labels", "source_labels": "id"}, {}), ({}, {"split": "large.*"})],
                         ids=["labels", "split"])
def test_large_families_part(upstream, sidecar, series, name_late, sharding, rules):
    small = delimited(field(1, "small"), field(4, labels(id="1")))
    body = small + large_family(name_late, series) + small
    contract, count = Contract(sharding, rules), 3
    s = sidecar(upstream(answering(answer(body, PROTOBUF))).url, *settings(sharding, rules))
    for i, wanted in enumerate(protobuf_shards(contract, body, count)):
        status, _, got = s.get(f"/metrics?shard={i}&shard_count={count}")
        assert status == 200
        assert samples(got, PROTOBUF) == samples(wanted, PROTOBUF)
        metrics = [raw for _, fields in raw_messages(got) for number, raw, _ in fields if number == 4]
        assert metrics == [raw for _, fields in raw_messages(wanted) for number, raw, _ in fields if number == 4]
        frames = [read_fields_of(fields) for _, fields in raw_messages(got) if (1, b"large_seconds") in read_fields_of(fields)]
        assert frames and all((2, b"Help.") in frame and (3, 1) in frame for frame in frames)
        assert frames[-1][-2:] == [(5, b"seconds"), (200, b"unknown")]
        if len(body) < 200_000:
            assert got == wanted
    status, _, got = s.get("/metrics")
    assert (status, got) == (200, body)


# Keys made of labels are remembered from scrape to scrape.


def series_text(first, value):
    return "".join(f'm{{job="{"x" * (i % 9)}",id="{i}"}} {value}\n' for i in range(first, first + 90)).encode()


def test_remembered_keys(upstream, sidecar, tmp_path):
    """Of two endpoints, for other values, shard counts and keys after a reload, and with series that come and go."""
    bodies, config = {}, tmp_path / "c.ini"

    def serving(i):
        def serve(service, connection):
            while service.read_request(connection):
                connection.sendall(answer(bodies[i]))
        return serve
    services = [upstream(serving(i)) for i in range(2)]
    text = "".join(f"[endpoint e{i}]\npath = /e{i}\nupstream = {service.url}\n" for i, service in enumerate(services))
    s = None
    for sharding in ({"source_labels": "id"}, {"source_labels": "job,id", "hash": "md5"}, {"source_labels": "job"}):
        sharding["key"] = "labels"
        config.write_text(text + "[sharding]\n" + "".join(f"{key} = {value}\n" for key, value in sharding.items()))
        if s:
            assert s.admin("/-/reload", "POST")[0] == 200
        s = s or sidecar(config=config)
        for scrape, count in enumerate((3, 3, 2)):
            bodies.update({i: series_text(1000 * i + 3 * scrape, scrape) for i in range(2)})
            for i, body in bodies.items():
                parts = [s.get(f"/e{i}?shard={shard}&shard_count={count}")[2] for shard in range(count)]
                assert parts == [split(body, TEXT, sharding, {}, shard, count) for shard in range(count)]


# Named groups, whichever way a body takes through a real sidecar. Each of the families has its own shard without the rules.

GROUP = {"node_disk_reads_completed_total": "COUNTER", "node_disk_io_now": "GAUGE", "node_md_state": "GAUGE",
         "http_wait_seconds": "HISTOGRAM"}
GROUP_RULES = {"drop": "node_disk_gone", "replicate": "node_disk_info|target_.*", "split": "http_.*|big",
               "colocate": ("disks: node_disk_.*|node_md_.*", "others: node_md_.*|other_.*", "disks: http_wait_.*")}
FAMILIES = {**GROUP, "node_disk_gone": "GAUGE", "node_disk_info": "GAUGE", "target_x": "GAUGE", "other_a": "GAUGE",
            "other_b_total": "COUNTER", "big": "GAUGE", "http_size": "HISTOGRAM", "node_load1": "GAUGE", "up": "GAUGE",
            "go_threads": "GAUGE", "kube_pod": "GAUGE"}
FORMS = {"text": TEXT, "openmetrics": OPENMETRICS, "protobuf": PROTOBUF}
GROUP_KEYS = {"family": {}, "family, jump": {"placement": "jump"}, "declared, md5": {"key": "declared", "hash": "md5"},
              "name, md5, jump": {"key": "name", "hash": "md5", "placement": "jump"},
              "labels": {"key": "labels", "source_labels": "id"},
              "labels, md5": {"key": "labels", "source_labels": "job,id", "hash": "md5"}}


def group_text(series, openmetrics):
    out = []
    for name, kind in FAMILIES.items():
        family = name.removesuffix("_total") if openmetrics else name
        out.append(f"# HELP {family} Help.\n# TYPE {family} {kind.lower()}\n")
        for i in range(series):
            of = f'id="{i}",job="{"x" * i}"'
            if kind == "HISTOGRAM":
                out += [f'{name}_bucket{{{of},le="{le}"}} {i}\n' for le in ("0.5", "+Inf")]
                out += [f"{name}_count{{{of}}} {i}\n", f"{name}_sum{{{of}}} {i}\n"]
            else:
                out.append(f"{name}{{{of}}} {i}\n")
    return "".join([*out, "# EOF\n" if openmetrics else ""]).encode()


def group_protobuf(series):
    def metric(kind, i):
        bucket = field(3, field(1, i) + field(2, 0.5))
        value = field(1, i) + field(2, float(i)) + bucket if kind == "HISTOGRAM" else field(1, float(i))
        number = {"HISTOGRAM": 7, "COUNTER": 3, "GAUGE": 2}[kind]
        return field(4, labels(id=str(i), job="x" * i) + field(number, value))
    return b"".join(delimited(field(1, name), field(2, "Help."),
                              field(3, {"COUNTER": 0, "GAUGE": 1, "HISTOGRAM": 4}[kind]),
                              *(metric(kind, i) for i in range(series))) for name, kind in FAMILIES.items())


def families_in(shard, content_type):
    if content_type == PROTOBUF:
        return {dict(read_fields_of(fields))[1].decode() for _, fields in raw_messages(shard)}
    names = {line_name(line) for line in lines(shard) if line_name(line)}
    return {name for name in FAMILIES if any(family_key(name) == family_key(n) for n in names)}


def vector(key, count):
    """The shard that tests/vectors has for the key of a group."""
    rows = [row.split("\t") for row in (ROOT / "tests/vectors/colocate.tsv").read_text().splitlines()[1:]]
    return int(next(dict(pair.split(":") for pair in row[4:])[str(count)] for row in rows if row[2] == key))


@pytest.mark.parametrize("series", [3, 300], ids=["small", "large"])
@pytest.mark.parametrize("max_age", ["0s", "1h"], ids=["streamed", "snapshot"])
@pytest.mark.parametrize("form, key", [(form, key) for form in FORMS for key in GROUP_KEYS
                                       if form != "protobuf" or "name" not in key])
def test_a_named_group_meets_on_one_shard(upstream, sidecar, form, key, max_age, series):
    content_type, sharding = FORMS[form], GROUP_KEYS[key]
    body = group_protobuf(series) if content_type == PROTOBUF else group_text(series, content_type == OPENMETRICS)
    contract = Contract(sharding, GROUP_RULES)
    service = upstream(answering(answer(body, content_type)))
    s = sidecar(service.url, *settings(sharding, GROUP_RULES), f"--set=endpoint.default.max_age={max_age}")
    counts = (2, 7) if series < 10 else (7,)
    for count in counts:
        wanted = expected_shards(contract, body, content_type, count)
        got = []
        for shard in range(count):
            status, _, of_shard = s.get(f"/metrics?shard={shard}&shard_count={count}", {"Accept": content_type})
            assert status == 200
            got.append(of_shard)
        for shard in range(count):
            if content_type == PROTOBUF and series > 10:  # a large family that is split is sent in several messages
                assert samples(got[shard], content_type) == samples(wanted[shard], content_type), shard
            else:
                assert got[shard] == wanted[shard], shard
        check_together(got, body, content_type, contract)

        where = {name: [i for i in range(count) if name in families_in(got[i], content_type)] for name in FAMILIES}
        home = contract.place(b"disks", count)
        if key == "family":
            assert home == vector("disks", count)
        assert [where[name] for name in GROUP] == [[home]] * len(GROUP)
        assert where["other_a"] == where["other_b_total"] == [contract.place(b"others", count)]
        assert where["node_disk_gone"] == []
        assert where["node_disk_info"] == where["target_x"] == list(range(count))
        if sharding.get("key") != "labels":
            for name in "node_load1", "up", "go_threads", "kube_pod":
                assert where[name] == [contract.place(name.encode(), count)]
        if series > 10:
            assert len(where["big"]) > 1 and len(where["http_size"]) > 1
        union = sorted(sum((samples(of_shard, content_type) for of_shard in got), []))
        copies = sorted(sum((samples(of_shard, content_type) for of_shard in wanted), []))
        assert union == copies
        whole = collections.Counter(samples(body, content_type))
        for sample, n in collections.Counter(union).items():
            assert n == whole.pop(sample) * (count if re.search(rb"node_disk_info|target_x", name_in(sample)) else 1)
        assert {name_in(sample) for sample in whole} == {b"node_disk_gone"}
    assert len(service.requests) == (1 if max_age != "0s" else sum(counts))


def name_in(sample):
    """The name of a sample as samples() has it."""
    return sample[0] if isinstance(sample, tuple) else line_name(sample).encode()
