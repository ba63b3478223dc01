/* SPDX-License-Identifier: Apache-2.0 */
/* The assignments of the command line, which override the file. */
#include "config_build.h"

#include "service/base/utf8.h"

#include <scrapeshard/span.h>

#include <ctype.h>
#include <string.h>

/* e: NULL for a global setting. */
static void
assign_flag(struct builder *b, const struct setting *s, struct endpoint *e, const struct config_flag_value *flag)
{
    struct source_map *map = e ? &b->endpoints[e - b->config->endpoints] : &b->globals;
    map->settings[s - settings] = b->at;
    builder_assign(b, s, e ? (void *)e : b->config, flag->value);
}

/* --upstream.url applies to the only endpoint of the file, which is the first, or to that of the flags. */
static void
take_upstream_flag(struct builder *b, size_t n_in_file, const struct config_flag_value *flag)
{
    struct config *c = b->config;
    if (n_in_file > 1)
        builder_error(b, "the file has %zu endpoints (expected --set endpoint.NAME.upstream=URL)", n_in_file);
    else if (c->n_endpoints)
        assign_flag(b, builder_setting("endpoint", "upstream"), c->endpoints, flag);
}

/* Whether a file could also have this name, in [endpoint NAME]. */
static bool
is_endpoint_name(const char *name)
{
    size_t len = strlen(name);
    return len && len <= SECTION_MAX - strlen("endpoint ") && !strchr(" \t;", *name) && !strchr(name, ']') &&
           !strstr(name, " ;") && !strstr(name, "\t;") && utf8_is(name);
}

/* The NAME in endpoint.NAME.key, which may contain dots; empty for other settings. */
static struct ss_span
endpoint_of(const char *setting)
{
    static const char prefix[] = "endpoint.";
    if (strncmp(setting, prefix, strlen(prefix)) != 0)
        return (struct ss_span){"", 0};
    const char *name = setting + strlen(prefix), *last = strrchr(setting, '.');
    return last < name ? (struct ss_span){"", 0} : (struct ss_span){name, (size_t)(last - name)};
}

static bool
is_same(struct ss_span a, struct ss_span b)
{
    return a.len == b.len && !memcmp(a.ptr, b.ptr, a.len);
}

/* Whether one of the flags is endpoint.NAME.upstream. */
static bool
have_upstream(const struct config_flags *flags, struct ss_span name)
{
    for (size_t i = 0; i < flags->n; i++) {
        struct ss_span other = endpoint_of(flags->values[i].setting);
        if (is_same(other, name) && !strcmp(other.ptr + other.len, ".upstream"))
            return true;
    }
    return false;
}

/* Adds the endpoint of --upstream.url. Its name is the only one that other flags use without giving it an upstream of
   its own; otherwise "default". */
static void
add_upstream_endpoint(struct builder *b, const struct config_flags *flags)
{
    struct ss_span only = {"", 0};
    char name[64] = "default";
    bool wanted = false, several = false;

    for (size_t i = 0; i < flags->n; i++) {
        struct ss_span other = endpoint_of(flags->values[i].setting);
        wanted |= !strcmp(flags->values[i].setting, "upstream.url");
        if (!other.len || have_upstream(flags, other))
            continue;
        several |= only.len && !is_same(only, other);
        only = other;
    }
    if (only.len && !several && only.len < sizeof(name))
        snprintf(name, sizeof(name), "%.*s", (int)only.len, only.ptr);
    if (wanted)
        builder_add_endpoint(b, is_endpoint_name(name) ? name : "default");
}

/* section.key or endpoint.NAME.key; NAME may contain dots. */
static void
take_flag(struct builder *b, const struct config_flag_value *flag)
{
    const char *setting = flag->setting, *dot = strchr(setting, '.'), *last = strrchr(setting, '.');
    char section[64], name[64];
    struct endpoint *e = NULL;

    if (!dot || (size_t)(dot - setting) >= sizeof(section) || (size_t)(last - dot) >= sizeof(name)) {
        builder_error(b, "expected section.key=value or endpoint.NAME.key=value");
        return;
    }
    snprintf(section, sizeof(section), "%.*s", (int)(dot - setting), setting);
    bool of_endpoint = !strcmp(section, "endpoint");
    if (!builder_setting(section, NULL)) {
        builder_unknown_section(b, section);
        return;
    }
    if (of_endpoint ? last == dot : last != dot) {
        builder_error(b, "unknown setting %s (expected section.key or endpoint.NAME.key)", setting);
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
            builder_error(b, "\"%s\" is not a valid endpoint name (expected at most 39 bytes of UTF-8 without ])",
                          name);
            return;
        }
        if (!e && !(e = builder_add_endpoint(b, name)))
            return;
    }
    assign_flag(b, s, e, flag);
}

static bool
has_control(const char *text)
{
    while (*text && (*text == '\t' || !iscntrl((unsigned char)*text)))
        text++;
    return *text;
}

void
builder_take_flags(struct builder *b, const struct config_flags *flags)
{
    size_t n_in_file = b->config->n_endpoints;
    memset(b->overridden, 0, sizeof(b->overridden));
    if (!n_in_file)
        add_upstream_endpoint(b, flags);
    for (size_t i = 0; i < flags->n; i++) {
        const struct config_flag_value *flag = &flags->values[i];
        builder_at_nowhere(b);
        b->at.flag = flag->flag;
        if (has_control(flag->setting) || has_control(flag->value))
            builder_error(b, "unexpected control character");
        else if (!strcmp(flag->setting, "upstream.url"))
            take_upstream_flag(b, n_in_file, flag);
        else
            take_flag(b, flag);
    }
}
