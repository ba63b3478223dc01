# SPDX-License-Identifier: Apache-2.0
"""The figures in README.md and contrib/docs/performance.md: each table stands between two comments, and --write of
tests/bench/run and tests/bench/fleet replaces it."""
import re

from measure import HERE, TEXT
from real import GO, NAIVE, NGINX, STREAMED, WHOLE
from report import cell, figure, machine, overview_lines, verdict_lines

ROOT = HERE.parents[1]
LARGE, SNAPSHOT, REAL = "scrapes " + TEXT, "snapshots " + TEXT, "real client_golang TCP"
# What it is called there, and where it was measured: in large writes, and of client_golang.
WAYS = [("receive the body, and nothing else", (LARGE, "raw recv"), NAIVE),
        ("**a scrape of one shard of 80**", (LARGE, "scrapeshard N=80"), STREAMED),
        ("the whole body", (LARGE, "scrapeshard N=1"), WHOLE),
        ("the same, compressed", (LARGE, "scrapeshard N=1, gzip"), WHOLE + ", gzip"),
        ("nginx, passing the whole body on", (LARGE, "nginx"), NGINX),
        ("a filter in Go: net/http, expfmt, xxhash", (LARGE, "net/http"), GO),
        ("80 shards from one snapshot (`max_age`), its fetch included", (SNAPSHOT, "80 shards"), None),
        ("the same, compressed", (SNAPSHOT, "80 shards, gzip"), None)]
FEW = (0, 1, 4, 5, 6)  # of them in the README
CORE = [("`memchr` over every line", "memchr loop"), ("the core, one shard of 80", "N=80, 16 KiB"),
        ("the core, all of it", "N=1, 16 KiB"), ("the core, by labels", "labels"), ("the same with MD5", "labels, md5")]


def replace(path, name, lines):
    """Puts lines between <!-- figures: name --> and <!-- /figures -->."""
    text, marked = path.read_text(), rf"(<!-- figures: {re.escape(name)} -->\n).*?(<!-- /figures -->)"
    body = "\n".join(lines) + "\n"
    text, n = re.subn(marked, lambda m: m[1] + body + m[2], text, flags=re.S)
    if n != 1:
        raise SystemExit(f"{path}: {n} places for the figures of {name}")
    path.write_text(text)


def times(f, with_least):
    """Milliseconds."""
    if not f:
        return ""
    return f"{figure(f.least * 1e3)} / {figure(f.median * 1e3)} ms" if with_least else cell(f.median, "ms")


def scrape_lines(report, with_least):
    """A table of what a scrape costs: medians, or minima too and all ways."""
    yield f"| CPU{', min / median' if with_least else ''} | large writes | client_golang |\n|---|---|---|"
    for i, (what, large, real) in enumerate(WAYS):
        if with_least or i in FEW:
            yield (f"| {what} | {times(report.get(*large), with_least)} | "
                   f"{times(real and report.get_wide(REAL, real, 'cpu'), with_least)} |")


def core_lines(report):
    for what, name in CORE:
        f = report.get("core " + TEXT, name)
        yield f"| {what} | {times(f, True)} | |"


def write_run(report, verdicts, rounds, root=ROOT):
    """After tests/bench/run."""
    performance = root / "contrib/docs/performance.md"
    replace(root / "README.md", "tests/bench/run", scrape_lines(report, False))
    replace(performance, "tests/bench/run, a scrape",
            [f"Measured on: {machine()}; {rounds} rounds.", "", *scrape_lines(report, True), *core_lines(report)])
    replace(performance, "tests/bench/run, real services", overview_lines(list(report.wides.values())))
    replace(performance, "tests/bench/run, targets", verdict_lines(verdicts))


def write_fleet(small, whole, verdicts, root=ROOT):
    """After tests/bench/fleet; the lines of its tables."""
    replace(root / "README.md", "tests/bench/fleet", small)
    replace(root / "contrib/docs/performance.md", "tests/bench/fleet",
            [f"Measured on: {machine()}.", "", *whole, "", *verdict_lines(verdicts)])
