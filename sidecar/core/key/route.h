/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H
/* Matches names, and the labels of series, against the rules. */
#include "selector.h"

struct rule {
    enum ss_action action;
    struct ss_span pattern;         /* as it was written */
    struct ss_span group;           /* of a colocate rule that names its key: a beginning of pattern; else empty */
    struct pcre2_real_code_8 *code; /* NULL: all names match */
    struct rule_selector selector;
    uint64_t bit; /* of a rule with a selector, else 0 */
};

/* Filled by rules.c, matched by rules_match.c. */
struct ss_rules {
    struct rule *items;
    size_t n;
    size_t of_action[SS_ACTION_SPLIT + 1];
    struct regex_state state; /* with room for RULE_MATCH_GROUPS pairs */
    uint64_t selectors[SS_ACTION_SPLIT + 1];
    size_t n_selectors, with_selector[CORE_MAX_SELECTORS]; /* by the number of the bit: the rule */
    struct name_table labels;                              /* of selectors */
    struct arena arena;
};

enum {
    /* The names of one line: the family's, the sample's, and the one with the suffix that metadata omit. */
    RULE_MATCH_NAMES = 3,
    /* Maximum number of capture groups of a colocate rule. */
    RULE_MATCH_GROUPS = 16,
};

struct rule_match {
    const struct rule *rule; /* the one that applies, or NULL */
    bool not_kept;           /* there are keep rules, and none matched */
    uint64_t selectors;      /* the bits of rules that may decide first, by the labels of each series; or 0 */
    /* The captured groups of a colocate rule, borrowed from the names; empty if a group did not take part. Or the name
       that the rule gives to the key, borrowed from the rule. */
    struct ss_span groups[RULE_MATCH_GROUPS];
    size_t n_groups;
};

/* Whether there are rules of an action. NULL has none. */
bool rules_have(const struct ss_rules *rules, enum ss_action action);

/* The names that colocate rules give to their keys, each once, in the order of the rules. Writes at most n of them,
   borrowed from the rules, and returns how many there are. */
size_t rules_groups(const struct ss_rules *rules, struct ss_span *out, size_t n);

/* The bits of those with a selector. NULL has none. */
uint64_t rules_selectors(const struct ss_rules *rules, enum ss_action action);

/* The first rule among these bits. */
const struct rule *rules_first(const struct ss_rules *rules, uint64_t selectors);

/*
 * Matches the names of a line, the family's first; empty ones are skipped. 0; or EINVAL (positive) if matching
 * match->rule failed: reason, of size bytes, says how.
 */
int rules_match(const struct ss_rules *rules, const struct ss_span *names, size_t n, struct rule_match *match,
                char *reason, size_t size);

/* Prepares to look for the labels of these selectors, if they are not the last ones. */
void rules_prepare_values(const struct ss_rules *rules, uint64_t selectors, struct selector_values *values);

/* What the selectors of a name decide about a series. If neither is set, what rules_match() gave for the name holds. */
struct series_match {
    const struct rule *rule; /* the one that drops or replicates it, or NULL */
    bool not_kept;
};

/* What they decide about all series that have some known values. */
enum known_match {
    KNOWN_UNCHANGED, /* nothing: what rules_match() gave for the name holds */
    KNOWN_DROPPED,   /* with the rule, or none if it is not kept */
    KNOWN_REPLICATED,
    KNOWN_DIFFERS, /* one thing about some, another about others; with the first rule that may apply */
};

/* known has a bit for each of the values that is known; a missing label is known to be empty. */
enum known_match rules_match_known(const struct ss_rules *rules, const struct selector_values *values, uint64_t known,
                                   const struct rule **rulep);

/* Matches the selectors of values with them. Returns as rules_match(). */
int rules_match_series(const struct ss_rules *rules, const struct selector_values *values, struct series_match *match,
                       char *reason, size_t size);

#endif
