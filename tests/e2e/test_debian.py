# SPDX-License-Identifier: Apache-2.0
"""contrib/debian: the packages are built, checked by lintian, and installed in a clean Debian, where systemd runs the
service."""
import os
import re
import shutil

import pytest

from conftest import BINARY, ROOT, wait_until
from containers import containers, good, run  # containers is a fixture

DEBIAN = ROOT / "contrib/debian"
VERSION = re.search(r"version : '(.*)',", (ROOT / "meson.build").read_text())[1]
PACKAGES = ["scrapeshard", "libscrapeshard0", "libscrapeshard-dev"]

pytestmark = [pytest.mark.skipif("build/" not in BINARY, reason="packages are built once, from the source"),
              pytest.mark.skipif("ALL" not in os.environ, reason="packages and a clean Debian take minutes: tests/run --all"),
              pytest.mark.xdist_group("containers")]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder with the packages. Their own tests are run elsewhere."""
    folder = tmp_path_factory.mktemp("packages")
    good(DEBIAN / "build", folder, env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck noddebs"}, timeout=900)
    return folder


def deb(packages, name):
    return next(packages.glob(f"{name}_*.deb"))


def contents(packages, name):
    """The files of a package."""
    lines = good("dpkg-deb", "--contents", deb(packages, name)).splitlines()
    return {re.split(r" \.", line, maxsplit=1)[1].split(" -> ")[0] for line in lines if not line.endswith("/")}


def test_lintian_finds_nothing(packages):
    """No errors, no warnings, no overrides."""
    changes, = packages.glob("*.changes")
    assert good("lintian", "--allow-root", "--fail-on", "error,warning", "--show-overrides", changes) == ""


def test_lintian_reads_the_packages(packages):
    """At its most verbose it prints something."""
    changes, = packages.glob("*.changes")
    assert "scrapeshard" in run("lintian", "--allow-root", "-EvIL", "+pedantic", changes).stdout


def test_what_is_in_the_packages(packages):
    assert contents(packages, "scrapeshard") >= {
        "/usr/bin/scrapeshard", "/etc/scrapeshard/scrapeshard.ini", "/lib/systemd/system/scrapeshard.service",
        "/usr/share/man/man1/scrapeshard.1.gz", "/usr/share/man/man5/scrapeshard.ini.5.gz",
        "/usr/share/bash-completion/completions/scrapeshard",
        "/usr/share/zsh/vendor-completions/_scrapeshard", "/usr/share/fish/vendor_completions.d/scrapeshard.fish",
        "/usr/share/doc/scrapeshard/examples/prometheus/alerts.yml",
        "/usr/share/doc/scrapeshard/examples/scrapeshard.socket"}
    assert good("dpkg-deb", "--info", deb(packages, "scrapeshard"), "conffiles").split() == \
        ["/etc/scrapeshard/scrapeshard.ini"]
    documents = {path.removesuffix(".gz") for path in contents(packages, "scrapeshard")}
    assert documents >= {f"/usr/share/doc/scrapeshard/docs/{document.name}"
                         for document in (ROOT / "contrib/docs").iterdir()}
    names = {path.rsplit("/", 1)[1] for path in contents(packages, "libscrapeshard-dev")}
    assert names >= {"filter.h", "libscrapeshard.a", "libscrapeshard.so", "scrapeshard.pc", "filter.c"}
    assert any(path.endswith("/libscrapeshard.so.0") for path in contents(packages, "libscrapeshard0"))


def test_versions_are_one():
    assert re.match(r"scrapeshard \((.*?)\)", (DEBIAN / "changelog").read_text())[1] == VERSION


def test_what_it_is_built_with():
    """Each library of contrib/install build is a build dependency, and the -dev package depends on those of scrapeshard.pc."""
    control = (DEBIAN / "control").read_text()
    source, *binaries = control.split("\n\n")
    libraries = re.search('^build="(.*?)"', (ROOT / "contrib/install").read_text(), re.M | re.S)[1].split()
    wanted = {name for name in libraries if name.endswith("-dev")} - {"libc6-dev"}
    assert len(wanted) > 4 and wanted <= set(re.findall(r"[\w.+-]+", source))
    development = next(b for b in binaries if b.startswith("Package: libscrapeshard-dev"))
    core = re.search(r"^core_deps = \[(.*?)\]$", (ROOT / "sidecar/meson.build").read_text(), re.M | re.S)[1]
    for name in re.findall(r"dependency\('([\w.+-]+)'", core):
        pc = good("pkg-config", "--variable=pcfiledir", name).strip() + f"/{name}.pc"
        owner = good("dpkg", "-S", pc).split(":")[0]
        assert owner in development, owner


# A clean Debian.


def mirror():
    """This machine's Debian release, and its mirror."""
    codename = re.search(r"^VERSION_CODENAME=(\w+)", open("/etc/os-release", encoding="utf-8").read(), re.M)[1]
    targets = good("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    return codename, next(line.split()[0] for line in targets.splitlines() if line.split()[1] == codename)


@pytest.fixture(scope="module")
def clean_root(packages, tmp_path_factory):
    """A folder with a minimal Debian and the package."""
    root = tmp_path_factory.mktemp("debian") / "root"
    r = run("debootstrap", "--variant=minbase", "--include=systemd-sysv,curl", mirror()[0], root, mirror()[1],
            timeout=900)
    if r.returncode:
        pytest.skip(f"debootstrap cannot work here: {(r.stdout + r.stderr).strip().splitlines()[-1]}")
    (root / "etc/resolv.conf").write_text(open("/etc/resolv.conf", encoding="utf-8").read())
    (root / "scrapeshard.deb").write_bytes(deb(packages, "scrapeshard").read_bytes())
    good("chroot", root, "apt-get", "update")
    good("chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes",
         "--no-install-recommends", "/scrapeshard.deb")
    yield root
    shutil.rmtree(root)


def test_installed_program_runs(clean_root):
    assert good("chroot", clean_root, "scrapeshard", "--version").splitlines()[0] == f"scrapeshard {VERSION}"
    good("chroot", clean_root, "scrapeshard", "check", "/etc/scrapeshard/scrapeshard.ini")


@pytest.fixture
def booted(clean_root, containers):
    """booted(command...) runs a command in the clean Debian, under systemd and without a network."""
    name = "scrapeshard-debian"
    good("podman", "run", "--detach", "--name", name, "--systemd=always", "--network=none", "--rootfs", clean_root,
         "/sbin/init", env=containers)
    try:
        r = run("podman", "exec", name, "timeout", "60", "systemctl", "is-system-running", "--wait", env=containers)
        if r.stdout.strip() not in ("running", "degraded"):
            pytest.skip(f"systemd does not run in a container here: {(r.stdout + r.stderr).strip()}")
        yield lambda *command: run("podman", "exec", name, *command, env=containers)
    finally:
        good("podman", "rm", "--force", "--time", "0", name, env=containers)


def test_systemd_runs_it(booted):
    """The unit with all its hardening: it runs as a dynamic user, reloads, rejects an invalid file, stops cleanly."""
    def healthy():
        return booted("curl", "-sf", "http://127.0.0.1:19481/-/healthy").returncode == 0

    def journal(text):
        return text in booted("journalctl", "--unit=scrapeshard", "--no-pager").stdout

    wait_until(healthy, "the service does not run", 60)
    pid = booted("systemctl", "show", "--property=MainPID", "--value", "scrapeshard").stdout.strip()
    status = dict(re.findall(r"^(\w+):\s+(.*)", booted("cat", f"/proc/{pid}/status").stdout, re.M))
    uids = {int(uid) for uid in status["Uid"].split()}
    assert len(uids) == 1 and min(uids) > 60000
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    # It fetches, and reports that there is no upstream.
    refused = booted("curl", "-s", "http://127.0.0.1:19480/metrics?shard=0&shard_count=2").stdout
    assert "127.0.0.1 port 8080" in refused

    assert booted("systemctl", "reload", "scrapeshard").returncode == 0
    wait_until(lambda: journal("msg=reloaded"), "it does not reload", 60)
    booted("sh", "-c", "echo '[web' >>/etc/scrapeshard/scrapeshard.ini")
    assert booted("systemctl", "reload", "scrapeshard").returncode == 1
    wait_until(lambda: journal("unterminated section name"), "the journal does not say why", 60)  # it lags
    assert healthy()

    assert booted("systemctl", "stop", "scrapeshard").returncode == 0
    assert "Result=success" in booted("systemctl", "show", "--property=Result", "scrapeshard").stdout
