/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H
/* Memory that is given out piece by piece and freed as one. Zeroed is empty; to be freed with arena_deinit(). */
#include <scrapeshard/span.h>

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used;  /* of the first block */
    size_t bytes; /* given out in all */
};

/* Memory for size bytes, aligned for any object; it never moves. NULL: there is none. */
void *arena_take(struct arena *arena, size_t size);

/* A copy of the bytes; its ptr is NULL if there is no memory. */
struct ss_span arena_copy(struct arena *arena, struct ss_span bytes);

/* Frees all that was given out; the arena is empty then. */
void arena_deinit(struct arena *arena);

#endif
