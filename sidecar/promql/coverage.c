/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the parts that servers have of a result are the whole together. */
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

/* Of a selector that is whole on no server. */
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

/* A part of an expression on all servers. */
struct cover {
    struct fold *folds; /* by server */
    bool first, second; /* whether the arguments are the whole together */
    bool all;           /* likewise all of them that are vectors */
    bool covers;        /* and the part itself */
};

static void cover(const struct server_view *view, uint32_t rule, const struct node *n, struct cover *c,
                  enum value *values);

/* Whether the other side is whole on each server that has something of this one. */
static bool
is_met(const struct server_view *view, const struct cover *c, bool swapped)
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
        return (c->first && is_met(view, c, false)) || (n->op != TOKEN_UNLESS && c->second && is_met(view, c, true));
    default:
        return false;
    }
}

/* Takes an argument in on all servers. */
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

/* Finds out what the servers have of a part of an expression: values, by server, and whether that is the whole. All is
   unknown where there is no memory, or too much to do. */
static void
cover(const struct server_view *view, uint32_t rule, const struct node *n, struct cover *c, enum value *values)
{
    struct evaluation *e = view->evaluation;
    size_t servers = view->servers->n;
    bool enough = evaluation_may_go_on(e);

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
