# SPDX-License-Identifier: Apache-2.0
"""Every command, file and name in the README and in contrib/docs is run, or is what it is said to be."""
import os
import re
import shlex
import shutil
import subprocess
import xml.etree.ElementTree

import pytest
import yaml

from conftest import BINARY, ROOT, answer, answering, free_port
from prometheus import PROMTOOL
from containers import good, run
from exposition import target
from pki import Authority
from test_docs import DOCUMENTS, KEYS, TEXT

README = (ROOT / "README.md").read_text()
MIGRATION = ROOT / "contrib/prometheus/migration.md"
BODY = b"".join(b"f%d 1\n" % i for i in range(20))


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def commands():
    """What is indented and no program's output."""
    found = []
    for block in re.findall(r"(?:^ {4}.*\n)+", re.sub(r"^```.*?^```$", "", TEXT, flags=re.M | re.S), re.M):
        if not re.match(r" {4,}(\$|[^\n]*  name )", block):
            found += [line.strip() for line in block.splitlines() if re.match(r"(\./|build/|curl|tests/)", line.strip())]
    return [re.sub(r"\s+#.*", "", line) for line in found]


# The first lines, the picture, the links.


def test_the_first_lines():
    """What it is, why, and the two commands."""
    first = README.splitlines()[:10]
    assert first[0] == "# scrapeshard" and "Prometheus" in first[2]
    assert [line.split()[0] for line in first if line.startswith("    ")] == ["./contrib/quickstart", "./tests/run"]


def test_the_price_of_a_snapshot_is_told():
    """Where max_age is praised, and not only in the table of settings."""
    first = (ROOT / "contrib/docs/snapshots.md").read_text().split("\n\n")[1]
    assert "max_age = " in first and "values are up to `max_age` old" in " ".join(first.split())


def test_picture():
    path = ROOT / re.search(r"^!\[.+\]\((.*\.svg)\)$", README, re.M)[1]
    svg = xml.etree.ElementTree.parse(path).getroot()
    names = {e.tag.rsplit("}", 1)[-1] for e in svg.iter() if isinstance(e.tag, str)}
    assert {"title", "desc", "style"} <= names and "script" not in names
    assert "prefers-color-scheme: dark" in path.read_text()


def anchors(path):
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", path.read_text(), re.M)}


@pytest.mark.parametrize("path", [*DOCUMENTS, MIGRATION], ids=lambda path: path.name)
def test_links(path):
    """Files that are there, and headings in them."""
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        name, _, anchor = link.partition("#")
        to = (path.parent / name) if name else path
        assert to.exists(), link
        assert not anchor or anchor in anchors(to), link


def test_paths():
    """Files that are named without a link."""
    found = set(re.findall(r"`((?:\./)?(?:contrib|tests|conf|include|sidecar)/[\w./-]+)", TEXT))
    assert len(found) > 8
    assert not [path for path in found if not (ROOT / path).exists()]


# Settings, metrics, alerts.


def test_table_of_settings():
    """It is what config.def says, all of it."""
    table = good(ROOT / "tests/docs/settings", "--print")
    assert f"<!-- settings: made by tests/docs/settings -->\n{table}<!-- /settings -->\n" in TEXT, \
        "run tests/docs/settings"
    assert {tuple(name.split(".")) for name in re.findall(r"`(\w+\.\w+)`", table)} >= set(KEYS)


def test_names_of_settings():
    sections = {section for section, _ in KEYS}
    found = set(re.findall(rf"(?<![-\w/.])({'|'.join(sections)})\.(?!md\b)([a-z]\w*)\b", TEXT))
    assert len(found) > 40 and found <= set(KEYS)
    keys = {key for _, key in KEYS}
    assigned = set(re.findall(r"`(?:\[\w+\] )?([a-z_]+) = [^`]*`", TEXT))
    assert assigned and assigned <= keys | {"key"}


def test_names_of_metrics(sidecar, upstream):
    s = sidecar(upstream(answering(answer(BODY))).url)
    s.get(target(0, 2))
    text = s.admin("/metrics")[2].decode()
    known = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    found = set(re.findall(r"`(scrapeshard_\w+)", TEXT))
    assert len(found) > 6 and found <= known
    for name, label in re.findall(r"`(scrapeshard_\w+)\{(?:endpoint,)?(\w+)\}", TEXT):
        assert re.search(rf"^{name}\{{.*\b{label}=", text, re.M) or label in text, name


def test_outcomes_and_statuses():
    """The table has every outcome of the program's own, with its status."""
    table = (ROOT / "sidecar/proxy/outcome.c").read_text()
    known = {word: int(status) for word, status in re.findall(r'\{"(\w+)", (\d+),', table)}
    rows = re.findall(r"^\| (\d+|any other) \| ([^|]*) \|", TEXT, re.M)
    told = {word: status for status, words in rows for word in re.findall(r"`(\w+)`", words)}
    assert set(told) == set(known) - {"ok", "client_gone"}
    assert all(status == ("any other" if word == "passed_on" else str(known[word])) for word, status in told.items())


# Files.


def is_prometheus(text):
    return "scrape_configs:" in text


@pytest.mark.parametrize("text", [b for b in blocks("yaml") if is_prometheus(b)])
def test_prometheus_configurations(text, tmp_path):
    (tmp_path / "prometheus.yml").write_text(text)
    good(PROMTOOL, "check", "config", tmp_path / "prometheus.yml")


def contains(whole, part):
    """Whether all that part has is in whole, in its order."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and contains(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        rest = iter(whole)
        return isinstance(whole, list) and all(any(contains(w, p) for w in rest) for p in part)
    return whole == part


def sets(value):
    """The same with the arguments of a container in no order."""
    if isinstance(value, dict):
        return {k: sorted(v) if k == "args" else sets(v) for k, v in value.items()}
    return [sets(v) for v in value] if isinstance(value, list) else value


def test_kubernetes_is_what_the_overlays_say():
    """They are built and run by tests of their own."""
    kubernetes = ROOT / "contrib/kubernetes"
    prometheus = yaml.safe_load((kubernetes / "operator/prometheus.yaml").read_text())["spec"]
    wholes = [prometheus, *prometheus["scrapeClasses"],
              yaml.safe_load((kubernetes / "component/sidecar.yaml").read_text())["spec"]["template"]["spec"]]
    texts = [yaml.safe_load(b) for b in blocks("yaml") if not is_prometheus(b)]
    assert len(texts) == 3
    for text in texts:
        assert any(contains(sets(whole), sets(text)) for whole in wholes), text
    assert re.search(r"`scrapeClass: (.*)`", TEXT)[1] == yaml.safe_load_all(
        (kubernetes / "overlays/podmonitor/podmonitor.yaml").read_text()).__next__()["spec"]["scrapeClass"]


@pytest.mark.parametrize("text", blocks("ini"))
def test_ini(text, tmp_path):
    """Each is a configuration, once it has an endpoint and the files that it names."""
    ca = Authority(tmp_path, "ca")
    pem, key = ca.issue("server", "DNS:localhost")
    for name, path in (("tls.crt", pem), ("tls.key", key), ("scrapers.crt", ca.pem)):
        text = text.replace(f"/etc/scrapeshard/{name}", str(path))
    if "[endpoint" not in text:
        text += "[endpoint app]\nupstream = http://127.0.0.1:8080/metrics\n"
    r = run(BINARY, "check", "-", input=text)
    assert (r.returncode, r.stderr) == (0, ""), r.stderr


# Commands.


@pytest.fixture
def doors(upstream, sidecar):
    """A service and its sidecar, in the place of those that the README speaks of: {what it says: what is so}."""
    service = upstream(answering(answer(BODY)))
    s = sidecar(service.url)
    return {"http://127.0.0.1:8080/metrics": service.url, "127.0.0.1:19480": f"127.0.0.1:{s.port}",
            "build/sidecar/scrapeshard": BINARY}


# Those that a test elsewhere runs, or that would run this one.
ELSEWHERE = {"./contrib/quickstart", "./tests/run", "./tests/run --all", "tests/bench/run", "tests/bench/fleet"}


def serves(command):
    words = shlex.split(command)
    return words[0].endswith("sidecar/scrapeshard") and re.match(r"--(upstream|config)", words[1])


def test_commands_are_known():
    found = commands()
    assert ELSEWHERE <= set(found) and len(found) >= 9
    assert {c.split()[1] for c in found if " " in c and c.startswith("build")} >= {"verify", "check"}


@pytest.mark.parametrize("command", [c for c in commands() if c not in ELSEWHERE])
def test_commands(command, doors, process):
    for said, so in doors.items():
        command = command.replace(said, so)
    if serves(command):
        port = free_port()
        p = process([*shlex.split(command), f"--web.listen-address=127.0.0.1:{port}",
                     "--admin.listen-address=127.0.0.1:0"], cwd=ROOT)
        p.wait_line(r'msg="listening for administration"')
        return
    out = good("bash", "-o", "pipefail", "-c", command, cwd=ROOT)
    assert out or "check" in command


def test_what_verify_says(upstream, sidecar):
    """The example, with its address."""
    shown = re.search(r"^    \$ scrapeshard (verify .*)\n((?:    .*\n)+)", TEXT, re.M)
    body = b"go_info 1\n" + b"".join(b"f%d 1\n" % i for i in range(73))
    url = f"http://127.0.0.1:{sidecar(upstream(answering(answer(body))).url, '--set', 'rules.replicate=go_info').port}/metrics"
    said = "http://127.0.0.1:19480/metrics"
    out = good(BINARY, *shown[1].replace(said, url).split())
    assert out == re.sub("^ {4}", "", shown[2], flags=re.M).replace(said, url)


# Which test runs what stands in the text with its arguments; None: none does, for it takes minutes and tools of its own.
SCRIPTS = {"contrib/quickstart": "test_docs", "contrib/docker/build": "test_kubernetes", "contrib/kubernetes/try": "test_kubernetes",
           "contrib/debian/build": "test_debian", "tests/bench/run": "test_bench", "tests/bench/fleet": "test_bench",
           "tests/torture/load": "test_load",
           "tests/fuzz/run": "test_readme", "contrib/install": "test_readme", "tests/cases/run": "test_readme",
           "tests/analysis/run": None, "tests/analysis/coverage": None, "tests/analysis/valgrind": None}


def test_scripts_are_run():
    found = set(re.findall(r"(?:`|^ {4})(?:\./)?((?:contrib|tests)/[\w/]+)(?=[` ])", TEXT, re.M))
    scripts = {path for path in found if (ROOT / path).is_file() and (ROOT / path).suffix == ""}
    assert scripts - {"tests/run"} == set(SCRIPTS)
    for path, test in SCRIPTS.items():
        assert test or run("bash", "-n", ROOT / path).returncode == 0, path
        assert not test or path.split("/")[-1] in (ROOT / f"tests/e2e/{test}.py").read_text()


def test_install_knows_what_it_is_asked_for():
    """Without installing: a set is known if a wrong one behind it is what is refused."""
    sets = set(re.findall(r"contrib/install (\w+)", TEXT))
    assert sets >= {"bench", "analysis"}
    script = (ROOT / "contrib/install").read_text()
    known = set(re.search(r"^    ([\w| ]+)\) wanted", script, re.M)[1].split(" | "))
    assert sets <= known and all(re.search(f"^{name}=", script, re.M) for name in known)
    assert run(ROOT / "contrib/install", "junk").returncode == 2


@pytest.mark.skipif("build/" not in BINARY, reason="fuzzers are built once")
def test_fuzz():
    """As the text has it, for a second; what it has found stays where it is."""
    words = re.search(r"`(tests/fuzz/run) (\w+) \d+`", TEXT)
    r = run(ROOT / words[1], words[2], "1")
    assert r.returncode == 0 and re.search(r"Done \d+ runs in", r.stderr), r.stderr[-2000:]
    assert run(ROOT / words[1], "junk").returncode == 2


def test_approve(tmp_path):
    """In a copy: it puts right what is wrong, and nothing else."""
    copy, cases = tmp_path / "cases", ROOT / "tests/cases"
    shutil.copytree(cases, copy)
    wrong = min(copy.glob("*.out"))
    wrong.write_text("wrong")
    environment = {**os.environ, "SCRAPESHARD": BINARY}
    assert run(copy / "run", env=environment).returncode == 1
    good(copy / "run", "--approve", env=environment)
    assert not subprocess.run(["diff", "-r", cases, copy], capture_output=True, check=False).stdout

def test_version_and_flags():
    """Flags that the text speaks of are flags of some command."""
    known = "".join(run(BINARY, *c, "--help").stdout for c in ([], ["check"], ["split"], ["plan"], ["verify"], ["explain"],
                                                                ["rules"]))
    known += re.sub(r"(?m)^ +(?=--)", "  ", good("tests/bench/run", "--help", cwd=ROOT))
    own = set(re.findall(r"`(--[\w.-]+)", TEXT)) | {f for c in commands() if "scrapeshard" in c
                                                       for f in re.findall(r"(?<= )--[\w.-]+", c)}
    others = {"--shard", "--total-shards", "--node",  # kube-state-metrics'
              "--query.replica-label",  # Thanos'
              "--enable-feature",  # Prometheus'
              "--arch",  # contrib/docker/build's, which test_image runs
              "--web.config.file"}  # which there is not
    assert {f for f in own - others if not re.search(rf"^  {re.escape(f)}[= ]", known, re.M)} <= {"--version"}


def test_flags_of_vmagent():
    """But for those that Debian's is too old for."""
    r = run("vmagent", "-help")
    known = r.stdout + r.stderr
    found = set(re.findall(r"`(-\w+\.[\w.]+)", TEXT))
    assert len(found) == 4
    assert {f for f in found if not re.search(rf"^  {re.escape(f)}\b", known, re.M)} <= {"-remoteWrite.shardByURL"}
