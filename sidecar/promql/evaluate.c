/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluates an expression on one server, compared with a single server that has all metrics. */
#include "analysis_state.h"
#include "limits.h"

#include "core/base/buffer.h"

void
evaluation_move(struct evaluation *e, uint32_t here)
{
    e->here = here;
    e->analysis->generation++;
}

static bool
is_whole(enum value v)
{
    return v == VALUE_FULL || v == VALUE_CONST;
}

/* Whether one of the values spoils the result; if so, sets it. */
static bool
is_spoiled(enum value a, enum value b, enum value *out)
{
    if (a == VALUE_UNKNOWN || b == VALUE_UNKNOWN)
        *out = VALUE_UNKNOWN;
    else if (a == VALUE_WRONG || b == VALUE_WRONG || a == VALUE_NAN || b == VALUE_NAN)
        *out = VALUE_WRONG;
    else
        return false;
    return true;
}

/* Selectors. */

static enum value
value_of_family(const struct evaluation *e, uint32_t family)
{
    uint32_t place = e->places[family];
    return place == PLACE_ALL                        ? VALUE_FULL
           : place == PLACE_SPLIT                    ? VALUE_PART
           : place == PLACE_DIFFERS                  ? VALUE_UNKNOWN
           : place == e->here && place != PLACE_NONE ? VALUE_FULL
                                                     : VALUE_EMPTY;
}

/* Combines the values of several names: all of them, none, or some. */
static enum value
combine(enum value a, enum value b)
{
    enum value worst;
    if (is_spoiled(a, b, &worst))
        return worst;
    return a == b ? a : is_whole(a) && is_whole(b) ? VALUE_FULL : VALUE_PART;
}

static enum value
value_of_binding(struct evaluation *e, const struct binding *b)
{
    enum value value = b->is_generated ? VALUE_FULL : VALUE_EMPTY;
    bool first = !b->is_generated;

    if (b->kind == BINDING_UNKNOWN)
        return VALUE_UNKNOWN;
    /* Only what is unknown could change a part: a selector may match thousands of families. */
    for (size_t i = 0; i < b->n_families && (value != VALUE_PART || b->differs); i++, first = false) {
        enum value one = value_of_family(e, b->families[i]);
        value = first ? one : combine(value, one);
    }
    for (size_t i = 0; i < b->n_producers; i++, first = false) {
        enum value one = evaluate_rule(e, b->producers[i]);
        if (one == VALUE_NAN)
            one = VALUE_WRONG;
        value = first ? one : combine(value, one);
    }
    /* Parts stay parts, whatever alerts the server has. */
    return b->reads_alerts && (value == VALUE_EMPTY || is_whole(value)) ? VALUE_UNKNOWN : value;
}

/* Functions. */

static bool
is_called(const struct node *n, const char *name)
{
    return spans_equal(n->text, (struct ss_span){name, strlen(name)});
}

static enum value
value_of_info(enum value v, enum value info)
{
    return v == VALUE_EMPTY || is_whole(info)            ? v
           : info == VALUE_UNKNOWN || v == VALUE_UNKNOWN ? VALUE_UNKNOWN
                                                         : VALUE_WRONG;
}

static enum value
value_of_scalar(enum value v)
{
    return v == VALUE_EMPTY ? VALUE_NAN : v == VALUE_PART ? VALUE_WRONG : v;
}

static enum value
value_of_absent(enum value v)
{
    return v == VALUE_EMPTY || v == VALUE_PART ? VALUE_WRONG : v;
}

/* Whether a function computes with several buckets of a histogram. */
static bool
reads_buckets(const struct node *n)
{
    return is_called(n, "histogram_quantile") || is_called(n, "histogram_quantiles") ||
           is_called(n, "histogram_fraction");
}

/* The value of a call or an aggregation: that of its vector, unless a scalar is worse. */
static enum value
value_of_arguments(const struct fold *f)
{
    enum value worst;
    if (f->vector == VALUE_EMPTY || !is_spoiled(f->vector, f->scalars, &worst))
        return f->vector == VALUE_CONST ? f->scalars : f->vector;
    return worst;
}

static enum value
value_of_call(const struct evaluation *e, const struct node *n, const struct fold *f)
{
    if (is_called(n, "info"))
        return value_of_info(f->first, f->second);
    enum value v = value_of_arguments(f);
    if (is_called(n, "scalar"))
        return value_of_scalar(v);
    if (v == VALUE_PART && e->analysis->settings.placement.tears_histograms && reads_buckets(n))
        return VALUE_WRONG;
    return is_called(n, "absent") || is_called(n, "absent_over_time") ? value_of_absent(v) : v;
}

static enum value
value_of_aggregate(const struct fold *f)
{
    enum value v = value_of_arguments(f);
    return v == VALUE_PART ? VALUE_WRONG : v;
}

/* Operators. */

static enum value
value_of_or(const struct evaluation *e, enum value left, enum value right)
{
    enum value worst;
    if (is_spoiled(left, right, &worst))
        return worst;
    if (left == right)
        return left;
    /* What every server has of the right side shows up wrongly where the left side, which would hide it, is incomplete:
       a constant, or what is whole even on a server that has only what is replicated. */
    bool is_everywhere = right == VALUE_CONST || (right == VALUE_FULL && e->here == PLACE_NONE);
    if (is_everywhere && !is_whole(left))
        return VALUE_WRONG;
    return is_whole(left) && is_whole(right) ? VALUE_FULL : VALUE_PART;
}

static enum value
value_of_unless(enum value left, enum value right)
{
    enum value worst;
    if (left == VALUE_EMPTY)
        return left;
    if (is_spoiled(left, right, &worst))
        return worst;
    return is_whole(right) ? left : VALUE_WRONG;
}

/* Operators that need both sides. */
static enum value
value_of_both(const struct node *n, enum value left, enum value right)
{
    enum value worst;
    bool filters = token_is_comparison(n->op) && !n->returns_bool;

    if (n->fills && left != right && (!is_whole(left) || !is_whole(right)))
        return left == VALUE_UNKNOWN || right == VALUE_UNKNOWN ? VALUE_UNKNOWN : VALUE_WRONG;
    if (left == VALUE_EMPTY || right == VALUE_EMPTY)
        return VALUE_EMPTY;
    /* Every comparison with NaN except != filters everything out. */
    if (filters && n->op != TOKEN_NEQ && (left == VALUE_NAN || right == VALUE_NAN))
        return VALUE_EMPTY;
    if (is_spoiled(left, right, &worst))
        return worst;
    if (left == VALUE_PART || right == VALUE_PART)
        return n->fills ? VALUE_WRONG : VALUE_PART;
    return left == VALUE_CONST && right == VALUE_CONST ? VALUE_CONST : VALUE_FULL;
}

static enum value
value_of_binary(const struct evaluation *e, const struct node *n, enum value left, enum value right)
{
    return n->op == TOKEN_OR       ? value_of_or(e, left, right)
           : n->op == TOKEN_UNLESS ? value_of_unless(left, right)
                                   : value_of_both(n, left, right);
}

/* Expressions. */

void
fold_argument(struct fold *f, const struct node *n, uint32_t number, enum value v)
{
    enum value_type type = n->args[number]->type;
    enum value worst;

    if (!number)
        *f = (struct fold){v, VALUE_CONST, VALUE_CONST, VALUE_CONST};
    else if (number == 1)
        f->second = v;
    if (type == TYPE_VECTOR || type == TYPE_MATRIX)
        f->vector = v;
    else if (is_spoiled(f->scalars, v, &worst))
        f->scalars = worst;
    else if (v == VALUE_FULL)
        f->scalars = v;
}

enum value
fold_value(struct evaluation *e, uint32_t rule, const struct node *n, const struct fold *f)
{
    switch (n->kind) {
    case NODE_NUMBER:
    case NODE_STRING:
        return VALUE_CONST;
    case NODE_SELECTOR:
        return value_of_binding(e, &e->analysis->states[rule].bindings[n->selector->number]);
    case NODE_SUBQUERY:
    case NODE_PAREN:
    case NODE_UNARY:
        return f->first;
    case NODE_BINARY:
        return value_of_binary(e, n, f->first, f->second);
    case NODE_AGGREGATE:
        return value_of_aggregate(f);
    case NODE_CALL:
        return value_of_call(e, n, f);
    }
    return VALUE_UNKNOWN;
}

bool
evaluation_count_step(struct evaluation *e)
{
    if (e->depth == LIMIT_EVALUATION || e->steps == LIMIT_STEPS || e->analysis->steps == LIMIT_ALL_STEPS)
        return false;
    e->steps++;
    e->analysis->steps++;
    return true;
}

enum value
evaluate(struct evaluation *e, uint32_t rule, const struct node *n)
{
    struct fold f = {VALUE_CONST, VALUE_CONST, VALUE_CONST, VALUE_CONST};

    if (!evaluation_count_step(e))
        return VALUE_UNKNOWN;
    e->depth++;
    for (uint32_t i = 0; i < n->n_args; i++)
        fold_argument(&f, n, i, evaluate(e, rule, n->args[i]));
    enum value v = fold_value(e, rule, n, &f);
    e->depth--;
    return v;
}

enum value
evaluate_rule(struct evaluation *e, uint32_t rule)
{
    struct value_memo *memo = &e->analysis->memo[rule];

    if (memo->generation == e->analysis->generation)
        return memo->value;
    /* A rule that reads itself, directly or not, is unknown. */
    *memo = (struct value_memo){e->analysis->generation, VALUE_UNKNOWN};
    memo->value = evaluate(e, rule, e->analysis->rules->items[rule].expression.root);
    return memo->value;
}
