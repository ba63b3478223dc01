/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SELECT_H
#define CORE_SELECT_H
/*
 * The consumer of the record stream: takes records, emits the spans of the wanted shards, merging neighbours.
 *
 * Metadata of a split family wait until its first wanted sample; the part of a protobuf family waits until its end,
 * because its length comes first.
 */
#include "core/base/arena.h"
#include "core/base/limits.h"
#include "core/parse/record.h"
#include "core/protobuf/wire.h"

#include <scrapeshard/filter.h>

/* Waiting metadata, by the number of their family. */
struct waiting {
    struct waiting_line *first, *last;
    bool kept; /* a sample of the family was kept: further metadata need not wait */
};

/* The current part of a split protobuf family. */
struct open_family {
    bool open;
    bool rewritten; /* it may lack metrics, so that it has its own length */
    bool wanted;    /* once one of its metrics is; a later part also if it adds fields */
    bool family_wanted;
    struct ss_span written_length; /* of the message, as the body has it; empty in a later part */
    struct ss_span *spans;
    size_t n, capacity, bytes;
    char length[WIRE_VARINT_BYTES];
};

/* Zeroed, except for what is set here, is ready; free with selection_deinit(). */
struct selection {
    const struct ss_shards *shards; /* NULL: all */
    const struct ss_sharding *sharding;
    bool borrows; /* the bytes of all records outlive the selection, so that none need be copied */

    const struct ss_sink *sink; /* of the current call */
    struct ss_filter_counts counts;
    uint64_t last_hash;         /* of the last record with a key */
    bool has_last, last_wanted; /* whether there was one, and whether it was wanted */
    uint64_t last_family;       /* what identifies the current family in the counts */
    bool family_counted;        /* among the kept ones */
    unsigned char *families;    /* by number: seen, kept */
    uint32_t n_families;
    struct arena arena; /* of waiting metadata */
    struct waiting *waiting;
    uint32_t n_waiting;
    struct open_family open_family;
    size_t n;
    struct ss_span spans[CORE_MAX_SPANS];
};

/* Take a record and flush, as in record.h. Return what the sink returns, or -ENOMEM. */
int selection_take(struct selection *selection, const struct record *record);
int selection_flush(struct selection *selection);

/* Passes on wanted bytes. Returns what the sink returns. */
int selection_keep(struct selection *selection, struct ss_span bytes);

void selection_deinit(struct selection *selection);

#endif
