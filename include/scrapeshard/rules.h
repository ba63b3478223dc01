/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_RULES_H
#define SCRAPESHARD_RULES_H
/*
 * The operator's rules: patterns for names, and what becomes of those they match.
 *
 * A pattern is a regular expression of PCRE2, anchored at both ends, as Prometheus anchors its own. It is matched
 * against the name of a sample and against the name of its family, which is the sample's without the conventional
 * suffixes, or, under SS_KEY_DECLARED, the one that the body declares. In protobuf, where samples have no name of their
 * own, the message's name stands for it. A name that is not UTF-8 is matched by no pattern.
 */
#include <scrapeshard/span.h>

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What rules do, in the order in which they are asked. */
enum ss_action {
    SS_ACTION_DROP,      /* in no shard */
    SS_ACTION_KEEP,      /* once there is one such rule, what none of them matches is in no shard */
    SS_ACTION_REPLICATE, /* in every shard */
    SS_ACTION_COLOCATE,  /* what the pattern's groups caught, joined by the separator, is the key; of a rule that is
                            written NAME: PATTERN it is NAME, of letters, digits, _ . and - */
    SS_ACTION_SPLIT,     /* by the family's name and all labels but le and quantile, series by series */
};

/* The name of an action, as the configuration has it: "drop". Static. */
const char *ss_action_name(enum ss_action action);

/* A list of rules; rules of one action are asked in the order in which they were added. */
struct ss_rules;

/* 0: *rulesp is the caller's. -ENOMEM. */
int ss_rules_new(struct ss_rules **rulesp);

/* Why a pattern is none. */
struct ss_rule_error {
    size_t offset; /* into the pattern, in bytes */
    char reason[160];
};

/* Adds a rule, copying the pattern. 0; EINVAL (positive) with *error filled; -ENOMEM. Not while a sharding uses the
   rules. */
int ss_rules_add(struct ss_rules *rules, enum ss_action action, struct ss_span pattern, struct ss_rule_error *error);

/* NULL is fine. */
void ss_rules_free(struct ss_rules *rules);

#ifdef __cplusplus
}
#endif
#endif
