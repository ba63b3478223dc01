# SPDX-License-Identifier: Apache-2.0
"""Upstreams of every kind: over TCP, unix sockets and TLS; ca, server and kind are fixtures."""
import socket
import ssl

import pytest

from pki import Authority

KINDS = ["tcp", "unix", "TLS 1.2", "TLS 1.3"]


def context_of(server, version=ssl.TLSVersion.TLSv1_3, ca=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(*server)
    if ca:
        context.load_verify_locations(ca.pem)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Kind:
    """One way to an upstream: start(serve) is one whose serve(upstream, connection, n) is called with the n-th of its
    connections, after a handshake; flags are the sidecar's."""

    def __init__(self, start, path=None, context=None, flags=()):
        self.flags, self.path, self.context, self.start_upstream = flags, path, context, start
        self.resumed, self.peers = [], []

    def start(self, serve):
        numbers = iter(range(10**6))

        def run(u, connection):
            n = next(numbers)
            if self.path is None:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if not self.context:
                serve(u, connection, n)
                return
            with self.context.wrap_socket(connection, server_side=True) as t:
                self.resumed.append(t.session_reused)
                self.peers.append(t.getpeercert())
                serve(u, t, n)
        u = self.start_upstream(run, self.path)
        if self.context:
            u.url = u.url.replace("http:", "https:")
        return u


def over_tls(upstream, ca, context):
    return Kind(upstream, context=context, flags=[f"--set=endpoint.default.tls_ca={ca.pem}"])


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"), "upstreams")


@pytest.fixture(scope="module")
def server(ca):
    """The certificate and key of an upstream."""
    return ca.issue("server", "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(params=KINDS)
def kind(request, upstream, tmp_path, ca, server):
    name = request.param
    if name == "tcp":
        return Kind(upstream)
    if name == "unix":
        return Kind(upstream, path=str(tmp_path / "upstream"))
    versions = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
    return over_tls(upstream, ca, context_of(server, versions[name]))
