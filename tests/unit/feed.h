/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_FEED_H
#define UNIT_FEED_H
/* Feeds bodies to the filter, cut in every way, from memory that ends where the bytes end. */
#include <scrapeshard/filter.h>

/* Memory followed by an inaccessible page. */
struct guarded {
    char *map;
    size_t size; /* of the mapping */
};

struct guarded guarded_new(size_t len);

/* Copies the bytes right before the guard page. */
struct ss_span guarded_put(const struct guarded *guarded, struct ss_span bytes);
void guarded_free(struct guarded *guarded);

/* What happened to one body. */
struct outcome {
    int result; /* of the feed or end that failed, or 0 */
    struct ss_filter_error error;
    struct ss_filter_counts counts;
    bool ends_whole; /* before the end was signalled */
    char *bytes;     /* what reached the sink, NUL-terminated */
    size_t len;
};

struct question {
    const char *content_type;
    const char *shard; /* as in the parameter; NULL: the whole body */
    uint32_t count;
    size_t max_line; /* 0: the default */
    struct ss_sharding *sharding;
    uint64_t max_series, max_families;
};

/*
 * Feeds the body whole, byte by byte, and in two pieces split at every position (or at a hundred, if it is long), and
 * fails the test unless all have the same outcome, including the error; and unless an index of the body gives the same.
 * Free with outcome_free().
 */
struct outcome feed_all_ways(struct ss_span body, const struct question *question);

/* Fails the test unless, for every count in {1, 2, 7, 80}, each record of the body is in exactly one shard.
   first_len() returns the length of the first record. */
void check_union(struct ss_span body, const char *content_type, size_t (*first_len)(struct ss_span body));

/* The length of the first line of a body. */
size_t first_line_len(struct ss_span body);
size_t first_openmetrics_line_len(struct ss_span body);

/* The take() of a sink whose context is an outcome. */
int outcome_take(void *ctx, const struct ss_span *spans, size_t n);

void outcome_free(struct outcome *outcome);

/* A span of a string literal. */
#define SPAN(text) ((struct ss_span){(text), sizeof(text) - 1})

#endif
