# SPDX-License-Identifier: Apache-2.0
"""A DNS server for tests, on the port that resolv.conf leaves no choice of."""
import socket
import struct
import threading

ADDRESS = ("127.0.0.1", 53)
A, NO_ERROR, NO_SUCH_NAME = 1, 0, 3


def question(packet):
    """(name, type, end of the question) of a packet."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels).lower(), struct.unpack(">H", packet[at + 1:at + 3])[0], at + 5


class NameServer:
    """Answers for hosts, a dict of names and IPv4 addresses, that no other name is there. What is in silent gets no answer;
    what is in truncated gets it over TCP alone. delay is how long an answer takes."""

    def __init__(self, hosts=(), silent=(), truncated=(), delay=0):
        self.hosts, self.silent, self.truncated, self.delay = dict(hosts), silent, truncated, delay
        self.asked = []  # names, as they came
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(ADDRESS)
        self.tcp = socket.create_server(ADDRESS)
        self.stopped = threading.Event()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def answer(self, packet, over_tcp):
        name, kind, end = question(packet)
        address = self.hosts.get(name)
        if not over_tcp and name in self.truncated:
            return packet[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + packet[12:end]
        records = b"\xc0\x0c" + struct.pack(">HHIH", A, 1, 30, 4) + socket.inet_aton(address) \
            if address and kind == A else b""
        flags = 0x8180 | (NO_ERROR if address else NO_SUCH_NAME)
        return packet[:2] + struct.pack(">HHHHH", flags, 1, bool(records), 0, 0) + packet[12:end] + records

    def _serve_udp(self):
        while not self.stopped.is_set():
            packet, peer = self.udp.recvfrom(4096)
            name = question(packet)[0]
            self.asked.append(name)
            if name in self.silent:
                continue
            threading.Timer(self.delay, self._send, (packet, peer)).start()
        self.udp.close()

    def _send(self, packet, peer):
        if not self.stopped.is_set():
            self.udp.sendto(self.answer(packet, False), peer)

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                while len(length := file.read(2)) == 2:
                    packet = self.answer(file.read(struct.unpack(">H", length)[0]), True)
                    connection.sendall(struct.pack(">H", len(packet)) + packet)

    def close(self):
        self.stopped.set()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(bytes(17), ADDRESS)
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
