/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONNECTIONS_H
#define SERVICE_CONNECTIONS_H
/*
 * The connections of one evhttp server: how many there may be, whose, and how long one may keep us waiting.
 *
 * evhttp knows timers of inactivity only, and counts nothing. So each connection has a record here, made before evhttp
 * sees it and gone with it:
 *
 *     FRESH  --admitted-->  HEAD  --request-->  BUSY  --answered-->  IDLE  --first byte-->  HEAD
 *
 * In HEAD, and in BUSY when nobody else looks after the time, a deadline runs. Where there are too many connections,
 * the oldest that waits for something and never got an answer 200 has to go, so that a kept connection of a scraper is
 * not to be had by whoever opens many.
 *
 * The record owns evhttp's two callbacks, of a connection's end and of an answer's, and hands them on to whoever
 * answers.
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

/* Bytes of a request's head. Prometheus' are below 1 KiB; Go's server takes 1 MiB, nginx lines of 8 KiB. */
enum { CONNECTION_HEAD_MAX = 8 * 1024 };

struct connections_settings {
    uint64_t max, max_per_peer; /* 0: any number */
    int64_t head_timeout;       /* milliseconds */
};

struct connections {
    struct event_base *base;
    struct rejection_log *rejections;
    struct connections_settings settings;
    struct access_policy *policy;                 /* a reference: who may connect */
    TAILQ_HEAD(connection_list, connection) list; /* the oldest first */
    size_t n;
    struct event *admission; /* looks at those that were just accepted, before a byte of theirs is read */
};

/* What one who answers is told of his connection. */
struct connection_events {
    void (*done)(void *ctx);   /* the whole answer has gone to the kernel */
    void (*closed)(void *ctx); /* evhttp ends the connection before that */
};

/* 0: the connections are the caller's. -ENOMEM. */
int connections_init(struct connections *all, struct event_base *base, struct rejection_log *rejections);

/* After the evhttp server they are of. A zeroed one is fine. */
void connections_deinit(struct connections *all);

/* Makes a record for a bufferevent that evhttp is about to get for a new connection; -ENOMEM: it goes unnoticed, and
   its requests are to be refused. */
int connections_add(struct connections *all, struct bufferevent *bev);

/* Puts other settings and another door in force, for those to come. */
void connections_set(struct connections *all, const struct connections_settings *settings,
                     struct access_policy *policy);

/* Closes those that wait for nothing but a next request. */
void connections_close_idle(struct connections *all);

/* A request has come whole: the record of its connection, or NULL. */
struct connection *connection_begin(struct connections *all, struct evhttp_request *request);

/* The record of a request's connection, between connection_begin() and the answer's end. NULL if there is none. */
struct connection *connection_of(struct evhttp_request *request);

struct peer connection_peer(const struct connection *connection);

/* Names who is told of the answer's end; NULL events: nobody. */
void connection_set_callbacks(struct connection *connection, const struct connection_events *events, void *ctx);

/*
 * Resets a TCP connection. evhttp's own way is to shut it down first, and for an HTTP/1.0 client that would be the end
 * of the body, whatever SO_LINGER says of the close after it.
 */
void connection_dissolve(struct evhttp_connection *evhttp);

/* Nothing more goes out; evhttp hears that by the error that its next write gets. */
void connection_abort(struct evhttp_connection *evhttp);

/* From now on the answer is made, at once; whether libevent has had memory for all of it since then: what it has none
   for is missing, perhaps from the head. */
void connection_begin_answer(struct connection *connection);
bool connection_has_answer(const struct connection *connection);

/* From now on the answer is to be read in time. */
void connection_set_deadline(struct connection *connection);

/* Reads nothing until the response has gone. evhttp, whenever it is given a part to write, reads as well, and would
   take the end of what a client sends for the end of the client: so this is called after each part. */
void connection_pause_input(struct evhttp_connection *evhttp);

#endif
