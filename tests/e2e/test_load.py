# SPDX-License-Identifier: Apache-2.0
"""tests/torture/load on a small scale: it reports what is wrong; that it can fail is tested too."""
import subprocess

import pytest

from conftest import BINARY, ROOT, SLOW

pytestmark = pytest.mark.alone

SMALL = ["--seconds=3", "--scrapes=4000", "--body=32", "--families=20000", "--series=40000"]


def load(*args, binary=BINARY):
    done = subprocess.run([ROOT / "tests/torture/load", *args], capture_output=True, text=True, timeout=120 * SLOW,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SCRAPESHARD": str(binary)})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(SLOW > 1, reason="a sanitizer keeps memory of its own")
@pytest.mark.parametrize("way", ["scrapers", "small", "large", "families", "series", "slowloris", "wrk", "together"])
def test_load(way):
    status, out, err = load(*SMALL, way)
    assert (status, err) == (0, ""), (out, err)
    _, row = out.splitlines()
    name, result, _, _, _, worst, _ = row.split()[:7]
    assert (name, result) == (way, "right") and float(worst) < 2000, out


def test_load_can_fail(tmp_path):
    """A sidecar that does not start, and a load that does not exist."""
    false = tmp_path / "false"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    status, out, _ = load(*SMALL, "small", binary=false)
    assert status == 1 and "FAILED" in out
    assert load("nothing")[0] == 2
