/* SPDX-License-Identifier: Apache-2.0 */
/* Rule files: all supported formats, the positions of errors, and limits on hostile files. */
#include "promql/limits.h"
#include "promql/ruleset.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int
add(struct ruleset *rules, const char *text, size_t len, struct promql_error *error)
{
    /* Copied to an allocation of its size, so that a sanitizer detects reads beyond it. */
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    int r = ruleset_add_file(rules, "a.yml", (struct ss_span){copy, len}, error);
    free(copy);
    return r;
}

/* The names and lines of the rules. */
static void
check_rules(const char *text, const char *wanted)
{
    struct ruleset rules = {.n = 0};
    struct promql_error error;
    char names[400] = "";

    if (add(&rules, text, strlen(text), &error))
        fail_msg("%s: %u:%u: %s", text, error.line, error.column, error.reason);
    for (size_t i = 0; i < rules.n; i++) {
        const struct prom_rule *r = &rules.items[i];
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s %.*s/%.*s:%u", i ? ", " : "",
                 r->is_record ? "record" : "alert", (int)r->group.len, r->group.ptr, (int)r->name.len, r->name.ptr,
                 r->line);
    }
    assert_string_equal(names, wanted);
    ruleset_deinit(&rules);
}

#define GROUP "groups:\n- name: g\n  rules:\n"

static void
test_shapes(void **state)
{
    (void)state;
    check_rules("", "");
    check_rules("# nothing\n", "");
    check_rules("null\n", "");
    check_rules("{}", "");
    check_rules("groups:\n", "");
    check_rules("groups: []\n", "");
    check_rules("groups: [{name: g}]\n", "");
    check_rules(GROUP "  - record: a\n    expr: b\n  - alert: c\n    expr: 1\n    for: 5m\n",
                "record g/a:4, alert g/c:6");
    check_rules("\xef\xbb\xbfgroups: [{name: g, rules: [{record: a, expr: b}]}]", "record g/a:1");
    check_rules("{\"groups\": [{\"name\": \"g\",\n\"rules\": [{\"alert\": \"a\", \"expr\": \"b\"}]}]}", "alert g/a:2");
    check_rules(
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec:\n  groups:\n  - name: g\n    rules:\n"
        "    - record: a\n      expr: b\n",
        "record g/a:7");
    check_rules("kind: VMRule\nspec: {groups: [{name: g, rules: [{record: a, expr: b}]}]}", "record g/a:2");
    check_rules("kind: List\nitems:\n- kind: ConfigMap\n  data: {groups: 1}\n- kind: PrometheusRule\n  spec: {groups: "
                "[{name: g, rules: [{record: a, expr: b}]}]}\n",
                "record g/a:6");
    check_rules("---\n---\n" GROUP
                "  - {record: a, expr: b}\n---\nkind: Service\n---\nkind: PrometheusRuleList\nitems: "
                "[{kind: PrometheusRule, spec: {groups: [{name: h, rules: [{alert: c, expr: d}]}]}}]\n...\n",
                "record g/a:6, alert h/c:11");
    check_rules("x: &r {record: a, expr: b}\ngroups:\n- {name: g, rules: &l [*r, *r]}\n- {name: h, rules: *l}\n",
                "record g/a:1, record g/a:1, record h/a:1, record h/a:1");
    /* The names of groups are those of one list: objects are files by themselves. */
    check_rules("groups: [{name: g}, {name: G}]\n---\ngroups: [{name: g, rules: [{record: a, expr: b}]}]\n",
                "record g/a:3");
    check_rules("x: &r {record: a, expr: b}\ngroups:\n- {name: g, rules: [{<<: *r, record: c}]}\n", "record g/c:3");
    check_rules(GROUP "  - record: a\r\n    expr: |\r\n      b\r\n      + c\r\n", "record g/a:4");
}

/* Errors. */

#define ANNOTATION "    annotations:\n      s: |\n        {{ $labels.d }}\n"

static const struct {
    const char *text;
    unsigned line, column;
    const char *reason;
} wrong[] = {
    {"- a\n", 1, 1, "expected a mapping with groups, got a list"},
    {"a: b\n", 1, 1, "expected groups"},
    {"groups: 1\n", 1, 9, "expected a list for groups, got a value"},
    {"groups: [1]\n", 1, 10, "expected a group"},
    {"groups:\n- rules: []\n", 2, 3, "the group has no name"},
    {"groups:\n- name: g\n  rules: [1]\n", 3, 11, "expected a rule"},
    {"groups:\n- name: g\n- name: h\n- name: 'g'\n- name: h\n", 4, 9, "duplicate group name g"},
    {"kind: VMRule\nspec: {groups: [{name: g}, {rules: [], name: g}]}\n", 2, 46, "duplicate group name g"},
    {"groups:\n- &g {name: g}\n- *g\n", 2, 13, "duplicate group name g"},
    {GROUP "  - expr: a\n", 4, 5, "neither record nor alert"},
    {GROUP "  - record: a\n    alert: b\n    expr: c\n", 4, 5, "has both record and alert"},
    {GROUP "  - record: a\n", 4, 5, "the rule a has no expr"},
    {GROUP "  - record: a\n    expr:\n", 4, 5, "the rule a has no expr"},
    {GROUP "  - record: a{b=\"c\"}\n    expr: d\n", 4, 13, "without braces"},
    {GROUP "  - record: a\n    expr: [b]\n", 5, 11, "expected a value for expr, got a list"},
    {GROUP "  - record: a\n    expr: b\n    expr: c\n", 6, 5, "duplicate key expr"},
    {"groups: [\n", 2, 1, "invalid YAML"},
    {"groups:\n- name: g\n rules: []\n", 3, 2, "invalid YAML"},
    {"groups:\n\t- name: g\n", 2, 1, "invalid YAML"},
    {"# \xc3\xa9\ngroups: \"\xff\"\n", 2, 10, "invalid YAML"},
    {"groups: *a\n", 1, 9, "unknown alias"},
    {"groups: &a [*a]\n", 1, 13, "inside the value"},
    /* Positions in expressions: plain, quoted, in blocks. */
    {GROUP "  - record: a\n    expr: b + +) c\n", 5, 16, "got `)`"},
    {GROUP "  - record: a\n    expr: b +\n      c +\n        ) d\n", 7, 9, "got `)`"},
    {GROUP "  - record: a\n    expr: 'b{c=\"''\"} + )'\n", 5, 24, "got `)`"},
    {GROUP "  - record: a\n    expr: \"b{c=\\\"\\u00e9\\\"} + )\"\n", 5, 30, "got `)`"},
    {GROUP "  - record: a\n    expr: \"b +\\\n      \\ ) \"\n", 6, 9, "got `)`"},
    {GROUP "  - record: a\n    expr: |\n      b\n        + c\n\n      + )\n", 9, 9, "got `)`"},
    {GROUP "  - record: a\n    expr: |2-  # more\n        b\n       )\n", 7, 8, "got `)`"},
    {GROUP "  - record: a\n    expr: >-\n      b\n      + c\n\n      + )\n", 9, 9, "got `)`"},
    {GROUP "  - record: a\n    expr: &x !!str |\n      b\n      + \xc3\xa9\n", 7, 9, "0xc3"},
    {GROUP "  - record: a\n    expr: |\n      sum(b\n", 7, 1, "got the end"},
    {GROUP "  - record: a\r\n    expr: |\r\n      b\r\n      + )\r\n", 7, 9, "got `)`"},
    /* Templates. */
    {"{{- if .Values.rules }}\ngroups:\n{{- end }}\n", 1, 1, "Helm"},
    {"groups:\n- name: g\n  rules:\n{{ toYaml .x | indent 2 }}\n", 4, 1, "Helm"},
    {GROUP "  - record: a\n    expr: up{job=\"{{ .Values.job }}\"}\n", 5, 1, "Helm"},
    {"groups:\n- name: {{ .Release.Name }}\n  rules: []\n", 2, 1, "Helm"},
    {"{{ range .x }}\ngroups: []\n{{ end }}\n", 1, 1, "Helm"},
    {"{{- if $x }}\ngroups: []\n{{- end }}\n", 1, 1, "Helm"},
    {"{{/*\nabout: it\n*/}}\ngroups: []\n", 1, 1, "Helm"},
    {"groups:\n- name: g\n  rules:\n{{ range .x }}\n\n# b\n  - {record: a, expr: b}\n{{ end }}\n", 4, 1, "Helm"},
    {GROUP "  - record: a\n    expr: b\n    {{ with .x }}\n    labels: {c: d}\n    {{ end }}\n", 6, 1, "Helm"},
    {GROUP "  - record: a\n    expr: b\n    labels:\n      c: d\n      {{ template \"x\" . }}\n", 8, 1, "Helm"},
    {GROUP "  - record: a\n    expr: |\n      b +\n      {{ x }}\n", 7, 1, "Helm"},
    /* Not those of annotations: the error is elsewhere. */
    {GROUP "  - alert: a\n    expr: up ==\n" ANNOTATION, 5, 16, "got the end"},
    {GROUP "  - alert: a\n    expr: b\n" ANNOTATION "  - alert: c\n" ANNOTATION, 9, 5, "the rule c has no expr"},
    {GROUP "  - alert: a\n    expr: b\n" ANNOTATION "  - alert: c\n\texpr: d\n", 10, 1, "invalid YAML"},
    {GROUP "  - alert: a\n    expr: b\n" ANNOTATION "   - alert: c\n", 9, 4, "invalid YAML"},
    {GROUP "  - alert: a\n    expr: b\n" ANNOTATION "\x01\n", 9, 1, "invalid YAML"},
    {GROUP "  - alert: a\n    annotations:\n      s: the\n        {{ $labels.d }}: full\n", 7, 24, "invalid YAML"},
};

static void
test_errors_have_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct promql_error error = {.line = 0};
        struct ruleset rules = {.n = 0};
        int r = add(&rules, wrong[i].text, strlen(wrong[i].text), &error);
        if (r != EINVAL || error.line != wrong[i].line || error.column != wrong[i].column ||
            !strstr(error.reason, wrong[i].reason))
            fail_msg("%s%d at %u:%u: %s", wrong[i].text, r, error.line, error.column, error.reason);
        ruleset_deinit(&rules);
    }
}

/* Templates in annotations are not taken for Helm, and their queries are read. */
static void
test_queries_of_templates(void **state)
{
    (void)state;
    static const struct {
        const char *annotation;
        size_t n;
        bool unreadable;
        const char *selector;
    } templates[] = {
        {"'{{ $labels.query }} {{ .query }} query \"x\"'", 0, false, ""},
        {"'{{ range query \"b\" }}{{ .Value }}{{ end }}'", 1, false, "b"},
        {"'{{ with query `b{c=\"d\"}` }}x{{ end }}{{query \"e\"|first}}'", 2, false, "b"},
        {"'{{ with printf \"b{c=\\\"%s\\\"}\" $labels.c | query }}x{{ end }}'", 0, true, ""},
        {"'{{ range query (printf \"b{c=''%s''}\" $labels.c) }}x{{ end }}'", 1, false, "b"},
        {"'{{ query $x }} {{ query \"b +\" }}'", 0, true, ""},
        {"'{{ \"query \\\"b\\\" }} {{ query `b'", 0, false, ""},
        {"|\n        {{ template \"x\" }}\n        {{- query \"b\" }}", 1, false, "b"},
    };
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        struct ruleset rules = {.n = 0};
        struct promql_error error;
        char text[400];
        int len = snprintf(text, sizeof(text), GROUP "  - alert: a\n    expr: x\n    annotations:\n      d: %s\n",
                           templates[i].annotation);
        if (add(&rules, text, (size_t)len, &error))
            fail_msg("%s%u:%u: %s", text, error.line, error.column, error.reason);
        const struct prom_rule *r = &rules.items[0];
        if (r->n_queries != templates[i].n || r->has_unreadable_query != templates[i].unreadable)
            fail_msg("%s%zu queries", text, r->n_queries);
        if (r->n_queries)
            assert_memory_equal(r->queries[0].selectors[0]->name.ptr, templates[i].selector, 1);
        ruleset_deinit(&rules);
    }
}

/* The memory for the queries of an annotation is proportional to its length. */
static void
test_many_queries(void **state)
{
    (void)state;
    enum { QUERIES = 4000 };
    struct ruleset rules = {.n = 0};
    struct promql_error error;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    fputs(GROUP "  - alert: a\n    expr: x\n    annotations:\n      d: '", out);
    for (int i = 0; i < QUERIES; i++)
        fputs("{{query `b`}}", out);
    fputs("'\n", out);
    fclose(out);
    assert_int_equal(add(&rules, text, len, &error), 0);
    assert_int_equal(rules.items[0].n_queries, QUERIES);
    for (int i = 0; i < QUERIES; i++)
        assert_int_equal(rules.items[0].queries[i].n_selectors, 1);
    assert_in_range(rules.arena.bytes, QUERIES, QUERIES * 2048);
    free(text);
    ruleset_deinit(&rules);
}

/* Hostile files. */

/* n copies of a text between two others. */
static void
check_repeated(const char *begin, const char *text, size_t n, const char *end, const char *reason)
{
    struct promql_error error = {.line = 0};
    struct ruleset rules = {.n = 0};
    char *bytes = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&bytes, &len);

    assert_non_null(out);
    fputs(begin, out);
    for (size_t i = 0; i < n; i++)
        fputs(text, out);
    fputs(end, out);
    fclose(out);
    assert_int_equal(add(&rules, bytes, len, &error), EINVAL);
    if (!strstr(error.reason, reason))
        fail_msg("%s: %s", text, error.reason);
    free(bytes);
    ruleset_deinit(&rules);
}

static void
test_hostile_files(void **state)
{
    (void)state;
    char laughs[800] = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; i++)
        snprintf(laughs + strlen(laughs), sizeof(laughs) - strlen(laughs),
                 "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1,
                 i - 1, i - 1, i - 1, i - 1, i - 1);
    check_repeated(laughs, "", 0, "groups: *a8\n", "values after alias expansion");
    check_repeated("a: ", "[", 100000, "", "nests deeper than 64 levels");
    check_repeated("a: ", "{a: ", 100000, "", "nests deeper than 64 levels");
    check_repeated("a:\n", "- - ", 100000, "\n", "nests deeper than 64 levels");
    check_repeated("a: [", "a,", 2 * LIMIT_YAML_NODES, "]", "more than 1000000 values");
    check_repeated("a: ", "0123456789", 4 * 1000 * 1000, "\n", "larger than 32 MiB");
    check_repeated("groups:\n- name: g\n  rules:\n", "  - {record: a, expr: b}\n", LIMIT_RULES + 1, "",
                   "more than 20000 rules");
    check_repeated(GROUP "  - record: a\n    expr: '", "(", 10000, "'\n", "nests deeper than 250 levels");
    check_repeated("kind: List\nitems: [", "{kind: List, items: [", 20, "", "");
    check_repeated("a: &a {<<: [", "*a, ", 1, "b]}\n", "inside the value");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_errors_have_a_place),
        cmocka_unit_test(test_queries_of_templates),
        cmocka_unit_test(test_many_queries),
        cmocka_unit_test(test_hostile_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
