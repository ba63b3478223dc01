/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum type { TYPE_text, TYPE_texts, TYPE_duration, TYPE_bytes, TYPE_flag, TYPE_choice };

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

/* Where an endpoint's settings were given, beside it. */
struct origin {
    int lines[SETTINGS]; /* in the file; 0: not there */
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

struct unit {
    const char *name;
    uint64_t scale;
};

/* The longest unit that text begins with. */
static const struct unit *
unit_at(const char *text, const struct unit *units)
{
    const struct unit *best = NULL;
    for (; units->name; units++)
        if (!strncmp(text, units->name, strlen(units->name)) && (!best || strlen(units->name) > strlen(best->name)))
            best = units;
    return best;
}

/* Reads numbers with units, one behind the other: "1m30s". */
static bool
read_scaled(const char *value, const struct unit *units, uint64_t most, uint64_t *out)
{
    uint64_t sum = 0;
    do {
        char *end;
        if (!isdigit((unsigned char)*value))
            return false;
        errno = 0;
        unsigned long long n = strtoull(value, &end, 10);
        const struct unit *unit = unit_at(end, units);
        if (errno || !unit || n > (most - sum) / unit->scale)
            return false;
        sum += n * unit->scale;
        value = end + strlen(unit->name);
    } while (*value);
    *out = sum;
    return true;
}

static const char *
set_duration(config_duration *field, const char *value)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    uint64_t ms;
    if (!strcmp(value, "0"))
        value = "0s";
    if (!read_scaled(value, units, INT32_MAX, &ms))
        return "is no duration; a number with ms, s, m or h is right, as in 10s or 1m30s";
    *field = (config_duration)ms;
    return NULL;
}

static const char *
set_bytes(config_bytes *field, const char *value)
{
    static const struct unit units[] = {{"", 1},           {"B", 1},           {"kB", 1000},      {"KB", 1000},
                                        {"MB", 1000000},   {"GB", 1000000000}, {"KiB", 1u << 10}, {"MiB", 1u << 20},
                                        {"GiB", 1u << 30}, {NULL, 0}};
    if (!read_scaled(value, units, INT64_MAX, field))
        return "is no size; a number with B, KiB, MiB or GiB is right, as in 256MiB";
    return NULL;
}

static const char *
set_flag(config_flag *field, const char *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(value, words[i])) {
            *field = i % 2;
            return NULL;
        }
    }
    return "is no switch; true or false is right";
}

static const char *
set_choice(config_choice *field, const char *value, const char *choices)
{
    size_t len = strlen(value);
    for (int i = 0;; i++) {
        size_t n = strcspn(choices, "|");
        if (n == len && !strncmp(value, choices, n)) {
            *field = i;
            return NULL;
        }
        choices += n;
        if (!*choices++)
            return "is not among the choices";
    }
}

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

/* Puts a value where its setting says, in a config or an endpoint. */
static void
assign(struct reader *r, const struct setting *s, void *object, const char *value)
{
    void *field = (char *)object + s->offset;
    const char *wrong = NULL;

    switch (s->type) {
    case TYPE_text:
        free(*(config_text *)field);
        *(config_text *)field = copy(r, value);
        break;
    case TYPE_texts:
        if (!r->touched[s - settings])
            texts_clear(field);
        r->touched[s - settings] = true;
        texts_add(r, field, value);
        break;
    case TYPE_duration:
        wrong = set_duration(field, value);
        break;
    case TYPE_bytes:
        wrong = set_bytes(field, value);
        break;
    case TYPE_flag:
        wrong = set_flag(field, value);
        break;
    case TYPE_choice:
        wrong = set_choice(field, value, s->choices);
        break;
    }
    if (wrong)
        mistake(r, "%s: \"%s\" %s%s%s", s->name, value, wrong, s->choices ? ": " : "", s->choices ? s->choices : "");
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
    r->endpoints[c->n_endpoints++] = (struct origin){{0}};
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

    size_t blanks = strspn(r->text, " \t"), len = (size_t)n - blanks;
    const char *text = r->text + blanks, *wrong = line_mistake(text, len);
    if (wrong)
        mistake(r, "%s", wrong);
    snprintf(out, (size_t)size, "%s", wrong ? "\n" : text);
    return out;
}

static int
take_value(void *user, const char *section, const char *key, const char *value)
{
    struct reader *r = user;
    const char *name = endpoint_name(section);
    const struct setting *s = find_setting(name ? "endpoint" : section, NULL);
    void *object = r->config;
    struct origin *origin = &r->globals;

    if (!s) {
        mistake(r, "there is no section [%s]; [web] [admin] [endpoint NAME] [sharding] [log] are right", section);
        return 1;
    }
    s = find_setting(s->section, key);
    if (!s) {
        mistake(r, "there is no key %s in [%s]", key, section);
        return 1;
    }
    if (name) {
        if (!*name) {
            mistake(r, "an endpoint needs a name; [endpoint NAME] is right");
            return 1;
        }
        struct endpoint *e = find_endpoint(r->config, name);
        if (!e && !(e = add_endpoint(r, name)))
            return 1;
        object = e;
        origin = &r->endpoints[e - r->config->endpoints];
    }

    int *line = &origin->lines[s - settings];
    if (*line && s->type != TYPE_texts) {
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

static void
take_upstream_flag(struct reader *r, const char *value)
{
    struct config *c = r->config;
    if (c->n_endpoints > 1) {
        mistake(r, "the file has %zu endpoints; --set endpoint.NAME.upstream=URL is right", c->n_endpoints);
        return;
    }
    struct endpoint *e = c->n_endpoints ? c->endpoints : add_endpoint(r, "default");
    if (e)
        assign(r, find_setting("endpoint", "upstream"), e, value);
}

/* section.key or endpoint.NAME.key; a name may have dots in it. */
static void
take_flag(struct reader *r, const char *setting, const char *value)
{
    const char *dot = strchr(setting, '.'), *last = strrchr(setting, '.');
    char section[64], name[64];
    void *object = r->config;

    if (!strcmp(setting, "upstream.url")) {
        take_upstream_flag(r, value);
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
        object = find_endpoint(r->config, name);
        if (!object && !(object = add_endpoint(r, name)))
            return;
    }
    assign(r, s, object, value);
}

static void
take_flags(struct reader *r, const struct config_flags *flags)
{
    memset(r->touched, 0, sizeof(r->touched));
    for (size_t i = 0; i < flags->n; i++) {
        snprintf(r->place, sizeof(r->place), "%s", flags->values[i].flag);
        take_flag(r, flags->values[i].setting, flags->values[i].value);
    }
    r->place[0] = 0;
}

/* The whole. */

/* Derives url and socket from upstream. */
static void
resolve_upstream(struct reader *r, struct endpoint *e)
{
    const char *u = e->upstream;
    if (!strncmp(u, "unix:", 5)) {
        const char *colon = strchr(u + 5, ':');
        if (u[5] != '/' || !colon || colon[1] != '/') {
            mistake(r, "upstream \"%s\" names no socket and path; unix:/SOCKET:/PATH is right", u);
            return;
        }
        e->socket = strndup(u + 5, (size_t)(colon - u) - 5);
        if (asprintf(&e->url, "http://localhost%s", colon + 1) < 0)
            e->url = NULL;
        r->out_of_memory |= !e->socket || !e->url;
        return;
    }
    size_t scheme = !strncmp(u, "http://", 7) ? 7 : !strncmp(u, "https://", 8) ? 8 : 0;
    size_t host = strcspn(u + scheme, "/?#");
    if (!scheme || !host || strpbrk(u, " \t\"<>#")) {
        mistake(r, "upstream \"%s\" is no URL; http://HOST:PORT/PATH, https:// or unix:/SOCKET:/PATH is right", u);
        return;
    }
    if (memchr(u + scheme, '@', host)) {
        mistake(r, "upstream: credentials do not belong in a URL, where logs show them");
        return;
    }
    e->url = copy(r, u);
}

static bool
is_param_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
            return false;
    return *name;
}

static void
check_endpoint(struct reader *r, struct endpoint *e)
{
    snprintf(r->place, sizeof(r->place), "[endpoint %s]", e->name);
    if (!*e->upstream)
        mistake(r, "upstream is missing; http://HOST:PORT/PATH is right");
    else
        resolve_upstream(r, e);
    if (e->path[0] != '/' || strpbrk(e->path, " ?#"))
        mistake(r, "path \"%s\" is no path; one that begins with / is right, as in /metrics", e->path);
    for (struct endpoint *other = r->config->endpoints; other < e; other++)
        if (!strcmp(other->path, e->path))
            mistake(r, "path %s is already that of [endpoint %s]", e->path, other->name);
    if (e->timeout < 1)
        mistake(r, "timeout 0s leaves no time for a scrape; 10s is usual");
    if (e->max_age)
        mistake(r, "max_age above 0s cannot be had yet: every scrape is fresh and streamed");
    if (e->max_line < 64 || e->max_line > e->max_body)
        mistake(r, "max_line is to be from 64B to max_body");
}

static void
check(struct reader *r)
{
    struct config *c = r->config;
    if (!c->n_endpoints)
        mistake(r, "there is no upstream; --upstream.url=URL or an [endpoint NAME] section is right");
    for (size_t i = 0; i < c->n_endpoints; i++)
        check_endpoint(r, &c->endpoints[i]);
    snprintf(r->place, sizeof(r->place), "[sharding]");
    if (!is_param_name(c->shard_param) || !is_param_name(c->shard_count_param) ||
        !strcmp(c->shard_param, c->shard_count_param))
        mistake(r, "shard_param and shard_count_param are to be two different names of letters, digits, _ - .");
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
        if (s->type == TYPE_text)
            free(*(config_text *)field);
        else if (s->type == TYPE_texts)
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
        if (s->type == TYPE_texts ? !texts_equal(a, b) : strcmp(*(char *const *)a, *(char *const *)b) != 0)
            return s->name;
    }
    return NULL;
}
