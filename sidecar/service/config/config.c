/* SPDX-License-Identifier: Apache-2.0 */
#include "config_build.h"

#include "config_value.h"
#include "service/access/access_policy.h"
#include "service/access/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A bad one has been told where it was read. */
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
        builder_error(b, "upstream is missing; http://HOST:PORT/PATH is right");
    else
        resolve_upstream(b, e);
    if (!b->sharding_only)
        check_upstream_files(b, e);
    builder_at(b, e, SETTING_ENDPOINT_path);
    for (struct endpoint *other = b->config->endpoints; other < e; other++)
        if (!strcmp(other->path, e->path))
            builder_error(b, "path %s is already that of [endpoint %s]", e->path, other->name);
    builder_at(b, e, SETTING_ENDPOINT_timeout);
    e->timeout_is_set = builder_is_given(b, e, SETTING_ENDPOINT_timeout);
    if (e->timeout < 1)
        builder_error(b, "timeout 0s leaves no time for a scrape; 10s is usual");
    builder_at(b, e, SETTING_ENDPOINT_timestamps);
    if (e->timestamps == TIMESTAMPS_SNAPSHOT && !e->max_age)
        builder_error(b, "timestamps = snapshot needs a max_age above 0s; without one every scrape is fresh");
    builder_at_either(b, e, SETTING_ENDPOINT_max_line, SETTING_ENDPOINT_max_body);
    if (e->max_line < 64 || e->max_line > e->max_body)
        builder_error(b, "max_line is to be from 64B to max_body");
}

/* Whether the kernel chooses a port, so that an address stands for as many as it is asked for. */
static bool
is_any_port(const char *address)
{
    const char *port = strrchr(address, ':');
    return port && strncmp(address, "unix:", 5) && strncmp(address, "systemd:", 8) && port[1] &&
           !port[1 + strspn(port + 1, "0")];
}

static void
check_addresses(struct builder *b)
{
    const struct string_list *web = &b->config->web_listen;
    for (size_t i = 0; i < web->n; i++) {
        const char *address = web->items[i];
        bool twice = false;
        if (is_any_port(address))
            continue;
        for (size_t j = 0; j < i; j++)
            twice |= !strcmp(address, web->items[j]);
        builder_at_value(b, SETTING_web_listen, i, 0);
        if (twice)
            builder_error(b, "listen_address %s is there twice; once is right", address);
        builder_at_either(b, NULL, SETTING_admin_listen, SETTING_web_listen);
        if (!twice && !strcmp(address, b->config->admin_listen))
            builder_error(b, "listen_address %s of [admin] is already that of [web]", address);
    }
}

static void
check(struct builder *b)
{
    struct config *c = b->config;
    builder_at_nowhere(b);
    if (!c->n_endpoints && !b->sharding_only && !b->unread)
        builder_error(b, "there is no upstream; --upstream.url=URL or an [endpoint NAME] section is right");
    for (size_t i = 0; i < c->n_endpoints; i++)
        check_endpoint(b, &c->endpoints[i]);
    check_sharding(b);
    check_addresses(b);
    builder_at(b, NULL, SETTING_head_timeout);
    if (c->head_timeout < 1)
        builder_error(b, "head_timeout 0s leaves no time for a request; 10s is usual");
    if (!b->sharding_only)
        check_access_policies(b);
}

/* Adds the files that an object, the program or an endpoint, names. */
static void
list_files(struct builder *b, const void *object, bool of_endpoint, struct string_list *files)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
        if (s->type != TYPE_file || !strcmp(s->section, "endpoint") != of_endpoint)
            continue;
        const char *file = *(char *const *)((const char *)object + s->offset);
        if (file && *file && strcmp(file, s->default_value) != 0)
            string_list_take(b, files, builder_copy(b, file));
    }
}

/* The list stays as it is if there is no memory. */
static void
list_all_files(struct builder *b, struct string_list *files)
{
    struct string_list list = {NULL, 0};
    if (b->path)
        string_list_take(b, &list, builder_copy(b, b->path));
    list_files(b, b->config, false, &list);
    for (size_t i = 0; i < b->config->n_endpoints; i++)
        list_files(b, &b->config->endpoints[i], true, &list);
    string_list_clear(b->out_of_memory ? &list : files);
    if (!b->out_of_memory)
        *files = list;
}

static void
builder_deinit(struct builder *b)
{
    for (size_t i = 0; i < SETTINGS; i++)
        free(b->lists[i].items);
    string_list_clear(&b->lines);
    free(b->endpoints);
}

int
config_read(struct config **configp, const struct config_flags *flags, FILE *mistakes)
{
    struct builder b = {.errors = mistakes, .path = flags->file, .sharding_only = flags->sharding_only};

    b.config = calloc(1, sizeof(*b.config));
    if (!b.config)
        return -ENOMEM;
    b.config->references = 1;
    builder_assign_defaults(&b, b.config, false);
    if (flags->file)
        builder_read_file(&b);
    builder_take_flags(&b, flags);
    if (flags->files)
        list_all_files(&b, flags->files);
    if (!b.out_of_memory)
        check(&b);
    builder_deinit(&b);

    if (b.out_of_memory || b.n_errors) {
        config_unref(b.config);
        return b.out_of_memory ? -ENOMEM : b.n_errors > b.n_of_flags ? 1 : 2;
    }
    *configp = b.config;
    return 0;
}

const struct endpoint *
config_endpoint(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!strcmp(config->endpoints[i].name, name))
            return &config->endpoints[i];
    return NULL;
}

struct config *
config_ref(struct config *config)
{
    config->references++;
    return config;
}

static void
free_texts(void *object, bool of_endpoint)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
        void *field = (char *)object + s->offset;
        if (!strcmp(s->section, "endpoint") != of_endpoint)
            continue;
        if (setting_is_text(s->type))
            free(*(char **)field);
        else if (setting_is_list(s->type))
            string_list_clear(field);
    }
}

void
config_unref(struct config *config)
{
    if (!config || --config->references)
        return;
    for (size_t i = 0; i < config->n_endpoints; i++) {
        struct endpoint *e = &config->endpoints[i];
        free_texts(e, true);
        free(e->name);
        url_deinit(&e->url);
        secret_free(e->authorization);
    }
    free(config->endpoints);
    access_policy_unref(config->web_access);
    access_policy_unref(config->admin_access);
    ss_sharding_free(config->sharding);
    ss_rules_free(config->rules);
    free_texts(config, false);
    free(config);
}
