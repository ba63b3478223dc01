// SPDX-License-Identifier: Apache-2.0
// A service of npm's prom-client, served by node over TCP, TLS and a unix socket:  node_service.js SERIES CERT KEY PATH
// Prints a line of JSON with where it listens. NODE_PATH says where prom-client is.
"use strict";

const fs = require("fs");
const http = require("http");
const https = require("https");
const client = require("prom-client");

const SERIES_A_FAMILY = 65;
const SERIES_OF_HISTOGRAM = 14;
const [series, cert, key, path] = process.argv.slice(2);
const registry = new client.Registry();

for (let family = 0; family < series / SERIES_A_FAMILY; family++) {
    const settings = {
        name: `node_${family}_seconds`, help: `What ${family} has seen since the start.`,
        labelNames: ["method", "handler", "zone"], registers: [registry],
    };
    const is_histogram = family % 6 === 5;
    const metric = is_histogram ? new client.Histogram(settings) : new client.Gauge(settings);
    for (let i = 0; i < (is_histogram ? SERIES_A_FAMILY / SERIES_OF_HISTOGRAM : SERIES_A_FAMILY); i++) {
        const labels = { method: "GET", handler: `/api/v${i % 3}/${i}`, zone: `eu-west-${i % 3}` };
        if (is_histogram)
            metric.observe(labels, i / 7);
        else
            metric.set(labels, i * 104729 % 1000003);
    }
}

async function respond(request, response) {
    response.setHeader("Content-Type", registry.contentType);
    response.end(await registry.metrics());
}

const listening = (server, ...where) => new Promise((done) => server.listen(...where, () => done(server.address())));
Promise.all([
    listening(http.createServer(respond), 0, "127.0.0.1"),
    listening(https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }, respond), 0, "127.0.0.1"),
    listening(http.createServer(respond), path),
]).then(([tcp, tls]) => console.log(JSON.stringify({ tcp: [tcp.port], tls: tls.port, unix: path })));
