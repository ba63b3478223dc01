/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TELEMETRY_H
#define SERVICE_TELEMETRY_H
/*
 * What the program counts of itself; telemetry.def is the table.
 *
 * An endpoint's numbers are kept by its name: they outlive a reload, and for a while the endpoint itself.
 */
#include "distribution.h"
#include "exposition.h"
#include "shard_tracker.h"
#include "summary.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

enum upstream_error {
    UPSTREAM_ERROR_NONE,
#define UPSTREAM_ERROR(name, word) UPSTREAM_ERROR_##name,
#include "telemetry.def"
    UPSTREAM_ERRORS
};

enum listener { LISTENER_WEB, LISTENER_ADMIN };

/* How the fetch of a body for all shards ended. */
enum shared_end {
    SHARED_KEPT,
    SHARED_PASSED_ON, /* it was no 200, and went on to those who waited */
    SHARED_FAILED,
    SHARED_OVER_BUDGET, /* there was no room for it */
    SHARED_CANCELLED,   /* nobody waited any more */
    SHARED_ENDS
};

enum limit {
    LIMIT_NONE,
#define LIMIT(name, ...) LIMIT_##name,
#include "telemetry.def"
    LIMITS
};

/* How many numbers a set of words may need. */
enum {
    WORDS_OUTCOME_MAX = 32,
    WORDS_ERROR_MAX = UPSTREAM_ERRORS,
    WORDS_LIMIT_MAX = LIMITS,
    WORDS_RELOAD_MAX = 2,
    WORDS_LISTENER_MAX = 2,
    WORDS_SHARED_MAX = SHARED_ENDS,
};

struct telemetry_endpoint {
    char *name;
    unsigned left; /* how many configurations ago the endpoint was in one; 0: it is in the one in force */
    struct shard_tracker tracker;
    bool has_snapshot;
    int64_t snapshot_time;            /* of the service's answer in the last one: telemetry_now() */
    struct distribution distribution; /* by the configuration in force, or never */
    struct summary summary;
#define ENDPOINT_COUNTER(field, ...) uint64_t field;
#define ENDPOINT_COUNTER_BY(field, name, words, ...) uint64_t field[WORDS_##words##_MAX];
#define ENDPOINT_HISTOGRAM(field, ...) struct histogram field;
#include "telemetry.def"
};

struct telemetry {
    const char *(*outcome_label)(size_t outcome);
    int64_t began, wall;         /* when it began, by telemetry_now() and in milliseconds since 1970 */
    const struct config *config; /* in force; borrowed until the next, or the end */
    struct telemetry_endpoint *endpoints;
    size_t n_endpoints;
#define COUNTER(field, ...) uint64_t field;
#define COUNTER_BY(field, name, words, ...) uint64_t field[WORDS_##words##_MAX];
#define GAUGE(field, ...) double field;
#define GAUGE_BY(field, name, words, ...) double field[WORDS_##words##_MAX];
#include "telemetry.def"
};

/* Begins, with a configuration that was read well. outcome_word() tells the word of an outcome, NULL behind the last.
 */
void telemetry_init(struct telemetry *telemetry, const char *(*outcome_word)(size_t outcome));

/* A zeroed one is fine. */
void telemetry_deinit(struct telemetry *telemetry);

/*
 * Takes in the endpoints of a configuration that comes in force. Those that are no longer there keep their numbers, for
 * scrapes that are not over and in case they come back: up to 64 of them. before is the one that was in force, or NULL.
 *
 * 0. -ENOMEM: nothing has changed.
 */
int telemetry_set_config(struct telemetry *telemetry, const struct config *before, const struct config *config);

/* A scrape that is over. */
struct telemetry_scrape {
    const char *endpoint;
    size_t outcome; /* below WORDS_OUTCOME_MAX, or it is not counted */
    bool ok;
    enum upstream_error error;
    double seconds;
    uint64_t bytes_in, bytes_out; /* of bodies, as they came and as they were sent */
    struct ss_filter_counts counts;
    bool shared; /* the body came for another scrape, which counts it */
    /* For the watch. */
    bool unwatched;    /* a HEAD: nobody got any series */
    const char *shard; /* as it was asked for, and found right; NULL: the whole body, or nothing sound */
    uint32_t shard_count;
    const char *peer, *reason;
};

/* As shard_tracker_record_scrape(). */
bool telemetry_scrape(struct telemetry *telemetry, const struct telemetry_scrape *scrape);

/* What the log is told of an endpoint; NULL: it has left long ago. */
struct summary *telemetry_summary(struct telemetry *telemetry, const char *endpoint);

/* The largest families of an endpoint, for shard_tracker_record_families(). */
void telemetry_families(struct telemetry *telemetry, const char *endpoint, const struct ss_family_count *families,
                        size_t n);

/* How an endpoint's families fall, to be told by scrapes under the configuration in force; NULL: there is none such. */
struct distribution *telemetry_distribution(struct telemetry *telemetry, const char *endpoint);

void telemetry_limit_hit(struct telemetry *telemetry, enum limit limit);

void telemetry_reloaded(struct telemetry *telemetry, bool successful);

/* A scrape found a snapshot, which it may have to wait for; or it found none, and has begun one or streams. */
void telemetry_snapshot_hit(struct telemetry *telemetry, const char *endpoint, bool waits);
void telemetry_snapshot_miss(struct telemetry *telemetry, const char *endpoint);
/* There was no room for one, also if that was seen when a part had come. */
void telemetry_snapshot_bypassed(struct telemetry *telemetry, const char *endpoint);
void telemetry_snapshot_ended(struct telemetry *telemetry, const char *endpoint, enum shared_end how);
/* A scrape was answered from one whose body was asked for so many seconds ago. */
void telemetry_snapshot_used(struct telemetry *telemetry, const char *endpoint, double age);
void telemetry_set_snapshots(struct telemetry *telemetry, size_t n, uint64_t bytes);

/* The clock of the watches, and what one of its times is since 1970; both in milliseconds. */
int64_t telemetry_now(void);
int64_t telemetry_wall(const struct telemetry *telemetry, int64_t time);

/* Writes all of it. 0: *textp has *lenp bytes and is the caller's, to be freed. -ENOMEM. */
int telemetry_write(const struct telemetry *telemetry, bool openmetrics, char **textp, size_t *lenp);

#endif
