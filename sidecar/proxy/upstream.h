/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H
/* The connections to all upstreams, kept alive and reused, on one event loop. fetch.h has what is fetched over them. */
#include "upstream_sockets.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct resolver;
struct tls_pools;
struct upstream;

/* Called with the owner of a transfer, its CURLOPT_PRIVATE. fetch.h has the only implementation; as hooks they keep
   connections independent of what is fetched over them. */
struct upstream_hooks {
    /* As in upstream_sockets.h; called before ended(). */
    bool (*released)(void *owner, enum unsolicited kind);
    /* The transfer has ended; it may be removed and freed in here. */
    void (*ended)(void *owner, CURLcode code);
};

/* 0: *upstreamp is the caller's. Or a negative errno value. */
int upstream_new(struct upstream **upstreamp, struct event_base *base, const struct upstream_hooks *hooks);

/* After its last transfer was removed. NULL is fine. */
void upstream_free(struct upstream *upstream);

/* Starts a transfer; its callbacks come from the event loop. 0 or -ENOMEM. */
int upstream_add(struct upstream *upstream, CURL *easy);

/* Removes a transfer; its connection is kept only if it has ended. */
void upstream_remove(struct upstream *upstream, CURL *easy);

/* Looks up the addresses of the upstreams. */
struct resolver *upstream_resolver(struct upstream *upstream);

struct upstream_sockets *upstream_sockets(struct upstream *upstream);
struct tls_pools *upstream_tls_pools(struct upstream *upstream);

struct event_base *upstream_base(const struct upstream *upstream);

/* How many connections were opened, by transfers that were removed. */
uint64_t upstream_opened(const struct upstream *upstream);

/* For CURLOPT_CLOSESOCKETFUNCTION, with the upstream as its data. */
int upstream_close_socket(void *upstream, curl_socket_t fd);

#endif
