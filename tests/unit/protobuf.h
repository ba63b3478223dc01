/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_PROTOBUF_H
#define UNIT_PROTOBUF_H
/* Bodies of the delimited protobuf format, made byte by byte. */
#include "feed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

/* A body being written. */
struct parser {
    char *bytes;
    size_t len;
};

/* The room that a body of that length has: so that many small pieces are not as many reallocations. */
static inline size_t
body_room(size_t len)
{
    size_t room = 64;
    while (room <= len)
        room *= 2;
    return room;
}

static inline void
put(struct parser *b, const void *bytes, size_t len)
{
    if (!b->bytes || body_room(b->len + len) != body_room(b->len))
        b->bytes = realloc(b->bytes, body_room(b->len + len));
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

static inline void
put_varint(struct parser *b, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(b, &byte, 1);
        value >>= 7;
    } while (value);
}

/* A length-delimited field. */
static inline void
put_field(struct parser *b, unsigned field, struct ss_span bytes)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, bytes.len);
    put(b, bytes.ptr, bytes.len);
}

static inline void
put_number(struct parser *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

/* Ends a message: adds it to the body behind its length. */
static inline void
put_message(struct parser *b, struct parser *message)
{
    put_varint(b, message->len);
    if (message->len)
        put(b, message->bytes, message->len);
    free(message->bytes);
    *message = (struct parser){NULL, 0};
}

static inline struct ss_span
span(const struct parser *b)
{
    return (struct ss_span){b->bytes, b->len};
}

/* A varint of so many bytes. */
static inline void
put_long_varint(struct parser *b, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++, value >>= 7) {
        unsigned char byte = (unsigned char)((value & 0x7f) | (i + 1 < bytes ? 0x80 : 0));
        put(b, &byte, 1);
    }
}

/* What no reader knows and every one skips: groups in groups with all kinds of fields, large numbers of fields. */
static inline void
put_unknown(struct parser *b)
{
    put_varint(b, 90 << 3 | 3);
    put_field(b, 1, SPAN("no_name")); /* in a group it is none */
    put_number(b, 4, 300);            /* nor is this a metric, and so its type is not wrong */
    put_varint(b, 4 << 3 | 3);
    put_varint(b, 78 << 3 | 1);
    put(b, "12345678", 8);
    put_long_varint(b, 0 << 3 | 2, 10); /* no field has this number; in a group nobody looks */
    put_long_varint(b, 3, 10);
    put(b, "abc", 3);
    put_varint(b, 5 << 3 | 4); /* nor need the ends have the number of the beginnings */
    put_varint(b, 79 << 3 | 5);
    put(b, "1234", 4);
    put_varint(b, 90 << 3 | 4);

    put_varint(b, (uint64_t)INT32_MAX << 3 | 2);
    put_varint(b, 7);
    put(b, "largest", 7);
    put_varint(b, 1ull << 29 << 3);
    put_long_varint(b, UINT64_MAX, 10);
    put_long_varint(b, 77 << 3, 10);
    put(b, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7e", 10); /* its bits beyond 64 are dropped */
}

#endif
