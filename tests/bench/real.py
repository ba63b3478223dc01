# SPDX-License-Identifier: Apache-2.0
"""Scrapes of real services, which send a body in small pieces as they render it: the sidecar beside a naive recv loop, nginx
and a filter in Go; hot, one scrape after another, and cold, after a pause."""
import collections
import contextlib
import os
import subprocess
import time

from measure import PEER, Figures, PeerFigures, build_go, in_turns, start_go_filter, start_nginx, start_sidecar
from process import SHARD, add_calls, count_calls
from real_services import (TCP, TLS, make_certificate, start_go_service, start_node_exporter, start_node_service,
                           start_python_service)

GZIP = "Accept-Encoding: gzip"
NAIVE, STREAMED, NGINX, GO = "naive recv loop", "scrapeshard N=80", "nginx, the whole body", "net/http and expfmt in Go, N=80"
WHOLE, DECRYPTION = "scrapeshard N=1", "decryption alone"
SERIES, SERIES_IN_PYTHON = 28000, 5000  # Python takes long to render
CACHES = 64 << 20                       # bytes, more than the caches of most processors
CONNECTIONS = 200                       # scrapes, one after another

# Of one scrape, on average: CPU seconds of the process in question, seconds until the client has it all, and how often that process
# went to sleep and touched a page for the first time.
Sample = collections.namedtuple("Sample", "cpu wall switches faults")


class Client:
    """A bench-peer that keeps its connection between the scrapes."""

    def __init__(self, stack, address, target, header=""):
        self.target = target
        self.process = subprocess.Popen([PEER, "each", str(address), target, header], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        stack.callback(self.close)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def scrape(self, times=1):
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench-peer failed: {self.process.args}")
        return PeerFigures.of(line)


class Contest:
    """One way to a service's metrics: through a proxy, or with none, where the client itself is what is measured."""

    def __init__(self, client, proxy=None, most=None):
        self.client, self.proxy, self.most = client, proxy, most
        self.size = client.scrape().size  # the first, which opens the connections, does not count

    def measure(self, times):
        times = min(times, self.most or times)
        if not self.proxy:
            f = self.client.scrape(times)
            return Sample(f.cpu, f.wall, f.switches, f.faults)
        before = self.counters()
        wall = self.client.scrape(times).wall
        cpu, switches, faults = ((b - a) / times for a, b in zip(before, self.counters()))
        return Sample(cpu, wall, switches, faults)

    def counters(self):
        return self.proxy.cpu(), self.proxy.status("voluntary_ctxt_switches"), self.proxy.faults()


def add_scrapeshard(contests, stack, service, transport):
    """Each in a process of its own, so that each is as cold or as hot as the others."""
    for name, target, header in ((STREAMED, SHARD, ""), (STREAMED + ", gzip", SHARD, GZIP), (WHOLE, "/metrics", ""),
                                 (WHOLE + ", gzip", "/metrics", GZIP)):
        sidecar = stack.enter_context(start_sidecar(service.url(transport), *service.flags(transport)))
        contests[name] = Contest(Client(stack, sidecar.port, target, header), sidecar)


def start_contests(stack, service, transport, directory, go_filter):
    contests = {NAIVE: Contest(Client(stack, service.address(transport), "/metrics"))}
    add_scrapeshard(contests, stack, service, transport)
    nginx = start_nginx(service.url(transport), directory)
    if nginx:
        stack.push(nginx)
        contests[NGINX] = Contest(Client(stack, nginx.port, "/metrics"), nginx)
    go = start_go_filter(go_filter, service.url(transport))
    if go:
        stack.push(go)
        # A few show how much more it costs.
        contests[GO] = Contest(Client(stack, go.port, SHARD), go, most=2)
    return contests


def figures_of(samples):
    """A Sample of Figures from a list of them."""
    return Sample(*(Figures.of(values) for values in zip(*samples)))


def bench_hot(report, service, transport, contests, rounds, scrapes):
    """One scrape after another."""
    turns = {name: (lambda contest=contest: contest.measure(scrapes)) for name, contest in contests.items()}
    if transport == TLS:
        turns[DECRYPTION] = lambda: Sample(decryption(service, min(scrapes, 3)), 0, 0, 0)
    figures = {name: figures_of(samples) for name, samples in in_turns(turns, rounds).items()}
    report.wide(f"real {service.name} {transport}", f"{service.name} over {transport}, {contests[NAIVE].size / 1e6:.2f} MB", figures)


def decryption(service, scrapes):
    """CPU seconds of a body."""
    argv = [PEER, "decrypt", service.address(TLS), "/metrics", str(scrapes)]
    return float(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[1])


def evict_caches():
    """Writes over more than they hold, on each processor."""
    allowed = os.sched_getaffinity(0)
    for processor in allowed:
        os.sched_setaffinity(0, {processor})
        _ = b"x" * CACHES
    os.sched_setaffinity(0, allowed)


def bench_cold(report, fields, rounds, pause):
    """One scrape after a pause, in which what other processes do takes the caches, a sidecar gives memory back, and some services
    close their connections."""
    samples = [{name: [] for name in contests if name not in (GO, WHOLE + ", gzip")} for _, _, contests in fields]
    for _ in range(rounds):
        time.sleep(pause)
        for (_, _, contests), of_field in zip(fields, samples):
            for name, values in of_field.items():
                evict_caches()
                values.append(contests[name].measure(1))
    for (service, transport, _), of_field in zip(fields, samples):
        report.wide(f"cold {service.name} {transport}", f"{service.name} over {transport}, one in {pause} s",
                    {name: figures_of(values) for name, values in of_field.items()})


def bench_calls(report, service, transport, contests, scrapes, directory):
    figures = {}
    for name in (STREAMED, WHOLE, NGINX):
        contest = contests.get(name)
        if contest:
            add_calls(figures, name, count_calls(contest.proxy, contest.client.target, scrapes, directory))
    report.table(f"calls {service.name} {transport}", f"{service.name} over {transport}: system calls per scrape", figures,
                 "calls")


def bench_small(report, service, rounds):
    """How much later than directly a small body comes through a sidecar."""
    with contextlib.ExitStack() as stack:
        sidecar = stack.enter_context(start_sidecar(service.url(TCP, "/small")))
        contests = {NAIVE: Contest(Client(stack, service.address(TCP), "/small")),
                    STREAMED: Contest(Client(stack, sidecar.port, SHARD), sidecar),
                    WHOLE: Contest(Client(stack, sidecar.port, "/metrics"), sidecar)}
        turns = {name: (lambda contest=contest: contest.measure(100)) for name, contest in contests.items()}
        report.wide("small", f"A small body, {contests[NAIVE].size / 1e3:.0f} kB of {service.name}",
                    {name: figures_of(samples) for name, samples in in_turns(turns, rounds).items()})


def bench_connections(report, service):
    """How many connections the service accepts for scrapes one after another."""
    figures = {}
    for transport in service.transports():
        with contextlib.ExitStack() as stack:
            flags = service.flags(transport)
            sidecar = stack.enter_context(start_sidecar(service.url(transport, "/small"), *flags))
            client = Client(stack, sidecar.port, SHARD)
            before = service.counts()
            client.scrape(CONNECTIONS)
            figures[transport] = Figures.of([service.counts()[transport.lower()] - before[transport.lower()]])
    report.table("connections", f"Connections to the service for {CONNECTIONS} scrapes", figures, "")


def start_services(directory, series):
    """Those that can be had here, one after another; what they need is in contrib/install bench."""
    certificate = make_certificate(directory)
    program = build_go("go-service", directory)
    yield "client_golang", lambda: program and start_go_service(program, directory, certificate, series)
    yield "prometheus_client", lambda: start_python_service(min(series, SERIES_IN_PYTHON))
    yield "prom-client", lambda: start_node_service(directory, certificate, series)
    yield "node_exporter", lambda: start_node_exporter(directory, certificate)


# pause: seconds between two cold scrapes.
Plan = collections.namedtuple("Plan", "series rounds scrapes cold_rounds pause")
QUICK, FULL = Plan(2000, 1, 2, 1, 3), Plan(SERIES, 5, 6, 5, 15)


def bench_service(report, stack, service, plan, directory, go_filter):
    """Returns what bench_cold() needs: contests that go on."""
    fields = []
    for transport in service.transports():
        contests = start_contests(stack, service, transport, directory, go_filter)
        fields.append((service, transport, contests))
        bench_hot(report, service, transport, contests, plan.rounds, plan.scrapes)
        if service.name == "client_golang":
            bench_calls(report, service, transport, contests, plan.scrapes, directory)
    if service.name == "client_golang":
        bench_small(report, service, plan.rounds)
        bench_connections(report, service)
    return fields


def bench_real(report, directory, go_filter, plan):
    fields = []
    with contextlib.ExitStack() as stack:
        for name, start in start_services(directory, plan.series):
            service = start()
            if service:
                stack.push(service.process)
                fields += bench_service(report, stack, service, plan, directory, go_filter)
            else:
                print(f"{name}: not measured, it cannot start (contrib/install bench)\n")
        bench_cold(report, fields, plan.cold_rounds, plan.pause)
