/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H
/* What the fuzz targets of bodies share: a sink that keeps, and cuts that follow from a seed. */
#include "require.h"

#include <scrapeshard/filter.h>

#include <stdlib.h>
#include <string.h>

enum { OPENMETRICS = 1, PROTOBUF = 3, OPENMETRICS_2 = 4, FORMATS = 5 };

static const char *const content_types[FORMATS] = {
    "text/plain; version=0.0.4",       "application/openmetrics-text; version=1.0.0", "text/html",
    "application/vnd.google.protobuf", "application/openmetrics-text; version=2.0.0",
};

/* The first byte of an input: a format, and what else a target selects. The highest bit makes 2.0 of OpenMetrics 1.0.
 */
static inline size_t
format_of(uint8_t byte)
{
    size_t format = byte % OPENMETRICS_2;
    return format == OPENMETRICS && byte & 0x80 ? OPENMETRICS_2 : format;
}

static inline size_t
rest_of(uint8_t byte)
{
    return (size_t)(byte & 0x7f) / OPENMETRICS_2;
}

struct result {
    int status;
    char *bytes;
    size_t len, capacity;
    struct ss_filter_counts counts;
};

/* A sink that adds to a struct result. */
static inline int
result_take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct result *r = ctx;
    for (size_t i = 0; i < n; i++) {
        if (r->capacity - r->len < spans[i].len) {
            r->capacity = 2 * (r->len + spans[i].len);
            r->bytes = realloc(r->bytes, r->capacity);
            REQUIRE(r->bytes);
        }
        memcpy(r->bytes + r->len, spans[i].ptr, spans[i].len);
        r->len += spans[i].len;
    }
    return 0;
}

/* The next piece of a body: all of it if the seed is 0, else of a size that follows from the seed. */
static inline struct ss_span
next_piece(struct ss_span *body, unsigned *seed)
{
    size_t n = body->len;
    if (*seed) {
        *seed = *seed * 1103515245u + 12345u;
        n = 1 + (*seed >> 16) % (*seed >> 28 ? 7 : 300);
    }
    struct ss_span piece = {body->ptr, n < body->len ? n : body->len};
    body->ptr += piece.len;
    body->len -= piece.len;
    return piece;
}

static inline bool
same_bytes(struct ss_span a, struct ss_span b)
{
    return a.len == b.len && (!a.len || !memcmp(a.ptr, b.ptr, a.len));
}

#endif
