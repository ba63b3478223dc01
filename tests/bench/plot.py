# SPDX-License-Identifier: Apache-2.0
"""A plot of the growth: plain SVG, logarithmic axes, light and dark. Dashed lines grow in proportion to the bytes."""
import math
import xml.sax.saxutils

WIDTH, HEIGHT = 400, 290            # of a panel
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 44, 46  # its margins
HEAD = 64
COLUMNS = ((4, "recv"), (3, "scrape"), (2, "core"))  # of a point of growth.py, the first drawn below the others
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } .head { font-size: 16px; font-weight: 600 }
  .paper { fill: #ffffff } .grid { stroke: #d0d7de } .core { stroke: #0550ae; fill: none } .scrape { stroke: #bc4c00; fill: none }
  .recv { stroke: #1a7f37; fill: none } .dot-recv { fill: #1a7f37 }
  .bytes { stroke: #6e7781; stroke-dasharray: 4 4; fill: none } .dot-core { fill: #0550ae } .dot-scrape { fill: #bc4c00 }
  polyline { stroke-width: 2 } .bytes { stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .paper { fill: #0d1117 } .grid { stroke: #30363d } .core { stroke: #79c0ff }
    .recv { stroke: #7ee787 } .dot-recv { fill: #7ee787 } .scrape { stroke: #ffa657 } .bytes { stroke: #8b949e } .dot-core { fill: #79c0ff } .dot-scrape { fill: #ffa657 } }
"""


def number(value):
    """A readable number: 0.01, 1, 100, 10 k, 1 M."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


class Axis:
    """Maps values to pixels, from the decade below the smallest to the one above the largest."""

    def __init__(self, values, start, end):
        self.first, self.last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.last += self.first == self.last
        self.start, self.end = start, end

    def at(self, value):
        return self.start + (math.log10(value) - self.first) / (self.last - self.first) * (self.end - self.start)

    def ticks(self):
        return [10.0 ** e for e in range(self.first, self.last + 1)]


def text(x, y, words, anchor="middle", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{xml.sax.saxutils.escape(words)}</text>'


def line(points, kind):
    return f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def draw_panel(growth, x_axis, y_axis):
    yield text(LEFT, 26, growth.title, "start", "title")
    for value in x_axis.ticks():
        x = x_axis.at(value)
        yield f'<line class="grid" x1="{x:.1f}" y1="{y_axis.start}" x2="{x:.1f}" y2="{y_axis.end}"/>'
        yield text(x, y_axis.start + 16, number(value))
    for value in y_axis.ticks():
        y = y_axis.at(value)
        yield f'<line class="grid" x1="{x_axis.start}" y1="{y:.1f}" x2="{x_axis.end}" y2="{y:.1f}"/>'
        yield text(x_axis.start - 6, y + 4, f"{number(value)} ms", "end")
    yield text((x_axis.start + x_axis.end) / 2, y_axis.start + 34, growth.unit)
    for column, kind in COLUMNS:
        points = [(x_axis.at(p[0]), y_axis.at(p[column].median * 1e3), p) for p in growth.points]
        last = growth.points[-1]
        even = last[column].median * 1e3 / last[1]
        lowest = 10.0 ** y_axis.first
        yield line([(x_axis.at(p[0]), y_axis.at(max(lowest, even * p[1]))) for p in growth.points], "bytes")
        yield line([point[:2] for point in points], kind)
        for x, y, p in points:
            yield (f'<circle class="dot-{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{kind}: {p[0]} {growth.unit}, '
                   f'{p[1] / 1e6:.2f} MB: {p[column].median * 1e3:.3f} ms (min {p[column].least * 1e3:.3f})</title></circle>')


def draw_legend(y):
    for i, (kind, words) in enumerate((
            ("core", "the core"), ("scrape", "a proxied scrape"), ("recv", "receiving the body"),
            ("bytes", "in proportion to the bytes"))):
        x = LEFT + i * 170
        yield line([(x, y - 4), (x + 28, y - 4)], kind) + text(x + 34, y, words, "start")


def write_plot(path, growths):
    """Two panels per row; all share a scale of milliseconds."""
    times = [p[column].median * 1e3 for g in growths for p in g.points for column, _ in COLUMNS]
    y_axis = Axis(times, HEIGHT - BOTTOM, TOP)
    width, height = 2 * WIDTH, HEAD + HEIGHT * -(-len(growths) // 2)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
             "<title>CPU time of one shard of 80, by the size of the body</title>", f"<style>{STYLE}</style>",
             f'<rect class="paper" width="{width}" height="{height}"/>',
             text(LEFT, 28, "CPU time of one shard of 80, median", "start", "head"), *draw_legend(52)]
    for i, growth in enumerate(growths):
        x_axis = Axis([p[0] for p in growth.points], LEFT, WIDTH - RIGHT)
        parts.append(f'<g transform="translate({i % 2 * WIDTH} {HEAD + i // 2 * HEIGHT})">')
        parts += [*draw_panel(growth, x_axis, y_axis), "</g>"]
    path.write_text("\n".join(parts + ["</svg>", ""]))
