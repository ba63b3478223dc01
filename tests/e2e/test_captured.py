# SPDX-License-Identifier: Apache-2.0
"""Golden cases captured from real services: the shards of each add up to the body."""
import re
import shlex
import subprocess

import pytest
from conftest import BINARY, ROOT, SANITIZED
from exposition import COUNTS, protobuf_shard, text_shard

CASES = ROOT / "tests/cases"
CAPTURED = sorted(p.stem for p in CASES.glob("*.args") if re.search(r"-(text|openmetrics|protobuf)-\d+of\d+$", p.stem))


def split(name, shard, count):
    args = shlex.split((CASES / f"{name}.args").read_text())
    rest = [a for a in args if not a.startswith("--shard")]
    return subprocess.run([BINARY, "split", f"--shard={shard}", f"--shard-count={count}", *rest, CASES / f"{name}.in"],
                          capture_output=True, check=True).stdout


def test_there_are_some():
    assert len(CAPTURED) >= 13


@pytest.mark.parametrize("name", CAPTURED)
@pytest.mark.parametrize("count", COUNTS[:-1] if SANITIZED else COUNTS)
def test_shards_add_up_to_the_body(name, count):
    body = (CASES / f"{name}.in").read_bytes()
    expected = protobuf_shard if "protobuf" in name else text_shard
    shards = [split(name, s, count) for s in range(count)]
    assert shards == [expected(body, s, count) for s in range(count)]
    # So do the expected shards: each byte once, except the end marker of OpenMetrics, which is in all of them.
    markers = (count - 1) * len(b"# EOF\n") if "openmetrics" in name else 0
    assert sum(map(len, shards)) == len(body) + markers
