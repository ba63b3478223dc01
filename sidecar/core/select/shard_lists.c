/* SPDX-License-Identifier: Apache-2.0 */
#include "shard_lists.h"

#include "index_state.h"

#include <errno.h>
#include <stdlib.h>

struct listed_entry {
    uint32_t entry;
    uint32_t run; /* the how many-th family it is of, as a selection counts them; 0: of none */
};

enum {
    /* What becomes of these depends on what stood before. */
    NOT_ALONE = RECORD_METADATA | RECORD_FAMILY_BEGIN | RECORD_FAMILY_FIELD | RECORD_REPEATED | RECORD_FAMILY_END,
};

static uint32_t
shard_of(const struct ss_index *x, const struct entry *e, uint32_t count)
{
    return e->flags & RECORD_UNKEYED ? 0 : ss_sharding_place(x->parser.resolver.sharding, e->hash, count);
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
        if (e->flags & RECORD_ALL) {
            every++;
        } else {
            ends[shard_of(x, e, count)]++;
            n++;
        }
    }
    for (uint32_t shard = 0; shard < count; shard++)
        ends[shard] += (uint32_t)every;
    n += every * count;
    return n * sizeof(struct listed_entry) + 2 * count * sizeof(*ends) <= x->n * sizeof(*x->entries) ? n : 0;
}

/* Families, counted as a selection counts them. */
struct count {
    struct ss_filter_counts *seen;
    uint32_t *runs; /* of families with a number, by it; 0: not seen yet */
    uint64_t last;  /* what the last entry with a family names it by */
    uint32_t last_run;
};

/* Counts what every selection sees of an entry. The run that it is in. */
static uint32_t
count_seen(struct count *c, const struct entry *e)
{
    uint64_t family = e->family ? e->family : e->hash;
    c->seen->series_seen += e->series;
    if (!family)
        return 0;
    if (family != c->last) {
        c->last = family;
        c->last_run = e->family ? c->runs[e->family] : 0;
        if (!c->last_run)
            c->last_run = (uint32_t)++c->seen->families_seen;
        if (e->family)
            c->runs[e->family] = c->last_run;
    }
    return c->last_run;
}

/* Counts the families of each shard. had[], zeroed, is by run. */
static void
count_kept(struct shard_lists *a, uint32_t *had)
{
    const struct listed_entry *item = a->items;
    for (uint32_t shard = 0; shard < a->count; shard++) {
        for (; item < a->items + a->ends[shard]; item++) {
            if (!item->run || had[item->run] == shard + 1)
                continue;
            had[item->run] = shard + 1;
            a->kept[shard]++;
        }
    }
}

/* Puts the items where they belong. ends[] are the shards' beginnings, and become their ends. */
static void
put_items(struct shard_lists *a, const struct ss_index *x, uint32_t *runs)
{
    struct count count = {.seen = &a->seen, .runs = runs};
    for (size_t i = 0; i < x->n; i++) {
        const struct entry *e = &x->entries[i];
        struct listed_entry item = {(uint32_t)i, count_seen(&count, e)};
        if (e->flags & RECORD_DROPPED)
            continue;
        if (e->flags & RECORD_ALL) {
            for (uint32_t shard = 0; shard < a->count; shard++)
                a->items[a->ends[shard]++] = item;
        } else {
            a->items[a->ends[shard_of(x, e, a->count)]++] = item;
        }
    }
}

/* Makes the items; ends[] has each shard's number of them. 0 or -ENOMEM. */
static int
arrange(struct shard_lists *a, const struct ss_index *x, uint32_t count)
{
    uint32_t *runs = calloc(x->parser.resolver.families.names.n + 1, sizeof(*runs)), *had = NULL, begin = 0;
    a->items = malloc(a->n * sizeof(*a->items));
    if (!runs || !a->items) {
        free(runs);
        return -ENOMEM;
    }
    for (uint32_t shard = 0; shard < count; shard++) {
        uint32_t n = a->ends[shard];
        a->ends[shard] = begin;
        begin += n;
    }
    a->count = count;
    put_items(a, x, runs);
    had = calloc(a->seen.families_seen + 1, sizeof(*had));
    if (had)
        count_kept(a, had);
    free(runs);
    free(had);
    return had ? 0 : -ENOMEM;
}

int
shard_lists_init(struct shard_lists *a, const struct ss_index *x, uint32_t count)
{
    if (count * sizeof(*a->ends) > x->n * sizeof(*x->entries) || x->n > UINT32_MAX / 8) /* so no number overflows */
        return 0;
    *a = (struct shard_lists){.ends = calloc(count, sizeof(*a->ends)), .kept = calloc(count, sizeof(*a->kept))};
    int r = a->ends && a->kept ? 0 : -ENOMEM;
    if (!r)
        a->n = count_items(x, a->ends, count);
    if (a->n)
        r = arrange(a, x, count);
    if (r || !a->n)
        shard_lists_deinit(a);
    return r;
}

int
shard_lists_select(const struct shard_lists *a, const struct ss_index *x, uint32_t shard, struct selection *s)
{
    const struct listed_entry *item = a->items + (shard ? a->ends[shard - 1] : 0), *end = a->items + a->ends[shard];
    int r = 0;

    s->counts = a->seen;
    s->counts.families_kept = a->kept[shard];
    for (; item < end && !r; item++) {
        r = selection_keep(s, entry_bytes(x, item->entry));
        s->counts.series_kept += x->entries[item->entry].series;
    }
    return r;
}

size_t
shard_lists_memory(const struct shard_lists *a)
{
    return 2 * a->count * sizeof(*a->ends) + a->n * sizeof(*a->items);
}

void
shard_lists_deinit(struct shard_lists *a)
{
    free(a->ends);
    free(a->kept);
    free(a->items);
    *a = (struct shard_lists){.count = 0};
}
