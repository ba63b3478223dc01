/* SPDX-License-Identifier: Apache-2.0 */
/* What an index and a filter report about a body beside its shards, and invalid patterns. */
#include "feed.h"

#include <scrapeshard/index.h>
#include <scrapeshard/rules.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One family for each route. */
static const char body[] = "# HELP a A.\n"
                           "a 1\n"
                           "a{x=\"y\"} 2\n"
                           "# a comment\n"
                           "gone 1\n"
                           "everywhere 1\n"
                           "b_bucket{le=\"1\"} 1\n"
                           "b_count 1\n"
                           "b_sum 1\n";

static const struct ss_family_count largest[] = {
    {.name = SPAN("b"), .series = 3, .bytes = sizeof("b_bucket{le=\"1\"} 1\nb_count 1\nb_sum 1\n") - 1},
    {.name = SPAN("a"), .series = 2, .bytes = sizeof("a 1\na{x=\"y\"} 2\n") - 1},
};

/* A sharding with a drop rule and a replicate rule. */
static struct ss_filter_settings
settings_new(struct ss_rules **rulesp)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_sharding_settings sharding = ss_sharding_settings_default();
    struct ss_rule_error error;

    assert_int_equal(ss_rules_new(rulesp), 0);
    assert_int_equal(ss_rules_add(*rulesp, SS_ACTION_DROP, SPAN("gone"), &error), 0);
    assert_int_equal(ss_rules_add(*rulesp, SS_ACTION_REPLICATE, SPAN("every.*"), &error), 0);
    sharding.rules = *rulesp;
    assert_int_equal(ss_sharding_new(&settings.sharding, &sharding), 0);
    settings.count_families = true;
    return settings;
}

static void
settings_end(struct ss_filter_settings *settings, struct ss_rules *rules)
{
    ss_sharding_free(settings->sharding);
    ss_rules_free(rules);
}

static void
check_largest(const struct ss_family_count *found, size_t n)
{
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(found[i].name.len, largest[i].name.len);
        assert_memory_equal(found[i].name.ptr, largest[i].name.ptr, largest[i].name.len);
        assert_int_equal(found[i].series, largest[i].series);
        assert_true(found[i].bytes >= largest[i].bytes); /* plus the metadata */
    }
}

/* The sums over visit(). */
struct visited {
    uint64_t series[SS_INDEX_METADATA + 1], bytes, named;
};

static void
visit(void *ctx, const struct ss_index_part *part)
{
    struct visited *v = ctx;
    v->series[part->route] += part->series;
    v->bytes += part->bytes;
    v->named += part->family.len > 0;
    assert_true(part->bytes > 0);
}

static void
test_index(void **state)
{
    (void)state;
    struct ss_rules *rules;
    struct ss_filter_settings settings = settings_new(&rules);
    struct ss_family_count found[2];
    struct visited v = {.bytes = 0};
    struct ss_index *x;

    assert_int_equal(ss_index_new(&x, &settings), 0);
    assert_int_equal(ss_index_feed(x, SPAN(body)), 0);
    assert_int_equal(ss_index_end(x), 0);
    assert_string_equal(ss_index_format(x), "text");
    assert_int_equal(ss_index_series(x), 7);
    assert_int_equal(ss_index_body(x).len, sizeof(body) - 1);
    assert_memory_equal(ss_index_body(x).ptr, body, sizeof(body) - 1);
    assert_true(ss_index_memory(x) > sizeof(body));
    check_largest(found, ss_index_largest(x, found, 2));
    assert_int_equal(ss_index_largest(x, found, 0), 0);

    ss_index_visit(x, visit, &v);
    assert_int_equal(v.series[SS_INDEX_BY_HASH], 5);
    assert_int_equal(v.series[SS_INDEX_ALL], 1);
    assert_int_equal(v.series[SS_INDEX_NONE], 1);
    assert_int_equal(v.series[SS_INDEX_UNKEYED] + v.series[SS_INDEX_METADATA], 0);
    assert_int_equal(v.bytes, sizeof(body) - 1);
    assert_true(v.named >= 4);
    ss_index_free(x);
    ss_index_free(NULL);
    settings_end(&settings, rules);
}

/* What some of three shards have of an index. */
static struct outcome
select_from(const struct ss_index *x, const char *text)
{
    struct outcome o = {.result = 0};
    struct ss_sink sink = {outcome_take, &o};
    struct ss_shards_error error;
    struct ss_shards *shards;
    assert_int_equal(ss_shards_parse(&shards, (struct ss_span){text, strlen(text)}, 3, &error), 0);
    assert_int_equal(ss_index_select(x, shards, &sink, &o.counts), 0);
    ss_shards_free(shards);
    return o;
}

static void
check_shard_lists(struct ss_index *x, const char *shards)
{
    assert_int_equal(ss_index_build_shard_lists(x, 4), 0);
    struct outcome before = select_from(x, shards);
    assert_int_equal(ss_index_build_shard_lists(x, 3), 0);
    struct outcome after = select_from(x, shards);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.bytes, after.bytes, before.len);
    assert_memory_equal(&before.counts, &after.counts, sizeof(before.counts));
    outcome_free(&before);
    outcome_free(&after);
}

static void
test_shard_lists(void **state)
{
    (void)state;
    struct ss_rules *rules;
    struct ss_filter_settings settings = settings_new(&rules);
    struct ss_index *x;

    assert_int_equal(ss_index_new(&x, &settings), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ss_index_feed(x, SPAN(body)), 0);
    assert_int_equal(ss_index_end(x), 0);
    size_t before = ss_index_memory(x), most = before - ss_index_body(x).len;
    check_shard_lists(x, "0");
    check_shard_lists(x, "1");
    check_shard_lists(x, "2");
    check_shard_lists(x, "0,2");
    assert_in_range(ss_index_memory(x), before + 1, before + most);
    assert_int_equal(ss_index_build_shard_lists(x, SS_SHARD_COUNT_MAX), 0); /* too many to be worth it */
    assert_int_equal(ss_index_memory(x), before);
    ss_index_free(x);
    settings_end(&settings, rules);
}

/* Families that alternate: each counts once, and once in its shard. */
static void
test_families_that_reappear(void **state)
{
    (void)state;
    static const struct ss_span alternating =
        SPAN("# TYPE a counter\na_total{i=\"1\"} 1\nb{i=\"1\"} 1\neverywhere 1\ngone 1\n"
             "a_total{i=\"2\"} 1\nb{i=\"2\"} 1\neverywhere{i=\"2\"} 1\ngone{i=\"2\"} 1\n"
             "a_total{i=\"3\"} 1\n");
    static const char *const shard_sets[] = {"0", "1", "2", "0-2"};
    struct ss_rules *rules;
    struct ss_filter_settings settings = settings_new(&rules);
    struct ss_index *x;

    settings.max_families = 4;
    assert_int_equal(ss_index_new(&x, &settings), 0);
    assert_int_equal(ss_index_feed(x, alternating), 0);
    assert_int_equal(ss_index_end(x), 0);
    uint64_t kept = 0;
    for (size_t i = 0; i < sizeof(shard_sets) / sizeof(shard_sets[0]); i++) {
        check_shard_lists(x, shard_sets[i]);
        struct outcome o = select_from(x, shard_sets[i]);
        assert_int_equal(o.counts.families_seen, 4);
        kept += i < 3 ? o.counts.families_kept : 0;
        assert_true(i < 3 || o.counts.families_kept == 3);
        outcome_free(&o);
    }
    assert_int_equal(kept, 1 + 1 + 3); /* a, b, and one in every shard */
    ss_index_free(x);

    struct outcome o = {.result = 0};
    struct ss_sink sink = {outcome_take, &o};
    struct ss_filter *filter;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    for (size_t i = 0; i < alternating.len; i++)
        assert_int_equal(ss_filter_feed(filter, (struct ss_span){alternating.ptr + i, 1}, &sink), 0);
    assert_int_equal(ss_filter_end(filter, &sink), 0);
    assert_int_equal(ss_filter_counts(filter)->families_seen, 4);
    assert_int_equal(ss_filter_counts(filter)->families_kept, 3);
    ss_filter_free(filter);
    outcome_free(&o);
    settings_end(&settings, rules);
}

static void
test_filter(void **state)
{
    (void)state;
    struct ss_rules *rules;
    struct ss_filter_settings settings = settings_new(&rules);
    struct ss_family_count found[2];
    struct outcome o = {.result = 0};
    struct ss_sink sink = {outcome_take, &o};
    struct ss_filter *filter;

    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    assert_int_equal(ss_filter_feed(filter, SPAN(body), &sink), 0);
    assert_int_equal(ss_filter_end(filter, &sink), 0);
    assert_string_equal(ss_filter_format(filter), "text");
    check_largest(found, ss_filter_largest(filter, found, 2));
    assert_int_equal(ss_filter_largest(filter, found, 0), 0);
    ss_filter_free(filter);
    outcome_free(&o);
    settings_end(&settings, rules);
}

/* Metadata of split families are bounded, because a filter has to keep them; an index fails at the same place. Feeds
   at_once lines of a length per call. */
static void
check_much_metadata(size_t len, size_t at_once, uint64_t most)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_sharding_settings sharding = ss_sharding_settings_default();
    struct outcome o = {.result = 0};
    struct ss_sink sink = {outcome_take, &o};
    struct ss_filter *filter;
    struct ss_index *x;
    char *bytes = malloc(len * at_once), *line = bytes;
    struct ss_span lines = {bytes, len * at_once};
    uint64_t n = 0;
    int r = 0;

    assert_non_null(bytes);
    memset(bytes, 'h', lines.len);
    for (size_t i = 0; i < at_once; i++, line += len) {
        memcpy(line, "# HELP a ", 9);
        line[len - 1] = '\n';
    }
    sharding.key = SS_KEY_NAME;
    assert_int_equal(ss_sharding_new(&settings.sharding, &sharding), 0);
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    assert_int_equal(ss_index_new(&x, &settings), 0);
    for (; !r && n <= most; n += at_once) {
        r = ss_filter_feed(filter, lines, &sink);
        assert_int_equal(ss_index_feed(x, lines), r);
    }
    assert_int_equal(r, SS_TOO_MANY);
    assert_in_range(ss_filter_error(filter)->offset, most / 2 * len, most * len);
    assert_int_equal(ss_filter_error(filter)->offset % len, 0);
    assert_int_equal(ss_index_error(x)->offset, ss_filter_error(filter)->offset);
    assert_string_equal(ss_index_error(x)->reason, ss_filter_error(filter)->reason);
    assert_non_null(strstr(ss_index_error(x)->reason, "metadata of split families"));
    ss_filter_free(filter);
    ss_index_free(x);
    ss_sharding_free(settings.sharding);
    outcome_free(&o);
    free(bytes);
}

static void
test_much_metadata(void **state)
{
    (void)state;
    check_much_metadata(900000, 1, 40);
    check_much_metadata(11, 10000, 1000000);
}

static void
test_invalid_patterns(void **state)
{
    (void)state;
    static const struct {
        enum ss_action action;
        struct ss_span pattern;
        size_t offset;
        const char *reason;
    } cases[] = {
        {SS_ACTION_DROP, SPAN("a(b"), 3, "missing closing parenthesis"},
        {SS_ACTION_KEEP, SPAN("a\\Cb"), 3, "using \\C is disabled by the application"},
        {SS_ACTION_COLOCATE, SPAN("job:.*"), 0, "expected a capture group or a name, e.g. (job:.*):.* or jobs: job:.*"},
        {SS_ACTION_COLOCATE, SPAN("(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)(a)"), 0,
         "more than 16 capture groups; use (?:...) for those that are not part of the key"},
    };
    struct ss_rules *rules;
    assert_int_equal(ss_rules_new(&rules), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct ss_rule_error error;
        assert_int_equal(ss_rules_add(rules, cases[i].action, cases[i].pattern, &error), EINVAL);
        assert_string_equal(error.reason, cases[i].reason);
        assert_int_equal(error.offset, cases[i].offset);
    }
    ss_rules_free(rules);
    ss_rules_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),
        cmocka_unit_test(test_shard_lists),
        cmocka_unit_test(test_families_that_reappear),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_much_metadata),
        cmocka_unit_test(test_invalid_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
