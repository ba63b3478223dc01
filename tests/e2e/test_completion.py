# SPDX-License-Identifier: Apache-2.0
"""Completion in bash, zsh and fish offers everything in --help, and nothing else."""
import fcntl
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import termios

import pytest

from conftest import BINARY, ROOT, SLOW
from containers import good
from test_docs import DEF

COMPLETION = ROOT / "contrib/completion"
COMMANDS = re.findall(r'\{"(\w+)", cmd_', (ROOT / "sidecar/main.c").read_text())
HERE = pathlib.Path(BINARY).parent
ENVIRONMENT = {**os.environ, "PATH": f"{HERE}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def flags(command):
    found = set(re.findall(r"^  (--[\w.-]+)", good(BINARY, command, "--help"), re.M))
    assert "--help" in found and len(found) > 2
    return found


# Each shell: its offers for the last word of a line.


def bash(line, folder):
    """The words are split as by readline."""
    cut = [piece for word in line.split(" ") for piece in re.split("(=)", word) if piece or not word]
    script = f"""
        source {COMPLETION}/scrapeshard.bash
        COMP_WORDS=({' '.join(f"'{w}'" for w in cut)}) COMP_CWORD={len(cut) - 1}
        $(complete -p scrapeshard | sed -E 's/.*-F ([^ ]+) .*/\\1/')
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return set(good("bash", "-uc", script, cwd=folder, env=ENVIRONMENT).split())


def fish(line, folder):
    """Its offers are whole words, with the flag before a value."""
    script = f"source {COMPLETION}/scrapeshard.fish; complete -C '{line}'"
    out = good("fish", "--no-config", "-c", script, cwd=folder, env=ENVIRONMENT)
    known = re.search(r"[^ ]*=|", line.rsplit(" ", 1)[1])[0]
    return {offer.split("\t")[0].removeprefix(known) for offer in out.splitlines()}


class Zsh:
    """zsh in a pseudo terminal."""

    def __init__(self, folder):
        self.terminal, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 200, 0, 0))
        self.process = subprocess.Popen(["zsh", "-f", "-i"], stdin=other, stdout=other, stderr=other, cwd=folder,
                                        env={**ENVIRONMENT, "TERM": "dumb", "HOME": str(folder)},
                                        start_new_session=True)
        os.close(other)
        # ^T shows the list, without questions and file types.
        os.write(self.terminal, (
            f"fpath=({COMPLETION} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt list_types prompt_sp; LISTMAX=0; "
            "unset zle_bracketed_paste; bindkey -e; bindkey '^T' list-choices; PROMPT='rea''dy> '\r").encode())
        self.read_to("ready> ")

    def read_to(self, end):
        shown = b""
        while not shown.replace(b"\r", b"").endswith(end.encode()):
            assert select.select([self.terminal], [], [], 20 * SLOW)[0], shown
            shown += os.read(self.terminal, 65536)
        return shown.decode().replace("\r", "")

    def type(self, keys, printed=""):
        """The output after typing the keys and Enter, to the prompt behind what the command prints: a read may end at a
        prompt that is drawn again before that."""
        os.write(self.terminal, f"{keys}\r".encode())
        return self.read_to(f"{printed}\nready> ")

    def offers(self, line):
        """The list for a line, which is then erased."""
        shown = self.type(f"{line}\x14\x15print end", "\nend").partition("\n")[2].rpartition("\nready> " + line)[0]
        described = re.findall(r"^(\S+) +-- ", shown, re.M)
        return set(described or shown.split())

    def close(self):
        self.process.terminate()
        os.close(self.terminal)
        self.process.wait(20 * SLOW)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working directory of the shells."""
    path = tmp_path_factory.mktemp("completion")
    for name in "one.ini", "other.pem":
        (path / name).write_text("")
    return path


@pytest.fixture(scope="module")
def zsh(folder):
    shell = Zsh(folder)
    yield shell
    shell.close()


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def offers(request, folder, zsh):
    """offers(line): what a shell would replace the line's last word by; flags without =."""
    shells = {"bash": lambda line: bash(line, folder), "zsh": zsh.offers, "fish": lambda line: fish(line, folder)}
    return lambda line: {offer.removesuffix("=") for offer in shells[request.param](line)}


def test_commands(offers):
    assert offers("scrapeshard ") == set(COMMANDS)
    assert offers("scrapeshard ch") == {"check"}
    assert offers("scrapeshard zz") == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_flags(offers, command):
    assert offers(f"scrapeshard {command} --") == flags(command)
    assert offers(f"scrapeshard {command} --set=a.b=c --h") == {"--help"}


def test_flags_without_a_command(offers):
    assert offers("scrapeshard --") == flags("serve")
    assert offers("scrapeshard --log.level=warn --web") == {"--web.listen-address"}


@pytest.mark.parametrize("key", ["level", "format"])
def test_values(offers, key):
    words = set(re.search(rf'^GLOBAL\(log, {key}, .*?"([a-z|]+)",\s*true', DEF, re.M | re.S)[1].split("|"))
    assert len(words) > 1
    for between in "= ":
        assert offers(f"scrapeshard --log.{key}{between}") == words
        assert offers(f"scrapeshard serve --log.{key}{between}") == words


@pytest.mark.parametrize("line, found", [
    ("check o", {"one.ini", "other.pem"}), ("check --print on", {"one.ini"}), ("plan --shard-count=3 on", {"one.ini"}),
    ("split on", {"one.ini"}), ("--config.file=on", {"one.ini"}), ("plan --tls-ca ot", {"other.pem"}),
    ("verify --tls-key=", {"one.ini", "other.pem"}),
    ("explain o", set()), ("verify o", set()), ("--upstream.url=o", set()), ("plan --accept o", set())])
def test_files(offers, line, found):
    assert offers(f"scrapeshard {line}") == found


def test_they_read_the_help_of_the_program(offers, tmp_path):
    """Also that of another program, called by its path, with other commands and flags."""
    program = tmp_path / "scrapeshard"
    program.write_text("""#!/bin/sh
        case "$*" in
        --help) printf 'scrapeshard\\n\\n  juggle   juggle balls\\n\\n  --balls=N      number of balls\\n' ;;
        'juggle --help') printf 'scrapeshard juggle FILE\\n\\n  --high     [high]: up\\n' ;;
        esac""")
    program.chmod(0o755)
    assert offers(f"{program} ") == {"juggle"}
    assert offers(f"{program} --") == {"--balls"}
    assert offers(f"{program} juggle --") == {"--high"}
    assert offers(f"{program} juggle on") == {"one.ini"}


def test_zsh_completes(zsh):
    """Tab adds = to a flag and a space to a command."""
    assert "\nscrapeshard split --shard-count=3 --shard=\n" in \
        zsh.type("scrapeshard spl\t--shard-c\t3 --shard=\x01print -r -- ")


@pytest.mark.skipif("build/" not in BINARY, reason="the ordinary build is installed, once")
def test_installed_where_the_shells_look(tmp_path):
    """In Debian's folders; the package puts zsh's into vendor-completions."""
    good("meson", "install", "-C", HERE.parent, "--no-rebuild", "--destdir", tmp_path)
    assert {str(p.relative_to(tmp_path)).split("share/")[1] for p in tmp_path.rglob("*scrapeshard*")
            if "complet" in str(p) or "zsh" in str(p)} == {
        "bash-completion/completions/scrapeshard", "zsh/site-functions/_scrapeshard",
        "fish/vendor_completions.d/scrapeshard.fish"}
    assert "/usr/share/zsh/vendor-completions" in good("zsh", "-fc", "print -l $fpath").split()
    assert "/usr/share/fish/vendor_completions.d" in good("fish", "-c",
                                                          "string join \\n $fish_complete_path").split()
    for name in "scrapeshard.bash", "scrapeshard.fish", "_scrapeshard":
        assert "SPDX-License-Identifier: Apache-2.0" in (COMPLETION / name).read_text()[:80]
