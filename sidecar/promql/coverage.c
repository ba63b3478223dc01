/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the partial results of all servers add up to the complete one. */
#include "analysis_state.h"
#include "limits.h"

#include <stdlib.h>

enum value
view_value(const struct server_view *view, uint32_t rule, const struct node *n, size_t server)
{
    evaluation_move(view->evaluation, view->servers->items[server]);
    return evaluate(view->evaluation, rule, n);
}

static bool
is_whole(enum value v)
{
    return v == VALUE_FULL || v == VALUE_CONST;
}

/* Whether the servers together have all of a selector that no single server has. */
static bool
covers_binding(const struct server_view *view, const struct binding *b)
{
    const struct analysis *a = view->evaluation->analysis;
    for (size_t i = 0; i < b->n_families; i++)
        if (view->evaluation->places[b->families[i]] == PLACE_NONE)
            return false;
    for (size_t i = 0; i < b->n_producers; i++)
        if (!view_covers(view, b->producers[i], a->rules->items[b->producers[i]].expression.root))
            return false;
    return b->kind == BINDING_SERIES;
}

/* A node evaluated on all servers. */
struct cover {
    struct fold *folds; /* by server */
    bool first, second; /* whether all servers together have all of these arguments */
    bool all;           /* likewise for all arguments that are vectors */
    bool covers;        /* and for the node itself */
};

static void cover(const struct server_view *view, uint32_t rule, const struct node *n, struct cover *c,
                  enum value *values);

/* Whether every server that has any of one side has all of the other. */
static bool
is_matched(const struct server_view *view, const struct cover *c, bool swapped)
{
    for (size_t i = 0; i < view->servers->n; i++) {
        enum value side = swapped ? c->folds[i].second : c->folds[i].first;
        enum value other = swapped ? c->folds[i].first : c->folds[i].second;
        if (side != VALUE_EMPTY && !is_whole(other))
            return false;
    }
    return true;
}

static bool
covers_node(const struct server_view *view, uint32_t rule, const struct node *n, const struct cover *c)
{
    switch (n->kind) {
    case NODE_SELECTOR:
        return covers_binding(view, &view->evaluation->analysis->states[rule].bindings[n->selector->number]);
    case NODE_PAREN:
    case NODE_UNARY:
    case NODE_SUBQUERY:
        return c->first;
    case NODE_CALL:
        return n->n_args && c->all;
    case NODE_BINARY:
        if (n->op == TOKEN_OR)
            return c->first && c->second;
        return (c->first && is_matched(view, c, false)) ||
               (n->op != TOKEN_UNLESS && c->second && is_matched(view, c, true));
    default:
        return false;
    }
}

/* Evaluates an argument on all servers. */
static void
cover_argument(const struct server_view *view, uint32_t rule, const struct node *n, uint32_t number, struct cover *c,
               enum value *values)
{
    const struct node *arg = n->args[number];
    struct cover inner;

    cover(view, rule, arg, &inner, values);
    for (size_t i = 0; i < view->servers->n; i++)
        fold_argument(&c->folds[i], n, number, values[i]);
    if (number < 2)
        *(number ? &c->second : &c->first) = inner.covers;
    if (arg->type == TYPE_VECTOR || arg->type == TYPE_MATRIX)
        c->all &= inner.covers;
}

/* Evaluates a node on all servers: values by server, and whether they are complete together. All values are unknown if
   memory or steps run out. */
static void
cover(const struct server_view *view, uint32_t rule, const struct node *n, struct cover *c, enum value *values)
{
    struct evaluation *e = view->evaluation;
    size_t servers = view->servers->n;
    bool enough = evaluation_count_step(e);

    *c = (struct cover){.folds = enough ? calloc(servers, sizeof(*c->folds)) : NULL, .all = true};
    e->analysis->out_of_memory |= enough && !c->folds;
    if (!c->folds) {
        for (size_t i = 0; i < servers; i++)
            values[i] = VALUE_UNKNOWN;
        return;
    }
    e->depth++;
    for (uint32_t i = 0; i < n->n_args; i++)
        cover_argument(view, rule, n, i, c, values);
    for (size_t i = 0; i < servers; i++) {
        evaluation_move(e, view->servers->items[i]);
        e->steps += e->steps < LIMIT_STEPS;
        values[i] = fold_value(e, rule, n, &c->folds[i]);
        c->covers |= is_whole(values[i]);
    }
    c->covers = c->covers || covers_node(view, rule, n, c);
    e->depth--;
    free(c->folds);
    c->folds = NULL;
}

bool
view_covers(const struct server_view *view, uint32_t rule, const struct node *n)
{
    enum value *values = calloc(view->servers->n, sizeof(*values));
    struct cover c = {.covers = false};
    if (values)
        cover(view, rule, n, &c, values);
    else
        view->evaluation->analysis->out_of_memory = true;
    free(values);
    return c.covers;
}
