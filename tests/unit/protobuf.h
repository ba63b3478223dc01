/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_PROTOBUF_H
#define UNIT_PROTOBUF_H
/* Builds bodies of the delimited protobuf format byte by byte. */
#include "feed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

/* A body being written. */
struct writer {
    char *bytes;
    size_t len;
};

/* The capacity of a body of that length: doubling avoids a reallocation per small piece. */
static inline size_t
body_room(size_t len)
{
    size_t room = 64;
    while (room <= len)
        room *= 2;
    return room;
}

static inline void
put(struct writer *b, const void *bytes, size_t len)
{
    if (!b->bytes || body_room(b->len + len) != body_room(b->len))
        b->bytes = realloc(b->bytes, body_room(b->len + len));
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

static inline void
put_varint(struct writer *b, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(b, &byte, 1);
        value >>= 7;
    } while (value);
}

/* A length-delimited field. */
static inline void
put_field(struct writer *b, unsigned field, struct ss_span bytes)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, bytes.len);
    put(b, bytes.ptr, bytes.len);
}

static inline void
put_number(struct writer *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

/* Ends a message: appends its length and content to the body. */
static inline void
put_message(struct writer *b, struct writer *message)
{
    put_varint(b, message->len);
    if (message->len)
        put(b, message->bytes, message->len);
    free(message->bytes);
    *message = (struct writer){NULL, 0};
}

static inline struct ss_span
span(const struct writer *b)
{
    return (struct ss_span){b->bytes, b->len};
}

/* A varint of that many bytes. */
static inline void
put_long_varint(struct writer *b, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 7) {
        unsigned char byte = (unsigned char)((value & 0x7f) | (i + 1 < bytes ? 0x80 : 0));
        put(b, &byte, 1);
    }
}

/* What every reader skips as unknown: nested groups with all kinds of fields, large field numbers. */
static inline void
put_unknown(struct writer *b)
{
    put_varint(b, 90 << 3 | 3);
    put_field(b, 1, SPAN("no_name")); /* in a group this is not the name */
    put_number(b, 4, 300);            /* nor is this a metric, so its type is valid */
    put_varint(b, 4 << 3 | 3);
    put_varint(b, 78 << 3 | 1);
    put(b, "12345678", 8);
    put_long_varint(b, 0 << 3 | 2, 10); /* field 0 is invalid, but not checked in a group */
    put_long_varint(b, 3, 10);
    put(b, "abc", 3);
    put_varint(b, 5 << 3 | 4); /* the numbers of a start and its end may differ */
    put_varint(b, 79 << 3 | 5);
    put(b, "1234", 4);
    put_varint(b, 90 << 3 | 4);

    put_varint(b, (uint64_t)INT32_MAX << 3 | 2);
    put_varint(b, 7);
    put(b, "largest", 7);
    put_varint(b, 1ull << 29 << 3);
    put_long_varint(b, UINT64_MAX, 10);
    put_long_varint(b, 77 << 3, 10);
    put(b, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7e", 10); /* bits beyond 64 are dropped */
}

#endif
