/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adds timestamps to a body: in pieces as whole; without them it is the original body; it is valid or invalid as that
 * is, with as many series and families; and it needs no more timestamps. The first byte selects the format, the second
 * how the body is cut.
 */
#include "fuzz.h"

#include <scrapeshard/timestamper.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TIME_MS = 1500, MAX_LINE = 200, METRIC = 4, TIMESTAMP = 6 };

/* What TIME_MS adds; nothing to an unknown type. */
static const struct ss_span timestamps[FORMATS] = {
    {" 1500", 5}, {" 1.500", 6}, {"", 0}, {"\x30\xdc\x0b", 3}, {" 1.500", 6}};

static struct result
add_timestamps(struct ss_span body, size_t format, size_t max_line, unsigned seed)
{
    struct result r = {.status = 0};
    struct ss_sink sink = {result_take, &r};
    struct ss_timestamper *s;

    REQUIRE(!ss_timestamper_new(&s, content_types[format], TIME_MS, max_line));
    while (body.len && !r.status)
        r.status = ss_timestamper_feed(s, next_piece(&body, &seed), &sink);
    if (!r.status)
        r.status = ss_timestamper_end(s, &sink);
    REQUIRE(r.status == 0 || r.status == SS_LINE_TOO_LONG);
    ss_timestamper_free(s);
    return r;
}

static struct result
filter(struct ss_span body, size_t format, size_t max_line)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct result r = {.status = 0};
    struct ss_sink sink = {result_take, &r};
    struct ss_filter *f;

    settings.content_type = content_types[format];
    settings.max_line = max_line;
    REQUIRE(!ss_filter_new(&f, &settings));
    r.status = ss_filter_feed(f, body, &sink);
    if (!r.status)
        r.status = ss_filter_end(f, &sink);
    r.counts = *ss_filter_counts(f);
    ss_filter_free(f);
    free(r.bytes);
    return r;
}

static struct ss_span
span_of(const struct result *r)
{
    return (struct ss_span){r->bytes, r->len};
}

/* Text without its timestamps. */

static bool
begins_with(struct ss_span bytes, struct ss_span with)
{
    return bytes.len >= with.len && !memcmp(bytes.ptr, with.ptr, with.len);
}

static void
require_text(struct ss_span in, struct ss_span out, struct ss_span timestamp)
{
    while (out.len) {
        /* If the body has the same bytes itself, it does not matter which are removed. */
        size_t added = begins_with(out, timestamp) && !begins_with(in, timestamp) ? timestamp.len : 0;
        REQUIRE(added || (in.len && *in.ptr == *out.ptr));
        out.ptr += added ? added : 1;
        out.len -= added ? added : 1;
        in.ptr += !added;
        in.len -= !added;
    }
    REQUIRE(!in.len);
}

/* Protobuf without them, read by an independent reader. */

static bool
read_varint(struct ss_span *in, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; in->len && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)*in->ptr++;
        in->len--;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool
read_bytes(struct ss_span *in, uint64_t n, struct ss_span *out)
{
    if (n > in->len)
        return false;
    *out = (struct ss_span){in->ptr, (size_t)n};
    in->ptr += n;
    in->len -= (size_t)n;
    return true;
}

struct field {
    uint64_t tag;
    struct ss_span whole, value; /* value: of one with a length */
};

/* Reads what follows the tag of a field; of a group and its end, nothing. */
static bool
read_value(struct ss_span *in, unsigned type, struct ss_span *value)
{
    uint64_t n;
    switch (type) {
    case 0:
        return read_varint(in, &n);
    case 1: /* a double */
        return read_bytes(in, 8, value);
    case 2:
        return read_varint(in, &n) && read_bytes(in, n, value);
    case 5: /* a float */
        return read_bytes(in, 4, value);
    default:
        return type < 5;
    }
}

/* Reads a field, a group up to its end. */
static bool
read_field(struct ss_span *in, struct field *f)
{
    const char *begin = in->ptr;
    struct ss_span none;
    bool read = read_varint(in, &f->tag);
    uint64_t tag = f->tag;

    f->value = (struct ss_span){"", 0};
    read = read && read_value(in, tag & 7, (tag & 7) == 2 ? &f->value : &none);
    for (unsigned depth = (tag & 7) == 3; read && depth;) {
        read = read_varint(in, &tag) && read_value(in, tag & 7, &none);
        depth += (tag & 7) == 3;
        depth -= (tag & 7) == 4;
    }
    f->whole = (struct ss_span){begin, (size_t)(in->ptr - begin)};
    return read;
}

static bool
has_timestamp(struct ss_span metric)
{
    struct field f;
    while (metric.len && read_field(&metric, &f))
        if (f.tag >> 3 == TIMESTAMP)
            return true;
    return false;
}

/* A field unchanged, or a metric with a timestamp after its own fields. */
static void
require_field(const struct field *in, const struct field *out)
{
    struct ss_span timestamp = timestamps[PROTOBUF], rest = out->value;
    if (same_bytes(in->whole, out->whole))
        return;
    REQUIRE(in->tag == (METRIC << 3 | 2) && out->tag == in->tag && !has_timestamp(in->value));
    REQUIRE(begins_with(rest, in->value));
    rest.ptr += in->value.len;
    rest.len -= in->value.len;
    REQUIRE(same_bytes(rest, timestamp));
}

/* For a valid body. */
static void
require_protobuf(struct ss_span in, struct ss_span out)
{
    struct ss_span a, b;
    struct field f, g;
    uint64_t n;
    while (in.len) {
        REQUIRE(read_varint(&in, &n) && read_bytes(&in, n, &a));
        REQUIRE(read_varint(&out, &n) && read_bytes(&out, n, &b));
        while (a.len) {
            REQUIRE(read_field(&a, &f) && read_field(&b, &g));
            require_field(&f, &g);
        }
        REQUIRE(!b.len);
    }
    REQUIRE(!out.len);
}

/* For a body that was processed to its end. */
static void
require_timestamped(size_t format, struct ss_span body, struct ss_span timestamped, bool valid)
{
    if (format != PROTOBUF)
        require_text(body, timestamped, timestamps[format]);
    else if (valid)
        require_protobuf(body, timestamped);

    struct result again = add_timestamps(timestamped, format, MAX_LINE + SS_TIMESTAMP_MAX_GROWTH, 0);
    REQUIRE(!again.status && same_bytes(span_of(&again), timestamped));
    free(again.bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t format = format_of(data[0]);
    struct ss_span body = {(const char *)data + 2, size - 2};
    struct result before = filter(body, format, MAX_LINE);
    struct result whole = add_timestamps(body, format, MAX_LINE, 0),
                  pieces = add_timestamps(body, format, MAX_LINE, 1u + data[1]);

    REQUIRE(whole.status == pieces.status);
    if (whole.status) {
        REQUIRE(before.status);
    } else {
        REQUIRE(same_bytes(span_of(&whole), span_of(&pieces)));
        struct result after = filter(span_of(&whole), format, MAX_LINE + SS_TIMESTAMP_MAX_GROWTH);
        REQUIRE(!before.status == !after.status);
        REQUIRE(before.status || (before.counts.series_seen == after.counts.series_seen &&
                                  before.counts.families_seen == after.counts.families_seen));
        require_timestamped(format, body, span_of(&whole), !before.status);
    }
    free(whole.bytes);
    free(pieces.bytes);
    return 0;
}
