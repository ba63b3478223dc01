/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SHARD_TRACKER_H
#define SERVICE_SHARD_TRACKER_H
/*
 * The shard watch of one endpoint: who scraped which shard and when, and which shards nobody scrapes. Only the sidecar
 * sees them all: a Prometheus that is missing, or two that disagree on the count, look healthy from everywhere else.
 *
 * A scrape of several shards ("0-15") is one of each of them; its series and bytes are those of the set, which is kept
 * by the name that the scraper gave it, and are not divided among its shards.
 *
 * How often a shard is scraped is learnt from its scrapes. A shard is missing after MISSED_INTERVALS intervals without
 * one. One that was never seen is unknown, not missing, until as much time has passed since its count was first asked
 * for: a restart raises no alarm, and hides none for longer.
 *
 * Data alone: no sockets, no log, no clock. All times are milliseconds of one clock that never goes back, not negative.
 */
#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACKED_COUNTS = 4,          /* shard counts that are kept */
    TRACKED_SHARDS = 128 * 1024, /* shards of all of them: 1 MiB */
    TRACKED_SETS = 1024,         /* sets of shards that are kept of a count: 200 KiB */
    TRACKED_FAMILIES = 10,
    MISSED_INTERVALS = 3,
    IDLE_COUNT_MS = 15 * 60 * 1000, /* a count that nobody asked for so long is the first to make room */
};

#define NEVER_SCRAPED INT64_C(-1)

/* A set of shards as a scraper asks for it. */
struct tracked_set {
    char name[64];     /* "3", "0-15"; of one too long, the beginning and a hash */
    uint32_t first, n; /* its first shard, and how many it has */
    int64_t last;      /* the last scrape that went well, or NEVER_SCRAPED; of it: */
    char peer[48];     /* who asked */
    uint64_t series, bytes;
    int64_t tried;       /* the last scrape */
    const char *outcome; /* how that went, in a word; NULL: there was none */
};

struct tracked_shard {
    uint32_t last;     /* tenths of a second since the watch began, and 1; 0: never scraped */
    uint32_t interval; /* milliseconds; 0: not learnt */
};

struct tracked_count {
    uint32_t count;             /* 0: this place is free */
    int64_t first, tried, last; /* the first scrape, the last, and the last that went well, or NEVER_SCRAPED */
    uint64_t scrapes;
    struct tracked_shard *shards; /* as many as count */
    struct tracked_set *sets;     /* by first shard and name */
    size_t n_sets, capacity;
};

/* One of the largest; a longer name is cut. */
struct tracked_family {
    char name[128];
    uint64_t series, bytes;
};

struct shard_tracker {
    int64_t began;
    uint32_t assumed; /* the interval of a shard that has told none */
    struct tracked_count counts[TRACKED_COUNTS];
    struct tracked_set whole; /* scrapes that name no shard and went well */
    uint64_t counts_left_out, sets_left_out;
    int64_t last; /* the last scrape of any kind that went well, or NEVER_SCRAPED */
    struct tracked_failure {
        int64_t when; /* NEVER_SCRAPED: none failed */
        const char *outcome;
        char reason[320], peer[48];
    } by_service, by_others; /* the last scrape that failed by the service, and the last by anything else */
    struct tracked_family families[TRACKED_FAMILIES];
    size_t n_families;
};

/* Begins; interval is assumed until the scrapes have told theirs. */
void shard_tracker_init(struct shard_tracker *tracker, int64_t now, int64_t interval);

/* Changes what is assumed. */
void shard_tracker_assume(struct shard_tracker *tracker, int64_t interval);

/* A zeroed one is fine. */
void shard_tracker_deinit(struct shard_tracker *tracker);

/* A scrape that is over. */
struct tracked_scrape {
    const char *shard; /* the set, found right by ss_shards_parse(), or NULL for the whole body */
    uint32_t count;    /* 0 likewise */
    const char *peer;
    bool ok, by_service;          /* if it failed: by the service's doing */
    const char *outcome, *reason; /* the word is static */
    uint64_t series, bytes;       /* of the answer */
};

/* Takes it in. True: it went well, and is the first of a shard, or of the whole body, that did. What does not fit, or
   for which there is no memory, is left out and counted. */
bool shard_tracker_record_scrape(struct shard_tracker *tracker, const struct tracked_scrape *scrape, int64_t now);

/* Takes in the endpoint's largest families, the largest first; those behind TRACKED_FAMILIES are left away. */
void shard_tracker_record_families(struct shard_tracker *tracker, const struct ss_family_count *families, size_t n);

/* The longest interval of a count's shards, in milliseconds. */
uint32_t shard_tracker_interval(const struct shard_tracker *tracker, const struct tracked_count *count);

/* Whether any shard of the count was scraped well within the last MISSED_INTERVALS intervals. */
bool shard_tracker_count_is_in_use(const struct shard_tracker *tracker, const struct tracked_count *count, int64_t now);

/* Whether the count's shards should be there: it is in use, or none is and it was the last one. */
bool shard_tracker_count_is_expected(const struct shard_tracker *tracker, const struct tracked_count *count,
                                     int64_t now);

enum shard_state { SHARD_PRESENT, SHARD_MISSING, SHARD_UNKNOWN };

/* interval is shard_tracker_interval()'s. */
enum shard_state shard_tracker_state(const struct shard_tracker *tracker, const struct tracked_count *count,
                                     uint32_t shard, uint32_t interval, int64_t now);

/* How many of the count's shards are in each state. */
struct shard_state_counts {
    uint32_t n[3];
};

struct shard_state_counts shard_tracker_count_states(const struct shard_tracker *tracker,
                                                     const struct tracked_count *count, int64_t now);

/* Whether a set has had its last scrape and its first shard is scraped in another one by now. */
bool shard_tracker_set_is_past(const struct shard_tracker *tracker, const struct tracked_count *count,
                               const struct tracked_set *set, int64_t now);

#endif
