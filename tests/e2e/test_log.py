# SPDX-License-Identifier: Apache-2.0
"""The log: the sidecar goes on whether or not anybody reads it; and what is logged at each level."""
import json
import os
import pty
import re
import select
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from conftest import BINARY, SLOW, answer, answering, free_port, wait_until
from steer import Steer

BODY = b"a 1\nb 1\n"


class Reader:
    """The reading end of the sidecar's standard error, a pipe, a socket or a terminal, that a test reads when it likes."""

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
        """Reads what is there. Returns the complete lines so far."""
        try:
            while piece := os.read(self.fd, 1 << 16):
                self.bytes += piece
        except BlockingIOError:
            pass
        except OSError:
            pass  # the terminal's other side is closed
        return self.bytes.decode().replace("\r\n", "\n").split("\n")[:-1]

    def wait(self, pattern):
        return wait_until(lambda: next((m for m in (re.search(pattern, line) for line in self.read()) if m), None),
                          f"no line /{pattern}/")

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Stalled:
    """A sidecar whose log only the test reads."""

    def __init__(self, kind, url, *flags):
        self.log = Reader(kind)
        self.process = subprocess.Popen([BINARY, f"--upstream.url={url}", "--web.listen-address=127.0.0.1:0",
                                         "--admin.listen-address=127.0.0.1:0", "--log.format=json", *flags],
                                        stderr=self.log.other, stdout=subprocess.DEVNULL)
        os.close(self.log.other)
        self.port = int(self.log.wait(r'"listening for scrapes","address":"\S+:(\d+)"')[1])
        self.admin_port = int(self.log.wait(r'"listening for administration","address":"\S+:(\d+)"')[1])
        self.log.wait("privileges dropped")

    def get(self, target, port=None):
        """(status, body, seconds)"""
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{target}", timeout=20 * SLOW) as got:
                return got.status, got.read().decode(), time.monotonic() - began
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(), time.monotonic() - began

    def dropped(self):
        text = self.get("/metrics", self.admin_port)[1]
        return int(float(re.search(r"^scrapeshard_log_lines_dropped_total (\S+)$", text, re.M)[1]))

    def flood(self):
        """Causes lines until some are dropped. Returns how many."""
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
    """stalled(kind, *flags): a sidecar whose log nobody reads; it ends with the test."""
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
    """More lines than both buffers can hold: scrapes and health checks are answered, and it can exit."""
    s = stalled(kind, "--log.level=debug", f"--set=web.grace={15 * SLOW:.0f}s")
    s.flood()
    assert s.get("/metrics")[:2] == (200, BODY.decode())
    wait_until(lambda: s.get("/-/healthy", s.admin_port)[2] < 0.1 * SLOW, "health checks are late")
    began = time.monotonic()
    s.process.terminate()
    assert s.process.wait(20 * SLOW) == 0
    assert time.monotonic() - began < 15 * SLOW


@pytest.mark.parametrize("kind", KINDS)
def test_lost_lines_are_reported_when_the_log_is_read_again(stalled, kind):
    """One line in place of the lost ones; no line is torn, and no other is missing."""
    s = stalled(kind, "--log.level=debug")
    sent = s.flood()
    dropped = s.dropped()
    reported = s.log.wait(r'"level":"warn","msg":"log lines were dropped.*"lines":(\d+)}$')
    # The metric was read before: later lines may or may not be lost, too.
    assert int(reported[1]) >= dropped > 0 and s.dropped() == int(reported[1])
    s.get("/metrics?shard=60000&shard_count=3")
    s.log.wait("shard 60000 is out of range")
    lines = [json.loads(line) for line in s.log.read()]
    shards = [m for line in lines if (m := re.search(r"shard (\d+) is out of range", line.get("reason", "")))]
    numbers = [int(m[1]) - 3 for m in shards[:-1]]
    assert numbers == list(range(len(numbers))) and len(numbers) + int(reported[1]) == sent
    assert sum("were dropped" in line["msg"] for line in lines) == 1


def test_a_reader_that_has_gone(stalled):
    """The pipe has no reader any more: each line is dropped, and counted."""
    s = stalled("pipe", "--log.level=debug")
    s.log.close()
    for _ in range(10):
        assert s.get("/metrics")[0] == 200
    wait_until(lambda: s.dropped() >= 10, "the lines are not counted")
    s.process.terminate()
    assert s.process.wait(20 * SLOW) == 0


def test_a_disk_that_is_full(upstream):
    """/dev/full accepts no byte."""
    u = upstream(answering(answer(BODY)))
    port = free_port()
    with open("/dev/full", "wb") as full:
        p = subprocess.Popen([BINARY, f"--upstream.url={u.url}", f"--web.listen-address=127.0.0.1:{port}",
                              "--admin.listen-address=off"], stderr=full)
    try:
        def answers():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20 * SLOW) as got:
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
    """Another process that shares standard error may have changed it. No line is torn or lost while there is a reader."""
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
        n = 250  # more than the pipe holds, less than pipe and buffers do
        for i in range(n):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://127.0.0.1:{int(found[1])}/metrics?shard={i}", timeout=20 * SLOW)
        # All of them before its end, which waits for a reader for a second only.
        while got.count(b'"outcome":"bad_request"') < n and select.select([reading], [], [], 20 * SLOW)[0] and \
                (piece := os.read(reading, 1 << 16)):
            got += piece
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


# Levels.


def scrape_lines(s):
    """(level, outcome, shard, the rest) of the lines about scrapes."""
    found = (re.search(r"level=(\w+) msg=scrape .*outcome=(\w+) .*shard=(\S+) shard_count=\d+ (.*)", line)
             for line in list(s.lines))
    return [m.groups() for m in found if m]


def scrape(s, shards, count, status=200):
    for shard in shards:
        assert s.get(f"/metrics?shard={shard}&shard_count={count}")[0] == status


def minute(s, steer):
    """Lets a minute pass: the event loop sees it at its next iteration."""
    before = s.count("msg=summary")
    steer.forward(61)
    s.admin("/-/healthy")
    return before


def test_a_good_scrape_has_no_line_at_info_but_the_first_of_its_shard(sidecar, upstream):
    url = upstream(answering(answer(BODY))).url
    s, all_of_them = sidecar(url, level=None), sidecar(url)
    for target in s, all_of_them:
        for _ in range(4):
            scrape(target, range(3), 3)
            target.get("/metrics")
        scrape(target, ["0-1", "0"], 3)
        scrape(target, [1], 2)
        target.get("/metrics", method="HEAD")
        assert target.stop() == 0
    lines = scrape_lines(s)
    assert [(level, outcome, shard) for level, outcome, shard, _ in lines] == [
        ("info", "ok", shard) for shard in ("0", "1", "2", '""', "1")]
    assert all('note="first scrape of this shard"' in rest for *_, rest in lines)
    assert len(scrape_lines(all_of_them)) == 20
    assert all_of_them.count("level=debug msg=scrape ") == 15 and not s.find("level=debug")


def test_a_kept_body_has_no_line_at_info(sidecar, upstream):
    s = sidecar(upstream(answering(answer(BODY))).url, "--set=endpoint.default.max_age=1h", level=None)
    scrape(s, [0, 1, 0, 1], 2)
    s.stop()
    assert len(scrape_lines(s)) == 2 and not s.find("msg=snapshot")


def test_failures_and_the_recovery_are_logged(sidecar, upstream):
    bad, good = answer(b"<html>\n"), answer(BODY)
    answers = iter([good, bad, bad, good, good, bad, good])

    def serve(u, connection):
        while u.read_request(connection):
            connection.sendall(next(answers))
    s = sidecar(upstream(serve).url, level=None)
    for status in 200, 502, 502, 200, 200:
        scrape(s, [0], 1, status)
    scrape(s, [1], 1, 400)  # which says nothing about the endpoint
    scrape(s, [0], 1, 502)
    scrape(s, [0], 1)
    s.stop()
    lines = scrape_lines(s)
    assert [line[:2] for line in lines] == [
        ("info", "ok"), ("warn", "no_exposition"), ("warn", "no_exposition"), ("info", "ok"), ("warn", "bad_request"),
        ("warn", "no_exposition"), ("info", "ok")]
    assert "recovered_after=2" in lines[3][3] and "recovered_after=1" in lines[6][3]


def test_an_endpoint_that_fails_for_long_does_not_flood_the_log(sidecar, upstream, tmp_path):
    """80 servers scrape a failing upstream: some lines a minute, and a count of the others. At debug, all of them."""
    steer = Steer(tmp_path / "steer")
    url = upstream(answering(answer(b"<html>\n"))).url
    s, all_of_them = sidecar(url, level=None, env=steer.environment), sidecar(url)
    for target in s, all_of_them:
        scrape(target, range(80), 80, 502)
        scrape(target, [80], 80, 400)
    wait_until(lambda: len(scrape_lines(s)) == 11, "not the first ten, and another kind")
    wait_until(lambda: len(scrape_lines(all_of_them)) == 81, "not all of them")
    minute(s, steer)
    line = s.wait_line("level=info msg=summary .*")[0]
    assert " scrapes=81 failures=81 " in line and " lines_suppressed=70" in line
    scrape(s, [0, 1], 80, 502)
    lines = wait_until(lambda: scrape_lines(s)[11:], "the next minute has no line")
    s.wait_line("msg=scrape .* suppressed=70$")
    s.stop()
    assert len(scrape_lines(s)) == 13 and s.count(" suppressed=70$") == 1, lines


def test_a_minute_has_a_summary_if_there_were_scrapes(sidecar, upstream, config, tmp_path):
    steer = Steer(tmp_path / "steer")
    good, bad = upstream(answering(answer(BODY))), upstream(answering(answer(b"{}\n")))
    s = sidecar(config=config(f"[endpoint good]\npath = /good\nupstream = {good.url}\n"
                              f"[endpoint bad]\npath = /bad\nupstream = {bad.url}\n"
                              f"[endpoint idle]\npath = /idle\nupstream = {bad.url}\n"),
                level=None, env=steer.environment)
    for _ in range(3):
        s.get("/good")
        s.get("/bad")
    got = s.get("/good?shard=0&shard_count=2")[2]
    wait_until(lambda: len(scrape_lines(s)) == 5, "not all scrapes are over")
    minute(s, steer)
    line = s.wait_line("msg=summary endpoint=good (.*)")[1]
    m = re.fullmatch(r"scrapes=4 failures=0 bytes_in=(\d+) bytes_out=(\d+) seconds_mean=(\S+) seconds_max=(\S+) "
                     "lines_suppressed=0", line)
    assert m and (int(m[1]), int(m[2])) == (4 * len(BODY), 3 * len(BODY) + len(got)), line
    assert 0 < float(m[3]) <= float(m[4]) < 20 * SLOW
    s.wait_line("msg=summary endpoint=bad scrapes=3 failures=3 ")
    for _ in range(3):
        assert minute(s, steer) == 2
    s.get("/good")
    minute(s, steer)
    s.wait_line("msg=summary endpoint=good scrapes=1 ")
    s.stop()
    assert s.count("msg=summary") == 3
