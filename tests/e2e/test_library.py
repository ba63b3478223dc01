# SPDX-License-Identifier: Apache-2.0
"""The installed library: its exported names, and the example of contrib/ built with pkg-config."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import BINARY, ROOT

BODY = ROOT / "tests/cases/node-exporter-text-6of7.in"

pytestmark = [pytest.mark.skipif("build/" not in BINARY, reason="the ordinary build is installed, once"),
              pytest.mark.xdist_group("library")]


def run(*args, **options):
    return subprocess.run(args, capture_output=True, check=True, **options).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of libscrapeshard, installed below a temporary folder."""
    root = tmp_path_factory.mktemp("installed")
    run("meson", "install", "--no-rebuild", "-C", pathlib.Path(BINARY).parents[1], "--destdir", root)
    return next(root.rglob("libscrapeshard.so")).parent


def pkg_config(installed, *flags):
    """The output of pkg-config for the library in that folder."""
    environment = {**os.environ, "PKG_CONFIG_PATH": str(installed / "pkgconfig")}
    prefix = next(p for p in installed.parents if (p / "include").is_dir())
    return run("pkg-config", f"--define-variable=prefix={prefix}", *flags, "scrapeshard", env=environment, text=True).split()


@pytest.mark.parametrize("way", ["shared", "static"])
def test_example(installed, tmp_path, way):
    flags = ["-static"] if way == "static" else []
    libraries = pkg_config(installed, "--cflags", "--libs", *(["--static"] if way == "static" else []))
    program = tmp_path / "filter"
    run("gcc", "-Wall", "-Wextra", "-Werror", *flags, ROOT / "contrib/example/filter.c", "-o", program, *libraries)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(installed)}
    needed = run("readelf", "-d", program, text=True)
    assert ("libscrapeshard.so.0" in needed) == (way == "shared")
    with BODY.open("rb") as body:
        assert run(program, "6", "7", stdin=body, env=environment) == BODY.with_suffix(".out").read_bytes()
    wrong = subprocess.run([program, "7", "7"], capture_output=True, text=True, env=environment, check=False)
    assert wrong.returncode == 2 and "shard 7 is out of range" in wrong.stderr
    junk = subprocess.run([program, "0", "7"], input="<html>\n", capture_output=True, text=True, env=environment,
                          check=False)
    assert junk.returncode == 1 and junk.stderr and not junk.stdout


def test_only_public_names_are_exported(installed):
    """The shared library exports each function of the public headers, and nothing else."""
    shown = {line.split()[-1].split("@")[0] for line in
             run("nm", "-D", "--defined-only", installed / "libscrapeshard.so", text=True).splitlines()}
    promised = set()
    for header in (ROOT / "include/scrapeshard").glob("*.h"):
        code = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
        promised |= set(re.findall(r"\b(ss_\w+)\([^;{]*\);", code))
    assert len(promised) > 15
    assert shown - {"SCRAPESHARD_0"} == promised


def test_headers_are_installed(installed):
    include = pathlib.Path(pkg_config(installed, "--variable=includedir")[0]) / "scrapeshard"
    assert {p.name: p.read_text() for p in include.iterdir()} == \
        {p.name: p.read_text() for p in (ROOT / "include/scrapeshard").glob("*.h")}


def test_version_is_one(installed):
    header = re.search(r'SS_VERSION "(.*)"', (ROOT / "include/scrapeshard/version.h").read_text())[1]
    assert pkg_config(installed, "--modversion") == [header]
    assert "libscrapeshard.so.0" in run("readelf", "-d", installed / "libscrapeshard.so", text=True)
