/* SPDX-License-Identifier: Apache-2.0 */
#include "arrangement.h"

#include "index_state.h"

#include <errno.h>
#include <stdlib.h>

struct arranged {
    uint32_t entry;
    uint32_t run; /* the how many-th family it is of, counted as they follow each other; 0: of none */
};

enum {
    /* What becomes of these depends on what stood before. */
    NOT_ALONE = RECORD_META | RECORD_OPEN | RECORD_FIELD | RECORD_AGAIN | RECORD_CLOSE,
};

static uint32_t
shard_of(const struct ss_index *x, const struct entry *e, uint32_t count)
{
    return e->flags & RECORD_LOOSE ? 0 : ss_sharding_place(x->body.keyer.sharding, e->hash, count);
}

/* Counts each shard's items into ends[]. How many there are; 0: they are too many, or cannot be told one by one. */
static size_t
count_items(const struct ss_index *x, uint32_t *ends, uint32_t count)
{
    size_t every = 0, n = 0;
    for (const struct entry *e = x->entries; e < x->entries + x->n; e++) {
        if (e->flags & NOT_ALONE)
            return 0;
        if (e->flags & RECORD_DROPPED)
            continue;
        if (e->flags & RECORD_EVERY) {
            every++;
        } else {
            ends[shard_of(x, e, count)]++;
            n++;
        }
    }
    for (uint32_t shard = 0; shard < count; shard++)
        ends[shard] += (uint32_t)every;
    n += every * count;
    return n * sizeof(struct arranged) + count * sizeof(*ends) <= x->n * sizeof(*x->entries) ? n : 0;
}

/* Counts what every selection sees of an entry. The run that it is in. */
static uint32_t
count_seen(struct ss_filter_counts *seen, const struct entry *e, uint64_t *last)
{
    uint64_t family = e->family ? e->family : e->hash;
    seen->series_seen += e->series;
    if (!family)
        return 0;
    if (family != *last) {
        *last = family;
        seen->families_seen++;
    }
    return (uint32_t)seen->families_seen;
}

/* Puts the items where they belong. ends[] are the shards' beginnings, and become their ends. */
static void
put_items(struct arrangement *a, const struct ss_index *x)
{
    uint64_t last = 0;
    for (size_t i = 0; i < x->n; i++) {
        const struct entry *e = &x->entries[i];
        struct arranged item = {(uint32_t)i, count_seen(&a->seen, e, &last)};
        if (e->flags & RECORD_DROPPED)
            continue;
        if (e->flags & RECORD_EVERY) {
            for (uint32_t shard = 0; shard < a->count; shard++)
                a->items[a->ends[shard]++] = item;
        } else {
            a->items[a->ends[shard_of(x, e, a->count)]++] = item;
        }
    }
}

int
arrangement_init(struct arrangement *a, const struct ss_index *x, uint32_t count)
{
    if (count * sizeof(*a->ends) > x->n * sizeof(*x->entries) || x->n > UINT32_MAX / 8) /* so no number overflows */
        return 0;
    *a = (struct arrangement){.ends = calloc(count, sizeof(*a->ends))};
    if (!a->ends)
        return -ENOMEM;
    a->n = count_items(x, a->ends, count);
    a->items = a->n ? malloc(a->n * sizeof(*a->items)) : NULL;
    if (!a->items) {
        int r = a->n ? -ENOMEM : 0;
        arrangement_deinit(a);
        return r;
    }
    uint32_t begin = 0;
    for (uint32_t shard = 0; shard < count; shard++) {
        uint32_t n = a->ends[shard];
        a->ends[shard] = begin;
        begin += n;
    }
    a->count = count;
    put_items(a, x);
    return 0;
}

int
arrangement_select(const struct arrangement *a, const struct ss_index *x, uint32_t shard, struct selection *s)
{
    const struct arranged *item = a->items + (shard ? a->ends[shard - 1] : 0), *end = a->items + a->ends[shard];
    uint32_t run = 0;
    int r = 0;

    s->counts = a->seen;
    for (; item < end && !r; item++) {
        r = selection_keep(s, entry_bytes(x, item->entry));
        s->counts.series_kept += x->entries[item->entry].series;
        s->counts.families_kept += item->run && item->run != run;
        run = item->run ? item->run : run;
    }
    return r;
}

size_t
arrangement_memory(const struct arrangement *a)
{
    return a->count * sizeof(*a->ends) + a->n * sizeof(*a->items);
}

void
arrangement_deinit(struct arrangement *a)
{
    free(a->ends);
    free(a->items);
    *a = (struct arrangement){.count = 0};
}
