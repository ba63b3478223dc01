# SPDX-License-Identifier: Apache-2.0
"""How the cost grows: CPU of the core and of a proxied scrape, N=80, for bodies that grow in one dimension at a time."""
import pathlib

from measure import TEXT, peer_get, proxied, run_core, start_service, start_sidecar, take_turns, write_body

CORE = "N=80, 16 KiB"
SERIES_A_FAMILY = 65  # as in the body of the other contests
FEW = 7000            # series, where lines get long
FAMILIES = [1, 10, 100, 1000, 10000]
LABEL_LENGTHS = [1, 10, 100, 1000, 4000]
LABELS = [1, 10, 100, 300]


def measure_body(body, rounds):
    """Figures of the core, of a scrape, and of only receiving the body; a round has about as many bytes, whatever the body's size."""
    size = body.stat().st_size
    scrapes = max(1, min(400, 100_000_000 // size))
    core = run_core(body, TEXT, max(3, min(2000, rounds * 40_000_000 // size)), CORE)[CORE]
    with start_service(body) as service, start_sidecar(service.port, "--set=endpoint.default.max_body=4GiB",
                                                       "--set=endpoint.default.timeout=60s") as sidecar:
        figures = take_turns({"scrape": proxied(sidecar, "/metrics?shard=0&shard_count=80", scrapes=scrapes),
                              "recv": lambda: peer_get(service.port, "/metrics", scrapes).cpu}, rounds)
        return core, figures["scrape"], figures["recv"]


class Growth:
    """One dimension: points of (size, bytes of the body, core, scrape, raw recv)."""

    def __init__(self, section, title, unit):
        self.section, self.title, self.unit, self.points = section, title, unit, []

    def add(self, amount, body, rounds):
        self.points.append((amount, body.stat().st_size, *measure_body(body, rounds)))

    def print_tables(self, report):
        for column, name in ((2, "core"), (3, "scrape"), (4, "raw recv")):
            what = f"the {name}, N=80" if column < 4 else f"{name} of the whole body"
            report.table(f"growth {self.section} {name}", f"{self.title}: {what}",
                         {f"{p[0]} {self.unit}, {p[1] / 1e6:.2f} MB": p[column] for p in self.points})


def bench_growth(report, directory, rounds, most_series):
    """Returns the measurements, for a plot."""
    path = pathlib.Path(directory, "growing")
    series = Growth("series", "With the series of a body", "series")
    for n in (10 ** e for e in range(3, 7) if 10 ** e <= most_series):
        series.add(n, write_body(path, "--series", n, "--families", n // SERIES_A_FAMILY), rounds)
    families = Growth("families", "With the families of a body of 28,000 series", "families")
    for n in FAMILIES:
        families.add(n, write_body(path, "--families", n), rounds)
    length = Growth("label length", f"With the length of a label, {FEW} series", "bytes")
    for n in LABEL_LENGTHS:
        length.add(n, write_body(path, "--series", FEW, "--label-length", n), rounds)
    labels = Growth("line length", f"With the labels of a line, {FEW} series", "additional labels")
    for n in LABELS:
        labels.add(n, write_body(path, "--series", FEW, "--labels", n), rounds)
    for growth in (series, families, length, labels):
        growth.print_tables(report)
    return [series, families, length, labels]
