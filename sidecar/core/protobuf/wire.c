/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <endian.h>
#include <string.h>

struct wire
wire_of(struct ss_span bytes)
{
    return (struct wire){bytes.ptr, bytes.ptr + bytes.len, false};
}

static uint64_t
long_varint(struct wire *w)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < WIRE_VARINT_BYTES && w->p + i < w->end; i++) {
        unsigned char byte = (unsigned char)w->p[i];
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            w->p += i + 1;
            return value;
        }
    }
    w->broken = true;
    return 0;
}

uint64_t
wire_varint(struct wire *w)
{
    /* Tags and almost all lengths are one byte. */
    if (__builtin_expect(w->p < w->end && (unsigned char)*w->p < 0x80, 1))
        return (unsigned char)*w->p++;
    return long_varint(w);
}

static void
skip(struct wire *w, uint64_t n)
{
    uint64_t left = (uint64_t)(w->end - w->p);
    w->broken |= n > left;
    w->p += n < left ? n : left;
}

/* Skips the value of a field other than a group. Returns its start; for WIRE_BYTES, the byte after its length. */
static const char *
skip_value(struct wire *w, unsigned type)
{
    const char *value = w->p;
    uint64_t len;
    switch (type) {
    case WIRE_BYTES:
        len = wire_varint(w);
        value = w->p;
        skip(w, len);
        break;
    case WIRE_VARINT:
        wire_varint(w);
        break;
    case WIRE_64BIT:
        skip(w, 8);
        break;
    case WIRE_32BIT:
        skip(w, 4);
        break;
    default:
        w->broken = true;
    }
    return value;
}

/* Skips a group whose start has been read. Only the nesting counts: as in Go's generated readers, the numbers of its
   fields, and of its end, may be any. */
static void
skip_group(struct wire *w)
{
    for (size_t depth = 1; depth && !w->broken;) {
        unsigned type = wire_varint(w) & 7;
        if (type == WIRE_GROUP)
            depth++;
        else if (type == WIRE_GROUP_END)
            depth--;
        else
            skip_value(w, type);
    }
}

bool
wire_next_any(struct wire *w, struct wire_field *field)
{
    const char *start = w->p, *value;
    if (start == w->end || w->broken)
        return false;
    uint64_t tag = wire_varint(w);

    if (!wire_is_tag(tag))
        w->broken = true;
    if ((tag & 7) == WIRE_GROUP) {
        value = w->p;
        skip_group(w);
    } else {
        value = skip_value(w, tag & 7);
    }
    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    field->value = (struct ss_span){value, (size_t)(w->p - value)};
    field->bytes = (struct ss_span){start, (size_t)(w->p - start)};
    return !w->broken;
}

uint64_t
wire_number(const struct wire_field *field)
{
    uint64_t number;
    if (field->type == WIRE_VARINT) {
        struct wire wire = wire_of(field->value);
        return wire_varint(&wire);
    }
    memcpy(&number, field->value.ptr, sizeof(number));
    return le64toh(number);
}

size_t
wire_put_varint(char *out, uint64_t value)
{
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (char)(value | 0x80);
    out[n++] = (char)value;
    return n;
}
