# SPDX-License-Identifier: Apache-2.0
"""The commands' output on a terminal: charts that fit, colours if wanted, progress that is erased."""
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from conftest import BINARY, SLOW, run, wait_until
from test_plan import NODE, plan, skewed
from tools import PROGRESS, complaints


def in_terminal(*args, columns=100, rows=50, env=()):
    """The output of a command on a terminal of that size."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE")}
    with subprocess.Popen([BINARY, *map(str, args)], stdout=other, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                          env=environment | {"TERM": "xterm", "LANG": "C.UTF-8"} | dict(env)) as p:
        os.close(other)
        out = b""
        try:
            while piece := os.read(main, 65536):
                out += piece
                if len(out) > 1 << 20:
                    p.kill()
                    pytest.fail(f"endless output: {out[:300]}")
        except OSError:  # the other end is closed
            pass
        assert p.wait(20 * SLOW) == 0, out
    os.close(main)
    return out.decode().replace("\r\n", "\n")


def bars(text):
    """(first word, bar) of each line of the chart."""
    chart = text.split("bytes\n", 1)[1].split("The mean", 1)[0].split("Each line", 1)[0]
    return [(line.split()[0], line.split()[-1]) for line in chart.strip("\n").split("\n")]


def test_chart_fits_the_terminal():
    for columns in 60, 100, 180:
        out = in_terminal("plan", "--shard-count=7", NODE, columns=columns, env=[("NO_COLOR", "1")])
        assert "\033" not in out
        drawn = bars(out)
        assert [name for name, _ in drawn] == list("0123456")
        lengths = [len(bar) for _, bar in drawn]
        series = [s["series"] for s in plan(7, NODE)["shards"]]
        assert max(lengths) == lengths[series.index(max(series))]
        chart = out.split("bytes\n", 1)[1].split("The mean", 1)[0]
        assert columns - 2 <= max(map(len, chart.split("\n"))) <= columns
        for length, n in zip(lengths, series):
            assert abs(length - n / max(series) * max(lengths)) <= 1
        assert "█" in drawn[0][1]


def test_headings_end_above_their_columns():
    out = in_terminal("plan", "--shard-count=7", NODE, env=[("NO_COLOR", "1")])
    heading, *rows = out[out.index("      shard"):out.index("The mean")].strip("\n").split("\n")
    for row in rows:
        cells = re.match(r"( +\d+)( +\d+)( +\d+)( +[\d.]+ k?B)", row)
        assert [cells.end(i) for i in range(1, 5)] == [m.end() for m in re.finditer(r"\w+", heading)], row


@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_narrow_terminals_have_short_bars_or_none(language):
    """The columns of a table stay, however narrow the terminal; the bars beside them fit."""
    for columns in range(1, 81):
        out = in_terminal("plan", "--shard-count=7", NODE, columns=columns, env=[("NO_COLOR", "1"), ("LANG", language)])
        chart = out.split("bytes\n", 1)[1].split("The mean", 1)[0].strip("\n").split("\n")
        counts = out.split("Other shard counts:\n", 1)[1].split("\n\n", 1)[0].split("\n")[1:]
        assert (len(chart), len(counts)) == (7, 19)
        for line in chart + counts:
            table, bar = re.fullmatch(r"( +\S+ +\d+ +[\d.]+ +[\d.]+(?: k?B)?)((?:  [█▏▎▍▌▋▊▉#]+)?)", line).groups()
            assert len(table) <= 42 and (not bar or len(line) < columns), (columns, line)
        assert any(line[-1] in "█#" for line in chart) == (columns > 45), columns


def test_many_shards_are_folded():
    out = in_terminal("plan", "--shard-count=80", NODE, rows=30)
    plain = re.sub(r"\033\[\d*m", "", out)
    series = [s["series"] for s in plan(80, NODE)["shards"]]
    assert "Each line is the fullest of 4 shards." in plain
    chart = plain.split("bytes\n", 1)[1].split("Each line", 1)[0]
    shown = [line.split()[:2] for line in chart.strip("\n").split("\n")]
    assert shown == [[f"{i}-{i + 3}", str(max(series[i:i + 4]))] for i in range(0, 80, 4)]


def test_colours_only_if_wanted():
    args = ["plan", "--shard-count=7", NODE]
    assert "\033[32m" in in_terminal(*args)
    assert "\033" not in in_terminal(*args, env=[("NO_COLOR", "1")])
    assert "\033" not in in_terminal(*args, env=[("TERM", "dumb")])
    assert "\033[32m" in in_terminal(*args, env=[("NO_COLOR", "")])
    assert "█" not in in_terminal(*args, env=[("LANG", "C")])
    assert "\033[1m" in in_terminal("explain", "--shard-count=7", "up")
    status, out, _ = run("plan", "--shard-count=7", str(NODE))
    assert status == 0 and "\033" not in out and "█" not in out and "#####" in out


def test_report_of_a_skewed_body(tmp_path):
    body = tmp_path / "body"
    body.write_text("# TYPE giant gauge\n" + skewed())
    status, out, err = run("plan", "--shard-count=8", "--targets=3400", "--interval=60s", str(body))
    assert (status, complaints(err)) == (0, "")
    p = plan(8, "--targets=3400", body)
    assert f"{body}: 1180 series in 61 families, 19.9 kB of text" in out
    assert "Shard %d is the fullest. Its largest families:\n       1000 series" % p["balance"]["fullest_shard"] in out
    assert "    [rules]\n    split = giant\n" in out
    assert f"as configured {p['balance']['most_series']:>10} {p['balance']['skew_series']:9.2f}" in out
    assert f"with the rules {p['suggested_split']['balance']['most_series']:>9} {p['suggested_split']['balance']['skew_series']:9.2f}" in out
    assert f"Series that change shard between 8 and 9 shards:\n      modulo {p['move']['modulo_series']:9}" in out
    assert "3400 such targets, scraped every 60 s by 8 servers:" in out
    assert "samples parsed   before    534.9 k/s     66.9 k/s\n" in out
    assert "drops 7/8 of it" in out


def test_progress_goes_to_standard_error():
    """A slow body has a line of progress after a second, a quick one has none."""
    with subprocess.Popen([BINARY, "plan", "--shard-count=3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as p:
        os.set_blocking(p.stderr.fileno(), False)

        def fed():
            p.stdin.write(b"a 1\n")
            p.stdin.flush()
            return p.stderr.readline()
        line = wait_until(fed, "there is no progress")
        p.stdin.close()
        out = p.stdout.read()
        assert p.wait(20 * SLOW) == 0
        os.set_blocking(p.stderr.fileno(), True)
        assert re.fullmatch(PROGRESS, line.decode()) and b"bytes read" in line
        assert b"bytes read" not in out


@pytest.mark.parametrize("columns", [80, 20, 1])
def test_progress_on_a_terminal_is_one_line_that_is_erased(columns):
    """It is cut at the width of the terminal: a second row could not be erased."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
    with subprocess.Popen([BINARY, "plan", "--shard-count=3"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                          stderr=other) as p:
        os.close(other)
        os.set_blocking(main, False)
        shown = b""

        def read():
            try:
                return os.read(main, 65536)
            except BlockingIOError:
                return b""

        def fed():
            nonlocal shown
            p.stdin.write(b"a 1\n")
            p.stdin.flush()
            shown += read()
            return shown.count(b"\r") > 2
        wait_until(fed, "there is no progress")
        p.stdin.close()
        assert p.wait(20 * SLOW) == 0
        with contextlib.suppress(OSError):  # the other end is closed; one read may not have all of it
            while piece := os.read(main, 65536):
                shown += piece
    os.close(main)
    lines = shown.split(b"\r\033[K")
    assert lines[0] == lines[-1] == b"" and b"\n" not in shown
    for line in lines[1:-1]:
        assert line.startswith(b"scrapeshard: bytes read: "[:columns - 1]) and len(line) < columns
