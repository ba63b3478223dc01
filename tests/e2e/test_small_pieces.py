# SPDX-License-Identifier: Apache-2.0
"""Bodies that come in small pieces, as services write them: they gather before they are read. Nothing is seen later than a
millisecond because of it, or missed."""
import random
import socket
import ssl
import threading
import time

import pytest

from conftest import SLOW, TEXT, wait_until
from kinds import ca, context_of, kind, server  # fixtures
from steer import Steer

LINES = b"".join(b'requests_total{path="/shop/%06d"} %d\n' % (i, i) for i in range(60000))
SMALL = b"# TYPE up gauge\nup 1\n"
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
LAST = b"0\r\n\r\n"
SHORT = f"--set=endpoint.default.timeout={3000 * SLOW:.0f}ms"
# A busy machine may take longer than the default for what is large.
LONG = f"--set=endpoint.default.timeout={50 * SLOW:.0f}s"


def chunk(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


def send_pieces(connection, body, size=4096):
    """As a service with a small buffer."""
    connection.sendall(HEAD)
    for i in range(0, len(body), size):
        connection.sendall(chunk(body[i:i + size]))


def sends(body, then):
    """A serve function whose first request gets a body in pieces and what then(connection) does; the others a small one."""
    def serve(u, connection, _n):
        while u.read_request(connection):
            if len(u.requests) > 1:
                connection.sendall(HEAD + chunk(SMALL) + LAST)
                continue
            send_pieces(connection, body)
            then(connection)
    return serve


def test_each_byte_and_the_next_response(sidecar, kind):
    """A small response on the same connection is not waited for as a large one was."""
    u = kind.start(sends(LINES, lambda connection: connection.sendall(LAST)))
    s = sidecar(u.url, *kind.flags)
    for body in (LINES, SMALL, SMALL):
        assert s.get()[::2] == (200, body)
    assert u.connections == 1


def hang(connection):
    connection.settimeout(20 * SLOW)
    while connection.recv(4096):
        pass
    raise ConnectionError


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raise ConnectionError


def cut(_connection):
    raise ConnectionError


def cut_in_a_chunk(connection):
    connection.sendall(chunk(SMALL)[:12])
    raise ConnectionError


@pytest.mark.parametrize("then, status", [(hang, 504), (reset, 502), (cut, 502), (cut_in_a_chunk, 502)])
def test_faults(sidecar, kind, then, status):
    """Of a body that is still held, in the middle of what gathers; the deadline is the usual one."""
    u = kind.start(sends(LINES[:40 * 1024], then))
    s = sidecar(u.url, *kind.flags, *([SHORT] if status == 504 else []))
    start = time.monotonic()
    assert s.get("/metrics?shard=0&shard_count=40")[0] == status
    assert status == 504 or time.monotonic() - start < 9 * SLOW  # not the deadline
    assert s.get()[::2] == (200, SMALL)


def test_reader_that_pauses(sidecar, kind, tmp_path):
    """The transfer is paused while pieces gather, and goes on. A unix socket holds less than the body."""
    u = kind.start(sends(LINES, lambda connection: connection.sendall(LAST)))
    s = sidecar(u.url, *kind.flags, listen=f"unix:{tmp_path}/listen")
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(0.2)
        received = 0
        while piece := raw.recv(65536):
            received += len(piece)
    assert received > len(LINES)
    s.wait_line("outcome=ok")


def test_readers_that_pause(sidecar, kind):
    """Several at once, again and again: a transfer may be read because of another's event, and has to go on."""
    def scrape(choose):
        for _ in range(8):
            with s.connect() as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                while raw.recv(65536):
                    if choose.random() < 0.1:
                        time.sleep(choose.random() * 0.02)

    def serve(u, connection, n):
        sizes = random.Random(n)
        while u.read_request(connection):
            send_pieces(connection, LINES, sizes.choice([1000, 4096, 16362, 65536]))
            connection.sendall(LAST)
    s = sidecar(kind.start(serve).url, *kind.flags, LONG)
    threads = [threading.Thread(target=scrape, args=(random.Random(i),)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: s.count("msg=scrape .*outcome=ok") == 32, "not every scrape is whole")


def test_several_at_once(sidecar, kind):
    """Also one that ends, and one that is cut, while others gather."""
    together = threading.Barrier(4)

    def serve(u, connection, n):
        u.read_request(connection)
        together.wait(20 * SLOW)
        send_pieces(connection, LINES[:LINES.index(b"\n", 200_000 * (n + 1)) + 1])
        if n != 2:
            connection.sendall(LAST)
    u = kind.start(serve)
    s = sidecar(u.url, *kind.flags)
    statuses = []

    def scrape():
        statuses.append(s.get("/metrics?shard=0&shard_count=400")[0])
    threads = [threading.Thread(target=scrape) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(statuses) == [200, 200, 200, 502]


class Records:
    """A TLS server's side of a connection, whose records leave together."""

    def __init__(self, connection, server):
        self.connection, self.received, self.records = connection, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context_of(server).wrap_bio(self.received, self.records, server_side=True)
        self.do(self.tls.do_handshake)
        request = self.do(lambda: self.tls.read(65536))
        assert request.endswith(b"\r\n\r\n")

    def do(self, act):
        while True:
            try:
                result = act()
                self.send()
                return result
            except ssl.SSLWantReadError:
                self.send()
                piece = self.connection.recv(65536)
                if not piece:
                    raise ConnectionError from None
                self.received.write(piece)

    def send(self, cut=0):
        records = self.records.read()
        self.connection.sendall(records[:len(records) - cut])
        return len(records)

    def add(self, body, size):
        for i in range(0, len(body), size):
            self.tls.write(body[i:i + size])


def tls_upstream(upstream, serve):
    u = upstream(serve)
    u.url = u.url.replace("http:", "https:")
    return u


def test_fast_records_leave_others_their_turn(sidecar, upstream, ca, server, tmp_path):
    """They are all there: the buffer is never empty. Meanwhile the loop turns, for deadlines, other scrapes and signals."""
    sent = []

    def serve(_u, connection):
        records = Records(connection, server)
        records.add(HEAD, 16384)
        records.add(chunk(LINES * 4), 40)
        records.add(LAST, 16384)
        sent.append(records.send())
        connection.recv(1)

    steer = Steer(tmp_path / "steer")
    s = sidecar(tls_upstream(upstream, serve).url, f"--set=endpoint.default.tls_ca={ca.pem}", LONG,
                env=steer.environment)
    before = steer.turns()
    assert s.get("/metrics?shard=0&shard_count=4000")[0] == 200
    turns = steer.turns() - before
    wait_until(lambda: sent, "not all was sent")
    assert turns > sent[0] / (512 * 1024)


@pytest.mark.parametrize("strict", ["true", "false"])
def test_reset_in_a_record(sidecar, upstream, ca, server, strict):
    """After a part of a record that is there already, and where only the end of the connection ends the body."""
    def serve(_u, connection):
        records = Records(connection, server)
        records.add(f"HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\nConnection: close\r\n\r\n".encode() + LINES[:40 * 1024], 4096)
        records.send()
        time.sleep(0.1)  # until it is read
        records.add(LINES[40 * 1024:LINES.index(b"\n", 60 * 1024) + 1], 4096)
        records.tls.write(SMALL)
        records.send(cut=10)
        reset(connection)

    u = tls_upstream(upstream, serve)
    s = sidecar(u.url, f"--set=endpoint.default.tls_ca={ca.pem}", f"--set=endpoint.default.strict_close={strict}")
    for _ in range(5):
        status, _, body = s.get("/metrics?shard=0&shard_count=40")
        assert status == 502 and b"reset" in body, body


@pytest.mark.alone
@pytest.mark.skipif(SLOW > 1, reason="slower than the service")
def test_it_wakes_rarely(sidecar, upstream, tmp_path):
    """Over TCP: at most twice a millisecond, however many pieces come in it."""
    def serve(u, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while u.read_request(connection):
            connection.sendall(HEAD)
            for i in range(0, len(LINES), 4096):
                connection.sendall(chunk(LINES[i:i + 4096]))
                time.sleep(0.0001)
            connection.sendall(LAST)
    steer = Steer(tmp_path / "steer")
    s = sidecar(upstream(serve).url, env=steer.environment)
    pieces = len(LINES) // 4096
    for _ in range(10):
        before, start = steer.turns(), time.monotonic()
        assert s.get("/metrics?shard=0&shard_count=400")[0] == 200
        turns, most = steer.turns() - before, 40 + 2 * 1000 * (time.monotonic() - start) / 0.9
        if most < pieces / 2:
            assert turns < most
            return
    pytest.skip("the machine is too busy to send pieces fast enough")
