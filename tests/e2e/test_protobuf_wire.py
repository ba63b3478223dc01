# SPDX-License-Identifier: Apache-2.0
"""Bodies of protobuf that no encoder writes, beside a Prometheus that scrapes them itself: what it takes, the shards
have, byte for byte and series for series; what it refuses fails."""
import json

import pytest

from conftest import answer
from exposition import (COUNTER, GAUGE, HISTOGRAM, PROTOBUF, SUMMARY, UNTYPED, delimited, field, gauge_family, labels,
                        varint)
from prometheus import OWN_SERIES, Prometheus, identity, job, shard_jobs

SHARDS = 2
FEATURES = "--enable-feature=native-histograms"
BEGIN, END = 3, 4  # wire types of a group
LARGEST = 2**31 - 1  # number of a field


def tag(number, wire, size=1):
    return long_varint(number << 3 | wire, size)


def long_varint(value, size):
    """A varint of so many bytes, or as many as it needs."""
    out = bytearray(varint(value))
    while len(out) < size:
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def long_field(number, value, size):
    """A field of bytes, whose tag and length have so many bytes each."""
    return tag(number, 2, size) + long_varint(len(value), size) + value


def group(number, *fields, end=None):
    return tag(number, BEGIN) + b"".join(fields) + tag(number if end is None else end, END)


# Fields that no message knows.
UNKNOWN = {
    "group": group(90, field(1, "no name"), field(4, 5), tag(77, 5) + b"1234", tag(78, 1) + b"12345678"),
    "empty group": group(90),
    "groups in groups": group(90, group(91, field(1, b"x")), group(90, group(1, group(2)))),
    "a hundred groups": tag(90, BEGIN) * 100 + tag(90, END) * 100,
    "field 0 in a group": group(90, field(0, b"abc"), tag(0, 0) + b"\x01"),
    "a group of number 0 in one": group(90, group(0)),
    "another end": group(90, end=91),
    "an end of number 0": group(90, end=0),
    "number 2^29": tag(2**29, 2) + varint(3) + b"abc",
    "largest number": tag(LARGEST, 0) + varint(7),
    "a number beyond 2^32": tag(2**32 + 90, 0) + varint(7),
    "a group of the largest": group(LARGEST, field(1, b"x")),
    "varint of ten bytes": tag(90, 0) + b"\x80" * 9 + b"\x01",
    "bits beyond 64": tag(90, 0) + b"\xff" * 9 + b"\x7e",
    "long tag": long_field(90, b"abc", 10),
    "length 0 in ten bytes": tag(90, 2) + b"\x80" * 9 + b"\x00",
    "fixed": tag(90, 1) + b"12345678" + tag(91, 5) + b"1234",
}
# Such that no reader takes.
BROKEN = {
    "end without beginning": tag(90, END),
    "beginning without end": tag(90, BEGIN),
    "two with one end": tag(90, BEGIN) * 2 + tag(90, END),
    "one with two ends": group(90) + tag(90, END),
    "field 0": tag(0, 0) + b"\x01",
    "field 0, a group": group(0),
    "number 2^31": tag(2**31, 0) + b"\x01",
    "number 2^32": tag(2**32, 0) + b"\x01",
    "wire type 6": tag(90, 6) + b"\x01",
    "wire type 7": tag(90, 7) + b"\x01",
    "wire type 6 in a group": group(90, tag(90, 6)),
    "varint of eleven bytes": tag(90, 0) + b"\x80" * 10 + b"\x00",
    "tag of eleven bytes": long_varint(90 << 3, 11) + b"\x01",
    "longer than the message": tag(90, 2) + varint(100) + b"x",
    "length of 2^63": tag(90, 2) + b"\x80" * 9 + b"\x01",
    "longer than its group": tag(90, BEGIN) + tag(90, 2) + varint(3) + tag(90, END),
    "half a double": tag(90, 1) + b"1234",
}


def sample(value, *more, name="x"):
    return field(4, labels(id=name) + field(2, field(1, value)) + b"".join(more))


def gauge(*fields, name="odd_bytes"):
    return delimited(field(1, name), field(3, GAUGE), sample(1.0), *fields, sample(2.0, name="y"))


def in_gauge(odd):
    """A family of a gauge whose second metric is odd."""
    return gauge(field(4, labels(id="odd") + odd))


PLAIN = gauge_family("up_bytes", {"a": 1, "b": 2}) + gauge_family("down_bytes", {"a": 3, "c": 4}) + gauge_family(
    "other_count", {"a": 5, "d": 6})
NATIVE = field(1, 5) + field(2, 2.5) + field(6, 1e-128) + field(12, field(1, (0,)) + field(2, 2))


def histogram(*parts):
    return delimited(field(1, "odd_seconds"), field(3, HISTOGRAM),
                     field(4, labels(id="x") + b"".join(field(7, part) for part in parts)))


# What Prometheus takes.
TAKEN = {f"{name} in a family": gauge(odd) for name, odd in UNKNOWN.items()}
TAKEN |= {f"{name} in a metric": in_gauge(odd + field(2, field(1, 2.0))) for name, odd in UNKNOWN.items()}
TAKEN |= {f"{name} in a value": in_gauge(field(2, field(1, 2.0) + odd)) for name, odd in UNKNOWN.items()}
TAKEN |= {f"{name} in a label": in_gauge(field(1, field(1, "more") + odd + field(2, "v")) + field(2, field(1, 2.0)))
          for name, odd in UNKNOWN.items()}
TAKEN |= {
    "lengths of five bytes": b"".join(long_varint(len(message), 5) + message for message in (
        field(1, "odd_1") + sample(1.0), field(1, "odd_2") + sample(2.0))),
    "long varints all over": gauge(long_field(4, long_field(1, long_field(1, b"id", 7) + long_field(2, b"z", 8), 9) +
                                              long_field(2, field(1, 2.0), 10), 6)),
    "a long type": delimited(long_field(1, b"odd_1", 6), tag(3, 0, 10) + long_varint(GAUGE, 10), sample(1.0)),
    "a type of 33 bits": delimited(field(1, "odd_1"), field(3, 2**32 + UNTYPED),
                                   field(4, labels(id="x") + field(5, field(1, 1.0)))),
    "several names and types": delimited(field(1, "odd_1"), field(3, COUNTER), sample(1.0), field(3, GAUGE),
                                         field(1, "odd_2"), field(2, "Help.")),
    "a name beyond 32 bits": delimited(tag(2**32 + 1, 2) + varint(5) + b"odd_1", field(3, GAUGE), sample(1.0)),
    "a label in several fields of one": in_gauge(field(1, field(1, "id2") + field(2, "lost") + field(1, "id3") + field(
        2, "kept")) + field(2, field(1, 2.0))),
    "two gauges in a metric": in_gauge(field(2, field(1, 1.0)) + field(2, field(1, 2.0))),
    "a gauge that is nothing": in_gauge(field(2, b"")),
    "a summary in two parts": delimited(field(1, "odd_1"), field(3, SUMMARY), field(
        4, labels(id="x") + field(4, field(1, 5) + field(3, field(1, 0.5) + field(2, 1.0))) + field(
            4, field(2, 2.5) + field(3, field(1, 0.9) + field(2, 2.0))))),
    "a histogram in two parts": histogram(NATIVE, field(13, [2, 1])),
    "a packed list in two parts": histogram(NATIVE + field(13, [2]) + field(13, [1])),
    "a list that is not packed": histogram(NATIVE + field(13, (2,)) + field(13, (1,))),
    "an empty list": histogram(field(1, 5) + field(2, 2.5) + field(13, [])),
    "an empty message": delimited() + gauge(),
    "a family of no metrics": delimited(field(1, "odd_1"), group(90)) + gauge(),
}
# What it refuses, and what of it is seen by which key: a family's fields are read by every one.
REFUSED = {f"{name} in a family": delimited(field(1, "odd_bytes"), sample(1.0), odd) for name, odd in BROKEN.items()}
REFUSED |= {
    "a name that is a number": gauge(field(1, 5)),
    "metrics in a group": gauge(group(4, field(1, b"x"))),
    "a type in four bytes": gauge(tag(3, 5) + b"1234"),
    "a length of six bytes": PLAIN + long_varint(1, 6) + b"x",
    "a length that is no varint": PLAIN + b"\xff" * 11,
    "a message that is cut": PLAIN + gauge()[:-1],
}
# Within metrics, and read where labels decide.
REFUSED_IN_METRICS = {f"{name} in a metric": in_gauge(odd) for name, odd in BROKEN.items()}
REFUSED_IN_METRICS |= {f"{name} in a label": in_gauge(field(1, field(1, "more") + odd)) for name, odd in BROKEN.items()}
REFUSED_IN_METRICS |= {
    "a label that is a number": in_gauge(field(1, 5)),
    "a label's name that is a number": in_gauge(field(1, field(1, 5))),
    "a gauge in four bytes": in_gauge(tag(2, 5) + b"1234"),
    "a timestamp that is text": in_gauge(field(6, "5")),
    "a threshold that is a number": histogram(field(6, 5)),
}
ALL = {**TAKEN, **REFUSED, **REFUSED_IN_METRICS}
assert len(ALL) == len(TAKEN) + len(REFUSED) + len(REFUSED_IN_METRICS)

KEYS = {"family": "key = family", "labels": "key = labels\nsource_labels = id"}
WAYS = [("family", "0s"), ("labels", "0s"), ("labels", "1h")]  # a key, and max_age


@pytest.fixture
def prometheus(tmp_path):
    """prometheus(jobs) starts one that asks for protobuf."""
    started = []

    def start(jobs):
        p = Prometheus(tmp_path / "prometheus", jobs, FEATURES)
        started.append(p)
        p.wait_ready()
        return p
    yield start
    assert [p.stop() for p in started] == [0] * len(started)


def bodies_by_path(bodies):
    """A service that answers each path with its body."""
    def serve(upstream, connection):
        while head := upstream.read_request(connection):
            path = head.split()[1].decode().partition("?")[0]
            connection.sendall(answer(PLAIN + bodies[int(path.rpartition("/")[2])], PROTOBUF))
    return serve


def scraped(p):
    """{job: [(series, value)]} of all that it has now; equal ones of several shards would stand there twice."""
    found = {}
    for result in p.query('{job=~".+",id=~".*"}'):
        if result["metric"]["__name__"] not in OWN_SERIES:
            value = result.get("value") or result["histogram"]
            found.setdefault(result["metric"]["job"], []).append((identity(result["metric"]), json.dumps(value[1])))
    return found


def is_right(name, key, direct, shards):
    """Whether the shards went as they are to: the health of the whole, and theirs."""
    if direct == "up":
        return shards == ["up"] * SHARDS
    return shards == ["down"] * SHARDS if name in REFUSED or key == "labels" else "down" in shards


@pytest.mark.parametrize("key,max_age", WAYS)
def test_as_prometheus_reads_them(prometheus, upstream, sidecar, config, key, max_age):
    service = upstream(bodies_by_path(list(ALL.values())))
    base, paths = service.url.rpartition("/")[0], [f"/{i}" for i in range(len(ALL))]
    s = sidecar(config=config(f"[sharding]\n{KEYS[key]}\n" + "".join(
        f"[endpoint b{path[1:]}]\npath = {path}\nupstream = {base}{path}\nmax_age = {max_age}\n" for path in paths)))
    jobs = []
    for path in paths:
        jobs += [job(f"direct-{path}", int(base.rpartition(":")[2]), path),
                 *shard_jobs(f"shard-{path}", s.port, SHARDS, path)]
    p = prometheus([{**j, "scrape_interval": "10s", "scrape_timeout": "10s"} for j in jobs])
    p.wait_scrapes(1)
    health = {t["labels"]["job"]: t["health"] for t in p.api("targets", state="active")["activeTargets"]}
    values = scraped(p)
    wrong = []
    for path, name in zip(paths, ALL):
        direct, names = health[f"direct-{path}"], [f"shard-{path}-{shard}" for shard in range(SHARDS)]
        union = sorted(pair for shard in names for pair in values.get(shard, []))
        if (direct == "up") != (name in TAKEN):
            wrong.append(f"{name}: Prometheus itself has it {direct}")
        if not is_right(name, key, direct, [health[shard] for shard in names]):
            wrong.append(f"{name}: {direct}, the shards {[health[shard] for shard in names]}")
        if direct == "up" and union != sorted(values[f"direct-{path}"]):
            wrong.append(f"{name}: {values[f'direct-{path}']}, the shards {union}")
    assert not wrong, "\n".join(wrong)
