/* SPDX-License-Identifier: Apache-2.0 */
/* Families of protobuf whose metrics part: fields are read, and the family comes in frames. */
#include "protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

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

/* Feeds a body in two pieces, or whole. Its outcome has no more than its result, its bytes and why it failed. */
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
    o.result = ss_filter_feed(filter, (struct ss_span){body.ptr, cut}, &sink);
    if (!o.result)
        o.result = ss_filter_feed(filter, (struct ss_span){body.ptr + cut, body.len - cut}, &sink);
    if (!o.result)
        o.result = ss_filter_end(filter, &sink);
    if (o.result)
        o.error = *ss_filter_error(filter);
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
    splitting_end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_are_bounded),
        cmocka_unit_test(test_a_name_that_is_cut_in_a_frame),
    };
    return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
