/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TELEMETRY_H
#define SERVICE_TELEMETRY_H
/*
 * What the program counts about itself; telemetry.def is the table.
 *
 * An endpoint's numbers are kept by its name. They survive reloads and, for a while, the removal of the endpoint.
 */
#include "distribution.h"
#include "exposition.h"
#include "shard_tracker.h"
#include "summary.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum upstream_error {
    UPSTREAM_ERROR_NONE,
#define UPSTREAM_ERROR(name, label) UPSTREAM_ERROR_##name,
#include "telemetry.def"
    UPSTREAM_ERRORS
};

enum listener { LISTENER_WEB, LISTENER_ADMIN };

/* How the fetch of a body for all shards ended. */
enum shared_end {
    SHARED_KEPT,
    SHARED_PASSED_ON, /* not a 200; passed on to the waiting scrapes */
    SHARED_FAILED,
    SHARED_OVER_BUDGET, /* no room for it */
    SHARED_CANCELLED,   /* no scrape waited any more */
    SHARED_ENDS
};

enum limit {
    LIMIT_NONE,
#define LIMIT(name, ...) LIMIT_##name,
#include "telemetry.def"
    LIMITS
};

/* The array sizes of the label sets. */
enum {
    LABELS_OUTCOME_MAX = 32,
    LABELS_ERROR_MAX = UPSTREAM_ERRORS,
    LABELS_LIMIT_MAX = LIMITS,
    LABELS_RELOAD_MAX = 2,
    LABELS_LISTENER_MAX = 2,
    LABELS_SHARED_MAX = SHARED_ENDS,
    LABELS_REUSED_MAX = 2,
};

struct telemetry_endpoint {
    char *name;
    unsigned removed; /* configurations since the endpoint was removed; 0: it is in the current one */
    struct shard_tracker tracker;
    uint32_t count_left; /* shard_tracker_announce() of the last configuration */
    bool has_snapshot;
    int64_t snapshot_time;            /* of the fetch of the newest one: telemetry_now() */
    struct distribution distribution; /* under the current configuration, or empty */
    struct summary summary;
#define ENDPOINT_COUNTER(field, ...) uint64_t field;
#define ENDPOINT_COUNTER_BY(field, name, labels, ...) uint64_t field[LABELS_##labels##_MAX];
#define ENDPOINT_HISTOGRAM(field, ...) struct histogram field;
#include "telemetry.def"
};

/* A certificate that we present. */
struct telemetry_certificate {
    const char *label, *name; /* "listener" or "endpoint", and its name */
    const char *file;
    int64_t expiry; /* seconds since 1970 */
};

struct telemetry {
    const char *(*outcome_label)(size_t outcome);
    int64_t began, wall; /* the start, by telemetry_now() and in milliseconds since 1970 */
    struct telemetry_endpoint *endpoints;
    size_t n_endpoints;
    struct telemetry_certificate *certificates; /* with their texts, one allocation */
    size_t n_certificates;
#define COUNTER(field, ...) uint64_t field;
#define COUNTER_BY(field, name, labels, ...) uint64_t field[LABELS_##labels##_MAX];
#define GAUGE(field, ...) double field;
#define GAUGE_BY(field, name, labels, ...) double field[LABELS_##labels##_MAX];
#include "telemetry.def"
};

/* outcome_label() returns the label of an outcome, NULL after the last one. */
void telemetry_init(struct telemetry *telemetry, const char *(*outcome_label)(size_t outcome));

/* Zeroed is fine. */
void telemetry_deinit(struct telemetry *telemetry);

/* What telemetry needs to know of a configuration. Borrowed during the call. */
struct telemetry_config {
    const struct telemetry_target {
        const char *name;
        bool changed; /* the endpoint is new, or its keys, rules or upstream may have changed */
    } * endpoints;
    size_t n_endpoints;
    int64_t scrape_interval;           /* assumed until one is learnt; milliseconds */
    uint32_t reshard_from, reshard_to; /* as shard_tracker_announce()'s */
    const struct telemetry_certificate *certificates;
    size_t n_certificates;
};

/*
 * Applies a new configuration. Removed endpoints keep their numbers, for scrapes in progress and in case they come
 * back: up to 64 of them.
 *
 * 0. -ENOMEM: nothing has changed.
 */
int telemetry_set_config(struct telemetry *telemetry, const struct telemetry_config *config);

/* A finished scrape. */
struct telemetry_scrape {
    const char *endpoint;
    size_t outcome; /* not counted from LABELS_OUTCOME_MAX on */
    bool ok;
    enum upstream_error error;
    double seconds;
    uint64_t bytes_in, bytes_out; /* of bodies, as received and as sent */
    struct ss_filter_counts counts;
    bool shared; /* another scrape counts the body, which both got */
    /* For the shard tracker. */
    bool untracked;                 /* no server got its series: a HEAD, or a tool's request */
    const char *shard;              /* as requested, validated; NULL: the whole body, or an invalid request */
    uint32_t shard_count, in_force; /* as struct tracked_scrape's */
    const char *peer, *reason;
};

/* An endpoint's announced reshard; NULL: there is none. */
const struct reshard *telemetry_reshard(const struct telemetry *telemetry, const char *endpoint);

/* As shard_tracker_count_in_force(). */
uint32_t telemetry_count_in_force(const struct telemetry *telemetry, const char *endpoint, uint32_t count);

/* Records a scrape. As shard_tracker_record_scrape(). */
bool telemetry_scrape(struct telemetry *telemetry, const struct telemetry_scrape *scrape);

/* An endpoint's summary for the log; NULL: the endpoint was removed long ago. */
struct summary *telemetry_summary(struct telemetry *telemetry, const char *endpoint);

/* Records an endpoint's largest families: shard_tracker_record_families(). */
void telemetry_families(struct telemetry *telemetry, const char *endpoint, const struct ss_family_count *families,
                        size_t n);

/* An endpoint's distribution, to be filled by scrapes under the current configuration; NULL: no such endpoint. */
struct distribution *telemetry_distribution(struct telemetry *telemetry, const char *endpoint);

void telemetry_limit_hit(struct telemetry *telemetry, enum limit limit);

/* A request is sent to the upstream over a connection that is new or reused. */
void telemetry_upstream_connected(struct telemetry *telemetry, const char *endpoint, bool reused);

void telemetry_reloaded(struct telemetry *telemetry, bool successful);

/* A scrape found a snapshot, for which it may have to wait; or it found none, and fetches one or streams. */
void telemetry_snapshot_hit(struct telemetry *telemetry, const char *endpoint, bool waits);
void telemetry_snapshot_miss(struct telemetry *telemetry, const char *endpoint);
/* There was no room for a snapshot, at once or after a part of the body was received. */
void telemetry_snapshot_bypassed(struct telemetry *telemetry, const char *endpoint);
void telemetry_snapshot_ended(struct telemetry *telemetry, const char *endpoint, enum shared_end how);
/* A scrape was served from a snapshot whose fetch started age seconds ago. */
void telemetry_snapshot_used(struct telemetry *telemetry, const char *endpoint, double age);
void telemetry_set_snapshots(struct telemetry *telemetry, size_t n, uint64_t bytes);

/* The trackers' clock, and one of its times since 1970; both in milliseconds. */
int64_t telemetry_now(void);
int64_t telemetry_wall(const struct telemetry *telemetry, int64_t time);

/* Writes all metrics. 0: *textp has *lenp bytes and is the caller's to free. -ENOMEM. */
int telemetry_write(const struct telemetry *telemetry, bool openmetrics, char **textp, size_t *lenp);

#endif
