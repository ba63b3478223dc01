/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

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
    /* Tags, and the lengths of almost all, are one byte. */
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

bool
wire_next(struct wire *w, struct wire_field *field)
{
    const char *start = w->p, *value;
    if (start == w->end || w->broken)
        return false;
    uint64_t tag = wire_varint(w), len;

    value = w->p;
    switch ((enum wire_type)(tag & 7)) {
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
    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    field->value = (struct ss_span){value, (size_t)(w->p - value)};
    field->bytes = (struct ss_span){start, (size_t)(w->p - start)};
    return !w->broken;
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
