/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H
/* The listener for scrapes: finds the endpoint, checks the method, drains; and what all scrapes share. */
#include "service/base/log.h"
#include "service/config/config.h"
#include "service/http/http.h"
#include "service/telemetry/telemetry.h"

#include "slots.h"
#include "snapshot.h"

#include <stdbool.h>

struct event;
struct event_base;
struct rejection_log;
struct upstream;

struct server {
    struct event_base *base;
    const struct log *log;
    struct telemetry *telemetry;
    struct rejection_log *rejections;
    struct config *config; /* for new scrapes */
    struct upstream *upstream;
    struct snapshots snapshots;
    struct http *http;
    struct http_handler handler;
    size_t in_flight;                /* scrapes */
    struct slot_pool endpoint_slots; /* max_in_flight */
    struct slot_pool upstream_slots; /* max_upstream_connections */
    struct event *idle_trim_timer;   /* started by the last scrape in flight */
    struct event *summary_timer;     /* started by the first scrape after a summary: no wake-ups while idle */
    bool draining;
    void (*on_idle)(void *ctx); /* drained: no scrape in flight */
    void *idle_ctx;
};

/* 0: until server_deinit() the server holds a reference to config and borrows the rest. -ENOMEM. */
int server_init(struct server *server, struct event_base *base, struct rejection_log *rejections,
                struct config *config);

/* Listens on the configured addresses, and logs them. 0, or a negative errno value, logged. */
int server_listen(struct server *server);

/* Applies another configuration. Scrapes in flight keep theirs. */
void server_set_config(struct server *server, struct config *config);

/* Accepts no more scrapes; on_idle() is called once none is in flight, perhaps at once. */
void server_drain(struct server *server, void (*on_idle)(void *ctx), void *ctx);

/* A scrape is over. */
void server_scrape_over(struct server *server);

/* Updates telemetry's gauges of the server. */
void server_update_gauges(const struct server *server);

void server_deinit(struct server *server);

#endif
