/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_AUTH_QUEUE_H
#define SERVICE_AUTH_QUEUE_H
/*
 * Requests that wait for their password check. One is checked at a time, in a separate thread. Addresses take turns:
 * before the first request of an address is checked, each other waiting address has at most one turn. The queue is
 * bounded, in total and per address; when it is full, an address with several requests loses one to an address with
 * none. So a client that guesses passwords does not lock out those that know them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct credential;
struct access_policy;
struct event_base;
struct evhttp_request;
struct password_worker;

enum auth_result {
    AUTH_MATCHES,
    AUTH_MISMATCH,
    AUTH_DISPLACED, /* not checked: its place was given to another address */
};

struct auth_queue {
    struct event_base *base;
    struct password_worker *worker; /* started for the first request */
    TAILQ_HEAD(pending_auth_list, pending_auth) queue;
    size_t n;                     /* in the queue, plus the current one */
    struct pending_auth *current; /* being checked; no longer in the queue */
    void (*auth_done)(struct evhttp_request *request, enum auth_result result, void *ctx);
    void *ctx;
};

/* auth_done() is called for each request whose connection is still open. */
void auth_queue_init(struct auth_queue *auth_queue, struct event_base *base,
                     void (*auth_done)(struct evhttp_request *request, enum auth_result result, void *ctx), void *ctx);

/* Call it after all connections are closed. Zeroed is fine. */
void auth_queue_deinit(struct auth_queue *auth_queue);

/* Queues a request, and takes over the credential if that succeeds. 0; 429: too many are pending; 503: out of memory
   or threads. */
int auth_queue_add(struct auth_queue *auth_queue, struct evhttp_request *request, struct access_policy *policy,
                   struct credential *credential);

#endif
