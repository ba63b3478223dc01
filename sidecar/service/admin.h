/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ADMIN_H
#define SERVICE_ADMIN_H
/* The listener for those who operate: health, readiness, reload, our own metrics. */
#include "http.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct evhttp;
struct telemetry;

/* What the program behind it can tell and do. */
struct admin_hooks {
    /* Whether scrapes are taken; never whether the service answers them: that must not decide over the Pod. */
    bool (*is_ready)(void *ctx);
    /* Reads the configuration anew. True, or why not in words of at most size bytes with their NUL. */
    bool (*reload)(void *ctx, char *why, size_t size);
    /* Brings telemetry up to date, and gives it. */
    const struct telemetry *(*telemetry)(void *ctx);
    void *ctx;
};

struct admin {
    struct evhttp *http;
    struct http_handler handler;
    struct admin_hooks hooks;
};

/* 0: the admin is the caller's. -ENOMEM. */
int admin_init(struct admin *admin, struct event_base *base, const struct admin_hooks *hooks);

void admin_deinit(struct admin *admin);

#endif
