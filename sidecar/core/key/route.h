/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H
/* What the rules say of a name. */
#include <scrapeshard/rules.h>

#include <stdbool.h>

struct rule {
    enum ss_action action;
    struct ss_span pattern; /* as it was written */
    struct ss_span group;   /* of a colocate rule that names its key: a beginning of pattern; else empty */
    struct pcre2_real_code_8 *code;
};

enum {
    /* The names that may stand for one line: the sample's, and the family's. */
    RULE_MATCH_NAMES = 3,
    /* The groups of a colocate rule that count. */
    RULE_MATCH_GROUPS = 16,
};

struct rule_match {
    const struct rule *rule; /* the one that decided, or NULL */
    bool unkept;             /* there are keep rules, and none of them matched */
    /* Of a colocate rule: what its groups caught, borrowed from the names; one that caught nothing is empty. Or the
       name that it has for the key, borrowed from the rule. */
    struct ss_span groups[RULE_MATCH_GROUPS];
    size_t n_groups;
};

/* Whether there are rules of an action. NULL has none. */
bool rules_have(const struct ss_rules *rules, enum ss_action action);

/*
 * Judges a line by its names, the family's first; one that is empty does not count. 0; or EINVAL (positive) if the
 * pattern of verdict->rule came to no end with one of them: reason, of size bytes, says how.
 */
int rules_match(const struct ss_rules *rules, const struct ss_span *names, size_t n, struct rule_match *match,
                char *reason, size_t size);

#endif
