/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SELECT_H
#define CORE_SELECT_H
/*
 * The right of the waist: records in, the spans of the wanted shards out, neighbours merged.
 *
 * Metadata of a family that parts wait until its first sample that is wanted; the parts of a protobuf frame wait until
 * its end, for its length stands in front.
 */
#include "core/base/arena.h"
#include "core/base/limits.h"
#include "core/protobuf/wire.h"
#include "record.h"

#include <scrapeshard/filter.h>

/* Metadata that wait, by their family's number. */
struct waiting {
    struct waiting_line *first, *last;
    bool kept; /* a sample of the family was: what comes now need not wait */
};

/* The frame in hand. */
struct open_family {
    bool open;
    bool wanted; /* as soon as one of its metrics is; and later ones of the family, if they say anything new */
    bool family_wanted;
    struct ss_span *spans;
    size_t n, capacity, bytes;
    char length[WIRE_VARINT_BYTES];
};

/* Zeroed but for what is set here is ready; to be freed with selection_deinit(). */
struct selection {
    const struct ss_shards *shards; /* NULL: everything */
    const struct ss_sharding *sharding;
    bool borrows; /* the bytes of all records outlive the selection, so that none need be copied */

    const struct ss_sink *sink; /* of the call in hand */
    struct ss_filter_counts counts;
    uint64_t last_hash;      /* of the last record with a key */
    bool asked, last_wanted; /* there was one, and what came of it */
    uint64_t last_family;    /* what the counts take for the family in hand */
    bool family_counted;     /* among those kept */
    unsigned char *families; /* by number: which ones were seen, and which kept */
    uint32_t n_families;
    struct arena arena; /* of what waits */
    struct waiting *waiting;
    uint32_t n_waiting;
    struct open_family open_family;
    size_t n;
    struct ss_span spans[CORE_MAX_SPANS];
};

/* Takes a record, as record.h says. Beside the sink's answers: -ENOMEM. */
int selection_take(struct selection *selection, const struct record *record);
int selection_flush(struct selection *selection);

/* Hands bytes on that are wanted. Answers as the sink does. */
int selection_keep(struct selection *selection, struct ss_span bytes);

void selection_deinit(struct selection *selection);

#endif
