# SPDX-License-Identifier: Apache-2.0
"""An upstream that redirects: a redirect to the same scheme, host and port is followed, and no scraper ever sees a 3xx, since
it would follow it past the sidecar and take the whole body for its shard."""
import itertools
import re

import pytest

from conftest import SLOW, TEXT, answer, answering, free_port, run, wait_until
from exposition import target
from prometheus import PATIENCE, Prometheus, shard_jobs

BODY = b"".join(b'# TYPE family_%d gauge\nfamily_%d{id="a"} %d\n' % (i, i, i) for i in range(40))
FOLLOWED = ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]


def redirect(location, status="307 Temporary Redirect", body=b"it is elsewhere\n", extra=()):
    locations = [location] if isinstance(location, str) else location
    return answer(body, status=status, extra=[*(f"Location: {one}" for one in locations), *extra])


class Service:
    """Answers each path by a table, and all others with the body; {here} in a response is its host and port."""

    def __init__(self, upstream, table, **options):
        self.table = table
        self.upstream = upstream(self._serve, **options)
        self.url, self.here = self.upstream.url, re.sub("^http://|/metrics$", "", self.upstream.url)

    def _serve(self, upstream, connection):
        while head := upstream.read_request(connection):
            response = self.table.get(head.split()[1].decode(), answer(BODY))
            connection.sendall(response.replace(b"{here}", self.here.encode()))
            if b"Connection: close" in response:
                return

    @property
    def paths(self):
        return [head.split()[1].decode() for head in self.upstream.requests]


@pytest.fixture
def scene(upstream, sidecar):
    """scene(table, *flags) starts a service with such a table, and a sidecar in front."""
    def start(table, *flags, **options):
        service = Service(upstream, table, **options)
        return service, sidecar(service.url, *flags)
    return start


def assert_refused(s, pattern, where="/metrics"):
    status, headers, body = s.get(where)
    assert status == 502 and "Location" not in headers, (status, headers.items(), body)
    assert re.fullmatch(rb"endpoint default: [ -~]*\n", body) and re.search(pattern, body.decode()), body


@pytest.mark.parametrize("status", FOLLOWED)
@pytest.mark.parametrize("location", ["/metrics/", "metrics/", "http://{here}/metrics/", "HTTP://{here}/a/../metrics/",
                                      "//{here}/metrics/"])
def test_redirect_to_the_same_service_is_followed(scene, status, location):
    """With the same request headers, over one connection; nothing of the first response is kept."""
    service, s = scene({"/metrics?a=b": redirect(location, status, extra=["Set-Cookie: a=b", "X-First: 1"])})
    asking = {"Accept": TEXT, "Authorization": "Bearer secret", "X-Scope-OrgID": "1", "User-Agent": "Prometheus/2.42.0"}
    for _ in range(3):
        parts = [s.get(target(i, 3) + "&a=b", asking) for i in range(3)]
        assert [status for status, _, _ in parts] == [200] * 3
        assert all("X-First" not in headers and "Set-Cookie" not in headers for _, headers, _ in parts)
        assert sorted(b"".join(body for _, _, body in parts).splitlines()) == sorted(BODY.splitlines())
    assert service.paths == ["/metrics?a=b", "/metrics/"] * 9
    first, second = (head.split(b"\r\n", 1)[1] for head in service.upstream.requests[:2])
    assert first == second
    assert service.upstream.connections == 1


def test_three_redirects_are_followed_and_no_more(scene):
    hops = {"/metrics": "/1", "/1": "/2?x=y", "/2?x=y": "/3", "/other": "/0", "/0": "/metrics"}
    service, s = scene({path: redirect(to) for path, to in hops.items()})
    assert s.get()[::2] == (200, BODY)
    assert service.paths == ["/metrics", "/1", "/2?x=y", "/3"]
    service.table["/3"] = redirect("/4")
    assert_refused(s, 'redirects.*"/4".*3 ')


@pytest.mark.parametrize("hops", [["/metrics"], ["#top"], ["/1", "/metrics"], ["/1", "/2", "/1"], ["http://{here}/metrics"]],
                         ids=str)
def test_loop_is_reported(scene, hops):
    paths = ["/metrics", *hops]
    service, s = scene({path: redirect(to) for path, to in itertools.pairwise(paths)})
    assert_refused(s, "loop")
    assert len(service.paths) == len(hops)
    wait_until(lambda: s.find("msg=scrape .*outcome=upstream_failed.*loop"), "no line of log")


ELSEWHERE = [
    ("http://other.example:9090/metrics", '"http://other.example:9090/metrics"'),
    ("http://127.0.0.1:1/metrics", '"http://127.0.0.1:1/metrics"'),
    ("https://{here}/metrics", '"https://127.0.0.1:'),
    ("//127.0.0.2/metrics", '"//127.0.0.2/metrics"'),
    ("file:///etc/passwd", '"file:///etc/passwd"'),
    ("ftp://{here}/metrics", '"ftp://127'),
    ("http://leader:9090/metrics?token=hidden", '"http://leader:9090/metrics\\.\\.\\."'),
    ("http://user:hidden@leader/metrics", '"\\.\\.\\.@leader/metrics"'),
    ("http://user:hidden@{here}/metrics", '"\\.\\.\\.@127'),
    ("http://[::1/metrics", '"http://\\[::1/metrics"'),
    ("http://{here}:99999/metrics", "127"),
    ("http://\x1b[31m/\xff", r'"http://\\x1b\[31m/\\x'),
    ("http://leader/" + "x" * 5000, '"http://leader/xx'),
]


@pytest.mark.parametrize("where", ["/metrics", "/metrics?shard=0&shard_count=2"], ids=["whole", "shard"])
@pytest.mark.parametrize("location, pattern", ELSEWHERE, ids=[location[:40] for location, _ in ELSEWHERE])
def test_redirect_elsewhere_is_refused(scene, location, pattern, where):
    service, s = scene({"/metrics": redirect(location)})
    assert_refused(s, f"redirect.*307.*{pattern}", where)
    assert len(service.paths) == 1
    assert not s.find("hidden") and b"hidden" not in s.get()[2]
    service.table.clear()
    assert s.get()[0] == 200


def test_host_header_names_no_place_to_go(scene):
    """Redirects are followed by the address in the URL, whatever Host header the upstream gets."""
    flag = "--set=endpoint.default.host_header=app.example.com"
    service, s = scene({"/metrics": redirect("http://{here}/m/"), "/m/": redirect("/m")}, flag)
    assert s.get()[::2] == (200, BODY) and service.paths == ["/metrics", "/m/", "/m"]
    assert all(b"\r\nHost: app.example.com\r\n" in head for head in service.upstream.requests)
    service.table["/metrics"] = redirect("http://app.example.com/m/")
    assert_refused(s, "redirect.*app.example.com/m/")


@pytest.mark.parametrize("status", ["300 Multiple Choices", "304 Not Modified", "305 Use Proxy", "306 Switch", "399 Odd",
                                    *FOLLOWED])
def test_no_redirect_reaches_a_scraper(scene, status):
    """Redirects without a target, and statuses that a scraper would not follow."""
    follows = status in FOLLOWED
    for locations in ([], [""]) if follows else ([], ["/metrics/"]):
        service, s = scene({"/metrics": redirect(locations, status, b"")})
        for method in ("GET", "HEAD"):
            assert s.get(method=method)[0] == 502
        assert_refused(s, status[:3] + ("" if follows or not locations else '.*"/metrics/"'))
        assert set(service.paths) == {"/metrics"}


@pytest.mark.parametrize("location, followed", [("/metrics/", True), ("http://127.0.0.1:1/", False)])
def test_redirect_under_max_age(scene, location, followed):
    service, s = scene({"/metrics": redirect(location)}, "--set=endpoint.default.max_age=1h")
    for i in range(2):
        status, _, body = s.get(target(i, 2))
        assert status == (200 if followed else 502), body
        assert followed or b"127.0.0.1:1" in body
    assert len(service.paths) == 2


@pytest.mark.parametrize("location", ["/metrics/", "http://localhost/metrics/"])
def test_redirect_over_a_unix_socket(upstream, sidecar, tmp_path, location):
    """Its host is localhost there; the second request goes to the same socket."""
    service = Service(upstream, {"/metrics": redirect(location)}, path=str(tmp_path / "s"))
    s = sidecar(service.url)
    assert s.get()[::2] == (200, BODY)
    service.table["/metrics"] = redirect(f"http://127.0.0.1:{free_port()}/metrics/")
    assert_refused(s, "127.0.0.1")


# The response that redirects.


@pytest.mark.parametrize("response", [
    redirect("/metrics/", body=b"x" * 60000),
    redirect("/metrics/", body=b"x" * 600000),
    redirect("/metrics/", extra=["Connection: close"]),
    b"HTTP/1.1 302 Found\r\nLocation: /metrics/\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /metrics/\r\nConnection: close\r\nContent-Length: 100\r\n\r\nshort",
    b"HTTP/1.1 302 Found\r\nLocation: /metrics/\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLocation: /no\r\n\r\nHTTP/1.1 302 Found\r\nLocation:\r\n /metrics/\r\nContent-Length: 0\r\n\r\n",
    redirect("/metrics/") + answer(b"smuggled 1\n"),
    redirect("/metrics/", body=b"") + answer(b"smuggled 1\n"),
    b"HTTP/1.1 302 Found\r\nLocation: /metrics/\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + answer(b"smuggled 1\n"),
], ids=range(10))
def test_body_of_a_redirect_means_nothing(scene, response):
    """It is neither the scrape's body nor the next response."""
    service, s = scene({"/metrics": response})
    for _ in range(4):
        assert s.get()[::2] == (200, BODY)
    assert service.paths == ["/metrics", "/metrics/"] * 4


@pytest.mark.parametrize("response, reason", [
    (b"HTTP/1.1 302 Found\r\nLocation: /m/\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "Content-Length"),
    (b"HTTP/1.1 302 Found\r\nLocation: /m/\r\nConnection: close\r\nX: ", "head"),
])
def test_head_of_a_redirect_is_as_strict_as_any(scene, response, reason):
    service, s = scene({"/metrics": response})
    assert_refused(s, reason)
    assert service.paths == ["/metrics"]


def test_endless_body_of_a_redirect(upstream, sidecar):
    def serve(u, connection):
        while head := u.read_request(connection):
            if b" /metrics " not in head:
                connection.sendall(answer(BODY))
                continue
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /m/\r\nContent-Length: 9000000000\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)
    s = sidecar(upstream(serve).url)
    assert s.get()[::2] == (200, BODY)


def test_redirected_response_is_checked_as_any(scene):
    service, s = scene({"/metrics": redirect("/metrics/")})
    for response, status, seconds in ((answer(b"no\n", status="404 Not Found"), 404, 10),
                                      (answer(b"<html>\n"), 502, 10), (answer(BODY)[:-9] + b"", 504, 0.5)):
        service.table["/metrics/"] = response
        assert s.get(headers={"X-Prometheus-Scrape-Timeout-Seconds": str(seconds * SLOW)})[0] == status


def test_redirects_share_the_deadline(upstream, sidecar):
    """Three redirects do not multiply it by four."""
    def serve(u, connection):
        while head := u.read_request(connection):
            hop = int(head.split()[1][8:] or 0)
            if hop == 3:
                connection.recv(1)
                return
            connection.sendall(redirect(f"/metrics{hop + 1}"))
    u = upstream(serve)
    s = sidecar(u.url, "--set", f"endpoint.default.timeout={1500 * SLOW:.0f}ms")
    assert s.get()[0] == 504
    assert len(u.requests) == 4


@pytest.mark.parametrize("location, status", [("/metrics/", 0), ("http://127.0.0.1:1/metrics", 1)])
def test_plan_follows_as_the_sidecar_does(upstream, location, status):
    service = Service(upstream, {"/metrics": redirect(location)})
    code, out, err = run("plan", "--shard-count=3", service.url)
    assert code == status
    assert "40 series" in out if status == 0 else "127.0.0.1:1" in err


# A real Prometheus, which would follow.


def test_prometheus(tmp_path, upstream, sidecar, config):
    """Relative, absolute from Host, and to another host where the whole body is: shards, or up 0, never the whole."""
    whole = upstream(answering(answer(BODY)))
    services = {"relative": Service(upstream, {"/metrics": redirect("/metrics/")}),
                "absolute": Service(upstream, {"/metrics": redirect("http://{here}/metrics/")}),
                "elsewhere": Service(upstream, {"/metrics": redirect(whole.url)})}
    s = sidecar(config=config("".join(f"[endpoint {name}]\npath = /{name}\nupstream = {service.url}\n"
                                      for name, service in services.items())))
    p = Prometheus(tmp_path / "prometheus", [j for name in services for j in shard_jobs(name, s.port, 2, f"/{name}")])
    try:
        p.wait_ready()
        p.wait_scrapes(2)
        for name in ("relative", "absolute"):
            parts = [p.series(f"{name}-{i}") for i in range(2)]
            assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 40 and all(parts)
        assert not p.series("elsewhere-0") and not p.series("elsewhere-1")

        def is_as_expected():
            errors = p.last_errors()
            return {name: "502" in error for name, error in errors.items()} == \
                {name: name.startswith("elsewhere") for name in errors}
        # The last scrape of a job may have taken too long.
        wait_until(is_as_expected, f"other errors: {p.last_errors()}", PATIENCE)
        assert not whole.requests
    finally:
        assert p.stop() == 0
