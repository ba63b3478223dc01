/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups that are too large for one server are usually held together by a few families that many rules join with,
 * such as kube_pod_owner or build information. If all rules allow it, such a hub is replicated to every server, which
 * divides the group.
 */
#include "derive_state.h"
#include "limits.h"

#include "core/base/buffer.h"

#include <errno.h>

enum {
    /* Families to replicate at most; each costs its series on every server. */
    HUBS = 16,
    /* A hub has at most one in this many of the series of its group. */
    HUB_SHARE = 10,
};

/* Whether a group is too large for one server. */
static bool
is_too_large(const struct deriving *d, uint32_t root)
{
    const struct analysis *a = d->analysis;
    uint32_t count = a->settings.shard_count;
    uint64_t all = 0;

    if (d->grouping.size[root] < 3)
        return false;
    if (!a->settings.n_families || count < 2)
        return d->grouping.size[root] > LIMIT_GROUP;
    for (size_t i = 0; i < a->settings.n_families; i++)
        all += a->settings.families[i].series;
    return d->grouping.series[root] > all / count;
}

/* The largest of the groups that are too large, or UINT32_MAX. */
static uint32_t
find_too_large(struct deriving *d, const bool *given_up)
{
    uint32_t found = UINT32_MAX;
    for (uint32_t i = 0; i < d->analysis->n_families; i++) {
        if (group_of(&d->grouping, i) != i || given_up[i] || !family_is_movable(d, i) || !is_too_large(d, i))
            continue;
        const struct grouping *g = &d->grouping;
        if (found == UINT32_MAX || g->series[i] > g->series[found] ||
            (g->series[i] == g->series[found] && g->size[i] > g->size[found]))
            found = i;
    }
    return found;
}

static bool
may_be_hub(const struct deriving *d, uint32_t family, uint64_t group_series)
{
    const struct needed_family *f = &d->analysis->families[family];
    return f->may_replicate && family_is_movable(d, family) && f->n_rules > 1 && !f->place.action &&
           (!group_series || f->series <= group_series / HUB_SHARE);
}

/* The largest piece of a group without one of its families. */
struct piece {
    uint64_t series;
    uint32_t size;
};

static struct piece
largest_piece(struct deriving *d, const uint32_t *members, uint32_t n, uint32_t without)
{
    struct piece largest = {0, 0};
    group_families(d, without);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t root = group_of(&d->grouping, members[i]);
        if (members[i] == without)
            continue;
        struct piece p = {d->grouping.series[root], d->grouping.size[root]};
        if (p.series > largest.series || (p.series == largest.series && p.size > largest.size))
            largest = p;
    }
    return largest;
}

static int
compare_pieces(struct piece a, struct piece b)
{
    return a.series != b.series ? (a.series > b.series) - (a.series < b.series) : (a.size > b.size) - (a.size < b.size);
}

/* Breaks ties between hubs: fewer series, then more rules, then the name. */
static bool
is_better(const struct analysis *a, uint32_t one, uint32_t other)
{
    const struct needed_family *f = &a->families[one], *g = &a->families[other];
    return f->series != g->series     ? f->series < g->series
           : f->n_rules != g->n_rules ? f->n_rules > g->n_rules
                                      : spans_order(f->name, g->name) < 0;
}

/* The family whose replication leaves the smallest pieces; UINT32_MAX if none helps. */
static uint32_t
find_hub(struct deriving *d, const uint32_t *members, uint32_t n, uint64_t series)
{
    struct piece best = {UINT64_MAX, 0};
    uint32_t hub = UINT32_MAX;

    for (uint32_t i = 0; i < n; i++) {
        if (!may_be_hub(d, members[i], series))
            continue;
        struct piece p = largest_piece(d, members, n, members[i]);
        /* A group that only loses the hub itself is not divided. */
        if (p.size + 1 >= n)
            continue;
        int order = hub == UINT32_MAX ? -1 : compare_pieces(p, best);
        if (order < 0 || (!order && is_better(d->analysis, members[i], hub))) {
            best = p;
            hub = members[i];
        }
    }
    return hub;
}

static uint32_t
collect(struct deriving *d, uint32_t root, uint32_t *members)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->analysis->n_families; i++)
        if (group_of(&d->grouping, i) == root)
            members[n++] = i;
    return n;
}

int
replicate_hubs(struct deriving *d)
{
    uint32_t *members = arena_alloc(d->arena, (d->analysis->n_families + 1) * sizeof(*members));
    bool *given_up = arena_alloc(d->arena, (d->analysis->n_families + 1) * sizeof(*given_up));
    int hubs = 0;

    if (!members || !given_up)
        return -ENOMEM;
    memset(given_up, 0, d->analysis->n_families * sizeof(*given_up));
    while (hubs < HUBS) {
        uint32_t root = find_too_large(d, given_up);
        if (root == UINT32_MAX)
            break;
        uint64_t series = d->grouping.series[root];
        uint32_t n = collect(d, root, members), hub = find_hub(d, members, n, series);
        if (hub == UINT32_MAX)
            given_up[root] = true;
        else
            d->replicated[hub] = true;
        hubs += hub != UINT32_MAX;
        group_families(d, UINT32_MAX);
    }
    return 0;
}
