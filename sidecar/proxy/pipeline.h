/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_PIPELINE_H
#define PROXY_PIPELINE_H
/*
 * What happens to a body between the service and the scraper, without a socket:
 *
 *     bytes --> [gunzip] --> filter --> [gzip] --> out
 *     bytes --> [gunzip] --> [stamp] --> index
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
    PIPELINE_UNDECIDED, /* nobody can tell which shard some of it belongs to */
};

/* What becomes of a body. */
enum pipeline_target {
    PIPELINE_PASS,   /* it goes through as it is; of the settings only max_body means anything */
    PIPELINE_FILTER, /* its shards go through */
    PIPELINE_INDEX,  /* nothing goes through: it is kept, as an index */
};

struct pipeline_settings {
    enum pipeline_target target;
    const char *content_type;       /* not kept */
    const struct ss_shards *shards; /* NULL: all. Borrowed while the pipeline lives. */
    struct ss_sharding *sharding;   /* likewise */
    size_t max_line;
    uint64_t max_series, max_families; /* 0: any number */
    uint64_t max_body;                 /* of the bytes that come, and of what they mean */
    bool strict_close;
    bool gunzip;          /* the bytes come compressed */
    int gzip_level;       /* of what goes out, if it is not too little to be worth it; below 0: none */
    int64_t timestamp_ms; /* PIPELINE_INDEX: the time of samples that have none, since 1970; 0: they stay so */
};

/* 0: *pipelinep is the caller's. ENOTSUP (positive): the hash cannot be had. -ENOMEM. */
int pipeline_new(struct pipeline **pipelinep, const struct pipeline_settings *settings);

/*
 * Takes bytes from the front of *in. *morep tells that the next call, with what is left of *in, has more to do: a small
 * piece may mean very much, and out may be full. 0, a condition, or -ENOMEM.
 */
int pipeline_feed(struct pipeline *pipeline, struct ss_span *in, bool *morep);

/* Tells that the bytes are at their end; by_close: and that nothing but a closed connection said so. */
int pipeline_end(struct pipeline *pipeline, bool by_close);

/* Why a condition holds, in words. Borrowed. */
const char *pipeline_reason(const struct pipeline *pipeline);

/* What came through and has not been taken out. */
struct evbuffer *pipeline_out(struct pipeline *pipeline);

/* Whether what comes out is compressed; settled before the first byte may be sent. */
bool pipeline_is_gzip(const struct pipeline *pipeline);

/* Zeros when nothing is filtered. */
struct ss_filter_counts pipeline_counts(const struct pipeline *pipeline);

/* As ss_filter_largest(); none when nothing is filtered. */
size_t pipeline_largest(const struct pipeline *pipeline, struct ss_family_count *out, size_t n);

/* As ss_filter_families(), likewise. */
void pipeline_families(const struct pipeline *pipeline, void (*visit)(void *ctx, const struct ss_family_count *family),
                       void *ctx);

/* Bytes of the body that are in here. */
size_t pipeline_memory(const struct pipeline *pipeline);

/* The index, once pipeline_end() has answered 0; it is the caller's. */
struct ss_index *pipeline_take_index(struct pipeline *pipeline);

/* NULL is fine. */
void pipeline_free(struct pipeline *pipeline);

#endif
