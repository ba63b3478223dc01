/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_RULES_H
#define SCRAPESHARD_RULES_H
/*
 * The operator's rules: patterns for names, and what happens to matching series.
 *
 * A pattern is a PCRE2 regular expression, anchored at both ends, as Prometheus anchors its own. It is matched against
 * the name of a sample and the name of its family, which is the sample's without the conventional suffixes or, under
 * SS_KEY_DECLARED, the one that the body declares. In protobuf and OpenMetrics 2.0, where the samples of a histogram
 * have no names of their own, it is the family's name. A name that is not UTF-8 matches no pattern.
 *
 * The pattern of a drop, keep or replicate rule may be followed by a selector, as PromQL writes it: then the rule is
 * for those series alone whose labels match.
 *
 *     http_requests_total{code=~"2..", job!="x"}
 *
 * The operators are = != =~ !~; regular expressions match the whole value, unescaped; a missing label is the empty
 * string. Without a pattern before it the selector is for all names. le, quantile and __name__ cannot be selected: the
 * series of one histogram or summary stay together. A brace starts a selector only if a label's name and an operator
 * follow it, or if {} ends the rule, which selects everything; all others belong to the pattern, and \{ always does.
 *
 * Selectors choose among samples. The metadata of a family go where the samples go that no selector drops or
 * replicates, and to each shard that has one of its samples.
 */
#include <scrapeshard/span.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The actions, in the order in which they are applied. */
enum ss_action {
    SS_ACTION_DROP,      /* in no shard */
    SS_ACTION_KEEP,      /* if there is such a rule, series that match none of them are in no shard */
    SS_ACTION_REPLICATE, /* in every shard */
    SS_ACTION_COLOCATE,  /* the text matched by the capture groups, joined by the separator, is the key; of a rule
                            written  NAME: PATTERN it is NAME, of letters, digits, _ . and - */
    SS_ACTION_SPLIT,     /* by the family name and all labels but le and quantile, series by series */
};

/* The name of an action as in the configuration: "drop". Static. */
const char *ss_action_name(enum ss_action action);

/* A list of rules; rules of one action are tried in the order in which they were added. */
struct ss_rules;

/* 0: the caller owns *rulesp. -ENOMEM. */
int ss_rules_new(struct ss_rules **rulesp);

/* Why a pattern is invalid. */
struct ss_rule_error {
    size_t offset; /* into the pattern, in bytes */
    char reason[160];
};

/* Adds a rule and copies the pattern, perhaps with a selector. 0; EINVAL (positive) with *error filled; -ENOMEM. Not
   while a sharding uses the rules. */
int ss_rules_add(struct ss_rules *rules, enum ss_action action, struct ss_span pattern, struct ss_rule_error *error);

/* NULL is fine. */
void ss_rules_free(struct ss_rules *rules);

#ifdef __cplusplus
}
#endif
#endif
