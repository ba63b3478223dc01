# SPDX-License-Identifier: Apache-2.0
"""How long a scrape may take: what sets it, what the upstream gets as its timeout, and what comes at the last moment."""
import concurrent.futures
import json
import re
import socket
import threading
import time

import pytest

from conftest import SLOW, answer, answering, wait_until
from exposition import target
from prometheus import Prometheus, job
from services import exporter

BODY = b"# TYPE up gauge\nup 1\n"
HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


def timeout_of(head):
    """The timeout in a request's head; None if there is none."""
    found = re.search(rb"\r\n%s: ([0-9.]+)\r\n" % HEADER.encode(), head)
    return found and float(found[1])


def silent(u, connection):
    u.read_request(connection)
    connection.settimeout(60 * SLOW)
    while connection.recv(4096):
        pass


def timed(function):
    start = time.monotonic()
    result = function()
    return result, time.monotonic() - start


# The upstream's timeout.


@pytest.mark.parametrize("max_age", ["0s", "1h"])
@pytest.mark.parametrize("header, timeout, expected", [
    ("10.000000", None, 9.4), ("5", None, 4.4), ("2", None, 1.7), ("1", None, 0.81), ("0.3", None, 0.243),
    ("0.001", None, 0.001), ("30", None, 29.4), ("30", "5s", 4.9), ("30", "500ms", 0.45), ("3", "5s", 2.6),
    ("999999999999999999999", "5s", 4.9), (None, None, None), (None, "5s", None),
])
def test_upstream_gets_what_is_left(upstream, sidecar, header, timeout, expected, max_age):
    """Less a tenth, at most 0.5 s, so that the scraper gets our reason; and that less a tenth, at most 0.1 s, so that the
    upstream's response comes before."""
    arrived = []

    def serve(u, connection):
        while u.read_request(connection):
            arrived.append(time.monotonic())
            connection.sendall(answer(BODY))
    u = upstream(serve)
    flags = [f"--set=endpoint.default.max_age={max_age}"] + ([f"--set=endpoint.default.timeout={timeout}"] if timeout else [])
    s = sidecar(u.url, *flags)
    begun = time.monotonic()

    def status():
        return s.get(headers={HEADER: header} if header else {})[0]
    if header == "0.001":
        assert status() in (200, 504)
        if not u.requests:
            return  # it was over before the request was sent
    else:
        wait_until(lambda: status() == 200, "no scrape succeeds")  # a busy machine may be too slow for a short one
    if expected is None:
        assert timeout_of(u.requests[0]) is None
    else:
        wait_until(lambda: arrived, "the upstream gets no request")
        assert expected - (arrived[0] - begun) - 0.003 <= timeout_of(u.requests[0]) <= expected + 0.0005


def test_waiting_for_a_slot_is_subtracted(upstream, sidecar):
    gate, arrived = threading.Event(), []

    def serve(u, connection):
        while u.read_request(connection):
            arrived.append(time.monotonic())
            gate.wait(30 * SLOW)
            connection.sendall(answer(BODY))
    u = upstream(serve)
    s = sidecar(u.url, "--set=web.max_upstream_connections=1")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(s.get, headers={HEADER: "20"})
        wait_until(lambda: len(u.requests) == 1, "the upstream gets no request")
        begun = time.monotonic()
        second = pool.submit(s.get, headers={HEADER: "20"})
        wait_until(lambda: b"scrapeshard_scrapes_in_flight 2\n" in s.admin("/metrics")[2], "the second does not wait")
        waits = time.monotonic()
        wait_until(lambda: time.monotonic() > waits + 0.5, "time stands still")
        gate.set()
        assert [f.result()[0] for f in (first, second)] == [200, 200]
    # 20 less 0.5 and 0.1, and what it waited: 0.5, or more on a busy machine.
    assert 19.4 - (arrived[1] - begun) - 0.003 <= timeout_of(u.requests[1]) < 18.95


# What sets it.


@pytest.mark.parametrize("max_age", ["0s", "1h"])
@pytest.mark.parametrize("header, timeout, seconds, reason", [
    ("0.5", None, 0.45, r"within 0\.45 s \(X-Prometheus-Scrape-Timeout-Seconds 0\.5 less 0\.05 s\)"),
    ("0.5", "400ms", 0.4, r"within 0\.4 s \(endpoint\.default\.timeout\)"),
    (None, "400ms", 0.4, r"within 0\.4 s \(endpoint\.default\.timeout\)"),
    ("0.5", "30s", 0.45, r"within 0\.45 s \(X-Prometheus-Scrape-Timeout-Seconds 0\.5 less 0\.05 s\)"),
])
def test_reason_names_what_ended_the_scrape(upstream, sidecar, header, timeout, seconds, reason, max_age):
    s = sidecar(upstream(silent).url, f"--set=endpoint.default.max_age={max_age}",
                *([f"--set=endpoint.default.timeout={timeout}"] if timeout else []))
    (status, _, body), took = timed(lambda: s.get(headers={HEADER: header} if header else {}))
    assert status == 504 and re.search(r"endpoint default: the upstream did not respond " + reason, body.decode()), body
    assert took > seconds - 0.01
    assert SLOW > 1 or took < seconds + 5


@pytest.mark.parametrize("max_age", ["0s", "1h"])
@pytest.mark.parametrize("way", ["flag", "file"])
def test_timeout_that_is_set_is_the_maximum(upstream, sidecar, config, way, max_age):
    u = upstream(silent)
    setting = f"max_age = {max_age}\ntimeout = 300ms\n" if way == "file" else f"max_age = {max_age}\n"
    s = sidecar(*([] if way == "file" else [None, "--set=endpoint.app.timeout=300ms"]),
                config=config(f"[endpoint app]\nupstream = {u.url}\n{setting}"))
    status, _, body = s.get(headers={HEADER: "30"})
    assert status == 504 and b"(endpoint.app.timeout)" in body, body


@pytest.mark.parametrize("max_age", ["0s", "1h"])
def test_default_timeout_is_not_a_maximum(upstream, sidecar, max_age):
    """An upstream that takes 12 s, under scrape_timeout: 20s, two scrapes at once."""
    def serve(u, connection):
        while u.read_request(connection):
            time.sleep(12)
            connection.sendall(answer(BODY))
    s = sidecar(upstream(serve).url, f"--set=endpoint.default.max_age={max_age}")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        scrapes = [pool.submit(s.get, target(i, 2), {HEADER: "20.000000"}) for i in range(2)]
        assert sorted(f.result()[::2] for f in scrapes) == [(200, b""), (200, BODY)]


# Snapshots: scrapes that wait for the same body have different timeouts.


def test_shared_fetch_has_the_longest_timeout_of_its_waiters(upstream, sidecar):
    """The first has little; one that joins has more, and gets the body."""
    go_on = threading.Event()

    def serve(u, connection):
        while u.read_request(connection):
            go_on.wait(30 * SLOW)
            connection.sendall(answer(BODY))
    u = upstream(serve)
    s = sidecar(u.url, "--set=endpoint.default.max_age=1h")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        hasty = pool.submit(s.get, headers={HEADER: str(3 * SLOW)})
        wait_until(lambda: len(u.requests) == 1, "the upstream gets no request")
        patient = pool.submit(s.get, headers={HEADER: str(20 * SLOW)})
        assert hasty.result()[0] == 504
        go_on.set()
        assert patient.result()[::2] == (200, BODY)
    assert len(u.requests) == 1


def test_shared_fetch_is_not_kept_alive_by_joining(upstream, sidecar):
    """An upstream that hangs gets another request, though some scrape always waits."""
    u = upstream(silent)
    s = sidecar(u.url, "--set=endpoint.default.max_age=1h")
    over = threading.Event()

    def scrape(delay):
        time.sleep(delay)
        while not over.is_set():
            assert s.get(headers={HEADER: str(0.8 * SLOW)})[0] == 504
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        scrapes = [pool.submit(scrape, 0.1 * SLOW * i) for i in range(8)]
        try:
            wait_until(lambda: len(u.requests) >= 3, "one fetch lasts for ever")
        finally:
            over.set()
        for f in scrapes:
            f.result()


# The last moment.


@pytest.mark.parametrize("size", [1, 20000], ids=["held", "streamed"])
@pytest.mark.parametrize("max_age", ["0s", "1ms"])
def test_body_that_comes_just_before_the_deadline(upstream, sidecar, size, max_age):
    """It is sent, or the upstream was too late; it is never the scraper that did not read."""
    body = b"".join(b'a{b="%d"} 1\n' % i for i in range(size))
    limit = 0.3 * SLOW
    # From a tenth of a millisecond to most of the time: however slow the machine is, some come just in time.
    early = [int(1.2 ** i) for i in range(40)]

    def serve(u, connection):
        while head := u.read_request(connection):
            wait = limit - int(re.search(rb"early=(\d+)", head)[1]) / 1e4
            begun, whole = time.monotonic(), answer(body)
            connection.sendall(whole[:-1])
            while time.monotonic() < begun + wait:
                time.sleep(0.0002)
            connection.sendall(whole[-1:])
    s = sidecar(upstream(serve).url, f"--set=endpoint.default.timeout={limit * 1000:.0f}ms",
                f"--set=endpoint.default.max_age={max_age}")
    whole = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda i: scraped(s, f"/metrics?early={early[i % 40]}&i={i}"), range(120)):
            whole += result == body
    assert whole, "every one came too late"
    wait_until(lambda: s.count("msg=scrape .*outcome=ok") == whole, "the log does not say so")
    assert not s.find("did not read")


def scraped(s, path):
    """The body; None for a scrape that failed or broke."""
    try:
        status, _, body = s.get(path)
        late = re.search(b"the upstream did not respond|could not connect to the upstream", body)
        assert status == 200 or (status == 504 and late), body
        return body if status == 200 else None
    except Exception as error:
        if isinstance(error, AssertionError):
            raise
        return None


def test_complete_body_is_not_kept_for_ever(upstream, sidecar):
    """The deadline holds for a scraper that does not read, too."""
    body = b"".join(b'a{b="%0100d"} 1\n' % i for i in range(60000))
    s = sidecar(upstream(answering(answer(body))).url, f"--set=endpoint.default.timeout={4000 * SLOW:.0f}ms",
                "--set=endpoint.default.max_age=1h")
    with s.connect() as raw:
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        s.wait_line("outcome=timeout .*the scraper did not read the response in time")


# A real exporter, and a real Prometheus.


def test_exporter_that_answers_just_before_the_timeout(tmp_path, process, sidecar):
    """blackbox_exporter gives up half a second before the scrape's timeout and says so: each such probe arrives, as it does
    without us."""
    module = {"prober": "tcp", "timeout": "30s", "tcp": {"query_response": [{"expect": "^never"}]}}
    config = tmp_path / "blackbox.yml"
    config.write_text(json.dumps({"modules": {"silent": module}}))
    address = exporter(process, "prometheus-blackbox-exporter", f"--config.file={config}")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        asked = {"module": "silent", "target": f"127.0.0.1:{nobody.getsockname()[1]}"}
        s = sidecar(f"{address}/probe")
        p = Prometheus(tmp_path / "prometheus", [job("without", int(address.rsplit(":", 1)[1]), "/probe", **asked),
                                                 job("through", s.port, **asked),
                                                 job("shard", s.port, shard="0-1", shard_count=2, **asked)])
        try:
            p.wait_ready()
            # In a row: a busy machine may take half a second more for one before them.
            wait_until(lambda: all(ups[-4:] == [1] * 4 for ups in p.ups().values()),
                       "four probes of each job in a row do not arrive", 30)
            for name in p.jobs:
                assert p.values(name)[(("__name__", "probe_success"),)] == "0"
        finally:
            assert p.stop() == 0
