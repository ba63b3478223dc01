/* SPDX-License-Identifier: Apache-2.0 */
/* The families that a rule needs: those it reads, and those needed by the rules that record what it reads. */
#include "analysis_state.h"
#include "limits.h"

#include "core/base/buffer.h"

#include <errno.h>
#include <stdlib.h>

/* A traversal of the rules from a reader to its producers. */
struct closure {
    uint32_t *rules_seen, *families_seen; /* the mark of the last traversal that saw them */
    uint32_t mark;
    bool is_several;               /* a selector without a metric name matches several families */
    struct rule_list stack, found; /* on the heap */
};

static int
push(struct rule_list *list, uint32_t item)
{
    if (list->n == list->capacity) {
        size_t room = list->capacity ? 2 * list->capacity : 64;
        uint32_t *items = realloc(list->items, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        list->items = items;
        list->capacity = room;
    }
    list->items[list->n++] = item;
    return 0;
}

static int
follow(struct closure *c, const struct binding *bindings, size_t n)
{
    int r = 0;
    for (const struct binding *b = bindings; !r && b < bindings + n; b++) {
        c->is_several |= b->is_several && b->n_families > 1;
        for (size_t i = 0; !r && i < b->n_families; i++)
            if (c->families_seen[b->families[i]] != c->mark) {
                c->families_seen[b->families[i]] = c->mark;
                r = push(&c->found, b->families[i]);
            }
        for (size_t i = 0; !r && i < b->n_producers; i++)
            if (c->rules_seen[b->producers[i]] != c->mark) {
                c->rules_seen[b->producers[i]] = c->mark;
                r = push(&c->stack, b->producers[i]);
            }
    }
    return r;
}

static int
follow_producers(const struct analysis *a, struct closure *c)
{
    int r = 0;
    while (!r && c->stack.n) {
        uint32_t rule = c->stack.items[--c->stack.n];
        r = follow(c, a->states[rule].bindings, a->rules->items[rule].expression.n_selectors);
    }
    return r;
}

static int
order_by_name(const void *left, const void *right, void *ctx)
{
    const struct analysis *a = ctx;
    const uint32_t *l = left, *r = right;
    return spans_order(a->families[*l].name, a->families[*r].name);
}

/* Moves the found families into a list ordered by name. They stay marked as seen. */
static int
take_found(struct analysis *a, struct closure *c, const uint32_t **itemsp, size_t *np)
{
    a->n_needs += c->found.n;
    if (a->n_needs > LIMIT_NEEDS)
        return -E2BIG;
    uint32_t *items = arena_alloc(&a->arena, (c->found.n + 1) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    if (c->found.n)
        memcpy(items, c->found.items, c->found.n * sizeof(*items));
    qsort_r(items, c->found.n, sizeof(*items), order_by_name, a);
    *itemsp = items;
    *np = c->found.n;
    c->found.n = 0;
    return 0;
}

static int
find_rule_needs(struct analysis *a, struct closure *c, uint32_t rule)
{
    const struct prom_rule *p = &a->rules->items[rule];
    const struct rule_state *s = &a->states[rule];
    struct rule_result *out = &a->results[rule];

    c->mark++;
    c->is_several = false;
    int r = follow(c, s->bindings, p->expression.n_selectors);
    if (!r)
        r = follow_producers(a, c);
    if (!r)
        r = take_found(a, c, &out->families, &out->n_families);
    out->is_open = c->is_several && !a->settings.has_body;
    for (size_t i = 0; !r && i < p->n_queries; i++)
        r = follow(c, s->query_bindings[i], p->queries[i].n_selectors);
    if (!r)
        r = follow_producers(a, c);
    if (!r)
        r = take_found(a, c, &out->queried, &out->n_queried);
    for (size_t i = 0; !r && i < out->n_families; i++)
        a->families[out->families[i]].n_rules++;
    return r;
}

int
analysis_find_needs(struct analysis *a)
{
    struct closure c = {.mark = 0};
    int r = 0;

    c.rules_seen = calloc(a->rules->n + 1, sizeof(*c.rules_seen));
    c.families_seen = calloc(a->n_families + 1, sizeof(*c.families_seen));
    if (!c.rules_seen || !c.families_seen)
        r = -ENOMEM;
    for (uint32_t i = 0; !r && i < a->rules->n; i++)
        r = find_rule_needs(a, &c, i);
    free(c.rules_seen);
    free(c.families_seen);
    free(c.stack.items);
    free(c.found.items);
    return r;
}
