/* SPDX-License-Identifier: Apache-2.0 */
#include "name_table.h"

#include "buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CAPACITY_MIN = 64 };

static uint64_t
hash_of(struct ss_span name)
{
    return XXH3_64bits(name.ptr, name.len);
}

/* The slot of a name: the one that holds it, or the empty one where it belongs. */
static uint32_t *
slot_of(const struct name_table *n, struct ss_span name, uint64_t hash)
{
    uint32_t mask = n->n_slots - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        const struct name_table_item *item = &n->items[n->slots[i]];
        if (!n->slots[i] || (item->hash == hash && spans_equal(item->name, name)))
            return &n->slots[i];
    }
}

uint32_t
name_table_find(const struct name_table *n, struct ss_span name)
{
    return n->n ? *slot_of(n, name, hash_of(name)) : 0;
}

/* Makes room for one more name; at least half of the slots stay empty. */
static int
grow(struct name_table *n)
{
    if (n->n + 1 < n->capacity)
        return 0;
    uint32_t capacity = n->capacity ? 2 * n->capacity : CAPACITY_MIN, n_slots = 2 * capacity;
    uint32_t *slots = calloc(n_slots, sizeof(*slots));
    struct name_table_item *items = slots ? realloc(n->items, capacity * sizeof(*items)) : NULL;
    if (!items) {
        free(slots);
        return -ENOMEM;
    }
    items[0] = (struct name_table_item){{"", 0}, 0};
    free(n->slots);
    n->items = items;
    n->slots = slots;
    n->n_slots = n_slots;
    n->capacity = capacity;
    for (uint32_t i = 1; i <= n->n; i++)
        *slot_of(n, items[i].name, items[i].hash) = i;
    return 0;
}

int
name_table_add(struct name_table *n, struct ss_span name, uint32_t *numberp)
{
    uint64_t hash = hash_of(name);
    int r = grow(n);
    if (r)
        return r;
    uint32_t *slot = slot_of(n, name, hash);
    if (!*slot) {
        struct ss_span copy = arena_copy(&n->arena, name);
        if (!copy.ptr)
            return -ENOMEM;
        n->items[++n->n] = (struct name_table_item){copy, hash};
        *slot = n->n;
    }
    *numberp = *slot;
    return 0;
}

size_t
name_table_bytes(const struct name_table *n)
{
    return n->arena.bytes + n->capacity * sizeof(*n->items) + n->n_slots * sizeof(*n->slots);
}

void
name_table_deinit(struct name_table *n)
{
    free(n->items);
    free(n->slots);
    arena_deinit(&n->arena);
    *n = (struct name_table){.n = 0};
}
