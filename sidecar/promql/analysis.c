/* SPDX-License-Identifier: Apache-2.0 */
#include "analysis_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
add_up_body_series(struct analysis *a)
{
    uint32_t number;
    a->body_series = calloc(a->settings.n_families + 1, sizeof(*a->body_series));
    if (!a->body_series)
        return -ENOMEM;
    for (size_t i = 0; i < a->settings.n_families; i++) {
        if (name_table_add(&a->body_names, a->settings.families[i].name, &number))
            return -ENOMEM;
        a->body_series[number] += a->settings.families[i].series;
    }
    return 0;
}

/* With the real number of shards. */

/* The shard of each family among count. */
static int
place_on_shards(struct analysis *a, uint32_t count, uint32_t **placesp)
{
    uint32_t *places = malloc((a->n_families + 1) * sizeof(*places));
    if (!places)
        return -ENOMEM;
    for (size_t i = 0; i < a->n_families; i++) {
        places[i] = a->places[i];
        if (places[i] < PLACE_DIFFERS)
            places[i] = a->settings.placement.shard(a->settings.placement.ctx, a->families[i].place.hash, count);
        else if (places[i] == PLACE_SPLIT && count == 1)
            places[i] = 0;
    }
    *placesp = places;
    return 0;
}

/* Finds the rules that are right only because of this shard count. */
static int
judge_by_chance(struct analysis *a)
{
    uint32_t *places, count = a->settings.shard_count;
    enum rule_verdict verdict;

    if (!count)
        return 0;
    int r = place_on_shards(a, count, &places);
    if (r)
        return r;
    for (uint32_t i = 0; !r && i < a->rules->n; i++) {
        struct rule_result *out = &a->results[i];
        if (rule_verdict_is_good(out->verdict) || out->is_missing)
            continue;
        r = judge_rule(a, i, places, count, &verdict);
        out->by_chance = !r && rule_verdict_is_good(verdict);
    }
    free(places);
    return r;
}

/* Which families may be split or replicated. */

/* Families that the same selectors match have the same role: what one may be, the others may. A selector without a
   metric name matches thousands. */
struct roles {
    uint32_t *of;   /* by family */
    uint32_t *next; /* by role: that of its families which the current selector matches */
    struct trial {
        uint32_t rule; /* that it was tried in, plus 1 */
        bool needs_whole, may_replicate;
    } * trials; /* by role */
    uint32_t n;
};

static void
divide_roles(struct roles *r, const struct binding *b)
{
    uint32_t before = r->n;
    for (size_t i = 0; i < b->n_families; i++) {
        uint32_t *role = &r->of[b->families[i]];
        if (*role >= before) /* the family is there twice */
            continue;
        if (r->next[*role] < before)
            r->next[*role] = r->n++;
        *role = r->next[*role];
    }
}

static int
roles_init(struct roles *r, const struct analysis *a)
{
    size_t most = 1;
    for (size_t i = 0; i < a->rules->n; i++)
        for (size_t k = 0; k < a->rules->items[i].expression.n_selectors; k++)
            most += a->states[i].bindings[k].n_families;
    *r = (struct roles){.of = calloc(a->n_families + 1, sizeof(*r->of)),
                        .next = calloc(most, sizeof(*r->next)),
                        .trials = calloc(most, sizeof(*r->trials)),
                        .n = 1};
    if (!r->of || !r->next || !r->trials)
        return -ENOMEM;
    for (size_t i = 0; i < a->rules->n; i++)
        for (size_t k = 0; k < a->rules->items[i].expression.n_selectors; k++)
            divide_roles(r, &a->states[i].bindings[k]);
    return 0;
}

static void
roles_deinit(struct roles *r)
{
    free(r->of);
    free(r->next);
    free(r->trials);
}

/* Whether a family is on one server, or split. */
static bool
is_movable(const struct analysis *a, uint32_t family)
{
    return a->places[family] < PLACE_DIFFERS || a->places[family] == PLACE_SPLIT;
}

/* Judges a rule with one family at the given place and all its others on one server. */
static int
judge_with_place(struct analysis *a, uint32_t rule, uint32_t family, uint32_t place, uint32_t *places,
                 enum rule_verdict *verdictp)
{
    const struct rule_result *needs = &a->results[rule];
    for (size_t i = 0; i < needs->n_families; i++)
        if (is_movable(a, needs->families[i]))
            places[needs->families[i]] = 1;
    places[family] = place;
    return judge_rule(a, rule, places, 0, verdictp);
}

/* Whether a rule that some server evaluates rightly is broken by a split. */
static bool
is_broken_by(enum rule_verdict whole, enum rule_verdict split)
{
    bool was_right = rule_verdict_is_good(whole) || whole == RULE_IN_PARTS || whole == RULE_FALSE_ELSEWHERE;
    return was_right && split != whole && split != RULE_IN_PARTS && !rule_verdict_is_good(split);
}

static int
try_family(struct analysis *a, uint32_t rule, uint32_t family, uint32_t *places, struct trial *t)
{
    enum rule_verdict whole, split, everywhere;

    int r = judge_with_place(a, rule, family, 1, places, &whole);
    if (!r)
        r = judge_with_place(a, rule, family, PLACE_SPLIT, places, &split);
    if (!r)
        r = judge_with_place(a, rule, family, PLACE_ALL, places, &everywhere);
    if (!r)
        *t = (struct trial){.rule = rule + 1,
                            .needs_whole = is_broken_by(whole, split),
                            .may_replicate = whole != RULE_RIGHT || everywhere == RULE_RIGHT};
    return r;
}

static int
try_places(struct analysis *a, uint32_t rule, struct roles *roles, uint32_t *places)
{
    const struct rule_result *needs = &a->results[rule];

    if (needs->is_open && !rule_verdict_is_good(needs->verdict))
        return 0;
    for (size_t i = 0; i < needs->n_families; i++) {
        uint32_t family = needs->families[i];
        struct trial *t = &roles->trials[roles->of[family]];
        if (!is_movable(a, family))
            continue;
        int r = t->rule == rule + 1 ? 0 : try_family(a, rule, family, places, t);
        if (r)
            return r;
        a->families[family].needs_whole |= t->needs_whole;
        a->families[family].may_replicate &= t->may_replicate;
    }
    return 0;
}

static int
find_allowed_places(struct analysis *a)
{
    struct roles roles;
    uint32_t *places = malloc((a->n_families + 1) * sizeof(*places));
    int r = roles_init(&roles, a);

    if (!places)
        r = -ENOMEM;
    else if (a->n_families)
        memcpy(places, a->places, a->n_families * sizeof(*places));
    for (size_t i = 0; i < a->n_families; i++)
        a->families[i].may_replicate = a->families[i].place.spread == SPREAD_ONE;
    for (uint32_t i = 0; !r && i < a->rules->n; i++)
        r = try_places(a, i, &roles, places);
    roles_deinit(&roles);
    free(places);
    return r;
}

/* The analysis. */

static int
prepare(struct analysis *a)
{
    size_t n = a->rules->n + 1;
    a->states = calloc(n, sizeof(*a->states));
    a->results = calloc(n, sizeof(*a->results));
    a->memo = calloc(n, sizeof(*a->memo));
    return a->states && a->results && a->memo ? 0 : -ENOMEM;
}

int
analysis_new(struct analysis **analysisp, const struct ruleset *rules, const struct analysis_settings *settings)
{
    struct analysis *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->rules = rules;
    a->settings = *settings;
    int r = prepare(a);
    if (!r)
        r = add_up_body_series(a);
    if (!r)
        r = analysis_bind(a);
    if (!r)
        r = analysis_find_needs(a);
    if (!r)
        r = judge_all(a, a->places, a->results);
    if (!r)
        r = judge_by_chance(a);
    if (!r)
        r = find_allowed_places(a);
    if (!r && a->out_of_memory)
        r = -ENOMEM;
    if (r)
        analysis_free(a);
    else
        *analysisp = a;
    return r;
}

const struct rule_result *
analysis_results(const struct analysis *a)
{
    return a->results;
}

const struct needed_family *
analysis_families(const struct analysis *a, size_t *np)
{
    *np = a->n_families;
    return a->families;
}

void
analysis_totals(const struct analysis *a, uint64_t totals[RULE_VERDICTS])
{
    memset(totals, 0, RULE_VERDICTS * sizeof(*totals));
    for (size_t i = 0; i < a->rules->n; i++)
        totals[a->results[i].verdict]++;
}

void
analysis_free(struct analysis *a)
{
    if (!a)
        return;
    name_table_deinit(&a->names);
    name_table_deinit(&a->family_names);
    name_table_deinit(&a->keys);
    name_table_deinit(&a->body_names);
    name_table_deinit(&a->recorded);
    name_table_deinit(&a->alerts);
    free(a->states);
    free(a->results);
    free(a->memo);
    free(a->family_of_name);
    free(a->families);
    free(a->places);
    free(a->body_series);
    free(a->recorded_by);
    free(a->alerts_by);
    arena_deinit(&a->arena);
    free(a);
}
