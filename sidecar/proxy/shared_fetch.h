/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SHARED_FETCH_H
#define PROXY_SHARED_FETCH_H
/* Fills a snapshot: one response for all that wait for it, within the longest of their timeouts. */
#include "fetch.h"
#include "slots.h"

#include <sys/queue.h>

struct event_base;
struct log;
struct peer;
struct request;
struct shared_fetch;
struct snapshot;
struct telemetry;
struct time_limit;
struct upstream;

/* One that waits. Zeroed: it does not. */
struct fetch_waiter {
    struct shared_fetch *fetch;
    struct slot upstream_slot; /* until the fetch has one */
    TAILQ_ENTRY(fetch_waiter) next;
};

/* What all shared fetches use; borrowed. */
struct shared_fetch_context {
    struct event_base *base;
    struct upstream *upstream;
    struct slot_pool *upstream_slots; /* shared with the scrapes that are streamed */
    struct telemetry *telemetry;
    const struct log *log;
};

struct shared_fetch_settings {
    const struct shared_fetch_context *context; /* borrowed */
    struct snapshot *snapshot;                  /* to fill; borrowed */
    int (*on_start)(void *ctx);                 /* it has an upstream slot: the request is sent, unless this is not 0 */
    void (*on_end)(void *ctx); /* the fetch is freed; the snapshot's state and failure say how it ended */
    void *ctx;
};

/* Prepares a fetch. 0: *fetchp is the caller's until on_end(). -ENOMEM. */
int shared_fetch_new(struct shared_fetch **fetchp, const struct shared_fetch_settings *settings,
                     const struct request *request);

/* A timeout longer than those before extends the fetch's. It starts when the first waiter gets an upstream slot.
   on_end() may be called from in here. */
void shared_fetch_join(struct shared_fetch *fetch, struct fetch_waiter *waiter, const struct peer *peer,
                       const struct time_limit *timeout);

/* The fetch continues, even for nobody. A waiter that does not wait is fine. */
void shared_fetch_leave(struct fetch_waiter *waiter);

enum fetch_progress shared_fetch_progress(const struct shared_fetch *fetch);

/* Cancels it, without on_end(); nobody waits any more. NULL is fine. */
void shared_fetch_free(struct shared_fetch *fetch);

#endif
