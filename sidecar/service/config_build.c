/* SPDX-License-Identifier: Apache-2.0 */
#include "config_build.h"

#include "values.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct setting settings[SETTINGS] = {
#define GLOBAL(section, key, type, field, fallback, choices, reload, help)                                             \
    {#section "." #key, #section, #key, TYPE_##type, offsetof(struct config, field), fallback, choices, reload, help},
#define ENDPOINT(key, type, field, fallback, choices, help)                                                            \
    {"endpoint." #key, "endpoint", #key, TYPE_##type, offsetof(struct endpoint, field), fallback, choices, true, help},
#include "config.def"
};

void
builder_mistake(struct builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (*b->place)
        fprintf(b->mistakes, "%s: ", b->place);
    vfprintf(b->mistakes, format, args);
    fputc('\n', b->mistakes);
    va_end(args);
    b->n_mistakes++;
}

char *
builder_copy(struct builder *b, const char *text)
{
    char *s = strdup(text);
    if (!s)
        b->out_of_memory = true;
    return s;
}

/* Values. */

void
texts_clear(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->items[i]);
    free(texts->items);
    *texts = (struct texts){NULL, 0};
}

static void
texts_add(struct builder *b, struct texts *texts, const char *value)
{
    char **items = realloc(texts->items, (texts->n + 1) * sizeof(*items));
    if (!items) {
        b->out_of_memory = true;
        return;
    }
    texts->items = items;
    if ((items[texts->n] = builder_copy(b, value)))
        texts->n++;
}

bool
setting_is_text(enum type type)
{
    return type <= TYPE_address;
}

void
builder_assign(struct builder *b, const struct setting *s, void *object, const char *value)
{
    void *field = (char *)object + s->offset;
    const char *wrong = NULL;

    switch (s->type) {
    case TYPE_text:
        break;
    case TYPE_path:
        wrong = value_check_path(value);
        break;
    case TYPE_url:
        wrong = *value ? value_check_url(value) : NULL;
        break;
    case TYPE_param:
        wrong = value_check_param(value);
        break;
    case TYPE_address:
    case TYPE_addresses:
        wrong = value_check_address(value);
        break;
    case TYPE_duration:
        wrong = value_read_duration(field, value);
        break;
    case TYPE_bytes:
        wrong = value_read_bytes(field, value);
        break;
    case TYPE_flag:
        wrong = value_read_flag(field, value);
        break;
    case TYPE_choice:
        wrong = value_read_choice(field, value, s->choices);
        break;
    }
    if (s->type == TYPE_addresses) {
        if (!b->touched[s - settings])
            texts_clear(field);
        b->touched[s - settings] = true;
        texts_add(b, field, value);
    } else if (setting_is_text(s->type)) {
        free(*(char **)field);
        *(char **)field = builder_copy(b, value);
    }
    if (wrong)
        /* Credentials in a URL are wrong, and not to be repeated. */
        builder_mistake(b, "%s: \"%s\" %s%s%s", s->name, s->type == TYPE_url && strchr(value, '@') ? "..." : value,
                        wrong, s->choices ? ": " : "", s->choices ? s->choices : "");
}

const struct setting *
builder_setting(const char *section, const char *key)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, section) && (!key || !strcmp(s->key, key)))
            return s;
    return NULL;
}

/* Endpoints. */

struct endpoint *
builder_endpoint(struct builder *b, const char *name)
{
    struct config *config = b->config;
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!strcmp(config->endpoints[i].name, name))
            return &config->endpoints[i];
    return NULL;
}

struct endpoint *
builder_add_endpoint(struct builder *b, const char *name)
{
    struct config *c = b->config;
    struct endpoint *endpoints = realloc(c->endpoints, (c->n_endpoints + 1) * sizeof(*endpoints));
    if (endpoints)
        c->endpoints = endpoints;
    struct origin *origins = realloc(b->endpoints, (c->n_endpoints + 1) * sizeof(*origins));
    if (origins)
        b->endpoints = origins;
    char *own = builder_copy(b, name);
    if (!endpoints || !origins || !own) {
        free(own);
        b->out_of_memory = true;
        return NULL;
    }

    struct endpoint *e = &c->endpoints[c->n_endpoints];
    b->endpoints[c->n_endpoints++] = (struct origin){0};
    *e = (struct endpoint){.name = own};
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, "endpoint"))
            builder_assign(b, s, e, s->fallback);
    return e;
}

void
builder_place_at(struct builder *b, const struct endpoint *e, const char *key)
{
    const struct origin *o = e ? &b->endpoints[e - b->config->endpoints] : &b->globals;
    const struct setting *s = builder_setting(e ? "endpoint" : "sharding", key);
    int line = o->lines[s - settings] ? o->lines[s - settings] : o->section;

    if (o->flags[s - settings])
        snprintf(b->place, sizeof(b->place), "%s", o->flags[s - settings]);
    else if (line)
        snprintf(b->place, sizeof(b->place), "%s:%d", b->path, line);
    else
        snprintf(b->place, sizeof(b->place), "[endpoint %s]", e ? e->name : "");
}
