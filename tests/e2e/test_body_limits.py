# SPDX-License-Identifier: Apache-2.0
"""The limits of an upstream's body: size, line length, series and families, in every format, compressed and not. Each
limit has its own error and metric; a response that has started is aborted, one that has not, or that comes from a
snapshot, is a 502."""
import base64
import random
import re
import threading
import zlib

import pytest

from conftest import OPENMETRICS, SLOW, TEXT, answer, wait_until
from exposition import PROTOBUF, gauge_family, target
from test_gzip import CHUNKED, GZIP, LAST_CHUNK, Transfer, chunk, head
from test_telemetry import after, value

FAMILIES, EACH = 300, 4
DICE = random.Random(6)
TOKENS = [[base64.b64encode(DICE.randbytes(300)).decode() for _ in range(EACH)] for _ in range(FAMILIES + 1)]


def text_family(i):
    return b"".join(b'f_%d{id="%s"} 1\n' % (i, token.encode()) for token in TOKENS[i])


def protobuf_family(i):
    return gauge_family(f"f_{i}", dict.fromkeys(TOKENS[i], 1))


FORMATS = {
    # Content-Type, a family, the end of a body
    "text": (TEXT, text_family, b""),
    "openmetrics": (OPENMETRICS, text_family, b"# EOF\n"),
    "protobuf": (PROTOBUF, protobuf_family, b""),
}


def crossing(name):
    """For a format: {limit: (setting, what exceeds it after FAMILIES families, what the error says)}."""
    family = FORMATS[name][1]
    one = family(FAMILIES)
    size = sum(len(family(i)) for i in range(FAMILIES))
    long = b'a{b="' + b"x" * 5000 + b'"} 1\n' if name != "protobuf" else None
    limits = {
        "body": (f"max_line=64KiB max_body={size + 100}B", one, "larger than max_body"),
        "series": (f"max_series={FAMILIES * EACH + EACH - 1}", one,
                   f"{(FAMILIES + 1) * EACH} series, more than max_series ({FAMILIES * EACH + EACH - 1})"),
        "families": (f"max_families={FAMILIES}", one, f"more families than max_families ({FAMILIES})"),
    }
    if long:
        limits["line"] = ("max_line=4KiB", long, "a line longer than max_line")
    return limits


CASES = [(name, limit) for name in FORMATS for limit in crossing(name)]


class Service:
    """Responds in chunks: the start, and, once allowed, what exceeds the limit, or does not."""

    def __init__(self, name):
        content_type, family, self.end = FORMATS[name]
        self.head = head(CHUNKED, content_type=content_type)
        self.first = b"".join(map(family, range(FAMILIES)))
        self.more, self.go_on = b"", threading.Event()

    def __call__(self, upstream, connection):
        while upstream.read_request(connection):
            connection.sendall(self.head + chunk(self.first))
            self.go_on.wait(20 * SLOW)
            connection.sendall((chunk(self.more) if self.more else b"") + (chunk(self.end) if self.end else b"") +
                               LAST_CHUNK)

    @property
    def within(self):
        return self.first + self.end


class Late(Transfer):
    """Calls on_late when more has been received than is ever held: what is on its way when the reset comes is lost."""

    def __init__(self, *args, on_late, **options):
        self.on_late = on_late
        super().__init__(*args, **options)

    def _pieces(self, file):
        for piece in super()._pieces(file):
            yield piece
            if len(self.payload) > 65536:
                self.on_late()


def flags(settings):
    return [f"--set=endpoint.default.{setting}" for setting in settings.split()]


@pytest.mark.parametrize("compressed", [False, True], ids=["identity", "gzip"])
@pytest.mark.parametrize("name, limit", CASES)
def test_crossed_while_streaming(upstream, sidecar, name, limit, compressed):
    """No client can take it for a complete body, neither by framing nor by the gzip stream; the next scrape succeeds."""
    setting, beyond, reason = crossing(name)[limit]
    service = Service(name)
    s = sidecar(upstream(service).url, *flags(setting))
    headers = [GZIP] if compressed else []
    for scrapes, version in enumerate(("1.1", "1.0"), 1):
        service.more = beyond
        service.go_on.clear()
        got = Late(s, "/metrics", *headers, version=version, on_late=service.go_on.set)
        assert (got.status, got.is_gzip, got.whole) == (200, compressed, False)
        assert len(got.payload) > 65536
        if compressed:
            stream = zlib.decompressobj(31)
            body = stream.decompress(got.payload)
            assert not stream.eof, "the gzip stream has an end"
        else:
            body = bytes(got.payload)
        assert service.first.startswith(body[:len(service.first)])
        wait_until(lambda: s.count("msg=scrape .*outcome=too_large status=200 ") == scrapes, "no log line")
        assert s.count(re.escape(reason)) == scrapes, s.lines[-1]
    after(s, 2)
    assert value(s, "limit_hits_total", limit=f"max_{limit}") == 2
    assert value(s, "upstream_errors_total", endpoint="default", reason="too_large") == 2
    service.more = b""
    assert Transfer(s, "/metrics", *headers).body == service.within


@pytest.mark.parametrize("compressed", [False, True], ids=["identity", "gzip"])
@pytest.mark.parametrize("max_age", ["0s", "1h"], ids=["held", "snapshot"])
@pytest.mark.parametrize("name, limit", CASES)
def test_crossed_before_anything_went_out(upstream, sidecar, config, name, limit, max_age, compressed):
    """Every shard gets the same reason: for a response that is held to its end, and for a failed snapshot."""
    setting, beyond, reason = crossing(name)[limit]
    service = Service(name)
    service.more = beyond
    service.go_on.set()
    u = upstream(service)
    s = sidecar(config=config(f"[endpoint a]\nupstream = {u.url}\nmax_age = {max_age}\n" + setting.replace(" ", "\n")))
    headers = {"Accept-Encoding": "gzip"} if compressed else {}
    for i, shard in enumerate((0, 7, 79), 1):
        status, got, body = s.get(target(shard, 80), headers)
        assert (status, got["Content-Encoding"]) == (502, None)
        assert reason in body.decode() and body.startswith(b"endpoint a: ") and body.count(b"\n") == 1
        assert len(u.requests) == i, "a failure was kept"
    after(s, 3, "a")
    assert value(s, "limit_hits_total", limit=f"max_{limit}") == 3
    service.more = b""
    assert s.get("/metrics", headers if max_age == "0s" else {})[0] == 200


@pytest.mark.parametrize("name, limit", CASES)
def test_just_within(upstream, sidecar, name, limit):
    """Exactly at each limit."""
    service = Service(name)
    service.go_on.set()
    size = len(service.within)
    longest = max(map(len, service.first.splitlines(True)))
    most = {"body": f"max_line=64KiB max_body={size}B", "line": f"max_line={longest}B", "series": f"max_series={FAMILIES * EACH}",
            "families": f"max_families={FAMILIES}"}[limit]
    s = sidecar(upstream(service).url, *flags(most))
    assert Transfer(s).body == service.within
    assert value(s, "limit_hits_total", limit=f"max_{limit}") == 0


def test_all_who_wait_for_a_snapshot_hear_of_the_limit(upstream, sidecar, config):
    service = Service("text")
    service.more = text_family(FAMILIES)
    u = upstream(service)
    s = sidecar(config=config(f"[endpoint a]\nupstream = {u.url}\nmax_age = 1h\nmax_families = {FAMILIES}\n"))
    got = []
    threads = [threading.Thread(target=lambda i=i: got.append(s.get(target(i, 20)))) for i in range(20)]
    for t in threads:
        t.start()
    wait_until(lambda: value(s, "scrapes_in_flight") == 20, "not all wait")
    service.go_on.set()
    for t in threads:
        t.join(20 * SLOW)
    assert {(status, body) for status, _, body in got} == {(502, got[0][2])} and b"max_families" in got[0][2]
    assert len(got) == 20 and len(u.requests) == 1
