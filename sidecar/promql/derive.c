/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the families that must be on the same server: joins those of each broken rule (union-find). A rule that would
 * stay broken is left out, so that no family is moved for nothing.
 */
#include "derive_state.h"

#include "core/base/buffer.h"

#include <errno.h>
#include <stdlib.h>

struct owned_derivation {
    struct derivation derivation; /* must be first: the caller holds a pointer to it */
    struct arena arena;
};

/* Groups. */

uint32_t
group_of(struct grouping *g, uint32_t family)
{
    while (g->parent[family] != family) {
        g->parent[family] = g->parent[g->parent[family]];
        family = g->parent[family];
    }
    return family;
}

bool
family_is_movable(const struct deriving *d, uint32_t family)
{
    uint32_t place = d->analysis->places[family];
    return (place < PLACE_DIFFERS || place == PLACE_SPLIT) && !d->replicated[family];
}

/* The key that a configured colocate rule gives a family: the first match wins, so a new rule could not change it. */
static uint32_t
fixed_key(const struct analysis *a, uint32_t family)
{
    const struct metric_place *place = &a->families[family].place;
    return place->action && place->spread == SPREAD_ONE &&
                   spans_equal((struct ss_span){place->action, strlen(place->action)}, (struct ss_span){"colocate", 8})
               ? a->places[family]
               : 0;
}

/* Whether a key can be the NAME of colocate = NAME: PATTERN, to add families to it. */
static bool
is_group_name(struct ss_span key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];
        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return key.len;
}

/* Whether the families of a rule can be on the same server: not with two different fixed keys, nor with one that is
   not a valid NAME. */
static bool
can_colocate(struct deriving *d, const uint32_t *families, size_t n, uint32_t without)
{
    const struct analysis *a = d->analysis;
    uint32_t fixed = 0, root = UINT32_MAX;
    bool several = false;

    for (size_t i = 0; i < n; i++) {
        if (a->places[families[i]] == PLACE_NONE)
            return false;
        if (families[i] == without || !family_is_movable(d, families[i]))
            continue;
        uint32_t other = group_of(&d->grouping, families[i]);
        if (d->grouping.fixed[other] && fixed && d->grouping.fixed[other] != fixed)
            return false;
        fixed = d->grouping.fixed[other] ? d->grouping.fixed[other] : fixed;
        several |= root != UINT32_MAX && root != other &&
                   !(d->grouping.fixed[other] && d->grouping.fixed[other] == d->grouping.fixed[root]);
        root = other;
    }
    return !several || !fixed || is_group_name(a->keys.items[fixed].name);
}

static void
join(struct grouping *g, uint32_t a, uint32_t b)
{
    a = group_of(g, a);
    b = group_of(g, b);
    if (a == b)
        return;
    /* The smaller number is the root, to be deterministic. */
    uint32_t root = a < b ? a : b, other = a < b ? b : a;
    g->parent[other] = root;
    g->size[root] += g->size[other];
    g->series[root] += g->series[other];
    if (!g->fixed[root])
        g->fixed[root] = g->fixed[other];
}

static void
join_families(struct deriving *d, const uint32_t *families, size_t n, uint32_t without, uint32_t *firstp)
{
    for (size_t i = 0; i < n; i++) {
        if (families[i] == without || !family_is_movable(d, families[i]))
            continue;
        if (*firstp == UINT32_MAX)
            *firstp = families[i];
        join(&d->grouping, *firstp, families[i]);
    }
}

void
group_families(struct deriving *d, uint32_t without)
{
    struct analysis *a = d->analysis;
    struct grouping *g = &d->grouping;

    for (uint32_t i = 0; i < a->n_families; i++) {
        g->parent[i] = i;
        g->fixed[i] = fixed_key(a, i);
        g->size[i] = 1;
        g->series[i] = a->families[i].series;
    }
    for (uint32_t i = 0; i < a->rules->n; i++) {
        const struct rule_result *r = &a->results[i];
        uint32_t first = UINT32_MAX;
        if (!d->joined[i])
            continue;
        if (!can_colocate(d, r->families, r->n_families, without)) {
            d->joined[i] = false;
            continue;
        }
        join_families(d, r->families, r->n_families, without, &first);
        if (can_colocate(d, r->queried, r->n_queried, without))
            join_families(d, r->queried, r->n_queried, without, &first);
    }
}

bool
group_needs_line(const struct deriving *d, uint32_t root)
{
    const struct analysis *a = d->analysis;
    if (!family_is_movable(d, root))
        return false;
    if (d->grouping.size[root] > 1)
        return true;
    if (a->places[root] != PLACE_SPLIT)
        return false;
    for (uint32_t i = 0; i < a->rules->n; i++)
        for (size_t k = 0; d->joined[i] && k < a->results[i].n_families; k++)
            if (a->results[i].families[k] == root)
                return true;
    return false;
}

/* Verification. */

/* Places families as the lines would. Groups get server numbers above those of the keys. */
static void
place_groups(struct deriving *d)
{
    struct analysis *a = d->analysis;
    for (uint32_t i = 0; i < a->n_families; i++) {
        d->places[i] = d->replicated[i] ? PLACE_ALL : a->places[i];
        if (!family_is_movable(d, i))
            continue;
        uint32_t root = group_of(&d->grouping, i);
        if (d->grouping.size[root] > 1 || (a->places[root] == PLACE_SPLIT && group_needs_line(d, root)))
            d->places[i] = d->grouping.fixed[root] ? d->grouping.fixed[root] : a->keys.n + 1 + root;
    }
}

/* Leaves out the rules that are still broken. Returns their number, or -ENOMEM. */
static int
leave_out_broken(struct deriving *d)
{
    struct analysis *a = d->analysis;
    enum rule_verdict verdict;
    int n = 0;

    for (uint32_t i = 0; i < a->rules->n; i++) {
        if (!d->joined[i])
            continue;
        int r = judge_rule(a, i, d->places, 0, &verdict);
        if (r)
            return r;
        bool good = rule_verdict_is_good(verdict);
        /* A rule that was good before was joined only for the queries in its annotations. */
        if (good && rule_verdict_is_good(a->results[i].verdict))
            good = rule_is_complete(a, i, d->places);
        d->joined[i] = good;
        n += !good;
    }
    return n;
}

/* Groups the joined rules until all of them are good. */
static int
group_until_good(struct deriving *d)
{
    int n;
    do {
        group_families(d, UINT32_MAX);
        place_groups(d);
        n = leave_out_broken(d);
    } while (n > 0);
    return n;
}

/* The derivation. */

/* Whether the rule should be fixed. Parts of a split family that are complete together are harmless for an alert:
   bringing them together would defeat the purpose of the split. An open rule may need families that are not known. */
static bool
should_fix(const struct analysis *a, uint32_t rule)
{
    const struct rule_result *r = &a->results[rule];
    if (rule_verdict_is_good(r->verdict))
        return r->is_incomplete;
    if (r->verdict == RULE_UNKNOWN || r->is_open)
        return false;
    for (size_t i = 0; r->verdict == RULE_IN_PARTS && i < r->n_families; i++)
        if (a->places[r->families[i]] == PLACE_SPLIT)
            return false;
    return true;
}

static int
prepare(struct deriving *d)
{
    struct analysis *a = d->analysis;
    size_t n = a->n_families + 1;

    d->joined = calloc(a->rules->n + 1, sizeof(*d->joined));
    d->replicated = calloc(n, sizeof(*d->replicated));
    d->places = calloc(n, sizeof(*d->places));
    d->grouping.parent = calloc(n, sizeof(*d->grouping.parent));
    d->grouping.fixed = calloc(n, sizeof(*d->grouping.fixed));
    d->grouping.size = calloc(n, sizeof(*d->grouping.size));
    d->grouping.series = calloc(n, sizeof(*d->grouping.series));
    if (!d->joined || !d->replicated || !d->places || !d->grouping.parent || !d->grouping.fixed || !d->grouping.size ||
        !d->grouping.series)
        return -ENOMEM;
    for (uint32_t i = 0; i < a->rules->n; i++)
        d->joined[i] = should_fix(a, i);
    return 0;
}

static void
deriving_deinit(struct deriving *d)
{
    free(d->joined);
    free(d->replicated);
    free(d->places);
    free(d->grouping.parent);
    free(d->grouping.fixed);
    free(d->grouping.size);
    free(d->grouping.series);
}

static int
judge_after(struct deriving *d, struct derivation *out)
{
    struct analysis *a = d->analysis;
    struct rule_result *after = arena_alloc(d->arena, (a->rules->n + 1) * sizeof(*after));

    if (!after)
        return -ENOMEM;
    if (a->rules->n)
        memcpy(after, a->results, a->rules->n * sizeof(*after));
    out->after = after;
    return judge_all(a, d->places, after);
}

int
derivation_new(struct derivation **derivationp, struct analysis *analysis)
{
    struct owned_derivation *o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    struct deriving d = {.analysis = analysis, .arena = &o->arena};
    int r = prepare(&d);
    if (!r)
        r = group_until_good(&d);
    if (!r)
        r = replicate_hubs(&d);
    if (!r)
        r = group_until_good(&d);
    if (!r)
        r = write_lines(&d, &o->derivation);
    if (!r)
        r = judge_after(&d, &o->derivation);
    deriving_deinit(&d);
    if (!r && analysis->out_of_memory)
        r = -ENOMEM;
    if (r)
        derivation_free(&o->derivation);
    else
        *derivationp = &o->derivation;
    return r;
}

void
derivation_free(struct derivation *derivation)
{
    if (!derivation)
        return;
    struct owned_derivation *o = (struct owned_derivation *)derivation;
    arena_deinit(&o->arena);
    free(o);
}
