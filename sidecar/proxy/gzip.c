/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#include <errno.h>
#include <event2/buffer.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    /* Room for what one call gives; a body gets about nine times smaller, so 64 KiB of it fit. */
    OUT_BYTES = 8 * 1024,
    /* What a service's bytes may become before they are looked at. */
    IN_BYTES = 32 * 1024,
};

/* Accept-Encoding. */

/* The weight behind a coding in thousandths, as "; q=0.5"; 1000 if there is none, -1 if it is none. */
static int
weight(const char *params, size_t len)
{
    const char *end = params + len;
    while (params < end && (*params == ';' || *params == ' ' || *params == '\t'))
        params++;
    if (params == end)
        return 1000;
    if (end - params < 3 || (*params | 0x20) != 'q' || params[1] != '=')
        return -1;
    char *after;
    double q = strtod(params + 2, &after);
    while (after < end && (*after == ' ' || *after == '\t'))
        after++;
    return after == end && q >= 0 && q <= 1 ? (int)(q * 1000) : -1;
}

bool
gzip_accepted(const char *accept)
{
    int gzip = -1, any = -1;

    while (accept && *accept) {
        accept += strspn(accept, ", \t");
        size_t part = strcspn(accept, ","), name = strcspn(accept, ",; \t");
        int q = weight(accept + name, part - name);
        if ((name == 4 && !strncasecmp(accept, "gzip", 4)) || (name == 6 && !strncasecmp(accept, "x-gzip", 6)))
            gzip = q > gzip ? q : gzip;
        else if (name == 1 && *accept == '*')
            any = q;
        accept += part;
    }
    return gzip >= 0 ? gzip > 0 : any > 0;
}

/* Out. */

struct gzip {
    struct isal_zstream stream;
    uint8_t level_buffer[];
};

int
gzip_new(struct gzip **gzipp, int level)
{
    static const uint32_t sizes[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT,
                                     ISAL_DEF_LVL3_DEFAULT};
    struct gzip *g = malloc(sizeof(*g) + sizes[level]);
    if (!g)
        return -ENOMEM;
    isal_deflate_init(&g->stream);
    g->stream.gzip_flag = IGZIP_GZIP;
    g->stream.level = (uint32_t)level;
    g->stream.level_buf = g->level_buffer;
    g->stream.level_buf_size = sizes[level];
    *gzipp = g;
    return 0;
}

/* Runs the stream until it wants more input. */
static int
deflate_into(struct gzip *g, struct evbuffer *out)
{
    do {
        struct evbuffer_iovec room;
        if (evbuffer_reserve_space(out, OUT_BYTES, &room, 1) != 1)
            return -ENOMEM;
        g->stream.next_out = room.iov_base;
        g->stream.avail_out = (uint32_t)room.iov_len;
        isal_deflate(&g->stream); /* fails only for settings that gzip_new() does not make */
        room.iov_len -= g->stream.avail_out;
        if (evbuffer_commit_space(out, &room, 1))
            return -ENOMEM;
    } while (!g->stream.avail_out);
    return 0;
}

int
gzip_add(struct gzip *g, struct ss_span bytes, struct evbuffer *out)
{
    g->stream.next_in = (uint8_t *)(uintptr_t)bytes.ptr;
    g->stream.avail_in = (uint32_t)bytes.len;
    return bytes.len ? deflate_into(g, out) : 0;
}

int
gzip_end(struct gzip *g, struct evbuffer *out)
{
    g->stream.end_of_stream = 1;
    g->stream.avail_in = 0;
    return deflate_into(g, out);
}

void
gzip_free(struct gzip *g)
{
    free(g);
}

/* In. */

struct gunzip {
    struct inflate_state state;
    bool begun; /* some byte of a member has come */
    uint8_t out[IN_BYTES];
};

int
gunzip_new(struct gunzip **gunzipp)
{
    struct gunzip *g = malloc(sizeof(*g));
    if (!g)
        return -ENOMEM;
    isal_inflate_init(&g->state);
    g->state.crc_flag = ISAL_GZIP;
    g->begun = false;
    *gunzipp = g;
    return 0;
}

static const char *
inflate_error(int code)
{
    switch (code) {
    case ISAL_INVALID_WRAPPER:
    case ISAL_UNSUPPORTED_METHOD:
        return "what follows is no gzip";
    case ISAL_INCORRECT_CHECKSUM:
        return "the gzip check sum or length is wrong";
    default:
        return "the gzip stream is damaged";
    }
}

const char *
gunzip_next(struct gunzip *g, struct ss_span *in, struct ss_span *out)
{
    struct inflate_state *s = &g->state;

    for (;;) {
        if (s->block_state == ISAL_BLOCK_FINISH) {
            if (!in->len)
                break;
            isal_inflate_reset(s);
            s->crc_flag = ISAL_GZIP;
        }
        size_t had = in->len;
        g->begun |= had > 0;
        s->next_in = (uint8_t *)(uintptr_t)in->ptr;
        s->avail_in = (uint32_t)in->len;
        s->next_out = g->out;
        s->avail_out = sizeof(g->out);
        int r = isal_inflate(s);
        in->ptr += in->len - s->avail_in;
        in->len = s->avail_in;
        if (r != ISAL_DECOMP_OK)
            return inflate_error(r);
        if (had && in->len == had && s->avail_out == sizeof(g->out))
            return inflate_error(ISAL_INVALID_BLOCK); /* no way forward; an endless loop would be worse */
        *out = (struct ss_span){(const char *)g->out, sizeof(g->out) - s->avail_out};
        if (out->len || !in->len)
            return NULL;
    }
    *out = (struct ss_span){NULL, 0};
    return NULL;
}

bool
gunzip_is_whole(const struct gunzip *g)
{
    return g->begun && g->state.block_state == ISAL_BLOCK_FINISH;
}

void
gunzip_free(struct gunzip *g)
{
    free(g);
}
