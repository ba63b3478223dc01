/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_NAME_TABLE_H
#define CORE_NAME_TABLE_H
/* Names, numbered from 1 in order of insertion; 0 is no name. Zeroed is empty; free with name_table_deinit(). */
#include "arena.h"

#include <stdint.h>

struct name_table_item {
    struct ss_span name;
    uint64_t hash; /* for internal use */
};

struct name_table {
    struct name_table_item *items; /* by number; the first is unused */
    uint32_t n, capacity;
    uint32_t *slots;  /* numbers, or 0 */
    uint32_t n_slots; /* a power of two */
    struct arena arena;
};

/* The number of a name, or 0. */
uint32_t name_table_find(const struct name_table *names, struct ss_span name);

/* The same, but adds a copy of the name if it is missing. 0 and *numberp, or -ENOMEM. */
int name_table_add(struct name_table *names, struct ss_span name, uint32_t *numberp);

/* The memory used, in bytes. */
size_t name_table_bytes(const struct name_table *names);

/* Removes all names and frees the memory. */
void name_table_deinit(struct name_table *names);

#endif
