/* SPDX-License-Identifier: Apache-2.0 */
#include "shard_lists.h"

#include "index_state.h"

#include <errno.h>
#include <stdlib.h>

struct listed_entry {
    uint32_t entry;
    uint32_t run; /* ordinal of its family run, from 1; 0: no family */
};

enum {
    /* Entries whose selection depends on earlier ones. */
    ORDER_DEPENDENT = RECORD_METADATA | RECORD_FAMILY_BEGIN | RECORD_FAMILY_FIELD | RECORD_REPEATED | RECORD_FAMILY_END,
};

static uint32_t
shard_of(const struct ss_index *x, const struct entry *e, uint32_t count)
{
    return e->flags & RECORD_UNKEYED ? 0 : ss_sharding_place(x->parser.resolver.sharding, e->hash, count);
}

/* Counts each shard's items into ends[]. Returns their number; 0: too many, or not independent. */
static size_t
count_items(const struct ss_index *x, uint32_t *ends, uint32_t count)
{
    size_t all = 0, n = 0;
    for (const struct entry *e = x->entries; e < x->entries + x->n; e++) {
        if (e->flags & ORDER_DEPENDENT)
            return 0;
        if (e->flags & RECORD_DROPPED)
            continue;
        if (e->flags & RECORD_ALL) {
            all++;
        } else {
            ends[shard_of(x, e, count)]++;
            n++;
        }
    }
    for (uint32_t shard = 0; shard < count; shard++)
        ends[shard] += (uint32_t)all;
    n += all * count;
    return n * sizeof(struct listed_entry) + 2 * count * sizeof(*ends) <= x->n * sizeof(*x->entries) ? n : 0;
}

/* Counts families as a selection does. */
struct count {
    struct ss_filter_counts *seen;
    uint32_t *runs; /* by family number; 0: not seen yet */
    uint64_t last;  /* what identifies the family of the last entry that has one */
    uint32_t last_run;
};

/* Counts what every selection sees of an entry. Returns the run that it is in. */
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

/* Counts the families of each shard. last_shard[], zeroed, is indexed by run. */
static void
count_kept(struct shard_lists *l, uint32_t *last_shard)
{
    const struct listed_entry *item = l->items;
    for (uint32_t shard = 0; shard < l->count; shard++) {
        for (; item < l->items + l->ends[shard]; item++) {
            if (!item->run || last_shard[item->run] == shard + 1)
                continue;
            last_shard[item->run] = shard + 1;
            l->kept[shard]++;
        }
    }
}

/* Stores the items. ends[] are the starts of the shards, and become their ends. */
static void
put_items(struct shard_lists *l, const struct ss_index *x, uint32_t *runs)
{
    struct count count = {.seen = &l->seen, .runs = runs};
    for (size_t i = 0; i < x->n; i++) {
        const struct entry *e = &x->entries[i];
        struct listed_entry item = {(uint32_t)i, count_seen(&count, e)};
        if (e->flags & RECORD_DROPPED)
            continue;
        if (e->flags & RECORD_ALL) {
            for (uint32_t shard = 0; shard < l->count; shard++)
                l->items[l->ends[shard]++] = item;
        } else {
            l->items[l->ends[shard_of(x, e, l->count)]++] = item;
        }
    }
}

/* Builds the items; ends[] has the number of each shard. 0 or -ENOMEM. */
static int
build_lists(struct shard_lists *l, const struct ss_index *x, uint32_t count)
{
    uint32_t *runs = calloc(x->parser.resolver.families.names.n + 1, sizeof(*runs)), *last_shard = NULL, start = 0;
    l->items = malloc(l->n * sizeof(*l->items));
    if (!runs || !l->items) {
        free(runs);
        return -ENOMEM;
    }
    for (uint32_t shard = 0; shard < count; shard++) {
        uint32_t n = l->ends[shard];
        l->ends[shard] = start;
        start += n;
    }
    l->count = count;
    put_items(l, x, runs);
    last_shard = calloc(l->seen.families_seen + 1, sizeof(*last_shard));
    if (last_shard)
        count_kept(l, last_shard);
    free(runs);
    free(last_shard);
    return last_shard ? 0 : -ENOMEM;
}

int
shard_lists_init(struct shard_lists *l, const struct ss_index *x, uint32_t count)
{
    if (count * sizeof(*l->ends) > x->n * sizeof(*x->entries) || x->n > UINT32_MAX / 8) /* so no number overflows */
        return 0;
    *l = (struct shard_lists){.ends = calloc(count, sizeof(*l->ends)), .kept = calloc(count, sizeof(*l->kept))};
    if (!l->ends || !l->kept) {
        shard_lists_deinit(l);
        return -ENOMEM;
    }
    l->n = count_items(x, l->ends, count);
    int r = l->n ? build_lists(l, x, count) : 0;
    if (r || !l->n)
        shard_lists_deinit(l);
    return r;
}

int
shard_lists_select(const struct shard_lists *l, const struct ss_index *x, uint32_t shard, struct selection *s)
{
    const struct listed_entry *item = l->items + (shard ? l->ends[shard - 1] : 0), *end = l->items + l->ends[shard];
    int r = 0;

    s->counts = l->seen;
    s->counts.families_kept = l->kept[shard];
    for (; item < end && !r; item++) {
        r = selection_keep(s, entry_bytes(x, item->entry));
        s->counts.series_kept += x->entries[item->entry].series;
    }
    return r;
}

size_t
shard_lists_memory(const struct shard_lists *l)
{
    return 2 * l->count * sizeof(*l->ends) + l->n * sizeof(*l->items);
}

void
shard_lists_deinit(struct shard_lists *l)
{
    free(l->ends);
    free(l->kept);
    free(l->items);
    *l = (struct shard_lists){.count = 0};
}
