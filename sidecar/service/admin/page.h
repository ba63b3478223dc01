/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_PAGE_H
#define SERVICE_PAGE_H
/* The shard page: what the shard trackers know, for people. One self-contained document without scripts. */
#include <stdbool.h>
#include <stddef.h>

struct config;
struct telemetry;

struct shard_page {
    const struct telemetry *telemetry;
    const struct config *config; /* the current one */
    bool ready;
    /* The query of the form "Which shard?". NULL: not sent. */
    const char *series, *shard_count;
    /* The query of the form "What if?": a number of shards (NULL: not sent) and an endpoint (NULL: the first). */
    const char *what_if, *endpoint;
};

/* Writes the page. 0: *textp has *lenp bytes and is the caller's to free. -ENOMEM. */
int page_write(const struct shard_page *page, char **textp, size_t *lenp);

/* The Content-Security-Policy that allows the page's own style and nothing else. */
void page_security_policy(char *policy, size_t size);

#endif
