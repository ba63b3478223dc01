/* SPDX-License-Identifier: Apache-2.0 */
/* Records that span lines: lines joined by a stray quote are rejected in every shard, wherever they are and whatever
   the sharding; well-formed records pass. */
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OM2 "application/openmetrics-text; version=2.0.0; charset=utf-8"

enum { SHARDS = 2, BODY_MAX = 600 };

/* The shardings; a rule for each route that a family can take. */
static const struct plan {
    enum ss_key key;
    bool ruled;
    enum ss_action action;
    const char *pattern;
} plans[] = {
    {SS_KEY_FAMILY, false, SS_ACTION_DROP, NULL},
    {SS_KEY_DECLARED, false, SS_ACTION_DROP, NULL},
    {SS_KEY_NAME, false, SS_ACTION_DROP, NULL},
    {SS_KEY_LABELS, false, SS_ACTION_DROP, NULL},
    {SS_KEY_FAMILY, true, SS_ACTION_DROP, "(?s)disk.*|.*\n.*|[xm]"},
    {SS_KEY_FAMILY, true, SS_ACTION_KEEP, "other"},
    {SS_KEY_FAMILY, true, SS_ACTION_REPLICATE, "disk.*|[xm]"},
    {SS_KEY_FAMILY, true, SS_ACTION_COLOCATE, "(disk).*|[xm]"},
    {SS_KEY_LABELS, true, SS_ACTION_SPLIT, "disk.*|[xm]"},
};

/* Feeds a body in all ways for a shard. */
static struct outcome
feed_plan(const struct plan *plan, struct ss_span body, const char *content_type, const char *shard)
{
    static const struct ss_span labels[] = {{"a", 1}, {"drive", 5}};
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_sharding *sharding;

    settings.key = plan->key;
    settings.source_labels = labels;
    settings.n_source_labels = 2;
    if (plan->ruled) {
        struct ss_rule_error error;
        assert_int_equal(ss_rules_new(&settings.rules), 0);
        assert_int_equal(
            ss_rules_add(settings.rules, plan->action, (struct ss_span){plan->pattern, strlen(plan->pattern)}, &error),
            0);
    }
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);
    struct outcome o = feed_all_ways(
        body, &(struct question){.content_type = content_type, .shard = shard, .count = SHARDS, .sharding = sharding});
    ss_sharding_free(sharding);
    ss_rules_free(settings.rules);
    return o;
}

/* Whether the key works in the format. */
static bool
works(const struct plan *plan, const char *content_type)
{
    return plan->key != SS_KEY_NAME || strcmp(content_type, OM2) != 0;
}

static const char *const shards[SHARDS] = {"0", "1"};

/* What precedes a record: nothing, lines that start like it, or others. */
static const char *const before[] = {
    "",
    "x{a=\"0\"} 0\nx{a=\"00\"} 0\nx{a=\"000\"} 0\n",
    "disk_used{drive=\"A:\"} 0\ndisk_used{drive=\"B:\"} 0\n",
    "m 1\nm 2\n",
};

/* Surrounds a record with other lines. */
static struct ss_span
put(char *body, size_t i, struct ss_span record, bool openmetrics)
{
    int n = snprintf(body, BODY_MAX, "other{drive=\"D:\"} 1\n%s", before[i]);
    memcpy(body + n, record.ptr, record.len);
    size_t len = (size_t)n + record.len;
    len += (size_t)snprintf(body + len, BODY_MAX - len, "%slast 3\n%s", before[i], openmetrics ? "# EOF\n" : "");
    return (struct ss_span){body, len};
}

static void
check_refused(struct ss_span record, const char *content_type)
{
    char body[BODY_MAX];
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        struct ss_span whole = put(body, i, record, content_type[0] == 'a');
        uint64_t offset = strlen("other{drive=\"D:\"} 1\n") + strlen(before[i]);
        for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++) {
            for (size_t s = 0; s < SHARDS && works(&plans[p], content_type); s++) {
                struct outcome o = feed_plan(&plans[p], whole, content_type, shards[s]);
                if (o.result != SS_NO_EXPOSITION || o.error.offset != offset)
                    fail_msg("plan %zu, shard %s: \"%.*s\" gives %d, \"%s\" at %zu", p, shards[s], (int)whole.len,
                             whole.ptr, o.result, o.error.reason, (size_t)o.error.offset);
                outcome_free(&o);
            }
        }
    }
}

static void
check_accepted(struct ss_span record, const char *content_type)
{
    char body[BODY_MAX];
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        struct ss_span whole = put(body, i, record, content_type[0] == 'a');
        for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++) {
            for (size_t s = 0; s < SHARDS && works(&plans[p], content_type); s++) {
                struct outcome o = feed_plan(&plans[p], whole, content_type, shards[s]);
                if (o.result)
                    fail_msg("plan %zu, shard %s: \"%.*s\": %s", p, shards[s], (int)whole.len, whole.ptr,
                             o.error.reason);
                outcome_free(&o);
            }
        }
        check_union(whole, content_type, content_type[0] == 'a' ? first_openmetrics_line_len : first_line_len);
    }
}

/* Each starts with a record that spans lines and that Prometheus' text parser rejects. */
static const struct ss_span text_refused[] = {
    /* Stray quotes, and a backslash at the end of a value. */
    SPAN("disk_used{drive=\"C:\\\"} 1\n# TYPE disk_free gauge\ndisk_free{drive=\"C:\\\"} 2\n"),
    SPAN("disk_used{drive=\"C:\\\"} 1\ndisk_used{drive=\"D:\\\"} 2\n"),
    SPAN("disk_used{drive=\"C:\"\"} 1\ndisk_used{drive=\"D:\"\"} 2\n"),
    SPAN("disk_used{drive=\"C:} 1\ndisk_free{drive=\"C:\"} 1\"} 2\n"),
    SPAN("x{a=\"1} 1\nb{y=\"2\"\"} 2\n"),
    SPAN("x{a=\"1\" \"} 1\nx{a=\"2\"\"} 2\n"),
    SPAN("x{\"a=\"1\"} 1\nb{a=\"2\"} 2\"\n"),
    SPAN("x{a=\"1\"} 1 \"\nb{a=\"2\"} 2\"\n"),
    SPAN("x{a=\"1\"} \"\nb{a=\"} 2\n"),
    SPAN("x\" 1\nb{a=\"2\"\"} 2\n"),
    SPAN("m \"\nb\" 2\n"),
    SPAN("m 1 \"\nb\" 2\n"),
    /* Well-formed quotes, and another error. */
    SPAN("x{a=\"1\n2\"} one\n"),
    SPAN("x{a=\"1\n2\"} 0x10\n"),
    SPAN("x{a=\"1\n2\"} 1_0\n"),
    SPAN("x{a=\"1\n2\"} 1e999\n"),
    SPAN("x{a=\"1\n2\"} +nan\n"),
    SPAN("x{a=\"1\n2\"} 1 2 3\n"),
    SPAN("x{a=\"1\n2\"} 1 -5\n"),
    SPAN("x{a=\"1\n2\"} 1 1.5\n"),
    SPAN("x{a=\"1\n2\"} 1 9223372036854775808\n"),
    SPAN("x{a=\"1\n2\"} 1 # {b=\"c\"} 1\n"),
    SPAN("x{a=\"1\n2\"}\n"),
    SPAN("x{a=\"1\n2\"} {} 1\n"),
    SPAN("x{,a=\"1\n2\"} 1\n"),
    SPAN("x{a=\"1\n2\",,} 1\n"),
    SPAN("x{a=\"1\n2\"=\"3\"} 1\n"),
    SPAN("x{a=\"1\n2\",b} 1\n"),
    SPAN("x{a=\"1\n2\",b=} 1\n"),
    SPAN("x{a=\"1\n2\",b=c} 1\n"),
    SPAN("x{a:b=\"1\n2\"} 1\n"),
    SPAN("x{a=\"1\n2\",\"y\"} 1\n"),
    SPAN("{a=\"1\n2\"} 1\n"),
    SPAN("{\"y\",a=\"1\n2\",\"z\"} 1\n"),
    SPAN("{\"\",a=\"1\n2\"} 1\n"),
    SPAN("{\"y\" a=\"1\n2\"} 1\n"),
    SPAN("{\"y\n\0\"} 1\n"),
    SPAN(" x{a=\"1\n2\"} 1\n"),
    SPAN("x{a=\"1\\\n2\"} 1\n"),
    SPAN("x{a=\"1\n\\\0\"} 1\n"),
    SPAN("x{a=\"1\n\xff\"} 1\n"),
    SPAN("x{a=\"1\n\xc0\x80\"} 1\n"),
    SPAN("x{a=\"1\n\xed\xa0\x80\"} 1\n"),
    SPAN("x{a=\"1\n\xf4\x90\x80\x80\"} 1\n"),
    SPAN("x{a=\"1\n\xe2\x82\"} 1\n"),
    /* Names in metadata. */
    SPAN("# HELP \"x\nb{a=\"1\"} 1\n"),
    SPAN("# HELP \"disk\n# TYPE disk \"gauge\n"),
    SPAN("\t# TYPE \"x\nb{a=\"1\"} 1\n"),
    SPAN("# TYPE \"x\ny\" gaug\n"),
    SPAN("# TYPE \"x\ny\"  gauge\n"),
    SPAN("# TYPE \"x\ny\"\n"),
    SPAN("# HELP \"x\ny\"z\n"),
    SPAN("# HELP \"x\nb{a=\" 1\"} 1\n"),
    SPAN("# HELP \"x\nb{a=\" \\\"\"} 1\n"),
    SPAN("# HELP \"x\ny\" \xff\n"),
    SPAN("# HELP \"x\n\xff\" y\n"),
    SPAN("# HELP \"x\\\ny\" z\n"),
};

static void
test_text_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(text_refused) / sizeof(text_refused[0]); i++)
        check_refused(text_refused[i], TEXT);
}

static const struct ss_span text_accepted[] = {
    SPAN("x{a=\"1\n2\"} 1\n"),
    SPAN("disk_used{drive=\"C:\\\\\n\\\"\"}1 17\n"),
    SPAN("x { a = \"1\n2\" , b=\"} 3\" , }\t+Inf \t 0009223372036854775807 \n"),
    SPAN("x{a=\"1\n\" b=\"\"} .5e-400\n"),
    SPAN("x{a=\"\n\"} NaN\nx{a=\"\n\n\"} -inf\nx{a=\"\n\n\n\"} 1E+10 1\n"),
    SPAN("x{a=\"1\n\0\\q \xc2\x80 \xe2\x82\xac \xf0\x9f\x98\x80\"} 1\n"),
    SPAN("x{a=\"\r\n\"} 1\r\n"),
    SPAN("{\"y\nz\",a=\"1\"} 1\n{a=\"1\n\",\"y\"} 1\nx{\"a\nb\"=\"1\"} 1\n"),
    SPAN("# HELP \"y\nz\"\n# HELP \"y\nz\" \"quoted\" \\\"\n# TYPE\t\"y\nz\"\tgauge\n{\"y\nz\"} 1\n"),
    SPAN("# HELP x \"\n# x \"\nx 1\n"),
};

static void
test_text_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(text_accepted) / sizeof(text_accepted[0]); i++)
        check_accepted(text_accepted[i], TEXT);
}

/* In OpenMetrics an LF is allowed only in quoted names of a sample. */
static const struct ss_span openmetrics_refused[] = {
    SPAN("disk_used{drive=\"C:\\\"} 1\n# TYPE disk_free gauge\ndisk_free{drive=\"C:\\\"} 2\n"),
    SPAN("x{a=\"1\n2\"} 1\n"),
    SPAN("x{a=\"1\"} 1 # {b=\"1\n2\"} 1\n"),
    SPAN("x{a=\"1\"} 1 # {b=\"1} 1\nx{a=\"2\"} 1 # {b=\"2\"\"} 1\n"),
    SPAN("x{a=\"1\"} 1 # {\"b\n\"=\"2\"} 1\n"),
    SPAN("x{\"a\n\"=\"1\" } 1\n"),
    SPAN("x{\"a\n\"=\"1\" b=\"2\"} 1\n"),
    SPAN("x{\"a\n\"=\"1\"}  1\n"),
    SPAN("x{\"a\n\"=\"1\"} 1 \n"),
    SPAN("x{\"a\n\"=\"1\"} 1 NaN\n"),
    SPAN("x{\"a\n\"=\"1\"} 1 1 # {}\n"),
    SPAN("x{\"a\n\"=\"1\"} 1 1 # {\"b\"} 1\n"),
    SPAN("x{\"a\n\"=\"1\"} 1 1 # {b=\"c\"} 1 1 1\n"),
    SPAN("x{\"a\n\"=\"1\"} 1\r\n"),
    SPAN("# HELP \"x\nb{a=\"1\"} 1\nd 1\n"),
    SPAN("# TYPE \"x\ny\" gauge\n"),
    SPAN("# UNIT \"x\n_s\" s\n"),
    SPAN("# HELP \"x\\\ny\" z\n"),
};

static void
test_openmetrics_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(openmetrics_refused) / sizeof(openmetrics_refused[0]); i++)
        check_refused(openmetrics_refused[i], OM);
}

static const struct ss_span openmetrics_accepted[] = {
    SPAN("{\"y\n# EOF\n\",a=\"1\"} 1\n"),
    SPAN("x{\"a\nb\"=\"1\",c=\"}\",} 1 -1.5e3 # {d=\"e\",\"f.g\"=\"\"} +Inf 1\n"),
    SPAN("{a=\"1\",\"y\n\"} NaN # {} 1\n"),
    SPAN("# HELP \"y\\nz\" \"\n# TYPE x gauge\nx 1 # {a=\"# \\\"\"} 1\n"),
};

static void
test_openmetrics_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(openmetrics_accepted) / sizeof(openmetrics_accepted[0]); i++)
        check_accepted(openmetrics_accepted[i], OM);
}

/* The same in OpenMetrics 2.0; what only one of both allows. */
static const struct ss_span openmetrics_2_refused[] = {
    SPAN("disk_used{drive=\"C:\\\"} 1\n# TYPE disk_free gauge\ndisk_free{drive=\"C:\\\"} 2\n"),
    SPAN("x{a=\"1\n2\"} 1\n"),
    SPAN("x{a=\"1\"} 1 # {b=\"1\n2\"} 1 1\n"),
    SPAN("{a=\"1\",\"y\n\"} 1\n"),
    SPAN("{\"y\n\"} {count:1\n"),
    SPAN("{\"y\n\"} {}\n"),
    SPAN("{\"y\n\"} 1 st@\n"),
    SPAN("{\"y\n\"} 1 st@NaN\n"),
    SPAN("{\"y\n\"} 1 st@1 2\n"),
    SPAN("{\"y\n\"} 1 st@1 st@1\n"),
    SPAN("{\"y\n\"} 1 2 3\n"),
    SPAN("{\"y\n\"} 1 # {} 1\n"),
    SPAN("{\"y\n\"} 1 # {} {count:1} 1\n"),
    SPAN("{\"y\n\"} 1 # {} 1 1 # {}\n"),
    SPAN("{\"y\n\"} 1 # {} 1 1 st@1\n"),
};

static const struct ss_span openmetrics_2_accepted[] = {
    SPAN(
        "{\"y\n# EOF\n\",a=\"1\"} {count:1,sum:2,bucket:[+Inf:1]} 1 st@1.5 # {d=\"e\",\"f.g\"=\"\"} +Inf 1 # {} 1 2\n"),
    SPAN("x{\"a\nb\"=\"1\",c=\"}\",} {gcount:1,gsum:2}\n"),
    SPAN("{\"y\n\"} NaN st@-1e3\n{\"y\n\"} 1 # {} 1 1\n"),
};

static void
test_openmetrics_2(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(openmetrics_2_refused) / sizeof(openmetrics_2_refused[0]); i++)
        check_refused(openmetrics_2_refused[i], OM2);
    for (size_t i = 0; i < sizeof(openmetrics_2_accepted) / sizeof(openmetrics_2_accepted[0]); i++)
        check_accepted(openmetrics_2_accepted[i], OM2);
    check_refused(SPAN("{\"y\n\"} {count:1,sum:2}\n"), OM);
    check_refused(SPAN("{\"y\n\"} 1 st@1\n"), OM);
    check_refused(SPAN("{\"y\n\"} 1 # {} 1 1 # {} 1 1\n"), OM);
}

/* The reason quotes what an open quote would swallow, and the error says where it starts. */
static void
test_reason(void **state)
{
    (void)state;
    struct outcome o = feed_plan(
        &plans[0], SPAN("a 1\ndisk_used{drive=\"C:\\\"} 1\ndisk_free{drive=\"C:\\\"} 2\nother 3\n"), TEXT, "1");
    assert_int_equal(o.error.line, 2);
    assert_string_equal(o.error.reason,
                        "quotes that span lines, expected a label name or }: disk_used{drive=\"C:\\\"} 1");
    outcome_free(&o);
}

/* Many lines, two of which have one quote too many: far apart, and in one run. */
static void
test_quotes_far_apart(void **state)
{
    (void)state;
    static char body[64 * 1024];
    for (int at = 0; at < 3; at++) {
        size_t len = 0;
        for (int i = 0; i < 1000; i++)
            len += (size_t)snprintf(body + len, sizeof(body) - len, "family_%d{a=\"%d\"%s} %d\n", i / 250, i,
                                    i == 100 || i == (int[]){110, 700, 999}[at] ? "\"" : "", i);
        for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++) {
            struct outcome o = feed_plan(&plans[p], (struct ss_span){body, len}, TEXT, "1");
            assert_int_equal(o.result, SS_NO_EXPOSITION);
            assert_int_equal(o.error.line, 101);
            outcome_free(&o);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_refused),        cmocka_unit_test(test_text_accepted),
        cmocka_unit_test(test_openmetrics_refused), cmocka_unit_test(test_openmetrics_accepted),
        cmocka_unit_test(test_openmetrics_2),       cmocka_unit_test(test_reason),
        cmocka_unit_test(test_quotes_far_apart),
    };
    return cmocka_run_group_tests_name("quotes", tests, NULL, NULL);
}
