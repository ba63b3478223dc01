/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_REPLY_H
#define PROXY_REPLY_H
/*
 * The response to one request, with flow control, and with a watch for a scraper that leaves.
 *
 * Either whole with its length, reply_send_whole(), or streamed: reply_start(), then for each chunk reply_send() and
 * wait for drained(), then reply_end(). A response that cannot be finished is aborted: reply_abort().
 */
#include <stdbool.h>
#include <stdint.h>

struct evbuffer;
struct evhttp_request;
struct evkeyvalq;
struct reply;

struct reply_events {
    /* The chunk has gone to the kernel: the next may be sent. */
    void (*drained)(void *ctx);
    /* The scraper has left, or the connection failed; no_memory: we closed it, out of memory for the response. Only
       reply_free() may follow. */
    void (*gone)(void *ctx, bool no_memory);
    /* The whole response has gone to the kernel. Only reply_free() may follow. */
    void (*done)(void *ctx);
};

/* Takes the request over from evhttp. 0: the caller owns *replyp. -ENOMEM: evhttp still owns the request. */
int reply_new(struct reply **replyp, struct evhttp_request *request, const struct reply_events *events, void *ctx);

/* From now on reports a scraper that leaves while it waits for the response. 0, or a negative errno value. */
int reply_watch_hangup(struct reply *reply);

/* The response's headers; to be changed only before anything is sent. */
struct evkeyvalq *reply_headers(struct reply *reply);

/* Sends a response of known length, draining body. For HEAD body must be NULL: evhttp would send it. */
void reply_send_whole(struct reply *reply, int status, struct evbuffer *body, uint64_t length);

/* Whether a client could tell an aborted stream from a complete one. With HTTP/1.0 on a unix socket it cannot. */
bool reply_can_abort(struct reply *reply);

/* Sends the header of a streamed response. */
void reply_start(struct reply *reply, int status);

/* Sends a chunk, draining body, which must not be empty. Wait for drained() before the next, except for the last. */
void reply_send(struct reply *reply, struct evbuffer *body);

/* Takes back reply_start() and the first reply_send(), unless any byte has gone: true, and reply_send_whole() is to
   follow, with headers of its own. */
bool reply_withdraw(struct reply *reply);

void reply_end(struct reply *reply);

/*
 * Closes the connection so that no client takes what was sent for the whole body: without a last chunk, or by a reset
 * where a close would end the body. No event follows.
 */
void reply_abort(struct reply *reply);

/* Frees the reply, and aborts it unless it is done. NULL is fine. */
void reply_free(struct reply *reply);

#endif
