# SPDX-License-Identifier: Apache-2.0
"""Another number of shards: counts that are not expected are refused, and an announced reshard (contrib/docs/resharding.md)
moves every series once, at one moment, however long its servers take to change."""
import collections
import itertools
import json
import signal
import time

import pytest

from conftest import BINARY, OPENMETRICS, ROOT, SLOW, answer, answering, run, wait_until
from exposition import PROTOBUF, shard_of, target
from prometheus import CALM, PATIENCE, Prometheus

GUIDE = (ROOT / "contrib/docs/resharding.md").read_text()
BODY = b"".join(b"# TYPE family_%d gauge\n" % i + b"".join(b'family_%d{id="%d"} %d\n' % (i, j, i) for j in range(2))
                for i in range(60))
# Delimited MetricFamily messages with a name and a gauge each.
PROTOBUF_BODY = b"".join(bytes([len(m)]) + m for m in (
    b"\n" + bytes([len(name)]) + name + b"\x18\x01\x22\x0b\x12\x09\x09" + bytes(8) for name in (b"family_%d" % i for i in range(20))))
LINES = sorted(BODY.splitlines())
INTERVAL = 2 * round(5 * SLOW)  # seconds that the sidecar assumes between two scrapes


class Fleet:
    """A sidecar, and the servers that scrape it, each {shard: shard_count}, in this order."""

    def __init__(self, sidecar, config, url, counts, more="", interval=f"{INTERVAL}s"):
        self.config, self.url = config, url
        self.more = f"{more}[admin]\nscrape_interval = {interval}\n"
        self.path = self.write(*counts)
        self.side = sidecar(config=self.path)
        self.servers = {}

    def write(self, count, to=None):
        """The announcements are the guide's own, as far as it has them."""
        sharding = f"[sharding]\nshard_count = {count}\n" + (f"reshard_to = {to}\n" if to else "")
        assert (count, to) == (5, 3) or f"```ini\n{sharding}```" in GUIDE
        return self.config(f"[endpoint app]\nupstream = {self.url}\n{self.more}{sharding}[process]\nwatch_files = off\n")

    def announce(self, *counts):
        self.write(*counts)
        assert self.side.admin("/-/reload", "POST")[0] == 200

    def ask(self, shard, count):
        status, _, body = self.side.get(target(shard, count))
        return status, body.splitlines()

    def round(self):
        """One scrape of each server: together they are the body, once. The number of families that each got."""
        answers = {shard: self.ask(shard, count) for shard, count in self.servers.items()}
        assert {status for status, _ in answers.values()} == {200}
        assert sorted(itertools.chain(*(lines for _, lines in answers.values()))) == LINES
        return {shard: len(lines) for shard, (_, lines) in answers.items()}

    def expect(self, count):
        """Each server gets its shard of this count, and those beyond it nothing."""
        sizes = collections.Counter(shard_of(f"family_{i}", count) for i in range(60))
        assert self.round() == {shard: 3 * sizes[shard] for shard in self.servers}

    def metrics(self):
        return self.side.admin("/metrics")[2].decode()

    def page(self):
        return self.side.admin("/")[2].decode()


@pytest.fixture
def fleet(sidecar, config, upstream):
    return lambda *counts, **more: Fleet(sidecar, config, upstream(answering(answer(BODY))).url, counts, **more)


def test_a_count_that_is_not_expected_is_refused(fleet):
    f = fleet(3)
    assert [f.ask(2, count)[0] for count in (3, 4, 5)] == [200, 400, 400]
    assert f.side.get(target(0, 5))[2] == b"shard_count is 5, expected 3 (shard_count of this sidecar)\n"
    assert f.side.get()[::2] == (200, BODY)
    assert 'scrapeshard_shard_counts_in_use{endpoint="app"} 1' in f.metrics() and "scrapeshard_reshard_switched{" not in f.metrics()


def half_an_interval():
    """Servers let that much time pass between two scrapes; a quicker one does not count."""
    time.sleep(INTERVAL / 2 + 0.2)


@pytest.mark.parametrize("more", ["", "max_age = 1h\n"], ids=["streamed", "snapshot"])
def test_from_3_to_5_and_back(fleet, more):
    f = fleet(3, more=more)
    f.servers = {0: 3, 1: 3}
    f.servers[2] = 3
    f.expect(3)
    f.announce(3, 5)
    f.servers |= {3: 5, 4: 3}  # new servers, which may know the new count or not
    f.expect(3)
    f.expect(3)
    assert 'scrapeshard_reshard_switched{endpoint="app",from="3",to="5"} 0' in f.metrics()
    assert (f"Resharding from 3 to 5 shards: 3 is in force until each of the 5 has been scraped twice, at least {INTERVAL // 2} s apart. "
            "Not seen yet: 0-2, 4.") in f.page()
    for shard in (0, 4, 1):
        f.servers[shard] = 5
        f.expect(3)
    assert 'scrapeshard_shards_missing{endpoint="app",shard_count="3"} 0' in f.metrics()
    assert "Not seen yet: 2." in f.page() and 'class="alarm"' not in f.page()
    f.servers = {shard: 5 for shard in (0, 1, 3, 4, 2)}  # the last one decides, after all others
    f.expect(3)
    half_an_interval()
    f.expect(3)
    f.expect(5)
    f.side.wait_line('level=warn msg="reshard: another shard count is in force" endpoint=app shard_count=5 before=3')
    assert 'scrapeshard_reshard_switched{endpoint="app",from="3",to="5"} 1' in f.metrics()
    assert 'scrapeshard_shards_missing{endpoint="app",shard_count="5"} 0' in f.metrics()
    assert "5 is in force. To finish, set shard_count to 5 and reshard_to to off." in f.page() and 'class="alarm"' not in f.page()
    assert 'scrapeshard_shard_counts_in_use{endpoint="app"} 1' in f.metrics()
    f.servers[1] = 3  # forgotten by somebody
    f.expect(5)
    f.side.wait_line('level=warn msg="reshard: a scraper still names the old shard count" endpoint=app shard=1 shard_count=3')
    assert "Scrapers still name 3 shards: 1." in f.page()
    f.servers[1] = 5
    f.announce(5)
    f.expect(5)
    assert f.ask(1, 3)[0] == 400
    # Back. Servers that are to go name the old count, or the new one as all others do.
    f.announce(5, 3)
    f.expect(5)
    f.servers = {0: 3, 1: 5, 3: 3, 4: 5, 2: 5}
    f.expect(5)
    f.servers = {0: 3, 1: 3, 3: 3, 4: 5, 2: 3}
    f.expect(5)
    half_an_interval()
    f.expect(5)
    f.expect(3)
    f.announce(3)
    del f.servers[3], f.servers[4]
    f.expect(3)


def test_taken_back_before_the_switch(fleet):
    """Servers that the new count needs do not come: the count in force stays in force."""
    f = fleet(3)
    f.servers = {0: 3, 1: 3, 2: 3}
    f.expect(3)
    f.announce(3, 5)
    f.servers = {0: 5, 1: 5, 2: 5}
    f.expect(3)
    f.expect(3)
    f.announce(5, 3)
    assert 'scrapeshard_reshard_switched{endpoint="app",from="5",to="3"} 1' in f.metrics()
    f.expect(3)
    f.servers = {0: 3, 1: 5, 2: 3}
    f.expect(3)
    f.servers[1] = 3
    f.expect(3)
    f.announce(3)
    f.expect(3)
    assert not [line for line in f.side.lines if "another shard count" in line]


def test_an_announcement_that_changes_the_count_in_force(fleet):
    """Finished too early: the log says so."""
    f = fleet(3, 5)
    f.servers = {0: 3, 1: 5, 2: 5}
    f.expect(3)
    f.announce(5)
    f.side.wait_line('level=warn msg="reshard: another shard count is in force" endpoint=app shard_count=5 before=3')


@pytest.mark.parametrize("accept, nothing", [
    (OPENMETRICS, b"# EOF\n"), (PROTOBUF, b""), ("text/plain; version=0.0.4", b"")], ids=["OpenMetrics", "protobuf", "text"])
def test_a_server_that_waits_gets_nothing(sidecar, config, upstream, accept, nothing):
    """A whole body of its format."""
    body = {OPENMETRICS: BODY + b"# EOF\n", PROTOBUF: PROTOBUF_BODY}.get(accept, BODY)
    f = Fleet(sidecar, config, upstream(answering(answer(body, accept))).url, (3, 5))
    f.servers = {0: 3, 1: 3, 2: 3}
    assert all(f.side.get(target(i, 3), {"Accept": accept})[2] for i in range(3))
    for count in (3, 5):
        assert f.side.get(target(4, count), {"Accept": accept})[::2] == (200, nothing)
    both = f.side.get(target("0-4", 5), {"Accept": accept})
    assert both[::2] == (200, body)


def test_a_round_of_requests_moves_nothing(fleet):
    """It is no fleet of servers, nor are two of them back to back."""
    f = fleet(3, 5, interval="1h")
    assert f.side.get()[::2] == (200, BODY) and "scrapeshard_reshard_switched{" not in f.metrics()
    f.servers = {0: 3, 1: 3, 2: 3}
    f.expect(3)
    for shard in [*range(5)] * 2:
        assert f.ask(shard, 5)[0] == 200
    f.expect(3)
    assert "Not seen yet: none." in f.page()


def test_verify_moves_nothing(sidecar, config, upstream):
    """Its rounds, which a series that differs in each response takes, follow one another at once."""
    def serve(u, connection):
        while u.read_request(connection):
            connection.sendall(answer(BODY + b'changes{id="%d"} 1\n' % len(u.requests)))
    f = Fleet(sidecar, config, upstream(serve).url, (3, 5), interval="1h")

    def families():
        return sum(line.startswith(b"# TYPE family_") for shard in range(3) for line in f.ask(shard, 3)[1])
    assert families() == 60
    status, out, err = run("verify", "--shard-count=5", f"http://127.0.0.1:{f.side.port}/metrics")
    assert (status, err) == (0, "") and "rounds: " in out
    assert families() == 60
    assert 'scrapeshard_reshard_switched{endpoint="app",from="3",to="5"} 0' in f.metrics()
    assert "Not seen yet: all." in f.page()


def test_verify_accepts_the_placement_of_either_count(fleet):
    """Which of the two is in force, its file does not say."""
    f = fleet(3, 5, more="[rules]\nreplicate = family_0\n")

    def verify(count, *more):
        status, out, err = run("verify", f"--shard-count={count}", f"--config.file={f.path}", *more,
                               f"http://127.0.0.1:{f.side.port}/metrics")
        assert err == ""
        return status, out

    def ask_all():
        assert {f.ask(shard, 5)[0] for shard in range(5)} == {200}
    hint = "verify with the larger of its two shard counts"
    for count in (3, 5):
        status, out = verify(count)
        assert status == 0 and "in every shard: 2 series of family_0\n" in out and hint not in out
    assert verify(5, "--set=sharding.hash=md5")[0] == 1
    ask_all()
    half_an_interval()
    ask_all()
    assert 'scrapeshard_reshard_switched{endpoint="app",from="3",to="5"} 1' in f.metrics()
    assert verify(5)[0] == 0
    status, out = verify(5, "--set=sharding.hash=md5")
    assert status == 1 and "misplaced" in out and hint not in out
    # Shards 3 and 4 are not asked for.
    status, out = verify(3)
    assert status == 1 and "lost" in out and hint in out


# Real servers.


class Server(Prometheus):
    """A server of a job, none of whose scrapes may fail."""

    def __init__(self, directory, shard, port, count):
        self.shard, self.target, self.config = shard, f"127.0.0.1:{port}", directory / "prometheus.yml"
        super().__init__(directory, [self.job(count)])

    def job(self, count):
        return {"job_name": "app", **CALM,
                "params": {"shard": [str(self.shard)], "shard_count": [str(count)]},
                "static_configs": [{"targets": [self.target]}]}

    def use(self, count):
        self.config.write_text(json.dumps({"scrape_configs": [self.job(count)]}))
        self.process.send_signal(signal.SIGHUP)

    def wait_for(self, count):
        """Until it scrapes with this count: Prometheus hands changed targets over every five seconds."""
        wait_until(lambda: any(f"shard_count={count}" in t["scrapeUrl"] and t["health"] == "up"
                               for t in self.api("targets", state="active")["activeTargets"]), "not changed", PATIENCE)


@pytest.mark.skipif("build/" not in BINARY, reason="the ordinary build walks it, once")
def test_real_servers(fleet, tmp_path):
    """From 3 to 5 and back: each series is on one server at a time, and in each of its scrapes."""
    f = fleet(3, 5)
    servers = [Server(tmp_path / f"server-{i}", i, f.side.port, 3 if i < 3 else 5) for i in range(5)]

    def switched(start, to):
        return f'scrapeshard_reshard_switched{{endpoint="app",from="{start}",to="{to}"}} 1' in f.metrics()
    try:
        for s in servers:
            s.wait_ready()
        for s in servers:
            s.wait_scrapes(2)
        servers[0].use(5)
        servers[0].wait_for(5)
        assert not switched(3, 5)
        for s in servers[1:3]:
            s.use(5)
        wait_until(lambda: switched(3, 5), "the new count is not in force", PATIENCE)
        wait_more_scrapes(servers, 2)
        f.announce(5, 3)
        for s in servers[:3]:
            s.use(3)
        wait_until(lambda: switched(5, 3), "the old count is not in force again", PATIENCE)
        wait_more_scrapes(servers, 2)
        check_samples(servers)
    finally:
        assert [s.stop() for s in servers] == [0] * 5


def wait_more_scrapes(servers, more):
    before = [len(s.ups()["app"]) for s in servers]
    for s, n in zip(servers, before):
        s.wait_scrapes(n + more)


def rounds_of(server):
    """The scrapes of a server, in order: (time, names of the families that it got), held against `up`, which each has."""
    # One query: a scrape that comes in meanwhile is in all of its answer, or in nothing of it.
    found, rounds = server.query('{job="app"}[1h]'), {}

    def of(label, value):
        return [result for result in found if result["metric"].get(label) == value]
    for result in of("__name__", "up"):
        assert {value for _, value in result["values"]} == {"1"}
        rounds |= {time: [] for time, _ in result["values"]}
    for result in of("id", "0"):
        for time, _ in result["values"]:
            rounds[time].append(result["metric"]["__name__"])
    assert len(of("id", "1")) == len(of("id", "0"))
    return [(float(time), sorted(names)) for time, names in sorted(rounds.items())]


def check_samples(servers):
    """Each scrape of each server has exactly its shard of one of the counts, and all servers change at one moment: so each
    series is on one server at any time. By rounds, not by time: a server that is reloaded, or is busy, scrapes later."""
    names = [f"family_{i}" for i in range(60)]
    changes = []
    for shard, server in enumerate(servers):
        rounds = rounds_of(server)
        of = {count: sorted(name for name in names if shard_of(name, count) == shard) for count in (3, 5)}
        counts = [next((count for count in (3, 5) if found == of[count]), found) for _, found in rounds]
        assert [count for count, _ in itertools.groupby(counts)] == [3, 5, 3], (shard, counts)
        first, last = counts.index(5), len(counts) - 1 - counts[::-1].index(5)
        times = [time for time, _ in rounds]
        changes.append([times[:first], times[first:last + 1], times[last + 1:]])
    for before, after in ((0, 1), (1, 2)):
        start = min(rounds[after][0] for rounds in changes)
        # A scrape that was on its way at that moment may have started later by the clock of its server.
        assert all(sum(time > start for time in rounds[before]) <= 1 for rounds in changes), changes
