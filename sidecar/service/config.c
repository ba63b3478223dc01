/* SPDX-License-Identifier: Apache-2.0 */
#include "config_build.h"

#include "door.h"
#include "secrets.h"
#include "utf8.h"
#include "values.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The flags. */

/* Assigns a flag's value to an endpoint, or, where that is NULL, to the program. */
static void
take_flag_value(struct builder *b, const struct setting *s, struct endpoint *e, const struct config_flag_value *flag)
{
    struct origin *origin = e ? &b->endpoints[e - b->config->endpoints] : &b->globals;
    origin->settings[s - settings] = b->place;
    builder_assign(b, s, e ? (void *)e : b->config, flag->value);
}

static void
take_upstream_flag(struct builder *b, const struct config_flag_value *flag)
{
    struct config *c = b->config;
    if (c->n_endpoints > 1) {
        builder_mistake(b, "the file has %zu endpoints; --set endpoint.NAME.upstream=URL is right", c->n_endpoints);
        return;
    }
    struct endpoint *e = c->n_endpoints ? c->endpoints : builder_add_endpoint(b, "default");
    if (e)
        take_flag_value(b, builder_setting("endpoint", "upstream"), e, flag);
}

/* Whether a file could have the name too, in its [endpoint NAME]. */
static bool
is_endpoint_name(const char *name)
{
    size_t len = strlen(name);
    return len && len <= SECTION_MOST - strlen("endpoint ") && !strchr(" \t;", *name) && !strchr(name, ']') &&
           !strstr(name, " ;") && !strstr(name, "\t;") && utf8_is(name);
}

/* section.key or endpoint.NAME.key; a name may have dots in it. */
static void
take_flag(struct builder *b, const struct config_flag_value *flag)
{
    const char *setting = flag->setting, *dot = strchr(setting, '.'), *last = strrchr(setting, '.');
    char section[64], name[64];
    struct endpoint *e = NULL;

    if (!strcmp(setting, "upstream.url")) {
        take_upstream_flag(b, flag);
        return;
    }
    if (!dot || (size_t)(dot - setting) >= sizeof(section) || (size_t)(last - dot) >= sizeof(name)) {
        builder_mistake(b, "section.key=value or endpoint.NAME.key=value is right");
        return;
    }
    snprintf(section, sizeof(section), "%.*s", (int)(dot - setting), setting);
    bool of_endpoint = !strcmp(section, "endpoint");
    if (!builder_setting(section, NULL)) {
        builder_unknown_section(b, section);
        return;
    }
    if (of_endpoint ? last == dot : last != dot) {
        builder_mistake(b, "there is no setting %s; section.key or endpoint.NAME.key is right", setting);
        return;
    }
    const struct setting *s = builder_setting(section, last + 1);
    if (!s) {
        builder_unknown_key(b, of_endpoint ? "endpoint NAME" : section, section, last + 1);
        return;
    }
    if (of_endpoint) {
        snprintf(name, sizeof(name), "%.*s", (int)(last - dot - 1), dot + 1);
        e = builder_endpoint(b, name);
        if (!e && !is_endpoint_name(name)) {
            builder_mistake(b, "\"%s\" is no endpoint's name; at most 39 bytes of UTF-8 without ] are right", name);
            return;
        }
        if (!e && !(e = builder_add_endpoint(b, name)))
            return;
    }
    take_flag_value(b, s, e, flag);
}

static bool
has_control(const char *text)
{
    while (*text && (*text == '\t' || !iscntrl((unsigned char)*text)))
        text++;
    return *text;
}

static void
take_flags(struct builder *b, const struct config_flags *flags)
{
    memset(b->touched, 0, sizeof(b->touched));
    for (size_t i = 0; i < flags->n; i++) {
        const struct config_flag_value *flag = &flags->values[i];
        builder_place_nowhere(b);
        b->place.flag = flag->flag;
        if (has_control(flag->setting) || has_control(flag->value))
            builder_mistake(b, "there is a control character in it");
        else
            take_flag(b, flag);
    }
}

/* The whole. */

/* The host, in small letters, and the port of an http or https URL; NULL for want of memory. */
static char *
host_and_port(const char *url)
{
    const char *host = strstr(url, "://") + 3, *end = host + strcspn(host, "/?"), *ipv6_end;
    const char *port = strncmp(url, "https:", 6) ? ":80" : ":443";
    char *service;

    ipv6_end = memchr(host, ']', (size_t)(end - host));
    if (memchr(ipv6_end ? ipv6_end : host, ':', (size_t)(end - (ipv6_end ? ipv6_end : host))))
        port = "";
    if (asprintf(&service, "%.*s%s", (int)(end - host), host, port) < 0)
        return NULL;
    for (char *p = service; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return service;
}

/* Derives url, socket and service from an upstream that was found right. */
static void
resolve_upstream(struct builder *b, struct endpoint *e)
{
    const char *u = e->upstream, *colon = strchr(u + 5, ':');
    if (strncmp(u, "unix:", 5) != 0) {
        e->url = builder_copy(b, u);
        e->service = host_and_port(u);
        b->out_of_memory |= !e->service;
        return;
    }
    e->socket = strndup(u + 5, (size_t)(colon - u) - 5);
    e->service = strndup(u + 5, (size_t)(colon - u) - 5);
    if (asprintf(&e->url, "http://localhost%s", colon + 1) < 0)
        e->url = NULL;
    b->out_of_memory |= !e->socket || !e->service || !e->url;
}

static void
check_endpoint(struct builder *b, struct endpoint *e)
{
    builder_place_at(b, e, SETTING_ENDPOINT_upstream);
    if (!*e->upstream)
        builder_mistake(b, "upstream is missing; http://HOST:PORT/PATH is right");
    else if (!value_check_url(e->upstream))
        resolve_upstream(b, e);
    if (!b->for_bodies_only)
        check_upstream_files(b, e);
    builder_place_at(b, e, SETTING_ENDPOINT_path);
    for (struct endpoint *other = b->config->endpoints; other < e; other++)
        if (!strcmp(other->path, e->path))
            builder_mistake(b, "path %s is already that of [endpoint %s]", e->path, other->name);
    builder_place_at(b, e, SETTING_ENDPOINT_timeout);
    e->timeout_is_set = builder_is_given(b, e, SETTING_ENDPOINT_timeout);
    if (e->timeout < 1)
        builder_mistake(b, "timeout 0s leaves no time for a scrape; 10s is usual");
    builder_place_at(b, e, SETTING_ENDPOINT_timestamps);
    if (e->timestamps == TIMESTAMPS_SNAPSHOT && !e->max_age)
        builder_mistake(b, "timestamps = snapshot needs a max_age above 0s; without one every scrape is fresh");
    builder_place_at_either(b, e, SETTING_ENDPOINT_max_line, SETTING_ENDPOINT_max_body);
    if (e->max_line < 64 || e->max_line > e->max_body)
        builder_mistake(b, "max_line is to be from 64B to max_body");
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
    const struct texts *web = &b->config->web_listen;
    for (size_t i = 0; i < web->n; i++) {
        const char *address = web->items[i];
        bool twice = false;
        if (is_any_port(address))
            continue;
        for (size_t j = 0; j < i; j++)
            twice |= !strcmp(address, web->items[j]);
        builder_place_in(b, SETTING_web_listen, i, 0);
        if (twice)
            builder_mistake(b, "listen_address %s is there twice; once is right", address);
        builder_place_at_either(b, NULL, SETTING_admin_listen, SETTING_web_listen);
        if (!twice && !strcmp(address, b->config->admin_listen))
            builder_mistake(b, "listen_address %s of [admin] is already that of [web]", address);
    }
}

static void
check(struct builder *b)
{
    struct config *c = b->config;
    builder_place_nowhere(b);
    if (!c->n_endpoints && !b->for_bodies_only && !b->unread)
        builder_mistake(b, "there is no upstream; --upstream.url=URL or an [endpoint NAME] section is right");
    for (size_t i = 0; i < c->n_endpoints; i++)
        check_endpoint(b, &c->endpoints[i]);
    check_sharding(b);
    check_addresses(b);
    builder_place_at(b, NULL, SETTING_head_timeout);
    if (c->head_timeout < 1)
        builder_mistake(b, "head_timeout 0s leaves no time for a request; 10s is usual");
    if (!b->for_bodies_only)
        check_doors(b);
}

static void
builder_deinit(struct builder *b)
{
    for (size_t i = 0; i < SETTINGS; i++)
        free(b->lists[i].items);
    texts_clear(&b->lines);
    free(b->endpoints);
}

int
config_read(struct config **configp, const struct config_flags *flags, FILE *mistakes)
{
    struct builder b = {.mistakes = mistakes, .path = flags->file, .for_bodies_only = flags->for_bodies_only};

    b.config = calloc(1, sizeof(*b.config));
    if (!b.config)
        return -ENOMEM;
    b.config->references = 1;
    builder_assign_defaults(&b, b.config, false);
    if (flags->file)
        builder_read_file(&b);
    take_flags(&b, flags);
    if (!b.out_of_memory)
        check(&b);
    builder_deinit(&b);

    if (b.out_of_memory || b.n_mistakes) {
        config_unref(b.config);
        return b.out_of_memory ? -ENOMEM : flags->file && b.n_mistakes > b.n_of_flags ? 1 : 2;
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
            texts_clear(field);
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
        free(e->url);
        free(e->socket);
        free(e->service);
        free(e->connect_to);
        free(e->host);
        secret_free(e->authorization);
    }
    free(config->endpoints);
    door_unref(config->web_door);
    door_unref(config->admin_door);
    ss_sharding_free(config->sharding);
    ss_rules_free(config->rules);
    free_texts(config, false);
    free(config);
}

static bool
texts_equal(const struct texts *a, const struct texts *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

const char *
config_needs_restart(const struct config *before, const struct config *after)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
        const void *a = (const char *)before + s->offset, *b = (const char *)after + s->offset;
        if (s->reload)
            continue;
        if (s->type == TYPE_addresses ? !texts_equal(a, b)
            : s->type == TYPE_choice  ? *(const int *)a != *(const int *)b
                                      : strcmp(*(char *const *)a, *(char *const *)b) != 0)
            return s->name;
    }
    return NULL;
}

/* Swaps two fields of a type. */
static void
swap(enum type type, void *a, void *b)
{
    size_t size = type == TYPE_addresses ? sizeof(struct texts) : type == TYPE_choice ? sizeof(int) : sizeof(char *);
    char bytes[sizeof(struct texts)];
    memcpy(bytes, a, size);
    memcpy(a, b, size);
    memcpy(b, bytes, size);
}

void
config_succeed(struct config *after, struct config *before)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!s->reload)
            swap(s->type, (char *)before + s->offset, (char *)after + s->offset);
}
