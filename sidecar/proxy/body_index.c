/* SPDX-License-Identifier: Apache-2.0 */
#include "body_index.h"

#include <scrapeshard/index.h>
#include <scrapeshard/timestamper.h>

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct body_index {
    struct body_decoder decoder;
    struct ss_timestamper *timestamper; /* NULL: samples get no timestamp */
    struct ss_index *index;             /* NULL: the body is passed through */
    struct evbuffer *passthrough;       /* NULL: it is not */
};

static int
make_stages(struct body_index *x, const struct body_settings *settings, int64_t timestamp_ms)
{
    struct ss_filter_settings core = body_core_settings(settings);
    int r = body_decoder_init(&x->decoder, settings);
    if (!r && settings->passthrough) {
        x->passthrough = evbuffer_new();
        return x->passthrough ? 0 : -ENOMEM;
    }
    if (!r && timestamp_ms) {
        r = ss_timestamper_new(&x->timestamper, settings->content_type, timestamp_ms, settings->max_line);
        core.max_line += SS_TIMESTAMP_MAX_GROWTH;
    }
    return r ? r : ss_index_new(&x->index, &core);
}

int
body_index_new(struct body_index **bodyp, const struct body_settings *settings, int64_t timestamp_ms)
{
    struct body_index *x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    int r = make_stages(x, settings, timestamp_ms);
    if (r) {
        body_index_free(x);
        return r;
    }
    *bodyp = x;
    return 0;
}

/* The timestamper's sink. */
static int
take_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    struct body_index *x = ctx;
    int r = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = ss_index_feed(x->index, spans[i]);
    return r;
}

/* The index counts bytes with the timestamps, which the upstream did not send; its lines are those of the upstream. */
static void
correct_place(struct body_index *x, const struct ss_filter_error *error)
{
    char *reason = x->decoder.reason;
    size_t size = sizeof(x->decoder.reason);
    if (error->line)
        snprintf(reason, size, "line %" PRIu64 ": %s", error->line, error->reason);
    else
        snprintf(reason, size, "byte %" PRIu64 " with timestamps: %s", error->offset, error->reason);
}

/* For what the index returned, or the timestamper, which returns the errors of the index, too. */
static int
index_result(struct body_index *x, int r)
{
    const struct ss_filter_error *error = ss_index_error(x->index);
    if (r > 0 && !error)
        return body_fail(&x->decoder, BODY_LINE_TOO_LONG, "a line longer than max_line");
    int result = body_result(&x->decoder, r, error, ss_index_series(x->index));
    if (r > 0 && x->timestamper)
        correct_place(x, error);
    return result;
}

int
body_index_feed(struct body_index *x, struct ss_span *in, bool *morep)
{
    const struct ss_sink timestamped = {take_spans, x};
    struct ss_span decoded;
    int r = body_decode(&x->decoder, in, &decoded, morep);
    if (r || !decoded.len)
        return r;
    if (x->passthrough)
        return evbuffer_add(x->passthrough, decoded.ptr, decoded.len) ? -ENOMEM : 0;
    return index_result(x, x->timestamper ? ss_timestamper_feed(x->timestamper, decoded, &timestamped)
                                          : ss_index_feed(x->index, decoded));
}

int
body_index_end(struct body_index *x, bool by_close)
{
    const struct ss_sink timestamped = {take_spans, x};
    if (x->passthrough)
        return evbuffer_get_length(x->passthrough) && !evbuffer_pullup(x->passthrough, -1) ? -ENOMEM : 0;
    int r = body_decoder_end(&x->decoder);
    if (!r && x->timestamper)
        r = index_result(x, ss_timestamper_end(x->timestamper, &timestamped));
    if (!r)
        r = body_check_close(&x->decoder, by_close, ss_index_ends_whole(x->index));
    return r ? r : index_result(x, ss_index_end(x->index));
}

const char *
body_index_reason(const struct body_index *x)
{
    return x->decoder.reason;
}

size_t
body_index_memory(const struct body_index *x)
{
    if (x->passthrough)
        return evbuffer_get_length(x->passthrough);
    return ss_index_memory(x->index) + (x->timestamper ? ss_timestamper_memory(x->timestamper) : 0);
}

struct ss_index *
body_index_take(struct body_index *x)
{
    struct ss_index *index = x->index;
    x->index = NULL;
    return index;
}

struct evbuffer *
body_index_take_passthrough(struct body_index *x)
{
    struct evbuffer *body = x->passthrough;
    x->passthrough = NULL;
    return body;
}

void
body_index_free(struct body_index *x)
{
    if (!x)
        return;
    body_decoder_deinit(&x->decoder);
    ss_timestamper_free(x->timestamper);
    ss_index_free(x->index);
    if (x->passthrough)
        evbuffer_free(x->passthrough);
    free(x);
}
