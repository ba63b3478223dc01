/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_DISTRIBUTION_H
#define SERVICE_DISTRIBUTION_H
/*
 * How the families of an endpoint fell when its body last came whole: of each that stays whole its key's hash and its
 * series, which is enough to tell how they would fall among any number of shards. The body itself is not kept.
 *
 *     distribution_start(&falls, now);
 *     ss_filter_families(filter, distribution_add_family, &falls);
 *     distribution_finish(&falls, counts.series_seen);
 *
 * At most 16 bytes for each of DISTRIBUTION_FAMILIES_MAX families.
 */
#include <scrapeshard/filter.h>

enum { DISTRIBUTION_FAMILIES_MAX = 8192 };

struct family_load {
    uint64_t hash, series;
};

/* Zeroed is none. */
struct distribution {
    int64_t when; /* 0: never, or it is no longer true */
    struct family_load *items;
    size_t n, capacity;
    uint64_t every;                   /* series that are in every shard */
    uint64_t parted, parted_families; /* series of families that do not fall as a whole, and those */
    uint64_t dropped;                 /* series that are in none */
    uint64_t uncounted; /* series of families beyond DISTRIBUTION_FAMILIES_MAX, or for which there was no memory */
};

/* Forgets what was, and begins anew. */
void distribution_start(struct distribution *distribution, int64_t now);

/* Takes in a family; ctx is the falls. */
void distribution_add_family(void *ctx, const struct ss_family_count *family);

/* All were taken in; series of the whole body. */
void distribution_finish(struct distribution *distribution, uint64_t series);

/* The series of each of count shards, as far as they can be told. */
void distribution_shard_loads(const struct distribution *distribution, const struct ss_sharding *sharding,
                              uint32_t count, uint64_t *loads);

/* The series that are elsewhere under another count. */
uint64_t distribution_moved_series(const struct distribution *distribution, const struct ss_sharding *sharding,
                                   uint32_t from, uint32_t to);

void distribution_deinit(struct distribution *distribution);

#endif
