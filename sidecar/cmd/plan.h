/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PLAN_H
#define CMD_PLAN_H
/* The distribution of a body over shards, and the report of it. */
#include "cli_common.h"
#include "plan_labels.h"
#include "service/base/balance.h"

#include "promql/analysis.h"

#include <scrapeshard/index.h>

/* The distribution for any count: the body's parts, merged by family, route and hash. */
struct plan_distribution {
    const struct config *config;
    const struct ss_index *index;
    struct ss_index_part *parts; /* names are borrowed from the index, where equal names are the same pointer */
    size_t n, capacity;
    bool out_of_memory;           /* parts are missing */
    bool has_meta;                /* metadata follow series, so some bytes are in several shards */
    uint64_t series, bytes;       /* of the body */
    uint64_t replicated, dropped; /* series */
    uint64_t families;            /* of the body */
};

/* For reading a body. content_type is borrowed. */
struct ss_filter_settings plan_settings(const struct config *config, const char *content_type);

/* A content type for reading a body in the same format again. Static. */
const char *plan_content_type(const struct ss_index *index);

/* 0 or -ENOMEM; to be freed with plan_distribution_deinit() in both cases. */
int plan_distribution_init(struct plan_distribution *distribution, const struct ss_index *index,
                           const struct config *config);
void plan_distribution_deinit(struct plan_distribution *distribution);

/* The loads of count shards. 0 or -ENOMEM. Where metadata follow series, bytes are approximate. */
int plan_distribution_loads(const struct plan_distribution *distribution, uint32_t count, struct shard_load *loads);

/* The same with exact bytes. Slower. */
int plan_distribution_loads_exact(const struct plan_distribution *distribution, uint32_t count,
                                  struct shard_load *loads);

/* What a family contributes to a shard. */
struct family_load {
    struct ss_span family; /* borrowed from the index */
    uint64_t series, bytes;
};

enum { LARGEST_MAX = 5, COUNTS_MIN = 2, COUNTS_MAX = 128, SPLIT_ADVICE_MAX = 55 };

/* Writes the families with the most series in a shard, largest first; returns how many. */
size_t plan_distribution_largest(const struct plan_distribution *distribution, uint32_t count, uint32_t shard,
                                 struct family_load *out, size_t n);

/* How many series change shard between two counts. */
uint64_t plan_distribution_moved(const struct plan_distribution *distribution, enum ss_placement placement,
                                 uint32_t from, uint32_t to);

/* The recording and alerting rules that a plan knows. Zeroed is none. */
struct plan_rules {
    const char **paths;
    size_t n_paths;
    struct ruleset rules;
    struct analysis *analysis; /* without the lines; NULL: there are no rules */
    struct derivation *derivation;
    struct config *config; /* with the lines that make rules right */
    struct body_family *families;
    size_t n_families, family_room;
    uint64_t good, good_after; /* rules that are right or everywhere */
    char *whole;               /* a colocate rule that keeps families whole for rules; NULL: none is needed */
};

/* Suggested split rules, and the balance measured with them. */
struct split_advice {
    char *patterns[SPLIT_ADVICE_MAX];
    size_t n; /* 0: none help */
    size_t families;
    bool needed; /* the skew is above SKEW_ACCEPTABLE */
    struct shard_balance balance;
    size_t few; /* this many families already remove most of the skew; 0: it takes all of them */
    struct shard_balance few_balance;
    bool tried_all; /* everything was split that no rule needs whole */
    struct shard_balance all_balance;
};

/* Above this skew by series, split rules are tried. */
#define SKEW_ACCEPTABLE 1.2

/*
 * Finds, by trying, the fewest families whose splitting makes the shards about as even as splitting can. 0, or an exit
 * status after printing the error; to be freed with split_advice_deinit() in both cases.
 */
int split_advice_find(struct split_advice *advice, struct cli *cli, const struct plan_distribution *distribution,
                      const struct shard_balance *before, const struct plan_rules *rules);
void split_advice_deinit(struct split_advice *advice);

struct plan;

/* plan_rules.c. Reads the rules, and the body again with the lines that make them right; *indexp and the configuration
   are replaced. 0, or an exit status after printing the error. */
int plan_rules_apply(struct plan *plan, struct ss_index **indexp);

/* Whether a family may be split as far as the rules are concerned. */
bool plan_rules_may_split(const struct plan_rules *rules, struct ss_span family);

void plan_rules_deinit(struct plan_rules *rules);

struct plan {
    struct cli cli;
    const char *name;         /* of the source, for people */
    char *url;                /* owns name if the source is a URL */
    const char *content_type; /* of a body without one */
    uint32_t to;              /* the other shard count of moves */
    uint64_t targets;         /* 0: no fleet in the report */
    int64_t interval;         /* milliseconds */
    struct plan_distribution distribution;
    struct shard_load *loads;
    struct shard_balance balance;
    struct shard_balance counts[COUNTS_MAX + 1]; /* by shard count */
    struct family_load largest[LARGEST_MAX];
    size_t n_largest;
    struct plan_labels labels;
    uint64_t moved[2]; /* by enum ss_placement */
    struct split_advice advice;
    struct plan_rules rules;
    struct config *config_before; /* without the lines of rules; NULL: there are none */
};

/* Load per second: of all servers, an average one, and the fullest. */
struct cost {
    double fleet, server, fullest;
};

/* The load of the targets' scrapes if each server gets the whole body, or (after) only its shard. */
struct cost plan_cost_before(const struct plan *plan, uint64_t body);
struct cost plan_cost_after(const struct plan *plan, double mean, uint64_t most);

void plan_print(const struct plan *plan);
void plan_print_json(const struct plan *plan);

#endif
