/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H
/* Protobuf's wire format, read from bytes that are all there: many fields are read, and asked once whether all was
   well. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

/* Bytes of the longest varint. */
enum { WIRE_VARINT_BYTES = 10 };

/* Where the reading stands. */
struct wire {
    const char *p, *end;
    bool broken; /* sticky: the next thing is none, or has no end */
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    struct ss_span bytes; /* the whole field, its tag included */
    struct ss_span value; /* WIRE_BYTES: what is in it; else as bytes */
};

struct wire wire_of(struct ss_span bytes);

uint64_t wire_varint(struct wire *wire);

/* The next field, and steps over it; it points into the bytes. False at the end, and when broken. */
bool wire_next(struct wire *wire, struct wire_field *field);

/* Writes a varint, of at most WIRE_VARINT_BYTES. Returns its length. */
size_t wire_put_varint(char *out, uint64_t value);

#endif
