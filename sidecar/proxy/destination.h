/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_DESTINATION_H
#define PROXY_DESTINATION_H
/*
 * Where a transfer connects to: the host that libcurl would look up, and its addresses.
 *
 * libcurl must not look up names itself (resolver.h says why). It reports when it needs to: for a new connection, if
 * its cache, which holds addresses for a minute, does not have the name. The transfer then ends, and starts again when
 * the addresses are known. So a kept connection needs no DNS. Numeric addresses and localhost never do.
 */
#include "resolver.h"

#include <curl/curl.h>
#include <stdbool.h>

struct destination {
    CURL *easy;
    char *host, *port; /* NULL: needs no lookup */
    struct lookup lookup;
    struct curl_slist *addresses; /* CURLOPT_RESOLVE's */
    bool unknown;                 /* libcurl needs them */
    bool found;                   /* they were looked up for this request: to be unset for the next */
    void (*ready)(void *ctx, const struct resolver_answer *answer);
    void *ctx;
};

/* For a transfer of this URL that has not started; connect_to is CURLOPT_CONNECT_TO's value or NULL. 0 or -ENOMEM; in
   both cases the caller calls destination_deinit(). */
int destination_init(struct destination *d, CURL *easy, const char *url, const char *connect_to);

/* Whether the transfer ended because its host's addresses are not known, and were not looked up for it yet. */
bool destination_needs_lookup(const struct destination *d);

/* As resolver_look_up(). ready() is called when it ends; if there are addresses, the transfer may start again. */
int destination_look_up(struct destination *d, struct resolver *resolver);

bool destination_is_resolving(const struct destination *d);

/* After the transfer. A zeroed one is fine. */
void destination_deinit(struct destination *d);

#endif
