/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of plan: who has what under which count. */
#include "plan.h"

#include "terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The parts. */

static const struct ss_span no_family = {"", 0};

static void
take_part(void *ctx, const struct ss_index_part *part)
{
    struct fall *f = ctx;
    f->series += part->series;
    if (part->fate == SS_INDEX_EVERY)
        f->every += part->series;
    if (part->fate == SS_INDEX_DROPPED)
        f->dropped += part->series;
    f->has_meta |= part->fate == SS_INDEX_META;
    if (f->n == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 1024;
        struct ss_index_part *parts = realloc(f->parts, capacity * sizeof(*parts));
        if (!parts) {
            f->short_of_memory = true;
            return;
        }
        f->parts = parts;
        f->capacity = capacity;
    }
    f->parts[f->n] = *part;
    if (!part->family.len)
        f->parts[f->n].family = no_family;
    f->n++;
}

static int
compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int
compare_names(struct ss_span a, struct ss_span b)
{
    if (a.ptr == b.ptr)
        return 0;
    int r = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return r ? r : compare(a.len, b.len);
}

static int
compare_parts(const void *a, const void *b)
{
    const struct ss_index_part *x = a, *y = b;
    int r = compare_names(x->family, y->family);
    if (!r)
        r = compare(x->fate, y->fate);
    return r ? r : compare(x->hash, y->hash);
}

/* Makes those of one family, fate and hash one. */
static void
merge_parts(struct fall *f)
{
    size_t n = 0;
    qsort(f->parts, f->n, sizeof(*f->parts), compare_parts);
    for (size_t i = 0; i < f->n; i++) {
        if (n && !compare_parts(&f->parts[n - 1], &f->parts[i])) {
            f->parts[n - 1].series += f->parts[i].series;
            f->parts[n - 1].bytes += f->parts[i].bytes;
            continue;
        }
        f->families += f->parts[i].family.len && (!n || f->parts[n - 1].family.ptr != f->parts[i].family.ptr);
        f->parts[n++] = f->parts[i];
    }
    f->n = n;
}

int
fall_init(struct fall *f, const struct ss_index *index, const struct config *config)
{
    *f = (struct fall){.config = config, .index = index};
    ss_index_visit(index, take_part, f);
    f->bytes = ss_index_body(index).len; /* the parts of protobuf may say a little twice */
    if (f->n)
        merge_parts(f);
    return f->short_of_memory ? -ENOMEM : 0;
}

void
fall_deinit(struct fall *f)
{
    free(f->parts);
}

/* Loads. */

static void
add_load(struct load *load, const struct ss_index_part *part, bool counts)
{
    load->series += part->series;
    load->bytes += part->bytes;
    load->families += counts;
}

/* Puts one part where it belongs; seen has, by shard, 1 more than the last group of parts, a family's, that it has. */
static void
place_part(const struct fall *f, const struct ss_index_part *part, size_t group, uint32_t count, struct load *loads,
           size_t *seen)
{
    uint32_t shard;
    bool named = part->family.len;

    switch (part->fate) {
    case SS_INDEX_HASHED:
        shard = ss_sharding_place(f->config->sharding, part->hash, count);
        add_load(&loads[shard], part, named && seen[shard] != group);
        seen[shard] = group;
        break;
    case SS_INDEX_EVERY:
        for (shard = 0; shard < count; shard++) {
            add_load(&loads[shard], part, named && seen[shard] != group);
            seen[shard] = group;
        }
        break;
    case SS_INDEX_META: /* they are sorted behind the others */
        for (shard = 0; named && shard < count; shard++)
            if (seen[shard] == group)
                loads[shard].bytes += part->bytes;
        break;
    case SS_INDEX_LOOSE:
        add_load(&loads[0], part, false);
        break;
    case SS_INDEX_DROPPED:
        break;
    }
}

int
fall_loads(const struct fall *f, uint32_t count, struct load *loads)
{
    size_t group = 0, *seen = calloc(count, sizeof(*seen));
    if (!seen)
        return -ENOMEM;
    memset(loads, 0, count * sizeof(*loads));
    for (size_t i = 0; i < f->n; i++) {
        if (!i || f->parts[i].family.ptr != f->parts[i - 1].family.ptr)
            group++;
        place_part(f, &f->parts[i], group, count, loads, seen);
    }
    free(seen);
    return 0;
}

static int
drop_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    (void)ctx, (void)spans, (void)n;
    return 0;
}

int
fall_loads_exactly(const struct fall *f, uint32_t count, struct load *loads)
{
    struct progress progress = progress_begin("shards taken from the body");
    struct ss_sink sink = {drop_spans, NULL};
    int r = fall_loads(f, count, loads);

    for (uint32_t shard = 0; shard < count && !r && f->has_meta; shard++) {
        struct ss_filter_counts counts;
        struct ss_shards_error error;
        struct ss_shards *shards;
        char text[16];
        int n = snprintf(text, sizeof(text), "%u", shard);
        r = ss_shards_parse(&shards, (struct ss_span){text, (size_t)n}, count, &error);
        if (r)
            break;
        r = ss_index_select(f->index, shards, &sink, &counts);
        ss_shards_free(shards);
        loads[shard].bytes = counts.bytes_kept;
        progress_tell(&progress, shard, count);
    }
    progress_end(&progress);
    return r;
}

struct balance
balance_of(const struct load *loads, uint32_t count)
{
    struct balance b = {.count = count};
    double series = 0, bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        series += (double)loads[i].series;
        bytes += (double)loads[i].bytes;
        if (loads[i].series > b.most_series) {
            b.most_series = loads[i].series;
            b.fullest = i;
        }
        if (loads[i].bytes > b.most_bytes)
            b.most_bytes = loads[i].bytes;
    }
    b.mean_series = series / count;
    b.mean_bytes = bytes / count;
    b.by_series = series > 0 ? (double)b.most_series / b.mean_series : 1;
    b.by_bytes = bytes > 0 ? (double)b.most_bytes / b.mean_bytes : 1;
    return b;
}

/* Shares and moves. */

/* Puts a family that has come to its end among the largest. */
static size_t
rank(struct share *out, size_t found, size_t n, const struct share *share)
{
    size_t at = found;
    if (!share->series)
        return found;
    while (at && out[at - 1].series < share->series)
        at--;
    if (at == n)
        return found;
    if (found < n)
        found++;
    memmove(out + at + 1, out + at, (found - 1 - at) * sizeof(*out));
    out[at] = *share;
    return found;
}

size_t
fall_largest(const struct fall *f, uint32_t count, uint32_t shard, struct share *out, size_t n)
{
    struct share share = {no_family, 0, 0};
    size_t found = 0;

    for (size_t i = 0; i < f->n; i++) {
        const struct ss_index_part *p = &f->parts[i];
        if (share.family.ptr != p->family.ptr) {
            found = rank(out, found, n, &share);
            share = (struct share){p->family, 0, 0};
        }
        if (p->fate == SS_INDEX_EVERY ||
            (p->fate == SS_INDEX_HASHED && ss_sharding_place(f->config->sharding, p->hash, count) == shard)) {
            share.series += p->series;
            share.bytes += p->bytes;
        }
    }
    return rank(out, found, n, &share);
}

uint64_t
fall_moved(const struct fall *f, enum ss_placement placement, uint32_t from, uint32_t to)
{
    enum ss_hash function = (enum ss_hash)f->config->hash;
    uint64_t moved = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct ss_index_part *p = &f->parts[i];
        if (p->fate == SS_INDEX_HASHED &&
            ss_place(function, placement, p->hash, from) != ss_place(function, placement, p->hash, to))
            moved += p->series;
    }
    return moved;
}
