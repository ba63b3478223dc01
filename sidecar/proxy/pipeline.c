/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline.h"

#include "gzip.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    /* What fits in one packet is sent as it is. */
    GZIP_LEAST = 1400,
};

struct pipeline {
    struct ss_filter *filter; /* NULL: the bytes go through as they are */
    struct gunzip *gunzip;    /* NULL: they do not come compressed */
    struct gzip *gzip;        /* NULL: they do not go out compressed, or not yet */
    int gzip_level;
    uint64_t max_body, max_series, bytes_in, bytes_meant;
    bool strict_close;
    struct evbuffer *out;
    char reason[380];
};

int
pipeline_new(struct pipeline **pipelinep, const struct pipeline_settings *settings)
{
    struct ss_filter_settings filter = ss_filter_settings_default();
    struct pipeline *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    filter.content_type = settings->content_type;
    filter.shards = settings->shards;
    filter.sharding = settings->sharding;
    filter.max_line = settings->max_line;
    filter.max_series = settings->max_series;
    filter.max_families = settings->max_families;
    filter.census = true;
    p->max_body = settings->max_body;
    p->max_series = settings->max_series;
    p->strict_close = settings->strict_close;
    p->gzip_level = settings->filtered ? settings->gzip_level : -1;
    p->out = evbuffer_new();
    int r = p->out ? 0 : -ENOMEM;
    if (!r && settings->filtered)
        r = ss_filter_new(&p->filter, &filter);
    if (!r && settings->filtered && settings->gunzip)
        r = gunzip_new(&p->gunzip);
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
    if (!r && p->gzip_level >= 0 && evbuffer_get_length(p->out) >= GZIP_LEAST)
        r = begin_gzip(p);
    return r;
}

/* The filter's answer as ours. */
static int
from_filter(struct pipeline *p, int r)
{
    const struct ss_filter_error *error = ss_filter_error(p->filter);
    if (r <= 0 || !error)
        return r;
    ss_filter_error_text(error, p->reason, sizeof(p->reason));
    switch (error->condition) {
    case SS_BODY_CUT:
        return PIPELINE_CUT;
    case SS_LINE_TOO_LONG:
        return PIPELINE_LINE_TOO_LONG;
    case SS_TOO_MANY:
        return p->max_series && ss_filter_counts(p->filter)->series_seen >= p->max_series ? PIPELINE_TOO_MANY_SERIES
                                                                                          : PIPELINE_TOO_MANY_FAMILIES;
    case SS_RULE_FAILED:
    case SS_KEY_IMPOSSIBLE:
        return PIPELINE_UNDECIDED;
    default:
        return PIPELINE_NO_EXPOSITION;
    }
}

static int
filter_feed(struct pipeline *p, struct ss_span bytes)
{
    struct ss_sink sink = {take_spans, p};

    p->bytes_meant += bytes.len;
    if (p->bytes_meant > p->max_body)
        return fail(p, PIPELINE_TOO_LARGE, "the service's body is larger than max_body");
    if (!p->filter)
        return take_spans(p, &bytes, 1);
    return from_filter(p, ss_filter_feed(p->filter, bytes, &sink));
}

int
pipeline_feed(struct pipeline *p, struct ss_span *in, bool *morep)
{
    struct ss_span meant = *in;
    size_t had = in->len;

    *morep = false;
    if (p->gunzip) {
        const char *wrong = gunzip_next(p->gunzip, in, &meant);
        if (wrong)
            return fail(p, PIPELINE_BAD_ENCODING, wrong);
        *morep = meant.len > 0;
    } else {
        *in = (struct ss_span){in->ptr + in->len, 0};
    }
    p->bytes_in += had - in->len;
    if (p->bytes_in > p->max_body)
        return fail(p, PIPELINE_TOO_LARGE, "the service's body is larger than max_body");
    return meant.len ? filter_feed(p, meant) : 0;
}

int
pipeline_end(struct pipeline *p, bool by_close)
{
    struct ss_sink sink = {take_spans, p};

    if (!p->filter)
        return 0;
    if (p->gunzip && !gunzip_is_whole(p->gunzip))
        return fail(p, PIPELINE_CUT, "the gzip stream ends before its end");
    /* A gzip stream's end proves nothing: another member might have followed. */
    if (by_close && p->strict_close && !ss_filter_ends_whole(p->filter))
        return fail(p, PIPELINE_CUT,
                    "the service closed the connection where its body cannot be at its end (strict_close)");
    int r = from_filter(p, ss_filter_end(p->filter, &sink));
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
pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    ss_filter_free(p->filter);
    gunzip_free(p->gunzip);
    gzip_free(p->gzip);
    if (p->out)
        evbuffer_free(p->out);
    free(p);
}
