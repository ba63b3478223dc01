/* SPDX-License-Identifier: Apache-2.0 */
#include "distribution.h"

#include <stdlib.h>

void
distribution_start(struct distribution *d, int64_t now)
{
    *d = (struct distribution){.when = now, .items = d->items, .capacity = d->capacity};
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
    switch (family->route) {
    case SS_FAMILY_BY_HASH:
        if (has_room(d))
            d->items[d->n++] = (struct hashed_family){family->hash, family->series};
        break;
    case SS_FAMILY_ALL:
        d->in_all += family->series;
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

size_t
distribution_of_key(const struct distribution *d, uint64_t hash, uint64_t *series)
{
    size_t families = 0;
    *series = 0;
    for (size_t i = 0; i < d->n; i++) {
        if (d->items[i].hash != hash)
            continue;
        families++;
        *series += d->items[i].series;
    }
    return families;
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
    *d = (struct distribution){0};
}
