/* SPDX-License-Identifier: Apache-2.0 */
#include "key_cache.h"

#include <errno.h>
#include <stdlib.h>

enum {
    /* Series that may be missing in a row before those that follow are not found: more are read again each time. */
    LOOK_AHEAD = 4,
    /* A body is recorded again if more than one series in 16 differs. */
    MISSES_MAX = 16,
    /* Once the series that differ are this many more than the others, the rest of the body is not looked up. */
    LOST_AFTER = 64,
    /* While bodies keep changing, up to this many pass before the next is recorded. */
    WAIT_MAX = 64,
};

struct ss_key_cache {
    struct key_recording *known; /* NULL: none yet */
    bool is_outdated;            /* by the last body */
    bool is_recording;           /* a body is being recorded: no other is */
    unsigned wait, next_wait;    /* bodies before the next is recorded, now and when that is outdated as well */
    size_t max_bytes;
};

int
ss_key_cache_new(struct ss_key_cache **cachep, size_t max_bytes)
{
    struct ss_key_cache *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->max_bytes = max_bytes;
    c->is_outdated = true;
    *cachep = c;
    return 0;
}

static size_t
recording_memory(const struct key_recording *r)
{
    return r->bytes.capacity + r->capacity * sizeof(*r->items);
}

size_t
ss_key_cache_memory(const struct ss_key_cache *c)
{
    return sizeof(*c) + (c->known ? recording_memory(c->known) : 0);
}

static void
recording_unref(struct key_recording *r)
{
    if (!r || --r->references)
        return;
    buffer_deinit(&r->bytes);
    free(r->items);
    free(r);
}

void
ss_key_cache_free(struct ss_key_cache *c)
{
    if (!c)
        return;
    recording_unref(c->known);
    free(c);
}

void
key_cursor_init(struct key_cursor *cursor, struct ss_key_cache *cache)
{
    *cursor = (struct key_cursor){.cache = cache};
    if (!cache)
        return;
    if (cache->known) {
        cursor->known = cache->known;
        cursor->known->references++;
    }
    if (!cache->is_outdated || cache->is_recording)
        return;
    if (cache->wait) {
        cache->wait--;
        return;
    }
    cursor->own = calloc(1, sizeof(*cursor->own));
    if (!cursor->own)
        return;
    cursor->own->references = 1;
    cache->is_recording = true;
}

static void
forget_known(struct key_cursor *c)
{
    recording_unref(c->known);
    c->known = NULL;
}

const struct cached_key *
key_cursor_search(struct key_cursor *c, struct ss_span line)
{
    const struct key_recording *r = c->known;
    /* The samples of a histogram have the same labels, which are recorded once. */
    size_t first = c->next ? c->next - 1 : 0, end = c->next + LOOK_AHEAD < r->n ? c->next + LOOK_AHEAD : r->n;
    for (size_t i = first; i < end; i++) {
        if (i != c->next && cached_key_matches(r, &r->items[i], line)) {
            c->next = i + 1;
            c->hits++;
            return &r->items[i];
        }
    }
    return NULL;
}

void
key_cursor_missed(struct key_cursor *c)
{
    const struct key_recording *r = c->known;
    if (r && (c->next < r->n || !r->full))
        c->misses++;
    if (r && c->misses > c->hits + LOST_AFTER)
        forget_known(c);
}

static int
reserve_item(struct key_recording *r)
{
    if (r->n < r->capacity)
        return 0;
    size_t capacity = r->capacity ? 2 * r->capacity : 256;
    struct cached_key *items = realloc(r->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    r->items = items;
    r->capacity = capacity;
    return 0;
}

void
key_cursor_record(struct key_cursor *c, struct ss_span bytes, uint64_t hash)
{
    struct key_recording *r = c->own;
    if (r->n) {
        const struct cached_key *last = &r->items[r->n - 1];
        if (spans_equal((struct ss_span){r->bytes.ptr + last->start, last->len}, bytes))
            return;
    }
    if (r->full || r->bytes.len + bytes.len + (r->n + 1) * sizeof(*r->items) > c->cache->max_bytes) {
        r->full = true;
        return;
    }
    size_t start = r->bytes.len;
    if (!reserve_item(r) && !buffer_add(&r->bytes, bytes))
        r->items[r->n++] = (struct cached_key){start, bytes.len, hash};
}

/* Returns spare capacity. */
static void
recording_fit(struct key_recording *r)
{
    char *bytes = r->bytes.len ? realloc(r->bytes.ptr, r->bytes.len) : NULL;
    struct cached_key *items = r->n ? realloc(r->items, r->n * sizeof(*items)) : NULL;
    if (bytes) {
        r->bytes.ptr = bytes;
        r->bytes.capacity = r->bytes.len;
    }
    if (items) {
        r->items = items;
        r->capacity = r->n;
    }
}

/* What was recorded was of no use. */
static void
wait_longer(struct ss_key_cache *c)
{
    c->wait = c->next_wait;
    c->next_wait = !c->wait ? 1 : c->wait < WAIT_MAX ? 2 * c->wait : WAIT_MAX;
}

void
key_cursor_end(struct key_cursor *c, bool whole)
{
    struct ss_key_cache *cache = c->cache;
    if (!cache)
        return;
    if (c->own && whole) {
        recording_fit(c->own);
        recording_unref(cache->known);
        cache->known = c->own;
        c->own = NULL;
        cache->is_recording = cache->is_outdated = false;
    } else if (c->own) {
        cache->is_recording = false;
        recording_unref(c->own);
    } else if (whole && c->misses > (c->hits + c->misses) / MISSES_MAX) {
        if (!cache->is_outdated)
            wait_longer(cache);
        cache->is_outdated = true;
    } else if (whole && c->hits) {
        cache->next_wait = 0;
    }
    forget_known(c);
    *c = (struct key_cursor){.cache = NULL};
}
