/* SPDX-License-Identifier: Apache-2.0 */
/* OpenMetrics 2.0: its keys and rules against those of the other formats, and which keys it cannot have. */
#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OM2 "application/openmetrics-text; version=2.0.0; charset=utf-8"
#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

enum { SHARDS = 3 };

static struct outcome
feed_plan(const struct plan *plan, const char *body, const char *content_type, uint32_t shard, uint32_t count)
{
    struct sharding s = sharding_of(plan);
    char name[16];
    snprintf(name, sizeof(name), "%u", shard);
    struct question q = {.content_type = content_type, .shard = name, .count = count, .sharding = s.sharding};
    struct outcome o = feed_all_ways((struct ss_span){body, strlen(body)}, &q);
    sharding_end(&s);
    return o;
}

/* Vectors. */

/* Checks each row of a table of tests/vectors. */
static void
for_each_row(const char *table, void (*check)(char *row), int least)
{
    char path[300], line[600];
    int rows = 0;
    snprintf(path, sizeof(path), "%s/%s.tsv", getenv("VECTORS"), table);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '#')
            continue;
        check(line);
        rows++;
    }
    fclose(f);
    assert_true(rows >= least);
}

/* Checks that all of a body is in this shard, and but for the end marker nothing in the next. */
static void
check_in_shard(const char *body, const char *content_type, const struct plan *plan, uint32_t shard, uint32_t count)
{
    const char *marker = strstr(body, "# EOF");
    for (uint32_t i = 0; i < (count > 1 ? 2 : 1); i++) {
        struct outcome o = feed_plan(plan, body, content_type, (shard + i) % count, count);
        const char *expected = i == 0 ? body : marker ? marker : "";
        assert_int_equal(o.result, 0);
        assert_string_equal(o.bytes, expected);
        outcome_free(&o);
    }
}

/* A row of declared.tsv: metadata in any order and samples have the key. */
static void
check_declared(char *row)
{
    static const struct plan plan = {.key = SS_KEY_DECLARED}, ruled = {.key = SS_KEY_DECLARED, .rules = {"drop x"}};
    const char *type = strsep(&row, "\t"), *kind = strsep(&row, "\t"), *name = strsep(&row, "\t"),
               *sample = strsep(&row, "\t");
    bool openmetrics = strcmp(type, "text/plain") != 0;
    const char *end = openmetrics ? "# EOF\n" : "", *unit = openmetrics ? "UNIT" : "HELP";
    char bodies[2][500], *place;

    strsep(&row, "\t"); /* the key */
    strsep(&row, "\t"); /* its hash */
    snprintf(bodies[0], sizeof(bodies[0]), "# TYPE %s %s\n# HELP %s A text.\n%s 1\n%s{a=\"b\"} 2\n%s", name, kind, name,
             sample, sample, end);
    snprintf(bodies[1], sizeof(bodies[1]), "# HELP %s A text.\n# %s %s s\n# TYPE %s %s\n%s 1\n# HELP %s x\n%s 2\n%s",
             name, unit, name, name, kind, sample, name, sample, end);
    while ((place = strsep(&row, "\t")) != NULL) {
        uint32_t count = (uint32_t)strtoul(place, &place, 10), shard = (uint32_t)strtoul(place + 1, NULL, 10);
        for (int i = 0; i < 2; i++) {
            check_in_shard(bodies[i], type, &plan, shard, count);
            check_in_shard(bodies[i], type, &ruled, shard, count);
        }
    }
}

static void
test_declared_vectors(void **state)
{
    (void)state;
    for_each_row("declared", check_declared, 20);
}

/* A row of composites.tsv: the key, its labels, and whether it works where a histogram is a single metric. */
static void
check_composites(char *row)
{
    static const char *const keys[] = {"family", "declared", "name", "labels"};
    static const struct {
        const char *content_type, *body;
    } bodies[] = {{PROTOBUF, "\x03\x0a\x01"
                             "a"},
                  {OM2, "# EOF\n"}};
    char *key = strsep(&row, "\t"), *labels = strsep(&row, "\t");
    struct plan plan = {.key = SS_KEY_FAMILY};
    bool works = !strcmp(row, "yes");

    while (strcmp(keys[plan.key], key) != 0)
        plan.key++;
    for (size_t i = 0; i < 2 && labels && *labels; i++)
        plan.labels[i] = strsep(&labels, ",");
    struct sharding s = sharding_of(&plan);
    assert_int_equal(ss_sharding_takes_protobuf(s.sharding), works);
    sharding_end(&s);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct outcome o = feed_plan(&plan, bodies[i].body, bodies[i].content_type, 0, 2);
        assert_int_equal(o.result, works ? 0 : SS_KEY_IMPOSSIBLE);
        outcome_free(&o);
    }
}

static void
test_composites_vectors(void **state)
{
    (void)state;
    for_each_row("composites", check_composites, 10);
}

/* The same metrics in each text format. */

static const char text[] = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"+Inf\"} 2\nh_sum{a=\"1\"} 3\nh_count{a=\"1\"} 2\n"
                           "h_bucket{a=\"2\",le=\"+Inf\"} 5\nh_sum{a=\"2\"} 6\nh_count{a=\"2\"} 5\n"
                           "# TYPE s summary\ns{a=\"1\",quantile=\"0.5\"} 1\ns_sum{a=\"1\"} 1\ns_count{a=\"1\"} 1\n"
                           "# TYPE c_total counter\nc_total{a=\"1\"} 1\nc_total{a=\"2\",b=\"\"} 1\n"
                           "# TYPE g gauge\ng{a=\"1\"} 1\ng{a=\"3\"} 1\ng{b=\"1\",a=\"1\"} 1\n"
                           "# TYPE x_count gauge\nx_count{a=\"4\"} 1\n",
                  openmetrics[] =
                      "# TYPE h histogram\nh_bucket{a=\"1\",le=\"+Inf\"} 2\nh_sum{a=\"1\"} 3\nh_count{a=\"1\"} 2\n"
                      "h_bucket{a=\"2\",le=\"+Inf\"} 5\nh_sum{a=\"2\"} 6\nh_count{a=\"2\"} 5\n"
                      "# TYPE s summary\ns{a=\"1\",quantile=\"0.5\"} 1\ns_sum{a=\"1\"} 1\ns_count{a=\"1\"} 1\n"
                      "# TYPE c counter\nc_total{a=\"1\"} 1\nc_total{a=\"2\",b=\"\"} 1\n"
                      "# TYPE g gauge\ng{a=\"1\"} 1\ng{a=\"3\"} 1\ng{b=\"1\",a=\"1\"} 1\n"
                      "# TYPE x_count gauge\nx_count{a=\"4\"} 1\n# EOF\n",
                  openmetrics_2[] =
                      "# TYPE h histogram\nh{a=\"1\"} {count:2,sum:3,bucket:[+Inf:2]} st@1\n"
                      "h{a=\"2\"} {count:5,sum:6,bucket:[+Inf:5]} 5\n"
                      "# TYPE s summary\ns{a=\"1\"} {count:1,sum:1,quantile:[0.5:1]} # {} 1 1 # {} 2 1\n"
                      "# TYPE c_total counter\nc_total{a=\"1\"} 1 st@1\nc_total{a=\"2\",b=\"\"} 1 1 st@1\n"
                      "# TYPE g gauge\ng{a=\"1\"} 1\n{\"g\",a=\"3\"} 1\ng{b=\"1\",a=\"1\"} 1\n"
                      "# TYPE x_count gauge\nx_count{a=\"4\"} 1\n# EOF\n";

/* How a series, or the metadata of a family, is written: in text and 1.0, and in 2.0. */
static const struct {
    const char *before, *in_2;
} pieces[] = {
    {"h_bucket{a=\"1\"", "h{a=\"1\""},
    {"h_bucket{a=\"2\"", "h{a=\"2\""},
    {"s{a=\"1\"", "s{a=\"1\""},
    {"c_total{a=\"1\"", "c_total{a=\"1\""},
    {"c_total{a=\"2\"", "c_total{a=\"2\""},
    {"\ng{a=\"1\"", "\ng{a=\"1\""},
    {"\ng{a=\"3\"", "\n{\"g\",a=\"3\""},
    {"g{b=", "g{b="},
    {"# TYPE h", "# TYPE h"},
    {"# TYPE s", "# TYPE s"},
    {"# TYPE c", "# TYPE c"},
    {"# TYPE g", "# TYPE g"},
    {"x_count{", "x_count{"},
};

/* In each shard of the bodies are the same pieces. */
static void
check_same_shards(const struct plan *plan, const char *before, const char *content_type)
{
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        struct outcome a = feed_plan(plan, before, content_type, shard, SHARDS),
                       b = feed_plan(plan, openmetrics_2, OM2, shard, SHARDS);
        if (a.result || b.result)
            fail_msg("shard %u: %s%s", shard, a.error.reason, b.error.reason);
        for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
            if (!strstr(a.bytes, pieces[i].before) != !strstr(b.bytes, pieces[i].in_2))
                fail_msg("key %d, shard %u: %s is not where %s is:\n%s", plan->key, shard, pieces[i].in_2,
                         pieces[i].before, b.bytes);
        outcome_free(&a);
        outcome_free(&b);
    }
}

static void
test_same_shards(void **state)
{
    (void)state;
    static const struct plan plans[] = {
        {.key = SS_KEY_FAMILY},
        {.key = SS_KEY_LABELS, .labels = {"a"}},
        {.key = SS_KEY_LABELS, .labels = {"b", "a"}},
        {.rules = {"split .*"}},
        {.key = SS_KEY_LABELS, .labels = {"a"}, .rules = {"split [hg]"}},
        {.rules = {"drop h|g"}},
        {.rules = {"keep c|s"}},
        {.rules = {"replicate c_total|h"}},
        {.rules = {"colocate all: .*"}},
        {.key = SS_KEY_DECLARED, .rules = {"replicate c|x_count"}},
        {.key = SS_KEY_DECLARED, .rules = {"drop c_total"}},
    };
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        check_same_shards(&plans[i], openmetrics, OM);
        /* The declared name of a counter differs between text and 1.0. */
        if (plans[i].key != SS_KEY_DECLARED)
            check_same_shards(&plans[i], text, TEXT);
    }
}

/* A rule for the samples of a histogram finds none, as in protobuf; one for a family that has such a name does. */
static void
test_rules_match_families(void **state)
{
    (void)state;
    static const struct plan buckets = {.rules = {"drop (h|x)_(bucket|sum|count)"}};
    struct outcome o = feed_plan(&buckets, openmetrics_2, OM2, 0, 1);
    assert_int_equal(o.result, 0);
    assert_non_null(strstr(o.bytes, "\nh{a=\"1\"} {count:2"));
    assert_null(strstr(o.bytes, "x_count"));
    assert_int_equal(o.counts.series_seen, 9);
    assert_int_equal(o.counts.series_kept, 8);
    outcome_free(&o);
}

/* Of several types of a name each counts, also where no sample stands between them: a rule that matches nothing moves
   nothing, and 2.0 does not forget what was an info before. */
static void
test_each_type_counts(void **state)
{
    (void)state;
    static const char types[] = "# HELP jobs Jobs.\n# TYPE jobs counter\n# TYPE jobs gauge\njobs 3\n"
                                "jobs_total{a=\"1\"} 7\njobs_total{a=\"2\"} 8\n# EOF\n",
                      info[] = "# TYPE foo_info info\n# TYPE foo_info summary\nfoo_info 1\n# EOF\n",
                      plain[] = "# TYPE foo gauge\nfoo 1\n# EOF\n";
    static const struct plan plans[][2] = {
        {{.key = SS_KEY_DECLARED}, {.key = SS_KEY_DECLARED, .rules = {"replicate target_info"}}},
        {{.key = SS_KEY_NAME}, {.key = SS_KEY_NAME, .rules = {"replicate target_info"}}},
        {{.key = SS_KEY_LABELS, .labels = {"a"}},
         {.key = SS_KEY_LABELS, .labels = {"a"}, .rules = {"replicate target_info"}}},
    };
    for (uint32_t shard = 0; shard < 3; shard++) {
        for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
            struct outcome bare = feed_plan(&plans[i][0], types, OM, shard, 3);
            struct outcome ruled = feed_plan(&plans[i][1], types, OM, shard, 3);
            assert_string_equal(ruled.bytes, bare.bytes);
            outcome_free(&bare);
            outcome_free(&ruled);
        }
        struct outcome with = feed_plan(&plans[0][0], info, OM2, shard, 3);
        struct outcome without = feed_plan(&plans[0][0], plain, OM2, shard, 3);
        assert_int_equal(with.counts.series_kept, without.counts.series_kept);
        outcome_free(&with);
        outcome_free(&without);
    }
}

/* The version is what Prometheus looks at; the rest of the media type is not. */
static void
test_content_types(void **state)
{
    (void)state;
    static const struct {
        const char *content_type;
        bool is_2;
    } types[] = {
        {"application/openmetrics-text; version=2.0.0; charset=utf-8", true},
        {"application/openmetrics-text;version=2.0.0", true},
        {"Application/OpenMetrics-Text ;charset=\"a;b\\\"\"; VERSION=\"2.0.0\"", true},
        {"application/openmetrics-text; version=2", true},
        {"application/openmetrics-text; version=2.1.0-rc0 ", true},
        {"application/openmetrics-text; version=1.0.0", false},
        {"application/openmetrics-text", false},
        {"application/openmetrics-text; version=20.0", false},
        {"application/openmetrics-text; version=12.0.0", false},
        {"application/openmetrics-text; version=", false},
        {"application/openmetrics-text; charset=\";version=2.0.0\"", false},
        {"application/openmetrics-text; aversion=2.0.0", false},
        {"application/openmetrics-text; version=1.0.0; version=2.0.0", false},
    };
    static const struct plan plan = {.key = SS_KEY_NAME};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct outcome o = feed_plan(&plan, "# EOF\n", types[i].content_type, 0, 1);
        if (o.result != (types[i].is_2 ? SS_KEY_IMPOSSIBLE : 0))
            fail_msg("%s: %d", types[i].content_type, o.result);
        if (types[i].is_2)
            assert_string_equal(o.error.reason,
                                "a key that does not work in openmetrics 2.0, where a histogram is a single metric");
        outcome_free(&o);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declared_vectors), cmocka_unit_test(test_composites_vectors),
        cmocka_unit_test(test_same_shards),      cmocka_unit_test(test_rules_match_families),
        cmocka_unit_test(test_each_type_counts), cmocka_unit_test(test_content_types),
    };
    return cmocka_run_group_tests_name("openmetrics2", tests, NULL, NULL);
}
