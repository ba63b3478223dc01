/* SPDX-License-Identifier: Apache-2.0 */
#include "select.h"

static int
selection_settle(void *ctx)
{
    struct selection *s = ctx;
    size_t n = s->n;
    s->n = 0;
    return n ? s->sink->take(s->sink->ctx, s->spans, n) : 0;
}

/* The verdict on a record with a key; the same key as before has the same verdict as before. */
static bool
selection_wants(struct selection *s, uint64_t hash)
{
    if (s->counts.families_seen && hash == s->last_hash)
        return s->last_kept;
    s->last_hash = hash;
    s->last_kept =
        !s->shards || ss_shards_has(s->shards, ss_place(s->hash, s->placement, hash, ss_shards_count(s->shards)));
    s->counts.families_seen++;
    s->counts.families_kept += s->last_kept;
    return s->last_kept;
}

static int
selection_keep(struct selection *s, struct ss_span bytes)
{
    s->counts.bytes_kept += bytes.len;
    if (s->n) {
        struct ss_span *last = &s->spans[s->n - 1];
        if (last->ptr + last->len == bytes.ptr) {
            last->len += bytes.len;
            return 0;
        }
    }
    if (s->n == LIMIT_SPANS) {
        int r = selection_settle(s);
        if (r)
            return r;
    }
    s->spans[s->n++] = bytes;
    return 0;
}

static int
selection_take(void *ctx, const struct record *record)
{
    struct selection *s = ctx;
    bool wanted;

    if (record->flags & RECORD_EVERY)
        wanted = true;
    else if (record->flags & RECORD_LOOSE)
        wanted = !s->shards || ss_shards_has(s->shards, 0);
    else
        wanted = selection_wants(s, record->hash);

    s->counts.series_seen += record->series;
    if (!wanted)
        return 0;
    s->counts.series_kept += record->series;
    return selection_keep(s, record->bytes);
}

struct records
selection_records(struct selection *selection)
{
    return (struct records){selection_take, selection_settle, selection};
}
