/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_BODY_FILTER_H
#define PROXY_BODY_FILTER_H
/*
 * A body that is streamed from upstream to scraper, without a socket:
 *
 *     bytes --> [gunzip] --> filter --> [gzip] --> out
 */
#include "body_decoder.h"

struct body_filter;
struct evbuffer;

/* shards: NULL for all; borrowed while the filter lives. gzip_level: of the output, unless it is too short to be worth
   it; negative: none. 0: *bodyp is the caller's. -ENOMEM. */
int body_filter_new(struct body_filter **bodyp, const struct body_settings *settings, const struct ss_shards *shards,
                    int gzip_level);

/* Consumes bytes from the front of *in; *morep as of body_decode(), so that the caller can send the output first. 0, a
   condition, or -ENOMEM. */
int body_filter_feed(struct body_filter *body, struct ss_span *in, bool *morep);

/* The body has ended; by_close: only a closed connection marked its end. */
int body_filter_end(struct body_filter *body, bool by_close);

/* Describes the condition that was returned. Borrowed. */
const char *body_filter_reason(const struct body_filter *body);

/* The output; the caller drains it. */
struct evbuffer *body_filter_out(struct body_filter *body);

/* Whether the output is compressed; fixed before the first byte may be sent. */
bool body_filter_is_gzip(const struct body_filter *body);

/* For its counts and families; NULL: the body is passed through. Borrowed. */
const struct ss_filter *body_filter_get(const struct body_filter *body);

/* NULL is fine. */
void body_filter_free(struct body_filter *body);

#endif
