# SPDX-License-Identifier: Apache-2.0
"""Services as they are in life, on loopback: each renders its metrics anew for each scrape, and sends them as it does."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

from measure import HERE, Measured, build_go

sys.path.append(str(HERE.parent / "e2e"))
import npm

TCP, TLS, UNIX = "TCP", "TLS", "unix"


class Service:
    """One that runs; where: {"tcp": [ports], "tls": port, "unix": path}, as far as it listens there."""

    def __init__(self, name, process, where, certificate=None):
        self.name, self.process, self.where, self.certificate = name, process, where, certificate

    def transports(self):
        return [transport for transport in (TCP, TLS, UNIX) if transport.lower() in self.where]

    def url(self, transport, path="/metrics"):
        """For a sidecar."""
        where = self.where[transport.lower()]
        return {TCP: lambda: f"http://127.0.0.1:{where[0]}{path}", TLS: lambda: f"https://127.0.0.1:{where}{path}",
                UNIX: lambda: f"unix:{where}:{path}"}[transport]()

    def address(self, transport):
        """For bench-peer."""
        where = self.where[transport.lower()]
        return {TCP: lambda: str(where[0]), TLS: lambda: f"tls:{where}", UNIX: lambda: where}[transport]()

    def flags(self, transport):
        """What a sidecar needs in addition to the URL."""
        return [f"--set=endpoint.default.tls_ca={self.certificate}"] if transport == TLS else []

    def counts(self):
        """Connections that it has accepted, by transport, and requests; only the service in Go counts them."""
        self.process.process.stdin.write("\n")
        self.process.process.stdin.flush()
        return json.loads(self.process.process.stdout.readline())


def make_certificate(directory):
    """A self-signed one for 127.0.0.1: (certificate, key), or None if openssl is not installed."""
    if not shutil.which("openssl"):
        return None
    cert, key = pathlib.Path(directory, "cert.pem"), pathlib.Path(directory, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    return cert, key


def speaking(name, argv, certificate=None, **options):
    """A service that prints where it listens, as a line of JSON; None if it cannot start."""
    process = Measured(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)
    line = process.process.stdout.readline()
    if not line:
        process.__exit__()
        return None
    return Service(name, process, json.loads(line), certificate and certificate[0])


def start_go_service(program, directory, certificate, series, ports=1):
    flags = ["-cert", certificate[0], "-key", certificate[1]] if certificate else []
    return speaking("client_golang", [program, "-series", str(series), "-ports", str(ports), *flags,
                                      "-unix", str(pathlib.Path(directory, "go.sock"))], certificate)


def start_python_service(series):
    """The client's own server listens on TCP only (TLS came after Debian's version)."""
    return speaking("prometheus_client", ["/usr/bin/python3", HERE / "python_service.py", str(series)], stderr=subprocess.DEVNULL)


def start_node_service(directory, certificate, series):
    if not certificate or not shutil.which("node") or not shutil.which("npm"):
        return None
    modules = npm.node_modules()
    return speaking("prom-client", ["node", HERE / "node_service.js", str(series), *map(str, certificate),
                                    str(pathlib.Path(directory, "node.sock"))], certificate,
                    env={**os.environ, "NODE_PATH": str(modules)})


def wait_for(port):
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


class NodeExporter(Service):
    """Debian's, once for TCP and once for TLS: it does not listen on unix sockets."""

    def __init__(self, directory, certificate):
        self.others = []
        where = {"tcp": [self.start()]}
        if certificate:
            config = pathlib.Path(directory, "web.json")
            config.write_text(json.dumps({"tls_server_config": dict(zip(("cert_file", "key_file"), map(str, certificate)))}))
            where["tls"] = self.start(f"--web.config.file={config}")
        super().__init__("node_exporter", self, where, certificate and certificate[0])

    def start(self, *flags):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.others.append(Measured(["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}", *flags],
                                    stderr=subprocess.DEVNULL))
        wait_for(port)
        return port

    def __exit__(self, *_):
        for process in self.others:
            process.__exit__()


def start_node_exporter(directory, certificate):
    return NodeExporter(directory, certificate) if shutil.which("prometheus-node-exporter") else None
