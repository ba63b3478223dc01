/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with what was seen. */
#include "verify.h"

#include <errno.h>
#include <stdlib.h>

/* What is known of a family, or of a default key, while its items are gone through. */
struct group {
    bool has_series, has_replicated, is_torn;
    bool is_vague;         /* of some of its series it is not known in which shards they are */
    uint32_t shard;        /* of its first series that is in one shard, plus 1; 0: there was none */
    unsigned char *shards; /* a bit for each shard that has a series of its own of it; a family's alone */
};

struct checker {
    struct verify_result *out;
    struct observations *evidence;
    bool expected;
    unsigned round;
    struct group *families, *keys; /* by number */
    size_t row;                    /* bytes of a group's shards */
    unsigned char *rows;
};

void
verify_result_add(struct verify_result *j, struct violation violation)
{
    if (j->n < VIOLATIONS_SHOWN)
        j->violations[j->n] = violation;
    else
        free(violation.reason);
    j->n++;
    j->counts[violation.kind]++;
}

static bool
has_bit(const unsigned char *bits, uint32_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

static void
set_bit(unsigned char *bits, uint32_t i)
{
    bits[i / 8] |= (unsigned char)(1 << i % 8);
}

/* Whether it may look so while something comes or goes. What is in the wrong place is wrong whenever it is seen there.
 */
static bool
may_pass(enum violation_kind kind)
{
    return kind == VIOLATION_LOST || kind == VIOLATION_UNEXPECTED || kind == VIOLATION_NOT_REPLICATED ||
           kind == VIOLATION_METADATA_MISSING || kind == VIOLATION_METADATA_ORPHANED;
}

static void
find(struct checker *g, enum violation_kind kind, uint32_t item, uint32_t shard, uint32_t other)
{
    struct item *i = &g->evidence->items[item];
    if (may_pass(kind)) {
        uint16_t bit = (uint16_t)(1 << kind);
        i->wrong |= bit;
        if (g->round && !(i->suspected & bit))
            return;
    }
    verify_result_add(g->out, (struct violation){kind, item, shard, other, NULL});
}

/* Whether it is in every shard, and is to be. */
static bool
is_replicated(const struct checker *g, const struct item *i)
{
    uint32_t count = g->evidence->count;
    return count > 1 && i->found.shards == count && (!g->expected || !i->before || i->expected.shards == count);
}

/* What the configuration says of an item that the first whole has. */
static void
check_expected(struct checker *g, uint32_t number, const struct item *i)
{
    uint32_t ought = i->expected.shards, is = i->found.shards;
    if (!ought && is)
        find(g, VIOLATION_UNDROPPED, number, i->found.first, 0);
    else if (ought > 1 && ought == g->evidence->count && is && is < ought)
        find(g, VIOLATION_NOT_REPLICATED, number, is, 0);
    else if (ought == 1 && is == 1 && i->found.first != i->expected.first)
        find(g, VIOLATION_MISPLACED, number, i->found.first, i->expected.first);
}

/* Whether an item that is in no shard is missed: both wholes have it, and no rule drops it. */
static bool
is_lost(const struct checker *g, const struct item *i)
{
    return i->before && i->after && !i->found.shards && !(g->expected && !i->expected.shards);
}

static void
check_times(struct checker *g, uint32_t number, const struct item *i)
{
    uint32_t times = i->before > i->after ? i->before : i->after;
    if (times && i->found.most > times)
        find(g, VIOLATION_REPEATED, number, i->found.first, 0);
}

static void
check_series(struct checker *g, uint32_t number, const struct item *i)
{
    bool replicated = is_replicated(g, i), whole = i->before && i->after;
    bool unshared = g->expected && i->expected.shards > 1;

    g->out->series += whole;
    g->out->replicated += replicated;
    if (g->expected && i->before && !i->expected.shards) {
        g->out->dropped++;
        g->out->dropped_families[i->family] = true;
    }
    if (replicated)
        g->out->replicated_families[i->family] = true;
    if (is_lost(g, i))
        find(g, VIOLATION_LOST, number, 0, 0);
    if (i->found.shards > 1 && !replicated && !unshared)
        find(g, VIOLATION_DOUBLED, number, i->found.first, i->found.second);
    if (i->found.shards && !i->before && !i->after)
        find(g, VIOLATION_UNEXPECTED, number, i->found.first, 0);
    if (g->expected && i->before)
        check_expected(g, number, i);
    check_times(g, number, i);
}

/* Families. */

/* Notes where a series is; and, if nothing says where it ought to be, whether that tears its family. */
static void
group_series(struct checker *g, uint32_t number, const struct item *i)
{
    struct group *family = &g->families[i->family], *key = &g->keys[i->key];
    uint32_t shard = i->found.first;

    if (!i->found.shards)
        return;
    family->has_series = true;
    if (is_replicated(g, i)) {
        family->has_replicated = true;
        return;
    }
    if (!family->shards)
        family->shards = g->rows + i->family * g->row;
    set_bit(family->shards, shard);
    if (i->found.shards > 1)
        set_bit(family->shards, i->found.second);
    family->is_vague |= i->found.shards > 2;
    if (i->found.shards > 1 || g->expected)
        return;
    if (!key->shard)
        key->shard = shard + 1;
    if (key->shard == shard + 1 || key->is_torn)
        return;
    key->is_torn = true;
    find(g, VIOLATION_FAMILY_SPLIT, number, shard, key->shard - 1);
}

/* Metadata are where samples of their family are, and nowhere else; those without samples are in one shard, or in
   all. */
static void
check_metadata(struct checker *g, uint32_t number, const struct item *i)
{
    const struct group *family = &g->families[i->family];
    uint32_t count = g->evidence->count;

    if (!i->before || !i->after)
        return;
    if (is_lost(g, i) && !family->has_series)
        find(g, VIOLATION_LOST, number, 0, 0);
    if (!g->evidence->is_protobuf) /* where a family may come as several messages */
        check_times(g, number, i);
    if (!family->has_series && i->found.shards > 1 && i->found.shards < count)
        find(g, VIOLATION_DOUBLED, number, i->found.first, i->found.second);
    for (uint32_t s = 0; s < count && family->has_series; s++) {
        bool own = family->shards && has_bit(family->shards, s), is = has_bit(i->shards, s);
        /* Where only some of a family are replicated, its metadata may stay with the others. */
        bool needed = family->shards ? own : family->has_replicated;
        if (needed && !is) {
            find(g, VIOLATION_METADATA_MISSING, number, s, 0);
            return;
        }
        if (is && !own && !family->has_replicated && !family->is_vague) {
            find(g, VIOLATION_METADATA_ORPHANED, number, s, 0);
            return;
        }
    }
}

/* Rounds. */

/* Notes what this round says of what comes and goes. How many items are still suspected. */
static uint64_t
end_round(struct checker *g)
{
    struct observations *e = g->evidence;
    uint64_t suspects = 0, steady = 0;
    for (struct item *i = e->items + 1; i <= e->items + e->names.n; i++) {
        uint16_t left = g->round ? i->suspected & i->wrong : i->wrong;
        i->comes |= !i->before != !i->after || (g->round && !i->before && !i->after && !i->found.shards);
        i->flaps |= g->round && (i->suspected | i->wrong) != left;
        i->suspected = left;
        suspects += left != 0;
        if (i->is_meta)
            continue;
        g->out->comes += i->comes;
        g->out->churn += i->comes || i->flaps;
        steady += i->before && !i->comes && !i->flaps;
    }
    if (!g->out->n && g->out->churn > steady)
        find(g, VIOLATION_UNSTEADY, 0, 0, 0);
    return suspects;
}

bool
judgement_is_doubtful(const struct verify_result *j)
{
    uint64_t all = j->series + j->churn, hidden = j->churn - j->comes;
    return j->churn * 10 > all || (hidden > j->comes && hidden * 20 > all);
}

static bool
is_certain(const struct verify_result *j)
{
    for (enum violation_kind m = 0; m < VIOLATION_KINDS; m++)
        if (j->counts[m] && !may_pass(m))
            return true;
    return false;
}

static int
prepare(struct checker *g)
{
    const struct observations *e = g->evidence;
    g->row = (e->count + 7) / 8;
    g->families = calloc(e->families.names.n + 1, sizeof(*g->families));
    g->keys = calloc(e->keys.n + 1, sizeof(*g->keys));
    g->rows = calloc(e->families.names.n + 1, g->row);
    g->out->replicated_families = calloc(e->families.names.n + 1, sizeof(bool));
    g->out->dropped_families = calloc(e->families.names.n + 1, sizeof(bool));
    return g->families && g->keys && g->rows && g->out->replicated_families && g->out->dropped_families ? 0 : -ENOMEM;
}

int
verify_result_check(struct verify_result *j, struct observations *e, unsigned round, bool expected)
{
    struct checker g = {.out = j, .evidence = e, .expected = expected, .round = round};
    int r = prepare(&g);

    for (uint32_t i = 1; i <= e->names.n && !r; i++) {
        if (e->items[i].is_meta)
            continue;
        check_series(&g, i, &e->items[i]);
        group_series(&g, i, &e->items[i]);
    }
    if (j->series && j->replicated >= j->series && !expected)
        find(&g, VIOLATION_UNSHARDED, 0, 0, 0);
    for (uint32_t i = 1; i <= e->names.n && !r; i++)
        if (e->items[i].is_meta)
            check_metadata(&g, i, &e->items[i]);
    j->is_final = r || !e->names.n || !end_round(&g) || is_certain(j);
    free(g.families);
    free(g.keys);
    free(g.rows);
    return r;
}

void
verify_result_deinit(struct verify_result *j)
{
    for (size_t i = 0; i < VIOLATIONS_SHOWN; i++)
        free(j->violations[i].reason);
    free(j->replicated_families);
    free(j->dropped_families);
    *j = (struct verify_result){.n = 0};
}
