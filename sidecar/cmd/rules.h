/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_RULES_H
#define CMD_RULES_H
/* The state and the output of the rules command. */
#include "plan.h"

#include "promql/analysis.h"

/* A body that the rules apply to. */
struct rules_body {
    const char *name;
    struct ss_index *index;
};

/* The rules under one configuration. */
struct rules_state {
    const struct config *config; /* borrowed */
    struct analysis *analysis;
    uint64_t totals[RULE_VERDICTS];
    bool has_balance; /* with a body and --shard-count */
    struct shard_balance balance;
};

struct rules_run {
    struct cli cli;
    const char *content_type; /* of bodies without one */
    const char **body_names;
    struct rules_body *bodies;
    size_t n_bodies;
    struct body_family *families; /* of all bodies; the indexes own the names */
    size_t n_families, family_room;
    bool out_of_memory;
    struct ruleset rules;
    struct rules_state before, after;
    struct config *config_after; /* with the lines; NULL: no lines */
    struct derivation *derivation;
};

/* rules_file.c: reads a rule file; - is standard input. 0 or EXIT_UNREAD, after reporting the error. */
int rules_read_file(struct ruleset *rules, const char *path);

/* rules_body.c: reads the bodies. 0 or an exit status, after reporting the error. */
int rules_read_bodies(struct rules_run *run);

/* Computes the load of the shards. 0 or EXIT_UNREAD, after reporting the error. */
int rules_compute_balance(struct rules_run *run, struct rules_state *state);

/* Whether no single body has all families of a group. */
bool rules_group_spans_bodies(const struct rules_run *run, const struct rule_group *group);

void rules_free_bodies(struct rules_run *run);

/* The number of rules that are right or everywhere. */
uint64_t rules_good(const struct rules_state *state);

/* The state with the lines in force; without lines, the state before. */
const struct rules_state *rules_after(const struct rules_run *run);

void rules_print(const struct rules_run *run);
void rules_print_json(const struct rules_run *run);

#endif
