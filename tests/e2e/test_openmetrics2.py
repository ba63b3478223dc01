# SPDX-License-Identifier: Apache-2.0
"""OpenMetrics 2.0: the same metrics written in every format have the same shards; and all ways of a body."""
import gzip
import itertools
import random
import re
import subprocess

import pytest

from conftest import BINARY, OPENMETRICS, TEXT, answer, answering, run
from exposition import (COUNTER, COUNTS, GAUGE, HISTOGRAM, PROTOBUF, SUMMARY, delimited, family_key, field, labels, messages,
                        read_fields, target)

OPENMETRICS2 = "application/openmetrics-text; version=2.0.0; charset=utf-8"
BOUNDS = ("0.1", "2.5", "+Inf")
QUANTILES = ("0.5", "0.99")


def metrics():
    """[(name without suffixes, type, [(labels, number)])], of names that look like each other."""
    rng = random.Random(2)
    names = [f"{word}_{i}{end}" for i, word, end in
             itertools.product(range(3), ("requests", "http_request_seconds", "go_info"), ("", "_bucket", "_a_count"))]
    return [(name, kind, [({"id": str(i), "job": rng.choice("abc")}, i + 1) for i in range(rng.randrange(12))])
            for name in names for kind in (rng.choice(("counter", "gauge", "histogram", "summary")),)]


METRICS = metrics()


def braces(pairs, **more):
    return "{" + ",".join(f'{k}="{v}"' for k, v in {**pairs, **more}.items()) + "}"


def samples(name, kind, pairs, n):
    """The samples of a metric in text and OpenMetrics 1.0."""
    if kind == "gauge":
        return [f"{name}{braces(pairs)} {n}"]
    if kind == "counter":
        return [f"{name}_total{braces(pairs)} {n}"]
    parts = [f"{name}_bucket{braces(pairs, le=le)} {n}" for le in BOUNDS] if kind == "histogram" else \
        [f"{name}{braces(pairs, quantile=q)} {n}" for q in QUANTILES]
    return [*parts, f"{name}_sum{braces(pairs)} {n}", f"{name}_count{braces(pairs)} {n}"]


def as_text(openmetrics):
    out = []
    for name, kind, rows in METRICS:
        declared = f"{name}_total" if kind == "counter" and not openmetrics else name
        out += [f"# HELP {declared} Help.", f"# TYPE {declared} {kind}"]
        out += [line for pairs, n in rows for line in samples(name, kind, pairs, n)]
    return "".join(f"{line}\n" for line in out + ["# EOF"] * openmetrics).encode()


def composite(kind, n):
    pairs = ",".join(f"{at}:{n}" for at in (BOUNDS if kind == "histogram" else QUANTILES))
    return f"{{count:{n},sum:{n},{'bucket' if kind == 'histogram' else 'quantile'}:[{pairs}]}}"


def as_openmetrics2():
    out, ends = [], itertools.cycle(["", " st@1.5", " 17.5 st@1.5 # {} 1 1", ' # {t="}"} 1 1 # {t=" # {"} 2 2'])
    for name, kind, rows in METRICS:
        written = f"{name}_total" if kind == "counter" else name
        out += [f"# HELP {written} Help.", f"# TYPE {written} {kind}"]
        for pairs, n in rows:
            value = composite(kind, n) if kind in ("histogram", "summary") else n
            out.append(f"{written}{braces(pairs)} {value}{next(ends)}")
    return "".join(f"{line}\n" for line in [*out, "# EOF"]).encode()


def as_protobuf():
    kinds = {"counter": (COUNTER, 3), "gauge": (GAUGE, 2), "summary": (SUMMARY, 4), "histogram": (HISTOGRAM, 7)}
    out = b""
    for name, kind, rows in METRICS:
        number, at = kinds[kind]
        fields = [field(4, labels(**pairs) + field(at, field(1, float(n)) if at in (2, 3) else
                                                   field(1, n) + field(2, float(n)))) for pairs, n in rows]
        out += delimited(field(1, f"{name}_total" if kind == "counter" else name), field(2, "Help."), field(3, number),
                         *fields)
    return out


BODIES = {TEXT: as_text(False), OPENMETRICS: as_text(True), OPENMETRICS2: as_openmetrics2(), PROTOBUF: as_protobuf()}


def split(content_type, sharding, shard, count):
    flags = [f"--set={setting}" for setting in sharding]
    return subprocess.run([BINARY, "split", f"--shard={shard}", f"--shard-count={count}", f"--content-type={content_type}",
                           *flags], input=BODIES[content_type], capture_output=True, check=True).stdout


def metrics_of(body, content_type):
    """What a shard has, however it is written: (family, labels) of its metrics, and the families with metadata."""
    if content_type == PROTOBUF:
        found = [(name, fields) for name, _, fields in messages(body)]
        pairs = {(family_key(name), tuple(sorted(tuple(text.decode() for _, text in read_fields(value))
                                                 for n, value in read_fields(metric) if n == 1)))
                 for name, fields in found for number, metric in fields if number == 4}
        return pairs, {family_key(name) for name, _ in found}
    lines = body.decode().splitlines()
    pairs = set()
    for line in lines:
        if sample := re.match(r"([a-z_0-9]+)\{([^}]*)\} ", line):
            found = sorted(re.findall(r'(\w+)="([^"]*)"', sample[2]))
            pairs.add((family_key(sample[1]), tuple(p for p in found if p[0] not in ("le", "quantile"))))
    return pairs, {family_key(line.split()[2]) for line in lines if line.startswith("# TYPE")}


@pytest.mark.parametrize("sharding, formats", [
    ([], [TEXT, OPENMETRICS, PROTOBUF]),
    (["sharding.placement=jump", "sharding.hash=md5"], [TEXT, PROTOBUF]),
    (["sharding.key=labels", "sharding.source_labels=id"], [TEXT, OPENMETRICS, PROTOBUF]),
    (["sharding.key=labels", "sharding.source_labels=job,id"], [TEXT, PROTOBUF]),
    (["rules.split=.*_seconds.*|go.*"], [TEXT, OPENMETRICS, PROTOBUF]),
    (["rules.drop=go.*", "rules.replicate=requests_1.*", "rules.colocate=(http).*"], [TEXT, OPENMETRICS, PROTOBUF]),
    (["sharding.key=declared"], [OPENMETRICS]),
    (["sharding.key=declared", "rules.replicate=requests_1", "rules.split=go.*"], [OPENMETRICS]),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) and "sharding" in str(value) else None)
def test_the_same_metrics_have_the_same_shards(sharding, formats):
    count, found = 3, {}
    for content_type in [OPENMETRICS2, *formats]:
        found[content_type] = [metrics_of(split(content_type, sharding, shard, count), content_type)
                               for shard in range(count)]
    assert sum(len(pairs) for pairs, _ in found[OPENMETRICS2]) > 80
    for content_type in formats:
        assert found[content_type] == found[OPENMETRICS2], content_type


def check_all_ways(s, path, body):
    """The shards are those of `split`, plain and compressed, and their union is the body."""
    for count in COUNTS:
        parts = []
        for shard in range(count):
            status, headers, plain = s.get(target(shard, count, path))
            assert (status, headers["Content-Type"]) == (200, OPENMETRICS2)
            compressed = s.get(target(shard, count, path), headers={"Accept-Encoding": "gzip"})
            assert plain == (gzip.decompress(compressed[2]) if compressed[1]["Content-Encoding"] else compressed[2])
            assert plain.endswith(b"# EOF\n")
            parts += plain[:-len(b"# EOF\n")].splitlines(True)
        assert sorted(parts) == sorted(body.splitlines(True)[:-1])


@pytest.mark.parametrize("settings", [[], ["max_age=1h"]], ids=["streamed", "snapshot"])
def test_all_ways(upstream, sidecar, settings):
    body = BODIES[OPENMETRICS2]
    s = sidecar(upstream(answering(answer(body, OPENMETRICS2))).url, *(f"--set=endpoint.default.{x}" for x in settings))
    check_all_ways(s, "/metrics", body)


@pytest.mark.parametrize("settings", [[], ["max_age=1h"]], ids=["streamed", "snapshot"])
def test_verify(upstream, sidecar, settings):
    body = BODIES[OPENMETRICS2]
    s = sidecar(upstream(answering(answer(body, OPENMETRICS2))).url, *(f"--set=endpoint.default.{x}" for x in settings))
    status, out, err = run("verify", "--shard-count=4", f"http://127.0.0.1:{s.port}/metrics")
    assert status == 0, out + err


def test_a_composite_is_one_series(upstream, sidecar, tmp_path):
    """For max_series, plan and the shard page."""
    body = b'# TYPE h histogram\nh{a="1"} {count:1,sum:2,bucket:[1:1,+Inf:1]}\nh{a="2"} {count:1,sum:2,bucket:[+Inf:1]}\n# EOF\n'
    url = upstream(answering(answer(body, OPENMETRICS2))).url
    s = sidecar(url, "--set=endpoint.default.max_series=2")
    assert s.get("/metrics")[0] == 200
    page = s.admin("/")[2].decode()
    assert "</code> <td>2</td>" in re.sub(r"</th><td.*?</td>", " ", page), page
    assert "one series in protobuf and OpenMetrics 2.0" in page
    s = sidecar(url, "--set=endpoint.default.max_series=1")
    status, _, reason = s.get("/metrics")
    assert status == 502 and b"2 series, more than max_series (1)" in reason
    file = tmp_path / "body"
    file.write_bytes(body)
    status, out, _ = run("plan", "--shard-count=2", f"--content-type={OPENMETRICS2}", str(file))
    assert status == 0
    assert ": 2 series in 1 families" in out and "of openmetrics 2.0\nA histogram or summary counts as one series in" in out


def test_truncated_at_every_byte(upstream, sidecar):
    """Without its end marker no body is a success, whatever it is cut in."""
    body = b'# TYPE h histogram\nh{a="1"} {count:1,sum:2} 1 st@1 # {t="}"} 1 1\nc_total 1 st@2\n# EOF'
    cuts = range(1, len(body) + 1)
    s = sidecar(upstream(answering(*(answer(body[:cut], OPENMETRICS2) for cut in cuts))).url)
    for cut in cuts:
        status, _, got = s.get(target(0, 1))
        assert (cut, status) == (cut, 200 if cut == len(body) else 502)
        assert status == 502 or got == body
