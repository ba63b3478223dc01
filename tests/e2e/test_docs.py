# SPDX-License-Identifier: Apache-2.0
"""What the documents say is what the program does."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from conftest import BINARY, ROOT

CONF = ROOT / "conf"
# The README and the longer documents, and all of them as one text.
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "contrib/docs").glob("*.md"))]
TEXT = "\n\n".join(path.read_text() for path in DOCUMENTS)
DEF = (ROOT / "sidecar/service/config/config.def").read_text()
KEYS = re.findall(r"^GLOBAL\((\w+), (\w+),", DEF, re.M) + [("endpoint", k) for k in re.findall(r"^ENDPOINT\((\w+),", DEF, re.M)]


def run(*args, **options):
    return subprocess.run(args, capture_output=True, text=True, check=False, **options)


def test_the_table_is_read():
    assert ("endpoint", "upstream") in KEYS and ("log", "level") in KEYS and len(KEYS) > 15


@pytest.mark.parametrize("name", ["minimal.ini", "scrapeshard.ini"])
def test_conf_is_good(name):
    r = run(BINARY, "check", CONF / name)
    assert (r.returncode, r.stderr) == (0, "")


def read_full_conf():
    """({(section, key): value}, {(section, key): example of a list that is empty by default}, text with the examples)."""
    values, examples, lines = {}, {}, []
    for line in (CONF / "scrapeshard.ini").read_text().splitlines():
        if m := re.match(r"\[(\w+)", line):
            section = m[1]
        elif m := re.match(r"(; )?(\w+) = (.*)", line):
            (examples if m[1] else values)[section, m[2]] = m[3]
            line = line.removeprefix("; ")
        lines.append(line)
    return values, examples, "\n".join(lines) + "\n"


def test_conf_has_every_key_with_its_default():
    """The full file changes nothing: it says the defaults. A list without a default has an example instead, and so has the
    timeout, which means more where it is set."""
    values, examples, _ = read_full_conf()
    assert not set(values) & set(examples)
    assert set(values) | set(examples) == set(KEYS)
    defaults = {(m[0], m[1]): m[2:] for m in re.findall(r'^GLOBAL\((\w+), (\w+), (\w+), \w+, "([^"]*)"', DEF, re.M)}
    defaults |= {("endpoint", m[0]): m[1:] for m in re.findall(r'^ENDPOINT\((\w+), (\w+), \w+, "([^"]*)"', DEF, re.M)}
    assert set(defaults) == set(KEYS)
    for key, (kind, default) in defaults.items():
        if kind in ("labels", "patterns"):
            assert default == "" and key in examples
        elif key == ("endpoint", "timeout"):
            assert examples[key] == default
        elif key != ("endpoint", "upstream"):
            assert values[key] == (f'"{default}"' if kind == "separator" else default)


def test_conf_examples_are_good():
    """Without their comment sign they are a file without mistakes, and in effect."""
    _, examples, text = read_full_conf()
    r = run(BINARY, "check", "--print", "-", input=text)
    assert (r.returncode, r.stderr) == (0, "")
    for (_, key), example in examples.items():
        for value in example.split(", ") if key == "source_labels" else [example]:
            assert f"\n{key} = {value}\n" in r.stdout


def test_version_is_one():
    header = re.search(r'SS_VERSION "(.*)"', (ROOT / "include/scrapeshard/version.h").read_text())[1]
    build = re.search(r"version : '(.*)',", (ROOT / "meson.build").read_text())[1]
    assert header == build
    assert run(BINARY, "--version").stdout.startswith(f"scrapeshard {header}")


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_documents_are_all_found_from_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert not [path.name for path in DOCUMENTS[1:] if f"(contrib/docs/{path.name})" not in readme]


def test_map_of_the_rooms():
    """design.md names each file of sidecar/ in its room, and no other."""
    r = run(ROOT / "tests/docs/rooms-table", "tests/docs/rooms", "--check")
    assert r.returncode == 0, r.stderr


@pytest.mark.alone
@pytest.mark.skipif("build/" not in BINARY, reason="the quickstart shows the ordinary build, once")
def test_quickstart():
    """The first command of the README shows the main job, and leaves nothing behind."""
    r = run(ROOT / "contrib/quickstart", "--once", timeout=300)
    assert r.returncode == 0, r.stdout + r.stderr
    assert len(re.findall(r"shard=\d&shard_count=5 +\d+ bytes +[1-9]\d* series", r.stdout)) == 5
    assert "the shards are complete and disjoint" in r.stdout  # what verify says
    assert re.search(r"7\. The first lines of shard 3\n# HELP \w+ ", r.stdout), r.stdout
    assert re.search(r"^  http://127.0.0.1:\d+/ +the shard page", r.stdout, re.M)
    *_, cluster, then = r.stdout.rstrip().splitlines()
    assert "In a cluster" in cluster and all((ROOT / p).exists() for p in re.findall(r"contrib/[\w/.]+", cluster + then))
    port = re.search(r"http://127.0.0.1:(\d+)/metrics responds", r.stdout)[1]
    assert not [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if _has(p, f"127.0.0.1:{port}")]


def _has(path, text):
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


def test_quickstart_refuses_junk():
    r = run(ROOT / "contrib/quickstart", "--twice")
    assert r.returncode == 2 and "usage" in r.stderr


@pytest.fixture(name="stubs")
def make_stubs(tmp_path):
    """Puts programs into a folder, and returns an environment that finds them first."""
    def make(**programs):
        for name, script in programs.items():
            path = tmp_path / "bin" / name.replace("_", "-")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
        return {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    return make


@pytest.mark.parametrize("script", ["contrib/quickstart", "contrib/docker/build"])
def test_a_setup_that_failed_is_repeated(tmp_path, stubs, script):
    """It leaves a folder without build.ninja."""
    (tmp_path / script).parent.mkdir(parents=True)
    shutil.copy(ROOT / script, tmp_path / script)
    (tmp_path / "contrib/install").write_text("#!/bin/sh\n")
    (tmp_path / "contrib/install").chmod(0o755)
    (tmp_path / "meson.build").touch()
    (tmp_path / "build").mkdir()
    environment = stubs(meson="echo setup >>done; touch build/build.ninja",
                        ninja="[ -e build/build.ninja ] && echo ninja >>done; exit 1")
    for wanted in "setup\nninja\n", "setup\nninja\nninja\n":
        assert run(tmp_path / script, env={**environment, "SCRAPESHARD": ""}).returncode == 1
        assert (tmp_path / "done").read_text() == wanted


@pytest.mark.parametrize("folder", ["build-debian", "out", "a/b", "[out]", ".", "/elsewhere"])
def test_packages_into_a_folder_of_the_tree(tmp_path, stubs, folder):
    """The copy of the tree is not copied into itself."""
    tree = tmp_path / "tree"
    (tree / "contrib/debian").mkdir(parents=True)
    for name in "build", "changelog":
        shutil.copy(ROOT / "contrib/debian" / name, tree / "contrib/debian")
    to = tree / (folder if folder[0] != "/" else str(tmp_path) + folder)
    to.mkdir(parents=True, exist_ok=True)
    environment = stubs(dpkg_buildpackage=f"find . -name 'scrapeshard-*' >{tmp_path}/within; ls debian; touch ../new.deb")
    r = run(tree / "contrib/debian/build", to if folder[0] == "/" else folder, env=environment)
    assert r.returncode == 0, r.stderr
    assert (tmp_path / "within").read_text() == ""
    assert r.stdout.split() == ["build", "changelog", str(to / "new.deb")]
    assert {p.name for p in to.iterdir()} - {"contrib"} == {"new.deb"}


def test_run_refuses_junk():
    r = run(ROOT / "tests/run", "--most")
    assert r.returncode == 2 and "usage: tests/run [--all]" in r.stderr


def test_scripts_are_executable():
    for path in ["contrib/quickstart", "contrib/install", "tests/run", ".ci/run", "tests/bench/run", "tests/fuzz/run",
                 "tests/analysis/run", "tests/analysis/coverage", "tests/analysis/valgrind", "tests/docs/settings", "tests/docs/rooms-table", "tests/docs/rooms",
                 "tests/torture/load"]:
        assert os.access(ROOT / path, os.X_OK), path
