/* SPDX-License-Identifier: Apache-2.0 */
#include "config_build.h"

#include "config_value.h"
#include "service/access/networks.h"

#include <stdlib.h>
#include <string.h>

const struct setting settings[SETTINGS] = {
#define GLOBAL(section, key, type, field, default_value, choices, reload, help)                                        \
    {#section "." #key, #section, #key,   TYPE_##type, offsetof(struct config, field),                                 \
     default_value,     choices,  reload, help},
#define ENDPOINT(key, type, field, default_value, choices, help)                                                       \
    {"endpoint." #key, "endpoint", #key, TYPE_##type, offsetof(struct endpoint, field),                                \
     default_value,    choices,    true, help},
#include "config.def"
};

char *
builder_copy(struct builder *b, const char *text)
{
    char *s = strdup(text);
    if (!s)
        b->out_of_memory = true;
    return s;
}

/* Values. */

bool
builder_add(struct builder *b, struct string_list *list, char *text)
{
    bool added = string_list_add(list, text);
    b->out_of_memory |= !added;
    return added;
}

bool
setting_is_text(enum type type)
{
    return type <= TYPE_address;
}

bool
setting_is_list(enum type type)
{
    return type == TYPE_addresses || type == TYPE_labels || type == TYPE_patterns || type == TYPE_names ||
           type == TYPE_networks;
}

/* Appends value, which it takes over, to a global list and records where it was given. */
static void
list_take(struct builder *b, const struct setting *s, struct string_list *list, char *value)
{
    struct source_places *places = &b->lists[s - settings];
    struct source_place *items = realloc(places->items, (places->n + 1) * sizeof(*items));
    if (!items) {
        free(value);
        b->out_of_memory = true;
        return;
    }
    places->items = items;
    items[places->n] = b->at;
    places->n += builder_add(b, list, value);
}

/* Clears the values of the source that this one overrides, once per list. */
static void
list_begin(struct builder *b, const struct setting *s, struct string_list *list)
{
    if (!b->overridden[s - settings]) {
        string_list_clear(list);
        b->lists[s - settings].n = 0;
    }
    b->overridden[s - settings] = true;
}

/* Unquotes in place a text that starts with a quote; "" inside means ". Returns what follows, or NULL if unterminated.
 */
static char *
unquote(char *text)
{
    char *from = text + 1;
    for (; *from && (*from != '"' || from[1] == '"'); from++) {
        from += *from == '"';
        *text++ = *from;
    }
    if (!*from)
        return NULL;
    *text = 0;
    return from + 1;
}

static const char badly_quoted[] =
    "unterminated or misplaced double quotes (expected \"VALUE\", with \"\" for a quote inside)";

/* An error message must not reveal a secret, in whatever setting it is. */
static void
refuse(struct builder *b, const struct setting *s, const char *value, const char *wrong)
{
    char *shown = builder_copy(b, value);
    if (!shown)
        return;
    url_mask(shown);
    builder_error(b, "%s: \"%s\" %s%s%s%s", s->name, shown, wrong, s->choices ? " (expected " : "",
                  s->choices ? s->choices : "", s->choices ? ")" : "");
    free(shown);
}

/* Parses, and overwrites, the first label of a comma-separated list. Returns the rest after the comma, or NULL. */
static char *
read_label(struct builder *b, const struct setting *s, struct string_list *list, char *text)
{
    bool quoted = *text == '"';
    char *end = quoted ? unquote(text) : text + strcspn(text, ",");
    char *next = end ? end + strspn(end, " \t") : NULL;

    if (!next || (*next && *next != ',')) {
        builder_error(b, "%s: %s", s->name, badly_quoted);
        return NULL;
    }
    next = *next ? next + 1 : NULL;
    if (!quoted) {
        while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        *end = 0;
    }
    const char *wrong = quoted && *text ? NULL : value_check_label(text);
    if (wrong)
        refuse(b, s, text, wrong);
    else
        list_take(b, s, list, builder_copy(b, text));
    return next;
}

/* Each label has its own place for errors. */
static void
read_labels(struct builder *b, const struct setting *s, struct string_list *list, char *text)
{
    struct source_place place = b->at;
    for (char *label = text; label;) {
        label += strspn(label, " \t");
        b->at.column = place.column + (size_t)(label - text);
        label = read_label(b, s, list, label);
    }
    b->at = place;
}

/* Parses a value into its field; for texts, only checks it. Returns what is wrong, or NULL. */
static const char *
read_value(const struct setting *s, void *field, const char *value, bool quoted)
{
    switch (s->type) {
    case TYPE_text:
    case TYPE_labels:
    case TYPE_patterns:
        break;
    case TYPE_file:
    case TYPE_names:
        return *value ? NULL : "must not be empty (use off, or any for a list)";
    case TYPE_networks:
        return strcmp(value, "any") ? network_read(NULL, value) : NULL;
    case TYPE_path:
        return value_check_path(value);
    case TYPE_url:
        return *value ? value_check_url(value) : NULL;
    case TYPE_param:
        return value_check_param(value);
    case TYPE_host:
        return strcmp(value, "off") ? value_check_host(value) : NULL;
    case TYPE_separator:
        return *value || quoted
                   ? NULL
                   : "is empty, since \" ;\" starts a comment (expected \";\" in double quotes, or \"\" for none)";
    case TYPE_address:
        return strcmp(value, "off") ? value_check_address(value) : NULL;
    case TYPE_addresses:
        return value_check_address(value);
    case TYPE_duration:
        return value_read_duration(field, value);
    case TYPE_keepalive:
        return value_read_keepalive(field, value);
    case TYPE_bytes:
        return value_read_bytes(field, value);
    case TYPE_count:
        return value_read_count(field, value);
    case TYPE_shards:
        return value_read_shards(field, value, s->default_value);
    case TYPE_flag:
        return value_read_flag(field, value);
    case TYPE_choice:
        return value_read_choice(field, value, s->choices);
    }
    return NULL;
}

/* Stores an unquoted value, which it takes over. */
static void
take_value(struct builder *b, const struct setting *s, void *field, char *value, bool quoted)
{
    const char *wrong = read_value(s, field, value, quoted);
    if (wrong)
        refuse(b, s, value, wrong);
    if (s->type == TYPE_labels) {
        read_labels(b, s, field, value);
    } else if (setting_is_list(s->type)) {
        list_take(b, s, field, value);
        return;
    } else if (setting_is_text(s->type)) {
        char *before = *(char **)field;
        *(char **)field = value;
        value = before;
    }
    free(value);
}

void
builder_assign(struct builder *b, const struct setting *s, void *object, const char *value)
{
    void *field = (char *)object + s->offset;
    bool quoted = *value == '"' && s->type != TYPE_labels;
    char *text = s->type == TYPE_url ? url_expand(value) : builder_copy(b, value);

    if (!text) {
        b->out_of_memory = true;
        return;
    }
    if (setting_is_list(s->type))
        list_begin(b, s, field);
    const char *end = quoted ? unquote(text) : "";
    if (!end || *end) {
        builder_error(b, "%s: %s", s->name, badly_quoted);
        free(text);
        return;
    }
    take_value(b, s, field, text, quoted);
}

void
builder_assign_defaults(struct builder *b, void *object, bool of_endpoint)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, "endpoint") == of_endpoint && (*s->default_value || !setting_is_list(s->type)))
            builder_assign(b, s, object, s->default_value);
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
    struct source_map *maps = realloc(b->endpoints, (c->n_endpoints + 1) * sizeof(*maps));
    if (maps)
        b->endpoints = maps;
    char *own = builder_copy(b, name);
    if (!endpoints || !maps || !own) {
        free(own);
        b->out_of_memory = true;
        return NULL;
    }

    struct endpoint *e = &c->endpoints[c->n_endpoints];
    b->endpoints[c->n_endpoints++] = (struct source_map){0};
    *e = (struct endpoint){.name = own};
    builder_assign_defaults(b, e, true);
    return e;
}
