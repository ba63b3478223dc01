/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SNAPSHOT_STORE_H
#define PROXY_SNAPSHOT_STORE_H
/*
 * The snapshots that scrapes can find, until max_age after their fetch started. All scrapes that request the same from
 * an upstream (endpoint, query, headers) use one.
 */
#include "shared_fetch.h"
#include "snapshot.h"

struct snapshot_entry;

struct snapshots {
    struct shared_fetch_context context;
    struct snapshot_pool pool;
    TAILQ_HEAD(, snapshot_entry) entries;
};

/* A scrape's use of a snapshot; lives in the scrape. */
struct snapshot_user {
    const struct peer *peer; /* the scraper */
    const struct time_limit *timeout;
    void (*on_ready)(void *ctx); /* the fetch it waited for has ended; called from the event loop */
    void *ctx;
    struct snapshot *snapshot; /* a reference, or NULL */
    bool found;                /* the snapshot existed already */
    bool waits;
    struct snapshot_entry *entry; /* while it waits */
    struct fetch_waiter waiter;
    TAILQ_ENTRY(snapshot_user) next; /* of those that wait */
};

/* Borrows all arguments. */
void snapshots_init(struct snapshots *store, struct event_base *base, struct upstream *upstream,
                    struct slot_pool *upstream_slots, struct telemetry *telemetry, const struct log *log);

/* Cancels the fetches. Snapshots that are still being sent live on until that ends. */
void snapshots_deinit(struct snapshots *store);

/* A new configuration takes effect: its scrapes find only snapshots that it would have made just so. */
void snapshots_set_config(struct snapshots *store, const struct config *config);

/* No scrape is in flight: frees memory that is kept only to be used again. */
void snapshots_trim(struct snapshots *store);

/*
 * Finds the snapshot for a request, or starts one. Of the user the first four members are set. 0: it has the snapshot
 * until snapshot_release(): a READY one, or a FETCHING one, and on_ready() follows. EBUSY (positive): no room for it.
 * -ENOMEM.
 */
int snapshots_acquire(struct snapshots *store, struct config *config, const struct endpoint *endpoint,
                      const struct request *request, struct snapshot_user *user);

/* Cancels the fetch if no other user waits for it. A user without a snapshot is fine. */
void snapshot_release(struct snapshot_user *user);

/* Of the fetch that a user waits for. */
enum fetch_progress snapshot_progress(const struct snapshot_user *user);

#endif
