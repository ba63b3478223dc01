/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_METRIC_H
#define CORE_METRIC_H
/* How Prometheus reads a metric of protobuf (io.prometheus.client.Metric of prometheus/client_model). */
#include <scrapeshard/span.h>

#include <stdbool.h>

/*
 * What makes a histogram a native one: to some versions of Prometheus one thing, to some another. Those of one kind are
 * native to all versions, or to the same ones; 0 is classic to all, and so is what is no histogram.
 */
enum metric_kind {
    METRIC_DELTAS = 1, /* up to 2.45 */
    METRIC_COUNTS = 2, /* 2.46 */
    METRIC_SPANS = 4,  /* from 2.47 on */
    METRIC_ZERO = 7,   /* a zero bucket: all versions */
};

/* Reads what a metric's histogram is. False: no parser takes it. */
bool metric_kind(struct ss_span metric, unsigned *kindp);

#endif
