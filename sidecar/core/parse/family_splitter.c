/* SPDX-License-Identifier: Apache-2.0 */
#include "family_splitter.h"

#include "core/base/limits.h"
#include "core/key/sharding.h"
#include "core/protobuf/metric.h"
#include "core/protobuf/wire.h"

#include <stdio.h>

/* Of io.prometheus.client.MetricFamily. */
enum { FIELD_TYPE = 3, FIELD_METRIC = 4 };
enum { TYPE_IS_HISTOGRAM = 4, TYPE_IS_GAUGE_HISTOGRAM = 5 };

/* Reading. */

static int
refuse(struct key_resolver *resolver, enum ss_filter_condition condition, const char *reason)
{
    snprintf(resolver->reason, sizeof(resolver->reason), "%s", reason);
    return (int)condition;
}

static int
refuse_mixed(struct key_resolver *resolver, const char *expected)
{
    snprintf(resolver->reason, sizeof(resolver->reason),
             "both native and classic histograms, all of which Prometheus reads like the first (expected one kind, or "
             "%s)",
             expected);
    return SS_KEY_IMPOSSIBLE;
}

static int
refuse_late(struct key_resolver *resolver)
{
    char expected[64];
    snprintf(expected, sizeof(expected), "both within %d KiB, or a max_age above 0", CORE_MAX_FAMILY_WINDOW >> 10);
    return refuse_mixed(resolver, expected);
}

static bool
is_of_histograms(const struct family_splitter *f)
{
    return f->type == TYPE_IS_HISTOGRAM || f->type == TYPE_IS_GAUGE_HISTOGRAM;
}

/* Prometheus uses the lower 32 bits. */
static uint32_t
type_of(const struct wire_field *field)
{
    return (uint32_t)wire_number(field);
}

/* The kind of a metric, which has no meaning in a family of another type. */
static int
read_kind(const struct family_splitter *f, struct key_resolver *resolver, struct ss_span metric, unsigned *kindp)
{
    *kindp = 0;
    return !is_of_histograms(f) || metric_kind(metric, kindp)
               ? 0
               : refuse(resolver, SS_NO_EXPOSITION, "a malformed histogram");
}

/* Checks a field after the start of the family. */
static int
check_late(struct family_splitter *f, struct key_resolver *resolver, const struct wire_field *field)
{
    if (field->number == FIELD_TYPE) {
        if (f->has_metric && type_of(field) != f->type)
            return refuse(resolver, SS_KEY_IMPOSSIBLE, "a type after metrics that were already sent with another one");
        f->type = type_of(field);
    }
    if (field->number != FIELD_METRIC)
        return 0;
    unsigned kind;
    int r = read_kind(f, resolver, field->value, &kind);
    if (r || (f->has_metric && kind != f->kind))
        return r ? r : refuse_late(resolver);
    f->has_metric = true;
    f->kind = kind;
    return 0;
}

/* The next field within the start; *at is how many bytes of the family precede it. */
static bool
next_of_start(const struct family_splitter *f, struct wire *wire, size_t *at, struct wire_field *field)
{
    if (!wire_next(wire, field) || field->bytes.len > f->max_start - *at)
        return false;
    *at += field->bytes.len;
    return true;
}

/* Whether the metrics at the start are of several kinds; fields start after the length of the message. */
static int
read_kinds(struct family_splitter *f, struct key_resolver *resolver, struct wire fields, size_t at, bool *mixedp)
{
    struct wire_field field;
    bool first = true;
    int r = 0;
    while (!r && next_of_start(f, &fields, &at, &field)) {
        unsigned kind;
        if (field.number != FIELD_METRIC)
            continue;
        r = read_kind(f, resolver, field.value, &kind);
        if (first)
            f->kind = kind;
        *mixedp |= kind != f->kind;
        first = false;
    }
    return r;
}

/* The route of one metric, which is no longer by series. hashes: its hash is of interest where it has one of its own.
 */
static int
metric_route(struct key_resolver *resolver, const struct route *route, struct ss_span name, struct ss_span metric,
             bool hashes, struct route *own)
{
    int r = 0;
    *own = *route;
    if (route->selectors)
        r = key_resolver_select_metric(resolver, route, metric, own);
    if (r || !route_is_by_series(own))
        return r;
    if (hashes)
        r = key_resolver_hash_metric(resolver, own, name, metric, &own->hash);
    own->kind = ROUTE_BY_HASH;
    return r;
}

/* Whether all metrics have one route, which becomes that of the family. */
static int
read_routes(struct key_resolver *resolver, struct route *route, struct ss_span name, struct wire fields, bool hashes,
            bool *samep)
{
    struct route first = *route, own;
    struct wire_field field;
    bool any = false;
    int r = 0;
    *samep = true;
    while (!r && wire_next(&fields, &field)) {
        if (field.number != FIELD_METRIC)
            continue;
        r = metric_route(resolver, route, name, field.value, hashes, &own);
        if (!any)
            first = own;
        *samep &= own.kind == first.kind && own.hash == first.hash;
        any = true;
    }
    if (!r && *samep)
        *route = first;
    return r;
}

/* Whether the series are where Prometheus' hashmod puts them, which its servers may still apply themselves. */
static bool
is_hashmod(const struct key_resolver *resolver, const struct route *route)
{
    const struct ss_sharding_settings *settings = &resolver->sharding->settings;
    return route->kind == ROUTE_BY_LABELS && settings->hash == SS_HASH_MD5 && settings->placement == SS_PLACE_MODULO;
}

int
family_splitter_start(struct family_splitter *f, struct key_resolver *resolver, struct route *route,
                      struct ss_span name, struct ss_span bytes, bool last, bool *togetherp)
{
    struct wire wire = wire_of(bytes), fields;
    struct wire_field field;
    bool same;

    wire_varint(&wire);
    fields = wire;
    f->start_bytes = f->emitted = (size_t)(wire.p - bytes.ptr);
    f->type = f->kind = 0;
    f->has_metric = *togetherp = false;
    /* The last type counts, wherever it is. */
    while (next_of_start(f, &wire, &f->start_bytes, &field)) {
        if (field.number == FIELD_TYPE)
            f->type = type_of(&field);
        f->has_metric |= field.number == FIELD_METRIC;
    }
    int r = is_of_histograms(f) ? read_kinds(f, resolver, fields, f->emitted, togetherp) : 0;
    if (r || !*togetherp)
        return r;
    bool hashes = is_hashmod(resolver, route), is_selected = route->selectors;
    if (!hashes && !is_selected) {
        route->kind = ROUTE_BY_HASH;
        return 0;
    }
    if (last && f->start_bytes == bytes.len &&
        ((r = read_routes(resolver, route, name, fields, hashes, &same)) || same))
        return r;
    return refuse_mixed(resolver, is_selected ? "no selector that tells its series apart"
                                              : "hash = xxh64, which may keep them together");
}

/* Emitting. */

static int
emit(const struct records *out, struct ss_span bytes, uint32_t flags)
{
    return out->take(out->ctx, &(struct record){.bytes = bytes, .flags = flags});
}

/* The start of a part, which says where a family goes even without metrics, and whether it may lose some. */
static struct record
begin_record(const struct route *route, struct ss_span length)
{
    struct record record = {.bytes = length, .flags = RECORD_FAMILY_BEGIN};
    if (!route->selectors)
        return record;
    record.flags |= RECORD_PARTIAL;
    record.flags |= route->kind == ROUTE_ALL ? RECORD_ALL : route->kind == ROUTE_BY_HASH ? RECORD_AT_HASH : 0;
    record.hash = route->hash;
    return record;
}

/* Starts a part with the length of the message, or with the repeated fields. */
static int
start_part(struct family_splitter *f, const struct route *route, struct wire *wire, const struct records *out)
{
    struct ss_span length = {wire->p, 0}, repeated = {f->repeated.ptr, f->repeated.len};
    if (!f->started) {
        wire_varint(wire);
        length.len = (size_t)(wire->p - length.ptr);
        f->started = true;
    }
    struct record begin = begin_record(route, length);
    int r = out->take(out->ctx, &begin);
    return r || !repeated.len ? r : emit(out, repeated, RECORD_FAMILY_FIELD | RECORD_REPEATED);
}

static int
emit_metric(struct key_resolver *resolver, const struct route *route, struct ss_span name,
            const struct wire_field *field, const struct records *out)
{
    struct route own;
    int r = metric_route(resolver, route, name, field->value, true, &own);
    if (r)
        return r;
    uint32_t flags = own.kind == ROUTE_NONE ? RECORD_DROPPED : own.kind == ROUTE_ALL ? RECORD_ALL : 0;
    return out->take(out->ctx, &(struct record){field->bytes, own.hash, flags, own.family, 0, 1});
}

static int
too_long(struct key_resolver *resolver, const char *what)
{
    snprintf(resolver->reason, sizeof(resolver->reason), "%s longer than max_line", what);
    return SS_LINE_TOO_LONG;
}

/* Saves the fields that the next part repeats. */
static int
remember(struct family_splitter *f, struct ss_span fields)
{
    struct wire wire = wire_of(fields);
    struct wire_field field;
    int r = 0;
    while (!r && wire_next(&wire, &field))
        if (field.number != FIELD_METRIC)
            r = buffer_add(&f->repeated, field.bytes);
    return r;
}

/* Emits a field. The limits apply to the family, regardless of its parts. */
static int
emit_field(struct family_splitter *f, struct key_resolver *resolver, const struct route *route, struct ss_span name,
           const struct wire_field *field, const struct records *out)
{
    if (field->bytes.len > f->max_field)
        return too_long(resolver, "a field");
    f->emitted += field->bytes.len;
    int r = f->emitted > f->start_bytes ? check_late(f, resolver, field) : 0;
    if (r)
        return r;
    if (field->number == FIELD_METRIC)
        return emit_metric(resolver, route, name, field, out);
    f->other_bytes += field->bytes.len;
    return f->other_bytes > f->max_field ? too_long(resolver, "fields other than metrics")
                                         : emit(out, field->bytes, RECORD_FAMILY_FIELD);
}

int
family_splitter_emit(struct family_splitter *f, struct key_resolver *resolver, const struct route *route,
                     struct ss_span name, struct ss_span bytes, bool last, const struct records *out, size_t *consumedp)
{
    struct wire wire = wire_of(bytes);
    struct wire_field field;
    int r = start_part(f, route, &wire, out);
    struct ss_span fields = {wire.p, 0};

    while (!r && wire_next(&wire, &field)) {
        r = emit_field(f, resolver, route, name, &field, out);
        fields.len += field.bytes.len;
    }
    *consumedp = (size_t)(fields.ptr - bytes.ptr) + fields.len;
    if (!r && bytes.len - *consumedp > f->max_field)
        r = too_long(resolver, "a field");
    if (!r)
        r = emit(out, (struct ss_span){fields.ptr + fields.len, 0}, RECORD_FAMILY_END);
    if (!r)
        r = out->flush(out->ctx);
    return r || last ? r : remember(f, fields);
}

void
family_splitter_end(struct family_splitter *f)
{
    f->started = false;
    f->repeated.len = f->other_bytes = 0;
}

void
family_splitter_deinit(struct family_splitter *f)
{
    buffer_deinit(&f->repeated);
}
