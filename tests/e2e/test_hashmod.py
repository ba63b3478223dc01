# SPDX-License-Identifier: Apache-2.0
"""Migration from hashmod: each shard has exactly the series that a real Prometheus keeps of the whole body by
metric_relabel_configs, so that no series changes its server."""
import re

import pytest

from conftest import OPENMETRICS, TEXT, Sidecar, Upstream, answer, answering
from prometheus import Prometheus, job

pytestmark = pytest.mark.xdist_group("hashmod")

COUNT = 5

# Each name with each label value; raw newlines are valid in the text format only.
VALUES = [r"/", r"/a/b", r"C:\\DIR\\", r"say \"hi\"", r"\"", r"\\", r"\\\\\"", r"two\nlines", r"\\n", r"\n", r"no \escape",
          r";", r"a;b", r"|", "été", "日本", "🦀", " ", " lead", "x" * 300, "}", "{", ",", "=", "# {", "0"]
RAW = ["raw\nline", "\n", "\n\n\\n", "} 1\nfake 2\n", "# TYPE x gauge\n"]


def text_series():
    for i, value in enumerate(VALUES + RAW):
        yield f'requests{{path="{value}",zone="z{i % 3}"}}'
        yield f'requests{{zone="{value}", path="/{i}",}}'
        yield f'depth {{ other="{i}" , path = "{value}" }}'
        yield f'alone{{path="{value}"}}'
        yield f'zoned{{zone="{value}",path=""}}'
        yield f'neither{{other="{value}"}}'
        yield f"plain_{i}"
        yield f"braces_{i}{{}}"


def text_body():
    histogram = "".join(f'latency_bucket{{path="/{p}",le="{le}"}} 1\n' for p in range(9) for le in ("0.5", "1.0", "+Inf"))
    histogram += "".join(f'latency_sum{{path="/{p}"}} 1\nlatency_count{{path="/{p}"}} 1\n' for p in range(9))
    return ("".join(f"{series} {i}\n" for i, series in enumerate(text_series())) +
            "# HELP latency How long.\n# TYPE latency histogram\n" + histogram).encode()


def openmetrics_body():
    lines = ["# TYPE requests counter", "# HELP requests Requests."]
    for i, value in enumerate(VALUES):
        lines += [f'requests_total{{path="{value}",zone="z{i % 3}"}} 1', f'requests_total{{zone="{value}",path="/{i}"}} 2']
    lines += ["# TYPE depth gauge"]
    for i, value in enumerate(VALUES):
        lines += [f'depth{{other="{i}",path="{value}"}} 1', f'depth{{zone="{value}",path="",other="{i}"}} 2',
                  f'depth{{other="{value}"}} 3']
    for i in range(30):
        lines += [f"# TYPE plain_{i} gauge", f"plain_{i} 1", f"# TYPE braces_{i} gauge", f"braces_{i}{{}} 1"]
    lines += ["# TYPE latency histogram"]
    for p in range(9):
        lines += [f'latency_bucket{{path="/{p}",le="{le}"}} 1 # {{path="exemplar"}} 0.1' for le in ("0.5", "1.0", "+Inf")]
        lines += [f'latency_sum{{path="/{p}"}} 1.0', f'latency_count{{path="/{p}"}} 1']
    return "\n".join([*lines, "# EOF", ""]).encode()


BODIES = {"text": (text_body(), TEXT), "openmetrics": (openmetrics_body(), OPENMETRICS)}
# mode: (source_labels of hashmod, separator, the equivalent settings)
MODES = {
    "name": (["__name__"], ";", "key = name"),
    "name-as-label": (["__name__"], ";", "key = labels\nsource_labels = __name__"),
    "one-label": (["path"], ";", "key = labels\nsource_labels = path"),
    "two-labels": (["path", "zone"], ";", "key = labels\nsource_labels = path, zone"),
    "separator": (["zone", "path"], "|;", 'key = labels\nsource_labels = zone, path\nseparator = "|;"'),
    "name-and-labels": (["path", "__name__", "none", "le"], "", 'key = labels\nsource_labels = path, __name__, none, le\n'
                                                                'separator = ""'),
}


def hashmod_job(name, port, shard, source_labels, separator):
    relabel = [{"action": "hashmod", "source_labels": source_labels, "separator": separator, "modulus": COUNT,
                "target_label": "__tmp_shard"},
               {"action": "keep", "source_labels": ["__tmp_shard"], "regex": str(shard)},
               {"action": "labeldrop", "regex": "__tmp_shard"}]
    return {**job(name, port), "metric_relabel_configs": relabel}


def port_of(url):
    return int(re.search(r":(\d+)/", url)[1])


def serve(body, content_type):
    give = answering(answer(body, content_type))
    upstream = Upstream(lambda connection: give(upstream, connection))
    return upstream


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    """A Prometheus that has scraped every body in every mode, both ways."""
    directory, jobs, started = tmp_path_factory.mktemp("hashmod"), [], []
    for kind, (body, content_type) in BODIES.items():
        upstream = serve(body, content_type)
        started.append(upstream.close)
        jobs.append(job(f"whole-{kind}", port_of(upstream.url)))
        for mode, (source_labels, separator, settings) in MODES.items():
            config = directory / f"{kind}-{mode}.ini"
            config.write_text(f"[sharding]\nhash = md5\nplacement = modulo\n{settings}\n")
            sidecar = Sidecar(upstream.url, config=config)
            started.append(sidecar.stop)
            for i in range(COUNT):
                jobs.append(hashmod_job(f"hashmod-{kind}-{mode}-{i}", port_of(upstream.url), i, source_labels, separator))
                jobs.append(job(f"sidecar-{kind}-{mode}-{i}", sidecar.port, shard=i, shard_count=COUNT))
    prometheus = Prometheus(directory / "prometheus", jobs)
    prometheus.wait_ready()
    prometheus.wait_up(1)
    yield prometheus
    assert prometheus.stop() == 0
    for stop in reversed(started):
        stop()


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("mode", MODES)
def test_every_series_stays_where_hashmod_put_it(scraped, kind, mode):
    whole, union = scraped.series(f"whole-{kind}"), []
    for i in range(COUNT):
        wanted, got = (scraped.series(f"{way}-{kind}-{mode}-{i}") for way in ("hashmod", "sidecar"))
        assert got == wanted, f"shard {i}"
        assert got
        union += wanted
    assert len(union) == len(whole) and set(union) == whole
    assert len(whole) > 200


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("mode", MODES)
def test_metadata_go_with_the_series(scraped, kind, mode):
    def families(name):
        bare = {re.sub("_(bucket|sum|count|total)$", "", dict(series)["__name__"]) for series in scraped.series(name)}
        return {family: said for family, said in everything.items() if family in bare}
    everything = scraped.metadata(f"whole-{kind}")
    assert len(everything) > (0 if kind == "text" else 60)
    for i in range(COUNT):
        name = f"sidecar-{kind}-{mode}-{i}"
        assert scraped.metadata(name) == families(name), f"shard {i}"
