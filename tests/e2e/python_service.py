#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A service of Debian's python3-prometheus-client that has a metric of every type. It answers in text or OpenMetrics,
as it is asked, on a port of loopback that it says on standard error."""
import http.server
import sys

import prometheus_client
from prometheus_client import exposition
from prometheus_client.core import GaugeHistogramMetricFamily


class Queue:
    """The client has no gauge histogram of its own; collectors make them."""

    def collect(self):
        yield GaugeHistogramMetricFamily("queue_bytes", "Sizes of what waits.", unit="bytes",
                                         buckets=[("1024.0", 2), ("+Inf", 5)], gsum_value=7000)


def fill(registry):
    requests = prometheus_client.Counter("requests", "Requests \"answered\".", ["path", "code"], registry=registry)
    for i in range(5):
        requests.labels(f"/shop/{i}", "200").inc(i + 1, {"trace_id": f"KOO5S4vxi0{i}", "span_id": "# {"})
    requests.labels('/a "b" {c="d"} # {\\', "400").inc()
    latency = prometheus_client.Histogram("latency_seconds", "How long they took.", ["path"], unit="seconds",
                                          buckets=(0.01, 0.1, 1), registry=registry)
    for i in range(20):
        latency.labels("/shop").observe(i / 10, {"trace_id": f"oHg5SJYRHA{i}"})
    pause = prometheus_client.Summary("pause", "How long it paused.", unit="seconds", registry=registry)
    pause.observe(0.25)
    prometheus_client.Gauge("size", "How large it is.", unit="bytes", registry=registry).set(4096)
    prometheus_client.Gauge("size_count", "How many it has.", registry=registry).set(3)
    prometheus_client.Info("build", "What was built.", registry=registry).info({"version": "1.0", "text": "# EOF"})
    phase = prometheus_client.Enum("phase", "Where it stands.", states=["starting", "running"], registry=registry)
    phase.state("running")
    prometheus_client.Counter("nothing", "A family without a sample.", ["path"], registry=registry)
    for i in range(40):
        prometheus_client.Counter(f"kind_{i}", f"Things of kind {i}.", registry=registry).inc(i)
    registry.register(Queue())


def main():
    registry = prometheus_client.CollectorRegistry()
    fill(registry)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            encoder, content_type = exposition.choose_encoder(self.headers.get("Accept"))
            body = encoder(registry)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"listening on {server.server_port}", file=sys.stderr, flush=True)
    server.serve_forever()


main()
