/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_IDENTITY_H
#define CMD_IDENTITY_H
/*
 * What makes two series one, whatever their labels' order and escapes: bytes that are equal if and only if the series
 * are. A label without a value is none. Metadata have such bytes too, which no series has.
 */
#include "core/base/buffer.h"
#include "core/text/labels.h"

#include <stdio.h>

/* Builds one; zeroed is ready, to be freed with identity_deinit(). */
struct identity {
    struct buffer bytes;  /* what was built last */
    struct buffer values; /* what names and values mean that have escapes */
    struct identity_label {
        struct ss_span name, value;
    } * labels;
    size_t n, capacity;
};

/* Each answers 0 or -ENOMEM. */

/* Begins a series, or metadata, whose names and values are at most so many bytes. */
int identity_begin(struct identity *identity, size_t room);

/* What a name or value means; borrowed, perhaps from the name, until the next beginning. */
struct ss_span identity_unescape_part(struct identity *identity, const struct name *name);

/* Adds a label to the series. The label's bytes are needed until its end. */
int identity_add(struct identity *identity, const struct label *label);

/* Ends it: bytes are those of the series of that name. */
int identity_end(struct identity *identity, struct ss_span name);

/* The same for metadata: bytes are those of this kind (one letter: H, T, U or, in protobuf, F) for that name. */
int identity_of_meta(struct identity *identity, char kind, struct ss_span name);

/* Writes bytes as they would stand in text: name{a="b"}, or HELP of name. */
void identity_print(FILE *out, struct ss_span bytes);

void identity_deinit(struct identity *identity);

#endif
