/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_H
#define PROXY_UPSTREAM_H
/* The services' connections, kept and used again, on one event loop. What is fetched over them is fetch.h's. */
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct upstream;

/* What the owner of a transfer, its CURLOPT_PRIVATE, is told. */
struct upstream_hooks {
    /* The transfer has ended; it may be taken out and freed in there. */
    void (*ended)(void *owner, CURLcode code);
    /* The transfer needs this socket no more, or not for now. Answers whether the socket's connection is plain and
       idle: then it is looked after, for nothing may come over it until it is used again. */
    bool (*freed)(void *owner, curl_socket_t fd);
};

/* 0: *upstreamp is the caller's. -ENOMEM. */
int upstream_new(struct upstream **upstreamp, struct event_base *base, const struct upstream_hooks *hooks);

/* A service is asked over so many connections at once at the most; further transfers wait for one. Without a call there
   is no bound. */
void upstream_set_most(struct upstream *upstream, long connections);

/* After its last transfer was taken out. NULL is fine. */
void upstream_free(struct upstream *upstream);

/* Begins a transfer; what comes of it comes from the event loop. 0 or -ENOMEM. */
int upstream_add(struct upstream *upstream, CURL *easy);

/* Takes a transfer out; its connection is kept only if it is at its end. */
void upstream_remove(struct upstream *upstream, CURL *easy);

/* How many connections were opened, by transfers that were taken out. */
uint64_t upstream_opened(const struct upstream *upstream);

/*
 * Reads away what came over a connection without TLS that nobody has asked anything on, and answers whether there was
 * any.
 *
 * libcurl takes a connection for alive that has bytes to be read, and those bytes for the answer to the next request.
 * But they are a lie about the last answer's length, or worse: such a connection is made one that libcurl takes for
 * dead.
 */
bool upstream_clear_socket(curl_socket_t fd);

/* A request is about to be sent over the connection with this local port: it is idle no more. libcurl does not always
   ask for its socket to be watched: an answer may have come, and have been paused, before. */
void upstream_use(struct upstream *upstream, int local_port);

/* For CURLOPT_CLOSESOCKETFUNCTION, with the upstream as its data. */
int upstream_close_socket(void *upstream, curl_socket_t fd);

#endif
