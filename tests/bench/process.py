# SPDX-License-Identifier: Apache-2.0
"""The program as a process: its startup time, wake-ups when idle, memory and system calls."""
import contextlib
import http.client
import pathlib
import re
import shutil
import signal
import subprocess
import time

from measure import PEER, Figures, peer_get, start_nginx, start_service, start_sidecar

SHARD = "/metrics?shard=0&shard_count=80"
MIB = 1 << 20
SLOW = 10 * 1000 * 1000  # bytes a second
SETTLED = 5               # seconds until all that a scrape put off is done: memory is given back to the system once


def scrape(connection, target=SHARD):
    """One scrape over a kept-alive connection."""
    connection.request("GET", target)
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise SystemExit(f"a scrape got status {response.status}")


def bench_start(report, body, rounds):
    """From the start of the process to the last byte of its first response."""
    wall, cpu = [], []
    with start_service(body) as service:
        for _ in range(rounds):
            before = time.monotonic()
            with start_sidecar(service.port) as sidecar:
                connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=10)
                scrape(connection)
                wall.append(time.monotonic() - before)
                cpu.append(sidecar.cpu())
                connection.close()
    report.table("start", "From the start of the process to its first response",
                 {"time": Figures.of(wall), "CPU": Figures.of(cpu)})


def wake_ups(process, seconds):
    """Per second, while idle."""
    before = process.status("voluntary_ctxt_switches")
    time.sleep(seconds)
    return (process.status("voluntary_ctxt_switches") - before) / seconds


def bench_idle(report, body, seconds):
    """Before the first scrape, and while the connections of Prometheus and to the upstream are kept; with the admin listener."""
    figures = {}
    with start_service(body) as service, start_sidecar(service.port, "--admin.listen-address=127.0.0.1:0") as sidecar:
        time.sleep(SETTLED)
        figures["before the first scrape"] = wake_ups(sidecar, seconds)
        connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=10)
        scrape(connection)
        time.sleep(SETTLED)
        figures["with connections kept"] = wake_ups(sidecar, seconds)
        connection.close()
        time.sleep(SETTLED)
        figures["when they are closed"] = wake_ups(sidecar, seconds)
    report.table("idle", f"Wake-ups per second, over {seconds} idle seconds",
                 {name: Figures.of([value]) for name, value in figures.items()}, "/s")


def watch_memory(process, reader):
    """The maximum while a reader reads."""
    most = process.memory()
    while reader.poll() is None:
        most = max(most, process.memory())
        time.sleep(0.02)
    if reader.returncode:
        raise SystemExit("the slow scrape failed")
    return most


def bench_memory(report, body, slow_bytes, scrapes):
    figures = {}
    times = -(-slow_bytes // body.stat().st_size)
    with start_service(body, times=times) as service, \
            start_sidecar(service.port, "--set=endpoint.default.max_body=100GiB", "--set=endpoint.default.timeout=10m") as sidecar:
        figures["idle"] = sidecar.memory()
        reader = subprocess.Popen([PEER, "slow", str(sidecar.port), "/metrics", str(SLOW)], stdout=subprocess.DEVNULL)
        figures[f"a body of {slow_bytes // MIB} MiB, a slow reader"] = watch_memory(sidecar, reader)
    with start_service(body) as service, start_sidecar(service.port) as sidecar:
        peer_get(sidecar.port, SHARD, 100)
        figures["after 100 scrapes"] = sidecar.memory()
        peer_get(sidecar.port, SHARD, scrapes)
        figures[f"after {scrapes} more"] = sidecar.memory()
    report.table("memory", f"Anonymous memory; the slow reader takes {SLOW // 1000000} MB per second",
                 {name: Figures.of([value]) for name, value in figures.items()}, "MiB")


NAMES = "recvfrom read readv poll epoll_wait epoll_ctl sendto write writev connect brk".split()


def count_by_perf(process, client, output):
    """All system calls and those of NAMES, while the client runs; None if perf may not count here."""
    events = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{name}" for name in NAMES]
    ran = subprocess.run(["perf", "stat", "-x,", "-o", output, "-e", ",".join(events), "-p", str(process.pid), "--", *client],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    counts = re.findall(r"^(\d+),", pathlib.Path(output).read_text(), re.M) if not ran.returncode else []
    return dict(zip(["total"] + NAMES, map(int, counts))) if len(counts) == len(events) else None


def count_by_strace(process, client, output):
    """The same, of all names; it slows reader and writer down, so that calls move other amounts than else."""
    tracer = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", output, "-p", str(process.pid)],
                              stderr=subprocess.PIPE, text=True)
    if "attached" not in tracer.stderr.readline():
        tracer.wait()
        return None
    subprocess.run(client, stdout=subprocess.DEVNULL, check=True)
    tracer.send_signal(signal.SIGINT)
    tracer.communicate()
    rows = [line.split() for line in pathlib.Path(output).read_text().splitlines()[2:]]
    return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}


def count_calls(process, target, scrapes, directory, header=""):
    """System calls per scrape, and the five most frequent ones; None if they cannot be counted here."""
    output, client = pathlib.Path(directory, "calls"), [PEER, "get", str(process.port), target, str(scrapes), header]
    calls = count_by_perf(process, client, output) if shutil.which("perf") else None
    if not calls and shutil.which("strace"):
        calls = count_by_strace(process, client, output)
    if not calls:
        return None
    total = calls.pop("total")
    most = sorted(calls.items(), key=lambda item: -item[1])[:5]
    return total / scrapes, ", ".join(f"{name} {n / scrapes:.1f}" for name, n in most if n)


def bench_calls(report, body, scrapes, directory):
    figures = {}
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(start_service(body))
        sidecar = stack.enter_context(start_sidecar(service.port))
        targets = {"scrapeshard N=80": (sidecar, SHARD), "scrapeshard N=1": (sidecar, "/metrics")}
        nginx = start_nginx(service.port, directory)
        if nginx:
            stack.push(nginx)
            targets["nginx, the whole body"] = (nginx, "/metrics")
        for name, (process, target) in targets.items():
            peer_get(process.port, target, 3)
            add_calls(figures, name, count_calls(process, target, scrapes, directory))
    report.table("calls", "System calls per scrape", figures, "calls")


def add_calls(figures, name, counted):
    if counted:
        print(f"{name}: {counted[1]}")
        figures[name] = Figures.of([counted[0]])
