# SPDX-License-Identifier: Apache-2.0
"""Native histograms, which only protobuf carries: a Prometheus that scrapes them through scrapeshard has what it has by
scraping the service itself. Debian's Prometheus 2.42 has none of its own, but what it has scraped it gives on in
protobuf when it is federated."""
import http.client
import math
import re
import time
import urllib.parse

import pytest

from conftest import answer, answering, wait_until
from exposition import (COUNTER, GAUGE, HISTOGRAM, PROTOBUF, SUMMARY, delimited, field, labels, messages,
                        protobuf_shard, read_fields, target)
from prometheus import PATIENCE, VERSION, Prometheus, identity, job, shard_jobs

SHARDS = 3
FEATURES = "--enable-feature=native-histograms,exemplar-storage"
# A scrape that a busy machine keeps from its end in this time takes the series away until the next one.
TIMES = {"scrape_interval": "6s", "scrape_timeout": "6s"}
GAUGE_HISTOGRAM = 5
HISTOGRAM_FIELD = 7  # of Metric
# Fields of Histogram that only a native one has: schema, zero_threshold, spans and deltas.
NATIVE_FIELDS = {5, 6, 9, 10, 12, 13}


def timestamp(seconds):
    return field(1, int(seconds)) + field(2, 500000000)


def span(offset, length):
    return field(1, (offset,)) + field(2, length)


def exemplar(value):
    label = field(1, "trace_id") + field(2, "KOO5S4vxi0o # {")
    return field(1, label) + field(2, value) + field(3, timestamp(time.time()))


def native(k):
    """The native part of a histogram: buckets of schema 3 on both sides of zero, 10 + 6k observations; 3.x counts them."""
    return b"".join([field(5, (3,)), field(6, 1e-128), field(7, 3 + k),
                     field(9, span(-4, 2)), field(10, [1 + k, 1]),
                     field(12, span(-1, 2)), field(12, span(3, 1)), field(13, [1 + k, 1, -1])])


def native_float(k):
    """The same in floats, as recording rules and aggregating services have them."""
    def packed(number, values):
        return b"".join(field(number, float(value)) for value in values)
    return b"".join([field(4, 10.5 + k), field(5, (0,)), field(6, 0.001), field(8, 2.5 + k),
                     field(12, span(0, 3)), packed(14, [4, 2.5, 1.5])])


def classic(*counts):
    bounds = [0.01, 0.1, 1.0]
    return b"".join(field(3, field(1, count) + field(2, bound) + field(3, exemplar(bound / 2)))
                    for bound, count in zip(bounds, counts))


def integer(k, *more, total=4.5):
    """A histogram of integers: count, sum and the parts."""
    return field(1, 10 + 6 * k) + field(2, total + k) + b"".join(more)


def metric(pod, value_field, value, *more):
    return field(4, labels(pod=pod, text='a "b" {} # \\') + field(value_field, value) + b"".join(more))


def family(name, kind, *metrics):
    return delimited(field(1, name), field(2, f"Help of {name}."), field(3, kind), *metrics)


def body():
    """Families of every kind of histogram, and other metrics between them."""
    found = []
    for i in range(8):
        found += [
            family(f"native_{i}_seconds", HISTOGRAM,
                   *(metric(f"pod-{k}", 7, integer(k, native(k), field(15, timestamp(1.6e9)))) for k in range(i + 1))),
            family(f"floating_{i}", HISTOGRAM, metric("pod-1", 7, field(2, 2.5) + native_float(i))),
            family(f"gauging_{i}_bytes", GAUGE_HISTOGRAM, metric("pod-1", 7, integer(i, native(i)))),
            family(f"both_{i}_count", HISTOGRAM, metric("pod-1", 7, integer(i, native(i), classic(1, 2, 3)))),
            family(f"classic_{i}", HISTOGRAM, metric("pod-1", 7, integer(i, classic(1, 2, 3)))),
            family(f"requests_{i}_total", COUNTER,
                   metric("pod-1", 3, field(1, float(i)) + field(2, exemplar(1.0)) + field(3, timestamp(1.6e9)))),
            family(f"size_{i}", GAUGE, metric("pod-1", 2, field(1, 1.5 * i))),
            family(f"pause_{i}_seconds", SUMMARY, metric("pod-1", 4, field(1, 4) + field(2, 0.5) + field(
                3, field(1, 0.5) + field(2, 0.1)))),
        ]
    return b"".join(found)


NATIVE = 8 * 9 // 2 + 3 * 8  # series of native histograms in it


def native_series(content):
    """How many metrics of a body have a native histogram."""
    return sum(1 for _, _, fields in messages(content) for number, value in fields if number == 4
               for inner, histogram in read_fields(value) if inner == HISTOGRAM_FIELD
               and NATIVE_FIELDS & {n for n, _ in read_fields(histogram)})


@pytest.fixture
def prometheus(tmp_path):
    """prometheus(jobs) starts a Prometheus that takes native histograms in."""
    started = []

    def start(jobs):
        p = Prometheus(tmp_path / f"prometheus-{len(started)}", jobs, FEATURES, global_settings=TIMES)
        started.append(p)
        p.wait_ready()
        return p
    yield start
    assert [p.stop() for p in started] == [0] * len(started)


FUNCTIONS = ("histogram_count(", "histogram_sum(", "histogram_quantile(0.9, ", "histogram_fraction(-1, 1, ")


def histograms(p, selector, function):
    """{series without where it was scraped: value} of every native histogram, by one of the functions. They take the
    name off, so that each name is asked alone; to them a classic histogram's series are none."""
    found = {}
    for name in p.api("label/__name__/values", **{"match[]": f"{{{selector}}}"}):
        if re.search("_bucket$", name):
            continue
        for result in p.query(f'{function}{{__name__="{name}",{selector}}})'):
            key = (name, *identity(result["metric"]))
            assert key not in found, f"two shards have {key}"
            found[key] = result["value"][1]
    return found


def check_equal(p, direct, shards, count):
    """The shards' histograms, and all else, are those of the direct job, which has this count of native ones; None: some."""
    for function in FUNCTIONS:
        expected = histograms(p, f'job="{direct}"', function)
        assert histograms(p, f'job=~"{shards}-.*"', function) == expected
        if function == "histogram_count(":
            assert len(expected) == count if count else expected
            assert all(float(value) > 0 for value in expected.values())
            parts = [histograms(p, f'job="{shards}-{i}"', function) for i in range(SHARDS)]
            assert all(parts), "a shard has none of them"
    assert set().union(*(p.series(f"{shards}-{i}") for i in range(SHARDS))) == p.series(direct)
    scraped = {r["metric"]["job"]: int(r["value"][1]) for r in p.query("scrape_samples_scraped")}
    assert sum(scraped[f"{shards}-{i}"] for i in range(SHARDS)) == scraped[direct] >= (count or 1)


def port_of(url):
    return int(re.search(r":(\d+)/", url)[1])


def asks_for_protobuf(service):
    return all(re.search(rb"(?im)^accept: *application/vnd\.google\.protobuf", request) for request in service.requests)


def test_native_histograms(prometheus, upstream, sidecar):
    content = body()
    assert native_series(content) == NATIVE
    service = upstream(answering(answer(content, PROTOBUF)))
    s = sidecar(service.url)
    for shard in range(SHARDS):
        assert s.get(target(shard, SHARDS))[2] == protobuf_shard(content, shard, SHARDS)
    before = len(service.requests)
    p = prometheus([job("direct", port_of(service.url)), *shard_jobs("shard", s.port, SHARDS)])
    p.wait_up(1)
    service.requests[:before] = []
    assert asks_for_protobuf(service)
    check_equal(p, "direct", "shard", NATIVE)
    assert p.complaints() == []


def federate(port):
    """What a Prometheus gives on of what its first jobs scraped, in protobuf."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        query = urllib.parse.urlencode({"match[]": '{job=~"first-.*"}'})
        connection.request("GET", f"/federate?{query}", headers={"Accept": PROTOBUF.replace(" ", "")})
        response = connection.getresponse()
        content = response.read()
        assert response.headers["Content-Type"].startswith("application/vnd.google.protobuf"), content[:300]
        return response.status, content
    finally:
        connection.close()


def test_federated_native_histograms(prometheus, upstream, sidecar):
    """Debian's Prometheus gives on what it scraped through scrapeshard, in its own protobuf; and that is scraped again,
    directly and in shards."""
    first = prometheus(shard_jobs("first", sidecar(upstream(answering(answer(body(), PROTOBUF))).url).port, SHARDS))
    first.wait_up(1)

    def federated():
        status, content = federate(first.port)
        return content if status == 200 and native_series(content) == NATIVE else None
    content = wait_until(federated, "the native histograms are not federated", PATIENCE)
    # Recorded: so that every scrape has the same values; its timestamps are not those of the scrapes that follow.
    service = upstream(answering(answer(content, PROTOBUF)))
    s = sidecar(service.url)
    for shard in range(SHARDS):
        assert s.get(target(shard, SHARDS))[2] == protobuf_shard(content, shard, SHARDS)
    jobs = [job("direct", port_of(service.url)), *shard_jobs("shard", s.port, SHARDS)]
    second = prometheus([{**j, "honor_timestamps": False} for j in jobs])
    second.wait_up(1)
    check_equal(second, "direct", "shard", NATIVE)


def mixed(*kinds):
    """Metrics of one family, of these kinds of histogram in turn."""
    return [metric(f"pod-{k}", 7, kind(k)) for k, kind in enumerate(kinds * 3)]


# 3.x reads classic ones after a native one as native. Then they are valid only with a sum that is no number: their
# buckets are not seen.


def only_classic(k):
    return integer(k, classic(1, 2, 3), total=math.nan)


def only_native(k):
    return integer(k, native(k))


def both(k):
    return integer(k, native(k), classic(1, 2, 3))


def neither(k):
    return integer(k, total=math.nan)


def zero_bucket(k):
    return field(1, 3 + k) + field(2, 4.5 + k) + field(7, 3 + k) + classic(1, 2, 3)


def floating(k):
    return field(2, 2.5) + native_float(k)


def merged(k):
    """Two fields of one metric, which are one histogram."""
    return only_classic(k) + field(15, timestamp(1.6e9)) + field(99, "nobody knows") + native(k)


# Families whose metrics are not of one kind, and whether Prometheus 2.42 reads them as native: by the first of them.
# Later versions may read them in another way.
MIXED = [((only_classic, only_native), False), ((only_native, only_classic), True), ((neither, only_native), False),
         ((only_native, neither, both), True), ((zero_bucket, only_classic), True), ((only_classic, zero_bucket), False),
         ((floating, only_classic, only_native), True), ((only_classic, floating), False),
         ((merged, only_classic), True), ((only_classic, only_classic, merged), False)]
ONE_KIND = [((only_classic,), False), ((only_native,), True), ((both, only_native), True)]
RULES = {"split": ["rules.split=.*"], "labels": ["sharding.key=labels", "sharding.source_labels=pod"]}


def mixed_body(families):
    return b"".join(family(f"latency_{i}_seconds", GAUGE_HISTOGRAM if i % 3 == 2 else HISTOGRAM, *mixed(*kinds))
                    for i, (kinds, _) in enumerate(families))


def test_mixed_kinds(prometheus, upstream, sidecar):
    """Families of native and classic histograms, where metrics part: what Prometheus makes of the shards' is what it
    makes of the whole, streamed and of a snapshot."""
    families = MIXED + ONE_KIND
    service = upstream(answering(answer(mixed_body(families), PROTOBUF)))
    jobs = [job("direct", port_of(service.url))]
    names = []
    for rule, settings in RULES.items():
        for max_age in ("0s", "1h"):
            s = sidecar(service.url, *(f"--set={text}" for text in [*settings, f"endpoint.default.max_age={max_age}"]))
            names.append(f"{rule}-{max_age}")
            jobs += shard_jobs(names[-1], s.port, SHARDS)
    p = prometheus(jobs)
    p.wait_up(1)
    natives = sum(3 * len(kinds) for kinds, native_first in families if native_first) if VERSION < (2, 46) else None
    for name in names:
        check_equal(p, "direct", name, natives)


def fails(s, shard):
    """The scrape of a shard fails: there is no answer, or it is broken off, for its head may have gone out."""
    try:
        status, _, body = s.get(target(shard, SHARDS))
    except (ConnectionError, http.client.HTTPException):
        return
    assert status == 502, body


def test_a_kind_that_comes_late(upstream, sidecar):
    """Of a family that is too large to be held another kind after its beginning is refused, in every shard; a snapshot
    has all of it, and keeps it together."""
    metrics = [metric(f"pod-{k}", 7, only_classic(k)) for k in range(4000)]
    content = family("latency_seconds", HISTOGRAM, *metrics, metric("last", 7, only_native(0)))
    assert len(content) > 512 * 1024
    service = upstream(answering(answer(content, PROTOBUF)))
    for settings in RULES.values():
        flags = [f"--set={text}" for text in settings]
        s = sidecar(service.url, *flags)
        for shard in range(SHARDS):
            fails(s, shard)
        wait_until(lambda: s.count("both native and classic histograms") == SHARDS, "not every shard was refused")
        s = sidecar(service.url, *flags, "--set=endpoint.default.max_age=1h")
        parts = [s.get(target(shard, SHARDS)) for shard in range(SHARDS)]
        assert [status for status, _, _ in parts] == [200] * SHARDS
        assert sorted(len(messages(part)) for _, _, part in parts) == [0, 0, 1]
