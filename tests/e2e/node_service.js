// SPDX-License-Identifier: Apache-2.0
// A service of npm's prom-client in OpenMetrics, with exemplars and the client's own metrics, on a port of loopback
// that it says on standard error. NODE_PATH says where prom-client is.
"use strict";

const http = require("http");
const client = require("prom-client");

const registry = new client.Registry(client.Registry.OPENMETRICS_CONTENT_TYPE);
client.collectDefaultMetrics({ register: registry });

const requests = new client.Counter({
    name: "requests_total", help: "Requests answered.", labelNames: ["path", "code"], enableExemplars: true,
    registers: [registry],
});
const latency = new client.Histogram({
    name: "latency_seconds", help: "How long they took.", labelNames: ["path"], buckets: [0.01, 0.1, 1],
    enableExemplars: true, registers: [registry],
});
const pause = new client.Summary({ name: "pause_seconds", help: "How long it paused.", registers: [registry] });
const size = new client.Gauge({ name: "size_bytes", help: "How large it is.", registers: [registry] });

for (let i = 0; i < 10; i++) {
    const trace_id = `KOO5S4vxi0${i}`;
    requests.inc({ labels: { path: `/shop/${i}`, code: 200 }, value: i + 1, exemplarLabels: { trace_id } });
    latency.observe({ labels: { path: '/a "b" # {' }, value: i / 5, exemplarLabels: { trace_id, text: "# {" } });
    pause.observe(i / 100);
}
size.set(4096);
for (let i = 0; i < 40; i++)
    new client.Gauge({ name: `kind_${i}`, help: `Things of kind ${i}.`, registers: [registry] }).set(i);

const server = http.createServer(async (request, response) => {
    response.setHeader("Content-Type", registry.contentType);
    response.end(await registry.metrics());
});
server.listen(0, "127.0.0.1", () => console.error(`listening on ${server.address().port}`));
