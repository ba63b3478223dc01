# SPDX-License-Identifier: Apache-2.0
"""The measurements: processes whose CPU time and memory are read from outside, and contests that take turns."""
import collections
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build"
PEER = BUILD / "tests/bench-peer"
TEXT, OPENMETRICS, PROTOBUF = "text/plain", "application/openmetrics-text", "application/vnd.google.protobuf"
FORMATS = {TEXT: [], OPENMETRICS: ["--openmetrics"], PROTOBUF: ["--protobuf"]}
SCRAPES = 40  # of one measurement

NGINX = """
{user} daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ }}
http {{ access_log off; proxy_temp_path {dir}/t1; client_body_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  upstream service {{ server {server}; keepalive 4; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass {scheme}://service; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0; }} }} }}
"""


class Figures(collections.namedtuple("Figures", "least median deviation")):
    """Figures of repeated measurements; the deviation of a single one is None."""

    @classmethod
    def of(cls, values):
        return cls(min(values), statistics.median(values), statistics.pstdev(values) if len(values) > 1 else None)


class Measured:
    """A process that listens on a port; pid is the one whose CPU time counts."""

    def __init__(self, argv, **options):
        self.process = subprocess.Popen(argv, **options)
        self.pid, self.port, self.reader = self.process.pid, None, None

    def cpu(self):
        """CPU seconds of all its threads."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def status(self, field):
        """A number of /proc/PID/status, summed over the threads if each has one."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir() if field.endswith("switches") else [f"/proc/{self.pid}"]
        lines = [line for task in tasks for line in pathlib.Path(task, "status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith(field + ":"))

    def faults(self):
        """Minor page faults, of all its threads."""
        return int(pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[7])

    def memory(self):
        """Bytes of anonymous memory."""
        return self.status("RssAnon") * 1024

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        if self.reader:
            self.reader.wait()


def start_service(body, content_type=TEXT, times=1):
    """Responds with a file, repeated `times` times."""
    s = Measured([PEER, "serve", body, content_type, str(times)], stdout=subprocess.PIPE, text=True)
    s.port = int(s.process.stdout.readline())
    return s


def url_of(upstream):
    """Of a URL, or of a port of the bench's own service."""
    return f"http://127.0.0.1:{upstream}/metrics" if isinstance(upstream, int) else upstream


def start_sidecar(upstream, *flags):
    s = Measured([BUILD / "sidecar/scrapeshard", f"--upstream.url={url_of(upstream)}",
                  "--web.listen-address=127.0.0.1:0", "--admin.listen-address=off", *flags],
                 stderr=subprocess.PIPE, text=True)
    for line in s.process.stderr:
        if "listening for scrapes" in line:
            s.port = int(line.rsplit(":", 1)[1])
            break
    else:
        sys.exit("scrapeshard does not start")
    # It goes on logging; a full pipe would block it.
    s.reader = subprocess.Popen(["cat"], stdin=s.process.stderr, stdout=subprocess.DEVNULL)
    return s


def start_nginx(upstream, directory):
    """None if it is not installed."""
    if not shutil.which("nginx"):
        return None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    scheme, rest = url_of(upstream).split(":", 1)
    server = f"unix:{rest.split(':')[0]}" if scheme == "unix" else rest.split("/")[2]
    own = pathlib.Path(directory, f"nginx-{port}")
    own.mkdir()
    conf = own / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # whose files are those of unix sockets here
    conf.write_text(NGINX.format(user=user, dir=own, port=port, server=server, scheme="https" if scheme == "https" else "http"))
    s = Measured(["nginx", "-c", conf, "-p", own], stderr=subprocess.DEVNULL)
    s.port = port
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read()
            break
        except OSError:
            time.sleep(0.05)
    s.pid = int(subprocess.run(["pgrep", "-P", str(s.pid)], capture_output=True, text=True, check=True).stdout)
    return s


def build_go(name, directory):
    """The path of a program in Go, or None if Go or Debian packages that it needs are missing."""
    packages = pathlib.Path("/usr/share/gocode")
    source = HERE / name / "main.go"
    needed = re.findall(r'^\t"(github\.com/[^"]+)"$', source.read_text(), re.M)
    if not shutil.which("go") or not all((packages / "src" / package).exists() for package in needed):
        return None
    program = pathlib.Path(directory, name)
    offline = {**os.environ, "GO111MODULE": "off", "GOPATH": str(packages), "GOPROXY": "off", "GOFLAGS": "",
               "GOCACHE": str(BUILD / "go-cache")}
    built = subprocess.run(["go", "build", "-o", program, source], env=offline, check=False)
    return None if built.returncode else program


def start_go_filter(program, upstream):
    """None if there is no such program."""
    if not program:
        return None
    s = Measured([program, url_of(upstream)], stdout=subprocess.PIPE, text=True)
    s.port = int(s.process.stdout.readline())
    return s


def write_body(path, *options):
    with open(path, "wb") as out:
        subprocess.run([sys.executable, HERE / "body.py", *map(str, options)], stdout=out, check=True)
    return path


class PeerFigures(collections.namedtuple("PeerFigures", "size cpu wall reads switches faults")):
    """What bench-peer prints of one scrape, on average: bytes; then of the client, CPU seconds and so on."""

    @classmethod
    def of(cls, line):
        return cls(*map(float, line.split()))


def peer_get(address, target, times=SCRAPES, header=""):
    argv = [PEER, "get", str(address), target, str(times), header]
    return PeerFigures.of(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)


def proxied(process, target, header="", scrapes=SCRAPES):
    """A contest: CPU seconds per scrape of a proxy."""
    def measure():
        before = process.cpu()
        peer_get(process.port, target, scrapes, header)
        return (process.cpu() - before) / scrapes
    return measure


def in_turns(contests, rounds):
    """The values of each contest. The first round only warms up."""
    values = {name: [] for name in contests}
    for round_ in range(rounds + 1):
        for name, measure in contests.items():
            value = measure()
            if round_:
                values[name].append(value)
    return values


def take_turns(contests, rounds):
    """Figures of each contest."""
    return {name: Figures.of(values) for name, values in in_turns(contests, rounds).items()}


def run_core(body, content_type, rounds, *only):
    """Figures of bench-core's contests: all, or those named and the floor."""
    argv = [BUILD / "tests/bench-core", body, content_type, str(rounds), *only]
    rows = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[1:]
    # A name of 14 bytes, then milliseconds.
    return {row[:14].strip(): Figures(*(float(ms) / 1e3 for ms in row[14:].split()[:3])) for row in rows}
