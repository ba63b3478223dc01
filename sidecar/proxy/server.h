/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H
/* The listener for scrapes: finds the endpoint, checks the method, drains. */
#include "proxy_context.h"

#include "service/http/http.h"

#include <stdbool.h>

struct config;
struct event_base;
struct rejection_log;

struct server {
    struct proxy_context proxy;
    struct http *http;
    struct http_handler handler;
    bool draining;
    void (*on_drained)(void *ctx); /* draining, and no scrape is in flight */
    void *on_drained_ctx;
};

/* 0: until server_deinit() the server holds a reference to config and borrows the rest. -ENOMEM. */
int server_init(struct server *server, struct event_base *base, struct rejection_log *rejections,
                struct config *config);

/* Listens on the configured addresses, and logs them. 0, or a negative errno value, logged. */
int server_listen(struct server *server);

/* Applies another configuration. Scrapes in flight keep theirs. */
void server_set_config(struct server *server, struct config *config);

/* Accepts no more scrapes; on_drained() is called once none is in flight, perhaps at once. */
void server_drain(struct server *server, void (*on_drained)(void *ctx), void *ctx);

/* Updates telemetry's gauges of the server. */
void server_update_gauges(const struct server *server);

void server_deinit(struct server *server);

#endif
