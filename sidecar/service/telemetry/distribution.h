/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_DISTRIBUTION_H
#define SERVICE_DISTRIBUTION_H
/*
 * The families of an endpoint's last complete body: the key's hash and the series of each family that is not split.
 * That is enough to compute its distribution over any number of shards. The body itself is not kept.
 *
 *     distribution_start(&distribution, now);
 *     ss_filter_families(filter, distribution_add_family, &distribution);
 *     distribution_finish(&distribution, counts.series_seen);
 *
 * At most 16 bytes for each of DISTRIBUTION_FAMILIES_MAX families.
 */
#include "service/base/balance.h"

#include <scrapeshard/filter.h>

enum { DISTRIBUTION_FAMILIES_MAX = 8192 };

/* A family that is not split. */
struct hashed_family {
    uint64_t hash, series;
};

/* Zeroed is empty. */
struct distribution {
    int64_t when; /* 0: never, or outdated */
    struct hashed_family *items;
    size_t n, capacity;
    uint64_t in_all;                /* series in every shard */
    uint64_t split, split_families; /* series of families that are split over shards, and how many families */
    uint64_t dropped;               /* series in no shard */
    uint64_t uncounted; /* series beyond DISTRIBUTION_FAMILIES_MAX families, or for which there was no memory */
};

/* Empties it for another body. */
void distribution_start(struct distribution *distribution, int64_t now);

/* Adds a family; ctx is the distribution. */
void distribution_add_family(void *ctx, const struct ss_family_count *family);

/* All families were added; series is the body's. */
void distribution_finish(struct distribution *distribution, uint64_t series);

/* Sets the series of each of count zeroed loads, without those of split families. */
void distribution_shard_loads(const struct distribution *distribution, const struct ss_sharding *sharding,
                              uint32_t count, struct shard_load *loads);

/* The families of one key, such as those of a group: their number, and *series. Without split families. */
size_t distribution_of_key(const struct distribution *distribution, uint64_t hash, uint64_t *series);

/* The series that change their shard under another count. */
uint64_t distribution_moved_series(const struct distribution *distribution, const struct ss_sharding *sharding,
                                   uint32_t from, uint32_t to);

void distribution_deinit(struct distribution *distribution);

#endif
