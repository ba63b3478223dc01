/* SPDX-License-Identifier: Apache-2.0 */
#include "label_pairs.h"

enum { FIELD_NAME = 1, FIELD_VALUE = 2 }; /* of LabelPair */
enum {
    FIELD_LABEL = 1,
    FIELD_TIMESTAMP = 6,
    FIELD_HISTOGRAM = 7
}; /* of Metric; the histogram is its last known field */

/* A pair as every encoder writes it: name and value, each with a length of one byte, and nothing else. */
static inline bool
read_plain_pair(struct ss_span pair, struct label *label)
{
    const unsigned char *p = (const unsigned char *)pair.ptr;
    if (pair.len < 4 || p[0] != (FIELD_NAME << 3 | WIRE_BYTES) || p[1] >= 0x80 || pair.len < 4u + p[1])
        return false;
    size_t name = p[1];
    p += 2 + name;
    if (p[0] != (FIELD_VALUE << 3 | WIRE_BYTES) || p[1] >= 0x80 || pair.len != 4 + name + p[1])
        return false;
    label->name = (struct name){{pair.ptr + 2, name}, false};
    label->value = (struct name){{pair.ptr + 4 + name, p[1]}, false};
    return true;
}

static bool
read_pair(struct ss_span pair, struct label *label)
{
    struct wire wire = wire_of(pair);
    struct wire_field field;

    if (read_plain_pair(pair, label))
        return true;
    *label = (struct label){.name = {{"", 0}, false}, .value = {{"", 0}, false}};
    while (wire_next(&wire, &field)) {
        if (field.number != FIELD_NAME && field.number != FIELD_VALUE)
            continue;
        if (field.type != WIRE_BYTES)
            return false;
        *(field.number == FIELD_NAME ? &label->name.raw : &label->value.raw) = field.value;
    }
    return !wire.broken;
}

bool
label_pairs_next(struct label_pairs *pairs, struct label *label)
{
    struct wire_field field;

    while (wire_next(&pairs->fields, &field)) {
        enum wire_type type = field.number == FIELD_TIMESTAMP ? WIRE_VARINT : WIRE_BYTES;
        if (field.number <= FIELD_HISTOGRAM && field.type != type)
            pairs->fields.broken = true;
        if (field.number != FIELD_LABEL || pairs->fields.broken)
            continue;
        pairs->fields.broken = !read_pair(field.value, label);
        return !pairs->fields.broken;
    }
    return false;
}
