# SPDX-License-Identifier: Apache-2.0
"""Changed configuration files are noticed without a signal, whoever changes them and how."""
import itertools
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import time

import pytest

from conftest import BINARY, SANITIZED, SLOW, answer, answering, stands_still, wait_until
from pki import Authority, openssl
from steer import Steer
from test_security import ask, basic, bearer, https_service, serving, trusting
from test_telemetry import promtool

BODY = b"# TYPE up gauge\nup 1\n"
RELOADED = "msg=reloaded|reload failed"


class Mounted:
    """A directory as kubelet mounts a Secret or a ConfigMap: links into a directory that is reached through a link. An
    update swaps that link and removes the old directory."""
    numbers = itertools.count()

    def __init__(self, folder, **files):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.write(**files)
        for name in files:
            (self.folder / name.replace("_", ".")).symlink_to(f"..data/{name.replace('_', '.')}")

    def write(self, **files):
        payload = self.folder / f"..2026_11_28_{next(self.numbers):09d}"
        payload.mkdir()
        for name, content in files.items():
            (payload / name.replace("_", ".")).write_bytes(content)
        data, temporary = self.folder / "..data", self.folder / "..data_tmp"
        before = data.resolve() if data.is_symlink() else None
        temporary.symlink_to(payload.name)
        temporary.rename(data)
        if before:
            shutil.rmtree(before)

    def __truediv__(self, name):
        return self.folder / name


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"), "authority")


def pair(ca, name):
    """The names and contents of a Secret of type kubernetes.io/tls."""
    pem, key = ca.issue(name, "IP:127.0.0.1,DNS:localhost")
    return {"tls_crt": pem.read_bytes(), "tls_key": key.read_bytes()}


@pytest.fixture
def service(upstream):
    return upstream(answering(answer(BODY)))


def text(service, *more, timeout="10s"):
    return "\n".join([f"[endpoint a]\nupstream = {service.url}\ntimeout = {timeout}", *more, ""])


def served(port, ca):
    """The certificate served on a port, its expiry in seconds since 1970."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), ca_certs=ca.pem, timeout=20 * SLOW)
    end = openssl("x509", "-noout", "-enddate", input=pem).strip().partition("=")[2]
    return pem, ssl.cert_time_to_seconds(end)


def metric(s, name, **ask_options):
    body = ask(s.admin_port, "/metrics", **ask_options)[2].decode()
    return next((float(line.rsplit(" ", 1)[1]) for line in body.splitlines() if line.startswith(name)), None)


def wait_reload(s, count):
    wait_until(lambda: s.count(RELOADED) >= count, "the change is not seen")
    assert s.count(RELOADED) == count


# Kubernetes.


@pytest.mark.parametrize("section", ["web", "admin"])
def test_secret_with_a_certificate(sidecar, service, config, ca, tmp_path, section):
    """A renewed one is served without a signal."""
    secret = Mounted(tmp_path / "tls", **pair(ca, f"first-{section}"))
    s = sidecar(config=config(text(service, f"[{section}]", f"tls_certificate = {secret.folder}/tls.crt",
                                   f"tls_key = {secret.folder}/tls.key")))
    port = s.port if section == "web" else s.admin_port
    for i in range(2):
        before = served(port, ca)[0]
        new = pair(ca, f"renewed-{section}-{i}")
        secret.write(**new)
        wait_until(lambda: served(port, ca)[0] != before, "the old certificate is shown for ever")
        assert served(port, ca)[0].strip() in new["tls_crt"].decode()
    wait_reload(s, 2)
    assert not s.find("reload failed")
    s.wait_line(f'msg="a configuration file changed" file={secret.folder}/tls.')


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_fifo_in_place_of_a_file_is_not_waited_for(sidecar, service, config, ca, tmp_path, name):
    """The reload is refused, and the loop goes on."""
    secret = pair(ca, "listener")
    files = {"tls_certificate": secret["tls_crt"], "tls_key": secret["tls_key"], "tls_client_ca": ca.pem.read_bytes()}
    for setting, content in files.items():
        (tmp_path / setting).write_bytes(content)
    s = sidecar(config=config(text(service, "[web]", *(f"{setting} = {tmp_path / setting}" for setting in files))))
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    s.process.send_signal(signal.SIGHUP)
    s.wait_line(f"reload failed.*{name}: {tmp_path / name}: not a regular file")
    assert s.admin("/-/healthy")[0] == 200


def test_config_map(sidecar, service, tmp_path):
    """The configuration file itself."""
    mounted = Mounted(tmp_path / "config", scrapeshard_ini=text(service).encode())
    s = sidecar(config=mounted / "scrapeshard.ini")
    for i in range(2):
        mounted.write(scrapeshard_ini=text(service, timeout=f"{i + 20}s").encode())
        wait_until(lambda: f"timeout = {i + 20}s".encode() in s.admin("/-/config")[2], "the new one is not in force")
    wait_reload(s, 2)


@pytest.mark.parametrize("setting", ["basic_auth_file", "bearer_token_file", "authorization_file"])
def test_secret_with_a_credential(sidecar, service, config, tmp_path, setting):
    def content(word):
        if setting != "basic_auth_file":
            return f"Bearer {word}\n".encode() if setting == "authorization_file" else word.encode()
        return subprocess.run(["htpasswd", "-nbB", "-C", "4", "user", word], check=True, capture_output=True).stdout.strip()
    secret = Mounted(tmp_path / "secret", value=content("one"))
    line = f"{setting} = {secret.folder}/value"
    s = sidecar(config=config(text(service, *([line] if setting == "authorization_file" else ["[web]", line]))))

    def knows(word):
        if setting == "authorization_file":
            s.get()
            return f"Authorization: Bearer {word}\r\n".encode() in service.requests[-1]
        headers = bearer(word) if setting == "bearer_token_file" else basic("user", word)
        return ask(s.port, headers=headers)[0] == 200
    assert knows("one") and not knows("two")
    secret.write(value=content("two"))
    wait_until(lambda: knows("two"), "the new one is not in force")
    assert not knows("one")


def test_authorities_of_clients(sidecar, service, config, ca, tmp_path):
    """The listener's certificate is unchanged."""
    other = Authority(tmp_path, "other")
    server, secret = ca.issue("of-clients", "IP:127.0.0.1"), Mounted(tmp_path / "ca", ca_crt=ca.pem.read_bytes())
    s = sidecar(config=config(text(service, "[web]", f"tls_certificate = {server[0]}", f"tls_key = {server[1]}",
                                   f"tls_client_ca = {secret.folder}/ca.crt")))
    good, bad = trusting(ca, ca.issue("client")), trusting(ca, other.issue("client"))
    assert ask(s.port, context=good)[0] == 200
    secret.write(ca_crt=other.pem.read_bytes())

    def comes_in(context):
        try:
            return ask(s.port, context=context)[0] == 200
        except (ssl.SSLError, OSError):
            return False
    wait_until(lambda: comes_in(bad), "the new authority is not believed")
    assert not comes_in(good)


# Expiry.


def of_metric(s, context=None):
    """(kind of owner, its name, the file): expiry."""
    body = ask(s.admin_port, "/metrics", context)[2].decode()
    return {match[:3]: float(match[3]) for match in re.findall(
        r'^scrapeshard_certificate_expiry_timestamp_seconds{(\w+)="(.*?)",file="(.*?)"} (.*)$', body, re.M)}


def expires(pem):
    return ssl.cert_time_to_seconds(openssl("x509", "-noout", "-enddate", "-in", pem).strip().partition("=")[2])


def test_expiry_of_each_certificate(sidecar, upstream, config, ca, tmp_path):
    """Of both listeners and of an endpoint; promtool accepts it."""
    service = upstream(answering(answer(BODY)))
    web, admin, client = (ca.issue(f"expiry-{i}", "IP:127.0.0.1") for i in range(3))
    s = sidecar(config=config(text(service, f"tls_certificate = {client[0]}", f"tls_key = {client[1]}",
                                   f"tls_ca = {ca.pem}",
                                   *(line for section, pair in (("web", web), ("admin", admin)) for line in
                                     (f"[{section}]", f"tls_certificate = {pair[0]}", f"tls_key = {pair[1]}")))))
    assert of_metric(s, trusting(ca)) == {
        ("listener", "web", str(web[0])): expires(web[0]), ("listener", "admin", str(admin[0])): expires(admin[0]),
        ("endpoint", "a", str(client[0])): expires(client[0])}
    assert promtool(ask(s.admin_port, "/metrics", trusting(ca))[2].decode()) == (0, "")


def test_expiry_is_that_of_the_chain(sidecar, service, config, ca, tmp_path):
    """The earliest of the chain; and after a renewal that of the new certificate."""
    pem, key = ca.issue("of-chain", "IP:127.0.0.1")
    short = tmp_path / "short.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
            "/CN=short", "-keyout", tmp_path / "short.key", "-out", short)
    secret = Mounted(tmp_path / "tls", tls_crt=pem.read_bytes() + short.read_bytes(), tls_key=key.read_bytes())
    s = sidecar(config=config(text(service, "[web]", f"tls_certificate = {secret.folder}/tls.crt",
                                   f"tls_key = {secret.folder}/tls.key")))
    which = ("listener", "web", f"{secret.folder}/tls.crt")
    assert expires(short) < expires(pem) and of_metric(s) == {which: expires(short)}
    secret.write(tls_crt=pem.read_bytes(), tls_key=key.read_bytes())
    wait_until(lambda: of_metric(s) == {which: expires(pem)}, "the metric keeps the old expiry")


def test_without_certificates_there_is_no_expiry(sidecar, service, config):
    assert of_metric(sidecar(config=config(text(service)))) == {}


@pytest.mark.parametrize("setting, content, reason", [
    ("tls_certificate", b"junk", "the certificate and its chain"), ("tls_key", b"junk", "without a passphrase"),
    ("tls_key", None, "key"), ("tls_ca", b"junk", "CA certificates")])
def test_bad_certificate_for_a_service(config, service, ca, tmp_path, setting, content, reason):
    """Reported at startup and by a reload, not by each scrape."""
    pem, key = ca.issue("for-service")
    (tmp_path / "bad").write_bytes(content if content else ca.issue("another")[1].read_bytes())
    files = {"tls_certificate": pem, "tls_key": key, "tls_ca": ca.pem, setting: tmp_path / "bad"}
    path = config(text(service, *(f"{key} = {value}" for key, value in files.items())))
    done = subprocess.run([BINARY, "check", path], capture_output=True, text=True, check=False)
    line = 4 + list(files).index(setting)
    assert done.returncode == 1 and re.search(rf"^{path}:{line}:.*{setting}: {tmp_path}/bad: .*{reason}", done.stderr,
                                              re.M), done.stderr


# Ways to change a file.


def write_in_place(path, content):
    path.write_text(content)


def rename_over(path, content):
    new = path.with_name("new")
    new.write_text(content)
    new.rename(path)


def as_vim(path, content):
    """The old file becomes the backup, which is then deleted."""
    backup = path.with_name(path.name + "~")
    path.rename(backup)
    path.write_text(content)
    backup.unlink()


def swap_folder(path, content):
    old, new = path.parent.with_name("old"), path.parent.with_name("new")
    new.mkdir()
    (new / path.name).write_text(content)
    path.parent.rename(old)
    new.rename(path.parent)
    shutil.rmtree(old)


def swap_link_above(path, content):
    """As with releases: the directory is a link."""
    shutil.copytree(path.parent, path.parent.with_name(f"release-{len(content)}"))
    (path.parent.with_name(f"release-{len(content)}") / path.name).write_text(content)
    link = path.parent.with_name("link")
    link.symlink_to(f"release-{len(content)}")
    if not path.parent.is_symlink():
        shutil.rmtree(path.parent)
    link.rename(path.parent)


@pytest.mark.parametrize("write", [write_in_place, rename_over, as_vim, swap_folder, swap_link_above],
                         ids=lambda write: write.__name__)
def test_ways_to_write(sidecar, service, tmp_path, write):
    path = tmp_path / "etc" / "scrapeshard.ini"
    path.parent.mkdir()
    path.write_text(text(service))
    s = sidecar(config=path)
    for timeout in ("20s", "300s"):
        write(path, text(service, timeout=timeout))
        shown = {"20s": b"timeout = 20s", "300s": b"timeout = 5m"}[timeout]
        wait_until(lambda: shown in s.admin("/-/config")[2], "the new one is not in force")


def test_file_without_a_folder(service, config, process, tmp_path):
    """A path relative to the working directory."""
    (tmp_path / "c.ini").write_text(text(service))
    p = process([os.path.abspath(BINARY), "--config.file=c.ini", "--web.listen-address=127.0.0.1:0", "--admin.listen-address=off"],
                cwd=tmp_path)
    p.wait_line("listening for scrapes")
    p.wait_line("privileges dropped")
    rename_over(tmp_path / "c.ini", text(service, timeout="20s"))
    p.wait_line("msg=reloaded")


def test_chain_of_links(sidecar, service, tmp_path):
    """As certbot has it: any link of the chain may change."""
    for folder in ("live", "archive"):
        (tmp_path / folder).mkdir()
    one, two, link = tmp_path / "archive/1", tmp_path / "archive/2", tmp_path / "live/c.ini"
    one.write_text(text(service))
    two.write_text(text(service, timeout="20s"))
    (tmp_path / "current").symlink_to("live")
    link.symlink_to("../archive/1")
    s = sidecar(config=tmp_path / "current/c.ini")
    (tmp_path / "live/new").symlink_to("../archive/2")
    (tmp_path / "live/new").rename(link)
    wait_until(lambda: b"timeout = 20s" in s.admin("/-/config")[2], "the new link is not seen")
    write_in_place(two, text(service, timeout="30s"))
    wait_until(lambda: b"timeout = 30s" in s.admin("/-/config")[2], "what it leads to is not seen")


# Errors.


def test_bad_file_changes_nothing(sidecar, service, config, ca, tmp_path):
    """Log and metric report it, with the file; the next good one is applied."""
    secret = Mounted(tmp_path / "tls", **pair(ca, "of-bad"))
    s = sidecar(config=config(text(service, "[web]", f"tls_certificate = {secret.folder}/tls.crt",
                                   f"tls_key = {secret.folder}/tls.key")))
    before, successful = served(s.port, ca), "scrapeshard_config_last_reload_successful "
    secret.write(**{**pair(ca, "of-bad-2"), "tls_crt": b"junk\n"})
    s.wait_line(f'level=error msg="reload failed" .*{secret.folder}/tls.crt')
    assert metric(s, successful) == 0 and served(s.port, ca) == before
    assert ask(s.port, context=trusting(ca))[::2] == (200, BODY)
    secret.write(**pair(ca, "of-bad-3"))
    wait_until(lambda: metric(s, successful) == 1, "the good one is not taken")
    assert served(s.port, ca) != before


@pytest.mark.skipif(os.geteuid() != 0 or SANITIZED,
                    reason="only root may give files away, and a sanitizer leaves it all capabilities")
def test_file_that_became_unreadable(sidecar, service, config, tmp_path):
    """As root without capabilities, a file of another user: the change is noticed, and the failure is reported."""
    def write(word):
        new = tmp_path / "new"
        new.write_text(word)
        os.chown(new, 12345, 12345)
        new.chmod(0o600)
        new.rename(tmp_path / "token")
    write("one")
    s = sidecar(config=config(text(service, "[web]", f"bearer_token_file = {tmp_path}/token")))
    write("two")
    s.wait_line(f'level=error msg="reload failed" .*{tmp_path}/token: Permission denied')
    assert metric(s, "scrapeshard_config_last_reload_successful ") == 0
    assert ask(s.port, headers=bearer("one"))[0] == 200


def test_file_that_comes_later(sidecar, service, config, tmp_path):
    """A file that a new configuration names, in a directory that does not exist yet."""
    s = sidecar(config=config(text(service)))
    config(text(service, "[web]", f"bearer_token_file = {tmp_path}/later/token"))
    s.wait_line('msg="reload failed" .*later/token')
    (tmp_path / "later").mkdir()
    (tmp_path / "later/token").write_text("token")
    wait_until(lambda: s.get()[0] == 401, "the file is not seen")


def test_without_inotify(process, service, config):
    """Only a warning; a signal still reloads."""
    p = process(["unshare", "--user", "--map-root-user", "sh", "-c",
                 f'echo 0 >/proc/sys/user/max_inotify_instances && exec "$0" "$@"', BINARY,
                 f"--config.file={config(text(service))}", "--web.listen-address=127.0.0.1:0",
                 "--admin.listen-address=127.0.0.1:0"])
    p.wait_line('level=warn msg="cannot watch the configuration files, changes may be missed" reason="Too many open files"')
    p.process.send_signal(1)
    p.wait_line("msg=reloaded")


# No needless reloads.


def test_what_has_not_changed_disturbs_nothing(sidecar, service, config, tmp_path):
    """Rewritten with the same content, touched, or another file in the directory."""
    mounted = Mounted(tmp_path / "config", scrapeshard_ini=text(service).encode(), other=b"1")
    s = sidecar(config=mounted / "scrapeshard.ini")
    s.admin("/-/healthy")  # now it watches; before, it cannot know what has changed
    mounted.write(scrapeshard_ini=text(service).encode(), other=b"2")
    os.utime(mounted / "scrapeshard.ini")
    # Once a later change has been noticed, the earlier ones have been handled.
    time.sleep(1.5)
    assert not s.find(RELOADED)
    mounted.write(scrapeshard_ini=text(service, timeout="20s").encode(), other=b"3")
    wait_reload(s, 1)


def test_many_writes_are_one_change(sidecar, service, config):
    for _ in range(10):
        s = sidecar(config=config(text(service)))
        began = time.monotonic()
        for i in range(50):
            config(text(service, timeout=f"{i + 11}s"))
        if time.monotonic() - began < 1:  # else there may have been a pause, after which more reloads are right
            break
    wait_reload(s, 1)
    assert b"timeout = 1m\n" in s.admin("/-/config")[2]


def test_writes_without_end_are_not_waited_for(sidecar, service, config):
    s = sidecar(config=config(text(service)))
    numbers = itertools.count(1)

    def seen():
        config(text(service, f"max_series = {next(numbers)}"))
        return s.find("msg=reloaded")
    wait_until(seen, "no reload comes while the file is written", 20)


def slow_watching(path, delay, seconds):
    """A prefix: strace makes each inotify_add_watch(2) of a path slow, before or after it is done."""
    return ["strace", "-D", "-qq", "-o", "/dev/null", "-P", str(path), "-e", "trace=inotify_add_watch",
            "-e", f"inject=inotify_add_watch:delay_{delay}={seconds * 1000000}"]


@pytest.mark.skipif(SLOW > 1, reason="LeakSanitizer cannot be traced")
@pytest.mark.parametrize("delay", ["enter", "exit"])
@pytest.mark.parametrize("reloads", [False, True], ids=["at the start", "at a reload"])
def test_change_while_watching_begins(sidecar, service, config, tmp_path, delay, reloads):
    """After the configuration was read, before a change of it would be an event, or before its content is known."""
    s = sidecar(config=config(text(service)), prefix=slow_watching(tmp_path, delay, 1))
    if reloads:
        s.wait_line("privileges dropped")
        s.process.send_signal(signal.SIGHUP)
        s.wait_line("msg=reloaded")
        s.process.send_signal(signal.SIGHUP)
    time.sleep(1.5)  # the folder is watched twice: as one on the way, and as that of the file
    config(text(service, timeout="20s"))
    wait_until(lambda: b"timeout = 20s" in s.admin("/-/config")[2], "the change is missed", 20)


@pytest.mark.skipif(SLOW > 1, reason="LeakSanitizer cannot be traced")
@pytest.mark.parametrize("timeout", ["10s", "20s"], ids=["as before", "new"])
def test_writer_closes_the_file_after_a_reload(sidecar, service, config, tmp_path, timeout):
    """The reload has read a part, and the rest is written before the content is known."""
    path = config(text(service))
    s = sidecar(config=path, prefix=slow_watching(tmp_path, "enter", 1))
    s.admin("/-/healthy")  # now it watches
    with open(path, "wb", buffering=0) as writer:
        s.process.send_signal(signal.SIGHUP)
        time.sleep(1.5)
        writer.write(text(service, timeout=timeout).encode())
        s.admin("/-/healthy")
    wait_until(lambda: metric(s, "scrapeshard_config_last_reload_successful ") == 1, "the change is missed", 20)
    assert f"timeout = {timeout}\n".encode() in s.admin("/-/config")[2]


def test_folder_further_up_is_replaced(sidecar, service, tmp_path):
    """And what is written there later."""
    for name, timeout in (("app", "10s"), ("next", "20s")):
        (tmp_path / name / "conf").mkdir(parents=True)
        (tmp_path / name / "conf/c.ini").write_text(text(service, timeout=timeout))
    path = tmp_path / "app/conf/c.ini"
    s = sidecar(config=path)
    s.admin("/-/healthy")  # now it watches
    (tmp_path / "app").rename(tmp_path / "before")
    (tmp_path / "next").rename(tmp_path / "app")
    wait_reload(s, 1)
    assert b"timeout = 20s" in s.admin("/-/config")[2]
    path.write_text(text(service, timeout="30s"))
    wait_until(lambda: b"timeout = 30s" in s.admin("/-/config")[2], "the file is not watched any more")


@pytest.mark.skipif(SLOW > 1, reason="LeakSanitizer cannot be traced")
def test_link_swapped_while_it_is_followed(sidecar, service, tmp_path):
    """To a folder with the same content, which is written later."""
    link, new = tmp_path / "data", tmp_path / "new"
    for folder in "abc":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c.ini").write_text(text(service))
    link.symlink_to("a")
    s = sidecar(config=link / "c.ini", prefix=slow_watching(tmp_path / "b", "exit", 1))
    s.wait_line("privileges dropped")
    s.admin("/-/healthy")  # now it watches
    new.symlink_to("b")
    new.rename(link)
    time.sleep(1.5)  # after a quiet second the link is followed
    new.symlink_to("c")
    new.rename(link)
    time.sleep(3)
    (tmp_path / "c/c.ini").write_text(text(service, timeout="20s"))
    wait_until(lambda: b"timeout = 20s" in s.admin("/-/config")[2], "the folder is not watched")


def test_folder_that_may_not_be_listed(sidecar, service, tmp_path):
    """Not even by root, which has no capabilities. It cannot be watched: that is said once, and is no reason to reload
    what has not changed."""
    secret, path = tmp_path / "secret", tmp_path / "c.ini"
    secret.mkdir()
    (secret / "token").write_text("abc\n")
    content = text(service, f"authorization_file = {secret}/token")
    path.write_text(content)
    secret.chmod(0o311)
    s = sidecar(config=path)
    s.wait_line("privileges dropped")
    reloads = []
    for _ in range(3):
        path.write_text(content)
        time.sleep(2)
        reloads.append(s.count(RELOADED))
    assert reloads[0] <= 1 and reloads == reloads[:1] * 3
    path.write_text(content.replace("timeout = 10s", "timeout = 20s"))
    wait_reload(s, reloads[0] + 1)


def test_signal_takes_the_change_ahead(sidecar, service, config):
    """A manual reload is not followed by a second one."""
    s = sidecar(config=config(text(service)))
    s.process.send_signal(signal.SIGSTOP)  # it sees both at once, however long this process waits in between
    config(text(service, timeout="20s"))
    s.process.send_signal(signal.SIGHUP)
    s.process.send_signal(signal.SIGCONT)
    wait_reload(s, 1)
    time.sleep(1.5)
    assert s.count(RELOADED) == 1


def test_off(sidecar, service, config):
    """And on again after a signal."""
    s = sidecar(config=config(text(service, "[process]", "watch_files = off")))
    s.wait_line("privileges dropped")  # which takes descriptors for a while
    descriptors = s.descriptors()
    config(text(service))
    time.sleep(1.5)
    assert not s.find(RELOADED)
    s.process.send_signal(1)
    wait_reload(s, 1)
    assert s.descriptors() == descriptors + 1
    config(text(service, timeout="20s"))
    wait_reload(s, 2)
    config(text(service, "[process]", "watch_files = off"))
    wait_reload(s, 3)
    assert s.descriptors() == descriptors


def test_idle_loop_does_not_turn(sidecar, service, config, tmp_path):
    steer = Steer(tmp_path / "steer")
    s = sidecar(config=config(text(service)), env=steer.environment)
    config(text(service, timeout="20s"))
    wait_reload(s, 1)
    wait_until(lambda: stands_still(steer.turns), "it turns for ever")
    before = steer.turns()
    time.sleep(2)
    assert steer.turns() == before


# The files of an upstream.


@pytest.mark.parametrize("name, content", [("tls_crt", b"junk"), ("tls_key", b"junk"), ("ca_crt", b"junk"),
                                           ("tls_key", "another"), ("ca_crt", b"")], ids=str)
def test_bad_renewed_file_of_an_upstream_changes_nothing(sidecar, upstream, config, ca, tmp_path, name, content):
    """The reload is refused, with a reason, and scrapes go on with the files that were read before."""
    u, peers = https_service(upstream, serving(ca.issue("of-upstream", "IP:127.0.0.1"), ca))
    files = {**pair(ca, "client-1"), "ca_crt": ca.pem.read_bytes()}
    secret = Mounted(tmp_path / "tls", **files)
    s = sidecar(config=config(text(u, f"tls_ca = {secret.folder}/ca.crt", f"tls_certificate = {secret.folder}/tls.crt",
                                   f"tls_key = {secret.folder}/tls.key")))

    def scraped_by():
        status, _, body = s.get()
        assert (status, body) == (200, BODY), body
        return peers[-1]["subject"][0][0][1]
    assert scraped_by() == "client-1"
    bad = ca.issue("another")[1].read_bytes() if content == "another" else content
    secret.write(**{**files, name: bad})
    s.wait_line(f"reload failed.*tls_.*{secret.folder}/{name.replace('_', '.')}: ")
    assert [scraped_by() for _ in range(3)] == ["client-1"] * 3
    secret.write(**{**files, **pair(ca, "client-2")})
    s.wait_line("msg=reloaded")
    assert scraped_by() == "client-2"
