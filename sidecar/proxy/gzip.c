/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#include <errno.h>
#include <event2/buffer.h>
#include <isa-l/crc.h>
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

static void
begin(struct gzip *g, uint32_t level, uint32_t size)
{
    isal_deflate_init(&g->stream);
    g->stream.gzip_flag = IGZIP_GZIP;
    g->stream.level = level;
    g->stream.level_buf = g->level_buffer;
    g->stream.level_buf_size = size;
}

int
gzip_new(struct gzip **gzipp, int level)
{
    static const uint32_t sizes[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT,
                                     ISAL_DEF_LVL3_DEFAULT};
    struct gzip *g = malloc(sizeof(*g) + sizes[level]);
    if (!g)
        return -ENOMEM;
    begin(g, (uint32_t)level, sizes[level]);
    *gzipp = g;
    return 0;
}

int
gzip_reset(struct gzip **gzipp, int level)
{
    struct gzip *g = *gzipp;
    if (g && g->stream.level == (uint32_t)level) {
        begin(g, g->stream.level, g->stream.level_buf_size);
        return 0;
    }
    gzip_free(g);
    *gzipp = NULL;
    return gzip_new(gzipp, level);
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

/* What the next byte of a member's header belongs to (RFC 1952, 2.3); the parts that a flag asks for may be absent. */
enum header_part {
    HEADER_FIXED,
    HEADER_EXTRA_LENGTH,
    HEADER_EXTRA,
    HEADER_NAME,
    HEADER_COMMENT,
    HEADER_CHECK,
    HEADER_DONE,
};

enum { FLAG_CHECK = 2, FLAG_EXTRA = 4, FLAG_NAME = 8, FLAG_COMMENT = 16, FLAGS_UNKNOWN = 0xe0 };

/* A header being read. ISA-L has a reader too, but it forgets the check sum when the header comes in pieces. */
struct header {
    enum header_part part;
    unsigned at; /* bytes of the part so far */
    unsigned flags, extra, check;
    uint32_t crc; /* of all before the check */
};

struct gunzip {
    struct inflate_state state;
    struct header header;
    bool whole; /* the last member has come to its end, and none has begun since */
    uint8_t out[IN_BYTES];
};

/* Begins a member. */
static void
begin_member(struct gunzip *g)
{
    isal_inflate_reset(&g->state);
    g->state.crc_flag = ISAL_GZIP_NO_HDR_VER;
    g->header = (struct header){HEADER_FIXED, 0, 0, 0, 0, 0};
}

int
gunzip_new(struct gunzip **gunzipp)
{
    struct gunzip *g = malloc(sizeof(*g));
    if (!g)
        return -ENOMEM;
    isal_inflate_init(&g->state);
    begin_member(g);
    g->whole = false;
    *gunzipp = g;
    return 0;
}

/* Goes on to the next part that the flags ask for. */
static void
next_part(struct header *h)
{
    static const unsigned flags[] = {[HEADER_EXTRA_LENGTH] = FLAG_EXTRA,
                                     [HEADER_EXTRA] = FLAG_EXTRA,
                                     [HEADER_NAME] = FLAG_NAME,
                                     [HEADER_COMMENT] = FLAG_COMMENT,
                                     [HEADER_CHECK] = FLAG_CHECK};
    do {
        h->part++;
        h->at = 0;
    } while (h->part != HEADER_DONE && (!(h->flags & flags[h->part]) || (h->part == HEADER_EXTRA && !h->extra)));
}

/* Takes a byte of the fixed part; false if no gzip begins so. */
static bool
take_fixed(struct header *h, uint8_t byte)
{
    static const uint8_t begin[] = {0x1f, 0x8b, 8};
    if (h->at < sizeof(begin) && byte != begin[h->at])
        return false;
    if (h->at == 3) {
        h->flags = byte;
        if (byte & FLAGS_UNKNOWN)
            return false;
    }
    if (++h->at == 10)
        next_part(h);
    return true;
}

/* Takes a byte of a header. NULL, or what is wrong with it. */
static const char *
take_header_byte(struct header *h, uint8_t byte)
{
    if (h->part != HEADER_CHECK)
        h->crc = crc32_gzip_refl(h->crc, &byte, 1);
    switch (h->part) {
    case HEADER_FIXED:
        return take_fixed(h, byte) ? NULL : "what follows is no gzip";
    case HEADER_EXTRA_LENGTH:
        h->extra |= (unsigned)byte << 8 * h->at;
        if (++h->at == 2)
            next_part(h);
        return NULL;
    case HEADER_EXTRA:
        if (++h->at == h->extra)
            next_part(h);
        return NULL;
    case HEADER_CHECK:
        h->check |= (unsigned)byte << 8 * h->at;
        if (++h->at == 2)
            next_part(h);
        return h->part == HEADER_DONE && h->check != (h->crc & 0xffff) ? "the gzip header's check sum is wrong" : NULL;
    default: /* a name or a comment */
        if (!byte)
            next_part(h);
        return NULL;
    }
}

/* Takes the header's bytes from the front of *in. */
static const char *
take_header(struct gunzip *g, struct ss_span *in)
{
    const char *wrong = NULL;
    while (in->len && g->header.part != HEADER_DONE && !wrong) {
        wrong = take_header_byte(&g->header, (uint8_t)*in->ptr++);
        in->len--;
    }
    return wrong;
}

/* Decompresses what fits in the buffer. */
static const char *
inflate_some(struct gunzip *g, struct ss_span *in, struct ss_span *out)
{
    struct inflate_state *s = &g->state;
    size_t had = in->len;

    s->next_in = (uint8_t *)(uintptr_t)in->ptr;
    s->avail_in = (uint32_t)in->len;
    s->next_out = g->out;
    s->avail_out = sizeof(g->out);
    int r = isal_inflate(s);
    in->ptr += in->len - s->avail_in;
    in->len = s->avail_in;
    *out = (struct ss_span){(const char *)g->out, sizeof(g->out) - s->avail_out};
    if (r == ISAL_INCORRECT_CHECKSUM)
        return "the gzip check sum or length is wrong";
    /* No way forward either is damage; an endless loop would be worse. */
    if (r != ISAL_DECOMP_OK || (had && in->len == had && !out->len && s->block_state != ISAL_BLOCK_FINISH))
        return "the gzip stream is damaged";
    return NULL;
}

const char *
gunzip_read(struct gunzip *g, struct ss_span *in, struct ss_span *out)
{
    *out = (struct ss_span){NULL, 0};
    for (;;) {
        if (g->state.block_state == ISAL_BLOCK_FINISH) {
            g->whole = true;
            if (!in->len)
                return NULL;
            begin_member(g);
        }
        g->whole &= !in->len;
        const char *wrong = take_header(g, in);
        if (wrong || g->header.part != HEADER_DONE)
            return wrong;
        wrong = inflate_some(g, in, out);
        if (wrong || out->len || (!in->len && g->state.block_state != ISAL_BLOCK_FINISH))
            return wrong;
    }
}

bool
gunzip_is_whole(const struct gunzip *g)
{
    return g->whole;
}

void
gunzip_free(struct gunzip *g)
{
    free(g);
}
