/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SELECT_H
#define CORE_SELECT_H
/* The right of the waist: records in, the spans of the wanted shards out, neighbours merged. */
#include "limits.h"
#include "record.h"

#include <scrapeshard/filter.h>

struct selection {
    const struct ss_shards *shards; /* NULL: everything */
    enum ss_hash hash;
    enum ss_placement placement;
    const struct ss_sink *sink; /* of the call in hand */
    struct ss_filter_counts counts;
    uint64_t last_hash; /* of the last record with a key */
    bool last_kept;
    size_t n;
    struct ss_span spans[LIMIT_SPANS];
};

/* The records this selection takes; ctx is the selection. */
struct records selection_records(struct selection *selection);

#endif
