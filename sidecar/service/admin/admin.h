/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_ADMIN_H
#define SERVICE_ADMIN_H
/* The administration listener: health, readiness, reload, our own metrics, the shard page. */
#include "service/http/http.h"

#include <stdbool.h>
#include <stddef.h>

struct config;
struct event_base;
struct telemetry;

/* What the program provides. */
struct admin_hooks {
    /* Whether scrapes are accepted. It does not depend on the upstream, which must not make the Pod unready. */
    bool (*is_ready)(void *ctx);
    /* Counts a request to reload. 0: it is allowed; or in how many seconds it will be. */
    unsigned (*admit_reload)(void *ctx);
    /* Reloads the configuration. False: why has the reason, NUL-terminated, in size bytes. */
    bool (*reload)(void *ctx, char *why, size_t size);
    /* The current configuration. */
    const struct config *(*config)(void *ctx);
    /* Updates telemetry and returns it. */
    const struct telemetry *(*telemetry)(void *ctx);
    void *ctx;
};

struct admin {
    struct http *http;
    struct http_handler handler;
    struct admin_hooks hooks;
};

/* 0: the admin is the caller's; it borrows rejections. -ENOMEM. */
int admin_init(struct admin *admin, struct event_base *base, struct rejection_log *rejections,
               const struct admin_hooks *hooks);

/* Applies another configuration. */
void admin_set_config(struct admin *admin, const struct config *config);

void admin_deinit(struct admin *admin);

#endif
