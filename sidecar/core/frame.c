/* SPDX-License-Identifier: Apache-2.0 */
#include "frame.h"

#include "wire.h"

#include <stdio.h>

enum { FIELD_METRIC = 4 }; /* of io.prometheus.client.MetricFamily */

static int
give(const struct records *out, struct ss_span bytes, uint32_t flags)
{
    return out->take(out->ctx, &(struct record){.bytes = bytes, .flags = flags});
}

/* The frame's beginning: the message's length, or what was said before. */
static int
open_frame(struct framer *f, struct wire *wire, const struct records *out)
{
    struct ss_span length = {wire->p, 0}, said = {f->said.ptr, f->said.len};
    if (!f->begun) {
        wire_varint(wire);
        length.len = (size_t)(wire->p - length.ptr);
        f->begun = true;
    }
    int r = give(out, length, RECORD_OPEN);
    return r || !said.len ? r : give(out, said, RECORD_FIELD | RECORD_AGAIN);
}

static int
give_metric(struct keyer *keyer, const struct fate *fate, struct ss_span name, const struct wire_field *field,
            const struct records *out)
{
    struct record record = {.bytes = field->bytes, .family = fate->family, .series = 1};
    int r = keyer_hash_metric(keyer, fate, name, field->value, &record.hash);
    return r ? r : out->take(out->ctx, &record);
}

static int
too_long(struct keyer *keyer, const char *what)
{
    snprintf(keyer->reason, sizeof(keyer->reason), "%s longer than max_line", what);
    return SS_LINE_TOO_LONG;
}

/* Remembers the fields that the next frame says again. */
static int
remember(struct framer *f, struct ss_span fields)
{
    struct wire wire = wire_of(fields);
    struct wire_field field;
    int r = 0;
    while (!r && wire_next(&wire, &field))
        if (field.number != FIELD_METRIC)
            r = bytes_add(&f->said, field.bytes);
    return r;
}

/* Gives out a field. The limits are of the family, wherever its frames end. */
static int
give_field(struct framer *f, struct keyer *keyer, const struct fate *fate, struct ss_span name,
           const struct wire_field *field, const struct records *out)
{
    if (field->bytes.len > f->max_field)
        return too_long(keyer, "a field");
    if (field->number == FIELD_METRIC)
        return give_metric(keyer, fate, name, field, out);
    f->said_bytes += field->bytes.len;
    return f->said_bytes > f->max_field ? too_long(keyer, "fields that are no metrics,")
                                        : give(out, field->bytes, RECORD_FIELD);
}

int
framer_give(struct framer *f, struct keyer *keyer, const struct fate *fate, struct ss_span name, struct ss_span bytes,
            bool last, const struct records *out, size_t *takenp)
{
    struct wire wire = wire_of(bytes);
    struct wire_field field;
    int r = open_frame(f, &wire, out);
    struct ss_span fields = {wire.p, 0};

    while (!r && wire_next(&wire, &field)) {
        r = give_field(f, keyer, fate, name, &field, out);
        fields.len += field.bytes.len;
    }
    *takenp = (size_t)(fields.ptr - bytes.ptr) + fields.len;
    if (!r && bytes.len - *takenp > f->max_field)
        r = too_long(keyer, "a field");
    if (!r)
        r = give(out, (struct ss_span){fields.ptr + fields.len, 0}, RECORD_CLOSE);
    if (!r)
        r = out->settle(out->ctx);
    return r || last ? r : remember(f, fields);
}

void
framer_end(struct framer *f)
{
    f->begun = false;
    f->said.len = f->said_bytes = 0;
}

void
framer_deinit(struct framer *f)
{
    bytes_deinit(&f->said);
}
