# SPDX-License-Identifier: Apache-2.0
"""Metrics of snapshots: how scrapes found them, and how their fetches ended."""
import pytest

from conftest import answer, wait_until
from exposition import target
from test_snapshots import (BODY, LARGE, Scraping, Metrics, Service, leave, send_request, service, snapshots,  # fixtures
                            waiting)
from test_telemetry import after, samples, value


def counts(sidecar):
    """{hits, waits, misses, bypassed, or the result of a fetch: count}, without zeros."""
    found = {}
    for (name, *labels), value in samples(sidecar).items():
        if name.startswith("scrapeshard_snapshot_") and name.endswith("_total") and value:
            word = name.removeprefix("scrapeshard_snapshot_").removesuffix("_total")
            assert dict(labels)["endpoint"] == "app"
            found[dict(labels)["result"] if word == "fetches" else word] = value
    return found


def bodies_counted(sidecar, body):
    """How often the body is in each of the counters of what came from the upstream, which agree."""
    series = sum(not line.startswith(b"#") for line in body.splitlines())
    found = {value(sidecar, "upstream_body_bytes_count", endpoint="app"),
             value(sidecar, "upstream_received_bytes_total", endpoint="app") / len(body),
             value(sidecar, "series_seen_total", endpoint="app") / series}
    assert len(found) == 1, found
    return found.pop()


def test_kept(service, snapshots):
    s = snapshots(service)
    for i in range(3):
        assert s.get(target(i, 3))[0] == 200
    assert counts(s) == {"misses": 1, "hits": 2, "kept": 1}


def test_waits(service, snapshots):
    """Scrapes that wait are hits, too; those that find a ready snapshot do not wait."""
    s = snapshots(service)
    service.hold()
    scrapes = [Scraping(s, target(i, 3)) for i in range(3)]
    waiting(s, 3)
    service.go_on()
    assert [scrape.result()[0] for scrape in scrapes] == [200] * 3
    assert s.get()[2] == BODY
    assert counts(s) == {"misses": 1, "hits": 3, "waits": 2, "kept": 1}


@pytest.mark.parametrize("response, result, status", [
    (answer(b"no\n", status="404 Not Found"), "passed_on", 404), (answer(b"<html>\n"), "failed", 502)])
def test_not_kept(upstream, snapshots, response, result, status):
    s = snapshots(Service(upstream, response=response))
    assert [s.get()[0] for _ in range(2)] == [status] * 2
    assert counts(s) == {"misses": 2, result: 2}


def test_over_budget(upstream, snapshots):
    """All scrapes that waited are streamed, and all that come before it expires."""
    service = Service(upstream, LARGE)
    s = snapshots(service, before="[web]\nmax_snapshot_bytes = 4MiB\n")
    service.hold()
    scrapes = [Scraping(s, target(i, 2)) for i in range(2)]
    waiting(s, 2)
    service.go_on()
    assert [scrape.result()[0] for scrape in scrapes] == [200] * 2
    assert s.get(target(0, 2))[0] == 200
    after(s, 3, "app")
    assert counts(s) == {"misses": 2, "hits": 1, "waits": 1, "over_budget": 1, "bypassed": 3}
    assert bodies_counted(s, LARGE) == 3


@pytest.mark.parametrize("how", ["times out", "leaves"])
def test_body_is_counted_once_when_its_first_scrape_is_gone(service, snapshots, how):
    s = snapshots(service, "timeout = 60s")
    service.hold()
    first = send_request(s, target(0, 2), **({"X-Prometheus-Scrape-Timeout-Seconds": "1"} if how == "times out" else {}))
    waiting(s, 1)
    second = Scraping(s, target(1, 2))
    wait_until(lambda: counts(s).get("waits") or Metrics(s)["scrapeshard_scrapes_in_flight"] < 2, "not two scrapes")
    if how == "leaves":
        leave(first, True)
    waiting(s, 1)
    service.go_on()
    assert second.result()[0] == 200 and s.get()[2] == BODY
    after(s, 3, "app")
    assert bodies_counted(s, BODY) == 1
    first.close()


def test_no_room_from_the_start(service, snapshots):
    s = snapshots(service, before="[web]\nmax_snapshots = 0\n")
    assert s.get()[2] == BODY
    assert counts(s) == {"misses": 1, "bypassed": 1}


def ages(s):
    return [line for line in s.admin("/metrics")[2].decode().splitlines() if line.startswith("scrapeshard_snapshot_age_seconds{")]


def test_no_snapshot_has_no_age(service, sidecar, config):
    """Once max_age is off: an alert on old snapshots would never end."""
    text = f"[endpoint app]\nupstream = {service.url}\n"
    s = sidecar(config=config(text + "max_age = 1h\n"))
    assert s.get()[2] == BODY and len(ages(s)) == 1
    config(text)
    s.wait_line("msg=reloaded")
    assert s.get()[2] == BODY and not ages(s)


def test_no_snapshot_has_no_age_though_a_scrape_waited_for_one(service, snapshots, config):
    s = snapshots(service)
    service.hold()
    scrape = Scraping(s)
    waiting(s, 1)
    config(f"[process]\nwatch_files = off\n[endpoint app]\nupstream = {service.url}\n")
    assert s.admin("/-/reload", "POST")[0] == 200
    service.go_on()
    assert scrape.result()[2] == BODY and not ages(s)


def test_cancelled(service, snapshots):
    s = snapshots(service)
    service.hold()
    leaving = send_request(s, target(0, 3))
    waiting(s, 1)
    leave(leaving, True)
    wait_until(lambda: counts(s) == {"misses": 1, "cancelled": 1}, "the fetch is not cancelled")
    assert Metrics(s)["scrapeshard_snapshots"] == 0
    service.go_on()


def test_without_max_age_nothing_is_counted(service, sidecar):
    s = sidecar(service.url)
    assert s.get()[2] == BODY
    assert counts(s) == {}
