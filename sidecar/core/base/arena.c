/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    alignas(max_align_t) char bytes[];
};

void *
arena_alloc(struct arena *a, size_t size)
{
    size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (!a->blocks || a->blocks->size - a->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        struct arena_block *block = malloc(sizeof(*block) + room);
        if (!block)
            return NULL;
        block->next = a->blocks;
        block->size = room;
        a->blocks = block;
        a->used = 0;
    }
    void *taken = a->blocks->bytes + a->used;
    a->used += size;
    a->bytes += size;
    return taken;
}

struct ss_span
arena_copy(struct arena *a, struct ss_span bytes)
{
    char *copy = arena_alloc(a, bytes.len ? bytes.len : 1);
    if (copy && bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return (struct ss_span){copy, bytes.len};
}

void
arena_deinit(struct arena *a)
{
    for (struct arena_block *block = a->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    *a = (struct arena){NULL, 0, 0};
}
