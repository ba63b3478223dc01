/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_GZIP_H
#define PROXY_GZIP_H
/* gzip out for scrapers that ask for it, gzip in from services that send it; both as stages, both by ISA-L. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stddef.h>

struct evbuffer;
struct gunzip;
struct gzip;

/* The levels of gzip_new(), as ISA-L has them. */
enum { GZIP_LEVEL_MIN = 0, GZIP_LEVEL_MAX = 3 };

/* Whether an Accept-Encoding (NULL: none) takes gzip, by RFC 9110, 12.5.3: gzip;q=0 does not. */
bool gzip_accepted(const char *accept_encoding);

/* 0: *gzipp is the caller's. -ENOMEM. */
int gzip_new(struct gzip **gzipp, int level);

/* As gzip_new(), in the memory of what *gzipp is, whatever became of it, if that will do; NULL is fine. After -ENOMEM
   it is NULL. */
int gzip_reset(struct gzip **gzipp, int level);

/* Compresses the bytes; what comes of them by now is added to out. 0 or -ENOMEM. */
int gzip_add(struct gzip *gzip, struct ss_span bytes, struct evbuffer *out);

/* Ends the stream with its check sum and length, without which nobody takes it for whole. 0 or -ENOMEM. */
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
