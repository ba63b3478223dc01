/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_AUTH_QUEUE_H
#define SERVICE_AUTH_QUEUE_H
/*
 * Requests that wait at the door until their password was matched. One is matched at a time, in a thread of its own.
 * Addresses take turns: before the first request of an address is matched, each other address that waits has at most
 * one turn. How many may wait is bounded, in all and from one address; when all places are taken, an address that has
 * several gives one up for an address that has none. So whoever guesses does not keep out who knows.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct credential;
struct door;
struct event_base;
struct evhttp_request;
struct verifier;

enum attempt_verdict {
    ATTEMPT_MATCHES,
    ATTEMPT_DOES_NOT_MATCH,
    ATTEMPT_DISPLACED, /* it was not matched: its place was given to another address */
};

struct attempts {
    struct event_base *base;
    struct verifier *verifier; /* made for the first one */
    TAILQ_HEAD(attempt_queue, attempt) queue;
    size_t n;                /* of the queue, and the current one */
    struct attempt *current; /* being matched; no longer in the queue */
    void (*judged)(struct evhttp_request *request, enum attempt_verdict verdict, void *ctx);
    void *ctx;
};

/* judged() is told of each request whose connection is still there. */
void attempts_init(struct attempts *attempts, struct event_base *base,
                   void (*judged)(struct evhttp_request *request, enum attempt_verdict verdict, void *ctx), void *ctx);

/* After all connections have gone. A zeroed one is fine. */
void attempts_deinit(struct attempts *attempts);

/* Takes a request in, and, if that succeeds, the credential. 0; 429: too many wait; 503: there is no memory or no
 * thread.
 */
int attempts_add(struct attempts *attempts, struct evhttp_request *request, struct door *door,
                 struct credential *credential);

#endif
