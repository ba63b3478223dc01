/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_INDEX_STATE_H
#define CORE_INDEX_STATE_H
/* An index's records: index.c makes them, arrangement.c puts them in another order. For these two alone. */
#include "core/base/buffer.h"
#include "parser.h"
#include "shard_lists.h"

/* A record, or several that follow each other and share their fate. */
struct entry {
    size_t begin; /* in the body; it ends where the next begins */
    uint64_t hash, series;
    uint32_t flags, family, meta;
};

struct ss_index {
    struct parser parser;
    struct buffer bytes;
    size_t ahead; /* what of their room has its pages, as far as it was asked for */
    struct entry *entries;
    size_t n, capacity, end; /* end: of the last */
    struct shard_lists lists;
};

static inline struct ss_span
entry_bytes(const struct ss_index *x, size_t i)
{
    size_t begin = x->entries[i].begin, end = i + 1 < x->n ? x->entries[i + 1].begin : x->end;
    return (struct ss_span){x->bytes.ptr + begin, end - begin};
}

#endif
