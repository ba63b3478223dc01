/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SHARD_LISTS_H
#define CORE_SHARD_LISTS_H
/* An index's entries by the shards of one count: who asks for one shard then need not look at what others have. */
#include "select.h"

#include <scrapeshard/filter.h>

#include <stddef.h>
#include <stdint.h>

struct ss_index;

/* Zeroed is none; to be freed with shard_lists_deinit(). */
struct shard_lists {
    uint32_t count; /* of the shards; 0: there is none */
    uint32_t *ends; /* of each shard's items, which begin where those of the one before end */
    uint32_t *kept; /* how many families each shard has */
    struct listed_entry *items;
    size_t n;
    struct ss_filter_counts seen; /* what every selection has seen */
};

/* Makes it, if the entries can be told by their shards alone and it takes no more memory than they. 0 or -ENOMEM. */
int shard_lists_init(struct shard_lists *lists, const struct ss_index *index, uint32_t count);

/* As ss_index_select(), of one shard. */
int shard_lists_select(const struct shard_lists *lists, const struct ss_index *index, uint32_t shard,
                       struct selection *selection);

size_t shard_lists_memory(const struct shard_lists *lists);

void shard_lists_deinit(struct shard_lists *lists);

#endif
