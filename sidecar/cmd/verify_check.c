/* SPDX-License-Identifier: Apache-2.0 */
/* The checks. */
#include "verify.h"

#include <errno.h>
#include <stdlib.h>

/* Of a family, or of a default key, while its items are checked. */
struct group {
    bool has_series, has_replicated, is_split;
    bool shards_unknown;   /* not all shards of its series are known */
    uint32_t shard;        /* of its first series in a single shard, plus 1; 0: none */
    unsigned char *shards; /* of a family: a bit per shard that has some of its series, replicated ones not counted */
};

struct checker {
    struct verify_result *result;
    struct observations *observations;
    bool expected;
    unsigned round;
    struct group *families, *keys; /* by number */
    size_t row;                    /* bytes of a group's shards */
    unsigned char *rows;
};

void
verify_result_add(struct verify_result *result, struct violation violation)
{
    if (result->n < VIOLATIONS_SHOWN)
        result->violations[result->n] = violation;
    else
        free(violation.reason);
    result->n++;
    result->counts[violation.kind]++;
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

/* Whether churn can look like this. What is in a wrong shard is wrong whenever it is there. */
static bool
may_be_churn(enum violation_kind kind)
{
    return kind == VIOLATION_LOST || kind == VIOLATION_LESS_OFTEN || kind == VIOLATION_UNEXPECTED ||
           kind == VIOLATION_NOT_REPLICATED || kind == VIOLATION_METADATA_MISSING ||
           kind == VIOLATION_METADATA_ORPHANED;
}

static void
report(struct checker *c, enum violation_kind kind, uint32_t item, uint32_t shard, uint32_t other)
{
    struct item *i = &c->observations->items[item];
    if (may_be_churn(kind)) {
        uint16_t bit = (uint16_t)(1 << kind);
        i->wrong |= bit;
        if (c->round && !(i->suspected & bit))
            return;
    }
    verify_result_add(c->result, (struct violation){kind, item, shard, other, NULL});
}

/* Whether it is in every shard, and may be. */
static bool
is_replicated(const struct checker *c, const struct item *i)
{
    uint32_t count = c->observations->count;
    return count > 1 && i->found.shards == count && (!c->expected || !i->before || i->expected.shards == count);
}

static bool
is_misplaced(const struct item *i)
{
    return i->expected.shards == 1 && i->found.shards == 1 && i->found.first != i->expected.first;
}

bool
observations_have_misplaced(const struct observations *o)
{
    for (uint32_t i = 1; i <= o->names.n; i++)
        if (!o->items[i].is_meta && is_misplaced(&o->items[i]))
            return true;
    return false;
}

/* Compares an item of the first unsharded body with what the configuration expects. */
static void
check_expected(struct checker *c, uint32_t number, const struct item *i)
{
    uint32_t expected = i->expected.shards, found = i->found.shards;
    if (!expected && found)
        report(c, VIOLATION_NOT_DROPPED, number, i->found.first, 0);
    else if (expected > 1 && expected == c->observations->count && found && found < expected)
        report(c, VIOLATION_NOT_REPLICATED, number, found, 0);
    else if (is_misplaced(i))
        report(c, VIOLATION_MISPLACED, number, i->found.first, i->expected.first);
}

/* Whether an item should be in a shard, and is in none: both unsharded bodies have it, and no rule drops it. */
static bool
is_lost(const struct checker *c, const struct item *i)
{
    return i->before && i->after && !i->found.shards && !(c->expected && !i->expected.shards);
}

/* Whether some samples of a series, which may have several with timestamps, are in no shard. */
static bool
is_less_often(const struct item *i, bool replicated)
{
    uint32_t times = i->before < i->after ? i->before : i->after;
    return (i->found.shards == 1 || replicated) && i->found.max < times;
}

static void
check_times(struct checker *c, uint32_t number, const struct item *i)
{
    uint32_t times = i->before > i->after ? i->before : i->after;
    if (times && i->found.max > times)
        report(c, VIOLATION_REPEATED, number, i->found.first, 0);
}

static void
check_series(struct checker *c, uint32_t number, const struct item *i)
{
    bool replicated = is_replicated(c, i), stable = i->before && i->after;
    bool replicated_by_config = c->expected && i->expected.shards > 1;

    c->result->series += stable;
    c->result->replicated += replicated;
    if (c->expected && i->before && !i->expected.shards) {
        c->result->dropped++;
        c->result->dropped_families[i->family] = true;
    }
    if (replicated)
        c->result->replicated_families[i->family] = true;
    if (is_lost(c, i))
        report(c, VIOLATION_LOST, number, 0, 0);
    if (is_less_often(i, replicated))
        report(c, VIOLATION_LESS_OFTEN, number, i->found.first, 0);
    if (i->found.shards > 1 && !replicated && !replicated_by_config)
        report(c, VIOLATION_DUPLICATED, number, i->found.first, i->found.second);
    if (i->found.shards && !i->before && !i->after)
        report(c, VIOLATION_UNEXPECTED, number, i->found.first, 0);
    if (c->expected && i->before)
        check_expected(c, number, i);
    check_times(c, number, i);
}

/* Families. */

/* Notes the shard of a series and, without a configuration, whether its family is split. */
static void
group_series(struct checker *c, uint32_t number, const struct item *i)
{
    struct group *family = &c->families[i->family], *key = &c->keys[i->key];
    uint32_t shard = i->found.first;

    if (!i->found.shards)
        return;
    family->has_series = true;
    if (is_replicated(c, i)) {
        family->has_replicated = true;
        return;
    }
    if (!family->shards)
        family->shards = c->rows + i->family * c->row;
    set_bit(family->shards, shard);
    if (i->found.shards > 1)
        set_bit(family->shards, i->found.second);
    family->shards_unknown |= i->found.shards > 2;
    if (i->found.shards > 1 || c->expected)
        return;
    if (!key->shard)
        key->shard = shard + 1;
    if (key->shard == shard + 1 || key->is_split)
        return;
    key->is_split = true;
    report(c, VIOLATION_FAMILY_SPLIT, number, shard, key->shard - 1);
}

/* Metadata must be where samples of their family are, and nowhere else; without samples, in one shard or in all. */
static void
check_metadata(struct checker *c, uint32_t number, const struct item *i)
{
    const struct group *family = &c->families[i->family];
    uint32_t count = c->observations->count;

    if (!i->before || !i->after)
        return;
    if (is_lost(c, i) && !family->has_series)
        report(c, VIOLATION_LOST, number, 0, 0);
    if (!c->observations->is_protobuf) /* a family may be several messages */
        check_times(c, number, i);
    if (!family->has_series && i->found.shards > 1 && i->found.shards < count)
        report(c, VIOLATION_DUPLICATED, number, i->found.first, i->found.second);
    for (uint32_t s = 0; s < count && family->has_series; s++) {
        bool own = family->shards && has_bit(family->shards, s), present = has_bit(i->shards, s);
        /* If only some series of a family are replicated, its metadata may stay with the others. */
        bool needed = family->shards ? own : family->has_replicated;
        if (needed && !present) {
            report(c, VIOLATION_METADATA_MISSING, number, s, 0);
            return;
        }
        if (present && !own && !family->has_replicated && !family->shards_unknown) {
            report(c, VIOLATION_METADATA_ORPHANED, number, s, 0);
            return;
        }
    }
}

/* Rounds. */

/* Updates churn and suspicions after a round. Returns how many items are still suspected. */
static uint64_t
end_round(struct checker *c)
{
    struct observations *o = c->observations;
    uint64_t suspects = 0, steady = 0;
    for (struct item *i = o->items + 1; i <= o->items + o->names.n; i++) {
        uint16_t left = c->round ? i->suspected & i->wrong : i->wrong;
        i->churns |= !i->before != !i->after || (c->round && !i->before && !i->after && !i->found.shards);
        i->flaps |= c->round && (i->suspected | i->wrong) != left;
        i->suspected = left;
        suspects += left != 0;
        if (i->is_meta)
            continue;
        c->result->visible_churn += i->churns;
        c->result->churn += i->churns || i->flaps;
        steady += i->before && !i->churns && !i->flaps;
    }
    if (!c->result->n && c->result->churn > steady)
        report(c, VIOLATION_UNSTABLE, 0, 0, 0);
    return suspects;
}

bool
verify_result_has_high_churn(const struct verify_result *result)
{
    uint64_t all = result->series + result->churn, hidden = result->churn - result->visible_churn;
    return result->churn * 10 > all || (hidden > result->visible_churn && hidden * 20 > all);
}

static bool
is_certain(const struct verify_result *result)
{
    for (enum violation_kind m = 0; m < VIOLATION_KINDS; m++)
        if (result->counts[m] && !may_be_churn(m))
            return true;
    return false;
}

static int
prepare(struct checker *c)
{
    const struct observations *o = c->observations;
    c->row = (o->count + 7) / 8;
    c->families = calloc(o->families.names.n + 1, sizeof(*c->families));
    c->keys = calloc(o->keys.n + 1, sizeof(*c->keys));
    c->rows = calloc(o->families.names.n + 1, c->row);
    c->result->replicated_families = calloc(o->families.names.n + 1, sizeof(bool));
    c->result->dropped_families = calloc(o->families.names.n + 1, sizeof(bool));
    return c->families && c->keys && c->rows && c->result->replicated_families && c->result->dropped_families ? 0
                                                                                                              : -ENOMEM;
}

int
verify_result_check(struct verify_result *result, struct observations *o, unsigned round, bool expected)
{
    struct checker c = {.result = result, .observations = o, .expected = expected, .round = round};
    int r = prepare(&c);

    for (uint32_t i = 1; i <= o->names.n && !r; i++) {
        if (o->items[i].is_meta)
            continue;
        check_series(&c, i, &o->items[i]);
        group_series(&c, i, &o->items[i]);
    }
    if (result->series && result->replicated >= result->series && !expected)
        report(&c, VIOLATION_NOT_SHARDED, 0, 0, 0);
    for (uint32_t i = 1; i <= o->names.n && !r; i++)
        if (o->items[i].is_meta)
            check_metadata(&c, i, &o->items[i]);
    result->is_final = r || !o->names.n || !end_round(&c) || is_certain(result);
    free(c.families);
    free(c.keys);
    free(c.rows);
    return r;
}

void
verify_result_deinit(struct verify_result *result)
{
    for (size_t i = 0; i < VIOLATIONS_SHOWN; i++)
        free(result->violations[i].reason);
    free(result->replicated_families);
    free(result->dropped_families);
    *result = (struct verify_result){.n = 0};
}
