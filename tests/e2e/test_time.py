# SPDX-License-Identifier: Apache-2.0
"""What takes minutes: the sidecar's monotonic clock is moved forward."""
import http.client

import pytest

from conftest import SLOW, answer, answering, wait_until
from steer import Steer

BODY = b"# TYPE up gauge\nup 1\n"
PROMETHEUS_KEEPS = 300  # seconds that Prometheus keeps an idle connection


@pytest.fixture
def steer(tmp_path):
    return Steer(tmp_path / "steer")


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


class Kept:
    """A scraper that does not reconnect."""

    def __init__(self, sidecar):
        self.connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=20 * SLOW)
        self.connection.auto_open = False
        self.connection.connect()

    def scrape(self):
        self.connection.request("GET", "/metrics")
        response = self.connection.getresponse()
        return response.status, response.read()


def settle(sidecar):
    """Waits for an iteration of the event loop, in which timers that are due have run."""
    for _ in range(2):
        assert sidecar.admin("/-/healthy")[0] == 200


@pytest.mark.parametrize("idle", [60, PROMETHEUS_KEEPS, 310])
def test_idle_connections_are_kept_as_long_as_prometheus_keeps_them(sidecar, service, steer, idle):
    """On both sides: the scraper closes first, so that no scrape meets a connection that is being closed."""
    s = sidecar(service.url, env=steer.environment)
    kept = Kept(s)
    for _ in range(3):
        assert kept.scrape() == (200, BODY)
        steer.forward(idle)
        settle(s)
    assert kept.scrape() == (200, BODY)
    assert service.connections == 1
    kept.connection.close()


def test_idle_connections_are_not_kept_for_ever(sidecar, service, steer):
    s = sidecar(service.url, env=steer.environment)
    kept = Kept(s)
    assert kept.scrape() == (200, BODY)
    steer.forward(1000)
    settle(s)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        kept.scrape()
    assert s.get()[2] == BODY
    assert service.connections == 2
    kept.connection.close()


def test_signals_are_nothing_that_a_scrape_touches(sidecar, service, steer):
    """Without CURLOPT_NOSIGNAL libcurl would change the action of SIGPIPE at every call."""
    s = sidecar(service.url, env=steer.environment)
    assert s.get()[2] == BODY
    before = steer.actions()
    assert before, "nothing is counted"
    for _ in range(10):
        assert s.get()[2] == BODY
    assert steer.actions() == before


def test_shards_that_nobody_scrapes_any_more(sidecar, service, steer):
    """With the default interval of a minute: unknown at first, missing after three."""
    s = sidecar(service.url, env=steer.environment)

    def state(name):
        text = s.admin("/metrics")[2].decode()
        return next(float(line.split()[-1]) for line in text.splitlines()
                    if line.startswith(f"scrapeshard_{name}{{") and 'shard_count="4"' in line)
    for shard in range(3):
        assert s.get(f"/metrics?shard={shard}&shard_count=4")[0] == 200
    wait_until(lambda: (state("shards_unknown"), state("shards_missing")) == (1, 0), "shard 3 is not unknown")
    steer.forward(120)
    assert (state("shards_unknown"), state("shards_missing")) == (1, 0)
    steer.forward(60)
    assert (state("shards_unknown"), state("shards_missing")) == (0, 4)
    assert s.get("/metrics?shard=3&shard_count=4")[0] == 200
    wait_until(lambda: state("shards_missing") == 3, "shard 3 is missing still")
