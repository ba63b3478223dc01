# SPDX-License-Identifier: Apache-2.0
"""The bench measures, and reports what it measured. No test depends on the speed."""
import contextlib
import importlib.machinery
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from conftest import BINARY, ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import documents
import growth
import measure
import plot
import real
import real_services
import verdicts
from report import Report

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.alone
@pytest.mark.xdist_group("bench")  # both build
@pytest.mark.skipif("build/" not in BINARY, reason="the bench measures the ordinary build")
def test_bench_measures_the_core():
    r = subprocess.run([ROOT / "tests/bench/run", "--rounds=1", "--only=core"], capture_output=True, text=True, check=False)
    assert (r.returncode, r.stderr) == (0, "")
    for content_type in ("text/plain", "application/openmetrics-text", "application/vnd.google.protobuf"):
        assert re.search(rf"^The core, \d{{7}} bytes of {content_type}\n.*\nmemchr loop +\d+\.\d{{3}} ", r.stdout, re.M)
    markdown = r.stdout.split("Measured on: ")[1].splitlines()
    rows = [line for line in markdown if line.startswith("| N=80, 16 KiB ")]
    assert len(rows) == 3 and all(re.search(r"[1-9].* ms \| .*[1-9].* ms \| ", row) for row in rows)
    assert len([line for line in markdown if "| core, " in line]) == 12 and "not measured" not in r.stdout


def figures(least, median):
    return measure.Figures(least, median, 0)


@pytest.mark.parametrize("least, median, verdict", [
    (0.9, 0.8, "held"), (0.9, 0.6, "held by the minima only"), (0.6, 0.7, "held by the medians only"), (0.6, 0.6, "NOT held")])
def test_verdicts_by_minima_and_medians(least, median, verdict, capsys):
    report = Report()
    report.table("core text/plain", "The core", {"memchr loop": figures(1, 1), "N=80, 16 KiB": figures(1 / least, 1 / median)})
    rows = {row[0]: row for row in verdicts.make_verdicts(report)}
    assert rows["core, text, N=80: speed beside memchr"][1:] == (f"{least:.2f} x", f"{median:.2f} x", ">= 0.7 x", verdict)
    assert rows["core, text, N=1: speed beside memchr"][4] == verdicts.NOT_MEASURED
    assert "memchr loop" in capsys.readouterr().out


@pytest.mark.alone
@pytest.mark.xdist_group("bench")  # both build
@pytest.mark.skipif("build/" not in BINARY, reason="the bench measures the ordinary build")
def test_bench_measures_a_real_service(tmp_path, capsys):
    subprocess.run(["ninja", "-C", measure.BUILD, "tests/bench-peer"], check=True, capture_output=True)
    report = Report()
    service = real_services.start_python_service(200)
    with service.process, contextlib.ExitStack() as stack:
        contests = real.start_contests(stack, service, "TCP", tmp_path, None)
        real.bench_hot(report, service, "TCP", contests, 1, 2)
        real.bench_cold(report, [(service, "TCP", contests)], 1, 0)
    for section in ("real prometheus_client TCP", "cold prometheus_client TCP"):
        for name in (real.NAIVE, real.STREAMED, real.WHOLE):
            for what in ("cpu", "wall"):
                assert 0 < report.get_wide(section, name, what).least < 10
        assert (report.get_wide(section, real.NGINX, "cpu") is None) == (not shutil.which("nginx"))
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| scrapeshard N=80 |")]
    assert len(rows) == 2 and all(row[1].endswith(" ms") for row in rows)


def load_fleet():
    """tests/bench/fleet as a module."""
    loader = importlib.machinery.SourceFileLoader("fleet", str(ROOT / "tests/bench/fleet"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("fleet", loader))
    loader.exec_module(module)
    return module


def test_fleet_places_series_as_hashmod_does():
    fleet = load_fleet()
    # tests/vectors: md5 of "up" is 2 of 3 and 4 of 8.
    assert int.from_bytes(fleet.digest("up"), "big") % 3 == 2 and int.from_bytes(fleet.digest("up"), "big") % 8 == 4
    names = [f"name_{i}" for i in range(400)]
    shard = fleet.typical_shard("".join(f"# TYPE {name} gauge\n{name}{{a=\"b\"}} 1\n" for name in names).encode())
    assert sum(fleet.shard_of(name) == shard for name in names) == 10


def test_fleet_counts_what_all_servers_cost():
    fleet = load_fleet()

    def outcome(cpu, sidecars, service):
        return fleet.Outcome(figures(cpu, cpu), figures(1e6, 1e6), figures(sidecars, sidecars), figures(service, service),
                             figures(20, 20), figures(1e8, 1e8), figures(1e7, 1e7), figures(1e6, 1e6), 700)
    measured = fleet.Fleet({"hashmod": outcome(0.5, 0, 2), "scrapeshard": outcome(0.025, 0.1, 1),
                            "max_age": outcome(0.03, 0.188, 8), "one server": outcome(1, 0, 2)})
    rows = {row[0]: row[2:] for row in verdicts.judge(measured.targets())}
    assert rows["Prometheus' CPU, beside hashmod"] == ("0.05 x", "<= 0.08 x", "held")
    # 40 servers save 0.47 s each; their scrapes were all made, so the sidecars' 0.188 s are for all of them, and so are the 8 s
    # of the service, which without max_age takes 2 s for one server.
    assert rows["the sidecars' CPU with max_age, of what servers alone save"] == ("1.00 %", "<= 2 %", "held")
    assert rows["the sidecars' CPU with max_age, of what servers and services save"] == ("0.21 %", "<= 2 %", "held")
    assert rows["the services' CPU with max_age, beside hashmod"] == ("0.10 x", "<= 0.1 x", "held")
    table = list(fleet.table_lines(measured, dict(fleet.ROWS).values()))
    assert "| all servers: CPU | 20.0 s | 1.00 s | 1.20 s | 1.00 s |" in table
    assert "| all sidecars: CPU |  | 4.00 s | 0.19 s |  |" in table
    assert "| bodies they render | 800 | 800 | 20 | 20 |" in table


def test_figures_are_put_into_the_documents(tmp_path):
    for name in ("README.md", "contrib/docs/performance.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    report = Report()
    report.table(documents.LARGE, "", {"raw recv": figures(0.001, 0.0012), "scrapeshard N=80": figures(0.002, 0.0023)})
    report.wide(documents.REAL, "client_golang over TCP, 2.70 MB", {real.NAIVE: real.Sample(*[figures(0.0037, 0.004)] * 4)})
    documents.write_run(report, [("what", "1 x", "2 x", "<= 3 x", "held")], 15, tmp_path)
    documents.write_fleet(["| small |"], ["| whole |"], [], tmp_path)
    readme, performance = ((tmp_path / name).read_text() for name in ("README.md", "contrib/docs/performance.md"))
    assert "| receive the body, and nothing else | 1.2 ms | 4 ms |\n| **a scrape of one shard of 80** | 2.3 ms |  |\n" in readme
    assert "<!-- figures: tests/bench/fleet -->\n| small |\n<!-- /figures -->" in readme
    assert "| receive the body, and nothing else | 1 / 1.2 ms | 3.7 / 4 ms |" in performance and "| whole |" in performance
    assert "| client_golang over TCP, 2.70 MB | 3.7 / 4 | 3.7 / 4 |" in performance
    assert re.search(r"^\| what +\| 1 x +\| 2 x +\| <= 3 x \| held \|$", performance, re.M)
    assert readme.startswith((ROOT / "README.md").read_text().split("<!--")[0])
    with pytest.raises(SystemExit, match="0 places"):
        documents.replace(tmp_path / "README.md", "tests/bench/nothing", [])


def test_cost_of_a_series_is_judged_from_ten_thousand_up():
    report = Report()
    report.table("growth series core", "", {"1000 series, 1 MB": figures(1, 1), "10000 series, 10 MB": figures(2, 2),
                                            "100000 series, 100 MB": figures(28, 32)})
    row = next(row for row in verdicts.make_verdicts(report) if row[0].startswith("core: cost of a series"))
    assert row[1:] == ("1.40 x", "1.60 x", "<= 1.5 x", "held by the minima only")


def test_plot_has_every_point(tmp_path):
    grown = growth.Growth("series", "With <series>", "series")
    grown.points = [(10 ** e, 10 ** e * 130, *[figures(f * 10 ** e, f * 10 ** e) for f in (1e-8, 4e-8, 2e-8)]) for e in (3, 4, 5)]
    plot.write_plot(tmp_path / "plot.svg", [grown])
    svg = xml.etree.ElementTree.parse(tmp_path / "plot.svg").getroot()
    width, height = map(int, svg.get("viewBox").split()[2:])
    dots = svg.findall(f".//{SVG}circle")
    assert len(dots) == 9 and "core: 1000 series, 0.13 MB: 0.010 ms (min 0.010)" in {d[0].text for d in dots}
    assert all(0 < float(d.get("cx")) < width and 0 < float(d.get("cy")) < height for d in dots)
    labels = [t.text for t in svg.iter(SVG + "text")]
    assert "With <series>" in labels and {"1 k", "10 k", "100 k", "0.01 ms", "10 ms"} <= set(labels)
    # Ten times the series at ten times the cost: a straight line, the same as that of the bytes.
    core = svg.findall(f".//{SVG}g/{SVG}polyline[@class='core']")[0].get("points")
    even = svg.findall(f".//{SVG}g/{SVG}polyline[@class='bytes']")[2].get("points")
    assert core == even
