# SPDX-License-Identifier: Apache-2.0
"""A cable between two network namespaces that is long and bad: packets take their time, some overtake others, some are
lost. It needs nothing of the kernel but TUN devices; netem is not everywhere."""
import contextlib
import fcntl
import heapq
import itertools
import os
import random
import selectors
import struct
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 0x0001, 0x1000


def open_tun(name):
    """A TUN device of this thread's namespace: what is written to the descriptor comes out of it, and the other way."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError:
        os.close(fd)
        raise
    return fd


class SlowCable:
    """Between two descriptors of TUN devices, until it is closed."""

    DELAY, LOSS, LATE, EXTRA = 0.05, 0.01, 0.03, 0.02  # seconds; parts of all packets; seconds more for those that are late

    def __init__(self, one, other):
        self.ends = {one: other, other: one}
        self.dice, self.order = random.Random(50), itertools.count()
        self.under_way = []  # (when it arrives, in what order it was sent, where, the packet)
        self.lost = self.late = self.arrived = 0
        self.over, self.waker = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with selectors.DefaultSelector() as selector:
            for fd in (*self.ends, self.over):
                selector.register(fd, selectors.EVENT_READ)
            while True:
                wait = max(0, self.under_way[0][0] - time.monotonic()) if self.under_way else None
                for key, _ in selector.select(wait):
                    if key.fd == self.over:
                        return
                    self._take(key.fd)
                self._deliver()

    def _take(self, fd):
        with contextlib.suppress(BlockingIOError, OSError):
            while packet := os.read(fd, 65536):
                late = self.dice.random() < self.LATE
                self.late += late
                if self.dice.random() < self.LOSS:
                    self.lost += 1
                    continue
                due = time.monotonic() + self.DELAY + (self.EXTRA if late else 0)
                heapq.heappush(self.under_way, (due, next(self.order), self.ends[fd], packet))

    def _deliver(self):
        while self.under_way and self.under_way[0][0] <= time.monotonic():
            _, _, fd, packet = heapq.heappop(self.under_way)
            with contextlib.suppress(OSError):  # the device is down
                os.write(fd, packet)
                self.arrived += 1

    def close(self):
        os.write(self.waker, b"x")
        self.thread.join()
        for fd in (*self.ends, self.over, self.waker):
            os.close(fd)
