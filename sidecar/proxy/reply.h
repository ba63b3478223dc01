/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_REPLY_H
#define PROXY_REPLY_H
/*
 * The answer to one request, paced, and where it takes time watched for a scraper that leaves.
 *
 * Either whole at once, with its length (reply_whole), or streamed: reply_start(), then reply_send() and wait until
 * drained() before the next, then reply_end(). What cannot be brought to its end is broken: reply_break().
 */
#include <stdbool.h>
#include <stdint.h>

struct evbuffer;
struct evhttp_request;
struct evkeyvalq;
struct reply;

struct reply_events {
    /* What was sent has gone to the kernel: the next may come. */
    void (*drained)(void *ctx);
    /* The scraper has gone, or its connection failed; no_memory: by us, for want of memory for the answer. Only
       reply_free() is left to do. */
    void (*gone)(void *ctx, bool no_memory);
    /* The whole answer has gone to the kernel. Only reply_free() is left to do. */
    void (*done)(void *ctx);
};

/* Takes the request over from evhttp. 0: *replyp is the caller's. -ENOMEM: the request is still evhttp's. */
int reply_new(struct reply **replyp, struct evhttp_request *request, const struct reply_events *events, void *ctx);

/* Watches for a scraper that leaves, from now on: for those whose answer has to be waited for. 0, or a negative errno
   value. */
int reply_watch(struct reply *reply);

/* The headers to be sent; until the head has gone out. */
struct evkeyvalq *reply_headers(struct reply *reply);

/* Sends a head that tells the length, and the body of that length, taking the bytes out of it. As the answer to HEAD
   body is NULL: evhttp would send it. */
void reply_whole(struct reply *reply, int status, struct evbuffer *body, uint64_t length);

/* Whether a streamed answer could be broken: on a unix socket, HTTP/1.0 knows no way to tell an end from a break. */
bool reply_can_break(struct reply *reply);

/* Sends the head of a body whose length nobody knows. */
void reply_start(struct reply *reply, int status);

/* Sends a piece, taking the bytes out of body, which has some. Not again before drained(), but for the last one. */
void reply_send(struct reply *reply, struct evbuffer *body);

void reply_end(struct reply *reply);

/*
 * Ends the connection so that nobody takes what was sent for the whole: without a last chunk, by a reset where the end
 * of the connection would be the end of the body. No event follows.
 */
void reply_break(struct reply *reply);

/* Frees the reply; if its answer has not come to its end, breaks it. NULL is fine. */
void reply_free(struct reply *reply);

#endif
