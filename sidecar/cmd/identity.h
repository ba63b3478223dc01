/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_IDENTITY_H
#define CMD_IDENTITY_H
/*
 * The identity of a series: bytes that are equal if and only if the series are, whatever the order and escapes of their
 * labels. A label with an empty value is left out. Metadata have an identity too, which no series has.
 */
#include "core/base/buffer.h"
#include "core/text/labels.h"

#include <stdio.h>

/* A builder; zeroed is ready, to be freed with identity_deinit(). */
struct identity {
    struct buffer bytes;  /* the identity that was built last */
    struct buffer values; /* unescaped names and values */
    struct identity_label {
        struct ss_span name, value;
    } * labels;
    size_t n, capacity;
};

/* Each returns 0 or -ENOMEM. */

/* Starts a series or metadata; size is the most that its names and values have. */
int identity_begin(struct identity *identity, size_t size);

/* Unescapes a name or value. Borrowed, perhaps from the name, until the next identity_begin(). */
struct ss_span identity_unescape(struct identity *identity, const struct name *name);

/* Adds a label. Borrowed until identity_end(). */
int identity_add(struct identity *identity, const struct label *label);

/* Finishes the series of this name. */
int identity_end(struct identity *identity, struct ss_span name);

/* Finishes metadata of this kind (H, T, U or, in protobuf, F) for this name. */
int identity_of_meta(struct identity *identity, char kind, struct ss_span name);

/* Prints an identity as in text: name{a="b"}, or HELP of name. */
void identity_print(FILE *out, struct ss_span bytes);

void identity_deinit(struct identity *identity);

#endif
