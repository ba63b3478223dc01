/* SPDX-License-Identifier: Apache-2.0 */
/* Which rules apply to a name, and to a series. */
#include "route.h"

#include "core/base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

bool
rules_have(const struct ss_rules *r, enum ss_action action)
{
    return r && r->of_action[action];
}

/* Whether an earlier rule gives its key the same name. */
static bool
is_named_before(const struct ss_rules *r, const struct rule *rule)
{
    for (const struct rule *before = r->items; before < rule; before++)
        if (spans_equal(before->group, rule->group))
            return true;
    return false;
}

size_t
rules_groups(const struct ss_rules *r, struct ss_span *out, size_t n)
{
    size_t found = 0;
    for (const struct rule *rule = r ? r->items : NULL; rule && rule < r->items + r->n; rule++) {
        if (!rule->group.len || is_named_before(r, rule))
            continue;
        if (found < n)
            out[found] = rule->group;
        found++;
    }
    return found;
}

uint64_t
rules_selectors(const struct ss_rules *r, enum ss_action action)
{
    return r ? r->selectors[action] : 0;
}

static const struct rule *
rule_of_bit(const struct ss_rules *r, unsigned bit)
{
    return &r->items[r->with_selector[bit]];
}

/* Bits are in the order of the rules, which is not that of the actions. */
const struct rule *
rules_first(const struct ss_rules *r, uint64_t selectors)
{
    const struct rule *first = NULL;
    for (; selectors; selectors &= selectors - 1) {
        const struct rule *rule = rule_of_bit(r, (unsigned)__builtin_ctzll(selectors));
        if (!first || rule->action < first->action)
            first = rule;
    }
    return first;
}

/* Names. */

static void
take_groups(const struct ss_rules *r, const struct rule *rule, struct ss_span name, struct rule_match *match)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(r->state.data);
    uint32_t groups = 0;

    if (rule->group.len) {
        match->n_groups = 1;
        match->groups[0] = rule->group;
        return;
    }
    pcre2_pattern_info(rule->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    match->n_groups = groups;
    for (size_t i = 0; i < groups; i++, at += 2)
        match->groups[i] =
            at[2] == PCRE2_UNSET ? (struct ss_span){name.ptr, 0} : (struct ss_span){name.ptr + at[2], at[3] - at[2]};
}

/* Whether a rule matches one of the names: 1, with its groups; 0; or a PCRE2 error. */
static int
match_names(const struct ss_rules *r, const struct rule *rule, const struct ss_span *names, size_t n,
            struct rule_match *match)
{
    for (size_t i = 0; i < n; i++) {
        int m = !names[i].len ? 0 : rule->code ? regex_match(rule->code, names[i], &r->state) : 1;
        if (m > 0 && rule->action == SS_ACTION_COLOCATE)
            take_groups(r, rule, names[i], match);
        if (m)
            return m;
    }
    return 0;
}

/* The first rule of an action that matches one of the names, whatever the labels: 1, with match->rule; 0; or a PCRE2
   error, with match->rule. Those with a selector are added to match->selectors. */
static int
find(const struct ss_rules *r, enum ss_action action, const struct ss_span *names, size_t n, struct rule_match *match)
{
    if (!r->of_action[action])
        return 0;
    for (const struct rule *rule = r->items; rule < r->items + r->n; rule++) {
        int m = rule->action == action ? match_names(r, rule, names, n, match) : 0;
        if (m > 0 && rule->bit)
            match->selectors |= rule->bit;
        else if (m) {
            match->rule = rule;
            return m;
        }
    }
    return 0;
}

static int
fail(const struct rule *rule, int code, char *reason, size_t size)
{
    char what[120];
    regex_error_text(code, what, sizeof(what));
    snprintf(reason, size, "cannot match rule %s = %.80s: %s", ss_action_name(rule->action), rule->pattern.ptr, what);
    return EINVAL;
}

int
rules_match(const struct ss_rules *r, const struct ss_span *names, size_t n, struct rule_match *match, char *reason,
            size_t size)
{
    match->rule = NULL;
    match->not_kept = false;
    match->selectors = 0;
    for (enum ss_action action = SS_ACTION_DROP; action <= SS_ACTION_SPLIT; action++) {
        int m = find(r, action, names, n, match);
        if (m < 0)
            return fail(match->rule, m, reason, size);
        /* Where a rule decides by the name, the selectors of its action have no say. */
        if (m)
            match->selectors &= ~r->selectors[action];
        if (action == SS_ACTION_KEEP) {
            /* A matching keep rule decides nothing else. */
            match->rule = NULL;
            match->not_kept = !m && r->of_action[action] && !(match->selectors & r->selectors[action]);
        }
        if (match->not_kept || (action == SS_ACTION_DROP && m))
            match->selectors = 0;
        if (match->not_kept || match->rule)
            return 0;
    }
    return 0;
}

/* Series. */

void
rules_prepare_values(const struct ss_rules *r, uint64_t selectors, struct selector_values *values)
{
    if (values->selectors == selectors)
        return;
    memset(values->slots, 0, sizeof(values->slots));
    values->n = 0;
    values->selectors = selectors;
    for (; selectors; selectors &= selectors - 1)
        selector_add_labels(&rule_of_bit(r, (unsigned)__builtin_ctzll(selectors))->selector, &r->labels, values);
}

/* The first rule among these bits that selects the series: 1, with *rulep; 0; or a PCRE2 error, with *rulep. */
static int
find_selecting(const struct ss_rules *r, uint64_t selectors, const struct selector_values *values,
               const struct rule **rulep)
{
    for (; selectors; selectors &= selectors - 1) {
        *rulep = rule_of_bit(r, (unsigned)__builtin_ctzll(selectors));
        int m = selector_matches(&(*rulep)->selector, values, &r->state);
        if (m)
            return m;
    }
    return 0;
}

/* The first rule among these bits that selects all series with the known values: KNOWN_DIFFERS if one may select some
   of them; KNOWN_UNCHANGED if none selects any. */
static enum known_match
find_selecting_known(const struct ss_rules *r, uint64_t selectors, const struct selector_values *values, uint64_t known,
                     enum known_match selected, const struct rule **rulep)
{
    enum known_match found = KNOWN_UNCHANGED;
    for (; selectors; selectors &= selectors - 1) {
        const struct rule *rule = rule_of_bit(r, (unsigned)__builtin_ctzll(selectors));
        bool all;
        if (!selector_may_match(&rule->selector, values, known, &r->state, &all))
            continue;
        if (all || found == KNOWN_UNCHANGED)
            *rulep = rule;
        if (all)
            return selected;
        found = KNOWN_DIFFERS;
    }
    return found;
}

enum known_match
rules_match_known(const struct ss_rules *r, const struct selector_values *values, uint64_t known,
                  const struct rule **rulep)
{
    uint64_t drop = values->selectors & r->selectors[SS_ACTION_DROP],
             keep = values->selectors & r->selectors[SS_ACTION_KEEP],
             replicate = values->selectors & r->selectors[SS_ACTION_REPLICATE];
    *rulep = NULL;
    enum known_match found = find_selecting_known(r, drop, values, known, KNOWN_DROPPED, rulep);
    if (found == KNOWN_UNCHANGED && keep) {
        found = find_selecting_known(r, keep, values, known, KNOWN_REPLICATED, rulep);
        if (found == KNOWN_UNCHANGED)
            return KNOWN_DROPPED;
        if (found == KNOWN_REPLICATED) /* kept */
            found = KNOWN_UNCHANGED;
    }
    return found == KNOWN_UNCHANGED ? find_selecting_known(r, replicate, values, known, KNOWN_REPLICATED, rulep)
                                    : found;
}

int
rules_match_series(const struct ss_rules *r, const struct selector_values *values, struct series_match *match,
                   char *reason, size_t size)
{
    *match = (struct series_match){NULL, false};
    for (enum ss_action action = SS_ACTION_DROP; action <= SS_ACTION_REPLICATE; action++) {
        uint64_t own = values->selectors & r->selectors[action];
        const struct rule *rule = NULL;
        int m = own ? find_selecting(r, own, values, &rule) : 0;
        if (m < 0)
            return fail(rule, m, reason, size);
        match->not_kept = action == SS_ACTION_KEEP && own && !m;
        /* A matching keep rule decides nothing else. */
        match->rule = m && action != SS_ACTION_KEEP ? rule : NULL;
        if (match->not_kept || match->rule)
            return 0;
    }
    return 0;
}
