/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_EXPOSITION_H
#define SERVICE_EXPOSITION_H
/* Writes our own metrics, as text 0.0.4 or OpenMetrics 1.0.0. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct metric_label {
    const char *name, *value;
};

/* Errors are the stream's own, and sticky. */
struct exposition {
    FILE *out;
    bool openmetrics;
};

/* The upper bounds of a histogram's buckets, ended by one with le NULL. Both formats write le as OpenMetrics requires,
   so that no series changes its name with the format. */
struct histogram_bound {
    double max;
    const char *le;
};

enum { HISTOGRAM_BOUNDS = 15 };

struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* per bucket, not cumulative; the last is +Inf */
    double sum;
};

void histogram_observe(struct histogram *histogram, const struct histogram_bound *bounds, double value);

/* Whether an Accept header (NULL: none was sent) prefers OpenMetrics. */
bool exposition_wants_openmetrics(const char *accept);

const char *exposition_content_type(bool openmetrics);

/* Writes a family's metadata. name is that of its samples: a counter's ends in _total, an info's in _info. */
void exposition_family(struct exposition *e, const char *name, enum metric_type type, const char *help);

void exposition_sample(struct exposition *e, const char *name, const struct metric_label *labels, size_t n,
                       double value);

/* Writes all samples of a histogram; n is below LABELS_MAX of exposition.c. */
void exposition_histogram(struct exposition *e, const char *name, const struct metric_label *labels, size_t n,
                          const struct histogram *histogram, const struct histogram_bound *bounds);

void exposition_end(struct exposition *e);

#endif
