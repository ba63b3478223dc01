/* SPDX-License-Identifier: Apache-2.0 */
#include "distribution.h"

#include <stdlib.h>

void
falls_begin(struct falls *f, int64_t now)
{
    *f = (struct falls){.when = now, .items = f->items, .capacity = f->capacity};
}

static bool
has_room(struct falls *f)
{
    if (f->n < f->capacity)
        return true;
    if (f->n == FALLS_MOST)
        return false;
    size_t capacity = f->capacity ? 2 * f->capacity : 64;
    struct fall *items = realloc(f->items, capacity * sizeof(*items));
    if (!items)
        return false;
    f->items = items;
    f->capacity = capacity;
    return true;
}

void
falls_take(void *ctx, const struct ss_family_count *family)
{
    struct falls *f = ctx;
    switch (family->fate) {
    case SS_FAMILY_HASHED:
        if (has_room(f))
            f->items[f->n++] = (struct fall){family->hash, family->series};
        break;
    case SS_FAMILY_EVERY:
        f->every += family->series;
        break;
    case SS_FAMILY_DROPPED:
        f->dropped += family->series;
        break;
    case SS_FAMILY_PARTS:
        f->parted += family->series;
        f->parted_families++;
        break;
    }
}

void
falls_end(struct falls *f, uint64_t series)
{
    uint64_t counted = f->every + f->parted + f->dropped;
    for (size_t i = 0; i < f->n; i++)
        counted += f->items[i].series;
    f->uncounted = series > counted ? series - counted : 0;
}

void
falls_loads(const struct falls *f, const struct ss_sharding *sharding, uint32_t count, uint64_t *loads)
{
    for (uint32_t shard = 0; shard < count; shard++)
        loads[shard] = f->every;
    for (size_t i = 0; i < f->n; i++)
        loads[ss_sharding_place(sharding, f->items[i].hash, count)] += f->items[i].series;
}

uint64_t
falls_moved(const struct falls *f, const struct ss_sharding *sharding, uint32_t from, uint32_t to)
{
    uint64_t moved = 0;
    for (size_t i = 0; i < f->n; i++)
        if (ss_sharding_place(sharding, f->items[i].hash, from) != ss_sharding_place(sharding, f->items[i].hash, to))
            moved += f->items[i].series;
    return moved;
}

void
falls_deinit(struct falls *f)
{
    free(f->items);
    *f = (struct falls){0};
}
