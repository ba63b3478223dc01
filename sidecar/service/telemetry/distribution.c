/* SPDX-License-Identifier: Apache-2.0 */
#include "distribution.h"

#include <stdlib.h>

void
distribution_start(struct distribution *f, int64_t now)
{
    *f = (struct distribution){.when = now, .items = f->items, .capacity = f->capacity};
}

static bool
has_room(struct distribution *f)
{
    if (f->n < f->capacity)
        return true;
    if (f->n == DISTRIBUTION_FAMILIES_MAX)
        return false;
    size_t capacity = f->capacity ? 2 * f->capacity : 64;
    struct family_load *items = realloc(f->items, capacity * sizeof(*items));
    if (!items)
        return false;
    f->items = items;
    f->capacity = capacity;
    return true;
}

void
distribution_add_family(void *ctx, const struct ss_family_count *family)
{
    struct distribution *f = ctx;
    switch (family->route) {
    case SS_FAMILY_BY_HASH:
        if (has_room(f))
            f->items[f->n++] = (struct family_load){family->hash, family->series};
        break;
    case SS_FAMILY_ALL:
        f->every += family->series;
        break;
    case SS_FAMILY_NONE:
        f->dropped += family->series;
        break;
    case SS_FAMILY_SPLIT:
        f->parted += family->series;
        f->parted_families++;
        break;
    }
}

void
distribution_finish(struct distribution *f, uint64_t series)
{
    uint64_t counted = f->every + f->parted + f->dropped;
    for (size_t i = 0; i < f->n; i++)
        counted += f->items[i].series;
    f->uncounted = series > counted ? series - counted : 0;
}

void
distribution_shard_loads(const struct distribution *f, const struct ss_sharding *sharding, uint32_t count,
                         uint64_t *loads)
{
    for (uint32_t shard = 0; shard < count; shard++)
        loads[shard] = f->every;
    for (size_t i = 0; i < f->n; i++)
        loads[ss_sharding_place(sharding, f->items[i].hash, count)] += f->items[i].series;
}

uint64_t
distribution_moved_series(const struct distribution *f, const struct ss_sharding *sharding, uint32_t from, uint32_t to)
{
    uint64_t moved = 0;
    for (size_t i = 0; i < f->n; i++)
        if (ss_sharding_place(sharding, f->items[i].hash, from) != ss_sharding_place(sharding, f->items[i].hash, to))
            moved += f->items[i].series;
    return moved;
}

void
distribution_deinit(struct distribution *f)
{
    free(f->items);
    *f = (struct distribution){0};
}
