/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SHARD_LISTS_H
#define CORE_SHARD_LISTS_H
/* The entries of an index, listed by shard for one shard count: selecting one shard then does not touch the entries
   of others. */
#include "select.h"

#include <scrapeshard/filter.h>

#include <stddef.h>
#include <stdint.h>

struct ss_index;

/* Zeroed is empty; free with shard_lists_deinit(). */
struct shard_lists {
    uint32_t count; /* shard count; 0: no lists */
    uint32_t *ends; /* ends of each shard's items, which start where those of the one before end */
    uint32_t *kept; /* number of families that each shard has */
    struct listed_entry *items;
    size_t n;
    struct ss_filter_counts seen; /* what every selection counts as seen */
};

/* Builds the lists if entries can be selected independently and the lists take no more memory than they do. 0 or
   -ENOMEM. */
int shard_lists_init(struct shard_lists *lists, const struct ss_index *index, uint32_t count);

/* As ss_index_select(), for one shard. */
int shard_lists_select(const struct shard_lists *lists, const struct ss_index *index, uint32_t shard,
                       struct selection *selection);

size_t shard_lists_memory(const struct shard_lists *lists);

void shard_lists_deinit(struct shard_lists *lists);

#endif
