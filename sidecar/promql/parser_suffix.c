/* SPDX-License-Identifier: Apache-2.0 */
/* Suffixes of an operand: ranges, subqueries, offset, @; and the durations in them. */
#include "limits.h"
#include "numbers.h"
#include "parser.h"

#include <errno.h>
#include <math.h>

/* Durations. */

/* What is known of a duration without running the query. */
struct duration {
    bool is_literal, is_zero;
};

static bool parse_terms(struct promql_parser *p, struct duration *out);

static bool
parse_literal_duration(struct promql_parser *p, struct duration *out)
{
    struct token token = parser_take(p);
    const char *wrong;
    double number = 0;
    int64_t ms = 0;

    if (token.kind == TOKEN_NUMBER) {
        p->later = "a number as a duration";
        wrong = number_read(token.text, &number);
        if (!wrong && !(number * 1000 < (double)(INT64_MAX / 1000000)))
            wrong = "the duration is out of range";
    } else {
        wrong = duration_read(token.text, &ms);
    }
    if (wrong) {
        parser_refuse(p, token.text, "%s", wrong);
        return false;
    }
    *out = (struct duration){true, token.kind == TOKEN_NUMBER ? !(number > 0) : !ms};
    return true;
}

/* step(), range(), min() and max() of durations. */
static bool
parse_duration_call(struct promql_parser *p)
{
    enum token_kind kind = parser_take(p).kind;
    struct duration argument;

    p->later = "a duration that is computed";
    if (!parser_take_a(p, TOKEN_LEFT_PAREN, "`(`"))
        return false;
    if (kind == TOKEN_MIN || kind == TOKEN_MAX) {
        if (!parse_terms(p, &argument) || !parser_take_a(p, TOKEN_COMMA, "`,`") || !parse_terms(p, &argument))
            return false;
    }
    return parser_take_a(p, TOKEN_RIGHT_PAREN, "`)`");
}

static bool
parse_term(struct promql_parser *p, struct duration *out)
{
    *out = (struct duration){false, false};
    switch (p->token.kind) {
    case TOKEN_NUMBER:
    case TOKEN_DURATION:
        return parse_literal_duration(p, out);
    case TOKEN_STEP:
    case TOKEN_RANGE:
    case TOKEN_MIN:
    case TOKEN_MAX:
        return parse_duration_call(p);
    case TOKEN_LEFT_PAREN:
        parser_take(p);
        p->later = "a duration that is computed";
        return parse_terms(p, out) && parser_take_a(p, TOKEN_RIGHT_PAREN, "`)`");
    default:
        parser_expected(p, "a duration such as 5m");
        return false;
    }
}

/* Terms joined by operators. Precedence does not matter here. */
static bool
parse_terms(struct promql_parser *p, struct duration *out)
{
    if (++p->nesting > LIMIT_NESTING) {
        parser_refuse(p, p->token.text, "the duration nests deeper than %d levels", LIMIT_NESTING);
        return false;
    }
    for (bool first = true;; first = false) {
        while (p->token.kind == TOKEN_ADD || p->token.kind == TOKEN_SUB) {
            p->later = "a duration that is computed";
            parser_take(p);
        }
        if (!parse_term(p, out))
            return false;
        if (!first)
            *out = (struct duration){false, false};
        enum token_kind op = p->token.kind;
        if (op < TOKEN_ADD || op > TOKEN_POW || op == TOKEN_ATAN2)
            break;
        p->later = "a duration that is computed";
        parser_take(p);
    }
    p->nesting--;
    return true;
}

/* A duration in brackets, above 0. */
static bool
parse_span(struct promql_parser *p)
{
    struct token first = p->token;
    struct duration duration;

    if (!parse_terms(p, &duration))
        return false;
    if (duration.is_literal && duration.is_zero) {
        parser_refuse(p, first.text, "expected a duration above 0");
        return false;
    }
    return true;
}

/* Ranges. */

static struct node *
make_range(struct promql_parser *p, struct node *node, struct ss_span at)
{
    if (node->kind != NODE_SELECTOR || node->type != TYPE_VECTOR)
        parser_refuse(p, at, "expected a selector before a range, got %s; a subquery such as [1h:1m] is possible",
                      type_name(node->type));
    else if (node->has_offset || node->has_time)
        parser_refuse(p, at, "expected the range before %s", node->has_offset ? "offset" : "@");
    if (p->result)
        return NULL;
    node->type = TYPE_MATRIX;
    return node;
}

static struct node *
make_subquery(struct promql_parser *p, struct node *inner, struct ss_span at)
{
    if (inner->type != TYPE_VECTOR) {
        parser_refuse(p, at, "expected an instant vector before a subquery, got %s", type_name(inner->type));
        return NULL;
    }
    struct node *node = node_new(p, NODE_SUBQUERY, TYPE_MATRIX, at, 1);
    if (!node)
        return NULL;
    node->args[0] = inner;
    return node_finish(p, node);
}

static struct node *
parse_brackets(struct promql_parser *p, struct node *node)
{
    struct token open = parser_take(p);
    bool subquery = false;

    if (!parse_span(p))
        return NULL;
    if (p->token.kind == TOKEN_COLON) {
        subquery = true;
        parser_take(p);
        if (p->token.kind != TOKEN_RIGHT_BRACKET && !parse_span(p))
            return NULL;
    }
    if (!parser_take_a(p, TOKEN_RIGHT_BRACKET, subquery ? "a duration or `]`" : "`:` or `]`"))
        return NULL;
    return subquery ? make_subquery(p, node, open.text) : make_range(p, node, open.text);
}

/* offset and @. */

static bool
may_have_modifier(struct promql_parser *p, const struct node *node, struct ss_span at, bool given)
{
    if (node->kind != NODE_SELECTOR && node->kind != NODE_SUBQUERY)
        parser_refuse(p, at, "expected a selector or a subquery before %.*s", (int)at.len, at.ptr);
    else if (given)
        parser_refuse(p, at, "duplicate %.*s", (int)at.len, at.ptr);
    return !p->result;
}

static bool
parse_offset(struct promql_parser *p, struct node *node)
{
    struct token word = parser_take(p);
    struct duration duration;

    for (bool first = true; p->token.kind == TOKEN_ADD || p->token.kind == TOKEN_SUB; first = false)
        if (parser_take(p).kind == TOKEN_ADD || !first)
            p->later = "a sign before an offset";
    if (!parse_term(p, &duration) || !may_have_modifier(p, node, word.text, node->has_offset))
        return false;
    if (duration.is_literal && duration.is_zero)
        p->later = "an offset of 0";
    node->has_offset = true;
    return true;
}

static bool
set_time(struct promql_parser *p, struct node *node, struct ss_span at)
{
    if (!may_have_modifier(p, node, at, node->has_time))
        return false;
    node->has_time = true;
    return true;
}

static bool
parse_time(struct promql_parser *p, struct node *node)
{
    struct token sign = parser_take(p);

    if (p->token.kind == TOKEN_START || p->token.kind == TOKEN_STOP) {
        parser_take(p);
        if (!parser_take_a(p, TOKEN_LEFT_PAREN, "`(`") || !parser_take_a(p, TOKEN_RIGHT_PAREN, "`)`"))
            return false;
    } else {
        if (p->token.kind == TOKEN_ADD || p->token.kind == TOKEN_SUB)
            parser_take(p);
        struct token number = p->token;
        double value;
        if (number.kind == TOKEN_DURATION) {
            struct duration duration;
            p->later = "a duration as a number";
            return parse_literal_duration(p, &duration) && set_time(p, node, sign.text);
        }
        if (!parser_take_a(p, TOKEN_NUMBER, "a time in seconds, start() or end()"))
            return false;
        const char *wrong = number_read(number.text, &value);
        if (!wrong && !(fabs(value) < (double)(INT64_MAX / 1000)))
            wrong = "the time is out of range";
        if (wrong)
            parser_refuse(p, number.text, "%s", wrong);
    }
    return set_time(p, node, sign.text);
}

/* smoothed and anchored: how a selector interpolates between scrapes. */
static bool
parse_smoothing(struct promql_parser *p, struct node *node)
{
    struct token word = parser_take(p);
    p->later = "smoothed and anchored";
    if (node->kind == NODE_SELECTOR)
        return true;
    parser_refuse(p, word.text, "expected a selector before %.*s", (int)word.text.len, word.text.ptr);
    return false;
}

struct node *
parse_suffixes(struct promql_parser *p, struct node *node)
{
    while (node && !p->result) {
        switch (p->token.kind) {
        case TOKEN_LEFT_BRACKET:
            node = parse_brackets(p, node);
            break;
        case TOKEN_OFFSET:
            node = parse_offset(p, node) ? node : NULL;
            break;
        case TOKEN_AT:
            node = parse_time(p, node) ? node : NULL;
            break;
        case TOKEN_SMOOTHED:
        case TOKEN_ANCHORED:
            node = parse_smoothing(p, node) ? node : NULL;
            break;
        default:
            return node;
        }
    }
    return NULL;
}
