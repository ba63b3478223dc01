/* SPDX-License-Identifier: Apache-2.0 */
#include "body_filter.h"

#include "gzip.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Larger ones made the whole body no cheaper (tests/bench), and hold more than a small response needs. */
    BLOCK_BYTES = 20 * 1024,
    /* Shorter blocks are copied into libevent's memory instead, and used again. */
    BLOCK_MIN = 4096,
};

/*
 * Output of one feed, in memory of its own: libevent's is wiped when it is freed, since it may hold credentials
 * (alloc_reserve.h), which would take longer than the copy.
 */
struct block {
    char *bytes; /* BLOCK_BYTES, or NULL */
    size_t len;
};

struct body_filter {
    struct body_decoder decoder;
    struct ss_filter *filter; /* NULL: the body is passed through */
    struct gzip *gzip;        /* NULL: the output is not compressed, or not yet */
    int gzip_level;           /* negative: the output will not be compressed, or is already */
    struct block block;
    struct evbuffer *out;
};

static int
make_stages(struct body_filter *f, const struct body_settings *settings, const struct ss_shards *shards)
{
    struct ss_filter_settings core = body_core_settings(settings);
    int r = body_decoder_init(&f->decoder, settings);
    core.shards = shards;
    f->out = evbuffer_new();
    if (!f->out)
        r = -ENOMEM;
    return r || settings->passthrough ? r : ss_filter_new(&f->filter, &core);
}

int
body_filter_new(struct body_filter **bodyp, const struct body_settings *settings, const struct ss_shards *shards,
                int gzip_level)
{
    struct body_filter *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->gzip_level = settings->passthrough ? -1 : gzip_level;
    int r = make_stages(f, settings, shards);
    if (r) {
        body_filter_free(f);
        return r;
    }
    *bodyp = f;
    return 0;
}

/* Compresses the output so far, and all that follows. */
static int
start_gzip(struct body_filter *f)
{
    struct evbuffer *plain = f->out, *out = evbuffer_new();
    int r = out ? gzip_new(&f->gzip, f->gzip_level) : -ENOMEM;

    f->gzip_level = -1;
    if (r) {
        if (out)
            evbuffer_free(out);
        return r;
    }
    r = gzip_add_buffer(f->gzip, plain, out);
    evbuffer_free(plain);
    f->out = out;
    return r;
}

/* The filter's sink: the output. */
static void
free_block(const void *bytes, size_t len, void *block)
{
    (void)bytes, (void)len;
    free(block);
}

/* Appends the block to the output. */
static int
commit_block(struct body_filter *f)
{
    struct block *b = &f->block;
    if (!b->len)
        return 0;
    if (b->len < BLOCK_MIN) {
        int r = evbuffer_add(f->out, b->bytes, b->len) ? -ENOMEM : 0;
        b->len = 0;
        return r;
    }
    /* Who counts the output does not see what is unused. */
    char *bytes = b->len <= BLOCK_BYTES / 2 ? realloc(b->bytes, b->len) : NULL;
    if (bytes)
        b->bytes = bytes;
    if (evbuffer_add_reference(f->out, b->bytes, b->len, free_block, b->bytes))
        return -ENOMEM;
    *b = (struct block){NULL, 0};
    return 0;
}

static int
add_to_block(struct body_filter *f, struct ss_span bytes)
{
    struct block *b = &f->block;
    while (bytes.len) {
        if (!b->bytes && !(b->bytes = malloc(BLOCK_BYTES)))
            return -ENOMEM;
        size_t room = BLOCK_BYTES - b->len, n = bytes.len < room ? bytes.len : room;
        memcpy(b->bytes + b->len, bytes.ptr, n);
        b->len += n;
        bytes.ptr += n;
        bytes.len -= n;
        int r = b->len == BLOCK_BYTES ? commit_block(f) : 0;
        if (r)
            return r;
    }
    return 0;
}

static int
take_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    struct body_filter *f = ctx;
    int r = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = f->gzip ? gzip_add(f->gzip, spans[i], f->out) : add_to_block(f, spans[i]);
    if (!r && f->gzip_level >= 0)
        r = commit_block(f);
    if (!r && f->gzip_level >= 0 && evbuffer_get_length(f->out) >= GZIP_MIN_BYTES)
        r = start_gzip(f);
    return r;
}

static int
filter_result(struct body_filter *f, int r)
{
    return body_result(&f->decoder, r, ss_filter_error(f->filter), ss_filter_counts(f->filter)->series_seen);
}

int
body_filter_feed(struct body_filter *f, struct ss_span *in, bool *morep)
{
    const struct ss_sink sink = {take_spans, f};
    struct ss_span decoded;
    int r = body_decode(&f->decoder, in, &decoded, morep);
    if (r || !decoded.len)
        return r;
    r = f->filter ? filter_result(f, ss_filter_feed(f->filter, decoded, &sink)) : take_spans(f, &decoded, 1);
    return r ? r : commit_block(f);
}

int
body_filter_end(struct body_filter *f, bool by_close)
{
    const struct ss_sink sink = {take_spans, f};
    if (!f->filter)
        return 0;
    int r = body_decoder_end(&f->decoder);
    if (!r)
        r = body_check_close(&f->decoder, by_close, ss_filter_ends_whole(f->filter));
    if (!r)
        r = filter_result(f, ss_filter_end(f->filter, &sink));
    if (!r)
        r = commit_block(f);
    if (!r && f->gzip)
        r = gzip_end(f->gzip, f->out);
    return r;
}

const char *
body_filter_reason(const struct body_filter *f)
{
    return f->decoder.reason;
}

struct evbuffer *
body_filter_out(struct body_filter *f)
{
    return f->out;
}

bool
body_filter_is_gzip(const struct body_filter *f)
{
    return f->gzip;
}

const struct ss_filter *
body_filter_get(const struct body_filter *f)
{
    return f->filter;
}

void
body_filter_free(struct body_filter *f)
{
    if (!f)
        return;
    body_decoder_deinit(&f->decoder);
    ss_filter_free(f->filter);
    gzip_free(f->gzip);
    free(f->block.bytes);
    if (f->out)
        evbuffer_free(f->out);
    free(f);
}
