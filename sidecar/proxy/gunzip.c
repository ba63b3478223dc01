/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By zlib: ISA-L is about twice as fast (0.9 against 0.4 GB/s of text out), but leaves the members' headers to its
 * caller when they come in pieces. Few upstreams compress; what scrapers get is compressed by ISA-L (gzip.c).
 */
#include "gunzip.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    /* The output of one call: what a caller gets before it can apply its limits. */
    OUT_BYTES = 32 * 1024,
    /* The largest window, and gzip only: no zlib format, no bare deflate. */
    GZIP_WINDOW_BITS = 15 + 16,
};

struct gunzip {
    z_stream stream;
    bool whole; /* the last member is complete, and no other has started */
    uint8_t out[OUT_BYTES];
};

int
gunzip_new(struct gunzip **gunzipp)
{
    struct gunzip *g = malloc(sizeof(*g));
    if (!g)
        return -ENOMEM;
    g->stream = (z_stream){0};
    g->whole = false;
    if (inflateInit2(&g->stream, GZIP_WINDOW_BITS) != Z_OK) {
        free(g);
        return -ENOMEM;
    }
    *gunzipp = g;
    return 0;
}

/* Decompresses until there is output, or neither input nor pending output. Returns what zlib does. */
static int
inflate_some(struct gunzip *g)
{
    z_stream *z = &g->stream;
    int r;
    do {
        if (g->whole && !z->avail_in)
            return Z_OK;
        if (g->whole)
            inflateReset(z);
        r = inflate(z, Z_NO_FLUSH);
        g->whole = r == Z_STREAM_END;
    } while (g->whole && z->avail_out == OUT_BYTES);
    return r == Z_BUF_ERROR ? Z_OK : r; /* it needs more input */
}

int
gunzip_read(struct gunzip *g, struct ss_span *in, struct ss_span *out)
{
    z_stream *z = &g->stream;
    z->next_in = (uint8_t *)(uintptr_t)in->ptr;
    z->avail_in = (uInt)in->len;
    z->next_out = g->out;
    z->avail_out = OUT_BYTES;
    int r = inflate_some(g);
    *in = (struct ss_span){in->ptr + in->len - z->avail_in, z->avail_in};
    *out = (struct ss_span){(const char *)g->out, OUT_BYTES - z->avail_out};
    return r == Z_OK || r == Z_STREAM_END ? 0 : r == Z_MEM_ERROR ? -ENOMEM : EBADMSG;
}

const char *
gunzip_error(const struct gunzip *g)
{
    return g->stream.msg ? g->stream.msg : "";
}

bool
gunzip_is_whole(const struct gunzip *g)
{
    return g->whole;
}

void
gunzip_free(struct gunzip *g)
{
    if (g)
        inflateEnd(&g->stream);
    free(g);
}
