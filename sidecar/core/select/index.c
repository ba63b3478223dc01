/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps the record stream of a body. Only offsets are stored: with whole_families, the records are the body without
   gaps or repeats. */
#include "index_state.h"
#include "select.h"

#include <scrapeshard/index.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    /* Pages populated at once, in bytes. */
    POPULATE_AHEAD = 256 * 1024,
};

int
ss_index_new(struct ss_index **indexp, const struct ss_filter_settings *settings)
{
    struct ss_index *x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    int r = parser_init(&x->parser, settings, true);
    if (r)
        ss_index_free(x);
    else
        *indexp = x;
    return r;
}

static bool
extends_entry(const struct entry *entry, const struct record *record)
{
    const uint32_t family_flags = RECORD_FAMILY_BEGIN | RECORD_FAMILY_FIELD | RECORD_FAMILY_END;
    return entry->hash == record->hash && entry->flags == record->flags && entry->family == record->family &&
           entry->meta == record->meta && !(entry->flags & family_flags);
}

static int
take_record(void *ctx, const struct record *record)
{
    struct ss_index *x = ctx;
    size_t start = x->end;
    if (!parser_count(&x->parser, record))
        return 0;
    x->end += record->bytes.len;
    if (x->n && extends_entry(&x->entries[x->n - 1], record)) {
        x->entries[x->n - 1].series += record->series;
        return 0;
    }
    if (x->n == x->capacity) {
        size_t capacity = x->capacity ? 2 * x->capacity : 256;
        struct entry *entries = realloc(x->entries, capacity * sizeof(*entries));
        if (!entries)
            return -ENOMEM;
        x->entries = entries;
        x->capacity = capacity;
    }
    x->entries[x->n++] =
        (struct entry){start, record->hash, record->series, record->flags, record->family, record->meta};
    return 0;
}

static int
flush_records(void *ctx)
{
    (void)ctx;
    return 0;
}

/*
 * Populates the pages that the next bytes will fill, many at once: faulting each when it is touched takes nearly twice
 * as long. Only an optimisation: failures are ignored.
 */
static void
populate_pages(struct ss_index *x, size_t len)
{
#ifdef MADV_POPULATE_WRITE
    struct buffer *b = &x->bytes;
    if (b->len < POPULATE_AHEAD || b->len + len <= x->populated)
        return;
    size_t populated = b->len + len + POPULATE_AHEAD;
    x->populated = populated < b->capacity ? populated : b->capacity;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)b->ptr + b->len + page - 1) & -page, to = ((uintptr_t)b->ptr + x->populated) & -page;
    if (from < to)
        madvise((void *)from, to - from, MADV_POPULATE_WRITE);
#else
    (void)x, (void)len;
#endif
}

static int
add_bytes(struct ss_index *x, struct ss_span bytes)
{
    int r = buffer_reserve(&x->bytes, bytes.len);
    if (r)
        return r;
    populate_pages(x, bytes.len);
    buffer_put(&x->bytes, bytes);
    return 0;
}

int
ss_index_feed(struct ss_index *x, struct ss_span bytes)
{
    struct records records = {take_record, flush_records, x};
    int r = x->parser.failed;
    if (!r)
        r = add_bytes(x, bytes);
    return r ? r : parser_feed(&x->parser, bytes, &records);
}

int
ss_index_end(struct ss_index *x)
{
    struct records records = {take_record, flush_records, x};
    int r = parser_end(&x->parser, &records);
    if (!r && x->bytes.len) {
        /* The index may live for long, and half of its memory may be spare capacity. */
        char *fitted = realloc(x->bytes.ptr, x->bytes.len);
        if (fitted) {
            x->bytes.ptr = fitted;
            x->bytes.capacity = x->bytes.len;
        }
    }
    return r;
}

int
ss_index_build_shard_lists(struct ss_index *x, uint32_t count)
{
    if (x->lists.count == count)
        return 0;
    shard_lists_deinit(&x->lists);
    return shard_lists_init(&x->lists, x, count);
}

/* Checks every entry. */
static int
select_all(const struct ss_index *x, struct selection *selection)
{
    int r = 0;
    for (size_t i = 0; i < x->n && !r; i++) {
        const struct entry *e = &x->entries[i];
        struct record record = {entry_bytes(x, i), e->hash, e->flags, e->family, e->meta, e->series};
        r = selection_take(selection, &record);
    }
    return r;
}

int
ss_index_select(const struct ss_index *x, const struct ss_shards *shards, const struct ss_sink *sink,
                struct ss_filter_counts *counts)
{
    struct selection selection = {
        .shards = shards, .sharding = x->parser.resolver.sharding, .sink = sink, .borrows = true};
    const struct shard_lists *a = &x->lists;
    uint32_t shard;
    int r = 0;

    if (shards && ss_shards_count(shards) == a->count && ss_shards_is_one(shards, &shard))
        r = shard_lists_select(a, x, shard, &selection);
    else
        r = select_all(x, &selection);
    if (!r)
        r = selection_flush(&selection);
    *counts = selection.counts;
    counts->bytes_seen = x->bytes.len;
    selection_deinit(&selection);
    return r;
}

static enum ss_index_route
route_of(uint32_t flags)
{
    return flags & RECORD_UNKEYED              ? SS_INDEX_UNKEYED
           : flags & RECORD_ALL                ? SS_INDEX_ALL
           : flags & RECORD_DROPPED            ? SS_INDEX_NONE
           : flags & ~(uint32_t)RECORD_UNKEYED ? SS_INDEX_METADATA
                                               : SS_INDEX_BY_HASH;
}

void
ss_index_visit(const struct ss_index *x, void (*visit)(void *ctx, const struct ss_index_part *part), void *ctx)
{
    for (size_t i = 0; i < x->n; i++) {
        const struct entry *e = &x->entries[i];
        struct ss_index_part part = {{"", 0}, route_of(e->flags), e->hash, e->series, entry_bytes(x, i).len};
        if (e->family)
            part.family = x->parser.resolver.families.names.items[e->family].name;
        if (part.bytes)
            visit(ctx, &part);
    }
}

bool
ss_index_ends_whole(const struct ss_index *x)
{
    return x->parser.format->ends_whole(x->parser.state);
}

const struct ss_filter_error *
ss_index_error(const struct ss_index *x)
{
    return x->parser.error.condition ? &x->parser.error : NULL;
}

size_t
ss_index_largest(const struct ss_index *x, struct ss_family_count *out, size_t n)
{
    return n ? families_largest(&x->parser.resolver.families, out, n) : 0;
}

void
ss_index_families(const struct ss_index *x, void (*visit)(void *ctx, const struct ss_family_count *family), void *ctx)
{
    families_visit(&x->parser.resolver.families, visit, ctx);
}

const char *
ss_index_format(const struct ss_index *x)
{
    return x->parser.format->name;
}

uint64_t
ss_index_series(const struct ss_index *x)
{
    return x->parser.series;
}

struct ss_span
ss_index_body(const struct ss_index *x)
{
    return buffer_span(&x->bytes);
}

size_t
ss_index_memory(const struct ss_index *x)
{
    /* Of the spare capacity at most POPULATE_AHEAD has pages. */
    return sizeof(*x) + x->bytes.len + x->parser.held + x->n * sizeof(*x->entries) +
           families_bytes(&x->parser.resolver.families) + shard_lists_memory(&x->lists);
}

void
ss_index_free(struct ss_index *x)
{
    if (!x)
        return;
    parser_deinit(&x->parser);
    buffer_deinit(&x->bytes);
    free(x->entries);
    shard_lists_deinit(&x->lists);
    free(x);
}
