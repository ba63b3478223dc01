# SPDX-License-Identifier: Apache-2.0
"""Images and containers by buildah and podman, and other programs that only have to succeed."""
import os
import subprocess

import pytest

from conftest import BINARY, ROOT

KUBERNETES = ROOT / "contrib/kubernetes"


def run(*args, **options):
    return subprocess.run(args, capture_output=True, text=True, check=False, **options)


def good(*args, **options):
    """The output of a program that must be content."""
    r = run(*args, **options)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


@pytest.fixture(scope="module")
def containers(tmp_path_factory):
    """The environment in which buildah and podman work here. Where not even an image of Debian's /bin/true runs, the test
    is skipped and says why."""
    if "build/" not in BINARY:
        pytest.skip("images are made of the ordinary build, once")
    folder = tmp_path_factory.mktemp("containers")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/graph"\n')
    environment = {**os.environ, "CONTAINERS_CONF": str(KUBERNETES / "restricted.conf"),
                   "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"), "SCRAPESHARD": BINARY}
    good(ROOT / "contrib/docker/collect", "/bin/true", folder / "true/root")
    (folder / "true/Containerfile").write_text('FROM scratch\nCOPY root/ /\nENTRYPOINT ["/usr/bin/true"]\n')
    for command in (["buildah", "bud", "--quiet", "--tag", "localhost/true", folder / "true"],
                    ["podman", "run", "--rm", "localhost/true"]):
        r = run(*command, env=environment)
        if r.returncode:
            pytest.skip(f"no container runs here: {command[0]}: {r.stderr.strip()}")
    yield environment
    run("podman", "network", "rm", "--force", "podman-default-kube-network", env=environment)
    run("podman", "rmi", "--all", "--force", env=environment)
