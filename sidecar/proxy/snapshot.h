/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H
/*
 * Bodies that serve many scrapes: fetched once, checked to the end, indexed, and kept until max_age after the fetch
 * started. All scrapes that request the same from an upstream (endpoint, query, headers) select their shards from one.
 *
 *     FETCHING     scrapes wait for it
 *     READY        it is complete
 *     FAILED       the scrapes that waited for it fail; no other scrape finds it
 *     OVER_BUDGET  it did not fit in max_snapshot_bytes: the scrapes that waited, and those that find it until it
 *                  expires, are streamed
 *
 * References are held by the store while a snapshot can be found, by each scrape that uses it, and by each piece of it
 * in a reply's buffer. The last unref frees it.
 */
#include "slots.h"
#include "upstream_response.h"

#include <event2/keyvalq_struct.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct config;
struct endpoint;
struct evbuffer;
struct event;
struct event_base;
struct gzip;
struct log;
struct params;
struct request;
struct shared_fetch;
struct ss_filter_counts;
struct telemetry;
struct time_limit;
struct upstream;

/* The store. */
struct snapshots {
    struct event_base *base;
    struct upstream *upstream;
    struct slot_pool *upstream_slots; /* shared with the scrapes that are streamed */
    struct telemetry *telemetry;
    const struct log *log;
    TAILQ_HEAD(, snapshot) all;
    size_t count;      /* of all, including expired ones that are still being sent */
    uint64_t bytes;    /* their memory */
    struct gzip *gzip; /* kept to be used again; or NULL */
};

enum snapshot_state { SNAPSHOT_FETCHING, SNAPSHOT_READY, SNAPSHOT_FAILED, SNAPSHOT_OVER_BUDGET };

/* A scrape's use of a snapshot; lives in the scrape. */
struct snapshot_user {
    struct snapshot *snapshot;
    const struct peer *peer; /* the scraper */
    const struct time_limit *timeout;
    struct slot upstream_slot;   /* while it waits and the fetch has not started */
    void (*on_ready)(void *ctx); /* the fetch it waited for has ended; called from the event loop */
    void *ctx;
    bool found; /* the snapshot existed already */
    bool waits;
    TAILQ_ENTRY(snapshot_user) next; /* in snapshot->waiting */
};

struct snapshot {
    struct snapshots *store; /* NULL once the store is gone */
    TAILQ_ENTRY(snapshot) next;
    unsigned references;
    bool published; /* scrapes can find it */
    enum snapshot_state state;

    struct config *config; /* a reference */
    const struct endpoint *endpoint;
    const struct endpoint *serves; /* the same in the current configuration: it is found by this */
    char *key;
    struct timespec started, time; /* of the fetch: monotonic and wall clock */
    struct event *expiry, *notify_timer;
    TAILQ_HEAD(, snapshot_user) waiting;
    uint64_t bytes, peak_bytes; /* of memory, as counted in the store */

    struct shared_fetch *fetch; /* SNAPSHOT_FETCHING */
    struct failure failure;     /* SNAPSHOT_FAILED; SNAPSHOT_READY: OUTCOME_OK or OUTCOME_PASSED_ON */

    /* SNAPSHOT_READY: */
    int status;
    struct evkeyvalq headers;
    uint64_t bytes_in;                 /* of the body, as received */
    struct ss_index *index;            /* of a 200 */
    uint32_t last_count;               /* shard_count of the last selection */
    struct evbuffer *passthrough_body; /* the body of any other status */
    TAILQ_HEAD(, kept_gzip) gzips;
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
 * Finds the snapshot for a request, or starts one. 0: the user has it until snapshot_release(); it is READY, or it is
 * FETCHING and on_ready() follows. EBUSY (positive): no room for it. -ENOMEM.
 */
int snapshots_acquire(struct snapshots *store, struct config *config, const struct endpoint *endpoint,
                      const struct request *request, struct snapshot_user *user);

/* Cancels the fetch if no other user waits for it. A user without a snapshot is fine. */
void snapshot_release(struct snapshot_user *user);

/* Of one that is FETCHING. */
enum fetch_progress snapshot_progress(const struct snapshot *snapshot);

/* Seconds since the fetch started. */
double snapshot_age(const struct snapshot *snapshot);

/* What a scrape gets from a snapshot that is READY. */
struct snapshot_selection {
    struct evbuffer *body; /* references the snapshot */
    bool gzip;             /* in: the scraper accepts gzip; out: the body is compressed */
    struct ss_filter_counts *counts;
};

/*
 * Adds the selected shards to selection->body, and the upstream's headers and ours to headers. *selection->counts is
 * overwritten. 0, ERANGE (positive): too much metadata, or -ENOMEM.
 */
int snapshot_select(struct snapshot *snapshot, const struct params *params, struct snapshot_selection *selection,
                    struct evkeyvalq *headers);

/* For shared_fetch.c. */

/* Adds the time of the fetch to the headers; Age and the like of the upstream are removed. 0 or -ENOMEM. */
int snapshot_set_time_header(struct snapshot *snapshot);

/* Sets the memory it takes. False: it is over the budget. */
bool snapshot_set_memory(struct snapshot *snapshot, uint64_t bytes);

/* The fetch has ended and been freed. */
void snapshot_ended(struct snapshot *snapshot, enum snapshot_state state);

/* For the other files of snapshots. */

void snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

/* Whether the budget has room for this many more bytes. */
bool snapshot_has_room(const struct snapshot *snapshot, uint64_t bytes);

/* Equal for requests that may share a snapshot. NULL: out of memory. */
char *snapshot_key(const struct request *request);

/* Frees the compressed selections that are kept with it. */
void snapshot_free_gzips(struct snapshot *snapshot);

#endif
