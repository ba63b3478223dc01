# SPDX-License-Identifier: Apache-2.0
"""Every negotiated format, from test upstreams and real services; exposition.py computes independently which bytes go to
which shard."""
import gzip
import hashlib
import http.client
import itertools
import re

import prometheus_client.openmetrics.parser
import prometheus_client.parser
import pytest

import services
from conftest import OPENMETRICS, TEXT, Peak, answer, answering, wait_until
from exposition import (COUNTS, GAUGE, PROTOBUF, declared_families, delimited, family_key, field, gauge_family, labels,
                        lines, messages, protobuf_shard, sample_names, shard_of, target, text_shard, varint)

MIB = 1 << 20
GZIP = {"Accept-Encoding": "gzip"}


def whole(sidecar, path, headers=None):
    """The decoded body of a success, and its Content-Type."""
    status, got, body = sidecar.get(path, headers=headers)
    assert status == 200, body
    return gzip.decompress(body) if got["Content-Encoding"] == "gzip" else body, got["Content-Type"]


# The response's Content-Type decides.

METADATA = b"".join(b"# TYPE family_%d gauge\nfamily_%d 1\n" % (i, i) for i in range(20))
MARKED = METADATA + b"# EOF\n"
TYPES = [
    # Content-Type, the format it is read as
    ("text/plain", "text"), ("text/plain; version=0.0.4", "text"), ("text/plain;version=0.0.4;charset=utf-8", "text"),
    ("TEXT/Plain; Version=0.0.4", "text"), ("text/plain ; version=9.9.9 ; a=\"b; c\"", "text"),
    ("text/plain; version=1.0.0; escaping=allow-utf-8", "text"), ("text/plain; version=0.0.4; escaping=dots", "text"),
    ("text/plain;", "text"),
    ("application/openmetrics-text", "openmetrics"), (OPENMETRICS, "openmetrics"),
    ("Application/OpenMetrics-Text;version=0.0.1", "openmetrics"),
    ("application/openmetrics-text ;charset=utf-8", "openmetrics"),
    ("application/openmetrics-text; version=99.0.0; escaping=underscores", "openmetrics"),
    ("application/openmetrics-text; version=2.0.0; charset=utf-8", "openmetrics"),
    ("application/vnd.google.protobuf", "protobuf"), (PROTOBUF, "protobuf"),
    ("APPLICATION/vnd.Google.Protobuf;encoding=delimited", "protobuf"),
    ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=values",
     "protobuf"),
    ("text/html", "unknown"), ("text/html; charset=utf-8", "unknown"), ("application/json", "unknown"),
    ("text/plainer", "unknown"), ("text", "unknown"), ("text / plain", "unknown"), ("what is this?", "unknown"),
    ("application/openmetrics-textual", "unknown"), ("xapplication/openmetrics-text", "unknown"),
    ("application/vnd.google.protobuf2", "unknown"), (";", "unknown"),
    ("text/html; a=application/openmetrics-text", "unknown"),
]
PROTOBUF_BODY = b"".join(gauge_family(f"family_{i}", {"a": i, "b": 1}) for i in range(20))


def check_reading(url, sidecar, read_as, content_type):
    """The shards of MARKED or PROTOBUF_BODY show how it is read."""
    s = sidecar(url)
    if read_as == "protobuf":
        for shard in range(3):
            assert whole(s, target(shard, 3)) == (protobuf_shard(PROTOBUF_BODY, shard, 3), content_type)
        return
    for shard in range(3):
        # In text "# EOF" is a comment, and comments are in shard 0.
        expected = text_shard(METADATA, shard, 3) + (b"" if read_as == "text" and shard else b"# EOF\n")
        assert whole(s, target(shard, 3)) == (expected, content_type)


@pytest.mark.parametrize("content_type, read_as", TYPES, ids=[t[0] for t in TYPES])
def test_content_type(upstream, sidecar, content_type, read_as):
    body = PROTOBUF_BODY if read_as == "protobuf" else MARKED
    check_reading(upstream(answering(answer(body, content_type))).url, sidecar, read_as, content_type)
    if read_as == "protobuf":
        return
    # Only OpenMetrics needs its end marker.
    s = sidecar(upstream(answering(answer(METADATA, content_type))).url)
    for shard in range(3):
        status, _, body = s.get(target(shard, 3))
        if read_as == "openmetrics":
            assert status == 502
        else:
            assert (status, body) == (200, text_shard(METADATA, shard, 3))


def test_blanks_around_the_content_type(upstream, sidecar):
    for content_type in ("  application/openmetrics-text;version=1.0.0", "\tapplication/openmetrics-text ",
                         "application/openmetrics-text\t; version=1.0.0"):
        check_reading(upstream(answering(answer(MARKED, content_type))).url, sidecar, "openmetrics",
                      content_type.strip())


@pytest.mark.parametrize("default, read_as", [(None, "text"), (OPENMETRICS, "openmetrics"), (PROTOBUF, "protobuf"),
                                              ("text/plain; version=1.0.0", "text")])
def test_missing_content_type_gets_the_default(upstream, sidecar, default, read_as):
    body = PROTOBUF_BODY if read_as == "protobuf" else MARKED
    url = upstream(answering(answer(body, content_type=None))).url

    def start(url):
        return sidecar(url, *(("--set", f"endpoint.default.default_content_type={default}") if default else ()))
    check_reading(url, start, read_as, default or TEXT)


def test_blank_content_type_is_a_missing_one(upstream, sidecar):
    """To Go's client, which Prometheus uses, they are the same."""
    for blank in ("Content-Type:", "Content-Type:  "):
        check_reading(upstream(answering(answer(MARKED, content_type=None, extra=[blank]))).url, sidecar, "text", TEXT)


def test_default_content_type_changes_no_other(upstream, sidecar):
    s = sidecar(upstream(answering(answer(METADATA, "text/plain"))).url, "--set",
                f"endpoint.default.default_content_type={OPENMETRICS}")
    assert whole(s, "/metrics") == (METADATA, "text/plain")


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS, PROTOBUF, "*/*;q=2", "application/json"])
def test_accept_decides_nothing(upstream, sidecar, accept):
    for body, content_type, part in ((METADATA, TEXT, text_shard), (MARKED, OPENMETRICS, text_shard),
                                     (PROTOBUF_BODY, PROTOBUF, protobuf_shard)):
        s = sidecar(upstream(answering(answer(body, content_type))).url)
        for shard in range(3):
            assert whole(s, target(shard, 3), {"Accept": accept}) == (part(body, shard, 3), content_type)


# The same service in several formats.


def families_of(body, content_type):
    if content_type.startswith("application/vnd.google.protobuf"):
        return {name for name, _, _ in messages(body)}
    return declared_families(body)


def keys_by_shard(sidecar, accept, expected_type, count, headers):
    """{key of a family: the shards that have it}, scraped with this Accept."""
    found = {}
    for shard in range(count):
        body, content_type = whole(sidecar, target(shard, count), {"Accept": accept, **headers})
        assert content_type.startswith(expected_type)
        for name in families_of(body, content_type):
            found.setdefault(family_key(name), set()).add(shard)
    return found


@pytest.mark.parametrize("start, formats", [
    (services.node_exporter, [TEXT, PROTOBUF]),
    (services.prometheus, [TEXT, PROTOBUF]),
    (services.pushgateway, [TEXT, PROTOBUF]),
    (services.blackbox_exporter, [TEXT, PROTOBUF]),
    (services.python_client, [TEXT, OPENMETRICS]),
], ids=["node_exporter", "prometheus", "pushgateway", "blackbox_exporter", "python"])
@pytest.mark.parametrize("headers", [{}, GZIP], ids=["identity", "gzip"])
def test_a_family_has_one_shard_in_every_format(process, tmp_path, sidecar, start, formats, headers):
    """So a change of the negotiated format moves no series."""
    url = start(process, tmp_path)
    s = sidecar(url)
    found = [keys_by_shard(s, accept, accept.split(";")[0], 7, headers) for accept in formats]
    assert all(len(keys) > 20 for keys in found)
    assert found[0] == found[1]
    for keys in found:
        assert keys == {key: {shard_of(key, 7)} for key in keys}


# Protobuf.


@pytest.mark.parametrize("headers", [{}, GZIP], ids=["identity", "gzip"])
def test_protobuf_union(process, tmp_path, upstream, sidecar, headers):
    content_type, body = services.fetch(services.node_exporter(process, tmp_path), PROTOBUF)
    assert content_type == PROTOBUF and len(messages(body)) > 150
    s = sidecar(upstream(answering(answer(body, content_type))).url)
    for count in COUNTS:
        parts = [whole(s, target(shard, count), headers) for shard in range(count)]
        assert parts == [(protobuf_shard(body, shard, count), content_type) for shard in range(count)]
        found = [raw for part, _ in parts for _, raw, _ in messages(part)]
        assert sorted(found) == sorted(raw for _, raw, _ in messages(body))


@pytest.mark.parametrize("headers", [{}, GZIP], ids=["identity", "gzip"])
def test_empty_shard(upstream, sidecar, headers):
    """In protobuf an empty body is the success of an empty shard; the other formats have no such body."""
    s = sidecar(upstream(answering(answer(gauge_family("up", {"a": 1}), PROTOBUF))).url)
    for shard in range(8):
        status, got, body = s.get(target(shard, 8), headers=headers)
        assert (status, got["Content-Type"], got["Content-Length"]) == (200, PROTOBUF, str(len(body)))
        assert body == (gauge_family("up", {"a": 1}) if shard == shard_of("up", 8) else b"")
        assert "Content-Encoding" not in got


def in_pieces(body, size=7):
    return b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size))


METRIC = field(4, labels(id="a") + field(2, field(1, 1.0)))
OTHERS = gauge_family("before", {"a": 1}) + gauge_family("kept_total", {"b": 2})
RAW = delimited(field(1, "name"), METRIC)
TOLERATED = {
    # accepted by Prometheus, too: name of the family, its bytes
    "fields in another order": ("late", delimited(METRIC, field(3, GAUGE), METRIC, field(2, "Help."),
                                                  field(1, "late"))),
    "the last name counts": ("second", delimited(field(1, "first"), METRIC, field(1, "second"))),
    "unknown fields": ("name", delimited(field(1, "name"), field(16, 2**40), field(17, "text"), field(18, 1.5),
                                         varint(19 << 3 | 5) + b"\0\0\0\0", METRIC, field(2**28, 1))),
    "a unit": ("name", delimited(field(1, "name"), field(5, "seconds"), METRIC)),
    "no help and no type": ("name", RAW),
    "no metric": ("name", delimited(field(1, "name"), field(2, "Help."))),
    "a length of more bytes than needed": ("name", bytes([RAW[0] | 0x80, 0x80, 0x80, 0x80, 0x00]) + RAW[1:]),
    "a name that is UTF-8": ("m\u00e9trique.\u00e9t\u00e9", delimited(field(1, "m\u00e9trique.\u00e9t\u00e9"), METRIC)),
    "a long help": ("name", delimited(field(1, "name"), field(2, "x" * 200000), METRIC)),
    "a long help first": ("name", delimited(field(2, "x" * 200000), field(1, "name"), METRIC)),
}


@pytest.mark.parametrize("name, family", TOLERATED.values(), ids=TOLERATED)
def test_protobuf_that_is_odd(upstream, sidecar, name, family):
    body = OTHERS + family + OTHERS
    chunked = (f"HTTP/1.1 200 OK\r\nContent-Type: {PROTOBUF}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() +
               in_pieces(body) + b"0\r\n\r\n")
    for answered in (answer(body, PROTOBUF), chunked):
        s = sidecar(upstream(answering(answered)).url)
        for shard in range(7):
            mine = shard_of(name, 7) == shard
            rest = protobuf_shard(OTHERS, shard, 7)
            assert whole(s, target(shard, 7))[0] == rest + (family if mine else b"") + rest


def with_size(size, message):
    return varint(size) + message


NAME = field(1, "name")
WRONG = {
    "HTML": b"<html><body>Please log in.</body></html>\n",
    "JSON": b'{"status":"ok"}\n',
    "OK": b"OK",
    "text": METADATA,
    "truncated in the length": OTHERS + b"\x80",
    "truncated after the length": OTHERS + b"\x10",
    "truncated in the name": OTHERS + RAW[:4],
    "truncated after the name": OTHERS + RAW[:1 + len(NAME)],
    "truncated in a metric": OTHERS + RAW[:-3],
    "truncated before the last byte": OTHERS + RAW[:-1],
    "length of six bytes": OTHERS + bytes([RAW[0] | 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]) + RAW[1:],
    "length without an end": b"\xff" * 20,
    "length above 2 GiB": b"\xff\xff\xff\xff\x0f" + NAME,
    "tag without an end": OTHERS + delimited(NAME, b"\xff" * 12),
    "varint of eleven bytes": OTHERS + delimited(NAME, b"\x18" + b"\x80" * 10 + b"\x01"),
    "name as a varint": OTHERS + delimited(field(1, 5), METRIC),
    "name as a double": OTHERS + delimited(field(1, 1.0), METRIC),
    "help as a varint": OTHERS + delimited(NAME, field(2, 5)),
    "type as bytes": OTHERS + delimited(NAME, field(3, "gauge")),
    "metric as a varint": OTHERS + delimited(NAME, field(4, 5)),
    "metric as 32 bits": OTHERS + delimited(NAME, varint(4 << 3 | 5) + b"\0\0\0\0"),
    "unit as a varint": OTHERS + delimited(NAME, field(5, 5)),
    "a group without an end": OTHERS + delimited(NAME, varint(9 << 3 | 3)),
    "a group's end": OTHERS + delimited(NAME, varint(9 << 3 | 4)),
    "a wire type that is none": OTHERS + delimited(NAME, varint(9 << 3 | 7)),
    "field 0": OTHERS + delimited(NAME, varint(2) + varint(0)),
    "a field longer than its message": OTHERS + with_size(8, b"\x0a\x20" + b"x" * 32),
    "a message longer than its fields": OTHERS + with_size(len(NAME) + 1, NAME) + OTHERS,
    "metrics without a name": OTHERS + delimited(METRIC),
    "text after it": OTHERS + METADATA,
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_protobuf_that_is_wrong_fails_in_every_shard(upstream, sidecar, body):
    s = sidecar(upstream(answering(answer(body, PROTOBUF))).url)
    for path in ("/metrics", *(target(shard, 7) for shard in range(7))):
        for headers in ({}, GZIP):
            status, _, text = s.get(path, headers=headers)
            assert (status, text.count(b"\n")) == (502, 1), text


def test_protobuf_truncated_at_every_byte(upstream, sidecar):
    """Between two families only the framing shows that a body is truncated; inside one, the body does, too."""
    body = OTHERS + RAW
    borders = set(itertools.accumulate((len(raw) for _, raw, _ in messages(body)), initial=0))
    cuts = range(1, len(body) + 1)
    s = sidecar(upstream(answering(*(answer(body[:cut], PROTOBUF) for cut in cuts))).url)
    for cut in cuts:
        status, _, got = s.get(target(0, 1))
        assert (cut, status) == (cut, 200 if cut in borders else 502)
        assert status == 502 or got == body[:cut]


# Large families.


def large_family(name, size, name_at=0):
    """A family of about that size, its name after name_at bytes of metrics: (its length, pieces)."""
    metric = b"".join(field(4, labels(id=f"{i:06d}", path="/" + "x" * 80) + field(2, field(1, float(i))))
                      for i in range(9000))
    before = metric * (name_at // len(metric)) + field(4, labels(id="z" * (name_at % len(metric))))
    after = size // len(metric)
    pieces = [before if name_at else b"", field(1, name), field(2, "Help."), field(3, GAUGE), *[metric] * after]
    total = sum(map(len, pieces))
    return [varint(total), *pieces]


def serving(pieces, content_type=PROTOBUF):
    """Sends a body of these pieces, with its length."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {sum(map(len, pieces))}\r\n\r\n"

    def serve(u, connection):
        while u.read_request(connection):
            connection.sendall(head.encode())
            for piece in pieces:
                connection.sendall(piece)
    return serve


def sha256(pieces):
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


@pytest.mark.parametrize("name_at", [0, 500000], ids=["name first", "name late"])
def test_large_family_takes_no_memory(upstream, sidecar, name_at):
    """100 MB of one family, dropped and kept."""
    large, small = large_family("requests", 100 * MIB, name_at), gauge_family("up", {"a": 1})
    assert shard_of("requests", 2) == 0 and shard_of("up", 2) == 1
    s = sidecar(upstream(serving([small, *large, small])).url, "--set", "endpoint.default.timeout=60s")
    with Peak(s) as peak:
        for headers in ({}, GZIP):
            assert whole(s, target(1, 2), headers)[0] == small + small
        assert sha256([whole(s, target(0, 2))[0]]) == sha256(large)
        assert sha256([whole(s, target(0, 2), GZIP)[0]]) == sha256(large)
        assert sha256([whole(s, "/metrics")[0]]) == sha256([small, *large, small])
    assert peak.bytes < 6 * MIB


@pytest.mark.parametrize("limit, within, beyond", [(None, 900000, 1200000), ("64KiB", 60000, 70000)])
def test_late_name(upstream, sidecar, limit, within, beyond):
    """A name may be up to max_line bytes into its family; beyond, the scrape fails in every shard."""
    flags = ("--set", f"endpoint.default.max_line={limit}") if limit else ()
    fits, exceeds = (large_family("requests", 3 * MIB, at) for at in (within, beyond))
    s = sidecar(upstream(serving(fits)).url, *flags)
    for shard in range(3):
        assert whole(s, target(shard, 3))[0] == (b"".join(fits) if shard == shard_of("requests", 3) else b"")
    s = sidecar(upstream(serving(exceeds)).url, *flags)
    for path in ("/metrics", *(target(shard, 3) for shard in range(3))):
        status, _, text = s.get(path)
        assert status == 502 and b"max_line" in text


@pytest.mark.parametrize("headers", [{}, GZIP], ids=["identity", "gzip"])
def test_large_family_that_goes_wrong(upstream, sidecar, headers):
    """The scrape fails in the shards that drop it, and breaks off in the one that has sent some of it."""
    large = large_family("requests", 100 * MIB)
    for fault in (field(1, "another"), field(3, "gauge"), b"\xff" * 20):
        message = [*large[1:], fault, NAME * 10]
        s = sidecar(upstream(serving([varint(sum(map(len, message))), *message])).url)
        assert s.get(target(1, 2), headers=headers)[0] == 502
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            s.get(target(0, 2), headers=headers)


# Real services.


def parsed(body, content_type):
    """{family: as read by Debian's python3-prometheus-client}. Go's client has a gauge and a counter of one name."""
    openmetrics = content_type.startswith("application/openmetrics-text")
    module = prometheus_client.openmetrics.parser if openmetrics else prometheus_client.parser
    found = {}
    for family in module.text_string_to_metric_families(body.decode()):
        # As text, so that NaN equals NaN.
        found.setdefault(family.name, []).append(f"{family.type} {family.documentation} {family.unit} {family.samples}")
    return found


def check_recorded(s, path, body, content_type, headers):
    """Every shard is as expected, byte for byte; together they are the body, each family whole in one shard."""
    families = parsed(body, content_type)
    for count in COUNTS:
        parts = [whole(s, target(shard, count, path), headers) for shard in range(count)]
        assert parts == [(text_shard(body, shard, count), content_type) for shard in range(count)]
        rows = [line for part, _ in parts for line in lines(part) if line.rstrip() != b"# EOF"]
        assert sorted(rows) == sorted(line for line in lines(body) if line.rstrip() != b"# EOF")
        together = [parsed(part, content_type) for part, _ in parts]
        assert {name: family for part in together for name, family in part.items()} == families
        assert sum(map(len, together)) == len(families), "a family is in two shards"


def check_alive(s, path, url, accept, headers):
    """The families of the service now; those that it adds meanwhile are seen in the next round."""
    def same():
        names = sample_names(services.fetch(url, accept)[1])
        bodies = [whole(s, target(shard, 7, path), {"Accept": accept, **headers})[0] for shard in range(7)]
        shards = list(map(sample_names, bodies))
        assert sum(map(len, shards)) == len(set().union(*shards)), "a series name is in two shards"
        return names and set().union(*shards) == names
    wait_until(same, "the shards do not add up to the service", 20)


SERVICES = {
    # how it is started, the query of a scrape, Accept, Content-Type
    "node_exporter": (services.node_exporter, "", TEXT, TEXT),
    "prometheus": (services.prometheus, "", "*/*", TEXT),
    "federate": (services.federation, services.FEDERATED, "*/*", TEXT),
    "pushgateway": (services.pushgateway, "", OPENMETRICS, TEXT),
    "blackbox_exporter": (services.blackbox_exporter, "", "*/*", TEXT),
    "blackbox_probe": (services.blackbox_probe, "module=tcp_connect&target={address}", "*/*", TEXT),
    "haproxy": (services.haproxy, "", "*/*", "text/plain; version=0.0.4"),
    "python": (services.python_client, "", OPENMETRICS, "application/openmetrics-text; version=0.0.1; charset=utf-8"),
    "node": (services.node_client, "", OPENMETRICS, OPENMETRICS),
}


@pytest.mark.parametrize("start, query, accept, content_type", SERVICES.values(), ids=SERVICES)
def test_real_service(process, tmp_path, upstream, sidecar, start, query, accept, content_type):
    listener = upstream(answering(answer(b"")))  # for probes
    query = query.format(address=listener.url.split("/")[2])
    url = start(process, tmp_path)
    scraped = f"{url}?{query}" if query else url
    got_type, body = services.fetch(scraped, accept)
    # Later versions of Prometheus than Debian's say how they escape names.
    assert got_type.split("; escaping=")[0] == content_type and len(sample_names(body)) > 5
    content_type = got_type
    path = f"/metrics?{query}" if query else "/metrics"
    recorded = upstream(answering(answer(body, content_type)))
    s, alive = sidecar(recorded.url), sidecar(url)
    for headers in ({}, GZIP):
        check_recorded(s, path, body, content_type, headers)
        check_alive(alive, path, scraped, accept, headers)
    # The service gets no sharding parameter, and all others.
    targets = {request.split(b" ")[1].decode() for request in recorded.requests}
    assert targets == {f"/metrics?{query}" if query else "/metrics"}


def test_the_real_services_have_what_is_needed(process, tmp_path):
    """Without these the test above would prove less than it claims."""
    body = services.fetch(services.python_client(process, tmp_path), OPENMETRICS)[1]
    for kind in ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"):
        assert re.search(rf"^# TYPE \S+ {kind}$".encode(), body, re.M), kind
    assert re.search(rb"_created(\{.*\})? ", body) and re.search(rb"^# UNIT ", body, re.M)
    assert re.search(rb'_total\{.*\} \S+ # \{span_id="# \{"', body) and re.search(rb"_bucket\{.*\} \S+ # \{", body)
    body = services.fetch(services.node_client(process, tmp_path), OPENMETRICS)[1]
    assert re.search(rb"_total\{.*\} \S+ # \{", body) and re.search(rb"_bucket\{.*\} \S+ # \{", body)
