/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H
/*
 * Bodies that serve many scrapes: fetched once, checked to their end, indexed, and kept until max_age after the fetch
 * began. All scrapes that ask the service for the same (endpoint, query, headers) take their shards of one.
 *
 *     COMING    it is being fetched, and scrapes wait for it
 *     HERE      it is whole
 *     FAILED    it is not, and those who waited fail with it; nobody finds it any more
 *     OUTGROWN  there was no room for it: those who waited, and who come until it expires, stream
 *
 * A snapshot is held by the store while it can be found, by each scrape that uses it, and by each piece of it that is
 * on its way to a scraper. The last one who gives it back frees it.
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
    struct slot_pool *upstream_slots; /* the fetches ask in turn with the scrapes that stream */
    struct telemetry *telemetry;
    const struct log *log;
    TAILQ_HEAD(, snapshot) all;
    size_t count;      /* of all, those among them that have expired and are still being read */
    uint64_t bytes;    /* their memory */
    struct gzip *gzip; /* the memory of the last part that was compressed; or NULL */
};

enum snapshot_state { SNAPSHOT_COMING, SNAPSHOT_HERE, SNAPSHOT_FAILED, SNAPSHOT_OVER_BUDGET };

/* A scrape's hold of a snapshot; in the scrape. */
struct snapshot_user {
    struct snapshot *snapshot;
    const struct peer *peer; /* who it is */
    const struct time_limit *timeout;
    struct slot upstream_slot;   /* to ask the service, while it waits and nobody has asked */
    void (*on_ready)(void *ctx); /* the snapshot it waited for is coming no more; from the event loop */
    void *ctx;
    bool found; /* it was not begun for this scrape */
    bool waits;
    TAILQ_ENTRY(snapshot_user) next; /* of those who wait */
};

struct snapshot {
    struct snapshots *store; /* NULL once the store is gone */
    TAILQ_ENTRY(snapshot) next;
    unsigned references;
    bool findable;
    enum snapshot_state state;

    struct config *config; /* a reference */
    const struct endpoint *endpoint;
    const struct endpoint *serves; /* the same, or what a reload has made of it: by whom it is found */
    char *key;
    struct timespec began, time; /* of the fetch: monotonic, and by the clock */
    struct event *expiry, *notify_timer;
    TAILQ_HEAD(, snapshot_user) waiting;
    uint64_t bytes, most_bytes; /* as counted in the store, and the most they were */

    struct shared_fetch *fetch; /* SNAPSHOT_COMING */
    struct failure failure;     /* SNAPSHOT_FAILED; SNAPSHOT_HERE: whether it is passed on */

    /* SNAPSHOT_HERE: */
    int status;
    struct evkeyvalq headers;
    uint64_t bytes_in;                 /* of the body, as it came */
    struct ss_index *index;            /* of a 200 */
    uint32_t last_count;               /* shards that were selected from it last were of so many */
    struct evbuffer *passthrough_body; /* the body of any other status */
    TAILQ_HEAD(, kept_gzip) gzips;
};

/* Borrows all of them. */
void snapshots_init(struct snapshots *store, struct event_base *base, struct upstream *upstream,
                    struct slot_pool *upstream_slots, struct telemetry *telemetry, const struct log *log);

/* Ends what is being fetched. What is still on its way to a scraper stays with it. */
void snapshots_deinit(struct snapshots *store);

/* Another configuration comes in force: scrapes under it find those that it would have made, and no others. */
void snapshots_set_config(struct snapshots *store, const struct config *config);

/* No scrape is in flight: gives back what is kept only to be used again. */
void snapshots_trim(struct snapshots *store);

/*
 * Finds the snapshot that answers a request, or begins it. 0: the user has it, until snapshot_release(); it is HERE, or
 * it is COMING, and told() follows. EBUSY (positive): there is no room for it. -ENOMEM.
 */
int snapshots_acquire(struct snapshots *store, struct config *config, const struct endpoint *endpoint,
                      const struct request *request, struct snapshot_user *user);

/* The user needs it no more. What is being fetched for nobody else is cancelled. Without a snapshot it is fine. */
void snapshot_release(struct snapshot_user *user);

/* How far the fetch is of one that is COMING. */
enum fetch_progress snapshot_progress(const struct snapshot *snapshot);

/* Seconds since its fetch began. */
double snapshot_age(const struct snapshot *snapshot);

/* What a scrape gets of a snapshot that is HERE. */
struct snapshot_selection {
    struct evbuffer *body; /* borrows of the snapshot, and holds it */
    bool gzip;             /* it is compressed */
    struct ss_filter_counts *counts;
};

/*
 * Adds the shards' part to part->body and tells, in the service's headers and ours, what it is. part->gzip asks for
 * compression, and answers; *part->counts is overwritten. 0, ERANGE (positive): the metadata are too many, or -ENOMEM.
 */
int snapshot_take(struct snapshot *snapshot, const struct params *params, struct snapshot_selection *part,
                  struct evkeyvalq *headers);

/* For shared_fetch.c. */

/* Puts the time of its fetch into the headers, in the place of the service's. 0 or -ENOMEM. */
int snapshot_set_time_header(struct snapshot *snapshot);

/* Counts its memory. False: that is more than there is room for. */
bool snapshot_count(struct snapshot *snapshot, uint64_t bytes);

/* The fetch has ended, and is freed. */
void snapshot_ended(struct snapshot *snapshot, enum snapshot_state state);

/* For the other rooms of snapshots. */

void snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

/* Whether there is room for so many bytes more. */
bool snapshot_has_room(const struct snapshot *snapshot, uint64_t bytes);

/* What requests have in common that a snapshot answers; NULL for want of memory. */
char *snapshot_key(const struct request *request);

/* Frees the compressed parts that are kept with it. */
void snapshot_free_gzips(struct snapshot *snapshot);

#endif
