/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_GUNZIP_H
#define PROXY_GUNZIP_H
/* gunzip for upstreams that compress, as a stage. */
#include <scrapeshard/span.h>

#include <stdbool.h>

struct gunzip;

/* 0: *gunzipp is the caller's. -ENOMEM. */
int gunzip_new(struct gunzip **gunzipp);

/*
 * Consumes bytes from the front of *in and returns the next decompressed ones, borrowed until the next call. *out is
 * empty when all of *in was consumed and nothing is pending. Consecutive members are one stream, as in Go; padding
 * after them is not allowed, as in Go. 0, EBADMSG (positive): gunzip_error() says why, or -ENOMEM.
 */
int gunzip_read(struct gunzip *gunzip, struct ss_span *in, struct ss_span *out);

/* Borrowed. */
const char *gunzip_error(const struct gunzip *gunzip);

/* Whether the stream so far is complete. */
bool gunzip_is_whole(const struct gunzip *gunzip);

/* NULL is fine. */
void gunzip_free(struct gunzip *gunzip);

#endif
