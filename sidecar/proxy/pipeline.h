/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_PIPELINE_H
#define PROXY_PIPELINE_H
/*
 * What happens to a body between upstream and scraper, without a socket:
 *
 *     bytes --> [gunzip] --> filter --> [gzip] --> out
 *     bytes --> [gunzip] --> [timestamp] --> index
 */
#include <scrapeshard/index.h>

#include <stdbool.h>
#include <stdint.h>

struct evbuffer;
struct pipeline;

/* Conditions of a body; positive, as opposed to negative errno values. */
enum pipeline_condition {
    PIPELINE_NO_EXPOSITION = 1,
    PIPELINE_TRUNCATED,
    PIPELINE_TOO_LARGE,
    PIPELINE_LINE_TOO_LONG,
    PIPELINE_TOO_MANY_SERIES,
    PIPELINE_TOO_MANY_FAMILIES,
    PIPELINE_BAD_ENCODING,
    PIPELINE_UNDECIDED, /* the shard of a record cannot be determined */
};

/* What becomes of a body. */
enum pipeline_target {
    PIPELINE_PASS,   /* it passes unchanged; of the settings only max_body applies */
    PIPELINE_FILTER, /* the selected shards pass */
    PIPELINE_INDEX,  /* it is kept as an index */
};

struct pipeline_settings {
    enum pipeline_target target;
    const char *content_type;       /* not kept */
    const struct ss_shards *shards; /* NULL: all. Borrowed while the pipeline lives. */
    struct ss_sharding *sharding;   /* likewise */
    size_t max_line;
    uint64_t max_series, max_families; /* 0: unlimited */
    uint64_t max_body;                 /* applies to the received and to the decoded bytes */
    bool strict_close;
    bool gunzip;          /* the received bytes are compressed */
    int gzip_level;       /* of the output, unless it is too short to be worth it; negative: none */
    int64_t timestamp_ms; /* PIPELINE_INDEX: Unix time for samples without a timestamp; 0: add none */
};

/* 0: *pipelinep is the caller's. ENOTSUP (positive): the hash is not available. -ENOMEM. */
int pipeline_new(struct pipeline **pipelinep, const struct pipeline_settings *settings);

/*
 * Consumes bytes from the front of *in. *morep: call again with the rest of *in, even if that is empty: a few
 * compressed bytes may be very many, and the caller may have to send the output first. 0, a condition, or -ENOMEM.
 */
int pipeline_feed(struct pipeline *pipeline, struct ss_span *in, bool *morep);

/* The body has ended; by_close: only a closed connection marked its end. */
int pipeline_end(struct pipeline *pipeline, bool by_close);

/* Describes the condition that was returned. Borrowed. */
const char *pipeline_reason(const struct pipeline *pipeline);

/* The output; the caller drains it. */
struct evbuffer *pipeline_out(struct pipeline *pipeline);

/* Whether the output is compressed; fixed before the first byte may be sent. */
bool pipeline_is_gzip(const struct pipeline *pipeline);

/* Zeros when nothing is filtered. */
struct ss_filter_counts pipeline_counts(const struct pipeline *pipeline);

/* As ss_filter_largest(); none when nothing is filtered. */
size_t pipeline_largest(const struct pipeline *pipeline, struct ss_family_count *out, size_t n);

/* As ss_filter_families(), likewise. */
void pipeline_families(const struct pipeline *pipeline, void (*visit)(void *ctx, const struct ss_family_count *family),
                       void *ctx);

/* Bytes of memory that the body takes. */
size_t pipeline_memory(const struct pipeline *pipeline);

/* The index, once pipeline_end() has returned 0; it is the caller's. */
struct ss_index *pipeline_take_index(struct pipeline *pipeline);

/* NULL is fine. */
void pipeline_free(struct pipeline *pipeline);

#endif
