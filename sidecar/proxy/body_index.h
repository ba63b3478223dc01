/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_BODY_INDEX_H
#define PROXY_BODY_INDEX_H
/*
 * A body that is kept for many scrapes, without a socket:
 *
 *     bytes --> [gunzip] --> [timestamp] --> index
 */
#include "body_decoder.h"

struct body_index;
struct evbuffer;
struct ss_index;

/* timestamp_ms: Unix time for samples without a timestamp; 0: add none. 0: *bodyp is the caller's. -ENOMEM. */
int body_index_new(struct body_index **bodyp, const struct body_settings *settings, int64_t timestamp_ms);

/* Consumes bytes from the front of *in; *morep as of body_decode(), so that the caller can count memory first. 0, a
   condition, or -ENOMEM. */
int body_index_feed(struct body_index *body, struct ss_span *in, bool *morep);

/* The body has ended; by_close: only a closed connection marked its end. */
int body_index_end(struct body_index *body, bool by_close);

/* Describes the condition that was returned. Borrowed. */
const char *body_index_reason(const struct body_index *body);

/* Bytes of memory that the body takes. */
size_t body_index_memory(const struct body_index *body);

/* The index, once body_index_end() has returned 0; it is the caller's. NULL: the body is passed through. */
struct ss_index *body_index_take(struct body_index *body);

/* The body that is passed through, in one piece; it is the caller's. */
struct evbuffer *body_index_take_passthrough(struct body_index *body);

/* NULL is fine. */
void body_index_free(struct body_index *body);

#endif
