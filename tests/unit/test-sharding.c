/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and rules: bodies with split families, cut in every way, and the cost of hostile ones. */
#include "plan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

enum { SHARDS = 3 };

/* What each shard has of a body; index SHARDS is the whole. Either all or none of them fail, with the error in the
   first. */
struct shards {
    struct outcome of[SHARDS + 1];
};

static struct shards
shards_of(struct ss_span body, const char *content_type, const struct plan *plan, size_t max_line)
{
    static const char *const names[] = {"0", "1", "2", NULL};
    struct sharding s = sharding_of(plan);
    struct shards shards;

    for (int i = 0; i <= SHARDS; i++) {
        shards.of[i] = feed_all_ways(body, &(struct question){.content_type = content_type,
                                                              .shard = names[i],
                                                              .count = SHARDS,
                                                              .max_line = max_line,
                                                              .sharding = s.sharding});
        if (shards.of[i].result != shards.of[0].result)
            fail_msg("shard %d: %d and not %d: %s", i, shards.of[i].result, shards.of[0].result,
                     shards.of[i].error.reason);
    }
    sharding_end(&s);
    return shards;
}

static void
shards_free(struct shards *shards)
{
    for (int i = 0; i <= SHARDS; i++)
        outcome_free(&shards->of[i]);
}

/* How often a text occurs in what a shard has. */
static int
count_in(const struct outcome *o, const char *text)
{
    int n = 0;
    for (const char *p = o->bytes; (p = memmem(p, o->len - (size_t)(p - o->bytes), text, strlen(text))) != NULL; p++)
        n++;
    return n;
}

static int
count_everywhere(const struct shards *shards, const char *text)
{
    int n = 0;
    for (int i = 0; i < SHARDS; i++)
        n += count_in(&shards->of[i], text);
    return n;
}

/* The bodies of the plans below. */

static const char many[] = "# HELP h Of all.\n# TYPE h histogram\n"
                           "h_bucket{le=\"1\",a=\"1\"} 1\nh_bucket{le=\"+Inf\",a=\"1\"} 2\nh_sum{a=\"1\"} 3\n"
                           "h_count{a=\"1\"} 2\nh_bucket{a=\"2\",le=\"1\"} 1\nh_bucket{a=\"2\",le=\"+Inf\"} 2\n"
                           "h_sum{a=\"2\"} 3\nh_count{a=\"2\"} 2\n"
                           "# TYPE g gauge\ng{a=\"1\"} 1\ng{a=\"2\"} 2\ng{a=\"3\"} 3\ng{a=\"\\\"\\n\"} 4\ng 5\n"
                           "i{b=\"2\",a=\"1\"} 1\ni{a=\"1\",b=\"3\"} 1\n";

static const struct plan plans[] = {
    {.key = SS_KEY_FAMILY, .rules = {"split h|g"}},
    {.key = SS_KEY_DECLARED, .rules = {"split g"}},
    {.key = SS_KEY_NAME},
    {.key = SS_KEY_NAME, .rules = {"replicate h_bucket", "drop i"}},
    {.key = SS_KEY_NAME, .rules = {"colocate (h_).*"}},
    {.key = SS_KEY_NAME, .rules = {"colocate g-h: h_.*|g"}},
    {.key = SS_KEY_LABELS, .labels = {"a"}},
    {.key = SS_KEY_LABELS, .labels = {"b", "__name__"}, .rules = {"keep h.*|g", "split g"}},
};

/* Each shard has the metadata of a family once, before its first sample, and none without samples; each series is in
   one shard. */
static void
test_metadata_come_before_samples(void **state)
{
    (void)state;
    for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++) {
        struct shards shards = shards_of(SPAN(many), TEXT, &plans[p], 0);
        const bool replicates = p == 3;
        assert_int_equal(shards.of[0].result, 0);
        for (int i = 0; i < SHARDS; i++) {
            const struct outcome *o = &shards.of[i];
            const char *help = strstr(o->bytes, "# HELP h "), *type = strstr(o->bytes, "# TYPE h "),
                       *sample = strstr(o->bytes, "\nh_");
            assert_int_equal(count_in(o, "# TYPE h "), count_in(o, "\nh_") ? 1 : 0);
            assert_int_equal(count_in(o, "# HELP h "), count_in(o, "\nh_") ? 1 : 0);
            assert_int_equal(count_in(o, "# TYPE g "), count_in(o, "\ng") ? 1 : 0);
            assert_true(!sample || (help < type && type < sample));
            assert_true(!strstr(o->bytes, "# TYPE g") || strstr(o->bytes, "# TYPE g") < strstr(o->bytes, "\ng"));
        }
        assert_int_equal(count_everywhere(&shards, "\nh_bucket{"), replicates ? 4 * SHARDS : 4);
        assert_int_equal(count_everywhere(&shards, "\ng"), 5);
        shards_free(&shards);
    }
}

static void
test_split_keeps_a_histogram_together(void **state)
{
    (void)state;
    static const char untyped[] = "h_bucket{le=\"1\",a=\"1\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 2\nh_sum{a=\"1\"} 3\n"
                                  "h_count{a=\"1\",empty=\"\"} 2\ns{quantile=\"0.5\",a=\"1\"} 1\ns_sum{a=\"1\"} 1\n";
    const struct plan plan = {.rules = {"split h|s"}};
    struct shards shards = shards_of(SPAN(untyped), TEXT, &plan, 0);
    for (int i = 0; i < SHARDS; i++) {
        assert_true(count_in(&shards.of[i], "h_") == 0 || count_in(&shards.of[i], "h_") == 4);
        assert_true(count_in(&shards.of[i], "\ns") == 0 || count_in(&shards.of[i], "s{quantile") == 1);
    }
    assert_int_equal(count_everywhere(&shards, "h_"), 4);
    shards_free(&shards);
}

/* Labels in any order and number. */
static void
test_split_sorts_labels(void **state)
{
    (void)state;
    enum { LABELS = 90000 };
    const struct plan plan = {.rules = {"split a"}};
    char *line = malloc(LABELS * 11 + 20), *at = line + sprintf(line, "a{");
    for (int i = LABELS; i > 0; i--)
        at += sprintf(at, "%c%05d=\"1\",", 'a' + i % 26, i); /* an order for which insertion sort would take a minute */
    at += sprintf(at, "} 1\n");

    struct sharding s = sharding_of(&plan);
    struct ss_explanation e;
    assert_int_equal(ss_explain(s.sharding, (struct ss_span){line, (size_t)(at - line) - 3}, &e), 0);
    assert_int_equal(e.key.len, 1 + LABELS * 9);
    static const char begins[] = "a\xff"
                                 "a00026\xff"
                                 "1\xff"
                                 "a00052\xff";
    assert_memory_equal(e.key.ptr, begins, sizeof(begins) - 1);
    sharding_end(&s);
    free(line);

    static const char *const same[] = {"a{b=\"1\",c=\"2\",le=\"3\"}", "a_sum{c=\"2\",b=\"1\",d=\"\"}",
                                       "a_total { c = \"2\" , b=\"1\", }", "{\"b\"=\"1\",\"a\",c=\"2\"}"};
    uint64_t hash = 0;
    s = sharding_of(&plan);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        assert_int_equal(ss_explain(s.sharding, (struct ss_span){same[i], strlen(same[i])}, &e), 0);
        assert_string_equal(e.action, "split");
        assert_true(!i || e.hash == hash);
        hash = e.hash;
    }
    sharding_end(&s);
}

/* What is not a series is not explained, even if its end looks like one. */
static void
test_what_cannot_be_explained(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", " ", "{", "a{b=\"1\n2\"x}", "a{", "a{b=\"c\"", "a{b=\"x:\"y\"}", "a\nb", "{b=\"c\"}", "# TYPE a gauge",
        "1"};
    const struct plan plan = {.key = SS_KEY_FAMILY};
    struct sharding s = sharding_of(&plan);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ss_explanation e;
        if (ss_explain(s.sharding, (struct ss_span){wrong[i], strlen(wrong[i])}, &e) <= 0 || !*e.reason)
            fail_msg("\"%s\" is explained", wrong[i]);
    }
    sharding_end(&s);
}

/* Rules. */

static void
check_action(const struct plan *plan, struct ss_span name, const char *action)
{
    struct sharding s = sharding_of(plan);
    struct ss_explanation e;
    char series[600];
    int n = snprintf(series, sizeof(series), "{\"%.*s\"}", (int)name.len, name.ptr);
    assert_int_equal(ss_explain(s.sharding, (struct ss_span){series, (size_t)n}, &e), 0);
    if (!action)
        assert_null(e.action);
    else
        assert_string_equal(e.action, action);
    sharding_end(&s);
}

/* A pattern is stored unchanged, with its NULs. */
static void
test_a_pattern_with_a_nul(void **state)
{
    (void)state;
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    const struct ss_span pattern = SPAN("x|a\0bcdefghijklmnopqrstuvwxyz|up");
    struct ss_rule_error error;
    struct ss_sharding *sharding;
    struct ss_explanation e;

    assert_int_equal(ss_rules_new(&settings.rules), 0);
    assert_int_equal(ss_rules_add(settings.rules, SS_ACTION_DROP, pattern, &error), 0);
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);
    assert_int_equal(ss_explain(sharding, SPAN("up"), &e), 0);
    assert_string_equal(e.action, "drop");
    assert_int_equal(e.pattern.len, pattern.len);
    assert_memory_equal(e.pattern.ptr, pattern.ptr, pattern.len);
    ss_sharding_free(sharding);
    ss_rules_free(settings.rules);
}

/* A pattern matches the whole name. A name that is not UTF-8 matches nothing, with the JIT and without. */
static void
test_patterns_are_anchored(void **state)
{
    (void)state;
    const struct plan plan = {.rules = {"drop foo|bar"}}, all = {.rules = {"drop .*"}};
    check_action(&plan, SPAN("foo"), "drop");
    check_action(&plan, SPAN("foo_total"), "drop");
    check_action(&plan, SPAN("foobar"), NULL);
    check_action(&plan, SPAN("foo\n"), NULL);
    check_action(&plan, SPAN("foo\xff"), NULL);
    check_action(&plan,
                 SPAN("\xff"
                      "foo"),
                 NULL);
    check_action(&plan,
                 SPAN("foo\xff"
                      "bar"),
                 NULL);
    check_action(&all, SPAN("foo\n\xc3\xa9"), "drop");
    check_action(&all, SPAN("foo\xff"), NULL);
}

static void
test_order_of_rules(void **state)
{
    (void)state;
    const struct plan plan = {.rules = {"split .*", "colocate (a).*", "replicate ab.*", "drop abc.*"}};
    check_action(&plan, SPAN("b"), "split");
    check_action(&plan, SPAN("a"), "colocate");
    check_action(&plan, SPAN("ab"), "replicate");
    check_action(&plan, SPAN("abc"), "drop");
    const struct plan keep = {.rules = {"keep a.*", "replicate .*", "drop ab"}};
    check_action(&keep, SPAN("b"), "keep");
    check_action(&keep, SPAN("a"), "replicate");
    check_action(&keep, SPAN("ab"), "drop");
}

/* A colocate rule's key, and where it is: a row of tests/vectors/colocate.tsv. */
static void
check_group(char *row)
{
    char *rule = strsep(&row, "\t"), *name = strsep(&row, "\t"), *key = strsep(&row, "\t"), written[100];
    struct ss_explanation e;
    char *tab = strstr(rule, "\\t");

    snprintf(written, sizeof(written), "colocate %.*s%s%s", (int)(tab ? tab - rule : 100), rule, tab ? "\t" : "",
             tab ? tab + 2 : "");
    const struct plan plan = {.rules = {written}};
    struct sharding s = sharding_of(&plan);
    assert_int_equal(ss_explain(s.sharding, (struct ss_span){name, strlen(name)}, &e), 0);
    assert_int_equal(e.key.len, strlen(key));
    assert_memory_equal(e.key.ptr, key, e.key.len);
    assert_int_equal(e.hash, strtoull(strsep(&row, "\t"), NULL, 16));
    while (row) {
        uint32_t count = (uint32_t)strtoul(strsep(&row, ":"), NULL, 10);
        assert_int_equal(ss_sharding_place(s.sharding, e.hash, count), strtoul(strsep(&row, "\t"), NULL, 10));
    }
    sharding_end(&s);
}

static void
test_group_vectors(void **state)
{
    (void)state;
    char path[512], line[512];
    int rows = 0;
    snprintf(path, sizeof(path), "%s/colocate.tsv", getenv("VECTORS"));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (; fgets(line, sizeof(line), f); rows++)
        if (line[0] != '#')
            check_group(line);
    fclose(f);
    assert_true(rows > 8);
}

/* What looks like a named group and is none. */
static void
test_groups_without_a_name(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        size_t offset;
    } wrong[] = {{": a", 0}, {"a b: c", 1}, {"a: ", 3}, {"a:  (", 5}, {"\xc3\xa9: a", 0}, {"a:b", 0}, {"a:", 0}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ss_rule_error error = {.offset = 99};
        struct ss_rules *rules;
        assert_int_equal(ss_rules_new(&rules), 0);
        struct ss_span pattern = {wrong[i].rule, strlen(wrong[i].rule)};
        assert_int_equal(ss_rules_add(rules, SS_ACTION_COLOCATE, pattern, &error), EINVAL);
        assert_int_equal(error.offset, wrong[i].offset);
        /* A blank has no meaning in another rule, and one that has a group needs no name. */
        assert_int_equal(ss_rules_add(rules, SS_ACTION_DROP, (struct ss_span){"a b: c", 6}, &error), 0);
        assert_int_equal(ss_rules_add(rules, SS_ACTION_COLOCATE, (struct ss_span){"([: ]).*", 8}, &error), 0);
        ss_rules_free(rules);
    }
}

static void
test_a_pattern_over_the_limit(void **state)
{
    (void)state;
    const struct plan plan = {.rules = {"replicate x", "drop (a+)+$|(a|aa)+b"}};
    char body[1200] = "x 1\n";
    memset(body + 4, 'a', 300);
    strcpy(body + 304, "c{a=\"b\"} 1\nx 2\n");
    struct shards shards = shards_of((struct ss_span){body, strlen(body)}, TEXT, &plan, 0);
    assert_int_equal(shards.of[0].result, SS_RULE_FAILED);
    assert_non_null(strstr(shards.of[0].error.reason, "drop = (a+)+$|(a|aa)+b"));
    assert_int_equal(shards.of[0].error.line, 2);
    shards_free(&shards);
}

/* A name that exhausts the stack of the JIT is matched all the same. */
static void
test_a_pattern_that_needs_a_stack(void **state)
{
    const struct plan plan = {.rules = {"drop (?:(a)|(b))*c?"}};
    struct sharding s = sharding_of(&plan);
    char body[2048];
    (void)state;

    memset(body, 'a', sizeof(body));
    memcpy(body + sizeof(body) - 3, " 1\n", 3);
    struct outcome o = feed_all_ways((struct ss_span){body, sizeof(body)},
                                     &(struct question){.content_type = TEXT, .sharding = s.sharding});
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, 0);
    outcome_free(&o);
    sharding_end(&s);
}

/* The labels of an exemplar are not the sample's. */
static void
test_labels_end_before_the_exemplar(void **state)
{
    const struct plan plan = {.key = SS_KEY_LABELS, .labels = {"path"}};
    const struct ss_span body = SPAN("c_total{a=\"b\",} 1 # {x=\"1\",path=\"2\"} 1\nc_total{a=\"b\"} 1\n# EOF\n");
    struct sharding s = sharding_of(&plan);
    (void)state;

    /* The empty key is in shard 2 of 3. */
    struct outcome o = feed_all_ways(body, &(struct question){OM, "2", 3, .sharding = s.sharding});
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, body.len);
    outcome_free(&o);
    sharding_end(&s);
}

/* In OpenMetrics the samples of a counter or an info have other names than their metadata. */
static void
test_metadata_follow_their_samples(void **state)
{
    (void)state;
    static const char body[] =
        "# HELP x X.\n# TYPE x counter\nx_total 1\nx_created 1\n# TYPE target info\n# HELP target "
        "T.\ntarget_info{a=\"b\"} 1\n# TYPE y gauge\ny 1\n# EOF\n";
    const struct plan plan = {.rules = {"replicate target_info", "drop x_total"}};
    struct shards shards = shards_of(SPAN(body), OM, &plan, 0);
    for (int i = 0; i < SHARDS; i++) {
        const struct outcome *o = &shards.of[i];
        assert_int_equal(count_in(o, "# TYPE target info\n# HELP target T.\ntarget_info{a=\"b\"} 1\n"), 1);
        assert_int_equal(count_in(o, "# HELP x") + count_in(o, "# TYPE x"), 0);
        assert_string_equal(o->bytes + o->len - 6, "# EOF\n");
    }
    assert_int_equal(count_everywhere(&shards, "# TYPE y gauge\ny 1\n"), 1);
    shards_free(&shards);

    const struct plan keep = {.rules = {"keep x_total"}};
    shards = shards_of(SPAN(body), OM, &keep, 0);
    assert_int_equal(count_everywhere(&shards, "# HELP x X.\n# TYPE x counter\nx_total 1\n"), 1);
    assert_int_equal(count_everywhere(&shards, "target") + count_everywhere(&shards, "y"), 0);
    shards_free(&shards);
}

/* Metadata are held until their type is known; a family with endless metadata must not fill the memory. */
static void
test_metadata_held_back_are_bounded(void **state)
{
    (void)state;
    const struct plan plan = {.rules = {"drop y"}};
    char body[4000] = "x 1\n", *at = body + 4;
    for (int i = 0; i < 100; i++)
        at += sprintf(at, "# HELP a one more line of it\n");
    strcpy(at, "# EOF\n");
    struct shards shards = shards_of((struct ss_span){body, strlen(body)}, OM, &plan, 200);
    assert_int_equal(shards.of[0].result, SS_LINE_TOO_LONG);
    shards_free(&shards);
    shards = shards_of((struct ss_span){body, strlen(body)}, OM, &plan, 4000);
    assert_int_equal(shards.of[0].result, 0);
    assert_int_equal(count_everywhere(&shards, "# HELP a"), 100);
    shards_free(&shards);
}

/* More names than are cached, and longer ones, have the same routes in each scrape. */
static void
test_more_names_than_are_remembered(void **state)
{
    (void)state;
    enum { NAMES = 9000 };
    const struct plan plan = {.rules = {"drop n.*[05]|l*x", "colocate (n.*)[12]", "split n.*7"}};
    struct sharding s = sharding_of(&plan);
    uint64_t hashes[100];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < NAMES; i++) {
            char name[16];
            struct ss_explanation e, fresh;
            struct sharding other;
            sprintf(name, "n%d", i);
            assert_int_equal(ss_explain(s.sharding, (struct ss_span){name, strlen(name)}, &e), 0);
            const char *wanted = i % 5 == 0                   ? "drop"
                                 : i % 10 == 1 || i % 10 == 2 ? "colocate"
                                 : i % 10 == 7                ? "split"
                                                              : NULL;
            assert_true(wanted ? e.action && !strcmp(e.action, wanted) : !e.action);
            if (i % 90)
                continue;
            other = sharding_of(&plan);
            assert_int_equal(ss_explain(other.sharding, (struct ss_span){name, strlen(name)}, &fresh), 0);
            assert_true(e.hash == fresh.hash && (!round || hashes[i / 90] == e.hash));
            hashes[i / 90] = e.hash;
            sharding_end(&other);
        }
    }
    char longer[401] = "";
    memset(longer, 'l', 400);
    for (int i = 0; i < 3; i++) {
        struct ss_explanation e;
        longer[399] = i == 1 ? 'l' : 'x';
        assert_int_equal(ss_explain(s.sharding, (struct ss_span){longer, 400}, &e), 0);
        assert_true(i == 1 ? !e.action : !strcmp(e.action, "drop"));
    }
    sharding_end(&s);
}

/* Limits. */

static void
check_limits(const char *content_type, uint64_t max_series, uint64_t max_families, int result, const char *reason)
{
    static const char body[] = "a 1\nb{x=\"1\"} 1\nb{x=\"2\"} 1\nb_sum 2\nc 1\n# EOF\n";
    const struct plan plan = {.rules = {"drop a"}};
    struct sharding s = sharding_of(&plan);
    for (int i = 0; i <= SHARDS; i++) {
        static const char *const names[] = {"0", "1", "2", NULL};
        struct outcome o = feed_all_ways(SPAN(body), &(struct question){.content_type = content_type,
                                                                        .shard = names[i],
                                                                        .count = SHARDS,
                                                                        .sharding = s.sharding,
                                                                        .max_series = max_series,
                                                                        .max_families = max_families});
        assert_int_equal(o.result, result);
        if (reason && !strstr(o.error.reason, reason))
            fail_msg("\"%s\" is not in \"%s\"", reason, o.error.reason);
        outcome_free(&o);
    }
    sharding_end(&s);
}

static void
test_limits(void **state)
{
    (void)state;
    static const char *const types[] = {TEXT, OM};
    for (int i = 0; i < 2; i++) {
        check_limits(types[i], 5, 3, 0, NULL);
        check_limits(types[i], 4, 0, SS_TOO_MANY, "3 of them in family b");
        check_limits(types[i], 1, 3, SS_TOO_MANY, "5 series, more than max_series (1)");
        check_limits(types[i], 0, 2, SS_TOO_MANY, "more families than max_families (2): c is one too many");
        check_limits(types[i], 0, 1, SS_TOO_MANY, "b is one too many");
    }
}

/* With an argument, without the JIT: as under a kernel or service manager that forbids writable executable memory. */
int
main(int argc, char **argv)
{
    const int set_mdwe = 65; /* PR_SET_MDWE of Linux 6.3 */
    (void)argv;
    if (argc > 1 && prctl(set_mdwe, 1UL, 0UL, 0UL, 0UL))
        return 77; /* tells meson that it is skipped */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata_come_before_samples),
        cmocka_unit_test(test_split_keeps_a_histogram_together),
        cmocka_unit_test(test_split_sorts_labels),
        cmocka_unit_test(test_what_cannot_be_explained),
        cmocka_unit_test(test_a_pattern_with_a_nul),
        cmocka_unit_test(test_patterns_are_anchored),
        cmocka_unit_test(test_order_of_rules),
        cmocka_unit_test(test_group_vectors),
        cmocka_unit_test(test_groups_without_a_name),
        cmocka_unit_test(test_a_pattern_over_the_limit),
        cmocka_unit_test(test_a_pattern_that_needs_a_stack),
        cmocka_unit_test(test_labels_end_before_the_exemplar),
        cmocka_unit_test(test_metadata_follow_their_samples),
        cmocka_unit_test(test_metadata_held_back_are_bounded),
        cmocka_unit_test(test_more_names_than_are_remembered),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("sharding", tests, NULL, NULL);
}
