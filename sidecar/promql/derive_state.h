/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_DERIVE_STATE_H
#define PROMQL_DERIVE_STATE_H
/* Shared by the files of the derivation. */
#include "analysis_state.h"

/* Groups of families that must be on the same server: a union-find forest. */
struct grouping {
    uint32_t *parent; /* by family */
    uint32_t *fixed;  /* of a root: the key that a configured rule gives it, or 0 */
    uint32_t *size;   /* of a root */
    uint64_t *series; /* of a root */
};

struct deriving {
    struct analysis *analysis;
    bool *joined;     /* by rule: its families must be on the same server */
    bool *replicated; /* by family */
    struct grouping grouping;
    uint32_t *places;    /* by family, with the lines derived so far */
    struct arena *arena; /* of the derivation */
};

/* The root of a family's group. */
uint32_t group_of(struct grouping *grouping, uint32_t family);

/* Whether a family can be moved to a server: it is neither dropped nor replicated. */
bool family_is_movable(const struct deriving *deriving, uint32_t family);

/* Groups the families of the joined rules. Rules whose families the configuration keeps apart are no longer joined.
   without: a family to ignore, or UINT32_MAX. */
void group_families(struct deriving *deriving, uint32_t without);

/* derive_hub.c: replicates the families that hold oversized groups together. 0 or -ENOMEM. */
int replicate_hubs(struct deriving *deriving);

/* derive_lines.c: writes the lines for the groups and the replicated families. 0 or -ENOMEM. */
int write_lines(struct deriving *deriving, struct derivation *out);

/* Whether a group gets a line: it has several families, or one that is split. */
bool group_needs_line(const struct deriving *deriving, uint32_t root);

#endif
