/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_HANGUP_WATCH_H
#define SERVICE_HANGUP_WATCH_H
/*
 * Notices that a client has left while nothing is sent to it and nothing is read from it: a reset, over a unix socket a
 * close, or a flood of pipelined bytes. Over TCP a FIN is no such sign: a client that shuts down its sending side after
 * the request still waits for the response, and a close looks the same until something is sent.
 */
struct bufferevent;
struct event;

/* Zeroed: not started. */
struct hangup_watch {
    int fd; /* a duplicate of the connection's descriptor */
    struct event *event;
    void (*on_hangup)(void *ctx);
    void *ctx;
};

/* Watches the connection of bev, until hangup_watch_stop(); once started, does nothing. on_hangup() may stop it. 0, or
   a negative errno value. */
int hangup_watch_start(struct hangup_watch *watch, struct bufferevent *bev, void (*on_hangup)(void *ctx), void *ctx);

/* A zeroed one is fine. */
void hangup_watch_stop(struct hangup_watch *watch);

#endif
