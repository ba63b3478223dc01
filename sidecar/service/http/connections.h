/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONNECTIONS_H
#define SERVICE_CONNECTIONS_H
/*
 * The connections of one evhttp server: limits on their number, in total and per peer, and deadlines.
 *
 * evhttp has inactivity timers only, and counts nothing. So each connection has a record here, made before evhttp sees
 * the connection and freed with it:
 *
 *     FRESH  --admitted-->  HEADER  --request-->  BUSY  --response sent-->  IDLE  --first byte-->  HEADER
 *
 * A deadline runs in HEADER, and in BUSY unless the handler watches the time itself. When there are too many
 * connections, the oldest without a request in progress that never got a 200 is evicted, so that opening many
 * connections cannot displace an established scraper.
 *
 * The record owns evhttp's two callbacks, for the end of a connection and of a response, and forwards them to the
 * handler of the request.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "service/base/peer.h"

struct bufferevent;
struct connection;
struct access_policy;
struct event;
struct event_base;
struct evhttp;
struct evhttp_connection;
struct evhttp_request;
struct rejection_log;

/* Bytes of a request's header. Prometheus' are below 1 KiB; Go's server accepts 1 MiB, nginx lines of 8 KiB. */
enum { CONNECTION_HEADER_MAX = 8 * 1024 };

struct connections_settings {
    uint64_t max, max_per_peer; /* 0: unlimited */
    int64_t head_timeout;       /* milliseconds */
};

struct connections {
    struct event_base *base;
    struct rejection_log *rejections;
    struct connections_settings settings;
    struct access_policy *policy;                 /* a reference: who may connect */
    TAILQ_HEAD(connection_list, connection) list; /* the oldest first */
    size_t n;
    int64_t next_promotion;  /* of a handshake's priority, in milliseconds of the monotonic clock */
    struct event *admission; /* admits connections just accepted, before any byte is read */
};

/* Callbacks for the handler of a request. */
struct connection_events {
    void (*done)(void *ctx);   /* the whole response was written to the kernel */
    void (*closed)(void *ctx); /* evhttp closed the connection before that */
};

/* 0: the connections are the caller's. -ENOMEM. */
int connections_init(struct connections *all, struct event_base *base, struct rejection_log *rejections);

/* Call it after freeing the evhttp server. Zeroed is fine. */
void connections_deinit(struct connections *all);

/* Makes a record for a bufferevent that evhttp is about to use for a new connection. -ENOMEM: there is none, and the
   connection's requests must be refused. */
int connections_add(struct connections *all, struct bufferevent *bev);

/* Sets the limits and the access policy for new connections. */
void connections_set(struct connections *all, const struct connections_settings *settings,
                     struct access_policy *policy);

/* Closes the connections that are idle between requests. */
void connections_close_idle(struct connections *all);

/* A complete request was received. Returns the record of its connection, or NULL. */
struct connection *connection_start_request(struct connections *all, struct evhttp_request *request);

/* The record of a request's connection, from connection_start_request() to the end of the response, or NULL. */
struct connection *connection_of(struct evhttp_request *request);

struct peer connection_peer(const struct connection *connection);

/* Sets the callbacks for the end of the response, or none: NULL. */
void connection_set_callbacks(struct connection *connection, const struct connection_events *events, void *ctx);

/*
 * Resets a TCP connection. evhttp itself would shut it down first, which ends the body for an HTTP/1.0 client, whatever
 * SO_LINGER makes of the close(2) after it.
 */
void connection_reset(struct evhttp_connection *evhttp);

/* Sends nothing more; evhttp notices when its next write fails. */
void connection_abort(struct evhttp_connection *evhttp);

/* The response is composed from now on; and whether no allocation of libevent has failed since then. Otherwise parts of
   the response are missing, perhaps of its header. */
void connection_start_response(struct connection *connection);
bool connection_response_is_complete(const struct connection *connection);

/* Starts the deadline for the client to read the response. */
void connection_set_deadline(struct connection *connection);

/* Reads nothing until the response is sent. evhttp also reads whenever it is given a part to write, and would take a
   client's half-close for its end, so call this after each part. */
void connection_pause_input(struct evhttp_connection *evhttp);

#endif
