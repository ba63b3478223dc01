/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ADMIN_H
#define SERVICE_ADMIN_H
/* The listener for those who operate: health, readiness, reload, our own metrics, the shard page. */
#include "service/http/http.h"

#include <stdbool.h>
#include <stddef.h>

struct config;
struct event_base;
struct config;
struct evhttp;
struct telemetry;
struct http;
struct rejection_log;

/* What the program behind it can tell and do. */
struct admin_hooks {
    /* Whether scrapes are taken; never whether the service answers them: that must not decide over the Pod. */
    bool (*is_ready)(void *ctx);
    /* Whether a reload may be asked for now, which is counted: 0; or in how many seconds. */
    unsigned (*ask_reload)(void *ctx);
    /* Reads the configuration again. True, or why not in words of at most size bytes with their NUL. */
    bool (*reload)(void *ctx, char *why, size_t size);
    /* The configuration in force. */
    const struct config *(*config)(void *ctx);
    /* Brings telemetry up to date, and gives it. */
    const struct telemetry *(*telemetry)(void *ctx);
    void *ctx;
};

struct admin {
    struct http *http;
    struct http_handler handler;
    struct admin_hooks hooks;
};

/* 0: the admin is the caller's; it borrows limits. -ENOMEM. */
int admin_init(struct admin *admin, struct event_base *base, struct rejection_log *rejections,
               const struct admin_hooks *hooks);

/* Puts another configuration in force. */
void admin_set_config(struct admin *admin, const struct config *config);

void admin_deinit(struct admin *admin);

#endif
