/* SPDX-License-Identifier: Apache-2.0 */
#include "family_splitter.h"

#include "core/base/limits.h"
#include "metric.h"
#include "core/key/sharding.h"
#include "wire.h"

#include <stdio.h>

/* Of io.prometheus.client.MetricFamily. */
enum { FIELD_TYPE = 3, FIELD_METRIC = 4 };
enum { TYPE_IS_HISTOGRAM = 4, TYPE_IS_GAUGE_HISTOGRAM = 5 };

/* Reading. */

static int
refuse(struct keyer *keyer, enum ss_filter_condition condition, const char *reason)
{
    snprintf(keyer->reason, sizeof(keyer->reason), "%s", reason);
    return (int)condition;
}

static int
refuse_mixed(struct keyer *keyer, const char *expected)
{
    snprintf(keyer->reason, sizeof(keyer->reason),
             "both native and classic histograms, which Prometheus all reads as it reads the first (expected one kind, "
             "or %s)",
             expected);
    return SS_KEY_IMPOSSIBLE;
}

static int
refuse_late(struct keyer *keyer)
{
    char expected[64];
    snprintf(expected, sizeof(expected), "both within %d KiB, or a max_age above 0", LIMIT_FRAME >> 10);
    return refuse_mixed(keyer, expected);
}

static bool
is_of_histograms(const struct framer *f)
{
    return f->type == TYPE_IS_HISTOGRAM || f->type == TYPE_IS_GAUGE_HISTOGRAM;
}

/* Prometheus takes the lower 32 bits. */
static uint32_t
type_of(const struct wire_field *field)
{
    return (uint32_t)wire_number(field);
}

/* The kind of a metric, which says nothing in a family of another type. */
static int
read_kind(const struct framer *f, struct keyer *keyer, struct ss_span metric, unsigned *kindp)
{
    *kindp = 0;
    return !is_of_histograms(f) || metric_kind(metric, kindp)
               ? 0
               : refuse(keyer, SS_NO_EXPOSITION, "a histogram that cannot be read");
}

/* Reads a field after the head. */
static int
read_late(struct framer *f, struct keyer *keyer, const struct wire_field *field)
{
    if (field->number == FIELD_TYPE) {
        if (f->has_metric && type_of(field) != f->type)
            return refuse(keyer, SS_KEY_IMPOSSIBLE, "a type after metrics that went to their shards as of another one");
        f->type = type_of(field);
    }
    if (field->number != FIELD_METRIC)
        return 0;
    unsigned kind;
    int r = read_kind(f, keyer, field->value, &kind);
    if (r || (f->has_metric && kind != f->kind))
        return r ? r : refuse_late(keyer);
    f->has_metric = true;
    f->kind = kind;
    return 0;
}

/* The next field of the head; *at is how many bytes of the family were before. */
static bool
next_of_head(const struct framer *f, struct wire *wire, size_t *at, struct wire_field *field)
{
    if (!wire_next(wire, field) || field->bytes.len > f->max_head - *at)
        return false;
    *at += field->bytes.len;
    return true;
}

/* Whether the metrics of the head are of more kinds than one; fields begin after the message's length. */
static int
read_kinds(struct framer *f, struct keyer *keyer, struct wire fields, size_t at, bool *mixedp)
{
    struct wire_field field;
    bool first = true;
    int r = 0;
    while (!r && next_of_head(f, &fields, &at, &field)) {
        unsigned kind;
        if (field.number != FIELD_METRIC)
            continue;
        r = read_kind(f, keyer, field.value, &kind);
        if (first)
            f->kind = kind;
        *mixedp |= kind != f->kind;
        first = false;
    }
    return r;
}

/* Whether all metrics have one hash, which is the fate's then. */
static int
read_hashes(struct keyer *keyer, struct fate *fate, struct ss_span name, struct wire fields, bool *samep)
{
    struct wire_field field;
    uint64_t hash, first = 0;
    bool any = false;
    int r = 0;
    *samep = true;
    while (!r && wire_next(&fields, &field)) {
        if (field.number != FIELD_METRIC)
            continue;
        r = keyer_hash_metric(keyer, fate, name, field.value, &hash);
        first = any ? first : hash;
        *samep &= hash == first;
        any = true;
    }
    if (!r && *samep)
        fate->hash = first;
    return r;
}

/* Whether the series are where Prometheus' hashmod puts them, which its servers may still do themselves. */
static bool
is_hashmod(const struct keyer *keyer, const struct fate *fate)
{
    const struct ss_sharding_settings *settings = &keyer->sharding->settings;
    return fate->kind == FATE_LABELS && settings->hash == SS_HASH_MD5 && settings->placement == SS_PLACE_MODULO;
}

int
framer_begin(struct framer *f, struct keyer *keyer, struct fate *fate, struct ss_span name, struct ss_span bytes,
             bool last, bool *togetherp)
{
    struct wire wire = wire_of(bytes), fields;
    struct wire_field field;
    bool same;

    wire_varint(&wire);
    fields = wire;
    f->read = f->given = (size_t)(wire.p - bytes.ptr);
    f->type = f->kind = 0;
    f->has_metric = *togetherp = false;
    /* The last type counts, wherever it stands. */
    while (next_of_head(f, &wire, &f->read, &field)) {
        if (field.number == FIELD_TYPE)
            f->type = type_of(&field);
        f->has_metric |= field.number == FIELD_METRIC;
    }
    int r = is_of_histograms(f) ? read_kinds(f, keyer, fields, f->given, togetherp) : 0;
    if (r || !*togetherp || !is_hashmod(keyer, fate))
        return r;
    if (last && f->read == bytes.len && ((r = read_hashes(keyer, fate, name, fields, &same)) || same))
        return r;
    return refuse_mixed(keyer, "hash = xxh64, which may keep them together");
}

/* Giving out. */

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
    f->given += field->bytes.len;
    int r = f->given > f->read ? read_late(f, keyer, field) : 0;
    if (r)
        return r;
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
