/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_METRIC_H
#define CORE_METRIC_H
/* How Prometheus reads a protobuf metric (io.prometheus.client.Metric of prometheus/client_model). */
#include <scrapeshard/span.h>

#include <stdbool.h>

/*
 * What makes a histogram native, which differs between versions of Prometheus. Histograms of one kind are native to the
 * same versions; 0 is classic to all, and so is anything but a histogram.
 */
enum metric_kind {
    METRIC_DELTAS = 1, /* up to 2.45 */
    METRIC_COUNTS = 2, /* 2.46 */
    METRIC_SPANS = 4,  /* since 2.47 */
    METRIC_ZERO = 7,   /* a zero bucket: all versions */
};

/* Determines the kind of a metric's histogram. False: malformed to every parser. */
bool metric_kind(struct ss_span metric, unsigned *kindp);

#endif
