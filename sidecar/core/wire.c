/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

static void
skip(struct wire *w, uint64_t n)
{
    if (n > w->left.len) {
        w->broken = true;
        n = w->left.len;
    }
    w->left.ptr += n;
    w->left.len -= (size_t)n;
}

uint64_t
wire_varint(struct wire *w)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < WIRE_VARINT_BYTES && i < w->left.len; i++) {
        unsigned char byte = (unsigned char)w->left.ptr[i];
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            skip(w, i + 1);
            return value;
        }
    }
    w->broken = true;
    return 0;
}

bool
wire_next(struct wire *w, struct wire_field *field)
{
    const char *start = w->left.ptr;
    if (!w->left.len || w->broken)
        return false;
    uint64_t tag = wire_varint(w), len;

    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    const char *value = w->left.ptr;
    switch (field->type) {
    case WIRE_VARINT:
        wire_varint(w);
        break;
    case WIRE_64BIT:
        skip(w, 8);
        break;
    case WIRE_32BIT:
        skip(w, 4);
        break;
    case WIRE_BYTES:
        len = wire_varint(w);
        value = w->left.ptr;
        skip(w, len);
        break;
    default:
        w->broken = true;
    }
    field->value = (struct ss_span){value, (size_t)(w->left.ptr - value)};
    field->bytes = (struct ss_span){start, (size_t)(w->left.ptr - start)};
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
