/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PLACEMENT_H
#define PROMQL_PLACEMENT_H
/* Which servers have a metric under the configured sharding. */
#include <scrapeshard/sharding.h>

enum spread {
    SPREAD_ONE,     /* one server has all of its series */
    SPREAD_ALL,     /* every server has all of them */
    SPREAD_NONE,    /* no server has any */
    SPREAD_SPLIT,   /* each server has some of them */
    SPREAD_DIFFERS, /* the selector of a sharding rule may drop or replicate some of them */
    SPREAD_FAILS,   /* the pattern of a sharding rule exceeds its match limit, which fails the scrape */
};

/* A label with the value that a selector requires. */
struct placed_label {
    struct ss_span name, value;
};

/* Those series of a metric that have all of these labels. */
struct placed_metric {
    struct ss_span name;
    struct ss_span declared; /* the family that it belongs to in a body; ptr NULL: not known */
    const struct placed_label *labels;
    size_t n_labels;
};

struct metric_place {
    enum spread spread;
    struct ss_span family;  /* as the key has it */
    struct ss_span key;     /* SPREAD_ONE: metrics with the same key are on the same server */
    uint64_t hash;          /* SPREAD_ONE: of the key */
    const char *action;     /* of the sharding rule that matched, such as "colocate"; NULL: none. Static. */
    struct ss_span pattern; /* of that rule */
};

/* Places names. */
struct placement {
    /* What *place borrows is valid until the next call. 0 or a negative errno value. */
    int (*place)(void *ctx, const struct placed_metric *metric, struct metric_place *place);
    /* The shard of a hash among count. */
    uint32_t (*shard)(void *ctx, uint64_t hash, uint32_t count);
    void *ctx;
    bool tears_histograms; /* the buckets of a histogram may be on different servers */
};

/* The placement under a sharding, which is borrowed. Unknown declared families are guessed from the names. */
struct placement placement_of(struct ss_sharding *sharding);

#endif
