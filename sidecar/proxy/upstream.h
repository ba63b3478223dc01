/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H
/* The services' connections, kept and used again, on one event loop. What is fetched over them is fetch.h's. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct resolver;
struct upstream;

/* What the owner of a transfer, its CURLOPT_PRIVATE, is told. */
struct upstream_hooks {
    /* The transfer is over, and needs this socket no more: what there is to be read stands behind its answer. Before
       ended(). */
    void (*released)(void *owner, curl_socket_t fd);
    /* The transfer has ended; it may be taken out and freed in there. */
    void (*ended)(void *owner, CURLcode code);
};

/* 0: *upstreamp is the caller's. Or a negative errno value. */
int upstream_new(struct upstream **upstreamp, struct event_base *base, const struct upstream_hooks *hooks);

/* After its last transfer was taken out. NULL is fine. */
void upstream_free(struct upstream *upstream);

/* Begins a transfer; what comes of it comes from the event loop. 0 or -ENOMEM. */
int upstream_add(struct upstream *upstream, CURL *easy);

/* Takes a transfer out; its connection is kept only if it is at its end. */
void upstream_remove(struct upstream *upstream, CURL *easy);

/* What finds the addresses of its services. */
struct resolver *upstream_resolver(struct upstream *upstream);

/* How many connections were opened, by transfers that were taken out. */
uint64_t upstream_opened(const struct upstream *upstream);

/* Bytes that a service sent and nobody asked for. */
enum unasked {
    UNASKED_NONE,
    UNASKED_BLANK, /* CR and LF alone */
    UNASKED_MORE,
};

/* What kind these bytes are. */
enum unasked upstream_unasked(const char *bytes, size_t len);

/*
 * Reads away what came over a connection without TLS that nobody has asked anything on, and answers what there was.
 *
 * libcurl takes a connection for alive that has bytes to be read, and those bytes for the answer to the next request.
 * But they are a lie about the last answer's length, or worse: such a connection is made one that libcurl takes for
 * dead.
 */
enum unasked upstream_drain_unsolicited(curl_socket_t fd);

/* What tells a TCP connection from others. */
struct tcp_tuple {
    const char *ip;
    int port, local_port;
};

/* A request of an owner is about to be sent over this connection, which is closed when it then has had no request for
   keepalive milliseconds. False: its socket is not known, so that it cannot be looked after and must not be used again.
 */
bool upstream_use(struct upstream *upstream, void *owner, const struct tcp_tuple *ends, int64_t keepalive);

/* For CURLOPT_SOCKOPTFUNCTION and CURLOPT_CLOSESOCKETFUNCTION, with the upstream as their data. */
int upstream_open_socket(void *upstream, curl_socket_t fd, curlsocktype purpose);
int upstream_close_socket(void *upstream, curl_socket_t fd);

#endif
