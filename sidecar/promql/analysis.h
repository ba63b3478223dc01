/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_ANALYSIS_H
#define PROMQL_ANALYSIS_H
/*
 * Finds the recording and alerting rules that sharding breaks, and the sharding rules that fix them.
 *
 *     ruleset_add_file(&rules, ...);
 *     analysis_new(&analysis, &rules, &settings);
 *     derivation_new(&derivation, analysis);
 *
 * Each server evaluates a rule over the series that it has. Verdicts hold for any number of servers: each key is
 * assumed to be on a server of its own, and one more server has only what is replicated.
 */
#include "placement.h"
#include "ruleset.h"

enum rule_verdict {
    RULE_RIGHT,           /* one server has the complete result, the others have none */
    RULE_EVERYWHERE,      /* every server has the complete result */
    RULE_SILENT,          /* the result is missing or incomplete on all servers together */
    RULE_FALSE,           /* some server has a wrong result, and none the right one */
    RULE_FALSE_ELSEWHERE, /* some server has the complete result, others have wrong ones */
    RULE_IN_PARTS,        /* several servers have parts that add up to the complete result */
    RULE_UNKNOWN,
    RULE_VERDICTS
};

/* Such as "false elsewhere". Static. */
const char *rule_verdict_name(enum rule_verdict verdict);

/* Whether the rule works as it is: right or everywhere. */
static inline bool
rule_verdict_is_good(enum rule_verdict verdict)
{
    return verdict == RULE_RIGHT || verdict == RULE_EVERYWHERE;
}

/* A family of the bodies that the rules apply to. */
struct body_family {
    struct ss_span name;
    uint64_t series;
};

struct analysis_settings {
    struct placement placement;
    bool has_body; /* families is complete: rules that need any other are unknown, and selectors without a metric name
                      select no other */
    const struct body_family *families;
    size_t n_families;
    uint32_t shard_count; /* 0: not given */
};

/* A family that rules need. */
struct needed_family {
    struct ss_span name;
    struct metric_place place; /* key and pattern are copies */
    bool in_body;
    struct ss_span body_name; /* in_body: of its family there, which under key = name has several */
    uint64_t series;          /* in the bodies; 0 without a body */
    bool needs_whole;         /* splitting it would break a rule */
    bool may_replicate;       /* replicating it would break no rule and duplicate no result */
    uint32_t n_rules;         /* how many rules need it */
};

struct rule_result {
    enum rule_verdict verdict;
    bool by_chance;           /* broken in general, but good with shard_count servers */
    bool is_incomplete;       /* its annotations query families of another server */
    bool is_missing;          /* RULE_UNKNOWN, because the bodies lack one of its families */
    bool is_open;             /* a selector without a metric name matches several families, and perhaps others */
    const uint32_t *families; /* indexes into analysis_families(), ordered by name; recorded names are resolved */
    size_t n_families;
    const uint32_t *queried; /* likewise, those that only its annotations query */
    size_t n_queried;
    const char *why; /* one sentence */
};

/* Whether the rule must be evaluated over all servers: it is broken, and not because the body lacks a family. Parts
   that are complete together are harmless for queries over all servers. */
static inline bool
rule_result_needs_ruler(const struct rule_result *result)
{
    return !rule_verdict_is_good(result->verdict) && result->verdict != RULE_IN_PARTS && !result->is_missing;
}

struct analysis;

/* 0: the caller frees *analysisp, which borrows the rules and the placement. Otherwise a negative errno value: -E2BIG
   if the rules need too many families in total. */
int analysis_new(struct analysis **analysisp, const struct ruleset *rules, const struct analysis_settings *settings);

/* One per rule, in their order. */
const struct rule_result *analysis_results(const struct analysis *analysis);
const struct needed_family *analysis_families(const struct analysis *analysis, size_t *np);
void analysis_totals(const struct analysis *analysis, uint64_t totals[RULE_VERDICTS]);

/* NULL is allowed. */
void analysis_free(struct analysis *analysis);

/* A line for [rules]. */
struct rule_line {
    enum ss_action action; /* colocate or replicate */
    const char *value;     /* "node_filesystem: node_filesystem_avail_bytes|node_filesystem_size_bytes" */
    const char *text;      /* "colocate = node_filesystem: ..." */
};

/* Families that a colocate key puts on one server. */
struct rule_group {
    const char *name;
    const uint32_t *families; /* indexes into analysis_families() */
    size_t n_families;
    uint64_t series;
};

struct derivation {
    const struct rule_line *lines;
    size_t n_lines;
    const struct rule_group *groups; /* largest first */
    size_t n_groups;
    uint64_t replicated;             /* series of the families that the lines replicate */
    const struct rule_result *after; /* one per rule, in their order: with the lines in force */
};

/* Derives lines that make as many rules right as possible; deterministic. 0: the caller frees *derivationp, before the
   analysis. Otherwise -ENOMEM. */
int derivation_new(struct derivation **derivationp, struct analysis *analysis);

void derivation_free(struct derivation *derivation);

#endif
