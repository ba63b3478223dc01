# SPDX-License-Identifier: Apache-2.0
"""How long a connection to an upstream is kept, and what that means to an upstream with one worker per connection."""
import contextlib
import http.client
import http.server
import threading
import time

import pytest

from conftest import SLOW, TEXT, answer, answering, free_port, run, wait_until
from services import listening

BODY = b"# TYPE a gauge\na 1\n"


class OneAtATime(http.server.BaseHTTPRequestHandler):
    """Python's HTTPServer has one worker: it serves a connection until that is closed."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", TEXT)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


@pytest.fixture
def python_port():
    class Server(http.server.HTTPServer):
        def handle_error(self, *_):
            """A client that did not wait has gone."""
    with Server(("127.0.0.1", 0), OneAtATime) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def starman_port(process, tmp_path):
    """Perl's, with one worker; it waits for the next request of a connection for longer than the test takes."""
    app, port = tmp_path / "app.psgi", free_port()
    app.write_text(f'sub {{ [200, ["Content-Type", "text/plain; version=0.0.4"], ["{BODY.decode()}"]] }};\n')
    listening(process(["starman", "--workers=1", "--keepalive-timeout=60", f"--listen=127.0.0.1:{port}", str(app)]), port)
    return port


@pytest.fixture(params=["python", "starman"])
def port(request):
    return request.getfixturevalue(f"{request.param}_port")


def other_client(port, timeout):
    """What another client of the upstream gets within a timeout."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Connection": "close"})
        return connection.getresponse().read()


@pytest.mark.parametrize("keepalive", ["off", "0s", "200ms"])
def test_another_client_is_served(sidecar, port, keepalive):
    s = sidecar(f"http://127.0.0.1:{port}/metrics", f"--set=endpoint.default.upstream_keepalive={keepalive}")
    for _ in range(3):
        assert s.get()[2] == BODY
        assert other_client(port, 10 * SLOW) == BODY


def test_a_kept_connection_keeps_the_worker(sidecar, port):
    """Otherwise the test above would prove nothing."""
    s = sidecar(f"http://127.0.0.1:{port}/metrics", "--set=endpoint.default.upstream_keepalive=on")
    assert s.get()[2] == BODY
    with pytest.raises(TimeoutError):
        other_client(port, 1)
    assert s.get()[2] == BODY
    s.stop()
    assert other_client(port, 10 * SLOW) == BODY


def test_off_says_so(sidecar, upstream):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url, "--set=endpoint.default.upstream_keepalive=off")
    for _ in range(3):
        assert s.get()[2] == BODY
    assert u.connections == 3
    assert all(b"\r\nConnection: close\r\n" in head for head in u.requests)


@pytest.mark.parametrize("keepalive", ["on", "1h", "20s"])
def test_kept_until_then(sidecar, upstream, keepalive):
    u = upstream(answering(answer(BODY)))
    s = sidecar(u.url, f"--set=endpoint.default.upstream_keepalive={keepalive}")
    for _ in range(3):
        assert s.get()[2] == BODY
    assert u.connections == 1
    assert not any(b"Connection:" in head for head in u.requests)


def test_closed_after_the_last_request(sidecar, upstream):
    """The time restarts with each request, and ends without another one."""
    closed, begun, over = [], [], []

    def serve(upstream, connection):
        while upstream.read_request(connection):
            connection.sendall(answer(BODY))
        closed.append(time.monotonic())
    u = upstream(serve)
    s = sidecar(u.url, "--set=endpoint.default.upstream_keepalive=1s")
    for _ in range(8):
        begun.append(time.monotonic())
        assert s.get()[2] == BODY
        over.append(time.monotonic())
        time.sleep(0.2)
    # Only where a busy machine took a second from one request to the next there may be another connection.
    connections = u.connections
    assert connections <= 1 + sum(end - start > 0.9 for start, end in zip(begun, over[1:]))
    wait_until(lambda: len(closed) == connections, "the connection is not closed")
    assert closed[-1] >= begun[-1] + 0.999
    assert s.get()[2] == BODY
    assert u.connections == connections + 1


def test_of_several_services(sidecar, upstream, config):
    """Each has its own time, in any order."""
    us, closed = [], []

    def serve(upstream, connection):
        while upstream.read_request(connection):
            connection.sendall(answer(BODY))
        closed.append(us.index(upstream))
    us += [upstream(serve) for _ in range(3)]
    s = sidecar(config=config("".join(
        f"[endpoint e{i}]\npath = /{i}\nupstream = {u.url}\nupstream_keepalive = {keepalive}\n"
        for i, (u, keepalive) in enumerate(zip(us, ["4s", "500ms", "on"])))))
    for i in range(3):
        assert s.get(f"/{i}")[2] == BODY
    wait_until(lambda: len(closed) == 2, "connections are not closed")
    assert closed == [1, 0]


def test_bad_value(config):
    status, _, out = run("check", config("[endpoint a]\nupstream = http://127.0.0.1:1/m\nupstream_keepalive = true\n"))
    assert status == 1 and "expected on, off or a duration" in out, out
