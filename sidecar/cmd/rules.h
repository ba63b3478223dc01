/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_RULES_H
#define CMD_RULES_H
/* Which recording and alerting rules are right: what rules finds out, and what it tells. */
#include "plan.h"

#include "promql/analysis.h"

/* A body that the rules are for. */
struct rules_body {
    const char *name;
    struct ss_index *index;
};

/* Rules under one configuration. */
struct rules_state {
    const struct config *config; /* borrowed */
    struct analysis *analysis;
    uint64_t totals[RULE_VERDICTS];
    bool has_balance; /* there are bodies and a count */
    struct shard_balance balance;
};

struct rules_run {
    struct cli cli;
    const char *content_type; /* of bodies without one */
    const char **body_names;
    struct rules_body *bodies;
    size_t n_bodies;
    struct body_family *families; /* of all bodies; names are borrowed from the indexes */
    size_t n_families, family_room;
    bool out_of_memory;
    struct ruleset rules;
    struct rules_state before, after;
    struct config *config_after; /* with the lines; NULL: there are none */
    struct derivation *derivation;
};

/* rules_file.c: reads a rule file; - is standard input. 0 or EXIT_UNREAD, after saying why. */
int rules_read_file(struct ruleset *rules, const char *path);

/* rules_body.c: reads the bodies. 0 or an exit status, after saying why. */
int rules_read_bodies(struct rules_run *run);

/* What the bodies make of the shards. 0 or EXIT_UNREAD, after saying why. */
int rules_weigh(struct rules_run *run, struct rules_state *state);

/* Whether families of a group are in different bodies. */
bool rules_group_spans_bodies(const struct rules_run *run, const struct rule_group *group);

void rules_free_bodies(struct rules_run *run);

/* How many rules are right or everywhere. */
uint64_t rules_good(const struct rules_state *state);

/* With the lines: the same as before where there are none. */
const struct rules_state *rules_after(const struct rules_run *run);

void rules_print(const struct rules_run *run);
void rules_print_json(const struct rules_run *run);

#endif
