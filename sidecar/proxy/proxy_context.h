/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_PROXY_CONTEXT_H
#define PROXY_PROXY_CONTEXT_H
/* What all scrapes share, and what is done when there are none. */
#include "slots.h"
#include "snapshot_store.h"

#include <stddef.h>

struct config;
struct event;
struct event_base;
struct log;
struct rejection_log;
struct telemetry;
struct upstream;

struct proxy_context {
    struct event_base *base;
    const struct log *log;
    struct telemetry *telemetry;
    struct rejection_log *rejections;
    struct config *config; /* a reference, for new scrapes */
    struct upstream *upstream;
    struct snapshots snapshots;
    struct slot_pool endpoint_slots; /* max_in_flight */
    struct slot_pool upstream_slots; /* max_upstream_connections */
    size_t in_flight;                /* scrapes */
    struct event *idle_trim_timer;   /* started by the last scrape in flight */
    struct event *summary_timer;     /* started by the first scrape after a summary: no wake-ups while idle */
    void (*on_idle)(void *ctx);      /* the last scrape in flight has ended */
    void *on_idle_ctx;
};

/* 0: until proxy_context_deinit() it borrows base and rejections, with the latter's log and telemetry. -ENOMEM. */
int proxy_context_init(struct proxy_context *proxy, struct event_base *base, struct rejection_log *rejections,
                       void (*on_idle)(void *ctx), void *on_idle_ctx);

/* Applies another configuration. Scrapes in flight keep theirs. */
void proxy_context_set_config(struct proxy_context *proxy, struct config *config);

/* A scrape starts, or is over. */
void proxy_context_scrape_started(struct proxy_context *proxy);
void proxy_context_scrape_over(struct proxy_context *proxy);

/* After the last scrape is over. A zeroed one is fine. */
void proxy_context_deinit(struct proxy_context *proxy);

#endif
