/* SPDX-License-Identifier: Apache-2.0 */
#include "metric.h"

#include "wire.h"

#include <string.h>

enum { FIELD_HISTOGRAM = 7 }; /* of Metric */

/* Of Histogram. */
enum {
    FIELD_ZERO_THRESHOLD = 6,
    FIELD_ZERO_COUNT = 7,
    FIELD_NEGATIVE_SPAN = 9,
    FIELD_NEGATIVE_DELTA = 10,
    FIELD_NEGATIVE_COUNT = 11,
    FIELD_POSITIVE_SPAN = 12,
    FIELD_POSITIVE_DELTA = 13,
    FIELD_POSITIVE_COUNT = 14,
};

/* The histogram of a metric; several fields are merged: lists are concatenated, of numbers the last one counts. */
struct metric_histogram {
    unsigned kind; /* by its lists */
    uint64_t zero_count;
    double zero_threshold;
};

static double
double_of(const struct wire_field *field)
{
    double value;
    uint64_t bits = wire_number(field);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* A list of numbers, each in its own field, or packed, and then perhaps empty. False: wrong type. */
static bool
add_list(struct metric_histogram *h, const struct wire_field *field, enum wire_type unpacked, unsigned kind)
{
    if (field->type == unpacked || (field->type == WIRE_BYTES && field->value.len))
        h->kind |= kind;
    return field->type == unpacked || field->type == WIRE_BYTES;
}

static bool
read_field(struct metric_histogram *h, const struct wire_field *field)
{
    switch (field->number) {
    case FIELD_ZERO_THRESHOLD:
        if (field->type != WIRE_64BIT)
            return false;
        h->zero_threshold = double_of(field);
        return true;
    case FIELD_ZERO_COUNT:
        if (field->type != WIRE_VARINT)
            return false;
        h->zero_count = wire_number(field);
        return true;
    case FIELD_NEGATIVE_SPAN:
    case FIELD_POSITIVE_SPAN:
        h->kind |= METRIC_SPANS;
        return field->type == WIRE_BYTES;
    case FIELD_NEGATIVE_DELTA:
    case FIELD_POSITIVE_DELTA:
        return add_list(h, field, WIRE_VARINT, METRIC_DELTAS | METRIC_COUNTS);
    case FIELD_NEGATIVE_COUNT:
    case FIELD_POSITIVE_COUNT:
        return add_list(h, field, WIRE_64BIT, METRIC_COUNTS);
    default:
        return true;
    }
}

static bool
read_histogram(struct metric_histogram *h, struct ss_span bytes)
{
    struct wire wire = wire_of(bytes);
    struct wire_field field;
    while (wire_next(&wire, &field))
        if (!read_field(h, &field))
            return false;
    return !wire.broken;
}

bool
metric_kind(struct ss_span metric, unsigned *kindp)
{
    struct wire wire = wire_of(metric);
    struct wire_field field;
    struct metric_histogram h = {0, 0, 0};

    while (wire_next(&wire, &field)) {
        if (field.number == FIELD_HISTOGRAM && (field.type != WIRE_BYTES || !read_histogram(&h, field.value)))
            return false;
    }
    *kindp = h.zero_count || h.zero_threshold > 0 ? METRIC_ZERO : h.kind;
    return !wire.broken;
}
