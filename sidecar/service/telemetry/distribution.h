/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_DISTRIBUTION_H
#define SERVICE_DISTRIBUTION_H
/*
 * The families of an endpoint's last complete body: the key's hash and the series of each family that is not split.
 * That is enough to compute its distribution over any number of shards. The body itself is not kept. Of families in a
 * named group the names of the largest are kept too, to show what the group holds together.
 *
 *     distribution_start(&distribution, now, sharding);
 *     ss_filter_families(filter, distribution_add_family, &distribution);
 *     distribution_finish(&distribution, counts.series_seen);
 *
 * At most 16 bytes for each of DISTRIBUTION_FAMILIES_MAX families, and 1.1 KiB for each of DISTRIBUTION_GROUPS_MAX
 * groups.
 */
#include "service/base/balance.h"

#include <scrapeshard/filter.h>

enum {
    DISTRIBUTION_FAMILIES_MAX = 8192,
    DISTRIBUTION_GROUPS_MAX = 256,
    GROUP_MEMBERS = 8, /* families that a group names */
};

/* A family that is not split. */
struct hashed_family {
    uint64_t hash, series;
};

/* A group that colocate rules name, and the families that have its key and are not split. */
struct named_group {
    uint64_t hash; /* of the key */
    char *name;
    size_t families;
    uint64_t series;
    struct group_member {
        char name[128]; /* a longer one is truncated */
        uint64_t series;
    } largest[GROUP_MEMBERS]; /* the largest first */
};

/* Zeroed is empty. */
struct distribution {
    int64_t when; /* 0: never, or outdated */
    struct hashed_family *items;
    size_t n, capacity;
    uint64_t in_all;                /* series in every shard */
    uint64_t split, split_families; /* series of families that are split over shards, and how many families */
    uint64_t dropped;               /* series in no shard */
    struct named_group *groups;     /* sorted by hash */
    size_t n_groups, all_groups;    /* all_groups: with those beyond DISTRIBUTION_GROUPS_MAX */
    uint64_t uncounted; /* series beyond DISTRIBUTION_FAMILIES_MAX families, or for which there was no memory */
};

/* Empties it for another body; if it is outdated, the groups become those of the sharding. Without memory for them
   there are none. */
void distribution_start(struct distribution *distribution, int64_t now, struct ss_sharding *sharding);

/* Adds a family; ctx is the distribution. */
void distribution_add_family(void *ctx, const struct ss_family_count *family);

/* All families were added; series is the body's. */
void distribution_finish(struct distribution *distribution, uint64_t series);

/* Sets the series of each of count zeroed loads, without those of split families. */
void distribution_shard_loads(const struct distribution *distribution, const struct ss_sharding *sharding,
                              uint32_t count, struct shard_load *loads);

/* The group whose key has this hash, or NULL. */
const struct named_group *distribution_group(const struct distribution *distribution, uint64_t hash);

/* How many of a group's families are in group->largest. */
size_t named_group_members(const struct named_group *group);

/* The series that change their shard under another count. */
uint64_t distribution_moved_series(const struct distribution *distribution, const struct ss_sharding *sharding,
                                   uint32_t from, uint32_t to);

void distribution_deinit(struct distribution *distribution);

#endif
