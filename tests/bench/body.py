#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes an exposition like that of a busy service: families of very different sizes, one in six a histogram.

The same arguments give the same bytes. The default, 28,000 series in 433 families, is the size of Criteo's instances.
"""
import argparse
import random
import re
import struct
import sys

METHODS = ["GET", "POST", "PUT", "DELETE"]
BUCKETS = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
WORDS = ["http", "request", "queue", "cache", "bidder", "session", "worker", "kafka", "consumer", "banner", "budget", "timer"]


def labels(rng, i):
    return (f'method="{METHODS[i % 4]}",handler="/api/v{i % 3}/{WORDS[i % 12]}/{rng.randrange(1000)}",'
            f'zone="eu-west-{i % 3}",pool="{WORDS[i // 12 % 12]}-{i}",version="2026.11.{i % 7}"')


def family(rng, index, series, openmetrics, more=""):
    """Yields the lines of one family of about this many series; `more` are labels added to each."""
    kind = ["counter", "gauge", "gauge", "counter", "gauge", "histogram"][index % 6]
    name = "_".join(rng.choice(WORDS) for _ in range(2)) + f"_{index}"
    total = "_total" if kind == "counter" else ""
    name += {"counter": "_events", "gauge": "_bytes", "histogram": "_duration_seconds"}[kind]
    declared = name if openmetrics else name + total
    yield f"# HELP {declared} The {kind} that counts {name.replace('_', ' ')}.\n"
    yield f"# TYPE {declared} {kind}\n"
    if kind != "histogram":
        for i in range(series):
            yield f"{name}{total}{{{labels(rng, i)}{more}}} {rng.random() * 1e6:.6g}\n"
        return
    for i in range(max(1, series // (len(BUCKETS) + 2))):
        l, seen = labels(rng, i) + more, 0
        for b in BUCKETS:
            seen += rng.randrange(100)
            yield f'{name}_bucket{{{l},le="{b}"}} {seen}\n'
        yield f"{name}_sum{{{l}}} {seen * 0.37:.6g}\n"
        yield f"{name}_count{{{l}}} {seen}\n"


def varint(n):
    out = bytearray()
    while True:
        out.append(n & 0x7f | (0x80 if n > 0x7f else 0))
        n >>= 7
        if not n:
            return bytes(out)


def field(number, value):
    """A field of a message: bytes, a number, or a float (8 bytes)."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3) + varint(value)


def metric(labels_text, inner):
    pairs = re.findall(r'(\w+)="([^"]*)"', labels_text)
    return b"".join(field(1, field(1, k.encode()) + field(2, v.encode())) for k, v in pairs) + inner


def as_protobuf(lines):
    """The families of text lines as delimited MetricFamily messages, histograms as such."""
    families = {}
    for line in lines:
        if line.startswith("# HELP"):
            _, _, name, text = line.split(" ", 3)
            families[name] = [text.strip(), None, []]
        elif line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            families[name][1] = kind
        else:
            families[name][2].append(line)
    for name, (text, kind, samples) in families.items():
        out = field(1, name.encode()) + field(2, text.encode()) + field(3, {"counter": 0, "gauge": 1, "histogram": 4}[kind])
        step = 14 if kind == "histogram" else 1
        for i in range(0, len(samples), step):
            value = [float(s.rsplit(" ", 1)[1]) for s in samples[i:i + step]]
            if kind == "histogram":
                inner = field(1, int(value[13])) + field(2, value[12]) + b"".join(
                    field(3, field(1, int(v)) + field(2, float(b))) for v, b in zip(value, BUCKETS))
                inner = field(7, inner)
            else:
                inner = field(3 if kind == "counter" else 2, field(1, value[0]))
            out += field(4, metric(samples[i].split("{", 1)[1].split(',le="')[0], inner))
        yield varint(len(out)) + out


def body(series=28000, families=433, openmetrics=False, seed=1, more=""):
    rng = random.Random(seed)
    weights = [rng.paretovariate(1.1) for _ in range(families)]
    scale = series / sum(weights)
    for i, w in enumerate(weights):
        yield from family(rng, i, max(1, round(w * scale)), openmetrics, more)
    if openmetrics:
        yield "# EOF\n"


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--series", type=int, default=28000)
    args.add_argument("--families", type=int, default=433)
    args.add_argument("--openmetrics", action="store_true")
    args.add_argument("--protobuf", action="store_true")
    args.add_argument("--labels", type=int, default=0, metavar="N", help="additional labels")
    args.add_argument("--label-length", type=int, default=0, metavar="BYTES", help="one additional label with a value of this length")
    a = args.parse_args()
    more = "".join(f',label{i}="value {i}"' for i in range(a.labels))
    more += f',long="{"x" * a.label_length}"' if a.label_length else ""
    if a.protobuf:
        sys.stdout.buffer.writelines(as_protobuf(body(a.series, a.families, more=more)))
    else:
        sys.stdout.writelines(body(a.series, a.families, a.openmetrics, more=more))
