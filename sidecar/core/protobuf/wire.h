/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H
/* Reads protobuf's wire format from bytes that are complete. Errors are sticky: read many fields, check once. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64BIT = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP = 3, /* starts a group: fields up to its WIRE_GROUP_END */
    WIRE_GROUP_END = 4,
    WIRE_32BIT = 5,
};

/* Length of the longest varint. */
enum { WIRE_VARINT_BYTES = 10 };

/* The position of a reader. */
struct wire {
    const char *p, *end;
    bool broken; /* sticky: the next field is malformed or truncated */
};

struct wire_field {
    uint32_t number;
    enum wire_type type;
    struct ss_span bytes; /* the whole field including its tag */
    struct ss_span value; /* WIRE_BYTES: its content; else as bytes */
};

struct wire wire_of(struct ss_span bytes);

uint64_t wire_varint(struct wire *wire);

/* Whether Go's generated readers accept the field number of a tag: the lower 32 bits, from 1 to 2^31 - 1. */
static inline bool
wire_is_tag(uint64_t tag)
{
    return (int32_t)(uint32_t)(tag >> 3) > 0;
}

/* wire_next() for any field. */
bool wire_next_any(struct wire *wire, struct wire_field *field);

/* Reads the next field, a group up to its end; it points into the bytes. False at the end, and when broken. Most
   fields have bytes, and a tag and a length of one byte each. */
static inline bool
wire_next(struct wire *wire, struct wire_field *field)
{
    const unsigned char *p = (const unsigned char *)wire->p;
    size_t left = (size_t)(wire->end - wire->p);
    if (left < 2 || p[0] >= 0x80 || p[0] < 8 || (p[0] & 7) != WIRE_BYTES || p[1] >= 0x80 || p[1] > left - 2 ||
        wire->broken)
        return wire_next_any(wire, field);
    field->number = p[0] >> 3;
    field->type = WIRE_BYTES;
    field->bytes = (struct ss_span){wire->p, 2u + p[1]};
    field->value = (struct ss_span){wire->p + 2, p[1]};
    wire->p += 2u + p[1];
    return true;
}

/* The number in a field of type WIRE_VARINT or WIRE_64BIT. */
uint64_t wire_number(const struct wire_field *field);

/* Writes a varint of at most WIRE_VARINT_BYTES. Returns its length. */
size_t wire_put_varint(char *out, uint64_t value);

#endif
