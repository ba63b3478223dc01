/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline.h"

#include "gzip.h"

#include <scrapeshard/timestamper.h>

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* What fits in one packet is sent as it is. */
    GZIP_MIN = 1400,
};

struct pipeline {
    enum pipeline_target target;
    struct ss_filter *filter;           /* PIPELINE_FILTER */
    struct ss_index *index;             /* PIPELINE_INDEX */
    struct ss_timestamper *timestamper; /* NULL: samples get no time */
    struct gunzip *gunzip;              /* NULL: the bytes do not come compressed */
    struct gzip *gzip;                  /* NULL: they do not go out compressed, or not yet */
    int gzip_level;
    uint64_t max_body, max_series, bytes_in, bytes_decoded;
    bool strict_close;
    struct evbuffer *out;
    char reason[380];
};

/* Makes what stands in the target's way. */
static int
make_stages(struct pipeline *p, const struct pipeline_settings *settings)
{
    struct ss_filter_settings filter = ss_filter_settings_default();
    int r = settings->gunzip ? gunzip_new(&p->gunzip) : 0;

    filter.content_type = settings->content_type;
    filter.shards = settings->shards;
    filter.sharding = settings->sharding;
    filter.max_line = settings->max_line;
    filter.max_series = settings->max_series;
    filter.max_families = settings->max_families;
    filter.census = true;
    if (!r && p->target == PIPELINE_FILTER)
        return ss_filter_new(&p->filter, &filter);
    if (!r && settings->timestamp_ms) {
        r = ss_timestamper_new(&p->timestamper, settings->content_type, settings->timestamp_ms, settings->max_line);
        filter.max_line += SS_TIMESTAMP_MAX_GROWTH;
    }
    return r ? r : ss_index_new(&p->index, &filter);
}

int
pipeline_new(struct pipeline **pipelinep, const struct pipeline_settings *settings)
{
    struct pipeline *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->target = settings->target;
    p->max_body = settings->max_body;
    p->max_series = settings->max_series;
    p->strict_close = settings->strict_close;
    p->gzip_level = p->target == PIPELINE_FILTER ? settings->gzip_level : -1;
    p->out = evbuffer_new();
    int r = p->out ? 0 : -ENOMEM;
    if (!r && p->target != PIPELINE_PASS)
        r = make_stages(p, settings);
    if (r) {
        pipeline_free(p);
        return r;
    }
    *pipelinep = p;
    return 0;
}

static int
fail(struct pipeline *p, enum pipeline_condition condition, const char *reason)
{
    snprintf(p->reason, sizeof(p->reason), "%s", reason);
    return (int)condition;
}

/* Begins to compress, with what has come out so far. */
static int
begin_gzip(struct pipeline *p)
{
    struct evbuffer *plain = p->out, *out = evbuffer_new();
    struct evbuffer_iovec part;
    int r = out ? gzip_new(&p->gzip, p->gzip_level) : -ENOMEM;

    p->gzip_level = -1;
    if (r) {
        if (out)
            evbuffer_free(out);
        return r;
    }
    while (!r && evbuffer_peek(plain, -1, NULL, &part, 1) > 0) {
        r = gzip_add(p->gzip, (struct ss_span){part.iov_base, part.iov_len}, out);
        evbuffer_drain(plain, part.iov_len);
    }
    evbuffer_free(plain);
    p->out = out;
    return r;
}

/* The filter's sink, and the end of the pipeline. */
static int
take_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    struct pipeline *p = ctx;
    int r = 0;
    for (size_t i = 0; i < n && !r; i++) {
        if (p->gzip)
            r = gzip_add(p->gzip, spans[i], p->out);
        else
            r = evbuffer_add(p->out, spans[i].ptr, spans[i].len) ? -ENOMEM : 0;
    }
    if (!r && p->gzip_level >= 0 && evbuffer_get_length(p->out) >= GZIP_MIN)
        r = begin_gzip(p);
    return r;
}

/* Whether it is its series that are too many. */
static bool
is_of_series(const struct pipeline *p)
{
    uint64_t series = p->index ? ss_index_series(p->index) : ss_filter_counts(p->filter)->series_seen;
    return p->max_series && series > p->max_series;
}

/* The answer of the filter or index as ours. */
static int
from_target(struct pipeline *p, int r)
{
    const struct ss_filter_error *error = p->index ? ss_index_error(p->index) : ss_filter_error(p->filter);
    if (r <= 0 || !error)
        return r;
    ss_filter_error_text(error, p->reason, sizeof(p->reason));
    switch (error->condition) {
    case SS_BODY_TRUNCATED:
        return PIPELINE_TRUNCATED;
    case SS_LINE_TOO_LONG:
        return PIPELINE_LINE_TOO_LONG;
    case SS_TOO_MANY:
        return is_of_series(p) ? PIPELINE_TOO_MANY_SERIES : PIPELINE_TOO_MANY_FAMILIES;
    case SS_RULE_FAILED:
    case SS_KEY_IMPOSSIBLE:
        return PIPELINE_UNDECIDED;
    default:
        return PIPELINE_NO_EXPOSITION;
    }
}

/* The stamp's sink. */
static int
index_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    struct pipeline *p = ctx;
    int r = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = ss_index_feed(p->index, spans[i]);
    return r;
}

/* The answer of the stamp, which may be the index's behind it. */
static int
from_timestamper(struct pipeline *p, int r)
{
    if (r <= 0 || ss_index_error(p->index))
        return from_target(p, r);
    return fail(p, PIPELINE_LINE_TOO_LONG, "a line longer than max_line");
}

static int
target_feed(struct pipeline *p, struct ss_span bytes)
{
    struct ss_sink sink = {take_spans, p}, timestamped = {index_spans, p};

    p->bytes_decoded += bytes.len;
    if (p->bytes_decoded > p->max_body)
        return fail(p, PIPELINE_TOO_LARGE, "the service's body is larger than max_body");
    if (p->target == PIPELINE_PASS)
        return take_spans(p, &bytes, 1);
    if (p->timestamper)
        return from_timestamper(p, ss_timestamper_feed(p->timestamper, bytes, &timestamped));
    return from_target(p, p->index ? ss_index_feed(p->index, bytes) : ss_filter_feed(p->filter, bytes, &sink));
}

int
pipeline_feed(struct pipeline *p, struct ss_span *in, bool *morep)
{
    struct ss_span meant = *in;
    size_t had = in->len;

    *morep = false;
    if (p->gunzip) {
        const char *wrong = gunzip_read(p->gunzip, in, &meant);
        if (wrong)
            return fail(p, PIPELINE_BAD_ENCODING, wrong);
        *morep = meant.len > 0;
    } else {
        *in = (struct ss_span){in->ptr + in->len, 0};
    }
    p->bytes_in += had - in->len;
    if (p->bytes_in > p->max_body)
        return fail(p, PIPELINE_TOO_LARGE, "the service's body is larger than max_body");
    return meant.len ? target_feed(p, meant) : 0;
}

int
pipeline_end(struct pipeline *p, bool by_close)
{
    struct ss_sink sink = {take_spans, p}, timestamped = {index_spans, p};
    int r = 0;

    if (p->target == PIPELINE_PASS)
        return 0;
    if (p->gunzip && !gunzip_is_whole(p->gunzip))
        return fail(p, PIPELINE_TRUNCATED, "the gzip stream ends before its end");
    if (p->timestamper)
        r = from_timestamper(p, ss_timestamper_end(p->timestamper, &timestamped));
    if (r)
        return r;
    /* A gzip stream's end proves nothing: another member might have followed. */
    if (by_close && p->strict_close && !(p->index ? ss_index_ends_whole(p->index) : ss_filter_ends_whole(p->filter)))
        return fail(p, PIPELINE_TRUNCATED,
                    "the service closed the connection where its body cannot be at its end (strict_close)");
    r = from_target(p, p->index ? ss_index_end(p->index) : ss_filter_end(p->filter, &sink));
    return r || !p->gzip ? r : gzip_end(p->gzip, p->out);
}

const char *
pipeline_reason(const struct pipeline *p)
{
    return p->reason;
}

struct evbuffer *
pipeline_out(struct pipeline *p)
{
    return p->out;
}

bool
pipeline_is_gzip(const struct pipeline *p)
{
    return p->gzip;
}

struct ss_filter_counts
pipeline_counts(const struct pipeline *p)
{
    return p->filter ? *ss_filter_counts(p->filter) : (struct ss_filter_counts){0};
}

size_t
pipeline_largest(const struct pipeline *p, struct ss_family_count *out, size_t n)
{
    return p->filter ? ss_filter_largest(p->filter, out, n) : 0;
}

void
pipeline_families(const struct pipeline *p, void (*visit)(void *ctx, const struct ss_family_count *family), void *ctx)
{
    if (p->filter)
        ss_filter_families(p->filter, visit, ctx);
}

size_t
pipeline_memory(const struct pipeline *p)
{
    return evbuffer_get_length(p->out) + (p->index ? ss_index_memory(p->index) : 0) +
           (p->timestamper ? ss_timestamper_memory(p->timestamper) : 0);
}

struct ss_index *
pipeline_take_index(struct pipeline *p)
{
    struct ss_index *index = p->index;
    p->index = NULL;
    return index;
}

void
pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    ss_filter_free(p->filter);
    ss_index_free(p->index);
    ss_timestamper_free(p->timestamper);
    gunzip_free(p->gunzip);
    gzip_free(p->gzip);
    if (p->out)
        evbuffer_free(p->out);
    free(p);
}
