/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_GZIP_H
#define PROXY_GZIP_H
/* gzip for scrapers that accept it, as a stage; by ISA-L. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct gzip;

enum {
    GZIP_LEVEL_MIN = 0, /* ISA-L's levels */
    GZIP_LEVEL_MAX = 3,
    GZIP_MIN_BYTES = 1400, /* what fits in one packet is not worth compressing */
};

/* Whether an Accept-Encoding (NULL: none) accepts gzip (RFC 9110, 12.5.3): gzip;q=0 does not. */
bool gzip_accepted(const char *accept_encoding);

/* 0: *gzipp is the caller's. -ENOMEM. */
int gzip_new(struct gzip **gzipp, int level);

/* As gzip_new(), reusing the memory of *gzipp, in whatever state it is, if the level is the same; NULL is fine. After
   -ENOMEM it is NULL. */
int gzip_reset(struct gzip **gzipp, int level);

/* Compresses the bytes; output that is complete is added to out. 0 or -ENOMEM. */
int gzip_add(struct gzip *gzip, struct ss_span bytes, struct evbuffer *out);

/* As gzip_add() for all bytes of a buffer, which it drains. */
int gzip_add_buffer(struct gzip *gzip, struct evbuffer *bytes, struct evbuffer *out);

/* Adds the rest, with the check sum and length that prove the stream complete. 0 or -ENOMEM. */
int gzip_end(struct gzip *gzip, struct evbuffer *out);

/* NULL is fine. */
void gzip_free(struct gzip *gzip);

#endif
