/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_PARAMS_H
#define PROXY_PARAMS_H
/* The query of a scrape: which shards it requests, and what is passed on to the upstream. */
#include <scrapeshard/shard.h>

struct params_names {
    const char *shard, *count; /* our two parameters */
    bool required;
    uint32_t accepted, next; /* counts that may be requested, next during a reshard, else 0; both 0: any count */
};

struct params {
    struct ss_shards *shards; /* NULL: the whole body */
    uint32_t count;           /* as requested; 0: the whole body */
    char *shard;              /* as requested, decoded, for the log; NULL if shards is */
    char *query;              /* the other parameters, byte for byte and in order; NULL if there are none */
};

struct params_error {
    char reason[320];
};

/*
 * Parses the query of a request's target, still encoded; NULL: none.
 *
 * evhttp's own parser is not used: it fails as a whole on an empty part, truncates values at an encoded NUL and accepts
 * repeated names. Each of these would answer a request for one shard with the whole body.
 *
 * 0: the caller owns *params, until params_deinit(). EINVAL (positive): *error says what is wrong and what was
 * expected. -ENOMEM. On errors *params is not set.
 */
int params_parse(struct params *params, const char *query, const struct params_names *names,
                 struct params_error *error);

/*
 * During a reshard: the shard count that is in force decides, whichever of the two was requested. The request's shards
 * become those of it that have the same numbers. 0 or -ENOMEM.
 */
int params_use_count(struct params *params, uint32_t in_force);

void params_deinit(struct params *params);

#endif
