/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "values.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum type {
    TYPE_text,
    TYPE_path,
    TYPE_url,
    TYPE_param,
    TYPE_address,
    TYPE_addresses,
    TYPE_duration,
    TYPE_bytes,
    TYPE_flag,
    TYPE_choice,
};

struct setting {
    const char *name;    /* section.key */
    const char *section; /* "endpoint" for those of every endpoint */
    const char *key;
    enum type type;
    size_t offset; /* in struct config or struct endpoint */
    const char *fallback, *choices;
    bool reload;
    const char *help;
};

static const struct setting settings[] = {
#define GLOBAL(section, key, type, field, fallback, choices, reload, help)                                             \
    {#section "." #key, #section, #key, TYPE_##type, offsetof(struct config, field), fallback, choices, reload, help},
#define ENDPOINT(key, type, field, fallback, choices, help)                                                            \
    {"endpoint." #key, "endpoint", #key, TYPE_##type, offsetof(struct endpoint, field), fallback, choices, true, help},
#include "config.def"
};

enum { SETTINGS = sizeof(settings) / sizeof(settings[0]), PLACE = 300 };

/*
 * Lines as Debian's inih takes them: at most 198 bytes with their LF, or it cuts them and hands on the head (its
 * INI_MAX_LINE is 200). The section name has 49.
 */
enum { LINE_MOST = 198, SECTION_MOST = 49 };

/* Where the settings of one object, the program or an endpoint, were given. */
struct origin {
    int section;                 /* its line in the file; 0: not there */
    int lines[SETTINGS];         /* in the file; 0: not there */
    const char *flags[SETTINGS]; /* above it, or NULL */
};

struct reader {
    struct config *config;
    struct origin globals, *endpoints; /* as many as the config has */
    FILE *mistakes;
    size_t n_mistakes;
    bool out_of_memory;

    /* of the file */
    FILE *file;
    const char *path;
    int line;
    char *text; /* the line in hand */
    size_t text_size;
    bool in_unknown_section;

    /* The values of this layer's lists replace those of the layer below: which lists were touched. */
    bool touched[SETTINGS];
    char place[PLACE]; /* of the value in hand */
};

__attribute__((format(printf, 2, 3))) static void
mistake(struct reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (*r->place)
        fprintf(r->mistakes, "%s: ", r->place);
    vfprintf(r->mistakes, format, args);
    fputc('\n', r->mistakes);
    va_end(args);
    r->n_mistakes++;
}

static char *
copy(struct reader *r, const char *text)
{
    char *s = strdup(text);
    if (!s)
        r->out_of_memory = true;
    return s;
}

/* Values. */

static void
texts_clear(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->items[i]);
    free(texts->items);
    *texts = (struct texts){NULL, 0};
}

static void
texts_add(struct reader *r, struct texts *texts, const char *value)
{
    char **items = realloc(texts->items, (texts->n + 1) * sizeof(*items));
    if (!items) {
        r->out_of_memory = true;
        return;
    }
    texts->items = items;
    if ((items[texts->n] = copy(r, value)))
        texts->n++;
}

/* Whether a type's values are kept as they were written. */
static bool
is_text(enum type type)
{
    return type <= TYPE_address;
}

/* Puts a value where its setting says, in a config or an endpoint. */
static void
assign(struct reader *r, const struct setting *s, void *object, const char *value)
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
        if (!r->touched[s - settings])
            texts_clear(field);
        r->touched[s - settings] = true;
        texts_add(r, field, value);
    } else if (is_text(s->type)) {
        free(*(char **)field);
        *(char **)field = copy(r, value);
    }
    if (wrong)
        /* Credentials in a URL are wrong, and not to be repeated. */
        mistake(r, "%s: \"%s\" %s%s%s", s->name, s->type == TYPE_url && strchr(value, '@') ? "..." : value, wrong,
                s->choices ? ": " : "", s->choices ? s->choices : "");
}

static const struct setting *
find_setting(const char *section, const char *key)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, section) && (!key || !strcmp(s->key, key)))
            return s;
    return NULL;
}

/* Endpoints. */

static struct endpoint *
find_endpoint(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!strcmp(config->endpoints[i].name, name))
            return &config->endpoints[i];
    return NULL;
}

static struct endpoint *
add_endpoint(struct reader *r, const char *name)
{
    struct config *c = r->config;
    struct endpoint *endpoints = realloc(c->endpoints, (c->n_endpoints + 1) * sizeof(*endpoints));
    if (endpoints)
        c->endpoints = endpoints;
    struct origin *origins = realloc(r->endpoints, (c->n_endpoints + 1) * sizeof(*origins));
    if (origins)
        r->endpoints = origins;
    char *own = copy(r, name);
    if (!endpoints || !origins || !own) {
        free(own);
        r->out_of_memory = true;
        return NULL;
    }

    struct endpoint *e = &c->endpoints[c->n_endpoints];
    r->endpoints[c->n_endpoints++] = (struct origin){0};
    *e = (struct endpoint){.name = own};
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, "endpoint"))
            assign(r, s, e, s->fallback);
    return e;
}

/* The name in a section's "endpoint NAME"; NULL if it is none. */
static const char *
endpoint_name(const char *section)
{
    if (strncmp(section, "endpoint", 8) || (section[8] && section[8] != ' ' && section[8] != '\t'))
        return NULL;
    section += 8;
    return section + strspn(section, " \t");
}

/* The file. */

/* What is wrong with a line that inih would cut, misread or call only by the first one's number; NULL if nothing is. */
static const char *
line_mistake(const char *text, size_t len)
{
    if (strlen(text) != len)
        return "there is a NUL byte in the line";
    if (len > LINE_MOST)
        return "the line is longer than 198 bytes; a list may be several lines with the same key";
    if (*text == '[' && !strchr(text, ']'))
        return "the section's name has no end; [section] is right";
    if (*text == '[' && strcspn(text, "]") > SECTION_MOST)
        return "the section's name is longer than 48 bytes";
    if (*text && !strchr("[;#\r\n", *text) && !strpbrk(text, "=:"))
        return "the line is neither [section] nor key = value";
    return NULL;
}

/* Takes note of a section's beginning: inih tells only of those with a key in them. */
static void
begin_section(struct reader *r, const char *text)
{
    char section[SECTION_MOST + 1];
    snprintf(section, sizeof(section), "%.*s", (int)strcspn(text, "]"), text);

    const char *name = endpoint_name(section);
    r->in_unknown_section = !find_setting(name ? "endpoint" : section, NULL) || (name && !*name);
    if (name && !*name) {
        mistake(r, "an endpoint needs a name; [endpoint NAME] is right");
    } else if (r->in_unknown_section) {
        mistake(r, "there is no section [%s]; [web] [admin] [endpoint NAME] [sharding] [log] are right", section);
    } else if (name) {
        struct endpoint *e = find_endpoint(r->config, name);
        if (!e)
            e = add_endpoint(r, name);
        if (e)
            r->endpoints[e - r->config->endpoints].section = r->line;
    }
}

/* Reads as fgets() does for inih; a bad line is reported and left away, and so are leading blanks, which would make the
   line go on with the one before. */
static char *
read_line(char *out, int size, void *stream)
{
    struct reader *r = stream;
    ssize_t n = getline(&r->text, &r->text_size, r->file);
    if (n < 0)
        return NULL;
    r->line++;
    snprintf(r->place, sizeof(r->place), "%s:%d", r->path, r->line);

    size_t skip = r->line == 1 && !strncmp(r->text, "\xef\xbb\xbf", 3) ? 3 : 0;
    skip += strspn(r->text + skip, " \t");
    const char *text = r->text + skip, *wrong = line_mistake(text, (size_t)n - skip);
    if (wrong)
        mistake(r, "%s", wrong);
    else if (*text == '[')
        begin_section(r, text + 1);
    snprintf(out, (size_t)size, "%s", wrong ? "\n" : text);
    return out;
}

static int
take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reader *r = user;
    const char *name = endpoint_name(section);
    void *object = r->config;
    struct origin *origin = &r->globals;

    if (r->in_unknown_section || r->out_of_memory)
        return 1;
    if (!*section) {
        mistake(r, "the key %s stands in no section", key);
        return 1;
    }
    const struct setting *s = find_setting(name ? "endpoint" : section, key);
    if (!s) {
        mistake(r, "there is no key %s in [%s]", key, section);
        return 1;
    }
    if (name) {
        struct endpoint *e = find_endpoint(r->config, name);
        object = e;
        origin = &r->endpoints[e - r->config->endpoints];
    }

    int *line = &origin->lines[s - settings];
    if (*line && s->type != TYPE_addresses) {
        mistake(r, "%s is given twice, before in line %d; once is right", key, *line);
        return 1;
    }
    *line = r->line;
    assign(r, s, object, value);
    return 1;
}

static void
read_file(struct reader *r, const char *path)
{
    r->path = path;
    r->place[0] = 0;
    r->file = fopen(path, "r");
    if (!r->file) {
        mistake(r, "%s: %s", path, strerror(errno));
        return;
    }
    memset(r->touched, 0, sizeof(r->touched));
    if (ini_parse_stream(read_line, r, take_value, r) < 0)
        r->out_of_memory = true;
    r->place[0] = 0;
    if (ferror(r->file))
        mistake(r, "%s: %s", path, strerror(errno));
    fclose(r->file);
    free(r->text);
}

/* The flags. */

/* Assigns a flag's value to an endpoint, or, where that is NULL, to the program. */
static void
take_flag_value(struct reader *r, const struct setting *s, struct endpoint *e, const struct config_flag_value *flag)
{
    struct origin *origin = e ? &r->endpoints[e - r->config->endpoints] : &r->globals;
    origin->flags[s - settings] = flag->flag;
    assign(r, s, e ? (void *)e : r->config, flag->value);
}

static void
take_upstream_flag(struct reader *r, const struct config_flag_value *flag)
{
    struct config *c = r->config;
    if (c->n_endpoints > 1) {
        mistake(r, "the file has %zu endpoints; --set endpoint.NAME.upstream=URL is right", c->n_endpoints);
        return;
    }
    struct endpoint *e = c->n_endpoints ? c->endpoints : add_endpoint(r, "default");
    if (e)
        take_flag_value(r, find_setting("endpoint", "upstream"), e, flag);
}

/* section.key or endpoint.NAME.key; a name may have dots in it. */
static void
take_flag(struct reader *r, const struct config_flag_value *flag)
{
    const char *setting = flag->setting, *dot = strchr(setting, '.'), *last = strrchr(setting, '.');
    char section[64], name[64];
    struct endpoint *e = NULL;

    if (!strcmp(setting, "upstream.url")) {
        take_upstream_flag(r, flag);
        return;
    }
    if (!dot || (size_t)(dot - setting) >= sizeof(section) || (size_t)(last - dot) >= sizeof(name)) {
        mistake(r, "section.key=value or endpoint.NAME.key=value is right");
        return;
    }
    snprintf(section, sizeof(section), "%.*s", (int)(dot - setting), setting);
    const struct setting *s = find_setting(section, last + 1);
    bool of_endpoint = !strcmp(section, "endpoint");
    if (!s || (of_endpoint ? last == dot : last != dot)) {
        mistake(r, "there is no setting %s; section.key or endpoint.NAME.key is right", setting);
        return;
    }
    if (of_endpoint) {
        snprintf(name, sizeof(name), "%.*s", (int)(last - dot - 1), dot + 1);
        e = find_endpoint(r->config, name);
        if (!e && !(e = add_endpoint(r, name)))
            return;
    }
    take_flag_value(r, s, e, flag);
}

static void
take_flags(struct reader *r, const struct config_flags *flags)
{
    memset(r->touched, 0, sizeof(r->touched));
    for (size_t i = 0; i < flags->n; i++) {
        snprintf(r->place, sizeof(r->place), "%s", flags->values[i].flag);
        take_flag(r, &flags->values[i]);
    }
    r->place[0] = 0;
}

/* The whole. */

/* Puts a mistake where a setting was given, or where it would be: in its section. */
static void
place_at(struct reader *r, const struct endpoint *e, const char *key)
{
    const struct origin *o = e ? &r->endpoints[e - r->config->endpoints] : &r->globals;
    const struct setting *s = find_setting(e ? "endpoint" : "sharding", key);
    int line = o->lines[s - settings] ? o->lines[s - settings] : o->section;

    if (o->flags[s - settings])
        snprintf(r->place, sizeof(r->place), "%s", o->flags[s - settings]);
    else if (line)
        snprintf(r->place, sizeof(r->place), "%s:%d", r->path, line);
    else
        snprintf(r->place, sizeof(r->place), "[endpoint %s]", e ? e->name : "");
}

/* Derives url and socket from an upstream that was found right. */
static void
resolve_upstream(struct reader *r, struct endpoint *e)
{
    const char *u = e->upstream, *colon = strchr(u + 5, ':');
    if (strncmp(u, "unix:", 5) != 0) {
        e->url = copy(r, u);
        return;
    }
    e->socket = strndup(u + 5, (size_t)(colon - u) - 5);
    if (asprintf(&e->url, "http://localhost%s", colon + 1) < 0)
        e->url = NULL;
    r->out_of_memory |= !e->socket || !e->url;
}

static void
check_endpoint(struct reader *r, struct endpoint *e)
{
    place_at(r, e, "upstream");
    if (!*e->upstream)
        mistake(r, "upstream is missing; http://HOST:PORT/PATH is right");
    else if (!value_check_url(e->upstream))
        resolve_upstream(r, e);
    place_at(r, e, "path");
    for (struct endpoint *other = r->config->endpoints; other < e; other++)
        if (!strcmp(other->path, e->path))
            mistake(r, "path %s is already that of [endpoint %s]", e->path, other->name);
    place_at(r, e, "timeout");
    if (e->timeout < 1)
        mistake(r, "timeout 0s leaves no time for a scrape; 10s is usual");
    place_at(r, e, "max_age");
    if (e->max_age)
        mistake(r, "max_age above 0s cannot be had yet: every scrape is fresh and streamed");
    place_at(r, e, "max_line");
    if (e->max_line < 64 || e->max_line > e->max_body)
        mistake(r, "max_line is to be from 64B to max_body");
}

static void
check(struct reader *r)
{
    struct config *c = r->config;
    r->place[0] = 0;
    if (!c->n_endpoints)
        mistake(r, "there is no upstream; --upstream.url=URL or an [endpoint NAME] section is right");
    for (size_t i = 0; i < c->n_endpoints; i++)
        check_endpoint(r, &c->endpoints[i]);
    if (!strcmp(c->shard_param, c->shard_count_param)) {
        place_at(r, NULL, "shard_param");
        mistake(r, "shard_param and shard_count_param are the same; two different names are right");
    }
}

int
config_read(struct config **configp, const struct config_flags *flags, FILE *mistakes)
{
    struct reader r = {.mistakes = mistakes};

    r.config = calloc(1, sizeof(*r.config));
    if (!r.config)
        return -ENOMEM;
    r.config->references = 1;
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (strcmp(s->section, "endpoint") != 0)
            assign(&r, s, r.config, s->fallback);
    if (flags->file)
        read_file(&r, flags->file);
    take_flags(&r, flags);
    if (!r.out_of_memory)
        check(&r);
    free(r.endpoints);

    if (r.out_of_memory || r.n_mistakes) {
        config_unref(r.config);
        return r.out_of_memory ? -ENOMEM : 1;
    }
    *configp = r.config;
    return 0;
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
        if (is_text(s->type))
            free(*(char **)field);
        else if (s->type == TYPE_addresses)
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
    }
    free(config->endpoints);
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
        if (s->type == TYPE_addresses ? !texts_equal(a, b) : strcmp(*(char *const *)a, *(char *const *)b) != 0)
            return s->name;
    }
    return NULL;
}
