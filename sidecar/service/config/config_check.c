/* SPDX-License-Identifier: Apache-2.0 */
/* Checks across settings, once all sources are read. */
#include "config_build.h"

#include "service/base/address.h"

#include <string.h>

/* A bad URL was reported where it was read. */
static void
resolve_upstream(struct builder *b, struct endpoint *e)
{
    const char *reason;
    b->out_of_memory |= url_read(&e->url, e->upstream, &reason) < 0;
}

static void
check_endpoint(struct builder *b, struct endpoint *e)
{
    builder_at(b, e, SETTING_ENDPOINT_upstream);
    if (!*e->upstream && builder_unknown_endpoint(b, e))
        return;
    if (!*e->upstream)
        builder_error(b, "missing upstream (expected e.g. upstream = http://HOST:PORT/PATH)");
    else
        resolve_upstream(b, e);
    if (!b->sharding_only)
        check_upstream_files(b, e);
    builder_at(b, e, SETTING_ENDPOINT_path);
    for (struct endpoint *other = b->config->endpoints; other < e; other++)
        if (!strcmp(other->path, e->path))
            builder_error(b, "path %s is already used by [endpoint %s]", e->path, other->name);
    builder_at(b, e, SETTING_ENDPOINT_timeout);
    e->timeout_is_set = builder_is_given(b, e, SETTING_ENDPOINT_timeout);
    if (e->timeout < 1)
        builder_error(b, "timeout must be above 0s (expected e.g. 10s)");
    builder_at(b, e, SETTING_ENDPOINT_timestamps);
    if (e->timestamps == TIMESTAMPS_SNAPSHOT && !e->max_age)
        builder_error(b, "timestamps = snapshot needs a max_age above 0s (without one nothing is cached)");
    builder_at_either(b, e, SETTING_ENDPOINT_max_line, SETTING_ENDPOINT_max_body);
    if (e->max_line < 64 || e->max_line > e->max_body)
        builder_error(b, "max_line is out of range (expected 64B to max_body)");
}

static void
check_addresses(struct builder *b)
{
    const struct string_list *web = &b->config->web_listen;
    for (size_t i = 0; i < web->n; i++) {
        const char *address = web->items[i];
        bool twice = false;
        if (address_has_any_port(address))
            continue;
        for (size_t j = 0; j < i; j++)
            twice |= !strcmp(address, web->items[j]);
        builder_at_value(b, SETTING_web_listen, i, 0);
        if (twice)
            builder_error(b, "duplicate listen_address %s", address);
        builder_at_either(b, NULL, SETTING_admin_listen, SETTING_web_listen);
        if (!twice && !strcmp(address, b->config->admin_listen))
            builder_error(b, "listen_address %s of [admin] is already used by [web]", address);
    }
}

void
check_config(struct builder *b)
{
    struct config *c = b->config;
    builder_at_nowhere(b);
    if (!c->n_endpoints && !b->sharding_only && !b->unread)
        builder_error(b, "no upstream (expected --upstream.url=URL or an [endpoint NAME] section)");
    for (size_t i = 0; i < c->n_endpoints; i++)
        check_endpoint(b, &c->endpoints[i]);
    check_sharding(b);
    check_addresses(b);
    builder_at(b, NULL, SETTING_head_timeout);
    if (c->head_timeout < 1)
        builder_error(b, "head_timeout must be above 0s (expected e.g. 10s)");
    if (!b->sharding_only)
        check_access_policies(b);
}
