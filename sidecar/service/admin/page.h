/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PAGE_H
#define SERVICE_PAGE_H
/* The shard page: what the watches know, for a person. One document, without scripts, that needs nothing from outside.
 */
#include <stdbool.h>
#include <stddef.h>

struct config;
struct telemetry;

struct shard_page {
    const struct telemetry *telemetry;
    const struct config *config; /* in force */
    bool ready;
    /* What the form asks: which shard of how many a series is in. NULL: nothing. */
    const char *series, *shard_count;
    /* What the other one asks: how an endpoint would fall among so many shards. NULL: nothing; the first endpoint. */
    const char *what_if, *endpoint;
};

/* Writes the page. 0: *textp has *lenp bytes and is the caller's, to be freed. -ENOMEM. */
int page_write(const struct shard_page *page, char **textp, size_t *lenp);

/* The Content-Security-Policy that lets the page have its own style and nothing else. */
void page_sharding_policy(char *policy, size_t size);

#endif
