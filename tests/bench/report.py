# SPDX-License-Identifier: Apache-2.0
"""Tables of the measurements: printed as they are made, and as Markdown at the end."""
import os
import pathlib
import platform

SCALE = {"ms": 1e3, "MiB": 1 / (1 << 20)}


def figure(value):
    """To three figures, or more in front of the point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def cell(value, unit):
    """With its unit; nothing for what was not measured."""
    return f"{figure(value * SCALE.get(unit, 1))} {unit}".rstrip() if value is not None else ""


def wide_lines(title, figures):
    """A table in Markdown, with a row for each contest."""
    yield f"| {title} | CPU: min | median | wall: min | median | wake-ups | page faults |"
    yield "|---|---|---|---|---|---|---|"
    for name, f in figures.items():
        cells = [cell(value, "ms") if value else "" for times in (f.cpu, f.wall) for value in (times.least, times.median)]
        yield f"| {name} | " + " | ".join(cells + [f"{count.median:.1f}" for count in (f.switches, f.faults)]) + " |"


def overview_lines(wides):
    """One table of them all: a row for each service, and a column for each way to its metrics."""
    names = list(dict.fromkeys(name for _, figures in wides for name in figures))
    walls = names[:2]  # directly, and of one shard
    yield "| CPU in ms, min / median | " + " | ".join(names + [f"wall, {name}" for name in walls]) + " |"
    yield "|---" * (1 + len(names) + len(walls)) + "|"
    for title, figures in wides:
        cells = [pair(figures[name].cpu) if name in figures else "" for name in names]
        cells += [pair(figures[name].wall) if name in figures else "" for name in walls]
        yield f"| {title} | " + " | ".join(cells) + " |"


def pair(f):
    return f"{figure(f.least * 1e3)} / {figure(f.median * 1e3)}"


class Report:
    def __init__(self):
        self.tables, self.sizes, self.wides = {}, {}, {}

    def wide(self, section, title, figures):
        """Prints a row for each: a sample of figures, as real.py has them."""
        self.wides[section] = title, figures
        print("\n".join(wide_lines(title, figures)) + "\n", flush=True)

    def get_wide(self, section, name, what):
        """Figures of that field of that contest, or None if not measured."""
        sample = self.wides.get(section, ("", {}))[1].get(name)
        return sample and getattr(sample, what)

    def table(self, section, title, figures, unit="ms", size=None):
        """Prints a row for each; times also as multiples of the first. size: bytes of the body, if a speed makes sense."""
        self.tables[section], self.sizes[section] = (title, figures, unit), size
        scale, several = SCALE.get(unit, 1), len(figures) > 1 and unit == "ms"
        print(f"{title}\n{'':34} {'min ' + unit:>10} {'median':>9} {'deviation':>9}" + (f" {'x first':>8}" if several else "")
              + (f" {'GB/s':>6}" if size else ""))
        first = next(iter(figures.values()), None)
        for name, f in figures.items():
            row = f"{name:34} {f.least * scale:10.3f} {f.median * scale:9.3f}"
            row += f" {f.deviation * scale:9.3f}" if f.deviation is not None else f" {'':9}"
            row += f" {f.median / first.median:8.2f}" if several else ""
            print((row + (f" {size / f.median / 1e9:6.1f}" if size else "")).rstrip())
        print(flush=True)

    def get(self, section, name):
        """Figures of the first name with this prefix, or None if not measured."""
        figures = self.tables.get(section, ("", {}))[1]
        return next((f for key, f in figures.items() if key.startswith(name)), None)


def machine():
    """The processor, its cores here, and the kernel."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f} at the end"


def print_markdown(report, verdicts, rounds):
    print(f"Measured on: {machine()}; {rounds} rounds.\n")
    print("| | min | median | deviation | |\n|---|---|---|---|---|")
    for section, (title, figures, unit) in report.tables.items():
        if section.startswith("growth "):
            continue  # that is a picture's
        print(f"| **{title}** | | | | |")
        first = next(iter(figures.values()), None)
        for i, (name, f) in enumerate(figures.items()):
            times = f"{f.median / first.median:.2f} x" if i and unit == "ms" else ""
            least, median, deviation = (cell(value, unit) for value in f)
            print(f"| {name} | {least} | {median} | {deviation} | {times} |")
    if report.wides:
        print("\n" + "\n".join(overview_lines(list(report.wides.values()))))
    print("\n" + "\n".join(verdict_lines(verdicts)))


def verdict_lines(verdicts):
    """A table in Markdown, with columns of even width."""
    rows = [("measurement", "by the minima", "by the medians", "target", "")] + verdicts
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for i, row in enumerate(rows):
        yield "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |"
        if not i:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
