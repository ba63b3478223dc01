/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#include "service/base/http_list.h"

#include <errno.h>
#include <event2/buffer.h>
#include <isa-l/igzip_lib.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* For the output of one call; bodies shrink to about a ninth, so 64 KiB fit. */
    OUT_BYTES = 8 * 1024,
};

/* Accept-Encoding. */

bool
gzip_accepted(const char *accept)
{
    struct http_list_element e;
    int gzip = -1, any = -1;

    while (http_list_next(&accept, &e)) {
        int q = http_list_weight(&e);
        if (http_list_equals(e.name, "gzip") || http_list_equals(e.name, "x-gzip"))
            gzip = q > gzip ? q : gzip;
        else if (http_list_equals(e.name, "*"))
            any = q;
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
