/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H
/* Memory allocated piece by piece and freed all at once. Zeroed is empty; free with arena_deinit(). */
#include <scrapeshard/span.h>

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used;  /* in the first block */
    size_t bytes; /* allocated in total */
};

/* Memory for size bytes, aligned for any object; it never moves. NULL: out of memory. */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy of the bytes; ptr is NULL if out of memory. */
struct ss_span arena_copy(struct arena *arena, struct ss_span bytes);

/* Frees everything; the arena is empty afterwards. */
void arena_deinit(struct arena *arena);

#endif
