/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf families that are split: their fields are read, and a large family is emitted in parts. */
#include "splitting.h"

#include <malloc.h>

static void
check_too_long(struct writer *message, size_t max_line)
{
    struct sharding s = split_all();
    struct writer b = {NULL, 0};
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
    sharding_end(&s);
}

/* What is held of a split family is bounded, and the bound does not depend on how the body is cut. */
static void
test_family_memory_is_bounded(void **state)
{
    (void)state;
    struct writer m = {NULL, 0};
    char id[16];

    put_field(&m, 1, SPAN("x"));
    for (int i = 0; i < 30; i++) {
        sprintf(id, "a%d", i);
        put_series(&m, id, 10000);
    }
    put_series(&m, "large", 150000);
    check_too_long(&m, 100000);

    /* What every part repeats counts as well. */
    put_field(&m, 1, SPAN("x"));
    for (int i = 0; i < 30; i++) {
        char help[4000] = "";
        sprintf(id, "a%d", i);
        put_field(&m, 2, (struct ss_span){help, sizeof(help)});
        put_series(&m, id, 10000);
    }
    check_too_long(&m, 100000);
}

/* A large family may repeat its name; half of it at the end of a feed is not its name. */
static void
test_a_name_cut_by_a_feed(void **state)
{
    (void)state;
    enum { SERIES = 60 };
    struct sharding s = split_all();
    struct writer b = {NULL, 0}, m = {NULL, 0};
    char id[16];

    put_field(&m, 1, SPAN("the_name_of_all"));
    for (int i = 0; i < SERIES; i++) {
        sprintf(id, "series-%02d", i);
        put_series(&m, id, 5000);
    }
    put_field(&m, 1, SPAN("the_name_of_all"));
    put_message(&b, &m);
    for (int i = 0; i < 3; i++) {
        struct outcome whole = feed_in_two(span(&b), 0, shard_names[i], s.sharding);
        struct outcome cut = feed_in_two(span(&b), b.len - 6, shard_names[i], s.sharding);
        assert_int_equal(whole.result, 0);
        assert_int_equal(cut.result, 0);
        for (int n = 0; n < SERIES; n++) {
            sprintf(id, "series-%02d", n);
            assert_int_equal(!memmem(whole.bytes, whole.len, id, strlen(id)),
                             !memmem(cut.bytes, cut.len, id, strlen(id)));
        }
        outcome_free(&whole);
        outcome_free(&cut);
    }
    free(b.bytes);
    sharding_end(&s);
}

/* A type after metrics that were emitted without it would change their type. */
static void
test_late_type(void **state)
{
    (void)state;
    static const struct {
        int first, last; /* -1: none */
        bool accepted;
    } types[] = {{-1, 1, false}, {-1, 0, true}, {1, 1, true}, {1, 2, false}, {4, 5, false}};
    struct sharding s = split_all();
    struct writer b = {NULL, 0}, m = {NULL, 0};
    char id[16];

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        put_field(&m, 1, SPAN("x"));
        if (types[i].first >= 0)
            put_number(&m, 3, (uint64_t)types[i].first);
        for (int n = 0; n < 600; n++) {
            sprintf(id, "a%d", n);
            put_series(&m, id, 1000);
        }
        put_number(&m, 3, (uint64_t)types[i].last);
        b.len = 0;
        put_message(&b, &m);
        check_large(&b, s.sharding, types[i].accepted ? 0 : SS_KEY_IMPOSSIBLE, "a type after metrics");
        check_indexed(&b, s.sharding, 3);
    }
    /* Without metrics before it, it is as good as at the start. */
    char *help = calloc(600 * 1024, 1);
    put_field(&m, 1, SPAN("x"));
    put_field(&m, 2, (struct ss_span){help, 600 * 1024});
    put_number(&m, 3, 1);
    put_series(&m, "a", 1000);
    b.len = 0;
    put_message(&b, &m);
    check_large(&b, s.sharding, 0, NULL);
    free(help);
    free(b.bytes);
    sharding_end(&s);
}

/* A malformed metric fails all shards where metrics are read; an unknown field fails none. */
static void
test_metrics_are_read(void **state)
{
    (void)state;
    static const struct {
        struct ss_span fields;
        bool valid;
    } metrics[] = {
        {SPAN(""), true},
        {SPAN("\x4b\x0b\x00\x07\x12\x01x\x0c\x4c"), true},                /* groups, with a field 0 */
        {SPAN("\x80\x80\x80\x80\x10\x01"), true},                         /* field 2^29 */
        {SPAN("\x3a\x04\xc3\x02\xc4\x02"), true},                         /* a group in a histogram */
        {SPAN("\x0a\x04\x1b\x1c\x0a\x00"), true},                         /* a group in a label */
        {SPAN("\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x00\x80\x00"), true}, /* an empty label in long varints */
        {SPAN("\x4b\x0b\x4c"), false},                                    /* an unterminated group */
        {SPAN("\x4c"), false},                                            /* an end without a group */
        {SPAN("\x00\x01"), false},                                        /* field 0 */
        {SPAN("\x08\x01"), false},                                        /* a label that is a number */
        {SPAN("\x0a\x02\x08\x01"), false},                                /* a label name that is a number */
        {SPAN("\x0a\x02\x10\x01"), false},                                /* a label value that is a number */
        {SPAN("\x12\x05x"), false},                                       /* truncated */
        {SPAN("\x15xxxx"), false},                                        /* a gauge of 4 bytes */
        {SPAN("\x32\x00"), false},                                        /* a timestamp of the wrong type */
        {SPAN("\x3a\x02\x30\x01"), false},                                /* a zero threshold of the wrong type */
        {SPAN("\x3a\x02\x60\x01"), false},                                /* a span that is a number */
        {SPAN("\x3a\x05\x6dxxxx"), false},                                /* a delta of 4 bytes */
    };
    struct sharding s = split_all();
    struct ss_sharding *labels = by_id();

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        struct writer b = {NULL, 0}, m = {NULL, 0};
        put_field(&m, 1, SPAN("x"));
        put_number(&m, 3, HISTOGRAM);
        put_series(&m, "a", 5);
        put_field(&m, 4, metrics[i].fields);
        put_series(&m, "b", 5);
        put_message(&b, &m);
        for (int n = 0; n < 6; n++) {
            struct question q = {.content_type = PROTOBUF,
                                 .shard = shard_names[n % 3],
                                 .count = 3,
                                 .sharding = n < 3 ? s.sharding : labels};
            struct outcome o = feed_all_ways(span(&b), &q);
            if (o.result != (metrics[i].valid ? 0 : SS_NO_EXPOSITION))
                fail_msg("metric %zu, shard %d: result %d, %s", i, n, o.result, o.error.reason);
            outcome_free(&o);
        }
        free(b.bytes);
    }
    ss_sharding_free(labels);
    sharding_end(&s);
}

/* Allocated bytes; 0 if another allocator is in use. */
static size_t
allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* A tenth more is untouched spare capacity. */
static void
check_memory(const struct ss_index *index, size_t before)
{
    size_t actual = allocated() - before, reported = ss_index_memory(index);
    if (actual > reported / 10 * 11)
        fail_msg("%zu bytes allocated, %zu reported", actual, reported);
}

/* An index holds a split family twice until it is complete, which is counted; and once when it is. */
static void
test_memory_of_an_index(void **state)
{
    (void)state;
    enum { METRICS = 8000, PIECE = 64 * 1024 }; /* a little less than 8 MiB, for little spare capacity */
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct sharding s = split_all();
    struct writer b = {NULL, 0}, m = {NULL, 0};
    struct ss_index *index;
    char id[16];

    put_field(&m, 1, SPAN("x"));
    for (int n = 0; n < METRICS; n++) {
        sprintf(id, "a%d", n);
        put_series(&m, id, 1000);
    }
    put_message(&b, &m);
    settings.content_type = PROTOBUF;
    settings.sharding = s.sharding;
    size_t before = allocated(), at = 0;
    assert_int_equal(ss_index_new(&index, &settings), 0);
    for (; b.len - at > PIECE; at += PIECE) {
        assert_int_equal(ss_index_feed(index, (struct ss_span){b.bytes + at, PIECE}), 0);
        assert_true(ss_index_memory(index) > 2 * at);
    }
    check_memory(index, before);
    assert_int_equal(ss_index_feed(index, (struct ss_span){b.bytes + at, b.len - at}), 0);
    assert_int_equal(ss_index_end(index), 0);
    check_memory(index, before);
    assert_in_range(ss_index_memory(index), b.len, b.len + METRICS * 100);
    ss_index_free(index);
    free(b.bytes);
    sharding_end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_family_memory_is_bounded),
        cmocka_unit_test(test_a_name_cut_by_a_feed),
        cmocka_unit_test(test_late_type),
        cmocka_unit_test(test_metrics_are_read),
        cmocka_unit_test(test_memory_of_an_index),
    };
    return cmocka_run_group_tests_name("family-splitter", tests, NULL, NULL);
}
