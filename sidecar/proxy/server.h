/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SERVER_H
#define PROXY_SERVER_H
/* The listener for scrapes: which endpoint, which method; and what all scrapes share. */
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
    struct config *config; /* in force for the scrapes to come */
    struct upstream *upstream;
    struct snapshots snapshots;
    struct http *http;
    struct http_handler handler;
    size_t in_flight;                /* scrapes begun and not over */
    struct slot_pool endpoint_slots; /* of endpoints: max_in_flight */
    struct slot_pool upstream_slots; /* of services: max_upstream_connections */
    struct event *idle_trim_timer;   /* set behind the last scrape */
    struct event *minute;            /* set by the first scrape after its summary: an idle program does not wake up */
    bool draining;
    void (*idle)(void *ctx); /* told when draining and the last scrape is over */
    void *idle_ctx;
};

/* 0: the server is the caller's; it takes a reference of config and borrows base, and limits with their log and
   telemetry. -ENOMEM. */
int server_init(struct server *server, struct event_base *base, struct rejection_log *rejections,
                struct config *config);

/* Listens as configured, and logs where. 0, or a negative errno value, logged. */
int server_listen(struct server *server);

/* Puts another configuration in force. Scrapes that have begun end under theirs. */
void server_set_config(struct server *server, struct config *config);

/* Takes no new scrapes any more; idle() follows when none is in flight, perhaps at once. */
void server_drain(struct server *server, void (*idle)(void *ctx), void *ctx);

/* A scrape is over. */
void server_scrape_over(struct server *server);

/* Brings up to date what telemetry has of the server. */
void server_update_gauges(const struct server *server);

void server_deinit(struct server *server);

#endif
