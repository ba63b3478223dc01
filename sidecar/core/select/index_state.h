/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INDEX_STATE_H
#define CORE_INDEX_STATE_H
/* The records of an index: index.c makes them, shard_lists.c sorts them by shard. Private to these two. */
#include "core/base/buffer.h"
#include "core/parse/parser.h"
#include "shard_lists.h"

/* A record, or several adjacent ones with the same route. */
struct entry {
    size_t begin; /* in the body; it ends where the next starts */
    uint64_t hash, series;
    uint32_t flags, family, meta;
};

struct ss_index {
    struct parser parser;
    struct buffer bytes;
    size_t populated; /* how much of their capacity has pages, as far as requested */
    struct entry *entries;
    size_t n, capacity, end; /* end: of the last entry */
    struct shard_lists lists;
};

static inline struct ss_span
entry_bytes(const struct ss_index *x, size_t i)
{
    size_t begin = x->entries[i].begin, end = i + 1 < x->n ? x->entries[i + 1].begin : x->end;
    return (struct ss_span){x->bytes.ptr + begin, end - begin};
}

#endif
