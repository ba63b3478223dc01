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
struct access_policy;
struct event_base;
struct evhttp_request;
struct password_worker;

enum attempt_verdict {
    ATTEMPT_MATCHES,
    ATTEMPT_DOES_NOT_MATCH,
    ATTEMPT_DISPLACED, /* it was not matched: its place was given to another address */
};

struct auth_queue {
    struct event_base *base;
    struct password_worker *worker; /* made for the first one */
    TAILQ_HEAD(pending_auth_list, pending_auth) queue;
    size_t n;                     /* of the queue, and the current one */
    struct pending_auth *current; /* being matched; no longer in the queue */
    void (*auth_done)(struct evhttp_request *request, enum attempt_verdict verdict, void *ctx);
    void *ctx;
};

/* auth_done() is told of each request whose connection is still there. */
void auth_queue_init(struct auth_queue *auth_queue, struct event_base *base,
                     void (*auth_done)(struct evhttp_request *request, enum attempt_verdict verdict, void *ctx),
                     void *ctx);

/* After all connections have gone. A zeroed one is fine. */
void auth_queue_deinit(struct auth_queue *auth_queue);

/* Takes a request in, and, if that succeeds, the credential. 0; 429: too many wait; 503: there is no memory or no
 * thread.
 */
int auth_queue_add(struct auth_queue *auth_queue, struct evhttp_request *request, struct access_policy *policy,
                   struct credential *credential);

#endif
