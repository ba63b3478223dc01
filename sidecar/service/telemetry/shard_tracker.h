/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SHARD_TRACKER_H
#define SERVICE_SHARD_TRACKER_H
/*
 * Tracks the shards of one endpoint: who scraped which shard and when, and which shards are not scraped. Only the
 * sidecar sees all of them: a missing Prometheus, or two that disagree on the count, look healthy from everywhere else.
 *
 * A scrape of several shards ("0-15") counts for each of them. Its series and bytes are those of the set, which is kept
 * under the name that the scraper used; they are not divided among its shards.
 *
 * The interval of a shard is learnt from its scrapes. A shard is missing after MISSED_INTERVALS intervals without a
 * scrape. A shard that was never seen is unknown, not missing, until that much time has passed since the first scrape
 * of its count: a restart raises no alarm, and hides none for longer.
 *
 * A reshard may be announced: from one count to another, both of which may then be requested. One of them is in force
 * and decides what every scrape gets, and the number of a shard stands for the server: a scrape gets that shard of the
 * count in force, or nothing if it has none. So the servers may change the count one by one, and no series is lost or
 * duplicated. The old count is in force until every shard of the new one was requested in at least two scrapes, half of
 * the assumed interval apart, without a gap in which it counts as missing: requests by hand must not move the series.
 * An announcement moves nothing either: whichever of its counts is in force already stays so, and a reshard can be
 * taken back at any time.
 *
 * Pure data: no sockets, no log, no clock. All times are non-negative milliseconds of one monotonic clock.
 */
#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACKED_COUNTS = 4,          /* shard counts tracked */
    TRACKED_SHARDS = 128 * 1024, /* shards of all counts together: 1.5 MiB */
    TRACKED_SETS = 1024,         /* sets of shards tracked per count: 200 KiB */
    TRACKED_FAMILIES = 10,
    MISSED_INTERVALS = 3,
    IDLE_COUNT_MS = 15 * 60 * 1000, /* a count without a scrape for this long is evicted first */
};

#define NEVER_SCRAPED INT64_C(-1)

/* A set of shards as a scraper requests it. */
struct tracked_set {
    char name[64];     /* "3", "0-15"; a long one is shortened to its beginning and a hash */
    uint32_t first, n; /* the first shard, and the number of shards */
    int64_t last;      /* the last successful scrape, or NEVER_SCRAPED; of it: */
    char peer[48];     /* the scraper */
    uint64_t series, bytes;
    int64_t tried;       /* the last scrape, successful or not */
    const char *outcome; /* of the last scrape; NULL: there was none */
};

struct tracked_shard {
    uint32_t last;     /* last scrape in 0.1 s ticks since the start, plus one; 0: never */
    uint32_t since;    /* the first of those without such a gap that it was missing, as last */
    uint32_t interval; /* milliseconds; 0: not learnt yet */
};

struct tracked_count {
    uint32_t count;             /* 0: this entry is free */
    int64_t first, tried, last; /* the first scrape, the last, and the last successful one or NEVER_SCRAPED */
    uint64_t scrapes;
    struct tracked_shard *shards; /* count of them */
    struct tracked_set *sets;     /* sorted by first shard and name */
    size_t n_sets, capacity;
};

/* One of the largest; a longer name is truncated. */
struct tracked_family {
    char name[128];
    uint64_t series, bytes;
};

/* An announced reshard. */
struct reshard {
    uint32_t from, to; /* shard counts; to is 0: none is announced, and only from (0: any) is requested */
    bool switched;     /* to is in force, not from */
};

struct shard_tracker {
    int64_t began;
    struct reshard reshard;
    uint32_t assumed; /* the interval of a shard whose own is not learnt yet */
    struct tracked_count counts[TRACKED_COUNTS];
    struct tracked_set whole; /* successful scrapes that name no shard */
    uint64_t counts_dropped, sets_dropped;
    int64_t last; /* the last successful scrape of any kind, or NEVER_SCRAPED */
    struct tracked_failure {
        int64_t when; /* NEVER_SCRAPED: none has failed */
        const char *outcome;
        char reason[320], peer[48];
    } by_upstream, by_other; /* the last failure because of the upstream, and the last for another reason */
    struct tracked_family families[TRACKED_FAMILIES];
    size_t n_families;
};

/* interval is assumed until one is learnt. */
void shard_tracker_init(struct shard_tracker *tracker, int64_t now, int64_t interval);

/* Changes the assumed interval. */
void shard_tracker_assume(struct shard_tracker *tracker, int64_t interval);

/* Zeroed is fine. */
void shard_tracker_deinit(struct shard_tracker *tracker);

/* A finished scrape. */
struct tracked_scrape {
    const char *shard; /* the set, validated by ss_shards_parse(), or NULL for the whole body */
    uint32_t count;    /* 0 for the whole body */
    uint32_t in_force; /* the count that decided what it got, if another than count; or 0 */
    const char *peer;
    bool ok, by_upstream;         /* by_upstream: it failed because of the upstream */
    const char *outcome, *reason; /* outcome is static */
    uint64_t series, bytes;       /* of the response */
};

/* Announces a reshard, or (to is 0) none: all scrapes request from, or (from is 0) any count. Nothing changes if it is
   announced already. Returns the count that was in force if it is neither of these, and no longer is; else 0. */
uint32_t shard_tracker_announce(struct shard_tracker *tracker, uint32_t from, uint32_t to);

/* The count that decides what a scrape that requests count gets: count itself, unless a reshard is announced. */
uint32_t shard_tracker_count_in_force(const struct shard_tracker *tracker, uint32_t count);

/* How many milliseconds after the first scrape of a shard a reshard counts another as its second. */
uint32_t shard_tracker_twice_after(const struct shard_tracker *tracker);

/* False: a reshard is announced, and the other of its counts is in force. */
bool shard_tracker_is_in_force(const struct shard_tracker *tracker, const struct tracked_count *count);

/* Records a scrape. True: it is the first successful one of a shard, or of the whole body. What there is no room or no
   memory for is dropped and counted. */
bool shard_tracker_record_scrape(struct shard_tracker *tracker, const struct tracked_scrape *scrape, int64_t now);

/* Records the endpoint's largest families, the largest first; those beyond TRACKED_FAMILIES are dropped. */
void shard_tracker_record_families(struct shard_tracker *tracker, const struct ss_family_count *families, size_t n);

/* The longest interval of a count's shards, in milliseconds. */
uint32_t shard_tracker_interval(const struct shard_tracker *tracker, const struct tracked_count *count);

/* Whether any shard of the count was scraped successfully within the last MISSED_INTERVALS intervals. */
bool shard_tracker_count_is_in_use(const struct shard_tracker *tracker, const struct tracked_count *count, int64_t now);

/* Whether the count's shards are expected to be scraped: it is in use, or none is and it was the last one. */
bool shard_tracker_count_is_expected(const struct shard_tracker *tracker, const struct tracked_count *count,
                                     int64_t now);

enum shard_state { SHARD_PRESENT, SHARD_MISSING, SHARD_UNKNOWN };

/* interval is shard_tracker_interval(). During a reshard no shard of the count that is not in force is missing. */
enum shard_state shard_tracker_state(const struct shard_tracker *tracker, const struct tracked_count *count,
                                     uint32_t shard, uint32_t interval, int64_t now);

/* How many of the count's shards are in each state. */
struct shard_state_counts {
    uint32_t n[3];
};

struct shard_state_counts shard_tracker_count_states(const struct shard_tracker *tracker,
                                                     const struct tracked_count *count, int64_t now);

/* Whether a set is no longer scraped, and its first shard is scraped in another set by now. */
bool shard_tracker_set_is_past(const struct shard_tracker *tracker, const struct tracked_count *count,
                               const struct tracked_set *set, int64_t now);

#endif
