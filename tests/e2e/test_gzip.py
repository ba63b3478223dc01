# SPDX-License-Identifier: Apache-2.0
"""gzip on both sides: to scrapers that accept it, and from upstreams, which may send it unrequested."""
import base64
import gzip
import hashlib
import http.client
import itertools
import random
import re
import socket
import struct
import threading
import time
import zlib

import pytest

from conftest import OPENMETRICS, SANITIZED, SLOW, TEXT, Peak, answer, answering, wait_until
from exposition import PROTOBUF, gauge_family, protobuf_shard, target, text_shard

MIB = 1 << 20


def families(count, bytes_each):
    """A body of count families, each with a label that no compressor makes smaller than bytes_each."""
    dice = random.Random(count)
    return b"".join(b"# TYPE family_%d gauge\nfamily_%d{id=\"%s\"} %d\n"
                    % (i, i, base64.b64encode(dice.randbytes(bytes_each)), i) for i in range(count))


SMALL = families(8, 30)      # fits in one packet
HELD = families(80, 300)     # compressed or not, a whole and a half wait for the end of the body
STREAMED = families(500, 900)  # compressed, a half is still more than three times the 64 KiB that wait
# The upstream must have sent what it sends before, on a busy machine, too.
SHORT = ("--set", f"endpoint.default.timeout={2 * SLOW:.0f}s")
HALVES = ((None, None), (0, 2), (1, 2))


def half(body, shard, count):
    """The target for a half of the body, and the expected part; the whole without a shard."""
    return ("/metrics", body) if shard is None else (target(shard, count), text_shard(body, shard, count))


class Transfer:
    """One response from the wire: status, headers, payload, and whether its framing was complete. A reset may overtake the
    header: then there is no status."""

    def __init__(self, sidecar, path="/metrics", *headers, method="GET", version="1.1", on_body=None):
        """on_body is called when some of a body has been received."""
        self.status, self.payload, self.whole = None, bytearray(), False
        with sidecar.connect() as raw, raw.makefile("rb") as file:
            raw.sendall("\r\n".join([f"{method} {path} HTTP/{version}", "Host: sidecar", *headers, "", ""]).encode())
            try:
                self.status = int(re.match(rb"HTTP/1\.[01] (\d{3}) ", file.readline())[1])
                self.headers = http.client.parse_headers(file)
                for piece in self._pieces(file) if method == "GET" else ():
                    self.payload += piece
                    if on_body and len(self.payload) > 1000:
                        on_body()
                        on_body = None
                self.whole = True
            except (ConnectionError, EOFError):
                pass

    def _pieces(self, file):
        def read(n):
            piece = file.read1(n)
            if not piece:
                raise EOFError
            return piece

        if self.headers["Transfer-Encoding"] == "chunked":
            while size := int(file.readline() or b"-1", 16):
                if size < 0:
                    raise EOFError
                while size:
                    piece = read(size)
                    size -= len(piece)
                    yield piece
                if file.readline() != b"\r\n":
                    raise EOFError
            if file.readline() != b"\r\n":
                raise EOFError
        elif self.headers["Content-Length"]:
            left = int(self.headers["Content-Length"])
            while left:
                piece = read(left)
                left -= len(piece)
                yield piece
        else:
            while piece := file.read1(65536):
                yield piece

    @property
    def is_gzip(self):
        encodings = self.headers.get_all("Content-Encoding", [])
        assert encodings in ([], ["gzip"])
        return bool(encodings)

    @property
    def body(self):
        """The decoded payload: exactly one gzip member, or plain."""
        assert self.whole
        if not self.is_gzip:
            return self.payload
        stream = zlib.decompressobj(31)
        body = stream.decompress(self.payload)
        assert stream.eof and not stream.unused_data
        return body


def vary(headers):
    return {name.strip().lower() for value in headers.get_all("Vary", []) for name in value.split(",")}


GZIP = "Accept-Encoding: gzip"

# To scrapers: negotiation.

ACCEPTS = [
    # values of Accept-Encoding, whether gzip is accepted
    ([], False), ([""], False), (["gzip"], True), (["GZIP"], True), (["Gzip"], True), (["x-gzip"], True),
    (["X-GZip"], True), (["gzipped"], False), (["gzi"], False), (["pigz"], False), (["agzip"], False),
    (["gzip;q=0"], False), (["gzip;q=0."], False), (["gzip;q=0.0"], False), (["gzip;q=0.000"], False),
    (["gzip;q=0.001"], True), (["gzip;q=0.5"], True), (["gzip;q=1"], True), (["gzip;q=1.000"], True),
    (["gzip;Q=0"], False), (["gzip;Q=0.5"], True), (["x-gzip;q=0"], False), (["x-gzip;q=0.5"], True),
    (["  gzip  "], True), (["\tgzip"], True), (["gzip ; q=0"], False), (["gzip; q=0"], False), (["gzip ;q=0"], False),
    (["gzip;q=0 "], False), (["gzip;\tq=0.5"], True), (["gzip \t;\t q=0.5\t,br"], True),
    (["identity"], False), (["identity, gzip"], True), (["identity;q=0.5, gzip;q=1.0"], True),
    (["identity;q=0"], False),
    (["*"], True), (["*;q=0"], False), (["*;q=0.5"], True), (["*;q=1, identity;q=0"], True), ([" * ; q=0"], False),
    (["*, gzip;q=0"], False), (["gzip;q=0, *"], False), (["*;q=0, gzip"], True), (["gzip, *;q=0"], True),
    (["*;q=0, x-gzip;q=0.5"], True), (["br, deflate"], False), (["br;q=1.0, gzip;q=0.8, *;q=0.1"], True),
    (["deflate, br, zstd, gzip"], True), (["br,gzip"], True), ([",, ,gzip,,"], True), ([","], False),
    (["compress;q=0.5, gzip;q=1.0"], True), (["gzip;q=0, br"], False), (["gzip;q=abc"], False), (["gzip;q="], False),
    (["gzip;q=-1"], False),
    # several headers are one list
    (["gzip", "br"], True), (["br", "gzip"], True), (["identity", "gzip;q=0.5"], True), (["br", "gzip;q=0"], False),
    (["*", "gzip;q=0"], False), (["gzip", "*;q=0"], True),
]


@pytest.mark.parametrize("values, wanted", ACCEPTS, ids=[" + ".join(repr(v) for v in a[0]) or "none" for a in ACCEPTS])
def test_accept_encoding(upstream, sidecar, values, wanted):
    for body in (HELD, STREAMED):
        s = sidecar(upstream(answering(answer(body))).url)
        got = Transfer(s, "/metrics", *(f"Accept-Encoding: {value}" for value in values))
        assert (got.status, got.is_gzip) == (200, wanted)
        assert got.body == body


@pytest.mark.parametrize("values", [["gzip"], ["gzip;q=0"], ["identity"], []],
                         ids=["gzip", "no gzip", "identity", "nothing"])
@pytest.mark.parametrize("body", [SMALL, HELD, STREAMED], ids=["small", "held", "streamed"])
def test_vary(upstream, sidecar, body, values):
    """Whatever was requested: another Accept-Encoding might have had another response."""
    s = sidecar(upstream(answering(answer(body, extra=["Vary: Accept"]))).url)
    got = Transfer(s, "/metrics", *(f"Accept-Encoding: {value}" for value in values))
    assert vary(got.headers) == {"accept", "accept-encoding"}


def test_off(upstream, sidecar):
    for body in (HELD, STREAMED):
        s = sidecar(upstream(answering(answer(body))).url, "--set", "web.compression=off")
        for value in ("gzip", "*", "identity;q=0, gzip"):
            got = Transfer(s, "/metrics", f"Accept-Encoding: {value}")
            assert (got.status, got.is_gzip, vary(got.headers)) == (200, False, set())
            assert got.body == body


# To scrapers: the body.


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("body", [HELD, STREAMED], ids=["held", "streamed"])
def test_levels(upstream, sidecar, body, level):
    s = sidecar(upstream(answering(answer(body))).url, "--set", f"web.compression_level={level}")
    for shard, count in HALVES:
        path, expected = half(body, shard, count)
        assert Transfer(s, path).body == expected
        for version, *headers in (("1.1", GZIP), ("1.1", GZIP, "Connection: close"), ("1.0", GZIP),
                                  ("1.0", GZIP, "Connection: keep-alive")):
            got = Transfer(s, path, *headers, version=version)
            assert got.status == 200 and got.is_gzip and got.body == expected
            # Base64 uses six bits of a byte; level 0, with fixed codes, cannot use that.
            assert len(got.payload) < (0.85 if level else 1.1) * len(expected)
            if body is HELD:
                assert int(got.headers["Content-Length"]) == len(got.payload)
                assert "Transfer-Encoding" not in got.headers
            else:
                assert len(got.payload) > 3 * 65536, "smaller than this test needs"
                assert "Content-Length" not in got.headers
                assert (got.headers["Transfer-Encoding"] == "chunked") == (version == "1.1")


def test_higher_levels_are_smaller(upstream, sidecar):
    body = b"".join(b'requests_total{path="/shop/%d",code="%d"} %d\n' % (i % 97, i % 7, i * i) for i in range(4000))
    url = upstream(answering(answer(body))).url
    sizes = [len(Transfer(sidecar(url, "--set", f"web.compression_level={level}"), "/metrics", GZIP).payload)
             for level in range(4)]
    assert sizes[3] < sizes[1] < sizes[0] < len(body) / 3, sizes


def test_small_is_left_alone(upstream, sidecar):
    s = sidecar(upstream(answering(answer(HELD))).url)
    seen = set()
    for count in (1, 2, 7, 80):
        for shard in range(count):
            got = Transfer(s, target(shard, count), GZIP)
            expected = text_shard(HELD, shard, count)
            assert got.body == expected
            if not 1000 < len(expected) < 2000:
                assert got.is_gzip == (len(expected) > 1500), len(expected)
                seen.add(got.is_gzip)
    assert seen == {True, False}


@pytest.mark.parametrize("content_type, body, part", [
    (TEXT, HELD, text_shard), (OPENMETRICS, HELD + b"# EOF\n", text_shard), (OPENMETRICS, HELD + b"# EOF", text_shard),
    (PROTOBUF, b"".join(gauge_family(f"family_{i}", {f"{j}": j for j in range(20)}) for i in range(50)),
     protobuf_shard),
], ids=["text", "openmetrics", "openmetrics without the last newline", "protobuf"])
def test_formats(upstream, sidecar, content_type, body, part):
    s = sidecar(upstream(answering(answer(body, content_type))).url)
    for count in (1, 2, 7):
        for shard in range(count):
            got = Transfer(s, target(shard, count), GZIP)
            assert (got.status, got.headers["Content-Type"], got.is_gzip) == (200, content_type, True)
            assert got.body == part(body, shard, count)


@pytest.mark.parametrize("accept", [[], [GZIP]], ids=["identity", "gzip"])
@pytest.mark.parametrize("body", [b"", SMALL, HELD, STREAMED], ids=["empty", "small", "held", "streamed"])
def test_head(upstream, sidecar, body, accept):
    """HEAD has the headers of GET; a length where GET has chunks is allowed, but must be correct."""
    s = sidecar(upstream(answering(answer(body))).url)
    for shard, count in HALVES:
        path, expected = half(body, shard, count)
        got, headed = Transfer(s, path, *accept), Transfer(s, path, *accept, method="HEAD")
        assert got.body == expected
        assert (headed.status, headed.payload) == (200, b"")
        framing = {"date", "content-length", "transfer-encoding"}

        def rest(transfer):
            return sorted((k.lower(), v) for k, v in transfer.headers.items() if k.lower() not in framing)
        assert rest(headed) == rest(got)
        if "Content-Length" in got.headers:
            assert headed.headers["Content-Length"] == got.headers["Content-Length"]


def test_connection_is_kept_after_gzip(upstream, sidecar):
    s = sidecar(upstream(answering(answer(STREAMED), answer(HELD), answer(SMALL), answer(STREAMED))).url)
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=30 * SLOW)
    connection.connect()
    first = connection.sock
    for body, compressed in ((STREAMED, True), (HELD, True), (SMALL, False), (STREAMED, True)):
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        got = connection.getresponse().read()
        assert (gzip.decompress(got) if compressed else got) == body
        assert connection.sock is first
    connection.close()


def test_errors_are_plain(upstream, sidecar):
    s = sidecar(upstream(answering(answer(b"<html>" + b"no " * 2000))).url)
    for path, status in (("/metrics", 502), ("/metrics?shard=x&shard_count=2", 400)):
        got = Transfer(s, path, GZIP)
        assert (got.status, got.is_gzip) == (status, False)
        assert re.fullmatch(rb"[^\n]+\n", got.body)


# To scrapers: an upstream that breaks off.


def head(*lines, content_type=TEXT):
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {content_type}", *lines]).encode() + b"\r\n\r\n"


def chunk(body):
    return b"%x\r\n%s\r\n" % (len(body), body)


CHUNKED, LAST_CHUNK = "Transfer-Encoding: chunked", b"0\r\n\r\n"
TRUNCATED = STREAMED[:-500]  # inside the last family's label


def close(_connection):
    raise ConnectionError


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionError


def hang(connection):
    connection.settimeout(20 * SLOW)
    while connection.recv(4096):
        pass
    raise ConnectionError


UNZIPPED = "Content-Encoding: gzip"
BREAKS = [
    # name, what is sent first, what follows once some of it has been received
    ("truncated", head(f"Content-Length: {len(STREAMED)}") + TRUNCATED, [close]),
    ("reset", head(f"Content-Length: {len(STREAMED)}") + TRUNCATED, [reset]),
    ("hang", head(f"Content-Length: {len(STREAMED)}") + TRUNCATED, [hang]),
    ("no last chunk", head(CHUNKED) + chunk(STREAMED), [close]),
    ("no last chunk, hang", head(CHUNKED) + chunk(STREAMED), [hang]),
    ("truncated in a chunk", head(CHUNKED) + chunk(STREAMED) + b"100\r\nup", [close]),
    ("closed in a line", head("Connection: close") + TRUNCATED, [close]),
    ("no exposition", head(CHUNKED) + chunk(STREAMED), [chunk(b"<html>no</html>\n"), chunk(STREAMED), LAST_CHUNK]),
    ("a line too long", head(CHUNKED) + chunk(STREAMED), [chunk(b'a{b="' + b"x" * 2 * MIB), LAST_CHUNK]),
    ("no # EOF", head(CHUNKED, content_type=OPENMETRICS) + chunk(STREAMED), [LAST_CHUNK]),
    ("truncated gzip", head(CHUNKED, UNZIPPED) + chunk(gzip.compress(STREAMED)[:-1]), [LAST_CHUNK]),
    ("gzip with a wrong sum", head(CHUNKED, UNZIPPED) + chunk(gzip.compress(STREAMED)[:-8]),
     [chunk(bytes(8)), LAST_CHUNK]),
]


@pytest.mark.parametrize("first, rest", [b[1:] for b in BREAKS], ids=[b[0] for b in BREAKS])
def test_broken_upstream_breaks_the_stream(upstream, sidecar, first, rest):
    """The response is visibly incomplete, both by its framing and by the gzip stream itself."""
    go_on = threading.Event()

    def serve(u, connection):
        while u.read_request(connection):
            connection.sendall(first)
            go_on.wait(20 * SLOW)
            for step in rest:
                if callable(step):
                    step(connection)
                else:
                    connection.sendall(step)

    s = sidecar(upstream(serve).url, *(SHORT if hang in rest else ()))
    for (shard, count), version in itertools.product(HALVES, ("1.1", "1.0")):
        path, expected = half(STREAMED, shard, count)
        go_on.clear()
        got = Transfer(s, path, GZIP, version=version, on_body=go_on.set)
        assert (got.status, got.is_gzip, got.whole) == (200, True, False)
        assert len(got.payload) > 65536
        stream = zlib.decompressobj(31)
        body = stream.decompress(got.payload)
        assert not stream.eof, "the gzip stream has an end"
        assert expected.startswith(body[:len(expected)]) and len(body) > 65536


def test_broken_upstream_is_a_status_while_held(upstream, sidecar):
    for name, first, rest in BREAKS:
        if hang in rest or "gzip" in name:
            continue
        small = first.replace(STREAMED, HELD).replace(TRUNCATED, HELD[:-500])
        small = re.sub(rb"\r\n[0-9a-f]+\r\n# TYPE", b"\r\n%x\r\n# TYPE" % len(HELD), small)
        steps = [small, *(step.replace(STREAMED, HELD) if isinstance(step, bytes) else step for step in rest)]

        def serve(u, connection, steps=steps):
            u.read_request(connection)
            for step in steps:
                if callable(step):
                    step(connection)
                connection.sendall(step)
        got = Transfer(sidecar(upstream(serve).url), "/metrics", GZIP)
        assert (name, got.status, got.is_gzip, got.whole) == (name, 502, False, True)


# From upstreams.

PLAIN = HELD[:3000].rpartition(b"\n")[0] + b"\n"
FTEXT, FHCRC, FEXTRA, FNAME, FCOMMENT = 1, 2, 4, 8, 16


def member(body, flags=0, level=6, strategy=zlib.Z_DEFAULT_STRATEGY, crc=None, size=None, hcrc=None, method=8):
    """A gzip member (RFC 1952) with the given flags and fields; fields not given are correct."""
    header = b"\x1f\x8b" + bytes([method, flags]) + b"\x01\x02\x03\x04\x00\x03"
    if flags & FEXTRA:
        header += struct.pack("<H", 300) + b"ab" + struct.pack("<H", 296) + b"\x00" * 296
    if flags & FNAME:
        header += b"metrics.txt\0"
    if flags & FCOMMENT:
        header += "\u00e9 comment".encode("latin-1") + b"\0"
    if flags & FHCRC:
        header += struct.pack("<H", (zlib.crc32(header) if hcrc is None else hcrc) & 0xffff)
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return (header + deflate.compress(body) + deflate.flush() +
            struct.pack("<II", zlib.crc32(body) if crc is None else crc,
                        (len(body) if size is None else size) & 0xffffffff))


def members(body, size):
    return b"".join(member(body[i:i + size]) for i in range(0, len(body), size))


EMPTY = member(b"")
GOOD = [
    # name, bytes that decode to PLAIN
    ("one member", member(PLAIN)),
    *((f"level {level}", member(PLAIN, level=level)) for level in (1, 9)),
    ("stored", member(PLAIN, level=0)),
    ("fixed codes", member(PLAIN, strategy=zlib.Z_FIXED)),
    ("codes alone", member(PLAIN, strategy=zlib.Z_HUFFMAN_ONLY)),
    ("runs", member(PLAIN, strategy=zlib.Z_RLE)),
    ("two members", members(PLAIN, 2000)),
    ("many members", members(PLAIN, 100)),
    ("a member for each byte", members(PLAIN, 1)),
    ("an empty member before", EMPTY + member(PLAIN)),
    ("an empty member after", member(PLAIN) + EMPTY),
    ("empty members between", EMPTY * 3 + member(PLAIN[:500]) + EMPTY * 5 + member(PLAIN[500:], level=0) + EMPTY * 2),
    *((f"flags {flags:02x}", member(PLAIN[:700], flags) + member(PLAIN[700:], flags)) for flags in range(1, 32)),
]
BAD = [
    # name, bytes that must never be accepted as an exposition
    ("nothing", b""),
    ("not compressed", PLAIN),
    ("garbage after", member(PLAIN) + b"garbage"),
    ("much garbage after", member(PLAIN) + b"garbage" * 5000),
    ("a byte after", member(PLAIN) + b"\n"),
    ("a zero after", member(PLAIN) + b"\0"),  # Go's reader rejects padding, too
    ("a block of zeros after", member(PLAIN) + bytes(512)),
    ("the first byte of a member after", member(PLAIN) + EMPTY[:1]),
    ("most of a member after", member(PLAIN) + member(PLAIN)[:-1]),
    ("plain text after", member(PLAIN) + PLAIN),
    ("wrong sum", member(PLAIN, crc=zlib.crc32(PLAIN) ^ 1)),
    ("wrong sum, high bit", member(PLAIN, crc=zlib.crc32(PLAIN) ^ 1 << 31)),
    ("wrong length", member(PLAIN, size=len(PLAIN) + 1)),
    ("wrong length, high bit", member(PLAIN, size=len(PLAIN) ^ 1 << 31)),
    ("no sum and no length", member(PLAIN, crc=0, size=0)),
    ("wrong sum of the first member", member(PLAIN[:500], crc=1) + member(PLAIN[500:])),
    ("wrong length of the first member", member(PLAIN[:500], size=1) + member(PLAIN[500:])),
    ("wrong sum of the last member", member(PLAIN[:500]) + member(PLAIN[500:], crc=1)),
    ("wrong sum of an empty member", member(PLAIN) + member(b"", crc=1)),
    ("wrong length of an empty member", member(b"", size=1) + member(PLAIN)),
    ("wrong sum of the header", member(PLAIN, FHCRC, hcrc=0)),
    ("wrong magic", b"\x1f\x8c" + member(PLAIN)[2:]),
    ("unknown method", member(PLAIN, method=7)),
    ("zlib's own format", zlib.compress(PLAIN)),
    ("bare deflate", zlib.compress(PLAIN)[2:-4]),
    ("block of the reserved type", member(PLAIN)[:10] + b"\x07" + member(PLAIN)[11:]),
    ("stored block of a wrong length", member(PLAIN, level=0)[:13] + b"\0\0" + member(PLAIN, level=0)[15:]),
    ("twice", gzip.compress(gzip.compress(PLAIN))),
]


def by_length(bytes_, *extra):
    return head(f"Content-Length: {len(bytes_)}", *extra) + bytes_


def by_close(bytes_, *extra):
    return head("Connection: close", *extra) + bytes_


def in_chunks(size):
    def frame(bytes_, *extra):
        pieces = [chunk(bytes_[i:i + size]) for i in range(0, len(bytes_), size)]
        return head(CHUNKED, *extra) + b"".join(pieces) + LAST_CHUNK
    return frame


FRAMINGS = {"length": by_length, "close": by_close, "bytes": in_chunks(1), "pieces": in_chunks(7)}


class Script:
    """An upstream that sends the current bytes and closes."""

    def __init__(self, upstream):
        self.bytes = b""
        self.service = upstream(self._serve)
        self.url = self.service.url

    def _serve(self, u, connection):
        if u.read_request(connection):
            connection.sendall(self.bytes)


@pytest.mark.parametrize("frame", FRAMINGS.values(), ids=FRAMINGS)
def test_good_gzip(upstream, sidecar, frame):
    service = Script(upstream)
    s = sidecar(service.url)
    for name, bytes_ in GOOD:
        service.bytes = frame(bytes_, UNZIPPED)
        for path, expected in (half(PLAIN, shard, count) for shard, count in HALVES):
            got = Transfer(s, path)
            assert (name, got.status, got.is_gzip, got.payload) == (name, 200, False, expected)
        got = Transfer(s, "/metrics", GZIP)
        assert (name, got.status, got.is_gzip, got.body) == (name, 200, True, PLAIN)
        assert s.process.poll() is None


@pytest.mark.parametrize("frame", FRAMINGS.values(), ids=FRAMINGS)
def test_bad_gzip(upstream, sidecar, frame):
    service = Script(upstream)
    s = sidecar(service.url)
    for name, bytes_ in BAD:
        service.bytes = frame(bytes_, UNZIPPED)
        for path in ("/metrics", target(0, 2), target(1, 2)):
            for accept in ([], [GZIP]):
                got = Transfer(s, path, *accept)
                assert (name, got.status, got.whole) == (name, 502, True)
                assert re.fullmatch(rb"[^\n]+\n", got.payload), name


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "X-GZip", "identity", "Identity"])
def test_encodings_that_are_decoded(upstream, sidecar, encoding):
    bytes_ = PLAIN if encoding.lower() == "identity" else member(PLAIN)
    service = upstream(answering(answer(bytes_, extra=[f"Content-Encoding: {encoding}"])))
    got = Transfer(sidecar(service.url))
    assert (got.status, got.is_gzip, got.body) == (200, False, PLAIN)
    assert [line for line in service.requests[0].split(b"\r\n") if line.lower().startswith(b"accept-encoding")] \
        == [b"Accept-Encoding: identity"]


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "compress", "gzip, gzip", "gzip, br", "br, gzip"])
def test_encodings_that_are_not(upstream, sidecar, encoding):
    for bytes_ in (PLAIN, member(PLAIN), zlib.compress(PLAIN)):
        s = sidecar(upstream(answering(answer(bytes_, extra=[f"Content-Encoding: {encoding}"]))).url)
        for path in ("/metrics", target(0, 2), target(1, 2)):
            got = Transfer(s, path, GZIP)
            assert got.status == 502 and f'"{encoding}"'.encode() in got.body, got.payload


@pytest.mark.parametrize("encodings", [["gzip", "gzip"], ["gzip", "br"], ["identity", "gzip"]])
def test_encodings_in_several_headers_are_one_list(upstream, sidecar, encodings):
    """What cannot be decoded in one header cannot be in two."""
    bytes_ = gzip.compress(gzip.compress(PLAIN)) if encodings == ["gzip", "gzip"] else gzip.compress(PLAIN)
    extra = [f"Content-Encoding: {encoding}" for encoding in encodings]
    got = Transfer(sidecar(upstream(answering(answer(bytes_, extra=extra))).url))
    if encodings == ["identity", "gzip"]:  # gzip is the only encoding applied
        assert got.status == 502 or got.body == PLAIN
    else:
        assert got.status == 502 and encodings[1].encode() in got.body, got.payload


@pytest.mark.parametrize("setting", ["identity", "gzip"])
def test_upstream_encoding(upstream, sidecar, setting):
    """The request to the upstream does not depend on the scraper's Accept-Encoding."""
    service = upstream(answering(answer(member(PLAIN), extra=[UNZIPPED])))
    s = sidecar(service.url, "--set", f"endpoint.default.upstream_encoding={setting}")
    for accept in ([], [GZIP], ["Accept-Encoding: br"], ["Accept-Encoding: gzip;q=0"]):
        got = Transfer(s, "/metrics", *accept)
        assert got.body == PLAIN and got.is_gzip == (accept == [GZIP])
    for request in service.requests:
        sent = re.findall(rb"(?im)^accept-encoding:[^\r]*", request)
        assert sent == [f"Accept-Encoding: {setting}".encode()]


@pytest.mark.parametrize("flags", [0, FHCRC | FEXTRA | FNAME | FCOMMENT], ids=["plain header", "full header"])
@pytest.mark.parametrize("frame", [by_length, by_close, in_chunks(1000)], ids=["length", "close", "chunked"])
def test_truncated_at_every_byte(upstream, sidecar, frame, flags):
    """The framing is complete; only the gzip stream is not."""
    body = PLAIN[:700].rpartition(b"\n")[0] + b"\n"
    whole = member(body, flags)
    service = Script(upstream)
    s = sidecar(service.url)
    for cut in range(len(whole)):
        service.bytes = frame(whole[:cut], UNZIPPED)
        got = Transfer(s)
        assert (cut, got.status, got.payload.count(b"\n")) == (cut, 502, 1)
    service.bytes = frame(whole, UNZIPPED)
    assert Transfer(s).body == body


def test_corrupt_at_every_byte(upstream, sidecar):
    """A flipped bit is a failure or, where bits have no meaning, has no effect: never another body."""
    body = PLAIN[:700].rpartition(b"\n")[0] + b"\n"
    whole = member(body)
    service = Script(upstream)
    s = sidecar(service.url)
    for at in range(len(whole)):
        service.bytes = by_length(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1:], UNZIPPED)
        got = Transfer(s)
        assert got.status == 502 or (got.body == body and at < len(whole) - 8), at


def test_not_200_passes_untouched(upstream, sidecar):
    for encoding, bytes_ in itertools.product(("gzip", "br", "x-gzip", "gzip, br"), (b"\0\1\2" * 20, STREAMED)):
        s = sidecar(upstream(answering(answer(bytes_, "text/html", "503 Service Unavailable",
                                              [f"Content-Encoding: {encoding}"]))).url)
        for accept in ([], [GZIP]):
            got = Transfer(s, target(0, 2), *accept)
            assert (got.status, got.payload, got.whole) == (503, bytes_, True)
            assert got.headers.get_all("Content-Encoding") == [encoding]


# Memory.


def bomb(unit, total):
    """About total bytes of members, each a MiB of the unit before compression."""
    one = member(unit * (MIB // len(unit)), level=9)
    return one * (total // len(one))


BOMBS = {
    "comments": b"# " + b"a" * 1000 + b"\n",
    "one family": b"family_1{id=\"aaaaaaaaaaaaaaaaaaaaaaaaaaa\"} 0\n",
    "blank lines": b"\n",
    "a line without an end": b"#" + b"a" * 1023,
    "zeros": bytes(1024),
}


@pytest.mark.parametrize("accept", [[], [GZIP]], ids=["identity", "gzip"])
@pytest.mark.parametrize("unit", BOMBS.values(), ids=BOMBS)
def test_bomb(upstream, sidecar, unit, accept):
    """10 MB that decode to 10 GB: the scrape ends at max_body, and takes no memory until then."""
    s = sidecar(upstream(answering(by_length(bomb(unit, 10000000), UNZIPPED))).url, "--set",
                "endpoint.default.timeout=60s", "--set", f"endpoint.default.max_body={16 if SANITIZED else 64}MiB")
    with Peak(s) as peak:
        responses = [Transfer(s, path, *accept) for path in (target(0, 2), target(1, 2), "/metrics")]
        failed = [got for got in responses if got.status == 502]
        assert failed and all(re.search(b"max_body|max_line|not a valid exposition", got.body) for got in failed)
        # In the shard that has the bomb, the response had started.
        assert all(not got.whole for got in responses if got.status != 502)
    assert peak.bytes < 8 * MIB


def stands_still(number, seconds=0.3):
    """Whether a number does not change for a while."""
    before = number()
    time.sleep(seconds)
    return number() == before


@pytest.mark.parametrize("accept", [[], [GZIP]], ids=["identity", "gzip"])
def test_slow_reader_of_what_was_small(upstream, sidecar, accept):
    """Each byte from the upstream decodes to a thousand: what a slow reader does not take is not decompressed."""
    unit = b"".join(b'requests_total{path="/shop/%08d"} 1\n' % i for i in range(27000))
    units = 150
    random_unit = families(1000, 900)
    expected = hashlib.sha256()
    for i in range(units):
        expected.update(b"# %d\n" % i + (random_unit if accept and i % 30 == 0 else unit))
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    bytes_ = b"".join(deflate.compress(b"# %d\n" % i + (random_unit if accept and i % 30 == 0 else unit))
                      for i in range(units)) + deflate.flush()
    s = sidecar(upstream(answering(by_length(bytes_, UNZIPPED))).url, "--set", "endpoint.default.timeout=120s",
                "--set", "endpoint.default.max_body=1GiB")

    with s.connect() as raw, Peak(s) as peak:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        raw.sendall(("\r\n".join(["GET /metrics HTTP/1.1", "Host: a", *accept]) + "\r\n\r\n").encode())
        response = http.client.HTTPResponse(raw)
        response.begin()
        inflate, got, total = zlib.decompressobj(31) if accept else None, hashlib.sha256(), 0

        def take(piece):
            nonlocal total
            total += len(piece)
            while piece and inflate:
                got.update(inflate.decompress(piece, MIB))
                piece = inflate.unconsumed_tail
            got.update(piece)

        def turns():
            with open(f"/proc/{s.pid}/status", encoding="ascii") as status:
                return re.findall(r"ctxt_switches:\s+(\d+)", status.read())
        for stop in (MIB, 3 * MIB):
            while total < stop:
                take(response.read(16384))
            wait_until(lambda: stands_still(turns), "the sidecar does not pause")
            assert not s.find("msg=scrape"), "the whole body was taken from the upstream"
        while piece := response.read(MIB):
            take(piece)
        assert got.hexdigest() == expected.hexdigest()
        assert inflate is None or inflate.eof
    assert peak.bytes < 5 * MIB


MUCH = b"".join(b'requests_total{path="/shop/%08d"} 1\n' % i for i in range(400000))
LATE_FAULTS = {
    "max_body": (member(MUCH, level=9), "larger than max_body"),
    "no exposition": (member(MUCH + b"<html>\n", level=9), "not a valid exposition"),
    "wrong sum": (member(MUCH, level=9, crc=1), "incorrect data check"),
    "garbage after": (member(MUCH, level=9) + b"garbage garbage", "incorrect header check"),
}


@pytest.mark.parametrize("bytes_, reason", LATE_FAULTS.values(), ids=LATE_FAULTS)
def test_fault_found_by_a_slow_reader(upstream, sidecar, bytes_, reason):
    """A fault found only when the reader continues ends the scrape then, not at the deadline; the upstream's side, too."""
    left = threading.Event()

    def serve(u, connection):
        u.read_request(connection)
        connection.sendall(head(f"Content-Length: {len(bytes_) + 1000}", UNZIPPED) + bytes_)
        try:
            u.read_request(connection)
        finally:
            left.set()
    s = sidecar(upstream(serve).url, "--set", f"endpoint.default.timeout={50 * SLOW:.0f}s", "--set",
                f"endpoint.default.max_body={'8MiB' if reason == 'larger than max_body' else '1GiB'}")
    with s.connect() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        raw.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            response = http.client.HTTPResponse(raw)
            response.begin()
            while response.read(65536):
                time.sleep(0.001)
    line = wait_until(lambda: s.find("msg=scrape .*"), "the scrape does not end")[0]
    assert reason in line
    wait_until(left.is_set, "the connection to the upstream stays open")
