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
 * How often a shard is scraped is learnt from its scrapes. A shard is missing after WATCH_MISSED intervals without one.
 * One that was never seen is unknown, not missing, until as much time has passed since its count was first asked for:
 * a restart raises no alarm, and hides none for longer.
 *
 * Data alone: no sockets, no log, no clock. All times are milliseconds of one clock that never goes back, not negative.
 */
#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WATCH_COUNTS = 4,          /* shard counts that are kept */
    WATCH_SHARDS = 128 * 1024, /* shards of all of them: 1 MiB */
    WATCH_SETS = 1024,         /* sets of shards that are kept of a count: 200 KiB */
    WATCH_FAMILIES = 10,
    WATCH_MISSED = 3,
    WATCH_IDLE = 15 * 60 * 1000, /* a count that nobody asked for so long is the first to make room */
};

#define WATCH_NEVER INT64_C(-1)

/* A set of shards as a scraper asks for it. */
struct watch_set {
    char name[64];     /* "3", "0-15"; of one too long, the beginning and a hash */
    uint32_t first, n; /* its first shard, and how many it has */
    int64_t last;      /* the last scrape that went well, or WATCH_NEVER; of it: */
    char peer[48];     /* who asked */
    uint64_t series, bytes;
    int64_t tried;       /* the last scrape */
    const char *outcome; /* how that went, in a word; NULL: there was none */
};

struct watch_shard {
    uint32_t last;     /* tenths of a second since the watch began, and 1; 0: never scraped */
    uint32_t interval; /* milliseconds; 0: not learnt */
};

struct watch_count {
    uint32_t count;             /* 0: this place is free */
    int64_t first, tried, last; /* the first scrape, the last, and the last that went well, or WATCH_NEVER */
    uint64_t scrapes;
    struct watch_shard *shards; /* as many as count */
    struct watch_set *sets;     /* by first shard and name */
    size_t n_sets, capacity;
};

/* One of the largest; a longer name is cut. */
struct watch_family {
    char name[128];
    uint64_t series, bytes;
};

struct watch {
    int64_t began;
    uint32_t assumed; /* the interval of a shard that has told none */
    struct watch_count counts[WATCH_COUNTS];
    struct watch_set whole; /* scrapes that name no shard and went well */
    uint64_t counts_left_out, sets_left_out;
    int64_t last; /* the last scrape of any kind that went well, or WATCH_NEVER */
    struct watch_failure {
        int64_t when; /* WATCH_NEVER: none failed */
        const char *outcome;
        char reason[320], peer[48];
    } by_service, by_others; /* the last scrape that failed by the service, and the last by anything else */
    struct watch_family families[WATCH_FAMILIES];
    size_t n_families;
};

/* Begins; interval is assumed until the scrapes have told theirs. */
void watch_init(struct watch *watch, int64_t now, int64_t interval);

/* Changes what is assumed. */
void watch_assume(struct watch *watch, int64_t interval);

/* A zeroed one is fine. */
void watch_deinit(struct watch *watch);

/* A scrape that is over. */
struct watch_scrape {
    const char *shard; /* the set, found right by ss_shards_parse(), or NULL for the whole body */
    uint32_t count;    /* 0 likewise */
    const char *peer;
    bool ok, by_service;          /* if it failed: by the service's doing */
    const char *outcome, *reason; /* the word is static */
    uint64_t series, bytes;       /* of the answer */
};

/* Takes it in. True: it went well, and is the first of a shard, or of the whole body, that did. What does not fit, or
   for which there is no memory, is left out and counted. */
bool watch_scrape(struct watch *watch, const struct watch_scrape *scrape, int64_t now);

/* Takes in the endpoint's largest families, the largest first; those behind WATCH_FAMILIES are left away. */
void watch_families(struct watch *watch, const struct ss_family_count *families, size_t n);

/* The longest interval of a count's shards, in milliseconds. */
uint32_t watch_interval(const struct watch *watch, const struct watch_count *count);

/* Whether any shard of the count was scraped well within the last WATCH_MISSED intervals. */
bool watch_in_use(const struct watch *watch, const struct watch_count *count, int64_t now);

/* Whether the count's shards should be there: it is in use, or none is and it was the last one. */
bool watch_is_live(const struct watch *watch, const struct watch_count *count, int64_t now);

enum watch_state { WATCH_PRESENT, WATCH_MISSING, WATCH_UNKNOWN };

/* interval is watch_interval()'s. */
enum watch_state watch_shard_state(const struct watch *watch, const struct watch_count *count, uint32_t shard,
                                   uint32_t interval, int64_t now);

/* How many of the count's shards are in each state. */
struct watch_states {
    uint32_t n[3];
};

struct watch_states watch_states(const struct watch *watch, const struct watch_count *count, int64_t now);

/* Whether a set has had its last scrape and its first shard is scraped in another one by now. */
bool watch_set_is_past(const struct watch *watch, const struct watch_count *count, const struct watch_set *set,
                       int64_t now);

#endif
