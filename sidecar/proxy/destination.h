/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_DESTINATION_H
#define PROXY_DESTINATION_H
/*
 * Where a transfer connects to: the host that libcurl would look up, and its addresses.
 *
 * libcurl is never to look a name up by itself (resolver.h says why). It says when it needs to: for a new connection,
 * if it does not remember the name's addresses, which it does for a minute. The transfer then ends, and begins again
 * when the addresses have been found. So a connection that is kept needs no DNS. Numeric addresses and localhost never
 * do.
 */
#include "resolver.h"

#include <curl/curl.h>
#include <stdbool.h>

struct destination {
    CURL *easy;
    char *host, *port; /* NULL: no name is looked up */
    struct lookup lookup;
    struct curl_slist *addresses; /* CURLOPT_RESOLVE's */
    bool unknown, found;
    void (*ready)(void *ctx, const struct resolver_answer *answer);
    void *ctx;
};

/* Watches over a transfer of this URL that is not begun; connect_to is CURLOPT_CONNECT_TO's value or NULL. ready() is
   called at the end of what destination_look_up() begins: the transfer may begin again if there are addresses. 0 or
   -ENOMEM; to be given to destination_deinit() either way. */
int destination_init(struct destination *d, CURL *easy, const char *url, const char *connect_to);

/* Whether the transfer has ended because its host's addresses are not known, and have not been looked up for it. */
bool destination_is_unknown(const struct destination *d);

/* As resolver_ask(). */
int destination_look_up(struct destination *d, struct resolver *resolver);

/* Whether it waits for addresses. */
bool destination_waits(const struct destination *d);

/* After the transfer. A zeroed one is fine. */
void destination_deinit(struct destination *d);

#endif
