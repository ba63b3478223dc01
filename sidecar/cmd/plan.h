/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PLAN_H
#define CMD_PLAN_H
/* How a body falls into shards: what plan finds out, and what it tells. */
#include "cli_common.h"

#include "promql/analysis.h"

#include <scrapeshard/index.h>

/* How the body falls, whatever the count: its parts by family, kind and hash, none twice. */
struct plan_distribution {
    const struct config *config;
    const struct ss_index *index;
    struct ss_index_part
        *parts; /* families' names are borrowed from the index, and the same name is the same pointer */
    size_t n, capacity;
    bool short_of_memory;              /* some parts are missing */
    bool has_meta;                     /* metadata go with series, so that some bytes stand in several shards */
    uint64_t series, bytes;            /* of the body */
    uint64_t every, dropped, families; /* series in every shard and in none; families of the body */
};

/* What a shard has. */
struct shard_load {
    uint64_t series, bytes, families;
};

/* What a count gives. */
struct shard_balance {
    uint32_t count, fullest;
    uint64_t most_series, most_bytes;
    double mean_series, mean_bytes; /* of the shards */
    double by_series, by_bytes;     /* the skew: the most by the mean */
};

/* How plan reads a body. content_type is borrowed. */
struct ss_filter_settings plan_settings(const struct config *config, const char *content_type);

/* A content type by which a body is read again as it was read. Static. */
const char *plan_content_type(const struct ss_index *index);

/* 0 or -ENOMEM; to be freed with plan_distribution_deinit() in both cases. */
int plan_distribution_init(struct plan_distribution *distribution, const struct ss_index *index,
                           const struct config *config);
void plan_distribution_deinit(struct plan_distribution *distribution);

/* The loads of count shards. 0 or -ENOMEM. Where metadata go with series, bytes are only nearly right. */
int plan_distribution_loads(const struct plan_distribution *distribution, uint32_t count, struct shard_load *loads);

/* The same, with all bytes right. Slower. */
int plan_distribution_loads_exactly(const struct plan_distribution *distribution, uint32_t count,
                                    struct shard_load *loads);

struct shard_balance balance_of(const struct shard_load *loads, uint32_t count);

/* A family in a shard. */
struct family_share {
    struct ss_span family; /* borrowed from the index */
    uint64_t series, bytes;
};

enum { SHARES_MAX = 5, COUNTS_MIN = 2, COUNTS_MAX = 128, SPLIT_ADVICE_MAX = 55 };

/* The families with the most series in a shard, largest first; how many were written. */
size_t plan_distribution_largest(const struct plan_distribution *distribution, uint32_t count, uint32_t shard,
                                 struct family_share *out, size_t n);

/* How many series change their shard from one count to another. */
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
    char *whole;               /* a colocate rule that keeps together what rules need whole; NULL: nothing is */
};

/* Split rules that were tried. */
struct split_advice {
    char *patterns[SPLIT_ADVICE_MAX];
    size_t n; /* 0: nothing helps */
    size_t families;
    bool needed; /* the skew is not as small as it gets */
    struct shard_balance balance;
    size_t few; /* so many families already cure most of it; 0: it takes them all */
    struct shard_balance few_balance;
    bool tried_all; /* everything was split that no rule needs whole */
    struct shard_balance all_balance;
};

/* Above such a skew by series a cure is looked for. */
#define SKEW_FINE 1.2

/*
 * Looks for the fewest families whose splitting makes the shards about as even as splitting can, by trying. 0, or an
 * exit status, after saying why; to be freed with split_advice_deinit() in both cases.
 */
int split_advice_find(struct split_advice *advice, struct cli *cli, const struct plan_distribution *distribution,
                      const struct shard_balance *before, const struct plan_rules *rules);
void split_advice_deinit(struct split_advice *advice);

/* plan_rules.c. Reads the rules, and the body again as it is distributed with the lines that make them right: *indexp
   and the configuration in force are others then. 0, or an exit status, after saying why. */
struct plan;
int plan_rules_apply(struct plan *plan, struct ss_index **indexp);

/* Whether a family may be split for all that the rules need. */
bool plan_rules_may_split(const struct plan_rules *rules, struct ss_span family);

void plan_rules_deinit(struct plan_rules *rules);

/* All that is told. */
struct plan {
    struct cli cli;   /* must be first: its functions take it for all there is */
    const char *name; /* of the body's source */
    char *url;        /* it, as it may be told, if it is one */
    uint32_t to;
    uint64_t targets; /* 0: nobody asks for the fleet */
    double interval;  /* seconds */
    struct plan_distribution distribution;
    struct shard_load *loads;
    struct shard_balance balance;
    struct shard_balance counts[COUNTS_MAX + 1]; /* by their count */
    struct family_share shares[SHARES_MAX];
    size_t n_shares;
    uint64_t moved[2]; /* by enum ss_placement */
    struct split_advice advice;
    struct plan_rules rules;
    struct config *config_before; /* without the lines of rules; NULL: there are none */
};

/* What the fleet does in a second: all of its servers, one of them, and the fullest. */
struct cost {
    double fleet, server, fullest;
};

/* Of T targets, each of whose N servers gets a body of so much whole, or, after, its own shard of it. */
struct cost plan_cost_before(const struct plan *plan, uint64_t body);
struct cost plan_cost_after(const struct plan *plan, double mean, uint64_t most);

void plan_print(const struct plan *plan);
void plan_print_json(const struct plan *plan);

#endif
