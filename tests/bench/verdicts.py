# SPDX-License-Identifier: Apache-2.0
"""The targets, and whether the measurements meet them. Nothing fails if not: a busy machine can cause that."""
from measure import OPENMETRICS, PROTOBUF, TEXT, Figures
from real import DECRYPTION, NAIVE, NGINX, STREAMED
from real_services import TCP, TLS, UNIX

MIB = 1 << 20
NOT_MEASURED = "not measured"


def add(a, b):
    return Figures(a.least + b.least, a.median + b.median, None)


def divide(a, b):
    return None if not a or not b else (a.least / b.least, a.median / b.median)


def values(figures, scale=1):
    return None if not figures else (figures.least * scale, figures.median * scale)


def speed(report, section, name):
    """GB per second."""
    f = report.get(section, name)
    return None if not f else tuple(report.sizes[section] / seconds / 1e9 for seconds in (f.least, f.median))


def core_targets(report):
    def beside(content_type, name, other="memchr loop"):
        section = "core " + content_type
        return divide(report.get(section, other), report.get(section, name))

    core = "N=80, 16 KiB"
    for content_type, word in ((TEXT, "text"), (OPENMETRICS, "OpenMetrics")):
        yield f"core, {word}, N=80: speed beside memchr", beside(content_type, core), ">=", 0.7, "x"
        yield f"core, {word}, N=1: speed beside memchr", beside(content_type, "N=1, 16 KiB"), ">=", 0.4, "x"
    yield "core, protobuf, N=80", speed(report, "core " + PROTOBUF, core), ">=", 5, "GB/s"
    yield "core, ten rules of each kind beside none", beside(TEXT, core, "rules"), "<=", 1.3, "x"
    yield "core, the same with named groups", beside(TEXT, core, "named groups"), "<=", 1.3, "x"
    yield "core, key labels, series as in the scrape before", speed(report, "core " + TEXT, "labels, cached"), ">=", 3, "GB/s"
    yield "the same with md5, 28,000 series", values(report.get("core " + TEXT, "md5, cached"), 1e3), "<=", 2, "ms"
    yield "core, key labels, the first scrape", speed(report, "core " + TEXT, "labels"), ">=", 1.6, "GB/s"
    for content_type, word in ((TEXT, "text"), (OPENMETRICS, "OpenMetrics"), (PROTOBUF, "protobuf")):
        yield f"core, {word}, a selector beside key labels", beside(content_type, "labels", "selector"), "<=", 1.3, "x"


def scrape_targets(report):
    for content_type, word in ((TEXT, "text"), (OPENMETRICS, "OpenMetrics"), (PROTOBUF, "protobuf")):
        section, kept = "scrapes " + content_type, "snapshots " + content_type
        one, raw = report.get(section, "scrapeshard N=80"), report.get(section, "raw recv")
        nginx, whole = report.get(section, "nginx"), report.get(section, "scrapeshard N=1")
        igzip = report.get("core " + content_type, "igzip")
        yield f"scrape, {word}, N=80, beside raw recv", divide(one, raw), "<=", 2.2, "x"
        yield f"scrape, {word}, N=80, beside nginx proxying everything", divide(one, nginx), "<=", 0.8, "x"
        yield f"scrape, {word}, N=1, beside nginx", divide(whole, nginx), "<=", 1.3, "x"
        yield (f"scrape, {word}, N=1, gzip, beside raw recv and igzip",
               divide(report.get(section, "scrapeshard N=1, gzip"), add(raw, igzip) if raw and igzip else None),
               "<=", 1.5, "x")
        streamed = report.get(kept, "one streamed")
        yield f"80 shards of a snapshot, {word}, beside one scrape", divide(report.get(kept, "80 shards"), streamed), "<=", 10, "x"
        yield f"the same, gzip, {word}", divide(report.get(kept, "80 shards, gzip"), streamed), "<=", 20, "x"


def later(a, b):
    """Milliseconds between two times."""
    return None if not a or not b else ((a.least - b.least) * 1e3, (a.median - b.median) * 1e3)


def real_targets(report):
    def figures(transport, name, what="cpu"):
        return report.get_wide(f"real client_golang {transport}", name, what)

    one, raw, tls = figures(TCP, STREAMED), figures(TCP, NAIVE), figures(TLS, STREAMED)
    yield "client_golang, N=80, beside a naive recv loop", divide(one, raw), "<=", 0.6, "x"
    yield "client_golang, N=80, beside nginx", divide(one, figures(TCP, NGINX)), "<=", 0.35, "x"
    yield ("client_golang, N=80, wall time beside direct", divide(figures(TCP, STREAMED, "wall"), figures(TCP, NAIVE, "wall")),
           "<=", 1.15, "x")
    decrypted = figures(TLS, DECRYPTION)
    yield ("client_golang over TLS, N=80, beside TCP and decryption alone",
           divide(tls, add(one, decrypted) if one and decrypted else None), "<=", 1.5, "x")
    yield ("a small body, later than directly", later(report.get_wide("small", STREAMED, "wall"),
                                                      report.get_wide("small", NAIVE, "wall")), "<=", 1, "ms")
    for transport in (TCP, TLS, UNIX):
        yield (f"connections for 200 scrapes over {transport}", values(report.get("connections", transport)), "<=", 2, "")


def process_targets(report):
    yield "start to first response", values(report.get("start", "time"), 1e3), "<=", 50, "ms"
    for state in ("before the first scrape", "with connections kept", "when they are closed"):
        yield f"idle wake-ups, {state}", values(report.get("idle", state)), "<=", 0, "/s"
    yield "anonymous memory, idle", values(report.get("memory", "idle"), 1 / MIB), "<=", 2, "MiB"
    yield "the same, a large body to a slow reader", values(report.get("memory", "a body"), 1 / MIB), "<=", 4, "MiB"
    before, after = report.get("memory", "after 100 scrapes"), report.tables.get("memory", ("", {}))[1]
    last = list(after.values())[-1] if after else None
    yield "the same, when idle after many scrapes", values(last, 1 / MIB), "<=", 2, "MiB"
    growth = Figures(last.least - before.least, last.median - before.median, None) if last else None
    yield "its growth by many scrapes", values(growth, 1 / MIB), "<=", 0.1, "MiB"


def growth_targets(report):
    for name in ("core", "scrape"):
        section, costs = "growth series " + name, []
        for key, f in report.tables.get(section, ("", {}))[1].items():
            series = int(key.split()[0])
            if series >= 10000:
                costs.append((f.least / series, f.median / series))
        spread = tuple(max(c) / min(c) for c in zip(*costs)) if len(costs) > 1 else None
        yield f"{name}: cost of a series, from 10,000 of them up, dearest beside cheapest", spread, "<=", 1.5, "x"


def verdict_of(measured, sign, target):
    held = [value >= target if sign == ">=" else value <= target for value in measured]
    return {(True, True): "held", (True, False): "held by the minima only", (False, True): "held by the medians only",
            (False, False): "NOT held"}[tuple(held)]


def judge(targets):
    """Rows of: measurement, by the minima, by the medians, target, verdict."""
    rows = []
    for what, measured, sign, target, unit in targets:
        if measured:
            rows.append((what, *(f"{value:.2f} {unit}".rstrip() for value in measured), f"{sign} {target} {unit}".rstrip(),
                         verdict_of(measured, sign, target)))
        else:
            rows.append((what, "", "", f"{sign} {target} {unit}".rstrip(), NOT_MEASURED))
    return rows


def make_verdicts(report):
    parts = (core_targets, scrape_targets, real_targets, process_targets, growth_targets)
    return judge(row for targets in parts for row in targets(report))
