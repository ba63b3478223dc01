#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes xxh64-modulo.tsv with an implementation that is not ours (python3-xxhash). Rows: key, XXH64, then count:shard."""
import random
import sys

import xxhash

COUNTS = [1, 2, 3, 4, 7, 8, 10, 80, 81, 1000, 65536]
NAMED = ["up", "http_requests_total", "http_request_duration_seconds", "node_cpu_seconds_total", "kube_pod_info", "",
         "métrique.été", "my.dotted.metric", "graphite.par4.bidder.srv00001.requests_per_second_p99", "foo\nbar", "a\\b"]


def main():
    rng = random.Random(2023)
    words = ["node", "http", "go", "process", "cache", "queue", "requests", "seconds", "bytes", "total", "cpu", "é", "日本"]
    names = NAMED + ["_".join(rng.choice(words) for _ in range(rng.randrange(1, 9))) for _ in range(120)]
    print("# key (\\n and \\\\ escaped)\tXXH64\tcount:shard ... Written by make.py.")
    for name in names:
        h = xxhash.xxh64_intdigest(name.encode(), seed=0)
        shown = name.replace("\\", "\\\\").replace("\n", "\\n")
        print(shown, f"{h:016x}", *(f"{c}:{(h & 0xffffffff) % c}" for c in COUNTS), sep="\t")


sys.exit(main())
