/* SPDX-License-Identifier: Apache-2.0 */
/* PromQL expressions: the trees of valid ones, and the errors of invalid ones. */
#include "promql/expression.h"
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

/* The tree in prefix notation. */
static void
print_tree(FILE *out, const struct node *n)
{
    switch (n->kind) {
    case NODE_SELECTOR:
        fprintf(out, "%.*s", (int)n->selector->name.len, n->selector->name.ptr ? n->selector->name.ptr : "");
        for (size_t i = 0; i < n->selector->n_matchers; i++) {
            const struct matcher *m = &n->selector->matchers[i];
            fprintf(out, "{%.*s%s%.*s}", (int)m->label.len, m->label.ptr,
                    m->op == TOKEN_ASSIGN  ? "="
                    : m->op == TOKEN_NEQ   ? "!="
                    : m->op == TOKEN_MATCH ? "=~"
                                           : "!~",
                    (int)m->value.len, m->value.ptr);
        }
        fputs(n->type == TYPE_MATRIX ? "[]" : "", out);
        return;
    case NODE_PAREN:
        print_tree(out, n->args[0]);
        return;
    case NODE_NUMBER:
    case NODE_STRING:
        fprintf(out, "%.*s", (int)n->text.len, n->text.ptr);
        return;
    default:
        break;
    }
    fprintf(out, "(%.*s%s", (int)n->text.len, n->text.ptr, n->returns_bool ? " bool" : n->fills ? " fill" : "");
    for (uint32_t i = 0; i < n->n_args; i++) {
        putc(' ', out);
        print_tree(out, n->args[i]);
    }
    putc(')', out);
}

static void
check_tree(const char *text, const char *wanted)
{
    struct arena arena = {NULL, 0, 0};
    struct promql_error error;
    struct expression e;
    char *tree = NULL;
    size_t len = 0;

    int r = expression_parse(&e, &arena, span_of(text), &error);
    if (r)
        fail_msg("%s: %u:%u: %s", text, error.line, error.column, error.reason);
    FILE *out = open_memstream(&tree, &len);
    assert_non_null(out);
    print_tree(out, e.root);
    fclose(out);
    assert_string_equal(tree, wanted);
    free(tree);
    arena_deinit(&arena);
}

static void
test_precedence(void **state)
{
    (void)state;
    check_tree("a or b and c", "(or a (and b c))");
    check_tree("a and b or c unless d", "(or (and a b) (unless c d))");
    check_tree("a and b unless c", "(unless (and a b) c)");
    check_tree("a == b + c and d", "(and (== a (+ b c)) d)");
    check_tree("a - b - c", "(- (- a b) c)");
    check_tree("a + b * c % d atan2 e", "(+ a (atan2 (% (* b c) d) e))");
    check_tree("a ^ b ^ c", "(^ a (^ b c))");
    check_tree("-a ^ b * c", "(* (- (^ a b)) c)");
    check_tree("2 ^ -a ^ b * c", "(* (^ 2 (- (^ a b))) c)");
    check_tree("- -a", "(- (- a))");
    check_tree("(a or b) and c", "(and (or a b) c)");
    check_tree("a < bool b == c", "(== (< bool a b) c)");
    check_tree("A AnD B oR C", "(oR (AnD A B) C)");
}

static void
test_selectors(void **state)
{
    (void)state;
    check_tree("foo:bar{a=\"b\", c!='d', e=~`f.*`, g!~\"\",}", "foo:bar{a=b}{c!=d}{e=~f.*}{g!~}");
    check_tree("{sum=\"a\\\"\\x41\\u00e9\"}", "{sum=a\"A\xc3\xa9}");
    check_tree("{__name__=\"foo\"}[5m] offset -1h @ 3", "foo{__name__=foo}[]");
    check_tree("{\"my.metric\", \"my label\"=\"v\"}", "my.metric{my label=v}");
    check_tree("sum + by + offset + start + or1", "(+ (+ (+ (+ sum by) offset) start) or1)");
    check_tree("foo{ # braces\n a=\"b\" # and } strings\n} # end", "foo{a=b}");
    check_tree("rate(x[5m:1m])", "(rate ([ x))");
    check_tree("max_over_time(sum(x)[1h:] offset 5m)", "(max_over_time ([ (sum x)))");
}

static void
test_operators_and_calls(void **state)
{
    (void)state;
    check_tree("a / on (x, y,) group_left (z) b", "(/ a b)");
    check_tree("a == bool ignoring () group_right b", "(== bool a b)");
    check_tree("a + on (x) fill (0) b", "(+ fill a b)");
    check_tree("a + fill", "(+ a fill)");
    check_tree("sum by (a, on) (x) + sum (y) without (b)", "(+ (sum x) (sum y))");
    check_tree("topk (3, x) by (a)", "(topk x 3)");
    check_tree("histogram_quantile(0.9, rate(x_bucket[5m]))", "(histogram_quantile 0.9 (rate x_bucket[]))");
    check_tree("label_join(x, \"a\", \",\")", "(label_join x \"a\" \",\")");
    check_tree("hour() + vector(time())", "(+ (hour) (vector (time)))");
    check_tree("foo[5m + step()] offset (1h - max(5m, 2))", "foo[]");
}

/* Errors. */

static const struct {
    const char *text;
    unsigned line, column;
    const char *reason;
} wrong[] = {
    {"", 1, 1, "expected a metric, a function, a number or `(`, got the end"},
    {"a +", 1, 4, "got the end"},
    {"a b", 1, 3, "expected an operator or the end of the expression, got `b`"},
    {"a +\n  * b", 2, 3, "got `*`"},
    {"\"\xc3\xa9\" + )", 1, 7, "got `)`"},
    {"(a", 1, 3, "expected an operator or `)`"},
    {"a{b}", 1, 4, "expected one of = != =~ !~, got `}`"},
    {"a{b=c}", 1, 5, "expected a string, got `c`"},
    {"a{b=\"c\" d=\"e\"}", 1, 9, "expected `,` or `}`"},
    {"a{b=~\"(\"}", 1, 6, "missing closing parenthesis"},
    {"{}", 1, 1, "a matcher that an empty value does not match"},
    {"{a=~\".*\"}", 1, 1, "a matcher that an empty value does not match"},
    {"a{__name__=\"b\"}", 1, 11, "duplicate metric name"},
    {"a{\"b\"}", 1, 3, "duplicate metric name: a and b"},
    {"\"a", 1, 1, "unterminated string"},
    {"'a\n'", 1, 1, "unterminated string"},
    {"`a", 1, 1, "unterminated raw string"},
    {"\"\\q\"", 1, 1, "unknown escape"},
    {"a[5m", 1, 5, "expected `:` or `]`"},
    {"a[m]", 1, 3, "expected a duration such as 5m, got `m`"},
    {"a[0s]", 1, 3, "above 0"},
    {"a[30m1h]", 1, 3, "a duration such as 1h30m, got \"30m1h\""},
    {"a[300000y]", 1, 3, "out of range"},
    {"(a)[5m]", 1, 4, "expected a selector before a range, got an instant vector"},
    {"a offset 5m offset 5m", 1, 13, "duplicate offset"},
    {"(a) offset 5m", 1, 5, "expected a selector or a subquery before offset"},
    {"a @ inf", 1, 5, "out of range"},
    {"a[5m] + 1", 1, 7, "on the left of +, got a range vector"},
    {"1 and a", 1, 3, "on the left of and, got a scalar"},
    {"1 == 1", 1, 3, "requires bool"},
    {"a + bool b", 1, 3, "bool can be used only with comparisons"},
    {"a and on(b) group_left c", 1, 13, "group_left cannot be used with and"},
    {"a + on(b) group_left(b) c", 1, 22, "the label b is in both on and group_left"},
    {"1 + on(b) c", 1, 5, "on requires an instant vector on both sides"},
    {"sum(a, b)", 1, 1, "expected 1 argument of sum(), got 2"},
    {"sum(a[5m])", 1, 5, "expected an instant vector in sum(), got a range vector"},
    {"topk(a, 3)", 1, 9, "expected an instant vector in topk(), got a scalar"},
    {"rate(a)", 1, 6, "expected a range vector in rate(), got an instant vector"},
    {"round()", 1, 1, "expected 1 to 2 arguments of round(), got 0"},
    {"label_join(a, \"b\")", 1, 1, "expected at least 3 arguments"},
    {"nonsense(a)", 1, 1, "unknown function nonsense()"},
    {"-\"a\"", 1, 1, "after a sign, got a string"},
    {"sum by (1) (a)", 1, 9, "expected a label or `)`, got `1`"},
    {"a ! b", 1, 3, "expected != or !~, got !"},
    {"a & b", 1, 3, "got \"&\""},
    {"a\x01", 1, 2, "the byte 0x01"},
    {"0x", 1, 1, "expected a number"},
    {"1e999", 1, 1, "out of range"},
    {"info(a, b + c)", 1, 11, "expected a selector as the second argument of info()"},
};

static void
test_errors_have_a_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct arena arena = {NULL, 0, 0};
        struct promql_error error = {.line = 0};
        struct expression e;
        int r = expression_parse(&e, &arena, span_of(wrong[i].text), &error);
        if (r <= 0 || error.line != wrong[i].line || error.column != wrong[i].column ||
            !strstr(error.reason, wrong[i].reason))
            fail_msg("%s: %d at %u:%u: %s", wrong[i].text, r, error.line, error.column, error.reason);
        arena_deinit(&arena);
    }
}

/* Limits. */

/* Parses n copies of a beginning, a middle, and n copies of an end. */
static int
parse_nested(const char *begin, const char *middle, const char *end, size_t n, struct promql_error *error)
{
    struct arena arena = {NULL, 0, 0};
    struct expression e;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    for (size_t i = 0; i < n; i++)
        fputs(begin, out);
    fputs(middle, out);
    for (size_t i = 0; i < n; i++)
        fputs(end, out);
    fclose(out);
    int r = expression_parse(&e, &arena, (struct ss_span){text, len}, error);
    arena_deinit(&arena);
    free(text);
    return r;
}

static void
test_limits(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *middle, *end;
        size_t fine, too_many;
        const char *reason;
    } nested[] = {
        {"(", "a", ")", 200, 10000, "nests deeper"},
        {"sum(", "a", ")", 200, 10000, "nests deeper"},
        {"-", "a", "", 200, 10000, "nests deeper"},
        {"a[", "", "", 0, 10000, ""},
        {"a^", "a", "", 200, 10000, "nests deeper"},
        {"", "a", " or a", 1900, 10000, "chains more than"},
        {"", "a", "[5m:]", 0, 10000, ""},
        {"", "sum(a) by (b", ",b", 0, 100000, "expected `,` or `)`"},
        {"", "label_join(a,\"b\",\"c\"", ",\"d\"", 0, 120000, "more than 100000 nodes"},
        {"", "", "a", 100000, 2 * LIMIT_EXPRESSION, "longer than"},
    };
    for (size_t i = 0; i < sizeof(nested) / sizeof(nested[0]); i++) {
        struct promql_error error = {.line = 0};
        if (nested[i].fine)
            assert_int_equal(parse_nested(nested[i].begin, nested[i].middle, nested[i].end, nested[i].fine, &error), 0);
        assert_true(parse_nested(nested[i].begin, nested[i].middle, nested[i].end, nested[i].too_many, &error) > 0);
        if (!strstr(error.reason, nested[i].reason))
            fail_msg("%s: %s", nested[i].begin, error.reason);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_operators_and_calls),
        cmocka_unit_test(test_errors_have_a_place),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
