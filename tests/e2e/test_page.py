# SPDX-License-Identifier: Apache-2.0
"""The shard page in a real browser: what it shows of known scrapes, that all untrusted text is escaped, and that it is
accessible."""
import base64
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

from browser import Browser
from conftest import BINARY, answer, answering, wait_until
from containers import good
from exposition import shard_of, target
from test_captured import CASES

# Family f1 has one series, f40 has 40.
BODY = b"".join(b'f%d{a="%d"} 1\n' % (i, j) for i in range(1, 41) for j in range(i))
TAB, ENTER = "\ue004", "\ue007"


@pytest.fixture
def browser(tmp_path):
    """browser(**options) starts a Chromium."""
    started = []

    def start(**options):
        started.append(Browser(tmp_path / f"chromium-{len(started)}", **options))
        return started[-1]
    yield start
    for b in started:
        b.stop()


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


def page_url(sidecar, query=""):
    return f"http://127.0.0.1:{sidecar.admin_port}/{query}"


def scrape(sidecar, *targets, status=200):
    """Scrapes one after the other, until all are counted."""
    before = sidecar.count("msg=scrape ")
    for t in targets:
        assert sidecar.get(t)[0] == status
    wait_until(lambda: sidecar.count("msg=scrape ") == before + len(targets), "not every scrape is over")


# What it shows.


def test_shards(sidecar, service, browser):
    """A row for each scraped shard, and the missing ones by number."""
    s = sidecar(service.url, "--set", "admin.scrape_interval=1s")
    bodies = {i: s.get(target(i, 10))[2] for i in range(10) if i not in (3, 7, 8)}
    wait_until(lambda: s.count("msg=scrape ") == 7, "not every scrape is over")
    b = browser(scripts=False)
    b.open(page_url(s))
    rows = [row.split() for row in b.texts("section tbody tr[id^=e0-10-]")]
    series = {i: len(re.findall(rb"^f", body, re.M)) for i, body in bodies.items()}
    assert [(int(row[0]), int(row[1].replace(",", ""))) for row in rows] == list(series.items())
    assert all("127.0.0.1" in row and "ago" in row for row in rows)
    tiles = dict(text.split("\n") for text in b.texts("#e0-10 + .tiles div"))
    assert tiles["Total series"] == str(sum(series.values()))
    skew = max(series.values()) * 7 / sum(series.values())
    assert float(tiles["Skew (largest/mean)"]) == pytest.approx(skew, abs=.01)
    widths = [float(rect.attribute("width")) for rect in b.find("tr[id^=e0-10-] rect")]
    assert widths == [pytest.approx(100 * n / max(series.values()), abs=.01) for n in series.values()]

    def missing():
        for i in bodies:
            s.get(target(i, 10))
        b.open(page_url(s))
        return any("Missing: 3, 7-8." in text for text in b.texts(".alarm"))
    wait_until(missing, "the missing shards are not named", 30)
    assert "some missing" in b.one("#e0-10").text


def test_two_counts_raise_an_alarm(sidecar, service, browser):
    s = sidecar(service.url)
    b = browser()
    scrape(s, target(0, 3))
    b.open(page_url(s))
    assert not b.find(".alarm")
    scrape(s, target(3, 4))
    b.open(page_url(s))
    assert "More than one shard count is in use" in b.one(".alarm").text
    assert [text.split()[0] for text in b.texts("h3")][:2] == ["3", "4"]


def test_health(sidecar, upstream, browser, tmp_path):
    """Of each endpoint, with the last error; one that was not scraped is neither healthy nor failing."""
    good, bad = upstream(answering(answer(BODY))), upstream(answering(answer(b"<html>login</html>\n")))
    path = tmp_path / "scrapeshard.ini"
    path.write_text("".join(f"[endpoint {name}]\npath = /{name}\nupstream = {url}?token=hidden\n"
                            for name, url in (("a", good.url), ("b", bad.url), ("c", bad.url))))
    s = sidecar(config=str(path))
    scrape(s, "/a")
    scrape(s, "/b?shard=0&shard_count=2", status=502)
    scrape(s, "/b?shard=2&shard_count=2", status=400)
    b = browser()
    b.open(page_url(s))
    assert [re.sub(r"\s+", " ", text) for text in b.texts("h2")[:3]] == [
        "Endpoint a ✓ healthy", "Endpoint b ✗ upstream failing", "Endpoint c ○ not scraped yet"]
    facts = b.texts("section:nth-of-type(2) .facts dd")
    assert any("no_exposition" in fact and "<html>login</html>" in fact for fact in facts)
    assert any("bad_request" in fact and "shard 2 is out of range for 2 shards, expected 0 to 1" in fact for fact in facts)
    assert "0 succeeded, 2 failed" in facts
    assert "hidden" not in b.one("main").text
    assert f"{sum(range(1, 41))} series" in b.one("section:nth-of-type(1) .facts").text


def test_largest_families(sidecar, service, browser):
    s = sidecar(service.url)
    scrape(s, target(0, 5))
    b = browser()
    b.open(page_url(s))
    names = b.texts("h3 + .scroll tbody th code")
    assert names == [f"f{i}" for i in range(40, 30, -1)]


def test_failed_reload_raises_an_alarm(sidecar, service, browser, tmp_path):
    path = tmp_path / "scrapeshard.ini"
    path.write_text(f"[endpoint a]\nupstream = {service.url}\n")
    s = sidecar(config=str(path))
    path.write_text("junk\n")
    assert s.admin("/-/reload", "POST")[0] == 500
    b = browser()
    b.open(page_url(s))
    assert "The last reload failed" in b.one(".alarm").text


# The form.


@pytest.mark.parametrize("series", ["http_requests_total", 'http_requests_total{path="/a?b&c",code="200"}'])
def test_explain(sidecar, service, browser, series):
    """Without scripts, by the keyboard alone."""
    s = sidecar(service.url)
    shard = shard_of("http_requests_total", 5)
    scrape(s, target(shard, 5))
    b = browser(scripts=False)
    b.open(page_url(s))
    assert b.one("#shard_count").attribute("value") == "5"
    b.one("#series").type(series + ENTER)
    wait_until(lambda: b.find("#result"), "the form has no result")
    said = b.one("#result").text
    assert f"{shard} of 5" in said and "it is scraped" in said and "http_requests\n" in said
    assert b.one("#series").attribute("value") == series
    assert b.url.endswith("#explain")


@pytest.mark.parametrize("rule, series, said", [
    ("drop=a.*", "abc", "none"), ("keep=a.*", "b", "none"), ("replicate=a.*", "abc", "all 5"),
    ("colocate=([a-z]+)_.*", "abc_def", "abc"), ("colocate=abc(x?).*", "abc_def", "of 5"), ("split=abc", "abc", "of 5"),
])
def test_explain_rules(sidecar, service, rule, series, said):
    s = sidecar(service.url, "--set", f"rules.{rule}")
    body = s.admin(f"/?series={series}&shard_count=5")[2].decode()
    found = re.sub(r"<[^>]*>", "", re.search(r'<dl class="facts" id="result">(.*?)</dl>', body, re.S)[1])
    assert said in found
    assert rule.split("=")[0] in found


def test_a_group_is_shown_together(sidecar, service):
    """All lines of the name, and no other."""
    s = sidecar(service.url, *(f"--set=rules.colocate={rule}" for rule in
                               ("g: a_.*", "gh: b", "g: <c>|d", "(x):(.*)", "x: y")))
    def said(series):
        body = s.admin(f"/?series={series}&shard_count=5")[2].decode()
        return re.search(r'<dl class="facts" id="result">(.*?)</dl>', body, re.S)[1]
    for series in "a_1", "d":
        assert "<dt>Together with</dt><dd><code>a_.*</code>, <code>&lt;c&gt;|d</code></dd>" in said(series)
    assert "<dt>Together with</dt><dd><code>b</code></dd>" in said("b")
    assert "Together" not in said("x:1") and "Together" not in said("up")


GROUPED = b"".join(b'%s{id="%d"} 1\n' % (name, i) for name, series in
                   ((b"a_1", 3), (b"a_2", 2), (b"d", 4), *((b"many_%d" % n, 10 + n) for n in range(10)), (b"other", 99))
                   for i in range(series))
GROUPS = [f"--set=rules.colocate={rule}" for rule in ("g: a_.*", "g: d", "h: nothing", "m: many_.*")]


@pytest.mark.parametrize("max_age", ["0s", "1h"])
def test_groups_are_listed(sidecar, upstream, max_age):
    """All of the last body's, whatever shard was asked for: their shard, their size, their largest families."""
    s = sidecar(upstream(answering(answer(GROUPED))).url, *GROUPS, f"--set=endpoint.default.max_age={max_age}")
    assert "<h3>Groups</h3>" not in s.admin("/")[2].decode()
    scrape(s, target(0, 5), target(1, 7))
    section = re.search(r"<h3>Groups</h3>(.*?)</section>", s.admin("/")[2].decode(), re.S)[1]
    rows = [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", section)[1:]]
    largest = ", ".join(f"many_{n} ({10 + n})" for n in range(9, 1, -1))
    assert rows == [[name, families, series, f"{shard_of(name, 5)} of 5, {shard_of(name, 7)} of 7", members]
                    for name, families, series, members in
                    (("m", "10", "145", f"{largest} and 2 more"), ("g", "3", "9", "d (4), a_1 (3), a_2 (2)"),
                     ("h", "0", "0", ""))]


@pytest.mark.parametrize("max_age", ["0s", "1h"])
def test_a_group_has_a_size(sidecar, upstream, max_age):
    """Of the last body: what has the group's key, whatever shard was asked for."""
    s = sidecar(upstream(answering(answer(GROUPED))).url, *GROUPS, f"--set=endpoint.default.max_age={max_age}")
    assert "Group at" not in s.admin("/?series=d&shard_count=5")[2].decode()
    scrape(s, target(0, 5))
    members = "<code>d</code> (4), <code>a_1</code> (3), <code>a_2</code> (2)"
    for series, size in ("d", f"3 families, 9 series: {members}"), ("nothing", "0 families, 0 series"):
        page = s.admin(f"/?series={series}&shard_count=5")[2].decode()
        assert f"<dt>Group at endpoint default</dt><dd>{size}</dd>" in page
    assert "Group at" not in s.admin("/?series=other&shard_count=5")[2].decode()


def test_groups_after_a_reload(sidecar, upstream, config):
    """They are those of the new rules, once a scrape has used them."""
    url = upstream(answering(answer(GROUPED))).url
    file = config(f"[endpoint a]\nupstream = {url}\n[rules]\ncolocate = g: a_.*\n")
    s = sidecar(config=file)

    def groups():
        return re.findall(r'<tr><th scope="row" class="name"><code>(\w+)</code></th><td>(\d+)</td><td>(\d+)</td>',
                          s.admin("/")[2].decode())
    scrape(s, target(0, 5))
    assert groups() == [("g", "2", "5")]
    config(f"[endpoint a]\nupstream = {url}\n[rules]\ncolocate = h: a_.*|d\ncolocate = i: other\n")
    assert s.admin("/-/reload", "POST")[0] == 200 and groups() == []
    scrape(s, target(0, 5))
    assert groups() == [("i", "1", "99"), ("h", "3", "9")]


@pytest.mark.parametrize("query, said", [
    ("?series=up&shard_count=0", "from 1 to 65536"), ("?series=up&shard_count=x", "from 1 to 65536"),
    ("?series=up", "is not a number"), ("?series=9up&shard_count=3", "9up"), ("?series=%C3%A9&shard_count=3", "é"),
    ("?series=up%7B&shard_count=3", "up{"),
])
def test_explain_says_what_is_wrong(sidecar, service, query, said):
    status, _, body = sidecar(service.url).admin(f"/{query}")
    assert status == 200
    assert said in re.search(r'<p class="alarm" id="result">(.*?)</p>', body.decode(), re.S)[1]


@pytest.mark.parametrize("query", ["?", "?series", "?series=", "?&&", "?series=%00&shard_count=3", "?%", "?a=b",
                                   "?series=a&series=b", "?series=" + "x" * 5000])
def test_odd_queries_harm_nothing(sidecar, service, query):
    s = sidecar(service.url)
    assert s.admin(f"/{query}")[0] == 200
    assert s.admin("/-/healthy")[0] == 200


# What if?

NODE = (CASES / "node-exporter-text-6of7.in").read_bytes()
RULES = ["--set=rules.replicate=go_info|process_.*", "--set=rules.drop=promhttp_.*", "--set=rules.colocate=(node_cpu)_.*"]


def what_if(sidecar, query):
    """The result of the form, as HTML."""
    status, _, body = sidecar.admin(f"/?{query}")
    assert status == 200
    return re.search(r'(<(?:div|p)[^>]* id="distribution".*)</section>', body.decode(), re.S)[1]


def table(html, name):
    """The cells of a table, by row."""
    rows = re.search(rf'<table id="{name}">.*?<tbody>(.*?)</tbody>', html, re.S)[1]
    return [[cell for cell in re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row)]
            for row in re.findall(r"<tr[^>]*>(.*?)</tr>", rows, re.S)]


def number(text):
    return int(text.replace(",", ""))


@pytest.mark.parametrize("max_age", ["0s", "1h"])
@pytest.mark.parametrize("options", [[], RULES, ["--set=sharding.key=declared", "--set=sharding.placement=jump"],
                                     ["--set=sharding.hash=md5"]])
def test_what_if_says_what_plan_says(sidecar, upstream, max_age, options):
    """Of the same body, for any count, also one that no scraper has ever requested."""
    s = sidecar(upstream(answering(answer(NODE))).url, *options, f"--set=endpoint.default.max_age={max_age}")
    scrape(s, target(0, 2))
    for count in (2, 7, 64):
        planned = json.loads(good(BINARY, "plan", f"--shard-count={count}", f"--to={2 * count}", "--json", *options,
                                  CASES / "node-exporter-text-6of7.in"))
        html = what_if(s, f"n={count}")
        assert "Not included" not in html
        shown = [(number(shard), number(series)) for shard, series in table(html, "distribution-shards")]
        assert shown == [(p["shard"], p["series"]) for p in planned["shards"]]
        near = {number(row[0]): row[1:] for row in table(html, "distribution-counts")}
        assert list(near) == [count - 1, count, count + 1, 2 * count]
        for other in planned["counts"]:
            if other["shard_count"] in near:
                skew, change, most, mean, _ = near[other["shard_count"]]
                assert float(skew) == pytest.approx(other["skew_series"], abs=.006)
                assert number(most) == other["most_series"]
                assert number(mean) == pytest.approx(other["mean_series"], abs=.51)
                assert float(change.replace("\u2212", "-")) == pytest.approx(
                    other["skew_series"] - planned["balance"]["skew_series"], abs=.011)
        placement = "jump" if any("jump" in o for o in options) else "modulo"
        assert number(near[2 * count][-1]) == planned["move"][f"{placement}_series"]
        assert near[count][-1] == "0"


@pytest.mark.parametrize("options, not_included, series", [
    (["--set=rules.split=f40"], "40 series of 1 families", 780),
    (["--set=rules.drop=f40_bucket"], None, 820),
    (["--set=sharding.key=name"], "820 series of 40 families", None),
    (["--set=sharding.key=labels", "--set=sharding.source_labels=a"], "820 series of 40 families", None),
])
def test_what_if_says_what_it_cannot_tell(sidecar, service, options, not_included, series):
    s = sidecar(service.url, *options)
    scrape(s, target(0, 2))
    html = what_if(s, "n=5")
    assert (f"Not included: {not_included} that are split" if not_included else "distribution-shards") in html
    assert ("distribution-shards" in html) == (series is not None)
    if series:
        assert sum(number(n) for _, n in table(html, "distribution-shards")) == series


def test_what_if_a_family_has_rules_for_some_of_its_samples(sidecar, upstream):
    """Then it has no single shard, though its key is the family."""
    s = sidecar(upstream(answering(answer(b'h_bucket{le="1"} 1\nh_sum 1\nh_count 1\na 1\n'))).url,
                "--set=rules.drop=h_bucket")
    scrape(s, target(0, 2))
    html = what_if(s, "n=3")
    assert "Not included: 3 series of 1 families" in html
    assert sum(number(n) for _, n in table(html, "distribution-shards")) == 1


def test_what_if_there_are_very_many(sidecar, upstream):
    """Families, of which a part is remembered; shards, of which the fullest are shown."""
    s = sidecar(upstream(answering(answer(b"".join(b"f%d 1\n" % i for i in range(9000))))).url)
    scrape(s, target(0, 2))
    html = what_if(s, "n=65536")
    assert f"Not included: {9000 - 8192} series" in html and len(html) < 100_000
    rows = [number(n) for _, n in table(html, "distribution-shards")]
    assert len(rows) == 128 and rows == sorted(rows, reverse=True) and rows[0] > 1
    assert [row[0] for row in table(html, "distribution-counts")] == ["65,535", "65,536"]
    assert [row[0] for row in table(what_if(s, "n=1"), "distribution-counts")] == ["1", "2"]


@pytest.mark.parametrize("query, said", [
    ("n=0", "from 1 to 65536"), ("n=65537", "from 1 to 65536"), ("n=x", "from 1 to 65536"), ("n=", "is not a number"),
    ("n=3&endpoint=%3Cb%3E", "Unknown endpoint &lt;b&gt;"), ("n=3", "no successful scrape under"),
])
def test_what_if_says_what_is_wrong(sidecar, service, query, said):
    assert said in what_if(sidecar(service.url), query)


def test_what_if_by_keyboard(sidecar, upstream, service, browser, tmp_path):
    """Without scripts, for the chosen endpoint. Other rules discard the distribution."""
    few = upstream(answering(answer(b"a 1\nb 1\n")))
    path = tmp_path / "scrapeshard.ini"
    path.write_text(f"[endpoint a]\npath = /a\nupstream = {few.url}\n"
                    f"[endpoint b]\npath = /b\nupstream = {service.url}\n")
    s = sidecar(config=str(path))
    scrape(s, "/a", "/b?shard=0&shard_count=5")
    b = browser(scripts=False)
    b.open(page_url(s))
    assert b.one("#n").attribute("value") == "5"
    b.one("#endpoint").type("b")
    b.one("#n").clear()
    b.one("#n").type("7" + ENTER)
    wait_until(lambda: b.find("#distribution"), "the form has no result")
    assert "n=7" in b.url and b.url.endswith("#what-if")
    assert "Endpoint b" in b.one("#distribution").text and b.one("#n").attribute("value") == "7"
    assert b.one("#endpoint").computedlabel == "Endpoint"
    loads = [sum(i for i in range(1, 41) if shard_of(f"f{i}", 7) == shard) for shard in range(7)]
    assert [row.split() for row in b.texts("#distribution-shards tbody tr")] == [[str(i), str(n)] for i, n in enumerate(loads)]
    widths = [float(rect.attribute("width")) for rect in b.find("#distribution-shards rect")]
    assert widths == [pytest.approx(100 * n / max(loads), abs=.01) for n in loads]
    assert s.admin("/-/reload", "POST")[0] == 200
    assert "no successful scrape under" not in what_if(s, "n=7&endpoint=b")
    path.write_text(path.read_text() + "[rules]\ndrop = x\n")
    assert s.admin("/-/reload", "POST")[0] == 200
    assert "no successful scrape under" in what_if(s, "n=7&endpoint=b")


# Untrusted text is escaped.

NAME = '<script>alert(1)</script><i id="\'&{}%s'
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(1)>"\'&{}%s'


def test_hostile_texts(sidecar, upstream, browser, tmp_path):
    """In the name of an endpoint and of a family, in an error's reason and in the form."""
    body = '{"%s"} 1\n' % HOSTILE.replace('"', '\\"')
    good = upstream(answering(answer(body.encode(), "text/plain; version=1.0.0")))
    bad = upstream(answering(answer(b"<html><script>alert(1)</script>\n")))
    path = tmp_path / "scrapeshard.ini"
    path.write_text(f"[endpoint {NAME}]\npath = /\nupstream = {good.url}\n"
                    f"[endpoint b]\npath = /b\nupstream = {bad.url}\n")
    s = sidecar(config=str(path))
    scrape(s, "/?shard=0&shard_count=1")
    scrape(s, "/b", status=502)
    b = browser()
    quoted = "%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E"
    b.open(page_url(s, f"?series={quoted}&shard_count={quoted}&n={quoted}&endpoint={quoted}"))
    assert b.run("return document.querySelectorAll('script,img,[onerror]').length") == 0
    assert NAME in b.texts("h2")[0]
    assert HOSTILE in b.texts("tbody th code")
    assert any("<script>" in text for text in b.texts("section:nth-of-type(2) .facts dd"))
    assert b.one("#series").attribute("value") == '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    assert b.complaints() == []


def test_policy(sidecar, service, browser):
    """The policy allows the page's own style and nothing else, and the page needs nothing else."""
    s = sidecar(service.url)
    scrape(s, target(0, 2))
    _, headers, body = s.admin("/")
    style = re.search(rb"<style>(.*?)</style>", body, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style).digest()).decode()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "form-action 'self'" in policy
    assert headers["Content-Type"] == "text/html; charset=utf-8" and headers["Cache-Control"] == "no-store"
    assert not re.search(rb'<script|<iframe|(?:src|href)="(?:https?:)?//|style="|\son\w+=|@import|url\(', body)
    b = browser()
    b.open(page_url(s))
    assert b.complaints() == []
    assert b.one("body").style("max-width") != "none", "the style does not apply"


# Accessibility.


def contrast(browser, selector):
    """The contrast of an element's text to its background, as WCAG defines it."""
    def luminance(colour):
        parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear))
    text = luminance(browser.find(selector)[0].style("color"))
    ground = luminance(browser.run(f"""
        for (let e = document.querySelector({selector!r}); e; e = e.parentElement) {{
            const c = getComputedStyle(e).backgroundColor;
            if (c != "rgba(0, 0, 0, 0)") return c;
        }}"""))
    return (max(text, ground) + 0.05) / (min(text, ground) + 0.05)


@pytest.mark.parametrize("dark, ground", [(False, "rgba(255, 255, 255, 1)"), (True, "rgba(13, 17, 23, 1)")],
                         ids=["light", "dark"])
def test_colours(sidecar, upstream, browser, dark, ground):
    bodies = [BODY]

    def serve(u, connection):
        while u.read_request(connection):
            connection.sendall(answer(bodies[-1]))
    s = sidecar(upstream(serve).url)
    scrape(s, target(0, 2), target(1, 2), target(2, 3))
    bodies.append(b"<html>\n")
    scrape(s, target(0, 2), status=502)
    b = browser(dark=dark)
    b.open(page_url(s, "?series=a%20b&shard_count=3&n=4"))
    assert b.one("body").style("background-color") == ground
    for selector in ("body", ".soft", ".good", ".bad", ".quiet", ".alarm", "a", "label", "dt", "caption", "thead th",
                     "button", ".tiles dt"):
        assert contrast(b, selector) >= 4.5, selector


@pytest.mark.parametrize("width", [1200, 500])
def test_fits_its_window(sidecar, service, browser, width):
    """Nothing scrolls sideways, not even a table; no word of a table's header is broken."""
    s = sidecar(service.url)
    scrape(s, *(target(i, 12) for i in range(12)))
    b = browser(width=width)
    b.open(page_url(s, "?series=" + "x" * 300 + "&shard_count=3&n=12"))
    assert b.run("return document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert b.run("return [...document.querySelectorAll('.scroll')].map(e => e.scrollWidth - e.clientWidth)") == [0] * 4
    assert all(style == "normal" for style in {e.style("overflow-wrap") for e in b.find("thead th")}) or width > 640
    heights = b.run("return [...document.querySelectorAll('input,select,button')].map(e => e.offsetHeight)")
    assert len(set(heights)) == 1 and len(heights) == 5
    assert b.screenshot().startswith(b"\x89PNG")


def test_landmarks_names_and_headings(sidecar, service, browser):
    """What a screen reader relies on."""
    s = sidecar(service.url)
    scrape(s, *(target(i, 12) for i in range(12)))
    b = browser()
    b.open(page_url(s))
    assert b.one("html").attribute("lang") == "en"
    assert [b.one(tag).computedrole for tag in ("header", "nav", "main", "footer")] == [
        "banner", "navigation", "main", "contentinfo"]
    assert [e.computedrole for e in b.find("section")] == ["region"] * 3
    assert b.find("section")[0].computedlabel.startswith("Endpoint default")
    assert b.one("#series").computedlabel == "Metric, optionally with labels"
    assert b.one("#shard_count").computedlabel == "Number of shards"
    assert b.one("svg.chart").computedrole in ("image", "img") and "mean" in b.one("svg.chart").computedlabel
    for table in b.find("table"):
        assert table.computedrole == "table" and table.computedlabel
    assert len(b.find("h1")) == 1
    levels = [int(level) for level in re.findall(r"<h(\d)", s.admin("/")[2].decode())]
    assert levels[0] == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:]))
    ids = re.findall(r' id="([^"]*)"', s.admin("/")[2].decode())
    assert len(ids) == len(set(ids))
    assert b.run("return document.querySelectorAll('th:not([scope])').length") == 0


def test_keyboard(sidecar, service, browser):
    """Every stop of the Tab key is visible, and the first skips the header."""
    s = sidecar(service.url)
    scrape(s, target(0, 2))
    b = browser()
    b.open(page_url(s))
    stops = []
    for _ in range(12):
        b.press([TAB])
        stops.append(b.active().attribute("href") or b.active().attribute("id") or b.active().computedrole)
        if stops[-1] not in ("", "body"):
            assert b.active().style("outline-style") == "solid", stops
        if stops[-1] == "button":
            break
    assert stops[0].endswith("#main")
    assert {"series", "shard_count", "button"} <= set(stops)


# The listener.


def test_config(sidecar, service, tmp_path):
    """The current configuration, which check accepts; without what may be a secret."""
    path = tmp_path / "scrapeshard.ini"
    path.write_text(f"[endpoint a]\nupstream = {service.url}\ntimeout = 3s\n")
    s = sidecar(config=str(path))
    path.write_text(f"[endpoint a]\nupstream = {service.url}?token=hidden\n")
    status, headers, body = s.admin("/-/config")
    assert status == 200 and headers["Content-Type"].startswith("text/plain")
    assert b"timeout = 3s" in body and b"hidden" not in body
    assert s.admin("/-/reload", "POST")[0] == 200
    body = s.admin("/-/config")[2].decode()
    assert "timeout = 10s" in body and "hidden" not in body and f"upstream = {service.url}?<secret>\n" in body
    shown = tmp_path / "shown.ini"
    shown.write_text(body.replace("<secret>", "x"))
    assert subprocess.run([BINARY, "check", shown], check=False, capture_output=True).returncode == 0


def test_methods(sidecar, service):
    s = sidecar(service.url)
    for path in ("/", "/-/config"):
        status, headers, body = s.admin(path, "HEAD")
        assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 100
        assert s.admin(path, "POST")[0] == 405


def test_sets_cost_the_same_among_more_shards(sidecar, service):
    """All scrapes wait while the page is made."""
    def cost(count):
        s = sidecar(service.url)
        scrape(s, *(target(i, count) for i in range(1024)))

        def ticks():
            return sum(map(int, pathlib.Path(f"/proc/{s.pid}/stat").read_text().rpartition(") ")[2].split()[11:13]))
        before = ticks()
        for _ in range(40):
            assert s.admin("/")[2].count(f'<tr id="e0-{count}-'.encode()) == 1024
        return ticks() - before
    assert cost(65536) < 3 * cost(1024)


def test_thousands_of_shards(sidecar, service):
    """The page is made nevertheless, and stays small."""
    s = sidecar(service.url)
    scrape(s, *(target(i, 65536) for i in range(0, 2400, 2)))
    status, _, body = s.admin("/")
    assert status == 200 and len(body) < 2 << 20
    assert body.count(b'<tr id="e0-65536-') == 1024
    assert b"and more" in body
