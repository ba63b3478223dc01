/* SPDX-License-Identifier: Apache-2.0 */
/* Derives the verdict of a rule from its values on all servers. */
#include "analysis_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *
rule_verdict_name(enum rule_verdict verdict)
{
    static const char *const names[] = {"right",           "everywhere", "silent", "false",
                                        "false elsewhere", "in parts",   "unknown"};
    return names[verdict];
}

/* Servers. */

static int
order_numbers(const void *left, const void *right)
{
    const uint32_t *l = left, *r = right;
    return (*l > *r) - (*l < *r);
}

int
servers_of(struct analysis *a, uint32_t rule, const uint32_t *places, uint32_t count, struct servers *s)
{
    const struct rule_result *needs = &a->results[rule];

    s->n = 0;
    s->items = malloc((needs->n_families + 1) * sizeof(*s->items));
    if (!s->items)
        return -ENOMEM;
    for (size_t i = 0; i < needs->n_families; i++)
        if (places[needs->families[i]] < PLACE_DIFFERS)
            s->items[s->n++] = places[needs->families[i]];
    qsort(s->items, s->n, sizeof(*s->items), order_numbers);
    size_t distinct = 0;
    for (size_t i = 0; i < s->n; i++)
        if (!i || s->items[i] != s->items[i - 1])
            s->items[distinct++] = s->items[i];
    s->n = distinct;
    if (!count || s->n < count)
        s->items[s->n++] = PLACE_NONE;
    return 0;
}

void
servers_deinit(struct servers *s)
{
    free(s->items);
}

/* Verdicts. */

static enum rule_verdict
judge_parts(struct evaluation *e, const struct servers *s, uint32_t rule)
{
    struct server_view view = {e, s};
    return view_covers(&view, rule, e->analysis->rules->items[rule].expression.root) ? RULE_IN_PARTS : RULE_SILENT;
}

static enum rule_verdict
judge_on(struct evaluation *e, const struct servers *s, uint32_t rule, uint32_t count)
{
    size_t of[VALUE_UNKNOWN + 1] = {0};
    for (size_t i = 0; i < s->n; i++) {
        evaluation_move(e, s->items[i]);
        of[evaluate_rule(e, rule)]++;
    }
    size_t whole = of[VALUE_FULL] + of[VALUE_CONST];
    if (of[VALUE_UNKNOWN])
        return RULE_UNKNOWN;
    if (of[VALUE_WRONG] + of[VALUE_NAN])
        return whole ? RULE_FALSE_ELSEWHERE : RULE_FALSE;
    if (of[VALUE_PART])
        return judge_parts(e, s, rule);
    if (!whole)
        return RULE_SILENT;
    /* Right: exactly one of several servers, or the only one. */
    return whole == 1 && (s->n > 1 || count == 1) ? RULE_RIGHT : RULE_EVERYWHERE;
}

int
judge_rule(struct analysis *a, uint32_t rule, const uint32_t *places, uint32_t count, enum rule_verdict *verdictp)
{
    struct evaluation e = {.analysis = a, .places = places};
    struct servers servers;

    int r = servers_of(a, rule, places, count, &servers);
    if (r)
        return r;
    *verdictp = judge_on(&e, &servers, rule, count);
    servers_deinit(&servers);
    return 0;
}

bool
rule_is_complete(const struct analysis *a, uint32_t rule, const uint32_t *places)
{
    const struct rule_result *r = &a->results[rule];
    uint32_t here = PLACE_NONE;

    for (size_t i = 0; i < r->n_families; i++)
        if (places[r->families[i]] < PLACE_DIFFERS)
            here = places[r->families[i]];
    for (size_t i = 0; i < r->n_queried; i++) {
        uint32_t place = places[r->queried[i]];
        if (place != PLACE_ALL && place != here)
            return false;
    }
    return true;
}

/* Whether a body was given that lacks a family the rule needs. */
static bool
is_missing(const struct analysis *a, const struct rule_result *r)
{
    for (size_t i = 0; a->settings.has_body && i < r->n_families; i++)
        if (!a->families[r->families[i]].in_body)
            return true;
    return false;
}

int
judge_all(struct analysis *a, const uint32_t *places, struct rule_result *results)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < a->rules->n; i++) {
        struct rule_result *out = &results[i];
        out->is_missing = is_missing(a, out);
        out->is_incomplete = !rule_is_complete(a, i, places);
        if (out->is_missing)
            out->verdict = RULE_UNKNOWN;
        else
            r = judge_rule(a, i, places, 0, &out->verdict);
        if (!r)
            r = explain_rule(a, i, places, out->verdict, &out->why);
    }
    return r;
}
