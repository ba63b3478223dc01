/* SPDX-License-Identifier: Apache-2.0 */
#include "select.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct waiting_line {
    struct ss_span bytes;
    struct waiting_line *next;
};

/* Out. */

int
selection_flush(struct selection *s)
{
    size_t n = s->n;
    s->n = 0;
    return n ? s->sink->take(s->sink->ctx, s->spans, n) : 0;
}

int
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
    if (s->n == CORE_MAX_SPANS) {
        int r = selection_flush(s);
        if (r)
            return r;
    }
    s->spans[s->n++] = bytes;
    return 0;
}

/* Whether a requested shard has the hash; the last result is cached. */
static bool
has_hash(struct selection *s, uint64_t hash)
{
    if (s->last_hash != hash || !s->has_last) {
        s->has_last = true;
        s->last_hash = hash;
        s->last_wanted = ss_shards_has(s->shards, ss_sharding_place(s->sharding, hash, ss_shards_count(s->shards)));
    }
    return s->last_wanted;
}

static bool
wants(struct selection *s, const struct record *record)
{
    if (record->flags & RECORD_DROPPED)
        return false;
    if (!s->shards || record->flags & RECORD_ALL)
        return true;
    return record->flags & RECORD_UNKEYED ? ss_shards_has(s->shards, 0) : has_hash(s, record->hash);
}

/* Metadata. */

/* The waiting metadata of a family; NULL: out of memory. */
static struct waiting *
waiting_of(struct selection *s, uint32_t meta)
{
    if (meta >= s->n_waiting) {
        uint32_t n = meta < 64 ? 128 : 2 * meta;
        struct waiting *waiting = realloc(s->waiting, n * sizeof(*waiting));
        if (!waiting)
            return NULL;
        memset(waiting + s->n_waiting, 0, (n - s->n_waiting) * sizeof(*waiting));
        s->waiting = waiting;
        s->n_waiting = n;
    }
    return &s->waiting[meta];
}

static int
take_meta(struct selection *s, const struct record *record)
{
    struct waiting *waiting = waiting_of(s, record->meta);
    if (!waiting)
        return -ENOMEM;
    if (waiting->kept || (record->flags & RECORD_AT_HASH && has_hash(s, record->hash)))
        return selection_keep(s, record->bytes);
    struct waiting_line *line = arena_alloc(&s->arena, sizeof(*line));
    struct ss_span bytes = s->borrows ? record->bytes : arena_copy(&s->arena, record->bytes);
    if (!line || !bytes.ptr)
        return -ENOMEM;
    *line = (struct waiting_line){bytes, NULL};
    if (waiting->last)
        waiting->last->next = line;
    else
        waiting->first = line;
    waiting->last = line;
    return 0;
}

/* Keeps the metadata that were waiting for a sample of this family. */
static int
keep_waiting(struct selection *s, uint32_t meta)
{
    struct waiting *waiting = waiting_of(s, meta);
    if (!waiting)
        return -ENOMEM;
    struct waiting_line *line = waiting->first;
    *waiting = (struct waiting){NULL, NULL, true};
    for (; line; line = line->next) {
        int r = selection_keep(s, line->bytes);
        if (r)
            return r;
    }
    return 0;
}

/* Split families. */

static int
open_family_add(struct open_family *f, struct ss_span bytes)
{
    f->bytes += bytes.len;
    if (f->n && f->spans[f->n - 1].ptr + f->spans[f->n - 1].len == bytes.ptr) {
        f->spans[f->n - 1].len += bytes.len;
        return 0;
    }
    if (f->n == f->capacity) {
        size_t capacity = f->n ? 2 * f->n : 64;
        struct ss_span *spans = realloc(f->spans, capacity * sizeof(*spans));
        if (!spans)
            return -ENOMEM;
        f->spans = spans;
        f->capacity = capacity;
    }
    f->spans[f->n++] = bytes;
    return 0;
}

/* Starts a part. */
static void
open_family_start(struct selection *s, const struct record *record)
{
    struct open_family *f = &s->open_family;
    bool everywhere = !s->shards || record->flags & RECORD_ALL;
    bool in_any_case = everywhere || (record->flags & RECORD_AT_HASH && has_hash(s, record->hash));
    bool first = record->bytes.len;
    f->open = true;
    f->wanted = first && in_any_case;
    f->family_wanted = first ? in_any_case : f->family_wanted;
    f->written_length = record->bytes;
    f->n = f->bytes = 0;
}

/* The length of a part: as the body has it if nothing is left out. */
static struct ss_span
open_family_length(struct open_family *f)
{
    struct wire written = wire_of(f->written_length);
    if (f->written_length.len && wire_varint(&written) == f->bytes)
        return f->written_length;
    return (struct ss_span){f->length, wire_put_varint(f->length, f->bytes)};
}

/* Emits the part with its length if any of its metrics is wanted. */
static int
open_family_close(struct selection *s)
{
    struct open_family *f = &s->open_family;
    f->open = false;
    if (!f->wanted)
        return 0;
    int r = selection_keep(s, open_family_length(f));
    for (size_t i = 0; i < f->n && !r; i++)
        r = selection_keep(s, f->spans[i]);
    /* The next part writes its length to the same place. */
    return r ? r : selection_flush(s);
}

static int
take_family(struct selection *s, const struct record *record)
{
    struct open_family *f = &s->open_family;
    if (record->flags & RECORD_FAMILY_BEGIN)
        f->rewritten = s->shards || record->flags & RECORD_PARTIAL;
    /* If everything is wanted, the body passes unchanged. */
    if (!f->rewritten)
        return record->flags & RECORD_REPEATED || !record->bytes.len ? 0 : selection_keep(s, record->bytes);
    if (record->flags & RECORD_FAMILY_BEGIN) {
        open_family_start(s, record);
        return 0;
    }
    if (record->flags & RECORD_FAMILY_FIELD)
        f->wanted |= f->family_wanted && !(record->flags & RECORD_REPEATED);
    return record->flags & RECORD_FAMILY_END ? open_family_close(s) : open_family_add(f, record->bytes);
}

/* In. */

enum { FAMILY_SEEN = 1, FAMILY_KEPT = 2 };

/* The flags of a numbered family; NULL: out of memory. */
static unsigned char *
family_of(struct selection *s, uint32_t number)
{
    if (number >= s->n_families) {
        uint32_t n = number < 256 ? 512 : 2 * number;
        unsigned char *families = realloc(s->families, n);
        if (!families)
            return NULL;
        memset(families + s->n_families, 0, n - s->n_families);
        s->families = families;
        s->n_families = n;
    }
    return &s->families[number];
}

/* A family other than that of the last record. A numbered one counts once, however often it reappears. */
static int
start_family(struct selection *s, const struct record *record)
{
    unsigned char *known = record->family ? family_of(s, record->family) : NULL;
    if (record->family && !known)
        return -ENOMEM;
    s->family_counted = known && *known & FAMILY_KEPT;
    s->counts.families_seen += !known || !(*known & FAMILY_SEEN);
    if (known)
        *known |= FAMILY_SEEN;
    return 0;
}

/* Records without a family have neither a number nor a hash. */
static int
count_families(struct selection *s, const struct record *record, bool wanted)
{
    uint64_t family = record->family ? record->family : record->hash;
    int r = 0;
    if (!family)
        return 0;
    if (family != s->last_family) {
        s->last_family = family;
        r = start_family(s, record);
    }
    if (r || !wanted || s->family_counted)
        return r;
    s->counts.families_kept++;
    s->family_counted = true;
    if (record->family)
        s->families[record->family] |= FAMILY_KEPT;
    return 0;
}

int
selection_take(struct selection *s, const struct record *record)
{
    if (record->flags & (RECORD_FAMILY_BEGIN | RECORD_FAMILY_FIELD | RECORD_FAMILY_END))
        return take_family(s, record);
    if (record->flags & RECORD_METADATA && s->shards)
        return take_meta(s, record);
    bool wanted = wants(s, record);
    int r = count_families(s, record, wanted);
    s->counts.series_seen += record->series;
    if (r || !wanted)
        return r;
    s->counts.series_kept += record->series;
    if (s->open_family.open) {
        s->open_family.wanted = s->open_family.family_wanted = true;
        return open_family_add(&s->open_family, record->bytes);
    }
    r = record->meta ? keep_waiting(s, record->meta) : 0;
    return r ? r : selection_keep(s, record->bytes);
}

void
selection_deinit(struct selection *s)
{
    arena_deinit(&s->arena);
    free(s->waiting);
    free(s->families);
    free(s->open_family.spans);
}
