/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_GZIP_H
#define PROXY_GZIP_H
/* gzip for scrapers that accept it, gunzip for upstreams that send it; both are stages, both use ISA-L. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct gunzip;
struct gzip;

/* ISA-L's levels. */
enum { GZIP_LEVEL_MIN = 0, GZIP_LEVEL_MAX = 3 };

/* Whether an Accept-Encoding (NULL: none) accepts gzip (RFC 9110, 12.5.3): gzip;q=0 does not. */
bool gzip_accepted(const char *accept_encoding);

/* 0: *gzipp is the caller's. -ENOMEM. */
int gzip_new(struct gzip **gzipp, int level);

/* As gzip_new(), reusing the memory of *gzipp, in whatever state it is, if the level is the same; NULL is fine. After
   -ENOMEM it is NULL. */
int gzip_reset(struct gzip **gzipp, int level);

/* Compresses the bytes; output that is complete is added to out. 0 or -ENOMEM. */
int gzip_add(struct gzip *gzip, struct ss_span bytes, struct evbuffer *out);

/* Adds the rest, with the check sum and length that prove the stream complete. 0 or -ENOMEM. */
int gzip_end(struct gzip *gzip, struct evbuffer *out);

/* NULL is fine. */
void gzip_free(struct gzip *gzip);

/* 0: *gunzipp is the caller's. -ENOMEM. */
int gunzip_new(struct gunzip **gunzipp);

/*
 * Decompresses: takes bytes from the front of *in, and answers with the next of what they mean, borrowed until the next
 * call; an empty span when all of *in was used up and all it means was given. Members that follow each other are one
 * stream, as for Go. NULL, or what is wrong with the stream.
 */
const char *gunzip_read(struct gunzip *gunzip, struct ss_span *in, struct ss_span *out);

/* Whether the stream so far is whole. */
bool gunzip_is_whole(const struct gunzip *gunzip);

/* NULL is fine. */
void gunzip_free(struct gunzip *gunzip);

#endif
