# SPDX-License-Identifier: Apache-2.0
"""Which shards a scrape requests, and what of its query is passed on to the upstream."""
import re
import urllib.parse

import pytest

from conftest import Sidecar, Upstream, answer, answering

pytestmark = pytest.mark.xdist_group("params")

FAMILIES = 60
BODY = b"".join(b"# TYPE family_%02d gauge\nfamily_%02d{a=\"1\"} 1\nfamily_%02d{a=\"2\"} 2\n" % (i, i, i)
                for i in range(FAMILIES))


@pytest.fixture(scope="module")
def running():
    """One sidecar and one service for all these tests."""
    serve = answering(answer(BODY))
    u = Upstream(lambda connection: serve(u, connection))
    s = Sidecar(u.url)
    s.upstream = u
    yield s
    assert s.stop() == 0, s.lines[-5:]
    u.close()


def request_target(upstream):
    """The target of the last request that the upstream got."""
    return upstream.requests[-1].split(b"\r\n")[0].decode("latin-1").removeprefix("GET ").removesuffix(" HTTP/1.1")


def ask(sidecar, query):
    status, _, body = sidecar.get(f"/metrics?{query}")
    assert status == 200, body
    return body


def of_shards(sidecar, numbers, count):
    """The union of these shards, in the body's order, from scrapes of one shard each."""
    lines = set()
    for n in numbers:
        lines.update(ask(sidecar, f"shard={n}&shard_count={count}").splitlines(True))
    return b"".join(line for line in BODY.splitlines(True) if line in lines)


GOOD = [
    # query, the shards it names, shard_count
    ("shard=3&shard_count=8", [3], 8),
    ("shard_count=8&shard=3", [3], 8),
    ("shard=0&shard_count=1", [0], 1),
    ("shard=0,4,7&shard_count=8", [0, 4, 7], 8),
    ("shard=7,4,0&shard_count=8", [0, 4, 7], 8),
    ("shard=0%2C4%2C7&shard_count=8", [0, 4, 7], 8),
    ("shard=0%2c4&shard_count=8", [0, 4], 8),
    ("shard=0-5&shard_count=8", [0, 1, 2, 3, 4, 5], 8),
    ("shard=0%2D5&shard_count=8", [0, 1, 2, 3, 4, 5], 8),
    ("shard=2-2&shard_count=8", [2], 8),
    ("shard=5,0-2&shard_count=8", [0, 1, 2, 5], 8),
    ("shard=0-2,5-6&shard_count=8", [0, 1, 2, 5, 6], 8),
    ("shard=0-7&shard_count=8", list(range(8)), 8),
    ("shard=%33&shard_count=%38", [3], 8),
    ("sh%61rd=3&shard%5Fcount=8", [3], 8),
    ("%73%68%61%72%64=3&shard_count=8", [3], 8),
    ("a=b&shard=3&c=d&shard_count=8&e", [3], 8),
    ("&&shard=3&&shard_count=8&&", [3], 8),
    ("shard=003&shard_count=08", [3], 8),
]


@pytest.mark.parametrize("query, numbers, count", GOOD, ids=[g[0] for g in GOOD])
def test_shards(running, query, numbers, count):
    assert ask(running, query) == of_shards(running, numbers, count)


@pytest.mark.parametrize("query", ["", "a=b", "&", "Shard=3", "shards=3&x=", "SHARD=3&SHARD_COUNT=8", "xshard=3",
                                   "shard%20=3", "%zz=3", "shard%=1", "shard%2=1"])
def test_no_shard_is_the_whole_body(running, query):
    assert ask(running, query) == BODY


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 80, 1000, 65536])
def test_union_is_the_body_and_shards_are_disjoint(running, count):
    """Every line is in one shard, in order, none twice; empty shards are complete responses too."""
    if count <= 80:
        parts = [ask(running, f"shard={i}&shard_count={count}") for i in range(count)]
    else:
        step = count // 16
        parts = [ask(running, f"shard={i}-{min(i + step, count) - 1}&shard_count={count}")
                 for i in range(0, count, step)]
    lines = [line for part in parts for line in part.splitlines(True)]
    assert sorted(lines) == sorted(BODY.splitlines(True))
    for part in parts:
        at = -1
        for line in part.splitlines(True):
            at = BODY.index(line, at + 1)
    for i in range(FAMILIES):
        assert sum(b"family_%02d" % i in part for part in parts) == 1, f"family {i} was split"


BAD = [
    # query, what the reason must contain
    ("shard=3", "shard.*shard_count"),
    ("shard_count=8", "shard_count.*shard"),
    ("shard", "shard.*shard_count"),
    ("shard=3&count=8", "shard.*shard_count"),
    ("shard=3&shard_coun%74s=8", "shard.*shard_count"),
    *((f"shard={value}&shard_count=8", r"\bshard\b.*") for value in (
        "", "abc", "-1", "+1", "%2B1", "1%20", "%201", "1+", "1%00", "1%00x", "%00", "1.0", "1.", "0x1", "1e3", "1,,2",
        ",1", "1,", ",", "1-", "-", "--", "1--2", "5-3", "0,0", "0-3,2", "1;2", "1:2", "1%0a", "%0a1", "1%09", "*",
        "all",
        "%D9%A3", "%EF%BC%93", "1=2", "=1", "0-3-5", "1%2", "1%", "%", "%zz", "%2", "1%252", "\"1\"", "'1'", "1%22")),
    *((f"shard={value}&shard_count=8", r"\bshard\b.*8.*0 to 7") for value in (
        "8", "9", "65536", "4294967296", "4294967299", "18446744073709551616", "18446744073709551619",
        "99999999999999999999", "0-8", "7-8", "0,8", "0-4294967295")),
    *((f"shard=0&shard_count={value}", r"shard_count.*1 to 65536") for value in (
        "", "abc", "0", "00", "-1", "-8", "+8", "%2B8", "8%20", "%208", "8+", "8%00", "8.0", "0x8", "1e1", "8,8", "1-8",
        "65537", "4294967296", "4294967297", "18446744073709551617", "99999999999999999999", "8;", "8=", "8%0a",
        "%22")),
    ("shard=0&shard_count=8%", "shard_count.*percent"),
    ("shard=0&shard_count=%8", "shard_count.*percent"),
    ("shard=0&shard_count=%zz", "shard_count.*percent"),
    ("shard=%zz&shard_count=8", "shard.*percent"),
    ("shard=1&shard=1&shard_count=8", r"\bshard\b.*once"),
    ("shard=1&shard=2&shard_count=8", r"\bshard\b.*once"),
    ("shard=1&sh%61rd=2&shard_count=8", r"\bshard\b.*once"),
    ("shard=1&shard_count=8&shard", r"\bshard\b.*once"),
    ("shard=1&shard_count=8&shard_count=8", "shard_count.*once"),
    ("shard=1&shard_count=8&shard_count=", "shard_count.*once"),
    ("shard=1&shard_count=8&shard%5fcount=9", "shard_count.*once"),
    ("shard&shard_count=8", r"\bshard: "),
    ("shard=1&shard_count", "shard_count: "),
]


@pytest.mark.parametrize("query, reason", BAD, ids=[b[0] for b in BAD])
def test_junk_is_refused(running, query, reason):
    """In one line that names the parameter and says what was expected; the upstream gets no request."""
    before = len(running.upstream.requests)
    status, headers, body = running.get(f"/metrics?{query}")
    text = body.decode()
    assert status == 400, text
    assert headers["Content-Type"].startswith("text/plain")
    assert re.fullmatch(r"[^\n\0]+\n", text), text
    assert re.search(reason, text) and re.search("expected|right", text), text
    assert len(running.upstream.requests) == before


@pytest.mark.parametrize("query", [b"shard=1\x01&shard_count=8", b"a=\tb", b"a=\x7f", b"a=b c"])
def test_control_characters_are_refused(running, query):
    before = len(running.upstream.requests)
    with running.connect() as c:
        c.sendall(b"GET /metrics?" + query + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = c.makefile("rb").read()
    assert got.startswith(b"HTTP/1.1 400 ") and b"percent-encode it" in got
    assert len(running.upstream.requests) == before


def test_nothing_is_left_of_a_refused_request(running):
    """The same responses as before, on the same connection."""
    for query, _ in BAD[:20]:
        assert running.get(f"/metrics?{query}")[0] == 400
    assert ask(running, "") == BODY


# What is passed on to the upstream.

PASSED = [
    # query, the query that the upstream gets; None: none, not even a "?"
    ("", None),
    ("shard=3&shard_count=8", None),
    ("a=b", "a=b"),
    ("shard=3&shard_count=8&a=b", "a=b"),
    ("a=b&shard=3&shard_count=8", "a=b"),
    ("a=1&shard=3&b=2&shard_count=8&c=3", "a=1&b=2&c=3"),
    ("c=3&shard_count=8&b=2&shard=3&a=1", "c=3&b=2&a=1"),
    ("collect[]=cpu&shard=3&collect[]=meminfo&shard_count=8", "collect[]=cpu&collect[]=meminfo"),
    ("collect%5B%5D=cpu&shard=3&shard_count=8", "collect%5B%5D=cpu"),
    ("a=%2f%2F%20+%zz%", "a=%2f%2F%20+%zz%"),
    ("a=1&a=1&a=2", "a=1&a=1&a=2"),
    ("a&b=&=c&=", "a&b=&=c&="),
    ("a=b=c&shard=3&shard_count=8", "a=b=c"),
    ("a;b=c&shard=3&shard_count=8", "a;b=c"),
    ("shard=3&shard_count=8;a=b", "400"),
    ("a=?/&b=:@!$'()*,;~-._", "a=?/&b=:@!$'()*,;~-._"),
    ("xshard=1&shardx=2&shard_counts=3", "xshard=1&shardx=2&shard_counts=3"),
    ("match=up%7Bshard%3D%223%22%7D", "match=up%7Bshard%3D%223%22%7D"),
    ("a=" + "x" * 4000, "a=" + "x" * 4000),
]


@pytest.mark.parametrize("query, passed", PASSED, ids=[p[0][:40] for p in PASSED])
def test_rest_of_the_query_goes_on(running, query, passed):
    """Byte for byte and in order, without our parameters."""
    status = running.get(f"/metrics?{query}")[0]
    if passed == "400":
        assert status == 400
    else:
        assert status == 200
        assert request_target(running.upstream) == ("/metrics" if passed is None else f"/metrics?{passed}")


@pytest.mark.parametrize("query", ["a=1&&b=2", "&a=1", "a=1&", "a=1&shard=3&&shard_count=8&b=2", "&&"])
def test_empty_parts_lose_nothing(running, query):
    """They mean nothing, and may be passed on or not; what is between them is passed on in order."""
    assert running.get(f"/metrics?{query}")[0] == 200
    passed = request_target(running.upstream).removeprefix("/metrics").removeprefix("?")
    expected = [part for part in query.split("&") if part and not part.startswith("shard")]
    assert [part for part in passed.split("&") if part] == expected


@pytest.mark.parametrize("query, passed", [
    ("", "/metrics?format=prometheus&x=%2F"),
    ("a=b", "/metrics?format=prometheus&x=%2F&a=b"),
    ("shard=3&shard_count=8", "/metrics?format=prometheus&x=%2F"),
    ("a=b&shard=3&shard_count=8&c=d", "/metrics?format=prometheus&x=%2F&a=b&c=d"),
])
def test_upstream_with_a_query(upstream, sidecar, query, passed):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url + "?format=prometheus&x=%2F")
    ask(s, query)
    assert request_target(u) == passed


@pytest.mark.parametrize("path", ["/", "/a/../b", "/a//b", "/a%2Fb;v=1/metrics", "/probe"])
def test_upstream_path_is_kept(upstream, sidecar, path):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url.replace("/metrics", path))
    ask(s, "a=b")
    assert request_target(u) == f"{path}?a=b"


def test_upstream_without_a_path(upstream, sidecar):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url.removesuffix("/metrics"))
    ask(s, "")
    assert request_target(u) == "/"
    ask(s, "a=b")
    assert request_target(u) == "/?a=b"


# Settings.


def test_names_are_configurable(upstream, sidecar, running):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url, "--set", "sharding.shard_param=__shard", "--set", "sharding.shard_count_param=of.all-of")
    assert ask(s, "__shard=3&of.all-of=8&shard=junk&shard_count=") == ask(running, "shard=3&shard_count=8")
    assert request_target(u) == "/metrics?shard=junk&shard_count="
    assert ask(s, "shard=3&shard_count=8") == BODY
    for query in ("__shard=3", "__shard=3&shard_count=8", "__shard=8&of.all-of=8"):
        status, _, body = s.get(f"/metrics?{query}")
        assert status == 400 and b"__shard" in body


def test_require_shard(upstream, sidecar):
    s = sidecar(upstream(answering(answer(BODY))).url, "--set", "sharding.require_shard=true")
    for query in ("", "?", "?a=b", "?shards=1"):
        status, _, body = s.get(f"/metrics{query}")
        assert status == 400 and b"require_shard" in body and b"shard=" in body, body
    assert ask(s, "shard=0-7&shard_count=8") == BODY


def test_log_names_the_shards(upstream, sidecar):
    """As requested, decoded."""
    s = sidecar(upstream(answering(answer(BODY))).url)
    ask(s, "shard=0%2C4-6&shard_count=8")
    s.wait_line(r'msg=scrape .*outcome=ok .*shard="?0,4-6"? shard_count=8 ')


def test_prometheus_encoding(running):
    """A scrape config's params, as Go's url.Values writes them."""
    query = urllib.parse.urlencode([("collect[]", "cpu"), ("shard", "0,4,7"), ("shard_count", "8")])
    assert ask(running, query) == of_shards(running, [0, 4, 7], 8)
    ask(running, query)
    assert request_target(running.upstream) == "/metrics?collect%5B%5D=cpu"
