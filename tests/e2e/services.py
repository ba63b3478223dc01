# SPDX-License-Identifier: Apache-2.0
"""Real services on loopback. Each function starts one by the process fixture and answers the URL of its metrics."""
import http.client
import json
import os
import pathlib
import re
import urllib.parse

import npm
from conftest import SLOW, _connects, free_port, wait_until
from prometheus import BINARY as PROMETHEUS

HERE = pathlib.Path(__file__).resolve().parent
# Collectors whose families do not come and go with what else happens on the machine.
COLLECTORS = ("cpu", "entropy", "filefd", "loadavg", "meminfo", "netstat", "sockstat", "softnet", "stat", "uname",
              "vmstat")


def fetch(url, accept="*/*", method="GET", body=None):
    """One answer that is a success: (Content-Type, body)."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30 * SLOW)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, {"Accept": accept})
        response = connection.getresponse()
        content = response.read()
        assert response.status in (200, 202), (url, response.status, content)
        return response.headers["Content-Type"], content
    finally:
        connection.close()


def listening(process, port):
    """Waits until a program that was told its port listens there."""
    def look():
        assert process.process.poll() is None, process.lines
        return _connects(port)
    wait_until(look, f"{process.process.args[0]} does not listen", 30)


def exporter(start, program, *flags):
    """A program of the usual flags; its address."""
    port = free_port()
    listening(start([program, f"--web.listen-address=127.0.0.1:{port}", *flags]), port)
    return f"http://127.0.0.1:{port}"


def node_exporter(start, _directory):
    url = exporter(start, "prometheus-node-exporter", "--collector.disable-defaults",
                   *(f"--collector.{name}" for name in COLLECTORS)) + "/metrics"
    fetch(url)  # it counts its answers from the first on
    return url


def prometheus(start, directory, *flags):
    """A Prometheus that scrapes itself."""
    port = free_port()
    config = directory / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [
        {"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}))
    address = f"127.0.0.1:{port}"
    p = start([PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
               f"--web.listen-address={address}", *flags])
    listening(p, port)
    url = f"http://{address}/metrics"

    def is_settled():
        """It has scraped itself, and has the series that this made."""
        body = fetch(url)[1]
        return (b'http_requests_total{code="200",handler="/metrics"}' in body and
                b"prometheus_target_interval_length_seconds{" in body and  # from the second scrape on
                re.search(rb"^prometheus_tsdb_head_series [1-9]", body, re.M) and b"prometheus_target_sync" in body)
    wait_until(is_settled, "Prometheus does not scrape itself", 60)
    return url


def federation(start, directory):
    """Prometheus' /federate; which series it gives is said by the scrape's own query."""
    url = prometheus(start, directory).replace("/metrics", "/federate")
    wait_until(lambda: b"prometheus_tsdb_head_chunks" in fetch(f"{url}?{FEDERATED}")[1],
               "Prometheus has nothing to federate", 30)
    return url


FEDERATED = urllib.parse.urlencode({"match[]": '{__name__=~"prometheus_.*|go_.*|up"}'})


def pushgateway(start, _directory):
    address = exporter(start, "prometheus-pushgateway")
    body = (b"# HELP backup_seconds How long \\\\ it took.\n# TYPE backup_seconds histogram\n"
            b'backup_seconds_bucket{le="1"} 2\nbackup_seconds_bucket{le="+Inf"} 3\n'
            b"backup_seconds_sum 9.5\nbackup_seconds_count 3\n"
            b'# TYPE rows summary\nrows{quantile="0.5"} 1\nrows_sum 2\nrows_count 3\n'
            b'untyped_value{text="a \\"b\\" {} # \\n"} 4\n' +
            b"".join(b"# TYPE kind_%d counter\nkind_%d %d\n" % (i, i, i) for i in range(40)))
    for instance in ("a", "b"):
        fetch(f"{address}/metrics/job/backup/instance/{instance}", method="PUT", body=body)
    url = f"{address}/metrics"
    wait_until(lambda: b'kind_39{instance="b",job="backup"}' in fetch(url)[1], "what was pushed is not there")
    return url


def blackbox_exporter(start, directory):
    config = directory / "blackbox.yml"
    config.write_text(json.dumps({"modules": {"tcp_connect": {"prober": "tcp", "timeout": "5s"}}}))
    return exporter(start, "prometheus-blackbox-exporter", f"--config.file={config}") + "/metrics"


def blackbox_probe(start, directory):
    """Its /probe; what is probed is said by the scrape's own query."""
    return blackbox_exporter(start, directory).replace("/metrics", "/probe")


def haproxy(start, directory):
    port, other = free_port(), free_port()
    config = directory / "haproxy.cfg"
    config.write_text(f"""\
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend metrics
  bind 127.0.0.1:{port}
  http-request use-service prometheus-exporter if {{ path /metrics }}
frontend shop
  bind 127.0.0.1:{other}
  default_backend shop
backend shop
  server one 127.0.0.1:{port}
  server two 127.0.0.1:{port}
""")
    listening(start(["/usr/sbin/haproxy", "-db", "-f", str(config)]), port)
    return f"http://127.0.0.1:{port}/metrics"


def python_client(start, _directory):
    p = start(["/usr/bin/python3", str(HERE / "python_service.py")])
    return f"http://127.0.0.1:{p.wait_line('listening on ([0-9]+)', 30)[1]}/metrics"


def node_client(start, _directory):
    p = start(["node", str(HERE / "node_service.js")], env={**os.environ, "NODE_PATH": str(npm.node_modules())})
    return f"http://127.0.0.1:{p.wait_line('listening on ([0-9]+)', 30)[1]}/metrics"
