# SPDX-License-Identifier: Apache-2.0
"""Packages of npm, for the tests and the bench."""
import fcntl
import pathlib
import shutil
import subprocess

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
PROM_CLIENT = "prom-client@15.1.3"


def node_modules(name="npm", packages=(PROM_CLIENT,)):
    """Where packages are; installed into a folder of the build folder by the first that needs them."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(folder, packages)
    return folder / "node_modules"


def install(folder, packages):
    if not all((folder / "node_modules" / p.rpartition("@")[0] / "package.json").exists() for p in packages):
        npm = subprocess.run([shutil.which("npm"), "install", "--no-save", "--no-audit", "--no-fund", "--prefix",
                              str(folder), *packages], capture_output=True, text=True, check=False)
        assert npm.returncode == 0, npm.stderr
