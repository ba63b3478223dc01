/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of plan: what each shard has under a count. */
#include "plan.h"

#include "progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ss_filter_settings
plan_settings(const struct config *config, const char *content_type)
{
    struct ss_filter_settings s = ss_filter_settings_default();
    s.content_type = content_type;
    s.sharding = config->sharding;
    s.count_families = true;
    s.max_line = SIZE_MAX;
    s.max_families = UINT64_MAX; /* count each by name */
    return s;
}

/* The parts. */

static const struct ss_span no_family = {"", 0};

static void
take_part(void *ctx, const struct ss_index_part *part)
{
    struct plan_distribution *f = ctx;
    f->series += part->series;
    if (part->route == SS_INDEX_ALL)
        f->replicated += part->series;
    if (part->route == SS_INDEX_NONE)
        f->dropped += part->series;
    f->has_meta |= part->route == SS_INDEX_METADATA;
    if (f->n == f->capacity) {
        size_t capacity = f->capacity ? 2 * f->capacity : 1024;
        struct ss_index_part *parts = realloc(f->parts, capacity * sizeof(*parts));
        if (!parts) {
            f->out_of_memory = true;
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
        r = compare(x->route, y->route);
    return r ? r : compare(x->hash, y->hash);
}

/* Merges the parts of the same family, route and hash. */
static void
merge_parts(struct plan_distribution *f)
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
plan_distribution_init(struct plan_distribution *f, const struct ss_index *index, const struct config *config)
{
    *f = (struct plan_distribution){.config = config, .index = index};
    ss_index_visit(index, take_part, f);
    f->bytes = ss_index_body(index).len; /* in protobuf the parts may count a few bytes twice */
    if (f->n)
        merge_parts(f);
    return f->out_of_memory ? -ENOMEM : 0;
}

void
plan_distribution_deinit(struct plan_distribution *f)
{
    free(f->parts);
}

/* Loads. */

static void
add_load(struct shard_load *load, const struct ss_index_part *part, bool is_new_family)
{
    load->series += part->series;
    load->bytes += part->bytes;
    load->families += is_new_family;
}

/* Adds a part to its shards. A group is the parts of one family, counted from 1; seen has the last group of each shard.
 */
static void
add_part(const struct plan_distribution *f, const struct ss_index_part *part, size_t group, uint32_t count,
         struct shard_load *loads, size_t *seen)
{
    uint32_t shard;
    bool named = part->family.len;

    switch (part->route) {
    case SS_INDEX_BY_HASH:
        shard = ss_sharding_place(f->config->sharding, part->hash, count);
        add_load(&loads[shard], part, named && seen[shard] != group);
        seen[shard] = group;
        break;
    case SS_INDEX_ALL:
        for (shard = 0; shard < count; shard++) {
            add_load(&loads[shard], part, named && seen[shard] != group);
            seen[shard] = group;
        }
        break;
    case SS_INDEX_METADATA: /* sorted after the other routes */
        for (shard = 0; named && shard < count; shard++)
            if (seen[shard] == group)
                loads[shard].bytes += part->bytes;
        break;
    case SS_INDEX_UNKEYED:
        add_load(&loads[0], part, false);
        break;
    case SS_INDEX_NONE:
        break;
    }
}

int
plan_distribution_loads(const struct plan_distribution *f, uint32_t count, struct shard_load *loads)
{
    size_t group = 0, *seen = calloc(count, sizeof(*seen));
    if (!seen)
        return -ENOMEM;
    memset(loads, 0, count * sizeof(*loads));
    for (size_t i = 0; i < f->n; i++) {
        if (!i || f->parts[i].family.ptr != f->parts[i - 1].family.ptr)
            group++;
        add_part(f, &f->parts[i], group, count, loads, seen);
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
plan_distribution_loads_exact(const struct plan_distribution *f, uint32_t count, struct shard_load *loads)
{
    struct progress progress = progress_start("shards selected");
    struct ss_sink sink = {drop_spans, NULL};
    int r = plan_distribution_loads(f, count, loads);

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
        progress_update(&progress, shard, count);
    }
    progress_end(&progress);
    return r;
}

/* Largest families and moves. */

/* Inserts a family whose parts are all counted, if it is among the n largest. Returns how many there are. */
static size_t
insert_largest(struct family_load *out, size_t found, size_t n, const struct family_load *load)
{
    size_t at = found;
    if (!load->series)
        return found;
    while (at && out[at - 1].series < load->series)
        at--;
    if (at == n)
        return found;
    if (found < n)
        found++;
    memmove(out + at + 1, out + at, (found - 1 - at) * sizeof(*out));
    out[at] = *load;
    return found;
}

size_t
plan_distribution_largest(const struct plan_distribution *f, uint32_t count, uint32_t shard, struct family_load *out,
                          size_t n)
{
    struct family_load load = {no_family, 0, 0};
    size_t found = 0;

    for (size_t i = 0; i < f->n; i++) {
        const struct ss_index_part *p = &f->parts[i];
        if (load.family.ptr != p->family.ptr) {
            found = insert_largest(out, found, n, &load);
            load = (struct family_load){p->family, 0, 0};
        }
        if (p->route == SS_INDEX_ALL ||
            (p->route == SS_INDEX_BY_HASH && ss_sharding_place(f->config->sharding, p->hash, count) == shard)) {
            load.series += p->series;
            load.bytes += p->bytes;
        }
    }
    return insert_largest(out, found, n, &load);
}

uint64_t
plan_distribution_moved(const struct plan_distribution *f, enum ss_placement placement, uint32_t from, uint32_t to)
{
    enum ss_hash function = (enum ss_hash)f->config->hash;
    uint64_t moved = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct ss_index_part *p = &f->parts[i];
        if (p->route == SS_INDEX_BY_HASH &&
            ss_place(function, placement, p->hash, from) != ss_place(function, placement, p->hash, to))
            moved += p->series;
    }
    return moved;
}

/* The load of a fleet. */

static double
seconds(const struct plan *p)
{
    return (double)p->interval / 1000;
}

struct cost
plan_cost_before(const struct plan *p, uint64_t body)
{
    double one = (double)p->targets * (double)body / seconds(p);
    return (struct cost){one * p->cli.count, one, one};
}

struct cost
plan_cost_after(const struct plan *p, double mean, uint64_t most)
{
    double one = (double)p->targets * mean / seconds(p);
    return (struct cost){one * p->cli.count, one, (double)p->targets * (double)most / seconds(p)};
}
