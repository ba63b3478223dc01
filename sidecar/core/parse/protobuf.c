/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The delimited protobuf format: a sequence of messages, each a length and an io.prometheus.client.MetricFamily, of
 * which only the top-level tags are read. Field numbers and types are those of prometheus/client_model,
 * io/prometheus/client/metrics.proto:
 *
 *     name = 1, help = 2, metric = 4, unit = 5: length-delimited; type = 3: varint
 *
 * A message is a record. A large one is emitted in pieces as it arrives, once its name is known, so that its size costs
 * no memory; until then, and a small one until its end, it is held where a feed cuts it. A family that is split is
 * emitted in parts (family_splitter.h).
 */
#include "core/base/buffer.h"
#include "core/base/limits.h"
#include "core/key/key_resolver.h"
#include "core/key/sharding.h"
#include "core/protobuf/wire.h"
#include "family_splitter.h"
#include "format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* A message up to this size is read to its end before it is emitted: of several names the last one counts, as
       for Prometheus. In a larger one the first name decides, and a different one fails the body. */
    SMALL = 16 * 1024,
    /* Prometheus reads the lengths of messages with Go's MaxVarintLen32. */
    LENGTH_BYTES = 5,
};

enum { FIELD_NAME = 1, FIELD_HELP = 2, FIELD_TYPE = 3, FIELD_METRIC = 4, FIELD_UNIT = 5 };

/* The part of a message that the next byte belongs to. */
enum message_part {
    PART_LENGTH, /* a message's length, also between messages */
    PART_TAG,
    PART_BYTES_LENGTH,
    PART_VARINT, /* a skipped value */
    PART_SKIP,
    PART_NAME,
};

struct protobuf {
    struct ss_filter_error *error;
    struct key_resolver *resolver;
    const struct records *out; /* of the current call */
    size_t max_held;
    bool whole_families;

    enum message_part part;
    uint64_t varint;
    unsigned varint_bytes;
    uint32_t size, left; /* of the message: its length, and the bytes still to come */
    uint32_t value_left; /* of the field's value, in PART_SKIP and PART_NAME */
    uint32_t field;      /* 0: it is in a group */
    uint32_t depth;      /* open groups; at most the length of the message */

    struct buffer name, first_name;
    bool named, metrics; /* whether the message has had them */
    bool decided;        /* its route is known and it is being emitted */
    struct route route;
    struct family_splitter splitter;
    size_t next_window; /* length of what is held at which it is examined next */
    uint64_t series;    /* metrics not emitted yet */
    uint64_t position;  /* bytes of the body in the feeds before */
    uint64_t offset;    /* of the first byte of the message, its length, in the body */
    struct buffer held; /* the start of the message, cut by a feed */
    size_t *held_memory;
};

static int
fail(struct protobuf *p, enum ss_filter_condition condition, const char *reason)
{
    p->error->condition = condition;
    p->error->offset = p->offset;
    p->error->line = 0;
    snprintf(p->error->reason, sizeof(p->error->reason), "%.240s, in the family that starts here", reason);
    return (int)condition;
}

/* Reading. Each function consumes what it can from *at up to end; 0 continues, anything else is what the feed
   returns. */

/* Reads a varint of at most max bytes. *done: whether it is complete. */
static int
read_varint(struct protobuf *p, const char **at, const char *end, unsigned max, bool *done)
{
    *done = false;
    while (*at < end) {
        unsigned char byte = (unsigned char)*(*at)++;
        if (p->varint_bytes == max)
            return fail(p, SS_NO_EXPOSITION, "an overlong varint");
        p->varint |= (uint64_t)(byte & 0x7f) << 7 * p->varint_bytes++;
        if (byte < 0x80) {
            *done = true;
            return 0;
        }
    }
    return 0;
}

static uint64_t
take_varint(struct protobuf *p)
{
    uint64_t value = p->varint;
    p->varint = 0;
    p->varint_bytes = 0;
    return value;
}

/* Starts to skip the value of a field, or to read it if it is the name. */
static int
start_value(struct protobuf *p, uint64_t len)
{
    if (len > p->left)
        return fail(p, SS_NO_EXPOSITION, "a field longer than its message");
    p->value_left = (uint32_t)len;
    p->part = PART_SKIP;
    if (p->field == FIELD_NAME) {
        p->part = PART_NAME;
        p->named = true;
        p->name.len = 0;
    }
    return 0;
}

/* Whether a field may start so. In a group anything may: Prometheus' readers skip it without checking the numbers. */
static bool
is_field(const struct protobuf *p, uint64_t tag, unsigned wire)
{
    if (p->depth)
        return true;
    bool known = p->field >= FIELD_NAME && p->field <= FIELD_UNIT;
    return wire_is_tag(tag) && wire != WIRE_GROUP_END &&
           (!known || wire == (p->field == FIELD_TYPE ? WIRE_VARINT : WIRE_BYTES));
}

static int
take_tag(struct protobuf *p)
{
    uint64_t tag = take_varint(p);
    unsigned wire = tag & 7;
    p->field = p->depth ? 0 : (uint32_t)(tag >> 3);

    if (!is_field(p, tag, wire))
        return fail(p, SS_NO_EXPOSITION, "a field of the wrong type");
    if (p->field == FIELD_METRIC) {
        p->metrics = true;
        p->series++;
    }
    switch (wire) {
    case WIRE_VARINT:
        p->part = PART_VARINT;
        return 0;
    case WIRE_BYTES:
        p->part = PART_BYTES_LENGTH;
        return 0;
    case WIRE_64BIT:
        return start_value(p, 8);
    case WIRE_32BIT:
        return start_value(p, 4);
    case WIRE_GROUP:
        p->depth++;
        return 0;
    case WIRE_GROUP_END:
        p->depth--;
        return 0;
    default:
        return fail(p, SS_NO_EXPOSITION, "a field of the wrong type");
    }
}

/* Fails with the resolver's reason if r is a condition. */
static int
key_resolver_failed(struct protobuf *p, int r)
{
    return r > 0 && !p->error->condition ? fail(p, (enum ss_filter_condition)r, p->resolver->reason) : r;
}

/* An empty name is valid, too: the contract has a shard for it. */
static struct ss_span
name_of(const struct protobuf *p)
{
    return (struct ss_span){p->name.len ? p->name.ptr : "", p->name.len};
}

static int
decide(struct protobuf *p)
{
    p->decided = true;
    p->next_window = CORE_MAX_FAMILY_WINDOW;
    return key_resolver_failed(p, key_resolver_sample(p->resolver, name_of(p), &p->route));
}

/* The name is complete. In a large message the first one decides at once. */
static int
take_name(struct protobuf *p)
{
    p->part = PART_TAG;
    if (p->size <= SMALL)
        return 0;
    if (p->decided)
        return spans_equal(buffer_span(&p->name), buffer_span(&p->first_name))
                   ? 0
                   : fail(p, SS_NO_EXPOSITION, "a second name that differs from the first");
    p->first_name.len = 0;
    int r = decide(p);
    return r ? r : buffer_add(&p->first_name, name_of(p));
}

/* Reads the value of a field, as far as it is available. */
static int
read_value(struct protobuf *p, const char **at, const char *end)
{
    size_t n = (size_t)(end - *at) < p->value_left ? (size_t)(end - *at) : p->value_left;
    if (p->part == PART_NAME) {
        if (p->name.len + n > p->max_held)
            return fail(p, SS_LINE_TOO_LONG, "a name longer than max_line");
        int r = buffer_add(&p->name, (struct ss_span){*at, n});
        if (r)
            return r;
    }
    *at += n;
    p->value_left -= (uint32_t)n;
    if (p->value_left)
        return 0;
    if (p->part == PART_NAME)
        return take_name(p);
    p->part = PART_TAG;
    return 0;
}

/* Skips metrics that are whole and shorter than 16 KiB, which is nearly all of a body: a state for each byte costs a
   scrape a quarter more. Returns where the first other field starts. */
static const char *
skip_metrics(struct protobuf *p, const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at, *last = (const unsigned char *)end;
    while (last - byte > 3 && byte[0] == (FIELD_METRIC << 3 | WIRE_BYTES) && (byte[1] < 0x80 || byte[2] < 0x80)) {
        const unsigned char *value = byte + (byte[1] < 0x80 ? 2 : 3);
        ptrdiff_t len = byte[1] < 0x80 ? byte[1] : (byte[1] & 0x7f) | byte[2] << 7;
        if (last - value < len)
            break;
        byte = value + len;
        p->metrics = true;
        p->series++;
    }
    return (const char *)byte;
}

/* Reads the fields of the message, as far as they are available. Stops once the route is known. */
static int
read_fields(struct protobuf *p, const char **at, const char *end)
{
    bool was_decided = p->decided, done;
    int r = 0;

    while (*at < end && !r && p->decided == was_decided) {
        const char *start = *at;
        switch (p->part) {
        case PART_TAG:
            if (!p->varint_bytes && !p->depth)
                *at = skip_metrics(p, *at, end);
            r = read_varint(p, at, end, WIRE_VARINT_BYTES, &done);
            p->left -= (uint32_t)(*at - start);
            if (!r && done)
                r = take_tag(p);
            break;
        case PART_BYTES_LENGTH:
            r = read_varint(p, at, end, WIRE_VARINT_BYTES, &done);
            p->left -= (uint32_t)(*at - start);
            if (!r && done)
                r = start_value(p, take_varint(p));
            if (!r && done && !p->value_left)
                r = read_value(p, at, end);
            break;
        case PART_VARINT:
            r = read_varint(p, at, end, WIRE_VARINT_BYTES, &done);
            p->left -= (uint32_t)(*at - start);
            if (!r && done) {
                take_varint(p);
                p->part = PART_TAG;
            }
            break;
        default:
            r = read_value(p, at, end);
            p->left -= (uint32_t)(*at - start);
        }
    }
    return r;
}

/* Emitting. */

static int
emit(struct protobuf *p, struct ss_span bytes, uint32_t flags)
{
    static const uint32_t route_flags[] = {
        [ROUTE_BY_HASH] = 0,
        [ROUTE_ALL] = RECORD_ALL,
        [ROUTE_NONE] = RECORD_DROPPED,
        [ROUTE_BY_SERIES] = 0,
    };
    struct record record = {.bytes = bytes, .flags = flags, .series = p->series};
    if (!flags) {
        record.flags = route_flags[p->route.kind];
        record.hash = p->route.hash;
        record.family = p->route.family;
    }
    p->series = 0;
    return bytes.len ? p->out->take(p->out->ctx, &record) : 0;
}

/* Emits what is held, and then the bytes. */
static int
emit_all(struct protobuf *p, struct ss_span bytes, uint32_t flags)
{
    int r = 0;
    if (p->held.len) {
        r = emit(p, buffer_span(&p->held), flags);
        if (!r)
            r = p->out->flush(p->out->ctx);
        p->held.len = 0;
    }
    return r ? r : emit(p, bytes, flags);
}

/* Emits the complete fields of what is held of a split family; all of it if its start shows that it must not be
   split. */
static int
emit_family_window(struct protobuf *p, bool last)
{
    struct ss_span held = {p->held.ptr, p->held.len};
    /* The name that determined the route; another one may be incomplete. */
    const struct buffer *name = p->size > SMALL ? &p->first_name : &p->name;
    struct ss_span decided = {name->ptr, name->len};
    size_t consumed = 0;
    bool together = false;
    int r = 0;
    if (!p->splitter.started)
        r = key_resolver_failed(
            p, family_splitter_start(&p->splitter, p->resolver, &p->route, decided, held, last, &together));
    if (!r && together) {
        p->route.selectors = 0;
        return emit_all(p, (struct ss_span){NULL, 0}, 0);
    }
    if (!r)
        r = key_resolver_failed(
            p, family_splitter_emit(&p->splitter, p->resolver, &p->route, decided, held, last, p->out, &consumed));
    if (r)
        return r;
    if (last && consumed != held.len)
        return fail(p, SS_NO_EXPOSITION, "a field longer than its message");
    memmove(p->held.ptr, held.ptr + consumed, held.len - consumed);
    p->held.len -= consumed;
    p->next_window = p->held.len > CORE_MAX_FAMILY_WINDOW / 2 ? 2 * p->held.len : CORE_MAX_FAMILY_WINDOW;
    return 0;
}

/* Adds received bytes of a split family. */
static int
add_to_family(struct protobuf *p, struct ss_span bytes, bool last)
{
    int r = buffer_add(&p->held, bytes);
    if (!r && (last || (p->held.len >= p->next_window && !p->whole_families)))
        r = emit_family_window(p, last);
    if (last)
        family_splitter_end(&p->splitter);
    return r;
}

/* The message is complete. */
static int
end_message(struct protobuf *p, struct ss_span bytes)
{
    uint32_t flags = 0;
    int r = 0;

    if (p->part != PART_TAG || p->varint_bytes || p->depth)
        return fail(p, SS_NO_EXPOSITION, "a field longer than its message");
    if (!p->named && p->metrics)
        return fail(p, SS_NO_EXPOSITION, "metrics without a name");
    if (!p->named)
        flags = RECORD_UNKEYED;
    else if (!p->decided)
        r = decide(p);
    if (r)
        return r;
    return p->named && route_is_by_series(&p->route) ? add_to_family(p, bytes, true) : emit_all(p, bytes, flags);
}

static int
start_message(struct protobuf *p)
{
    uint64_t size = take_varint(p);
    if (size > INT32_MAX)
        return fail(p, SS_NO_EXPOSITION, "a message longer than 2 GiB");
    p->size = p->left = (uint32_t)size;
    p->part = PART_TAG;
    p->depth = 0;
    p->named = p->metrics = p->decided = false;
    p->name.len = 0;
    p->series = 0;
    return 0;
}

/* How many bytes may still be held while waiting for the name of a large message. */
static size_t
room_for_name(const struct protobuf *p)
{
    size_t read = p->size - p->left;
    return p->size <= SMALL || p->decided ? SIZE_MAX : read < p->max_held ? p->max_held - read : 0;
}

/* Continues the current message, or the next, up to its end or that of the feed. */
static int
read_message(struct protobuf *p, const char **at, const char *end)
{
    const char *start = *at;
    bool done;
    int r;

    if (p->part == PART_LENGTH) {
        r = read_varint(p, at, end, LENGTH_BYTES, &done);
        if (!r && done)
            r = start_message(p);
        if (r)
            return r;
        if (!done)
            return buffer_add(&p->held, (struct ss_span){start, (size_t)(*at - start)});
    }
    for (;;) {
        size_t room = room_for_name(p), max = p->left < room ? p->left : room;
        if (!room)
            return fail(p, SS_LINE_TOO_LONG, "no name within max_line bytes");
        r = read_fields(p, at, (size_t)(end - *at) < max ? end : *at + max);
        if (r)
            return r;
        struct ss_span bytes = {start, (size_t)(*at - start)};
        if (!p->left) {
            r = end_message(p, bytes);
            p->part = PART_LENGTH;
            return r;
        }
        if (p->decided) {
            r = route_is_by_series(&p->route) ? add_to_family(p, bytes, false) : emit_all(p, bytes, 0);
            start = *at;
        } else {
            r = buffer_add(&p->held, bytes);
        }
        if (r || *at == end)
            return r;
    }
}

/* Whether the last byte completed a message. */
static bool
is_between(const struct protobuf *p)
{
    return p->part == PART_LENGTH && !p->varint_bytes;
}

int
protobuf_feed(void *state, struct ss_span in, const struct records *out)
{
    struct protobuf *p = state;
    const char *at = in.ptr, *end = in.ptr + in.len;
    int r = 0;

    p->out = out;
    while (at < end && !r) {
        if (is_between(p))
            p->offset = p->position + (uint64_t)(at - in.ptr);
        r = read_message(p, &at, end);
    }
    p->position += in.len;
    *p->held_memory = p->held.capacity + p->splitter.repeated.capacity;
    return r ? r : out->flush(out->ctx);
}

int
protobuf_end(void *state, const struct records *out)
{
    struct protobuf *p = state;
    (void)out;
    /* An index lives on, and split families were held whole for it. */
    buffer_deinit(&p->held);
    family_splitter_deinit(&p->splitter);
    *p->held_memory = 0;
    return is_between(p) ? 0 : fail(p, SS_BODY_TRUNCATED, "a truncated body");
}

bool
protobuf_ends_whole(const void *state)
{
    const struct protobuf *p = state;
    return is_between(p) && p->position > 0;
}

void
protobuf_free(void *state)
{
    struct protobuf *p = state;
    buffer_deinit(&p->name);
    buffer_deinit(&p->first_name);
    buffer_deinit(&p->held);
    family_splitter_deinit(&p->splitter);
    free(p);
}

int
protobuf_new(void **statep, const struct format *format, const struct format_settings *settings)
{
    struct protobuf *p = calloc(1, sizeof(*p));
    (void)format;
    if (!p)
        return -ENOMEM;
    p->error = settings->error;
    p->held_memory = settings->held;
    p->resolver = settings->resolver;
    p->max_held = settings->max_line;
    p->splitter.max_field = settings->max_line;
    p->splitter.max_start = settings->whole_families ? SIZE_MAX : CORE_MAX_FAMILY_WINDOW;
    p->whole_families = settings->whole_families;
    *statep = p;
    return 0;
}
