# SPDX-License-Identifier: Apache-2.0
"""Freed memory holds no passwords, tokens or Authorization values, where its next owner could read them
(tests/torture/find-freed.c)."""
import base64
import mmap
import os
import pathlib
import struct
import subprocess

import pytest

from conftest import BINARY, SANITIZED, answer, answering
from pki import Authority
from test_security import ask, basic, bearer, hits, reload, trusting

LIBRARY = pathlib.Path(BINARY).resolve().parents[1] / "tests/libfind-freed.so"
PASSWORD, WRONG, TOKEN = "correct-horse-battery", "guessed-staple-wrong", "token-of-the-scraper"
SHOWN, PASSED_ON, URL = "shown-to-the-service", "passed-on-to-the-service", "in-the-url-of-a-scrape"

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer has a free() of its own")


# Longer than the passwords, so that what a text leaves behind when it is moved to its start includes all of the password.
USER = "a-user-with-a-name-that-is-longer"


def base64_of(password):
    """What the middle of a password becomes in the base64 of USER:PASSWORD."""
    at = (len(USER) + 3) // 3 * 4
    return base64.b64encode(f"{USER}:{password}".encode()).decode()[at:at + 16]


class Freed:
    """The texts searched for, and how often each was found."""
    ENTRY = struct.Struct("120sq")

    def __init__(self, path, texts):
        assert LIBRARY.exists(), f"{LIBRARY} is not built: ninja"
        self.texts = texts
        entries = [self.ENTRY.pack(t.encode(), 0) for t in texts]
        path.write_bytes(b"".join(entries).ljust(8 * self.ENTRY.size, b"\0"))
        self.environment = {**os.environ, "LD_PRELOAD": str(LIBRARY), "FIND_FREED": str(path)}
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * self.ENTRY.size)

    def found(self):
        return {text: self.ENTRY.unpack_from(self.map, i * self.ENTRY.size)[1] for i, text in enumerate(self.texts)}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"), "authority")


@pytest.fixture(scope="module")
def server(ca):
    return ca.issue("server", "IP:127.0.0.1")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_secrets_are_wiped(sidecar, upstream, config, ca, server, tmp_path, tls):
    """Good, bad and malformed credentials, and the Authorization value for the upstream, across a reload and until exit."""
    service = upstream(answering(answer(b"up 1\n")))
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "shown").write_text(f"Bearer {SHOWN}\n")
    subprocess.run(["htpasswd", "-cbB", "-C", "4", tmp_path / "users", USER, PASSWORD], check=True, capture_output=True)
    freed = Freed(tmp_path / "freed", [PASSWORD, base64_of(PASSWORD), WRONG, base64_of(WRONG), TOKEN, SHOWN, URL])
    s = sidecar(config=config("\n".join([
        f"[endpoint a]\nupstream = {service.url}\nauthorization_file = {tmp_path}/shown",
        f"[endpoint b]\npath = /b\nmax_age = 1s\nupstream = {service.url}\nauthorization_file = {tmp_path}/shown",
        f"[web]\nbasic_auth_file = {tmp_path}/users\nbearer_token_file = {tmp_path}/token",
        *([f"tls_certificate = {server[0]}\ntls_key = {server[1]}"] if tls else []), ""])), env=freed.environment)
    context = trusting(ca) if tls else None
    for path in ("/metrics", "/b"):
        for headers, status in ((basic(USER, PASSWORD), 200), (basic(USER, WRONG), 401), (basic("nobody", WRONG), 401),
                                (bearer(TOKEN), 200), (bearer(WRONG), 401),
                                ({"Authorization": basic(USER, WRONG)["Authorization"] + "!"}, 401),
                                ({"Authorization": "Basic " + base64.b64encode(WRONG.encode()).decode()}, 401)):
            assert ask(s.port, f"{path}?a={URL}", context, headers)[0] == status
    assert hits(s, "credentials") == 10
    reload(s)
    assert ask(s.port, context=context, headers=basic(USER, PASSWORD))[0] == 200
    assert s.stop() == 0
    found = freed.found()
    assert found.pop(URL), "the tester finds nothing"
    assert not any(found.values()), found


@pytest.mark.parametrize("max_age", ["0s", "1h"])
def test_credentials_for_the_service_are_wiped(sidecar, upstream, tmp_path, max_age):
    """Those that the scraper sends and that are forwarded."""
    service = upstream(answering(answer(b"up 1\n")))
    freed = Freed(tmp_path / "freed", [PASSED_ON, URL])
    s = sidecar(service.url, f"--set=endpoint.default.max_age={max_age}", env=freed.environment)
    for i in range(3):
        assert ask(s.port, f"/metrics?a={URL}", headers=bearer(PASSED_ON))[0] == 200
    assert f"Bearer {PASSED_ON}".encode() in service.requests[0]
    assert s.stop() == 0
    found = freed.found()
    assert found.pop(URL), "the tester finds nothing"
    assert found == {PASSED_ON: 0}
