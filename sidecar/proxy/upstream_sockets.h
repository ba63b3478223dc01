/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_UPSTREAM_SOCKETS_H
#define PROXY_UPSTREAM_SOCKETS_H
/*
 * The sockets of all connections to upstreams: which transfer uses each, how long it is idle, and what arrives on it
 * without a request.
 *
 * Nothing may arrive on a connection between the end of one response and the next request. libcurl does not check, and
 * reports the end of a response late, or not at all if it came at once; so it is checked here, when the next request is
 * about to be sent, the transfer is collected or the socket closed, whichever comes first.
 */
#include "unsolicited.h"

#include <stddef.h>
#include <stdint.h>

struct connection_socket;
struct event;
struct event_base;

struct upstream_sockets {
    struct connection_socket *items;
    size_t n, capacity;
    unsigned last_number;
    struct event *idle_timer;
    /* The owner's transfer is over and has released its socket, after whose response this arrived. False: the
       connection must not be reused. */
    bool (*released)(void *owner, enum unsolicited kind);
};

/* What identifies a connection: a unix socket's number, or else the addresses of a TCP connection; and its TLS. */
struct connection {
    unsigned number;
    const char *ip;
    int port, local_port;
    SSL *tls; /* or NULL */
};

/* How a connection is for a request. */
enum connection_use {
    CONNECTION_UNKNOWN, /* it cannot be inspected, so it must not be reused */
    CONNECTION_NEW,
    CONNECTION_REUSED,
    CONNECTION_DEAD, /* it was shut down: the request fails at once, and libcurl takes another */
};

/* 0 or -ENOMEM; in both cases the caller calls upstream_sockets_deinit(). */
int upstream_sockets_init(struct upstream_sockets *sockets, struct event_base *base,
                          bool (*released)(void *owner, enum unsolicited kind));

/* After all of them were closed. A zeroed one is fine. */
void upstream_sockets_deinit(struct upstream_sockets *sockets);

/*
 * Reserves a unix socket of this path for an owner's next request, one that is idle if there is one: returns its
 * number.
 *
 * libcurl tells nothing by which a unix socket that it is about to use could be identified. So its number is passed to
 * libcurl as the host to connect to: it reuses connections to the same host only, and looks up no host for a unix
 * socket.
 */
unsigned upstream_sockets_reserve(struct upstream_sockets *sockets, void *owner, const char *path);

/* A socket was opened; path and number are a unix socket's. False: out of memory. */
bool upstream_sockets_opened(struct upstream_sockets *sockets, int fd, const char *path, unsigned number);

/* A socket is about to be closed. */
void upstream_sockets_closing(struct upstream_sockets *sockets, int fd);

/* An owner is about to send a request over a connection, which is closed after keepalive idle milliseconds. */
enum connection_use upstream_sockets_use(struct upstream_sockets *sockets, void *owner, const struct connection *used,
                                         int64_t keepalive);

/* The owner's transfer is over. notify: call released(). */
void upstream_sockets_release(struct upstream_sockets *sockets, void *owner, bool notify);

/* Reads and drops what has arrived for an owner whose response has been read. */
enum unsolicited upstream_sockets_drain(struct upstream_sockets *sockets, const void *owner);

#endif
