#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the placement tables with independent implementations: python3-xxhash and hashlib; jump as in the paper.

A row: the key, its hash, then count:shard for some counts.
"""
import hashlib
import pathlib
import random
import sys

import xxhash

COUNTS = [1, 2, 3, 4, 7, 8, 10, 80, 81, 1000, 65536]
NAMED = ["up", "http_requests_total", "http_request_duration_seconds", "node_cpu_seconds_total", "kube_pod_info", "",
         "métrique.été", "my.dotted.metric", "graphite.par4.bidder.srv00001.requests_per_second_p99", "foo\nbar", "a\\b",
         "baz", "node_cpu_seconds_total;cpu0;idle", "up;;prometheus"]


def xxh64(key):
    return xxhash.xxh64_intdigest(key, seed=0)


def md5(key):
    return int.from_bytes(hashlib.md5(key).digest()[8:], "big")


def jump(h, count):
    """Lamping and Veach, 2014; integer arithmetic where the paper's is exact."""
    bucket, following = -1, 0
    while following < count:
        bucket = following
        h = (h * 2862933555777941757 + 1) & 0xffffffffffffffff
        following = int(float(bucket + 1) * (float(1 << 31) / float((h >> 33) + 1)))
    return bucket


TABLES = {
    "xxh64-modulo": (xxh64, lambda h, n: (h & 0xffffffff) % n),
    "xxh64-jump": (xxh64, jump),
    "md5-modulo": (md5, lambda h, n: h % n),
    "md5-jump": (md5, jump),
}


# A colocate rule, a name that it matches, and the key that it gives it.
GROUPS = [
    ("disks: node_disk_.*|node_md_.*", "node_disk_reads_completed_total", "disks"),
    ("disks: node_disk_.*|node_md_.*", "node_md_state", "disks"),
    ("a.b_C-9: (job):(.*)", "job:up", "a.b_C-9"),
    ("x:\tup", "up", "x"),
    ("up:  up", "up", "up"),
    ("(job:[a-z]+):.*", "job:up:sum", "job:up"),
    ("(job)(:)(.*)", "job:up", "job;:;up"),
    ("a:(b)", "a:b", "b"),
]


def write_groups():
    with open(pathlib.Path(__file__).with_name("colocate.tsv"), "w", encoding="utf-8") as out:
        print("# colocate (\\t escaped)\tname\tkey\thash\tcount:shard ... of xxh64 and modulo. Written by make.py.", file=out)
        for rule, name, key in GROUPS:
            h = xxh64(key.encode())
            print(rule.replace("\t", "\\t"), name, key, f"{h:016x}", *(f"{c}:{(h & 0xffffffff) % c}" for c in COUNTS),
                  sep="\t", file=out)


# What a body declares and the key of it under key = declared: Content-Type, TYPE, the name that it declares, a sample's
# name, the key of both.
OM = "application/openmetrics-text; version="
DECLARED = [
    ("text/plain", "counter", "foo_total", "foo_total", "foo_total"),
    (OM + "1.0.0", "counter", "foo", "foo_total", "foo"),
    (OM + "2.0.0", "counter", "foo_total", "foo_total", "foo"),
    (OM + "1.0.0", "counter", "foo", "foo", "foo"),
    (OM + "2.0.0", "counter", "foo", "foo", "foo"),
    (OM + "2.0.0", "counter", "_total", "_total", "_total"),
    (OM + "2.0.0", "counter", "foo_total_total", "foo_total_total", "foo_total"),
    (OM + "2.0.0", "counter", "foo_count", "foo_count", "foo_count"),
    (OM + "1.0.0", "gauge", "foo_total", "foo_total", "foo_total"),
    (OM + "2.0.0", "gauge", "foo_total", "foo_total", "foo_total"),
    (OM + "2.0.0", "unknown", "foo_total", "foo_total", "foo_total"),
    ("text/plain", "gauge", "build_info", "build_info", "build_info"),
    (OM + "1.0.0", "info", "build", "build_info", "build"),
    (OM + "2.0.0", "info", "build_info", "build_info", "build"),
    (OM + "2.0.0", "gauge", "build_info", "build_info", "build_info"),
    ("text/plain", "histogram", "foo", "foo_bucket", "foo"),
    (OM + "1.0.0", "histogram", "foo", "foo_bucket", "foo"),
    (OM + "2.0.0", "histogram", "foo", "foo", "foo"),
    (OM + "2.0.0", "histogram", "foo_total", "foo_total", "foo_total"),
    (OM + "1.0.0", "stateset", "foo", "foo", "foo"),
    (OM + "2.0.0", "stateset", "foo", "foo", "foo"),
]


def write_declared():
    with open(pathlib.Path(__file__).with_name("declared.tsv"), "w", encoding="utf-8") as out:
        print("# Content-Type\tTYPE\tdeclared\tsample\tkey = declared\thash\tcount:shard ... of xxh64 and modulo. Written by "
              "make.py.", file=out)
        for row in DECLARED:
            h = xxh64(row[-1].encode())
            print(*row, f"{h:016x}", *(f"{c}:{(h & 0xffffffff) % c}" for c in COUNTS), sep="\t", file=out)


def main():
    write_groups()
    write_declared()
    rng = random.Random(2023)
    words = ["node", "http", "go", "process", "cache", "queue", "requests", "seconds", "bytes", "total", "cpu", "é", "日本"]
    names = NAMED + ["_".join(rng.choice(words) for _ in range(rng.randrange(1, 9))) for _ in range(120)]
    for table, (function, place) in TABLES.items():
        with open(pathlib.Path(__file__).with_name(table + ".tsv"), "w", encoding="utf-8") as out:
            print("# key (\\n and \\\\ escaped)\thash\tcount:shard ... Written by make.py.", file=out)
            for name in names:
                h = function(name.encode())
                shown = name.replace("\\", "\\\\").replace("\n", "\\n")
                print(shown, f"{h:016x}", *(f"{c}:{place(h, c)}" for c in COUNTS), sep="\t", file=out)


sys.exit(main())
