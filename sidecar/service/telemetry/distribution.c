/* SPDX-License-Identifier: Apache-2.0 */
#include "distribution.h"

#include <scrapeshard/sharding.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Groups. */

static void
free_groups(struct distribution *d)
{
    for (size_t i = 0; i < d->n_groups; i++)
        free(d->groups[i].name);
    free(d->groups);
    d->groups = NULL;
    d->n_groups = d->all_groups = 0;
}

static int
compare_groups(const void *a, const void *b)
{
    const struct named_group *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void
set_groups(struct distribution *d, struct ss_sharding *sharding)
{
    struct ss_group named[DISTRIBUTION_GROUPS_MAX];
    size_t all;

    free_groups(d);
    if (ss_sharding_groups(sharding, named, DISTRIBUTION_GROUPS_MAX, &all) || !all)
        return;
    size_t n = all < DISTRIBUTION_GROUPS_MAX ? all : DISTRIBUTION_GROUPS_MAX;
    d->groups = calloc(n, sizeof(*d->groups));
    if (!d->groups)
        return;
    for (; d->n_groups < n; d->n_groups++) {
        char *name = strndup(named[d->n_groups].name.ptr, named[d->n_groups].name.len);
        if (!name) {
            free_groups(d);
            return;
        }
        d->groups[d->n_groups].hash = named[d->n_groups].hash;
        d->groups[d->n_groups].name = name;
    }
    d->all_groups = all;
    qsort(d->groups, n, sizeof(*d->groups), compare_groups);
}

static struct named_group *
find_group(const struct distribution *d, uint64_t hash)
{
    return d->n_groups ? bsearch(&(struct named_group){.hash = hash}, d->groups, d->n_groups, sizeof(*d->groups),
                                 compare_groups)
                       : NULL;
}

const struct named_group *
distribution_group(const struct distribution *d, uint64_t hash)
{
    return find_group(d, hash);
}

size_t
named_group_members(const struct named_group *g)
{
    return g->families < GROUP_MEMBERS ? g->families : GROUP_MEMBERS;
}

static void
add_to_group(struct named_group *g, const struct ss_family_count *family)
{
    size_t n = named_group_members(g), at = n;
    g->families++;
    g->series += family->series;
    while (at && g->largest[at - 1].series < family->series)
        at--;
    if (at == GROUP_MEMBERS)
        return;
    memmove(g->largest + at + 1, g->largest + at, ((n < GROUP_MEMBERS ? n : n - 1) - at) * sizeof(*g->largest));
    snprintf(g->largest[at].name, sizeof(g->largest[at].name), "%.*s", (int)family->name.len, family->name.ptr);
    g->largest[at].series = family->series;
}

/* Families. */

void
distribution_start(struct distribution *d, int64_t now, struct ss_sharding *sharding)
{
    if (!d->when)
        set_groups(d, sharding);
    for (size_t i = 0; i < d->n_groups; i++)
        d->groups[i].families = d->groups[i].series = 0;
    *d = (struct distribution){.when = now,
                               .items = d->items,
                               .capacity = d->capacity,
                               .groups = d->groups,
                               .n_groups = d->n_groups,
                               .all_groups = d->all_groups};
}

static bool
has_room(struct distribution *d)
{
    if (d->n < d->capacity)
        return true;
    if (d->n == DISTRIBUTION_FAMILIES_MAX)
        return false;
    size_t capacity = d->capacity ? 2 * d->capacity : 64;
    struct hashed_family *items = realloc(d->items, capacity * sizeof(*items));
    if (!items)
        return false;
    d->items = items;
    d->capacity = capacity;
    return true;
}

void
distribution_add_family(void *ctx, const struct ss_family_count *family)
{
    struct distribution *d = ctx;
    struct ss_family_count placed = *family;
    struct named_group *group;
    switch (family->route) {
    case SS_FAMILY_BY_HASH: /* unless selectors drop or replicate some */
        placed.series -= family->dropped + family->replicated;
        d->dropped += family->dropped;
        d->in_all += family->replicated;
        if (has_room(d))
            d->items[d->n++] = (struct hashed_family){family->hash, placed.series};
        group = find_group(d, family->hash);
        if (group)
            add_to_group(group, &placed);
        break;
    case SS_FAMILY_ALL:
        d->in_all += family->series - family->dropped;
        d->dropped += family->dropped;
        break;
    case SS_FAMILY_NONE:
        d->dropped += family->series;
        break;
    case SS_FAMILY_SPLIT:
        d->split += family->series;
        d->split_families++;
        break;
    }
}

void
distribution_finish(struct distribution *d, uint64_t series)
{
    uint64_t counted = d->in_all + d->split + d->dropped;
    for (size_t i = 0; i < d->n; i++)
        counted += d->items[i].series;
    d->uncounted = series > counted ? series - counted : 0;
}

void
distribution_shard_loads(const struct distribution *d, const struct ss_sharding *sharding, uint32_t count,
                         struct shard_load *loads)
{
    for (uint32_t shard = 0; shard < count; shard++)
        loads[shard].series = d->in_all;
    for (size_t i = 0; i < d->n; i++)
        loads[ss_sharding_place(sharding, d->items[i].hash, count)].series += d->items[i].series;
}

uint64_t
distribution_moved_series(const struct distribution *d, const struct ss_sharding *sharding, uint32_t from, uint32_t to)
{
    uint64_t moved = 0;
    for (size_t i = 0; i < d->n; i++)
        if (ss_sharding_place(sharding, d->items[i].hash, from) != ss_sharding_place(sharding, d->items[i].hash, to))
            moved += d->items[i].series;
    return moved;
}

void
distribution_deinit(struct distribution *d)
{
    free(d->items);
    free_groups(d);
    *d = (struct distribution){0};
}
