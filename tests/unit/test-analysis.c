/* SPDX-License-Identifier: Apache-2.0 */
/* The verdicts of rules under a sharding, for every kind of expression, and the lines that fix the rules. */
#include "promql/analysis.h"
#include "promql/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct ss_span
span_of(const char *text)
{
    return (struct ss_span){text, strlen(text)};
}

/* Rules and the settings to judge them under. Rules are lines "record NAME EXPRESSION" or "alert ...". */
struct scenario {
    const char *rules;
    enum ss_key key;
    const char *lines[6]; /* of [rules]: "colocate a: b" */
    const char *body;     /* "family series ..."; NULL: none */
    uint32_t count;
    const char *source_label; /* NULL: "a" */
};

struct outcome {
    struct ruleset rules;
    struct ss_rules *lines;
    struct ss_sharding *sharding;
    struct body_family families[64];
    struct analysis *analysis;
    struct derivation *derivation;
};

static void
read_rules(struct ruleset *rules, const char *lines)
{
    struct promql_error error;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    fputs("groups:\n- name: g\n  rules:\n", out);
    while (*lines) {
        size_t line = strcspn(lines, "\n"), kind = strcspn(lines, " "), name = strcspn(lines + kind + 1, " ");
        fprintf(out, "  - %.*s: \"%.*s\"\n    expr: |\n      %.*s\n", (int)kind, lines, (int)name, lines + kind + 1,
                (int)(line - kind - name - 2), lines + kind + name + 2);
        lines += line + (lines[line] == '\n');
    }
    fclose(out);
    if (ruleset_add_file(rules, "a.yml", (struct ss_span){text, len}, &error))
        fail_msg("%s%u:%u: %s", text, error.line, error.column, error.reason);
    free(text);
}

static void
add_line(struct ss_rules *rules, const char *line)
{
    struct ss_rule_error error;
    const char *pattern = strchr(line, ' ') + 1;
    enum ss_action action = SS_ACTION_DROP;
    while (strncmp(ss_action_name(action), line, strlen(ss_action_name(action))) != 0)
        action++;
    if (ss_rules_add(rules, action, span_of(pattern), &error))
        fail_msg("%s: %s", line, error.reason);
}

static size_t
read_body(struct body_family *families, const char *body)
{
    size_t n = 0;
    while (*body) {
        size_t len = strcspn(body, " ");
        char *end;
        families[n].name = (struct ss_span){body, len};
        families[n++].series = strtoull(body + len, &end, 10);
        body = end + strspn(end, " ");
    }
    return n;
}

/* more: derived lines, added to the configuration. */
static struct outcome
analyse(const struct scenario *q, const struct derivation *more)
{
    const struct ss_span labels[] = {span_of(q->source_label ? q->source_label : "a")};
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct analysis_settings s = {.has_body = q->body, .shard_count = q->count};
    struct outcome a = {.lines = NULL};

    read_rules(&a.rules, q->rules);
    assert_int_equal(ss_rules_new(&a.lines), 0);
    for (size_t i = 0; i < 6 && q->lines[i]; i++)
        add_line(a.lines, q->lines[i]);
    for (size_t i = 0; more && i < more->n_lines; i++) {
        struct ss_rule_error error;
        assert_int_equal(ss_rules_add(a.lines, more->lines[i].action, span_of(more->lines[i].value), &error), 0);
    }
    settings.key = q->key;
    settings.source_labels = labels;
    settings.n_source_labels = 1;
    settings.rules = a.lines;
    assert_int_equal(ss_sharding_new(&a.sharding, &settings), 0);
    s.families = a.families;
    s.n_families = q->body ? read_body(a.families, q->body) : 0;
    s.placement = placement_of(a.sharding);
    assert_int_equal(analysis_new(&a.analysis, &a.rules, &s), 0);
    assert_int_equal(derivation_new(&a.derivation, a.analysis), 0);
    return a;
}

static void
outcome_deinit(struct outcome *a)
{
    derivation_free(a->derivation);
    analysis_free(a->analysis);
    ss_sharding_free(a->sharding);
    ss_rules_free(a->lines);
    ruleset_deinit(&a->rules);
}

/* Checks the verdict of the last rule, and for a part of its explanation. */
static void
check_scenario(const struct scenario *q, const char *verdict, const char *why)
{
    struct outcome a = analyse(q, NULL);
    const struct rule_result *r = &analysis_results(a.analysis)[a.rules.n - 1];
    if (strcmp(rule_verdict_name(r->verdict), verdict) != 0 || !strstr(r->why, why))
        fail_msg("%s: %s, not %s: %s", q->rules, rule_verdict_name(r->verdict), verdict, r->why);
    outcome_deinit(&a);
}

static void
check(const char *rules, const char *verdict, const char *why)
{
    const struct scenario q = {.rules = rules};
    check_scenario(&q, verdict, why);
}

/* Values. */

static void
test_values(void **state)
{
    (void)state;
    check("alert A a > 1", "right", "one family");
    check("alert A rate(a_total[5m]) / a_count", "right", "one family");
    check("alert A a / b", "silent", "no server has both sides of `/`");
    check("alert A a and on (x) b", "silent", "`and`");
    check("alert A sum(rate(a[5m] offset 1h)) > -avg(b)", "silent", "`>`");
    check("alert A a unless b", "false", "`unless` removes too little on servers that do not have all of `b`");
    check("alert A a or b", "in parts", "the two sides of `or` are on different servers");
    check("record a:b sum(a or b)", "false", "`sum` covers only part");
    check("alert A sum(a or b) / c", "silent", "`sum` covers only part");
    check("alert A a or vector(0)", "false elsewhere", "`or` adds its right side on every server that does not");
    check("alert A absent(a)", "false elsewhere", "`absent()` is true on every server that does not have `a`");
    check("alert A absent_over_time(a[5m])", "false elsewhere", "`absent_over_time()`");
    check("alert A absent(a) and b", "false", "");
    check("alert A a > scalar(b)", "silent", "scalar()");
    check("alert A a != scalar(b)", "false", "`scalar()` is NaN on every server that does not have all of `b`");
    check("alert A a * scalar(b)", "false", "scalar()");
    check("alert A a > bool scalar(b)", "false", "scalar()");
    check("alert A vector(scalar(a)) > 1", "false elsewhere", "scalar()");
    check("alert A clamp_max(a, scalar(b))", "false", "scalar()");
    check("alert A a / on (x) fill (0) b", "false", "fills in");
    check("alert A info(a)", "false", "`info()`");
    const struct scenario info = {.rules = "alert A info(a)", .lines = {"replicate target_info"}};
    check_scenario(&info, "right", "");
    const struct scenario none = {.rules = "alert A info(a)", .body = "a 1"};
    check_scenario(&none, "unknown", "the body does not have `target`");
    check("alert A info(a, {__name__=\"a_info\"})", "right", "");
    check("alert A topk(1, a) + topk(1, a)", "right", "");
    check("alert A max_over_time((a + b)[1h:1m])", "silent", "`+`");
}

static void
test_everywhere(void **state)
{
    (void)state;
    check("alert A up == 0", "everywhere", "every server");
    check("alert A count(scrape_samples_scraped) > 9", "everywhere", "");
    check("alert A vector(1)", "everywhere", "");
    check("alert A time() > bool 3", "everywhere", "");
    check("alert A absent(up{job=\"x\"})", "everywhere", "");
    check("alert A a * on (job) up", "right", "");
    check("alert A a or up", "false elsewhere",
          "`or` adds its right side on every server that does not have all of `a`");
    check("alert A up or a", "in parts", "`or`");
    const struct scenario known = {.rules = "alert A a or b * 0", .lines = {"replicate b"}};
    check_scenario(&known, "false elsewhere", "`or`");
    const struct scenario halves = {.rules = "alert A a or b * 0", .lines = {"replicate b", "split a"}};
    check_scenario(&halves, "false", "`or`");
    const struct scenario replicated = {.rules = "alert A a / b", .lines = {"replicate a|b"}};
    check_scenario(&replicated, "everywhere", "");
    const struct scenario one = {.rules = "alert A b unless a", .lines = {"replicate a"}};
    check_scenario(&one, "right", "");
}

/* A family of the body may have a name that servers generate too. */
static void
test_generated_names_in_a_body(void **state)
{
    (void)state;
    static const char body[] = "a 1 scrape_errors 1 scrape_duration_seconds 1 up 1";
    static const struct {
        const char *rules, *verdict;
    } cases[] = {
        {"alert A scrape_errors_total > 5", "right"},
        {"alert A a and on () scrape_errors_total", "silent"},
        {"alert A scrape_samples_scraped > 5", "everywhere"},
        {"alert A scrape_later > 5", "everywhere"},
        {"alert A scrape_duration_seconds > 5", "in parts"},
        {"alert A count(up)", "false elsewhere"},
        {"alert A count({__name__=~\"scrape_errors.*\"})", "right"},
        {"alert A count({__name__=~\"up\"})", "false elsewhere"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct scenario q = {.rules = cases[i].rules, .body = body};
        check_scenario(&q, cases[i].verdict, "");
    }
}

static void
test_nameless_selectors(void **state)
{
    (void)state;
    const char *body = "a 1 b 2 b_c 3";
    check("alert A {job=\"x\"}", "unknown", "without a metric name");
    check("alert A ALERTS{severity=\"x\"}", "unknown", "ALERTS without alertname");
    check("alert A ALERTS{alertname=\"B\"}", "unknown", "not in these files");
    check("alert B a\nalert A ALERTS{alertname=\"B\"}", "right", "");
    check("alert B a / b\nalert A ALERTS_FOR_STATE{alertname=\"B\"}", "silent",
          "it reads `B`, where no server has both sides of `/`");
    const struct scenario all = {.rules = "alert A {job=\"x\"}", .body = body};
    check_scenario(&all, "in parts", "spread over several servers");
    const struct scenario some = {.rules = "alert A sum({__name__=~\"b.*\"})", .body = body};
    check_scenario(&some, "false", "`sum`");
    const struct scenario one = {.rules = "alert A sum({__name__=~\"b_total|b\",__name__!~\"b_.*\"})", .body = body};
    check_scenario(&one, "right", "");
    const struct scenario absent = {.rules = "alert A sum({__name__=~\"d.*\"})", .body = body};
    check_scenario(&absent, "silent", "");
    const struct scenario missing = {.rules = "alert A a + d + e", .body = body};
    check_scenario(&missing, "unknown", "the body does not have `d` and 1 more");
}

/* The samples that match decide, not their family. */
static void
test_nameless_selectors_of_samples(void **state)
{
    (void)state;
    static const struct {
        enum ss_key key;
        const char *rules, *verdict, *line;
    } cases[] = {
        {SS_KEY_NAME, "alert A count({__name__=~\"h_.*\"})", "false", NULL},
        {SS_KEY_NAME, "alert A sum({__name__=~\"h_sum|z\"})", "false", NULL},
        {SS_KEY_NAME, "alert A sum({__name__=~\"h_sum|d\"})", "right", NULL},
        {SS_KEY_FAMILY, "alert A count({__name__=~\"h_.*\"})", "right", NULL},
        {SS_KEY_FAMILY, "alert A sum({__name__=~\"h_sum|z\"})", "false", NULL},
        {SS_KEY_FAMILY, "alert A sum({__name__=~\"h_gsum\"})", "right", NULL},
        {SS_KEY_FAMILY, "alert A sum({__name__=~\"x_count_total\"})", "right", NULL},
        {SS_KEY_FAMILY, "alert A sum({__name__=~\"x_count_total|z\"})", "false", NULL},
        {SS_KEY_FAMILY, "alert A sum({__name__=~\"h_.*\"})", "false", "colocate g: h_sum"},
        {SS_KEY_FAMILY, "alert A sum({__name__=~\"h_(sum|count)\"})", "silent", "drop h_sum|h_count"},
        {SS_KEY_DECLARED, "alert A sum({__name__=~\"x_count\"})", "right", NULL},
        {SS_KEY_DECLARED, "alert A sum({__name__=~\"h_.*\"})", "right", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct scenario q = {
            .rules = cases[i].rules, .key = cases[i].key, .body = "h 4 x 1 z 2", .lines = {cases[i].line}};
        check_scenario(&q, cases[i].verdict, "");
    }
}

/* A pattern may also match what servers generate themselves. */
static void
test_nameless_selectors_of_generated_series(void **state)
{
    (void)state;
    static const struct {
        const char *rules, *verdict, *why;
    } cases[] = {
        {"alert A count by (job) ({__name__=~\"a|up\"}) < 2", "false elsewhere", "`count` covers only part"},
        {"alert A {__name__=~\"a|up\"} == 0", "in parts", "spread over several servers"},
        {"alert A {__name__=~\"a|scrape_.*\"} == 0", "in parts", ""},
        {"alert A {__name__=~\"up|scrape_samples_scraped\"} == 0", "everywhere", ""},
        {"alert A count({__name__=~\"a|scrape_x\"})", "right", ""},
        {"alert A count({__name__!~\"b.*|ALERTS.*\",__name__!=\"\"})", "false elsewhere", ""},
        {"alert A count({job=\"x\"})", "false", ""},
        {"alert A count({__name__=~\".+\"})", "false", ""},
        {"alert A count({__name__=~\"ALERTS|d\"})", "unknown", "ALERTS without alertname"},
        {"alert A count({__name__=~\"ALERTS.*|a\"})", "unknown", "ALERTS without alertname"},
        {"alert A {__name__=~\"ALERTS\",alertname=\"B\"}", "unknown", "not in these files"},
        {"alert B a\nalert A {__name__=~\"ALERTS_.*\",alertname=\"B\"}", "right", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct scenario q = {.rules = cases[i].rules, .body = "a 1 b 2 b_c 3"};
        check_scenario(&q, cases[i].verdict, cases[i].why);
    }
    const struct scenario one = {.rules = "alert A count({job=\"x\"})", .body = "a 1"};
    check_scenario(&one, "unknown", "ALERTS without alertname");
    const struct scenario all = {
        .rules = "alert A count({__name__=~\"a|up\"})", .body = "a 1 b 1", .lines = {"replicate a"}};
    check_scenario(&all, "everywhere", "");
}

static void
test_recorded_names(void **state)
{
    (void)state;
    check("record a:x a\nalert A a:x > 1", "right", "");
    check("record a:x a\nrecord b:x b\nalert A a:x / b:x", "silent", "`/`");
    check("record a:x a\nrecord a:x b\nalert A sum(a:x)", "false", "`sum`");
    check("record a:x a / b\nalert A a:x > 1", "silent", "it reads `a:x`, where no server has both sides of `/`");
    check("record a:x a:x + a\nalert A a:x", "unknown", "cycle");
    check("record a:y a:x\nrecord a:x a:y\nalert A a:x", "unknown", "cycle");
}

static void
test_placement(void **state)
{
    (void)state;
    const char *ratio = "alert A sum(a_bucket) / b";
    const struct scenario met = {.rules = ratio, .lines = {"colocate g: a|b"}};
    check_scenario(&met, "right", "on one server");
    const struct scenario caught = {.rules = "alert A x_a / x_b", .lines = {"colocate (x)_.*"}};
    check_scenario(&caught, "right", "");
    const struct scenario dropped = {.rules = ratio, .lines = {"drop b"}};
    check_scenario(&dropped, "silent", "no server has `b` (drop = b)");
    const struct scenario unkept = {.rules = ratio, .lines = {"keep a.*"}};
    check_scenario(&unkept, "silent", "no keep rule matches");
    const struct scenario split = {.rules = "alert A sum(a)", .lines = {"split a"}};
    check_scenario(&split, "false", "because each has a different part of `a` (split = a)");
    const struct scenario harmless = {.rules = "alert A a > 1", .lines = {"split a"}};
    check_scenario(&harmless, "in parts", "each server has a different part of `a` (split = a)");
    const struct scenario pairs = {.rules = "alert A a / b", .lines = {"split a|b"}};
    check_scenario(&pairs, "silent", "a different part of");
    const struct scenario half = {.rules = "alert A a / b", .lines = {"split a"}};
    check_scenario(&half, "silent", "");
    const struct scenario joined = {.rules = "alert A a / on (x) b", .lines = {"split a", "replicate b"}};
    check_scenario(&joined, "in parts", "");
    const struct scenario labels = {.rules = "alert A sum(a)", .key = SS_KEY_LABELS};
    check_scenario(&labels, "false", "(split by its labels)");
    const struct scenario whole = {.rules = "alert A histogram_quantile(.9, a_bucket)", .key = SS_KEY_LABELS};
    check_scenario(&whole, "in parts", "(split by its labels)");
    const struct scenario torn = {
        .rules = "alert A histogram_quantile(.9, rate(a_bucket[5m]))", .key = SS_KEY_LABELS, .source_label = "le"};
    check_scenario(&torn, "false", "`histogram_quantile()` is evaluated on servers that have only part of its input");
    const struct scenario buckets = {.rules = "alert A a_bucket > 1", .key = SS_KEY_LABELS, .source_label = "le"};
    check_scenario(&buckets, "in parts", "");
    const struct scenario names = {.rules = "alert A a_sum / a_count", .key = SS_KEY_NAME};
    check_scenario(&names, "silent", "");
    const struct scenario declared = {.rules = "alert A a_sum / a_count", .key = SS_KEY_DECLARED};
    check_scenario(&declared, "right", "");
    const struct scenario one_name = {.rules = "alert A a_bucket", .key = SS_KEY_DECLARED, .lines = {"drop a_bucket"}};
    check_scenario(&one_name, "silent", "no server has `a_bucket` (drop = a_bucket)");
    const struct scenario kept = {.rules = "alert A a_sum", .key = SS_KEY_DECLARED, .lines = {"keep a_.*"}};
    check_scenario(&kept, "right", "");
    const struct scenario of_names = {
        .rules = "alert A a_sum / b", .key = SS_KEY_DECLARED, .lines = {"colocate g: a_sum|b"}};
    check_scenario(&of_names, "right", "on one server");
    const struct scenario of_body = {
        .rules = "alert A a_total / a_created + c_count_total", .key = SS_KEY_DECLARED, .body = "a 2 c_count 1"};
    check_scenario(&of_body, "silent", "`+`");
    const struct scenario of_both = {.rules = "alert A a_total / a", .key = SS_KEY_DECLARED, .body = "a 1 a_total 1"};
    check_scenario(&of_both, "silent", "`/`");
    const struct scenario apart = {.rules = "alert A a_sum / a_count", .lines = {"colocate x: a_sum"}};
    check_scenario(&apart, "silent", "");
    const struct scenario limit = {.rules = "alert A aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabc > 1", .lines = {"drop (a+)+b"}};
    check_scenario(&limit, "unknown", "`drop = (a+)+b` exceeds its match limit at `aaaa");
    check("alert A {\"\\xff\"} / b", "silent", "`\xff`, which is not UTF-8");
    const struct scenario quoted = {.rules = "alert A {'a.b'} / {'é'}", .lines = {"colocate g: a\\.b|é"}};
    check_scenario(&quoted, "right", "on one server");
}

/* The selector of a sharding rule: what it does is known only where the values that it looks at are. */
static void
test_selectors(void **state)
{
    (void)state;
    static const char drop[] = "drop a{code=~\"2..\",method!=\"x\"}", replicate[] = "replicate b{env=\"prod\"}",
                      keep[] = "keep a{code=\"500\"}";
    static const struct {
        struct scenario scenario;
        const char *verdict, *why;
    } cases[] = {
        {{.rules = "alert A sum(a)", .lines = {drop}}, "unknown", "2..\",method!=\"x\"}` may drop only some of `a`"},
        {{.rules = "alert A sum(a{code!=\"200\"})", .lines = {drop}}, "unknown", "may drop only some of `a`"},
        {{.rules = "alert A sum(a{code=\"200\"})", .lines = {drop}}, "unknown", "may drop only some of `a`"},
        {{.rules = "alert A sum(a{code=\"500\"})", .lines = {drop}}, "right", ""},
        {{.rules = "alert A sum(a{method=\"x\"})", .lines = {drop}}, "right", ""},
        {{.rules = "alert A sum(a{method=\"y\",code=\"200\"})", .lines = {drop}},
         "silent",
         "no server has `a` (drop = a{"},
        {{.rules = "alert A sum(a{job=\"x\"})", .lines = {"keep {job=\"x\"}"}}, "unknown", "may drop only some of `a`"},
        {{.rules = "alert A sum(a{instance=\"x\"})", .lines = {"drop a{instance=\"y\"}"}}, "unknown", "only some"},
        {{.rules = "alert A a / on (x) b", .lines = {replicate}}, "unknown", "may replicate only some of `b`"},
        {{.rules = "alert A a / on (x) b{env=\"prod\"}", .lines = {replicate}}, "right", ""},
        {{.rules = "alert A a / on (x) b{env=\"test\"}", .lines = {replicate}}, "silent", "no server has both sides"},
        {{.rules = "alert A a / on (x) b{env=\"\"}", .lines = {replicate}}, "silent", "no server has both sides"},
        {{.rules = "alert A a", .lines = {keep}}, "unknown", "may drop only some of `a`"},
        {{.rules = "alert A a{code=\"500\"}", .lines = {keep}}, "right", ""},
        {{.rules = "alert A a{code=\"200\"}", .lines = {keep}}, "silent", "no keep rule matches"},
        {{.rules = "alert A a{code=\"500\"}", .lines = {keep, "drop a"}}, "silent", "(drop = a)"},
        {{.rules = "alert A sum(a{code=\"500\"})", .lines = {drop, "split a"}}, "false", "(split = a)"},
        {{.rules = "alert A sum(a{code=\"500\"})", .lines = {"drop a{code=\"1\"}", "drop a{code=~\"5..\"}"}},
         "silent",
         "(drop = a{code=~"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        check_scenario(&cases[i].scenario, cases[i].verdict, cases[i].why);
}

static void
test_right_by_chance(void **state)
{
    (void)state;
    const char *rules = "alert A up\nalert B a / b\nalert C a / c\nalert D absent(a)";
    for (uint32_t count = 1; count < 9; count++) {
        const struct scenario q = {.rules = rules, .count = count};
        struct outcome a = analyse(&q, NULL);
        const struct rule_result *r = analysis_results(a.analysis);
        struct ss_explanation e;
        uint32_t shards[3];
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(ss_explain(a.sharding, span_of(i == 0 ? "a" : i == 1 ? "b" : "c"), &e), 0);
            shards[i] = ss_sharding_place(a.sharding, e.hash, count);
        }
        assert_false(r[0].by_chance);
        assert_int_equal(r[1].by_chance, shards[0] == shards[1]);
        assert_int_equal(r[2].by_chance, shards[0] == shards[2]);
        assert_int_equal(r[3].by_chance, count == 1);
        outcome_deinit(&a);
    }
}

/* Lines. */

/* Checks the lines, joined by "; ", and how many rules are good with them, by the derivation and by a new analysis. */
static void
check_lines(const struct scenario *q, const char *lines, size_t good)
{
    struct outcome before = analyse(q, NULL), after = analyse(q, before.derivation);
    const struct derivation *d = before.derivation;
    char text[2000] = "";
    size_t n = 0, again = 0;

    for (size_t i = 0; i < d->n_lines; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s", i ? "; " : "",
                 ss_action_name(d->lines[i].action), d->lines[i].value);
    for (size_t i = 0; i < before.rules.n; i++) {
        n += rule_verdict_is_good(d->after[i].verdict);
        again += rule_verdict_is_good(analysis_results(after.analysis)[i].verdict);
        assert_int_equal(d->after[i].verdict, analysis_results(after.analysis)[i].verdict);
    }
    if (strcmp(text, lines) != 0 || n != good || again != good)
        fail_msg("%s: %s: %zu and %zu good", q->rules, text, n, again);
    assert_int_equal(after.derivation->n_lines, 0);
    outcome_deinit(&before);
    outcome_deinit(&after);
}

static void
test_lines(void **state)
{
    (void)state;
    const struct scenario none = {.rules = "alert A a > 1\nalert B up"};
    check_lines(&none, "", 2);
    const struct scenario pair = {.rules = "alert A node_filesystem_avail_bytes / node_filesystem_size_bytes"};
    check_lines(&pair, "colocate node_filesystem: node_filesystem_avail_bytes|node_filesystem_size_bytes", 1);
    const struct scenario two = {.rules = "alert A a / b\nalert B c / d\nalert C b or e\nalert D f"};
    check_lines(&two, "colocate a: a|b|e; colocate c: c|d", 4);
    const struct scenario ordered = {.rules = "alert A a / b\nalert B c / d", .body = "a 1 b 1 c 5 d 1"};
    check_lines(&ordered, "colocate c: c|d; colocate a: a|b", 2);
    const struct scenario recorded = {.rules = "record x:a a\nrecord x:b b\nalert A x:a / x:b"};
    check_lines(&recorded, "colocate a: a|b", 3);
    const struct scenario absent = {.rules = "alert A absent(a) and b\nalert B c / d"};
    check_lines(&absent, "colocate a: a|b; colocate c: c|d", 2);
    const struct scenario hopeless = {.rules = "alert A absent(a) or b\nalert B absent(c)"};
    check_lines(&hopeless, "", 0);
    const struct scenario split = {.rules = "alert A sum(a)\nalert B b > 1", .lines = {"split .*"}};
    check_lines(&split, "colocate a: a", 1);
    const struct scenario fixed = {.rules = "alert A a / b", .lines = {"colocate g: a"}};
    check_lines(&fixed, "colocate g: b", 1);
    const struct scenario unnamed = {.rules = "alert A a_x / b", .lines = {"colocate (a)(_)x"}};
    check_lines(&unnamed, "", 0);
    const struct scenario apart = {.rules = "alert A a / b\nalert B a / c",
                                   .lines = {"colocate g: a", "colocate h: b"}};
    check_lines(&apart, "colocate g: c", 1);
    const struct scenario dropped = {.rules = "alert A a / b\nalert B a / c", .lines = {"drop b"}};
    check_lines(&dropped, "colocate a: a|c", 1);
    const struct scenario taken = {.rules = "alert A x_a / x_b\nalert B x_c / x_d"};
    check_lines(&taken, "colocate x: x_a|x_b; colocate x_c: x_c|x_d", 2);
    const struct scenario labels = {.rules = "alert A sum(a) / b\nalert B c > 1", .key = SS_KEY_LABELS};
    check_lines(&labels, "colocate a: a|b", 1);
}

/* A family that everything joins with is replicated if the group would be too large for one server. */
static void
test_hubs(void **state)
{
    (void)state;
    const char *rules = "alert A a * on (x) h\nalert B b * on (x) h\nalert C c * on (x) h and d";
    const struct scenario small = {.rules = rules, .body = "a 90 b 90 c 90 d 90 h 5", .count = 1};
    check_lines(&small, "colocate a: a|b|c|d|h", 3);
    const struct scenario large = {.rules = rules, .body = "a 90 b 90 c 90 d 90 h 5", .count = 2};
    check_lines(&large, "colocate c: c|d; replicate h", 3);
    const struct scenario costly = {.rules = rules, .body = "a 90 b 90 c 90 d 90 h 95", .count = 2};
    check_lines(&costly, "colocate a: a|b|c|d|h", 3);
    const struct scenario alone = {
        .rules = "alert A a * on (x) h\nalert B b * on (x) h\nalert C sum(h)", .body = "a 90 b 90 h 5", .count = 2};
    check_lines(&alone, "colocate a: a|b|h", 3);
    const struct scenario minuend = {.rules = "alert A a * on (x) h\nalert B b * on (x) h\nalert C h unless c",
                                     .body = "a 90 b 90 c 1 h 5",
                                     .count = 2};
    check_lines(&minuend, "colocate a: a|b|c|h", 3);
}

static void
test_allowed_places(void **state)
{
    (void)state;
    const struct scenario q = {.rules = "alert A sum(a) / b\nalert B c unless d\nalert C e > 1"};
    struct outcome a = analyse(&q, NULL);
    size_t n;
    const struct needed_family *f = analysis_families(a.analysis, &n);
    static const struct {
        bool whole, replicate;
    } wanted[] = {{true, true}, {true, true}, {true, false}, {true, true}, {false, false}};
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(f[i].name.ptr[0], 'a' + (int)i);
        assert_int_equal(f[i].needs_whole, wanted[i].whole);
        assert_int_equal(f[i].may_replicate, wanted[i].replicate);
    }
    outcome_deinit(&a);
}

/* Families of one selector are tried once; one that another rule or selector needs too is tried for itself. */
static void
test_allowed_places_of_many(void **state)
{
    (void)state;
    const struct scenario q = {.rules = "alert A {__name__=~\"a|b|c|d\"} > 1 or sum({__name__=~\"c|d\"})\n"
                                        "alert B sum(b)\nalert C e > 1",
                               .lines = {"drop e"},
                               .body = "a 1 b 1 c 1 d 1 e 1 b 1"};
    struct outcome a = analyse(&q, NULL);
    size_t n;
    const struct needed_family *f = analysis_families(a.analysis, &n);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(f[i].needs_whole, strchr("bcd", f[i].name.ptr[0]) != NULL);
    outcome_deinit(&a);
}

/* Limits. */

static void
test_rules_that_read_each_other(void **state)
{
    (void)state;
    enum { RULES = 900 };
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    for (int i = 0; i < RULES; i++)
        fprintf(out, "record r%d r%d + r%d + a\n", i, i + 1, i + 1);
    fclose(out);
    const struct scenario q = {.rules = text};
    struct outcome a = analyse(&q, NULL);
    assert_int_equal(analysis_results(a.analysis)[0].verdict, RULE_UNKNOWN);
    assert_int_equal(analysis_results(a.analysis)[RULES - 1].verdict, RULE_SILENT);
    outcome_deinit(&a);
    free(text);
}

static void
test_a_long_chain(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    fputs("alert A a", out);
    for (int i = 0; i < 1500; i++)
        fprintf(out, " or a%d", i);
    fclose(out);
    const struct scenario q = {.rules = text};
    struct outcome a = analyse(&q, NULL);
    assert_int_equal(analysis_results(a.analysis)[0].n_families, 1501);
    assert_int_not_equal(analysis_results(a.analysis)[0].verdict, RULE_RIGHT);
    outcome_deinit(&a);
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_everywhere),
        cmocka_unit_test(test_generated_names_in_a_body),
        cmocka_unit_test(test_nameless_selectors),
        cmocka_unit_test(test_nameless_selectors_of_samples),
        cmocka_unit_test(test_nameless_selectors_of_generated_series),
        cmocka_unit_test(test_recorded_names),
        cmocka_unit_test(test_placement),
        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_right_by_chance),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_hubs),
        cmocka_unit_test(test_allowed_places),
        cmocka_unit_test(test_allowed_places_of_many),
        cmocka_unit_test(test_rules_that_read_each_other),
        cmocka_unit_test(test_a_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
