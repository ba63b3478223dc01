/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FAMILY_SPLITTER_H
#define CORE_FAMILY_SPLITTER_H
/*
 * A protobuf family whose metrics part: it is given out field by field, so that each shard gets a family of its own
 * metrics and of all that is said about them. A large one is several frames, which say again what was said before them.
 *
 * Prometheus reads a family by its type and by its first metric: whether its histograms are native. Where that is not
 * the same for any metric that could come first in a shard, the family must stay together. This is decided by its head;
 * what comes after that in another way fails the body. So does a family that would stay together where series are
 * promised to be where hashmod has them: a server that still has the relabeling would drop them.
 */
#include "core/base/buffer.h"
#include "core/key/key_resolver.h"
#include "core/select/record.h"

/* Zeroed but for max_field and max_head is the beginning of a family; to be freed with family_splitter_deinit(). */
struct family_splitter {
    bool begun;
    struct buffer said; /* fields that are no metrics, of the frames before */
    size_t said_bytes;  /* of all such fields, those of the frame in hand among them */
    size_t max_field;   /* bytes of the longest field taken, and of all that is said again */
    size_t max_head;    /* bytes of the head, at most */

    size_t read, given; /* bytes of the family: of its head, and given out */
    uint32_t type;
    unsigned kind; /* of its first metric */
    bool has_metric;
};

/*
 * Reads the head of a family, before anything is given out: of bytes, which begin with the message's length, and have
 * max_head of the message, or all of it (last). *togetherp: it must not part, and goes by fate->hash, not by this.
 *
 * 0; a condition, with keyer->reason; or -ENOMEM.
 */
int framer_begin(struct family_splitter *splitter, struct key_resolver *resolver, struct route *route,
                 struct ss_span name, struct ss_span bytes, bool last, bool *togetherp);

/*
 * Gives the whole fields of bytes out as a frame. bytes go on where those of the call before were left; the first are
 * the message's length. last: they go to the message's end. *takenp is how many bytes the whole fields have.
 *
 * 0; a condition, with keyer->reason; or what the records answer.
 */
int family_splitter_emit(struct family_splitter *splitter, struct key_resolver *resolver, const struct route *route,
                         struct ss_span name, struct ss_span bytes, bool last, const struct records *out,
                         size_t *takenp);

/* The family is at its end: ready for the next. */
void family_splitter_end(struct family_splitter *splitter);

void family_splitter_deinit(struct family_splitter *splitter);

#endif
