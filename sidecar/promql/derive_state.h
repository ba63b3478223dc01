/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_DERIVE_STATE_H
#define PROMQL_DERIVE_STATE_H
/* What the files of the derivation share. */
#include "analysis_state.h"

/* Families, of which some are to meet: a forest, whose roots stand for the groups. */
struct grouping {
    uint32_t *parent; /* by family */
    uint32_t *fixed;  /* of a root: the key that a rule in force gives it, or 0 */
    uint32_t *size;   /* of a root */
    uint64_t *series; /* of a root */
};

struct deriving {
    struct analysis *analysis;
    bool *joined;     /* by rule: its families are to meet */
    bool *replicated; /* by family: each server is to have it */
    struct grouping grouping;
    uint32_t *places;    /* by family: with the lines so far */
    struct arena *arena; /* of the result */
};

/* The root of a family's group. */
uint32_t group_of(struct grouping *grouping, uint32_t family);

/* Whether a family is on one server, so that it can meet others: it is not dropped, and not everywhere. */
bool family_is_movable(const struct deriving *deriving, uint32_t family);

/* Groups what the joined rules need. A rule that would bring families together which rules in force keep apart is not
   joined then. without: a family that is left out, or UINT32_MAX. */
void group_families(struct deriving *deriving, uint32_t without);

/* derive_hub.c: replicates families that hold too large groups together. 0 or -ENOMEM. */
int replicate_hubs(struct deriving *deriving);

/* derive_lines.c: what is to be written for the groups and the replicated families. 0 or -ENOMEM. */
int write_lines(struct deriving *deriving, struct derivation *out);

/* Families of a group that are more than one, or that were split: they get a line. */
bool group_needs_line(const struct deriving *deriving, uint32_t root);

#endif
