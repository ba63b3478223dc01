/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the delimited protobuf format, made byte by byte, and cut in every way. */
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

/* A body being written. */
struct body {
    char *bytes;
    size_t len;
};

static void
put(struct body *b, const void *bytes, size_t len)
{
    b->bytes = realloc(b->bytes, b->len + len + 1);
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
}

static void
put_varint(struct body *b, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(b, &byte, 1);
        value >>= 7;
    } while (value);
}

/* A length-delimited field. */
static void
put_field(struct body *b, unsigned field, struct ss_span bytes)
{
    put_varint(b, field << 3 | 2);
    put_varint(b, bytes.len);
    put(b, bytes.ptr, bytes.len);
}

static void
put_number(struct body *b, unsigned field, uint64_t value)
{
    put_varint(b, field << 3);
    put_varint(b, value);
}

/* Ends a message: adds it to the body behind its length. */
static void
put_message(struct body *b, struct body *message)
{
    put_varint(b, message->len);
    if (message->len)
        put(b, message->bytes, message->len);
    free(message->bytes);
    *message = (struct body){NULL, 0};
}

static void
put_metrics(struct body *message, int n, size_t size)
{
    char *metric = malloc(size);
    for (int i = 0; i < n; i++) {
        memset(metric, 'a' + i % 26, size);
        put_field(message, 4, (struct ss_span){metric, size});
    }
    free(metric);
}

/* A family as Go's client writes it: name first. */
static void
put_family(struct body *b, const char *name, int metrics, size_t size)
{
    struct body m = {NULL, 0};
    put_field(&m, 1, (struct ss_span){name, strlen(name)});
    put_field(&m, 2, SPAN("A family."));
    put_number(&m, 3, 1);
    put_metrics(&m, metrics, size);
    put_message(b, &m);
}

static size_t
cut_message(struct ss_span body)
{
    size_t len = 0, i = 0;
    for (;; i++) {
        len |= (size_t)(body.ptr[i] & 0x7f) << 7 * i;
        if (!(body.ptr[i] & 0x80))
            return i + 1 + len;
    }
}

static struct ss_span
span(const struct body *b)
{
    return (struct ss_span){b->bytes, b->len};
}

static void
test_union(void **state)
{
    (void)state;
    struct body b = {NULL, 0}, m = {NULL, 0};
    put_family(&b, "up", 1, 20);
    put_family(&b, "http_requests_total", 5, 130);
    put_message(&b, &m); /* empty */
    put_family(&b, "lonely", 0, 0);

    put_metrics(&m, 3, 7); /* the name behind the metrics, and fields that nobody knows */
    put_number(&m, 3, 4);
    put_number(&m, 77, 1u << 31);
    put_varint(&m, 78 << 3 | 1);
    put(&m, "12345678", 8);
    put_varint(&m, 79 << 3 | 5);
    put(&m, "1234", 4);
    put_field(&m, 1, SPAN("late"));
    put_field(&m, 5, SPAN("seconds"));
    put_field(&m, 200, SPAN("unknown"));
    put_message(&b, &m);

    put_field(&m, 2, SPAN("only help"));
    put_message(&b, &m);
    put_field(&m, 1, SPAN("x"));
    put_field(&m, 4, SPAN(""));
    put_message(&b, &m);
    check_union(span(&b), PROTOBUF, cut_message);
    check_union((struct ss_span){b.bytes, 0}, PROTOBUF, cut_message);
    free(b.bytes);
}

/* Families larger than what is held go out in pieces. */
static void
test_large_families(void **state)
{
    (void)state;
    struct body b = {NULL, 0}, m = {NULL, 0};
    put_family(&b, "small", 2, 30);
    put_family(&b, "large_bucket", 300, 100);
    put_metrics(&m, 200, 100);
    put_field(&m, 1, SPAN("large_and_late"));
    put_metrics(&m, 200, 100);
    put_message(&b, &m);
    put_family(&b, "again", 1, 17000);
    check_union(span(&b), PROTOBUF, cut_message);

    struct question q = {.content_type = PROTOBUF};
    struct outcome o = feed_all_ways(span(&b), &q);
    assert_int_equal(o.counts.series_seen, 2 + 300 + 400 + 1);
    assert_int_equal(o.counts.families_seen, 4);
    outcome_free(&o);
    free(b.bytes);
}

/* The key is the text format's: suffixes stripped, the last of several names. */
static void
test_key(void **state)
{
    (void)state;
    struct body b = {NULL, 0}, m = {NULL, 0};
    put_field(&m, 1, SPAN("not_this"));
    put_metrics(&m, 1, 10);
    put_field(&m, 1, SPAN("up_bucket_total"));
    put_message(&b, &m);
    struct question q = {.content_type = PROTOBUF, .shard = "7", .count = 8}; /* of "up" among 8 */
    struct outcome o = feed_all_ways(span(&b), &q);
    assert_int_equal(o.len, b.len);
    assert_int_equal(o.counts.series_kept, 1);
    outcome_free(&o);
    free(b.bytes);
}

static void
check_refused(struct body *b, enum ss_filter_condition condition, const char *reason, size_t max_line)
{
    for (int shard = 0; shard < 3; shard++) {
        static const char *const shards[] = {"0", "1", "2"};
        struct question q = {.content_type = PROTOBUF, .shard = shards[shard], .count = 3, .max_line = max_line};
        struct outcome o = feed_all_ways(span(b), &q);
        if (o.result != (int)condition)
            fail_msg("result %d instead of %s", o.result, reason);
        assert_int_equal(o.error.line, 0);
        assert_non_null(strstr(o.error.reason, reason));
        outcome_free(&o);
    }
    free(b->bytes);
    *b = (struct body){NULL, 0};
}

static void
test_refused(void **state)
{
    (void)state;
    struct body b = {NULL, 0}, m = {NULL, 0};

    put(&b, "<html><body>Please log in, this page is no exposition at all.</body></html>\n", 76);
    check_refused(&b, SS_NO_EXPOSITION, "a field of a wrong type", 0);

    put_metrics(&m, 1, 5);
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "metrics without a name", 0);

    put_number(&m, 1, 5); /* the name a number */
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field of a wrong type", 0);

    put_varint(&m, 9 << 3 | 3); /* a group */
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field of a wrong type", 0);

    put_varint(&m, 0 << 3 | 2); /* field 0 */
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field of a wrong type", 0);

    put_varint(&m, 4 << 3 | 2); /* longer than its message */
    put_varint(&m, 100);
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field that is longer than its message", 0);

    put(&m, "\x0a", 1); /* a tag, and the message's end */
    put_message(&b, &m);
    put_family(&b, "up", 1, 5);
    check_refused(&b, SS_NO_EXPOSITION, "a field that is longer than its message", 0);

    put(&b, "\x85\x80\x80\x80\x80\x00", 6);
    check_refused(&b, SS_NO_EXPOSITION, "an overlong number", 0);
    put(&b, "\xff\xff\xff\xff\x0f", 5);
    check_refused(&b, SS_NO_EXPOSITION, "a length above 2 GiB", 0);

    put_metrics(&m, 300, 100); /* too much before the name */
    put_field(&m, 1, SPAN("late"));
    put_message(&b, &m);
    check_refused(&b, SS_LINE_TOO_LONG, "no name within max_line bytes", 20000);

    static const struct ss_span seconds[] = {SPAN("other"), SPAN("")};
    for (size_t i = 0; i < 2; i++) {
        put_field(&m, 1, SPAN("one"));
        put_metrics(&m, 300, 100);
        put_field(&m, 1, seconds[i]);
        put_message(&b, &m);
        check_refused(&b, SS_NO_EXPOSITION, "a second name", 0);
    }
}

/* A body cut anywhere but between two messages fails. */
static void
test_cut(void **state)
{
    (void)state;
    struct body b = {NULL, 0};
    put_family(&b, "up", 2, 20);
    size_t border = b.len;
    put_family(&b, "http_requests_total", 2, 200);

    for (size_t len = 1; len < b.len; len++) {
        struct question q = {.content_type = PROTOBUF};
        struct outcome o = feed_all_ways((struct ss_span){b.bytes, len}, &q);
        assert_int_equal(o.result, len == border ? 0 : SS_BODY_CUT);
        assert_int_equal(o.ends_whole, len == border);
        if (o.result)
            assert_int_equal(o.error.offset, len < border ? 0 : border);
        outcome_free(&o);
    }
    free(b.bytes);
}

/* Lengths that are longer than they need be are taken, as Go takes them. */
static void
test_long_varints(void **state)
{
    (void)state;
    struct ss_span body = SPAN("\x86\x80\x80\x80\x00\x8a\x80\x00\x82\x00x");
    struct question q = {.content_type = PROTOBUF};
    struct outcome o = feed_all_ways(body, &q);
    assert_int_equal(o.result, SS_NO_EXPOSITION); /* the name is one byte longer than the message */
    outcome_free(&o);
    body = SPAN("\x86\x80\x80\x80\x00\x8a\x80\x00\x81\x00x");
    o = feed_all_ways(body, &q);
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, body.len);
    outcome_free(&o);
}

/* Families that part: fields are read, and the family comes in frames. */

static const char *const shard_names[] = {"0", "1", "2"};

struct splitting {
    struct ss_rules *rules;
    struct ss_sharding *sharding;
};

static struct splitting
split_all(void)
{
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_rule_error error;
    struct splitting s;
    assert_int_equal(ss_rules_new(&s.rules), 0);
    assert_int_equal(ss_rules_add(s.rules, SS_ACTION_SPLIT, SPAN(".*"), &error), 0);
    settings.rules = s.rules;
    assert_int_equal(ss_sharding_new(&s.sharding, &settings), 0);
    return s;
}

static void
splitting_end(struct splitting *s)
{
    ss_sharding_free(s->sharding);
    ss_rules_free(s->rules);
}

/* A metric with one label, id=<id>, and a field that nobody knows, of size bytes. */
static void
put_series(struct body *message, const char *id, size_t size)
{
    struct body pair = {NULL, 0}, metric = {NULL, 0};
    char *filler = calloc(size, 1);
    put_field(&pair, 1, SPAN("id"));
    put_field(&pair, 2, (struct ss_span){id, strlen(id)});
    put_field(&metric, 1, span(&pair));
    put_field(&metric, 99, (struct ss_span){filler, size});
    put_field(message, 4, span(&metric));
    free(filler);
    free(pair.bytes);
    free(metric.bytes);
}

static void
check_too_long(struct body *message, size_t max_line)
{
    struct splitting s = split_all();
    struct body b = {NULL, 0};
    put_message(&b, message);
    for (int i = 0; i < 3; i++) {
        struct question q = {.content_type = PROTOBUF,
                             .shard = shard_names[i],
                             .count = 3,
                             .max_line = max_line,
                             .sharding = s.sharding};
        struct outcome o = feed_all_ways(span(&b), &q);
        assert_int_equal(o.result, SS_LINE_TOO_LONG);
        outcome_free(&o);
    }
    free(b.bytes);
    splitting_end(&s);
}

/* What is held of a family that parts is bounded, and the bound is the same however the body is cut. */
static void
test_frames_are_bounded(void **state)
{
    (void)state;
    struct body m = {NULL, 0};
    char id[16];

    put_field(&m, 1, SPAN("x"));
    for (int i = 0; i < 30; i++) {
        sprintf(id, "a%d", i);
        put_series(&m, id, 10000);
    }
    put_series(&m, "large", 150000);
    check_too_long(&m, 100000);

    /* What every frame says again is no less. */
    put_field(&m, 1, SPAN("x"));
    for (int i = 0; i < 30; i++) {
        char help[4000] = "";
        sprintf(id, "a%d", i);
        put_field(&m, 2, (struct ss_span){help, sizeof(help)});
        put_series(&m, id, 10000);
    }
    check_too_long(&m, 100000);
}

/* Feeds a body in two pieces, or whole. */
static struct outcome
feed_cut(struct ss_span body, size_t cut, const char *shard, struct ss_sharding *sharding)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_shards_error error;
    struct ss_shards *shards;
    struct ss_filter *filter;
    struct outcome o = {.bytes = calloc(1, 1)};
    struct ss_sink sink = {outcome_take, &o};

    assert_int_equal(ss_shards_parse(&shards, (struct ss_span){shard, 1}, 3, &error), 0);
    settings.content_type = PROTOBUF;
    settings.shards = shards;
    settings.sharding = sharding;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    assert_int_equal(ss_filter_feed(filter, (struct ss_span){body.ptr, cut}, &sink), 0);
    assert_int_equal(ss_filter_feed(filter, (struct ss_span){body.ptr + cut, body.len - cut}, &sink), 0);
    assert_int_equal(ss_filter_end(filter, &sink), 0);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return o;
}

/* A large family may say its name again; the half of it that a feed ends in is not its name. */
static void
test_a_name_that_is_cut_in_a_frame(void **state)
{
    (void)state;
    enum { SERIES = 60 };
    struct splitting s = split_all();
    struct body b = {NULL, 0}, m = {NULL, 0};
    char id[16];

    put_field(&m, 1, SPAN("the_name_of_all"));
    for (int i = 0; i < SERIES; i++) {
        sprintf(id, "series-%02d", i);
        put_series(&m, id, 5000);
    }
    put_field(&m, 1, SPAN("the_name_of_all"));
    put_message(&b, &m);
    for (int i = 0; i < 3; i++) {
        struct outcome whole = feed_cut(span(&b), 0, shard_names[i], s.sharding);
        struct outcome cut = feed_cut(span(&b), b.len - 6, shard_names[i], s.sharding);
        for (int n = 0; n < SERIES; n++) {
            sprintf(id, "series-%02d", n);
            assert_int_equal(!memmem(whole.bytes, whole.len, id, strlen(id)),
                             !memmem(cut.bytes, cut.len, id, strlen(id)));
        }
        outcome_free(&whole);
        outcome_free(&cut);
    }
    free(b.bytes);
    splitting_end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_union),
        cmocka_unit_test(test_large_families),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_long_varints),
        cmocka_unit_test(test_frames_are_bounded),
        cmocka_unit_test(test_a_name_that_is_cut_in_a_frame),
    };
    return cmocka_run_group_tests_name("protobuf", tests, NULL, NULL);
}
