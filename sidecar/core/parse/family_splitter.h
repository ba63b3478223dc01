/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FAMILY_SPLITTER_H
#define CORE_FAMILY_SPLITTER_H
/*
 * Splits a protobuf family whose metrics go to several shards: it is emitted field by field, so that each shard gets a
 * family with its own metrics and all other fields. A large family is emitted in several parts, which repeat the other
 * fields of the parts before.
 *
 * Prometheus reads a family by its type and its first metric: whether its histograms are native. Where that differs
 * between metrics that could come first in a shard, the family must stay together. The start of the family decides; if
 * what follows disagrees, the body fails. The body also fails if a family would have to stay together while its series
 * are promised to be where hashmod puts them: a server that still has the relabeling would drop them; or if selectors
 * would drop or replicate only some of them.
 */
#include "core/base/buffer.h"
#include "core/key/key_resolver.h"
#include "record.h"

/* Zeroed, except for max_field and max_start, is ready for a family; free with family_splitter_deinit(). */
struct family_splitter {
    bool started;
    struct buffer repeated; /* fields other than metrics, of the parts before */
    size_t other_bytes;     /* of all such fields, including the current part */
    size_t max_field;       /* bytes of the longest accepted field, and of all that is repeated */
    size_t max_start;       /* maximum bytes examined as the start of the family */

    size_t start_bytes, emitted; /* bytes of the family: examined as its start, and emitted */
    uint32_t type;
    unsigned kind; /* of the first metric */
    bool has_metric;
};

/*
 * Examines the start of a family before anything is emitted: of bytes, which start with the length of the message and
 * have max_start of it, or all of it (last). *togetherp: it must not be split and goes by *route, which is changed.
 *
 * 0; a condition, with resolver->reason; or -ENOMEM.
 */
int family_splitter_start(struct family_splitter *splitter, struct key_resolver *resolver, struct route *route,
                          struct ss_span name, struct ss_span bytes, bool last, bool *togetherp);

/*
 * Emits the complete fields of bytes as a part. bytes continue where those of the call before ended; the first start
 * with the length of the message. last: they reach the end of the message. *consumedp is the length of the complete
 * fields.
 *
 * 0; a condition, with resolver->reason; or what the records return.
 */
int family_splitter_emit(struct family_splitter *splitter, struct key_resolver *resolver, const struct route *route,
                         struct ss_span name, struct ss_span bytes, bool last, const struct records *out,
                         size_t *consumedp);

/* The family is complete: ready for the next. */
void family_splitter_end(struct family_splitter *splitter);

void family_splitter_deinit(struct family_splitter *splitter);

#endif
