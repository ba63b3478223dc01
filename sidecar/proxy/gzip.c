/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#include <errno.h>
#include <event2/buffer.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    /* For the output of one call; bodies shrink to about a ninth, so 64 KiB fit. */
    OUT_BYTES = 8 * 1024,
};

/* Accept-Encoding. */

/* The weight after a coding ("; q=0.5") in thousandths; 1000 without one, -1 if it is invalid. */
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

/* Compression. */

struct gzip {
    struct isal_zstream stream;
    uint8_t level_buffer[];
};

static void
init(struct gzip *g, uint32_t level, uint32_t size)
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
    init(g, (uint32_t)level, sizes[level]);
    *gzipp = g;
    return 0;
}

int
gzip_reset(struct gzip **gzipp, int level)
{
    struct gzip *g = *gzipp;
    if (g && g->stream.level == (uint32_t)level) {
        init(g, g->stream.level, g->stream.level_buf_size);
        return 0;
    }
    gzip_free(g);
    *gzipp = NULL;
    return gzip_new(gzipp, level);
}

/* Runs the stream until it needs more input. */
static int
deflate_into(struct gzip *g, struct evbuffer *out)
{
    do {
        struct evbuffer_iovec room;
        if (evbuffer_reserve_space(out, OUT_BYTES, &room, 1) != 1)
            return -ENOMEM;
        g->stream.next_out = room.iov_base;
        g->stream.avail_out = (uint32_t)room.iov_len;
        isal_deflate(&g->stream); /* fails only for settings that gzip_new() never makes */
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
gzip_add_buffer(struct gzip *g, struct evbuffer *bytes, struct evbuffer *out)
{
    struct evbuffer_iovec chunk;
    int r = 0;
    while (!r && evbuffer_peek(bytes, -1, NULL, &chunk, 1) > 0) {
        r = gzip_add(g, (struct ss_span){chunk.iov_base, chunk.iov_len}, out);
        evbuffer_drain(bytes, chunk.iov_len);
    }
    return r;
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
