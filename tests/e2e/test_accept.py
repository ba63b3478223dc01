# SPDX-License-Identifier: Apache-2.0
"""Protobuf and OpenMetrics 2.0 are not requested where the key cannot be honoured in them."""
import http.client

import pytest

from conftest import TEXT, answer, answering, wait_until
from exposition import PROTOBUF, COUNTER, delimited, field, labels

OM2 = "application/openmetrics-text;version=2.0.0"
OM1, OM0 = "application/openmetrics-text;version=1.0.0", "application/openmetrics-text;version=0.0.1"
TEXT1, TEXT0, UTF8 = "text/plain;version=1.0.0", "text/plain;version=0.0.4", ";escaping=allow-utf-8"
PROTO = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

# What Prometheus sends by version, and others may: (Accept, the same without both; None: no Accept at all).
ACCEPTS = {
    "2.42": [f"{OM1},{OM0};q=0.75,{TEXT0};q=0.5,*/*;q=0.1"] * 2,
    "2.42 histograms": [f"{PROTO},{OM1};q=0.8,{OM0};q=0.75,{TEXT0};q=0.5,*/*;q=0.1",
                        f"{OM1};q=0.8,{OM0};q=0.75,{TEXT0};q=0.5,*/*;q=0.1"],
    "2.49": [f"{OM1};q=0.5,{OM0};q=0.4,{TEXT0};q=0.3,*/*;q=2"] * 2,
    "2.53": [f"{OM1};q=0.5,{OM0};q=0.4,{TEXT0};q=0.3,*/*;q=0.2"] * 2,
    "2.53 histograms": [f"{PROTO};q=0.5,{OM1};q=0.4,{OM0};q=0.3,{TEXT0};q=0.2,*/*;q=0.1",
                        f"{OM1};q=0.4,{OM0};q=0.3,{TEXT0};q=0.2,*/*;q=0.1"],
    "3.0": [f"{PROTO}{UTF8};q=0.6,{OM1}{UTF8};q=0.5,{OM0}{UTF8};q=0.4,{TEXT1}{UTF8}{UTF8};q=0.4,*/*;q=0.2",
            f"{OM1}{UTF8};q=0.5,{OM0}{UTF8};q=0.4,{TEXT1}{UTF8}{UTF8};q=0.4,*/*;q=0.2"],
    "3.5": [f"{OM1}{UTF8};q=0.6,{OM0};q=0.5,{TEXT1}{UTF8};q=0.4,{TEXT0};q=0.3,*/*;q=0.2"] * 2,
    "3.5 protobuf": [f"{PROTO};q=0.6,{OM1}{UTF8};q=0.5,{OM0};q=0.4,{TEXT1}{UTF8};q=0.3,{TEXT0};q=0.2,*/*;q=0.1",
                     f"{OM1}{UTF8};q=0.5,{OM0};q=0.4,{TEXT1}{UTF8};q=0.3,{TEXT0};q=0.2,*/*;q=0.1"],
    "3.15 openmetrics2": [
        f"{OM2};q=0.7,{OM1}{UTF8};q=0.6,{OM0};q=0.5,{TEXT1}{UTF8};q=0.4,{TEXT0};q=0.3,*/*;q=0.2",
        f"{OM1}{UTF8};q=0.6,{OM0};q=0.5,{TEXT1}{UTF8};q=0.4,{TEXT0};q=0.3,*/*;q=0.2"],
    "3.15 both": [f"{PROTO};q=0.7,{OM2};q=0.6,{TEXT0};q=0.3,*/*;q=0.2", f"{TEXT0};q=0.3,*/*;q=0.2"],
    "in the middle": [f"{TEXT0}, {PROTO};q=0.6, */*;q=0.1", f"{TEXT0}, */*;q=0.1"],
    "at the end": [f"{TEXT0};q=0.2 ,{PROTO}", f"{TEXT0};q=0.2 "],
    "twice": [f"{PROTO}, {PROTO};q=0.1, {TEXT0}", TEXT0],
    "in capitals": [f"{TEXT0},Application/VND.Google.Protobuf ;q=1", TEXT0],
    "a comma in quotes": [f'{TEXT0};x="a,{PROTO}",{PROTO};x="\\",{OM0}",{OM1}', f'{TEXT0};x="a,{PROTO}",{OM1}'],
    "alike": ["application/vnd.google.protobuf2,text/vnd.google.protobuf,application/vnd.google"] * 2,
    "odd": [f",{TEXT0}, ,*/*"] * 2,
    "nothing else": [PROTO, None],
    "none": [None, None],
}
UNFIT = ["sharding.key=name"], ["sharding.key=labels", "sharding.source_labels=path, __name__"], \
    ["sharding.key=labels", "sharding.source_labels=le"]
FIT = [], ["sharding.key=declared"], ["sharding.key=labels", "sharding.source_labels=path"]


@pytest.fixture
def forwarded(upstream, sidecar):
    """forwarded(settings, *accepts) scrapes with these Accept headers and returns those that the upstream got."""
    def scrape(settings, *accepts):
        service = upstream(answering(answer(b"up 1\n", TEXT)))
        connection = http.client.HTTPConnection(
            "127.0.0.1", sidecar(service.url, *(f"--set={setting}" for setting in settings)).port)
        got = []
        for lines in accepts:
            connection.putrequest("GET", "/metrics")
            for line in lines:
                connection.putheader("Accept", line)
            connection.endheaders()
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, b"up 1\n")
            head = service.requests[-1].decode().split("\r\n")
            got.append([line.split(": ", 1)[1].strip(" ") for line in head if line.lower().startswith("accept:")])
        connection.close()
        return got
    return scrape


@pytest.mark.parametrize("settings", UNFIT, ids=" ".join)
def test_neither_is_offered(forwarded, settings):
    offered = [[accept] if accept else [] for accept, _ in ACCEPTS.values()]
    wanted = [[accept.strip(" ")] if accept else [] for _, accept in ACCEPTS.values()]
    assert forwarded(settings, *offered) == wanted


@pytest.mark.parametrize("settings", FIT, ids=" ".join)
def test_accept_is_unchanged(forwarded, settings):
    offered = [[accept] if accept else [] for accept, _ in ACCEPTS.values()]
    assert forwarded(settings, *offered) == [[accept.strip(" ") for accept in lines] for lines in offered]


def test_each_of_several_headers(forwarded):
    assert forwarded(UNFIT[0], [f"{PROTO},{OM1}", PROTO, TEXT0]) == [[OM1, TEXT0]]


FAMILY = delimited(field(1, "up"), field(3, COUNTER), field(4, labels(path="/") + field(3, field(1, 1.0))))


@pytest.mark.parametrize("body, content_type, name", [
    (FAMILY, PROTOBUF, "protobuf"), (b"up 1\n# EOF\n", OM2, "openmetrics 2.0"),
], ids=["protobuf", "openmetrics 2.0"])
@pytest.mark.parametrize("settings", UNFIT, ids=" ".join)
def test_either_all_the_same_fails_in_every_shard(upstream, sidecar, settings, body, content_type, name):
    s = sidecar(upstream(answering(answer(body, content_type))).url, *(f"--set={setting}" for setting in settings))
    for query in ("", "?shard=0&shard_count=2", "?shard=1&shard_count=2"):
        status, _, reason = s.get(f"/metrics{query}")
        assert status == 502
        assert f"a key that does not work in {name}, where".encode() in reason
    wait_until(lambda: s.count(f"does not work in {name}") == 3, "the log does not say so")
