# SPDX-License-Identifier: Apache-2.0
"""Where the listeners can be reached, each test in its own network namespace: by both address families whatever the
kernel's default is, and on default ports that no one else uses."""
import contextlib
import socket
import subprocess
import threading

import pytest

from conftest import BINARY, SLOW, answer, answering
from test_networks import enter

BODY = b"# TYPE up gauge\nup 1\n"


@pytest.fixture
def inside(process):
    """inside(setting=value, ...) makes a namespace with these sysctls and moves this thread into it; what the test starts
    from then on is in there."""
    with open("/proc/thread-self/ns/net") as outside, contextlib.ExitStack() as back:
        def go_in(**settings):
            lines = [f"echo {value} > /proc/sys/net/{name}" for name, value in settings.items()]
            try:
                p = process(["unshare", "--net", "sh", "-ec",
                             "\n".join(["ip link set lo up", *lines, "echo ready >&2", "exec sleep 600"])])
                p.wait_line("ready")
                enter(f"/proc/{p.process.pid}/ns/net")
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no network namespaces: {error}")
            back.callback(lambda: enter(f"/proc/self/fd/{outside.fileno()}"))
        yield go_in


def reaches(address, port):
    """Whether an HTTP server answers there."""
    try:
        with socket.create_connection((address, port), timeout=20 * SLOW) as s:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return s.makefile("rb").read().endswith(BODY)
    except OSError:
        return False


@pytest.mark.parametrize("bindv6only", [0, 1])
@pytest.mark.parametrize("listen, reached", [
    (":0", {"127.0.0.1", "::1"}), ("[::]:0", {"127.0.0.1", "::1"}), ("[::1]:0", {"::1"}), ("0.0.0.0:0", {"127.0.0.1"}),
])
def test_families(inside, sidecar, upstream, listen, reached, bindv6only):
    inside(**{"ipv6/bindv6only": bindv6only})
    s = sidecar(upstream(answering(answer(BODY))).url, listen=listen)
    assert {a for a in ("127.0.0.1", "::1") if reaches(a, s.port)} == reached


def test_default_ports_leave_opentelemetry_its_own(inside, process):
    """A native sidecar starts first: a service with an OpenTelemetry exporter must still find 9464 free."""
    inside()
    p = process([BINARY, "--upstream.url=http://127.0.0.1:9464/metrics"])
    p.wait_line('msg="listening for administration" address=127.0.0.1:19481')

    def serve():
        with contextlib.suppress(OSError), service.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(answer(BODY))
    with socket.create_server(("", 9464)) as service:
        threading.Thread(target=serve, daemon=True).start()
        assert reaches("127.0.0.1", 19480)
