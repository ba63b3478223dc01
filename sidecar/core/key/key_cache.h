/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_KEY_CACHE_H
#define CORE_KEY_CACHE_H
/* See scrapeshard/key_cache.h. What is remembered of a body does not change while filters read it; a body that differs
   much from it is recorded, and replaces it if it ends well. */
#include "core/base/buffer.h"

#include <scrapeshard/key_cache.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct cached_key {
    size_t start; /* of its bytes */
    size_t len;
    uint64_t hash;
};

struct key_recording {
    unsigned references;
    struct buffer bytes;
    struct cached_key *items;
    size_t n, capacity;
    bool full; /* there was no room for more */
};

/* The position of one body in what is remembered. Zeroed, it has no cache. */
struct key_cursor {
    struct ss_key_cache *cache;
    struct key_recording *known; /* what is remembered, or NULL */
    size_t next;                 /* the item that is expected next */
    struct key_recording *own;   /* of this body, or NULL */
    size_t hits, misses;
};

/* Starts a body. cache may be NULL. */
void key_cursor_init(struct key_cursor *cursor, struct ss_key_cache *cache);

/* A series is not among the items, and could be. */
void key_cursor_missed(struct key_cursor *cursor);

/* Looks around the expected item. Returns the item, or NULL. */
const struct cached_key *key_cursor_search(struct key_cursor *cursor, struct ss_span line);

static inline bool
cached_key_matches(const struct key_recording *r, const struct cached_key *item, struct ss_span line)
{
    return item->len < line.len && !memcmp(r->bytes.ptr + item->start, line.ptr, item->len);
}

/* The item that the rest of a line starts with, or NULL. */
static inline const struct cached_key *
key_cursor_find(struct key_cursor *c, struct ss_span line)
{
    const struct key_recording *r = c->known;
    if (!r)
        return NULL;
    if (c->next < r->n && cached_key_matches(r, &r->items[c->next], line)) {
        c->hits++;
        return &r->items[c->next++];
    }
    return key_cursor_search(c, line);
}

/* Whether this body is recorded. */
static inline bool
key_cursor_records(const struct key_cursor *c)
{
    return c->own;
}

/* Records a series of this body; key_cursor_records(). Out of memory it is not recorded. */
void key_cursor_record(struct key_cursor *cursor, struct ss_span bytes, uint64_t hash);

/* Ends the body; whole: it ended well. */
void key_cursor_end(struct key_cursor *cursor, bool whole);

#endif
