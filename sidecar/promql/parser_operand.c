/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors, calls and aggregations. */
#include "functions.h"
#include "parser.h"
#include "pattern.h"

#include "core/base/buffer.h"
#include "core/base/unquote.h"

#include <errno.h>
#include <stdio.h>

static bool
is_text(struct ss_span span, const char *text)
{
    return spans_equal(span, (struct ss_span){text, strlen(text)});
}

bool
parse_string(struct promql_parser *p, struct ss_span *out)
{
    const char *reason;

    if (p->token.kind != TOKEN_STRING) {
        parser_expected(p, "a string");
        return false;
    }
    int r = string_unquote(p->token.text, p->arena, out, &reason);
    if (r > 0)
        parser_refuse(p, p->token.text, "%s", reason);
    else if (r)
        p->result = r;
    else
        parser_take(p);
    return !r;
}

/* Labels. */

static bool
parse_label(struct promql_parser *p, struct ss_span *out)
{
    enum token_kind kind = p->token.kind;

    if (kind == TOKEN_STRING) {
        p->later = "a quoted name";
        return parse_string(p, out);
    }
    if (kind == TOKEN_METRIC)
        p->later = "a label with a colon";
    else if (kind != TOKEN_IDENTIFIER && (!token_is_word(kind) || kind == TOKEN_WITHOUT)) {
        parser_expected(p, "a label or `)`");
        return false;
    }
    *out = parser_take(p).text;
    return true;
}

bool
parse_labels(struct promql_parser *p, struct label_list *list)
{
    if (!parser_take_a(p, TOKEN_LEFT_PAREN, "`(` and labels"))
        return false;
    while (p->token.kind != TOKEN_RIGHT_PAREN) {
        struct ss_span *items = parser_grow(p, list->items, list->n, &list->capacity, sizeof(*items));
        if (!items)
            return false;
        list->items = items;
        if (!parse_label(p, &items[list->n++]))
            return false;
        if (p->token.kind != TOKEN_COMMA)
            break;
        parser_take(p);
    }
    return parser_take_a(p, TOKEN_RIGHT_PAREN, "`,` or `)`");
}

/* Selectors. */

/* Takes a metric name inside the braces. */
static bool
set_name(struct promql_parser *p, struct selector *s, struct ss_span name, struct ss_span at)
{
    if (s->name.ptr) {
        parser_refuse(p, at, "duplicate metric name: %.*s and %.*s", (int)(s->name.len < 60 ? s->name.len : 60),
                      s->name.ptr, (int)(name.len < 60 ? name.len : 60), name.ptr);
        return false;
    }
    s->name = name;
    return true;
}

/* Compiles the pattern of a matcher, to validate it and to see whether it matches an empty value. 0, or the
   parser has the error. */
static int
check_pattern(struct promql_parser *p, struct matcher *m, struct ss_span at)
{
    char reason[160];
    struct pattern *pattern;

    int r = pattern_new(&pattern, m->value, reason, sizeof(reason));
    if (r > 0)
        parser_refuse(p, at, "expected a regular expression: %s", reason);
    if (!r) {
        r = pattern_matches(pattern, (struct ss_span){"", 0});
        pattern_free(pattern);
        m->takes_empty = (r > 0) == (m->op == TOKEN_MATCH);
        r = r < 0 ? r : 0;
    }
    if (r < 0)
        p->result = r;
    return r;
}

static bool
parse_matcher(struct promql_parser *p, struct selector *s, struct ss_span label, bool outside)
{
    struct token op = parser_take(p), value = p->token;
    struct matcher *m = &s->matchers[s->n_matchers];

    *m = (struct matcher){.label = label, .op = op.kind};
    if (!parse_string(p, &m->value))
        return false;
    m->takes_empty = !m->value.len == (op.kind == TOKEN_ASSIGN);
    if ((op.kind == TOKEN_MATCH || op.kind == TOKEN_NOT_MATCH) && check_pattern(p, m, value.text))
        return false;
    s->n_matchers++;
    if (!is_text(label, "__name__"))
        return true;
    if (outside) {
        parser_refuse(p, op.text, "duplicate metric name: before the braces and as __name__");
        return false;
    }
    if (op.kind == TOKEN_ASSIGN && !s->name.ptr)
        s->name = m->value;
    return true;
}

static bool
parse_matchers(struct promql_parser *p, struct selector *s, bool outside)
{
    size_t capacity = 0;

    for (parser_take(p); p->token.kind != TOKEN_RIGHT_BRACE;) {
        struct token label = p->token;
        struct ss_span name = label.text;
        bool quoted = label.kind == TOKEN_STRING;
        struct matcher *matchers = parser_grow(p, s->matchers, s->n_matchers, &capacity, sizeof(*matchers));
        if (!matchers)
            return false;
        s->matchers = matchers;
        if (quoted)
            p->later = "a quoted name";
        if (quoted ? !parse_string(p, &name) : !parser_take_a(p, TOKEN_IDENTIFIER, "a label or `}`"))
            return false;
        enum token_kind op = p->token.kind;
        if (op == TOKEN_ASSIGN || op == TOKEN_NEQ || op == TOKEN_MATCH || op == TOKEN_NOT_MATCH) {
            if (!parse_matcher(p, s, name, outside))
                return false;
        } else if (!quoted) {
            parser_expected(p, "one of = != =~ !~");
            return false;
        } else if (!set_name(p, s, name, label.text)) {
            return false;
        }
        if (p->token.kind != TOKEN_COMMA)
            break;
        parser_take(p);
    }
    return parser_take_a(p, TOKEN_RIGHT_BRACE, "`,` or `}`");
}

static bool
selects_something(const struct selector *s)
{
    for (size_t i = 0; i < s->n_matchers; i++)
        if (!s->matchers[i].takes_empty)
            return true;
    return false;
}

static struct node *
node_selector(struct promql_parser *p, struct selector *s, struct ss_span text)
{
    struct node *node = node_new(p, NODE_SELECTOR, TYPE_VECTOR, text, 0);
    struct selector **list = parser_grow(p, p->selectors, p->n_selectors, &p->capacity, sizeof(*list));

    if (!node || !list)
        return NULL;
    p->selectors = list;
    s->number = p->n_selectors;
    list[p->n_selectors++] = s;
    node->selector = s;
    return node_finish(p, node);
}

struct node *
parse_selector(struct promql_parser *p)
{
    struct token first = p->token;
    struct selector *s = parser_alloc(p, sizeof(*s));

    if (!s)
        return NULL;
    if (first.kind != TOKEN_LEFT_BRACE)
        s->name = parser_take(p).text;
    bool outside = s->name.ptr;
    if (p->token.kind == TOKEN_LEFT_BRACE) {
        if (!parse_matchers(p, s, outside))
            return NULL;
        if (!(s->name.ptr && s->name.len) && !selects_something(s)) {
            parser_refuse(p, first.text, "expected a matcher that an empty value does not match, such as job=\"x\"");
            return NULL;
        }
    }
    return node_selector(p, s, first.text);
}

/* Arguments. */

struct arguments {
    struct node **items;
    size_t n, capacity;
};

static bool
parse_arguments(struct promql_parser *p, struct arguments *a)
{
    if (!parser_take_a(p, TOKEN_LEFT_PAREN, "`(`"))
        return false;
    while (a->n || p->token.kind != TOKEN_RIGHT_PAREN) {
        struct node **items = parser_grow(p, a->items, a->n, &a->capacity, sizeof(struct node *));
        struct node *argument = items ? parse_expression(p, 0) : NULL;
        if (!argument)
            return false;
        a->items = items;
        items[a->n++] = argument;
        if (p->token.kind != TOKEN_COMMA)
            break;
        parser_take(p);
    }
    return parser_take_a(p, TOKEN_RIGHT_PAREN, "an operator, `,` or `)`");
}

static bool
check_type(struct promql_parser *p, const struct node *argument, enum value_type type, struct ss_span of)
{
    if (argument->type == type)
        return true;
    parser_refuse(p, argument->text, "expected %s in %.*s(), got %s", type_name(type), (int)of.len, of.ptr,
                  type_name(argument->type));
    return false;
}

static bool
check_count(struct promql_parser *p, size_t n, size_t least, size_t most, struct ss_span of)
{
    if (n >= least && n <= most)
        return true;
    char many[64];
    if (most == SIZE_MAX)
        snprintf(many, sizeof(many), "at least %zu", least);
    else if (least < most)
        snprintf(many, sizeof(many), "%zu to %zu", least, most);
    else
        snprintf(many, sizeof(many), "%zu", least);
    parser_refuse(p, of, "expected %s argument%s of %.*s(), got %zu", many, most == 1 ? "" : "s", (int)of.len, of.ptr,
                  n);
    return false;
}

/* Checks the second argument of info(), or adds the one that it has without: target_info. */
static bool
complete_info(struct promql_parser *p, struct arguments *a, struct ss_span at)
{
    if (a->n == 1) {
        struct selector *s = parser_alloc(p, sizeof(*s));
        struct node **items = parser_grow(p, a->items, a->n, &a->capacity, sizeof(struct node *));
        if (!s || !items)
            return false;
        s->is_implied = true;
        a->items = items;
        items[1] = node_selector(p, s, at);
        if (!items[1])
            return false;
        a->n = 2;
    }
    if (a->items[1]->kind != NODE_SELECTOR) {
        parser_refuse(p, a->items[1]->text, "expected a selector as the second argument of info()");
        return false;
    }
    a->items[1]->selector->is_info = true;
    return true;
}

struct node *
parse_call(struct promql_parser *p)
{
    struct token name = parser_take(p);
    const struct function *f = function_find(name.text);
    struct arguments a = {NULL, 0, 0};

    if (!f) {
        parser_refuse(p, name.text, "unknown function %.*s()", (int)(name.text.len < 80 ? name.text.len : 80),
                      name.text.ptr);
        return NULL;
    }
    if (f->later)
        p->later = f->name;
    if (!parse_arguments(p, &a) || !check_count(p, a.n, function_min_args(f), function_max_args(f), name.text))
        return NULL;
    for (size_t i = 0, last = strlen(f->args); i < a.n; i++)
        if (!check_type(p, a.items[i], function_type(f->args[i < last ? i : last - 1]), name.text))
            return NULL;
    if (is_text(name.text, "info") && !complete_info(p, &a, name.text))
        return NULL;
    struct node *node = node_new(p, NODE_CALL, f->type, name.text, a.n);
    if (!node)
        return NULL;
    for (size_t i = 0; i < a.n; i++)
        node->args[i] = a.items[i];
    return node_finish(p, node);
}

/* by and without, before or after the arguments. */
static bool
parse_grouping(struct promql_parser *p, bool *found)
{
    struct label_list labels = {NULL, 0, 0};
    *found = p->token.kind == TOKEN_BY || p->token.kind == TOKEN_WITHOUT;
    if (!*found)
        return true;
    parser_take(p);
    return parse_labels(p, &labels);
}

struct node *
parse_aggregate(struct promql_parser *p)
{
    struct token op = parser_take(p);
    struct arguments a = {NULL, 0, 0};
    bool found, needs_parameter = op.kind >= TOKEN_TOPK;

    if (!parse_grouping(p, &found) || !parse_arguments(p, &a) || (!found && !parse_grouping(p, &found)))
        return NULL;
    if (op.kind == TOKEN_LIMITK || op.kind == TOKEN_LIMIT_RATIO)
        p->later = "limitk";
    size_t n = 1 + (size_t)needs_parameter;
    if (!check_count(p, a.n, n, n, op.text) || !check_type(p, a.items[n - 1], TYPE_VECTOR, op.text))
        return NULL;
    enum value_type type = op.kind == TOKEN_COUNT_VALUES ? TYPE_STRING : TYPE_SCALAR;
    if (needs_parameter && !check_type(p, a.items[0], type, op.text))
        return NULL;
    struct node *node = node_new(p, NODE_AGGREGATE, TYPE_VECTOR, op.text, n);
    if (!node)
        return NULL;
    node->op = op.kind;
    for (size_t i = 0; i < n; i++)
        node->args[i] = a.items[n - 1 - i];
    return node_finish(p, node);
}
