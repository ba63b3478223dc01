#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A service of Debian's python3-prometheus-client, served as that client does it, over TCP:  python_service.py SERIES

Its server is HTTP/1.0: each scrape is a connection of its own. Prints a line of JSON with its port.
"""
import json
import signal
import socket
import sys

import prometheus_client

SERIES_A_FAMILY = 65
SERIES_OF_HISTOGRAM = 19  # by its own buckets, _created included


def fill(registry, series):
    labels = ["method", "handler", "zone"]
    for family in range(max(1, series // SERIES_A_FAMILY)):
        is_histogram = family % 6 == 5
        kind = prometheus_client.Histogram if is_histogram else prometheus_client.Gauge
        metric = kind(f"python_{family}_seconds", f"What {family} has seen since the start.", labels, registry=registry)
        for i in range(SERIES_A_FAMILY // SERIES_OF_HISTOGRAM if is_histogram else SERIES_A_FAMILY):
            child = metric.labels("GET", f"/api/v{i % 3}/{i}", f"eu-west-{i % 3}")
            if is_histogram:
                child.observe(i / 7)
            else:
                child.set(i * 104729 % 1000003)


registry = prometheus_client.CollectorRegistry()
fill(registry, int(sys.argv[1]))
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
prometheus_client.start_http_server(port, "127.0.0.1", registry)
print(json.dumps({"tcp": [port]}), flush=True)
signal.pause()
