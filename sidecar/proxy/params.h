/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_PARAMS_H
#define PROXY_PARAMS_H
/* Which shards a scrape asks for, and what of its query is the service's. */
#include <scrapeshard/shard.h>

struct params_names {
    const char *shard, *count; /* of the two parameters that are ours */
    bool required;
};

struct params {
    struct ss_shards *shards; /* NULL: none were named, the whole body */
    char *shard;              /* how they were named, for the log; NULL with shards */
    char *query;              /* the other parameters, byte for byte and in order; NULL if there are none */
};

struct params_error {
    char reason[320];
};

/*
 * Reads the part of a request's target behind "?", as it came (NULL: there is none).
 *
 * evhttp's own reader is not used: it fails as a whole on an empty part, cuts values at an encoded NUL and lets
 * repeated names through, and each of these would answer a shard with everything.
 *
 * 0: *params is the caller's, to be given to params_deinit(). EINVAL (positive): *error says what is wrong and what
 * would be right. -ENOMEM. Of these two nothing is to be freed.
 */
int params_parse(struct params *params, const char *query, const struct params_names *names,
                 struct params_error *error);

void params_deinit(struct params *params);

#endif
