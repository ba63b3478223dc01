/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SOCKET_WATCH_H
#define PROXY_SOCKET_WATCH_H
/*
 * The sockets that transfers wait for, on the event loop.
 *
 * Services write a body in pieces of a few KiB, and to be woken for each of them costs more than to read it: so small
 * pieces gather for up to a millisecond before they are read, by SO_RCVLOWAT and a clock. Neither the header waits, nor
 * a small body, nor one that comes as fast as it is read.
 */
#include <curl/curl.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct socket_watch;

struct socket_watches {
    struct event_base *base;
    /* Has libcurl read or write: CURL_CSELECT_IN, CURL_CSELECT_OUT. Any watch may be freed in it. */
    void (*act)(void *ctx, curl_socket_t fd, int action);
    /* Follows one or more act(): some transfers may have ended. Watches may be freed in it, too. */
    void (*collect)(void *ctx);
    void *ctx;
    TAILQ_HEAD(socket_watch_list, socket_watch) all;
    struct socket_watch_list gathering;
    int clock; /* a timerfd that runs while any gathers; negative: none gathers */
    struct event tick;
    unsigned ticks;
    struct event wake; /* something is left in a TLS buffer */
};

/* base, act, collect and ctx are set. Without a descriptor for the clock nothing gathers. */
void socket_watches_init(struct socket_watches *watches);

/* After the last watch was freed. One that was not initialised, with a base of NULL, is fine. */
void socket_watches_deinit(struct socket_watches *watches);

/* Of a transfer, for CURL_POLL_IN, CURL_POLL_OUT or CURL_POLL_INOUT. NULL: out of memory. */
struct socket_watch *socket_watch_new(struct socket_watches *watches, CURL *easy, curl_socket_t fd, int what);

/* After libcurl has run: it may have left records in a TLS buffer, for which no socket wakes it. */
void socket_watches_wake_buffered(struct socket_watches *watches);

/* The transfer goes. Its socket may still be watched: from libcurl 8.9 on, until the peer's close_notify has come. */
void socket_watches_forget(struct socket_watches *watches, const CURL *easy);

/* Before the socket is closed. NULL is fine. */
void socket_watch_free(struct socket_watch *watch);

#endif
