/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_ANALYSIS_H
#define PROMQL_ANALYSIS_H
/*
 * What becomes of recording and alerting rules when their metrics are distributed over servers, and what makes them
 * right again.
 *
 *     ruleset_add_file(&rules, ...);
 *     analysis_new(&analysis, &rules, &settings);
 *     derivation_new(&derivation, analysis);
 *
 * A rule is evaluated by each server over what this server has. What is said of it holds for every number of servers:
 * each key stands for one, and one has only what all have.
 */
#include "placement.h"
#include "ruleset.h"

enum rule_verdict {
    RULE_RIGHT,           /* one server has the whole result, the others have none */
    RULE_EVERYWHERE,      /* each has the whole result */
    RULE_SILENT,          /* there is no result, or parts of it are missing, though there should be one */
    RULE_FALSE,           /* there are only wrong results */
    RULE_FALSE_ELSEWHERE, /* one server has the whole result, others have wrong ones */
    RULE_IN_PARTS,        /* several have parts, which are the whole together */
    RULE_UNKNOWN,
    RULE_VERDICTS
};

/* "false elsewhere". Static. */
const char *rule_verdict_name(enum rule_verdict verdict);

/* Whether nothing needs to be done about it: right, or everywhere. */
static inline bool
rule_verdict_is_good(enum rule_verdict verdict)
{
    return verdict == RULE_RIGHT || verdict == RULE_EVERYWHERE;
}

/* A family of the bodies that the rules are for. */
struct body_family {
    struct ss_span name;
    uint64_t series;
};

struct analysis_settings {
    struct placement placement;
    bool has_body; /* families are known, and those that are missing are missed */
    const struct body_family *families;
    size_t n_families;
    uint32_t shard_count; /* 0: any */
};

/* A family that rules need. */
struct needed_family {
    struct ss_span name;
    struct metric_place place; /* key and pattern are copies */
    bool in_body;
    uint64_t series;    /* of the bodies; 0 if there are none */
    bool needs_whole;   /* if it were split, a rule would go wrong */
    bool may_replicate; /* if every server had it, no rule would go wrong or be evaluated more often */
    uint32_t n_rules;   /* that need it */
};

struct rule_result {
    enum rule_verdict verdict;
    bool by_chance;           /* not right in general, but right with shard_count servers */
    bool is_incomplete;       /* what its annotations query is on another server */
    bool is_missing;          /* RULE_UNKNOWN: the bodies do not have one of its families */
    const uint32_t *families; /* into the analysis' families, by name; recorded names are followed */
    size_t n_families;
    const uint32_t *queried; /* those that only its annotations query, likewise */
    size_t n_queried;
    const char *why; /* one sentence */
};

/* Whether it has to be evaluated over all servers: it is wrong, and not for want of a body's family. Parts that are
   complete together do no harm to who reads all servers. */
static inline bool
rule_result_needs_ruler(const struct rule_result *result)
{
    return !rule_verdict_is_good(result->verdict) && result->verdict != RULE_IN_PARTS && !result->is_missing;
}

struct analysis;

/* 0: *analysisp is the caller's, and borrows rules and the placement; a negative errno value: -E2BIG if the rules need
   too many families together. */
int analysis_new(struct analysis **analysisp, const struct ruleset *rules, const struct analysis_settings *settings);

/* By the rules' order. */
const struct rule_result *analysis_results(const struct analysis *analysis);
const struct needed_family *analysis_families(const struct analysis *analysis, size_t *np);
void analysis_totals(const struct analysis *analysis, uint64_t totals[RULE_VERDICTS]);

/* NULL is fine. */
void analysis_free(struct analysis *analysis);

/* A line for [rules]. */
struct rule_line {
    enum ss_action action; /* colocate or replicate */
    const char *value;     /* "node_filesystem: node_filesystem_avail_bytes|node_filesystem_size_bytes" */
    const char *text;      /* "colocate = node_filesystem: ..." */
};

/* Families that meet on one server: they have a key of their own. */
struct rule_group {
    const char *name;
    const uint32_t *families; /* into the analysis' families */
    size_t n_families;
    uint64_t series;
};

struct derivation {
    const struct rule_line *lines;
    size_t n_lines;
    const struct rule_group *groups; /* the largest first */
    size_t n_groups;
    uint64_t replicated;             /* series of the families that are replicated by the lines */
    const struct rule_result *after; /* by the rules' order: with the lines */
};

/* Lines that make as many rules right as lines can; the same ones at every call. 0: *derivationp is the caller's and
   lives no longer than the analysis; -ENOMEM. */
int derivation_new(struct derivation **derivationp, struct analysis *analysis);

void derivation_free(struct derivation *derivation);

#endif
