/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the delimited protobuf format, built byte by byte and cut in every way. */
#include "protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
put_metrics(struct writer *message, int n, size_t size)
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
put_family(struct writer *b, const char *name, int metrics, size_t size)
{
    struct writer m = {NULL, 0};
    put_field(&m, 1, (struct ss_span){name, strlen(name)});
    put_field(&m, 2, SPAN("A family."));
    put_number(&m, 3, 1);
    put_metrics(&m, metrics, size);
    put_message(b, &m);
}

static size_t
first_message_len(struct ss_span body)
{
    size_t len = 0, i = 0;
    for (;; i++) {
        len |= (size_t)(body.ptr[i] & 0x7f) << 7 * i;
        if (!(body.ptr[i] & 0x80))
            return i + 1 + len;
    }
}

static void
test_union(void **state)
{
    (void)state;
    struct writer b = {NULL, 0}, m = {NULL, 0};
    put_family(&b, "up", 1, 20);
    put_family(&b, "http_requests_total", 5, 130);
    put_message(&b, &m); /* empty */
    put_family(&b, "lonely", 0, 0);

    put_metrics(&m, 3, 7); /* the name after the metrics, and unknown fields */
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
    check_union(span(&b), PROTOBUF, first_message_len);
    check_union((struct ss_span){b.bytes, 0}, PROTOBUF, first_message_len);
    free(b.bytes);
}

/* Families larger than what is held are emitted in pieces. */
static void
test_large_families(void **state)
{
    (void)state;
    struct writer b = {NULL, 0}, m = {NULL, 0};
    put_family(&b, "small", 2, 30);
    put_family(&b, "large_bucket", 300, 100);
    put_metrics(&m, 200, 100);
    put_field(&m, 1, SPAN("large_and_late"));
    put_metrics(&m, 200, 100);
    put_message(&b, &m);
    put_family(&b, "again", 1, 17000);
    check_union(span(&b), PROTOBUF, first_message_len);

    struct question q = {.content_type = PROTOBUF};
    struct outcome o = feed_all_ways(span(&b), &q);
    assert_int_equal(o.counts.series_seen, 2 + 300 + 400 + 1);
    assert_int_equal(o.counts.families_seen, 4);
    outcome_free(&o);
    free(b.bytes);
}

/* The key is that of the text format: suffixes stripped, the last of several names. */
static void
test_key(void **state)
{
    (void)state;
    struct writer b = {NULL, 0}, m = {NULL, 0};
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
check_refused(struct writer *b, enum ss_filter_condition condition, const char *reason, size_t max_line)
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
    *b = (struct writer){NULL, 0};
}

static void
test_refused(void **state)
{
    (void)state;
    struct writer b = {NULL, 0}, m = {NULL, 0};

    put(&b, "<html><body>Please log in, this page is no exposition at all.</body></html>\n", 76);
    check_refused(&b, SS_NO_EXPOSITION, "a field of the wrong type", 0);

    put_metrics(&m, 1, 5);
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "metrics without a name", 0);

    put_number(&m, 1, 5); /* the name as a number */
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field of the wrong type", 0);

    static const struct {
        const char *what;
        uint64_t tags[3]; /* 0: end */
        const char *reason;
    } bad[] = {
        {"field 0", {0 << 3 | 2}, "a field of the wrong type"},
        {"a number of 2^31", {1ull << 31 << 3 | 2}, "a field of the wrong type"},
        {"2^32, of which the lower 32 bits count", {1ull << 32 << 3 | 2}, "a field of the wrong type"},
        {"wire type 6", {9 << 3 | 6}, "a field of the wrong type"},
        {"wire type 7", {9 << 3 | 7}, "a field of the wrong type"},
        {"a group's end", {9 << 3 | 4}, "a field of the wrong type"},
        {"a second end", {9 << 3 | 3, 9 << 3 | 4, 9 << 3 | 4}, "a field of the wrong type"},
        {"a group of metrics", {4 << 3 | 3, 4 << 3 | 4}, "a field of the wrong type"},
        {"wire type 6 in a group", {9 << 3 | 3, 9 << 3 | 6, 9 << 3 | 4}, "a field of the wrong type"},
        {"an unterminated group", {9 << 3 | 3}, "a field longer than its message"},
        {"two with one end", {9 << 3 | 3, 9 << 3 | 3, 9 << 3 | 4}, "a field longer than its message"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_field(&m, 1, SPAN("up"));
        for (size_t t = 0; t < 3 && bad[i].tags[t]; t++)
            put_varint(&m, bad[i].tags[t]);
        put_message(&b, &m);
        check_refused(&b, SS_NO_EXPOSITION, bad[i].reason, 0);
    }

    put_varint(&m, 77 << 3); /* a varint of 11 bytes */
    put(&m, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11);
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "an overlong varint", 0);

    put_varint(&m, 77 << 3 | 2); /* a length of 2^63 */
    put(&m, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10);
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field longer than its message", 0);

    put_varint(&m, 4 << 3 | 2); /* longer than its message */
    put_varint(&m, 100);
    put_message(&b, &m);
    check_refused(&b, SS_NO_EXPOSITION, "a field longer than its message", 0);

    put(&m, "\x0a", 1); /* a tag, and the end of the message */
    put_message(&b, &m);
    put_family(&b, "up", 1, 5);
    check_refused(&b, SS_NO_EXPOSITION, "a field longer than its message", 0);

    put(&b, "\x85\x80\x80\x80\x80\x00", 6);
    check_refused(&b, SS_NO_EXPOSITION, "an overlong varint", 0);
    put(&b, "\xff\xff\xff\xff\x0f", 5);
    check_refused(&b, SS_NO_EXPOSITION, "a message longer than 2 GiB", 0);

    put_metrics(&m, 300, 100); /* too many bytes before the name */
    put_field(&m, 1, SPAN("late"));
    put_message(&b, &m);
    check_refused(&b, SS_LINE_TOO_LONG, "no name within max_line bytes", 20000);

    static const struct ss_span seconds[] = {SPAN("other"), SPAN("")};
    for (size_t i = 0; i < 2; i++) {
        put_field(&m, 1, SPAN("one"));
        put_metrics(&m, 300, 100);
        put_field(&m, 1, seconds[i]);
        put_message(&b, &m);
        check_refused(&b, SS_NO_EXPOSITION, "a second name that differs", 0);
    }
}

/* A body truncated anywhere except between two messages fails. */
static void
test_truncated(void **state)
{
    (void)state;
    struct writer b = {NULL, 0};
    put_family(&b, "up", 2, 20);
    size_t boundary = b.len;
    put_family(&b, "http_requests_total", 2, 200);

    for (size_t len = 1; len < b.len; len++) {
        struct question q = {.content_type = PROTOBUF};
        struct outcome o = feed_all_ways((struct ss_span){b.bytes, len}, &q);
        assert_int_equal(o.result, len == boundary ? 0 : SS_BODY_TRUNCATED);
        assert_int_equal(o.ends_whole, len == boundary);
        if (o.result)
            assert_int_equal(o.error.offset, len < boundary ? 0 : boundary);
        outcome_free(&o);
    }
    free(b.bytes);
}

/* Overlong lengths are accepted, as Go accepts them. */
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

/* All that a length of one, two or three bytes can say; and one that ends after its message. */
static void
test_lengths_of_metrics(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 127, 128, 200, 256, 16383, 16384, 2};
    static const char zeros[16384];
    enum { N = sizeof(lens) / sizeof(lens[0]) };
    struct writer b = {NULL, 0}, m = {NULL, 0};
    put_field(&m, 1, SPAN("up"));
    for (size_t i = 0; i < 2 * N; i++)
        put_field(&m, 4, (struct ss_span){zeros, lens[i / 2]});
    struct writer cut = {NULL, 0};
    put_varint(&cut, m.len - 1);
    put(&cut, m.bytes, m.len - 1);
    put_message(&b, &m);

    struct question q = {.content_type = PROTOBUF};
    struct outcome o = feed_all_ways(span(&b), &q);
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, b.len);
    assert_int_equal(o.counts.series_seen, 2 * N);
    outcome_free(&o);
    o = feed_all_ways(span(&cut), &q);
    assert_int_equal(o.result, SS_NO_EXPOSITION);
    outcome_free(&o);
    free(b.bytes);
    free(cut.bytes);
}

/* What is legal, but written by no encoder, is accepted, as Go's generated readers accept it. */
static void
test_what_no_encoder_writes(void **state)
{
    (void)state;
    struct writer b = {NULL, 0}, m = {NULL, 0};
    put_family(&b, "up", 1, 5);
    put_unknown(&m);
    for (unsigned bytes = 1; bytes <= 10; bytes++) {
        put_long_varint(&m, 1 << 3 | 2, bytes);
        put_long_varint(&m, 3, bytes);
        put(&m, "x_y", 3);
        put_long_varint(&m, 4 << 3 | 2, bytes);
        put_long_varint(&m, 2, bytes);
        put(&m, "mm", 2);
        put_long_varint(&m, 3 << 3, bytes);
        put_long_varint(&m, 1, bytes);
    }
    put_unknown(&m);
    put_message(&b, &m);

    put_varint(&m, 1ull << 32 << 3 | 1 << 3 | 2); /* a name: of a field number the lower 32 bits count */
    put_varint(&m, 6);
    put(&m, "name_2", 6);
    put_metrics(&m, 2, 10);
    for (int i = 0; i < 1000; i++)
        put_varint(&m, 9 << 3 | 3);
    for (int i = 0; i < 1000; i++)
        put_varint(&m, 9 << 3 | 4);
    put_message(&b, &m);
    check_union(span(&b), PROTOBUF, first_message_len);

    struct question q = {.content_type = PROTOBUF};
    struct outcome o = feed_all_ways(span(&b), &q);
    assert_int_equal(o.counts.series_seen, 1 + 10 + 2);
    assert_int_equal(o.counts.families_seen, 3);
    outcome_free(&o);
    free(b.bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_union),
        cmocka_unit_test(test_large_families),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_long_varints),
        cmocka_unit_test(test_lengths_of_metrics),
        cmocka_unit_test(test_what_no_encoder_writes),
    };
    return cmocka_run_group_tests_name("protobuf", tests, NULL, NULL);
}
