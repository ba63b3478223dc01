/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H
/* The services' connections, kept and used again, on one event loop. What is fetched over them is fetch.h's. */
#include <curl/curl.h>
#include <stdbool.h>

struct event_base;
struct upstream;

/* Tells the owner of a transfer, its CURLOPT_PRIVATE, that it has ended; it may be taken out and freed in there. */
typedef void (*upstream_ended)(void *owner, CURLcode code);

/* 0: *upstreamp is the caller's. -ENOMEM. */
int upstream_new(struct upstream **upstreamp, struct event_base *base, upstream_ended ended);

/* After its last transfer was taken out. NULL is fine. */
void upstream_free(struct upstream *upstream);

/* Begins a transfer; what comes of it comes from the event loop. 0 or -ENOMEM. */
int upstream_add(struct upstream *upstream, CURL *easy);

/* Takes a transfer out; its connection is kept only if it is at its end. */
void upstream_remove(struct upstream *upstream, CURL *easy);

/* A transfer that was added sends its request now, or was taken out before it could: it needs a connection no more. */
void upstream_asked(struct upstream *upstream);

/* A transfer has ended, and its connection, not encrypted, is kept: on it, nothing may come until the next request.
   False if another transfer has taken it over already. */
bool upstream_keep(struct upstream *upstream, curl_socket_t fd);

/* For CURLOPT_CLOSESOCKETFUNCTION, with the upstream as its data. */
int upstream_close_socket(void *upstream, curl_socket_t fd);

#endif
