# SPDX-License-Identifier: Apache-2.0
"""The log: whoever reads it, or does not, the sidecar goes on; and what it says at each level."""
import json
import os
import pty
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import BINARY, SLOW, answer, answering, free_port, wait_until

BODY = b"a 1\nb 1\n"


class Reader:
    """The end of the sidecar's standard error that a test reads, whenever it likes: of a pipe, a socket, or a terminal."""

    def __init__(self, kind):
        if kind == "pipe":
            self.fd, self.other = os.pipe()
        elif kind == "terminal":
            self.fd, self.other = pty.openpty()
        else:
            self.fd, self.other = (s.detach() for s in socket.socketpair())
        os.set_blocking(self.fd, False)
        self.bytes = b""

    def read(self):
        """Reads what is there. The lines so far that are whole."""
        try:
            while piece := os.read(self.fd, 1 << 16):
                self.bytes += piece
        except BlockingIOError:
            pass
        except OSError:
            pass  # nobody holds the terminal's other side any more
        return self.bytes.decode().replace("\r\n", "\n").split("\n")[:-1]

    def wait(self, pattern):
        return wait_until(lambda: next((m for m in (re.search(pattern, line) for line in self.read()) if m), None),
                          f"no line /{pattern}/")

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Stalled:
    """A sidecar whose log is read by the test alone."""

    def __init__(self, kind, url, *flags):
        self.log = Reader(kind)
        self.process = subprocess.Popen([BINARY, f"--upstream.url={url}", "--web.listen-address=127.0.0.1:0",
                                         "--admin.listen-address=127.0.0.1:0", "--log.format=json", *flags],
                                        stderr=self.log.other, stdout=subprocess.DEVNULL)
        os.close(self.log.other)
        self.port = int(self.log.wait(r'"listening for scrapes","address":"\S+:(\d+)"')[1])
        self.admin_port = int(self.log.wait(r'"listening for administration","address":"\S+:(\d+)"')[1])
        self.log.wait("privileges given up")

    def get(self, target, port=None):
        """(status, body, seconds)"""
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{target}", timeout=5 * SLOW) as got:
                return got.status, got.read().decode(), time.monotonic() - began
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(), time.monotonic() - began

    def dropped(self):
        text = self.get("/metrics", self.admin_port)[1]
        return int(float(re.search(r"^scrapeshard_log_lines_dropped_total (\S+)$", text, re.M)[1]))

    def flood(self):
        """Makes lines until some are dropped. How many of them."""
        n = 0
        while not self.dropped():
            for _ in range(100):
                assert self.get(f"/metrics?shard={n + 3}&shard_count=3")[0] == 400
                n += 1
            assert n < 20000, "no line is dropped"
        return n

    def end(self):
        self.log.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def stalled(upstream):
    """stalled(kind, *flags): every scrape is answered; at the end it is gone."""
    started = []

    def start(kind, *flags):
        started.append(Stalled(kind, upstream(answering(answer(BODY))).url, *flags))
        return started[-1]
    yield start
    for s in started:
        s.end()


KINDS = ["pipe", "socket", "terminal"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_stalls_holds_nothing(stalled, kind):
    """More lines than the reader's side and ours have room for: scrapes and health are answered, and the way out is
    open."""
    s = stalled(kind, "--log.level=debug", "--set=web.grace=5s")
    s.flood()
    assert s.get("/metrics")[:2] == (200, BODY.decode())
    best = min(s.get("/-/healthy", s.admin_port)[2] for _ in range(5))
    assert best < 0.1 * SLOW
    began = time.monotonic()
    s.process.terminate()
    assert s.process.wait(20 * SLOW) == 0
    assert time.monotonic() - began < 5 * SLOW


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_lost_is_told_when_the_log_is_read_again(stalled, kind):
    """One line, where the lost lines would stand; no line is torn, and none is missing besides."""
    s = stalled(kind, "--log.level=debug")
    sent = s.flood()
    dropped = s.dropped()
    told = s.log.wait(r'"level":"warn","msg":"lines of the log were dropped.*"lines":(\d+)}$')
    # The metric has been asked for before: what came meanwhile is lost, too, or is not.
    assert int(told[1]) >= dropped > 0 and s.dropped() == int(told[1])
    s.get("/metrics?shard=60000&shard_count=3")
    s.log.wait("shard 60000 does not exist")
    lines = [json.loads(line) for line in s.log.read()]
    shards = [m for line in lines if (m := re.search(r"shard (\d+) does not exist", line.get("reason", "")))]
    numbers = [int(m[1]) - 3 for m in shards[:-1]]
    assert numbers == list(range(len(numbers))) and len(numbers) + int(told[1]) == sent
    assert sum("were dropped" in line["msg"] for line in lines) == 1


def test_a_reader_that_has_gone(stalled):
    """Nobody reads the pipe any more: each line is dropped, and counted."""
    s = stalled("pipe", "--log.level=debug")
    s.log.close()
    for _ in range(10):
        assert s.get("/metrics")[0] == 200
    wait_until(lambda: s.dropped() >= 10, "the lines are not counted")
    s.process.terminate()
    assert s.process.wait(20 * SLOW) == 0


def test_a_disk_that_is_full(upstream):
    """/dev/full takes nothing."""
    u = upstream(answering(answer(BODY)))
    port = free_port()
    with open("/dev/full", "wb") as full:
        p = subprocess.Popen([BINARY, f"--upstream.url={u.url}", f"--web.listen-address=127.0.0.1:{port}",
                              "--admin.listen-address=off"], stderr=full)
    try:
        def answers():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5 * SLOW) as got:
                    return got.read() == BODY
            except urllib.error.URLError:
                return False
        wait_until(answers, "no scrape is answered")
        p.terminate()
        assert p.wait(20 * SLOW) == 0
    finally:
        p.kill()
        p.wait()


def test_a_pipe_that_somebody_else_has_made_non_blocking(upstream):
    """Standard error is shared: who else has it may have changed it. No line is torn or lost while there is a reader."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    u = upstream(answering(answer(BODY)))
    p = subprocess.Popen([BINARY, f"--upstream.url={u.url}", "--web.listen-address=127.0.0.1:0",
                          "--admin.listen-address=off", "--log.format=json", "--log.level=debug"], stderr=writing)
    os.close(writing)
    got = b""
    try:
        while not (found := re.search(rb'"address":"127.0.0.1:(\d+)"', got)):
            got += os.read(reading, 1 << 16)
        n = 250  # more than the pipe has room for, less than pipe and buffers have
        for i in range(n):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{int(found[1])}/metrics?shard={i}", timeout=5 * SLOW)
        p.terminate()
        while piece := os.read(reading, 1 << 16):
            got += piece
        assert p.wait(20 * SLOW) == 0
    finally:
        p.kill()
        p.wait()
        os.close(reading)
    lines = [json.loads(line) for line in got.splitlines()]
    assert sum(line.get("outcome") == "bad_request" for line in lines) == n and got.endswith(b"\n")
