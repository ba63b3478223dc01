/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds timestamps to samples that have none. In text it follows the value; in protobuf it is a field of the metric
 * (timestamp_ms = 6 of io.prometheus.client.Metric), so that the lengths of the metric and its family grow.
 */
#include "core/base/buffer.h"
#include "core/parse/format.h"
#include "core/protobuf/wire.h"
#include "core/text/line_splitter.h"
#include "core/text/sample.h"

#include <scrapeshard/timestamper.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_METRIC = 4, FIELD_TIMESTAMP = 6 };

enum {
    /* Output is passed on in pieces of this size. */
    OUT_BYTES = 32 * 1024,
    /* Prometheus reads the lengths of families with Go's MaxVarintLen32. */
    LENGTH_BYTES = 5,
};

struct ss_timestamper {
    const struct format *format;
    size_t max_line;
    char text[SS_TIMESTAMP_MAX_GROWTH]; /* what is added to a sample */
    size_t len;
    struct partial_line line; /* text: the incomplete one */
    struct buffer held;       /* protobuf: the incomplete family */
    bool broken;              /* protobuf: families can no longer be told apart; text: a NUL has ended the lines */
    struct buffer out;
};

static bool
is_protobuf(const struct ss_timestamper *s)
{
    return s->format->kind == FORMAT_PROTOBUF;
}

int
ss_timestamper_new(struct ss_timestamper **timestamperp, const char *content_type, int64_t time_ms, size_t max_line)
{
    struct ss_timestamper *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->format = format_of(content_type);
    s->max_line = max_line;
    s->line.splitter.openmetrics = syntax_is_openmetrics(s->format->syntax);
    if (is_protobuf(s)) {
        s->text[0] = FIELD_TIMESTAMP << 3 | WIRE_VARINT;
        s->len = 1 + wire_put_varint(s->text + 1, (uint64_t)time_ms);
    } else if (syntax_is_openmetrics(s->format->syntax)) {
        s->len = (size_t)snprintf(s->text, sizeof(s->text), " %" PRId64 ".%03d", time_ms / 1000, (int)(time_ms % 1000));
    } else if (s->format->kind == FORMAT_TEXT) {
        s->len = (size_t)snprintf(s->text, sizeof(s->text), " %" PRId64, time_ms);
    } /* else nothing: in FORMAT_GUESS the scraper may read seconds or milliseconds */
    *timestamperp = s;
    return 0;
}

/* Out. */

static int
flush(struct ss_timestamper *s, const struct ss_sink *sink)
{
    struct ss_span span = {s->out.ptr, s->out.len};
    s->out.len = 0;
    return span.len ? sink->take(sink->ctx, &span, 1) : 0;
}

static int
put(struct ss_timestamper *s, struct ss_span bytes, const struct ss_sink *sink)
{
    int r = buffer_add(&s->out, bytes);
    return r || s->out.len < OUT_BYTES ? r : flush(s, sink);
}

static int
put_timestamp(struct ss_timestamper *s, const struct ss_sink *sink)
{
    return put(s, (struct ss_span){s->text, s->len}, sink);
}

static int
put_varint(struct ss_timestamper *s, uint64_t value, const struct ss_sink *sink)
{
    char varint[WIRE_VARINT_BYTES];
    size_t len = wire_put_varint(varint, value);
    return put(s, (struct ss_span){varint, len}, sink);
}

/* Text. */

static int
timestamp_line(struct ss_timestamper *s, struct ss_span line, const struct ss_sink *sink)
{
    size_t at = sample_timestamp_offset(line, s->format->syntax);
    int r = put(s, (struct ss_span){line.ptr, at}, sink);
    if (!r && at)
        r = put_timestamp(s, sink);
    return r ? r : put(s, (struct ss_span){line.ptr + at, line.len - at}, sink);
}

static int
fill_line(struct ss_timestamper *s, struct ss_span *in, const struct ss_sink *sink)
{
    bool whole;
    long n = partial_line_fill(&s->line, *in, s->max_line, &whole);
    if (n < 0)
        return (int)n;
    if (!whole && (size_t)n < in->len)
        return SS_LINE_TOO_LONG;
    in->ptr += n;
    in->len -= (size_t)n;
    if (!whole)
        return 0;
    int r = timestamp_line(s, buffer_span(&s->line.bytes), sink);
    partial_line_clear(&s->line);
    return r;
}

static int
timestamp_text(struct ss_timestamper *s, struct ss_span in, const struct ss_sink *sink)
{
    int r = 0;
    while (in.len && !r) {
        s->broken |= !s->line.bytes.len && !*in.ptr;
        if (s->broken)
            return put(s, in, sink);
        struct line_splitter splitter = {.openmetrics = s->line.splitter.openmetrics};
        size_t len = s->line.bytes.len ? 0 : line_splitter_feed(&splitter, in);
        if (!len) {
            r = fill_line(s, &in, sink);
            continue;
        }
        if (len > s->max_line)
            return SS_LINE_TOO_LONG;
        r = timestamp_line(s, (struct ss_span){in.ptr, len}, sink);
        in.ptr += len;
        in.len -= len;
    }
    return r;
}

/* Protobuf. */

static bool
has_timestamp(struct ss_span metric, bool *broken)
{
    struct wire wire = wire_of(metric);
    struct wire_field field;
    bool found = false;
    while (wire_next(&wire, &field))
        found |= field.number == FIELD_TIMESTAMP;
    *broken |= wire.broken;
    return found;
}

static size_t
varint_len(uint64_t value)
{
    char varint[WIRE_VARINT_BYTES];
    return wire_put_varint(varint, value);
}

/* The length of a field of a family with its timestamp; its own length if it needs none. */
static size_t
timestamped_len(const struct ss_timestamper *s, const struct wire_field *field, bool *broken)
{
    size_t value = field->value.len + s->len;
    if (field->number != FIELD_METRIC || field->type != WIRE_BYTES || has_timestamp(field->value, broken))
        return field->bytes.len;
    return 1 + varint_len(value) + value;
}

static int
put_metric(struct ss_timestamper *s, struct ss_span metric, const struct ss_sink *sink)
{
    const char tag = FIELD_METRIC << 3 | WIRE_BYTES;
    int r = put(s, (struct ss_span){&tag, 1}, sink);
    if (!r)
        r = put_varint(s, metric.len + s->len, sink);
    if (!r)
        r = put(s, metric, sink);
    return r ? r : put_timestamp(s, sink);
}

/* Adds timestamps to a complete family; its fields follow its length. */
static int
timestamp_family(struct ss_timestamper *s, struct ss_span family, struct ss_span fields, const struct ss_sink *sink)
{
    struct wire sized = wire_of(fields), wire = sized;
    struct wire_field field;
    bool broken = false;
    size_t size = 0;

    while (wire_next(&sized, &field))
        size += timestamped_len(s, &field, &broken);
    if (sized.broken || broken || size > INT32_MAX)
        return put(s, family, sink);

    int r = put_varint(s, size, sink);
    while (!r && wire_next(&wire, &field)) {
        if (timestamped_len(s, &field, &broken) == field.bytes.len)
            r = put(s, field.bytes, sink);
        else
            r = put_metric(s, field.value, sink);
    }
    return r;
}

/* Finds the family that the bytes start with. False: it is incomplete, or malformed. */
static bool
next_family(struct ss_timestamper *s, struct ss_span bytes, struct ss_span *family, struct ss_span *fields)
{
    struct wire wire = wire_of(bytes);
    uint64_t size = wire_varint(&wire);
    size_t length_bytes = (size_t)(wire.p - bytes.ptr);

    s->broken = wire.broken ? bytes.len >= LENGTH_BYTES : length_bytes > LENGTH_BYTES || size > INT32_MAX;
    if (wire.broken || s->broken || bytes.len - length_bytes < size)
        return false;
    *fields = (struct ss_span){wire.p, (size_t)size};
    *family = (struct ss_span){bytes.ptr, length_bytes + (size_t)size};
    return true;
}

/* Adds timestamps to the complete families, and moves *bytes after them. */
static int
take_families(struct ss_timestamper *s, struct ss_span *bytes, const struct ss_sink *sink)
{
    struct ss_span family, fields;
    int r = 0;
    while (!r && bytes->len && next_family(s, *bytes, &family, &fields)) {
        r = timestamp_family(s, family, fields, sink);
        bytes->ptr += family.len;
        bytes->len -= family.len;
    }
    return r;
}

/* How many more bytes the held family needs; 0 if unknown. */
static size_t
missing(const struct ss_timestamper *s)
{
    struct wire wire = wire_of(buffer_span(&s->held));
    uint64_t size = wire_varint(&wire), have = (uint64_t)(wire.end - wire.p);
    return wire.broken || size <= have ? 0 : (size_t)(size - have);
}

static int
timestamp_protobuf(struct ss_timestamper *s, struct ss_span in, const struct ss_sink *sink)
{
    int r = 0;
    while (s->held.len && in.len && !r && !s->broken) {
        size_t n = missing(s);
        if (!n || n > in.len)
            n = n ? in.len : 1;
        r = buffer_add(&s->held, (struct ss_span){in.ptr, n});
        in.ptr += n;
        in.len -= n;
        struct ss_span held = {s->held.ptr, s->held.len};
        if (!r)
            r = take_families(s, &held, sink);
        if (!held.len)
            s->held.len = 0;
    }
    if (!r && !s->broken)
        r = take_families(s, &in, sink);
    if (!r && !s->broken)
        return buffer_add(&s->held, in);
    /* The next reader says what is wrong. */
    if (!r)
        r = put(s, buffer_span(&s->held), sink);
    s->held.len = 0;
    return r ? r : put(s, in, sink);
}

/* Both. */

int
ss_timestamper_feed(struct ss_timestamper *s, struct ss_span bytes, const struct ss_sink *sink)
{
    int r = is_protobuf(s) ? timestamp_protobuf(s, bytes, sink) : timestamp_text(s, bytes, sink);
    return r ? r : flush(s, sink);
}

int
ss_timestamper_end(struct ss_timestamper *s, const struct ss_sink *sink)
{
    int r = 0;
    if (s->line.bytes.len && !line_splitter_is_quoted(&s->line.splitter))
        r = timestamp_line(s, buffer_span(&s->line.bytes), sink);
    else if (s->line.bytes.len)
        r = put(s, buffer_span(&s->line.bytes), sink);
    else if (s->held.len)
        r = put(s, buffer_span(&s->held), sink);
    s->line.bytes.len = s->held.len = 0;
    return r ? r : flush(s, sink);
}

size_t
ss_timestamper_memory(const struct ss_timestamper *s)
{
    return sizeof(*s) + s->line.bytes.capacity + s->held.capacity + s->out.capacity;
}

void
ss_timestamper_free(struct ss_timestamper *s)
{
    if (!s)
        return;
    partial_line_deinit(&s->line);
    buffer_deinit(&s->held);
    buffer_deinit(&s->out);
    free(s);
}
