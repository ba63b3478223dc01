/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PLACEMENT_H
#define PROMQL_PLACEMENT_H
/* Which servers have a metric, as the sharding in force decides. */
#include <scrapeshard/sharding.h>

enum spread {
    SPREAD_ONE,   /* all of its series are on one server */
    SPREAD_ALL,   /* each server has all of them */
    SPREAD_NONE,  /* none has any */
    SPREAD_SPLIT, /* each has some of them */
};

struct metric_place {
    enum spread spread;
    struct ss_span family;  /* what the key makes of the name */
    struct ss_span key;     /* SPREAD_ONE: metrics with the same key are on the same server */
    uint64_t hash;          /* SPREAD_ONE: of the key */
    const char *action;     /* the rule that decided: "colocate"; NULL: none did. Static. */
    struct ss_span pattern; /* of that rule */
};

/* How names are placed. */
struct placement {
    /* Places the metric of a name. What *place borrows lives until the next call. 0 or a negative errno value. */
    int (*place)(void *ctx, struct ss_span name, struct metric_place *place);
    /* The shard of a hash among count. */
    uint32_t (*shard)(void *ctx, uint64_t hash, uint32_t count);
    void *ctx;
};

/* The placement of a sharding, which it borrows. Of declared families only what their names tell is known. */
struct placement placement_of(struct ss_sharding *sharding);

#endif
