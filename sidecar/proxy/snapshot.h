/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SNAPSHOT_H
#define PROXY_SNAPSHOT_H
/*
 * A body that serves many scrapes: fetched once (shared_fetch.h), checked to the end, indexed, and kept for a while
 * (snapshot_store.h).
 *
 * References are held by the store while a snapshot can be found, by each scrape that uses it, and by each piece of it
 * in a reply's buffer. The last unref frees it.
 */
#include "upstream_response.h"

#include <event2/keyvalq_struct.h>
#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <time.h>

struct config;
struct endpoint;
struct evbuffer;
struct gzip;
struct ss_index;

enum snapshot_state {
    SNAPSHOT_FETCHING,    /* scrapes wait for it */
    SNAPSHOT_READY,       /* it is complete */
    SNAPSHOT_FAILED,      /* the scrapes that waited for it fail; no other scrape finds it */
    SNAPSHOT_OVER_BUDGET, /* it did not fit in max_snapshot_bytes: the scrapes that waited, and those that find it until
                             it expires, are streamed */
};

/* The number and memory of snapshots, including expired ones that are still being sent. */
struct snapshot_pool {
    TAILQ_HEAD(, snapshot) all;
    size_t count;
    uint64_t bytes;
    struct gzip *gzip; /* kept to be used again; or NULL */
};

/* A compressed selection. */
struct kept_gzip {
    TAILQ_ENTRY(kept_gzip) next;
    char *shard; /* the parameter's text; NULL: the whole body */
    uint32_t shard_count;
    struct ss_filter_counts counts;
    size_t len;
    char bytes[];
};

struct snapshot {
    struct snapshot_pool *pool; /* NULL once that is gone */
    TAILQ_ENTRY(snapshot) next;
    unsigned references;
    enum snapshot_state state;

    struct config *config; /* a reference */
    const struct endpoint *endpoint;
    bool is_started;               /* the fetch is; before that it waits for an upstream slot */
    struct timespec started, time; /* of the fetch: monotonic and wall clock */
    uint64_t bytes, peak_bytes;    /* of memory, as counted in the pool */
    struct failure failure;        /* SNAPSHOT_FAILED; SNAPSHOT_READY: OUTCOME_OK or OUTCOME_PASSED_ON */

    /* SNAPSHOT_READY: */
    int status;
    struct evkeyvalq headers;
    uint64_t bytes_in;                 /* of the body, as received */
    bool is_counted;                   /* by telemetry, with the first scrape that it was sent to */
    struct ss_index *index;            /* of a 200 */
    uint32_t last_count;               /* shard_count of the last selection */
    struct evbuffer *passthrough_body; /* the body of any other status */
    TAILQ_HEAD(, kept_gzip) gzips;
};

void snapshot_pool_init(struct snapshot_pool *pool);

/* Snapshots that are still being sent live on until that ends. */
void snapshot_pool_deinit(struct snapshot_pool *pool);

/* Frees memory that is kept only to be used again. */
void snapshot_pool_trim(struct snapshot_pool *pool);

/* Makes an empty one, whose fetch is to start. 0: *snapshotp is the caller's, with one reference. -ENOMEM. */
int snapshot_new(struct snapshot **snapshotp, struct snapshot_pool *pool, struct config *config,
                 const struct endpoint *endpoint);

struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_unref(struct snapshot *snapshot);

/* Its fetch starts now. */
void snapshot_start(struct snapshot *snapshot);

/* Seconds since the fetch started; 0 before that. */
double snapshot_age(const struct snapshot *snapshot);

/* Sets the memory it takes. False: the pool is over max_snapshot_bytes. */
bool snapshot_set_memory(struct snapshot *snapshot, uint64_t bytes);

/* Whether this many more bytes fit in max_snapshot_bytes. */
bool snapshot_has_room(const struct snapshot *snapshot, uint64_t bytes);

/* Adds the time of the fetch to the headers; Age and the like of the upstream are removed. 0 or -ENOMEM. */
int snapshot_set_time_header(struct snapshot *snapshot);

#endif
