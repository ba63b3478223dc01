# SPDX-License-Identifier: Apache-2.0
from conftest import answer, answering

BODY = b"# TYPE up gauge\nup 1\nhttp_requests_total 2\nnode_cpu_seconds_total 3\nkube_pod_info 4\n"


def test_one_shard(upstream, sidecar):
    s = sidecar(upstream(answering(answer(BODY))).url)
    assert s.get("/metrics")[2] == BODY
    status, headers, body = s.get("/metrics?shard=7&shard_count=8")
    assert (status, body) == (200, b"# TYPE up gauge\nup 1\n")


def test_node_exporter(node_exporter, sidecar):
    s = sidecar(node_exporter)
    assert b"node_cpu_seconds_total" in s.get("/metrics")[2]
