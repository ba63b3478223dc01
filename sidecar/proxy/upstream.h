/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H
/* The connections to all upstreams, kept alive and reused, on one event loop. fetch.h has what is fetched over them. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct resolver;
struct upstream;

/* Called with the owner of a transfer, its CURLOPT_PRIVATE. fetch.h has the only implementation; as hooks they keep
   connections independent of what is fetched over them. */
struct upstream_hooks {
    /* The transfer is over and has released this socket: bytes to be read there follow its response. Called before
       ended(). */
    void (*released)(void *owner, curl_socket_t fd);
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

struct event_base *upstream_base(const struct upstream *upstream);

/* How many connections were opened, by transfers that were removed. */
uint64_t upstream_opened(const struct upstream *upstream);

/* Bytes that an upstream sent without a request. */
enum unsolicited {
    UNSOLICITED_NONE,
    UNSOLICITED_BLANK, /* CR and LF alone */
    UNSOLICITED_DATA,
};

enum unsolicited unsolicited_kind(const char *bytes, size_t len);

/*
 * Reads and drops what has arrived on an idle connection without TLS; returns what it was.
 *
 * libcurl takes a connection with unread bytes for alive, and those bytes for the response to the next request. They
 * show that the last response had a wrong length, or worse: such a connection is shut down, so that libcurl takes it
 * for dead.
 */
enum unsolicited upstream_drain_unsolicited(curl_socket_t fd);

/* The same for the connection of a transfer whose response has been read. */
enum unsolicited upstream_drain_owner(const struct upstream *upstream, const void *owner);

/* Identifies a TCP connection. */
struct tcp_tuple {
    const char *ip;
    int port, local_port;
};

/* An owner is about to send a request over this connection, which is closed after keepalive idle milliseconds. False:
   its socket is not known, so it cannot be inspected and must not be reused. */
bool upstream_use_connection(struct upstream *upstream, void *owner, const struct tcp_tuple *tuple, int64_t keepalive);

/* For CURLOPT_SOCKOPTFUNCTION and CURLOPT_CLOSESOCKETFUNCTION, with the upstream as their data. */
int upstream_open_socket(void *upstream, curl_socket_t fd, curlsocktype purpose);
int upstream_close_socket(void *upstream, curl_socket_t fd);

#endif
