/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line assigns, above the file. */
#include "config_build.h"

#include "service/base/utf8.h"

#include <scrapeshard/span.h>

#include <ctype.h>
#include <string.h>

/* Assigns a flag's value to an endpoint, or, where that is NULL, to the program. */
static void
take_flag_value(struct builder *b, const struct setting *s, struct endpoint *e, const struct config_flag_value *flag)
{
    struct source_map *origin = e ? &b->endpoints[e - b->config->endpoints] : &b->globals;
    origin->settings[s - settings] = b->at;
    builder_assign(b, s, e ? (void *)e : b->config, flag->value);
}

/* --upstream.url is for the only endpoint of the file, which stands first, or that of the flags. */
static void
take_upstream_flag(struct builder *b, size_t of_file, const struct config_flag_value *flag)
{
    struct config *c = b->config;
    if (of_file > 1)
        builder_error(b, "the file has %zu endpoints; --set endpoint.NAME.upstream=URL is right", of_file);
    else if (c->n_endpoints)
        take_flag_value(b, builder_setting("endpoint", "upstream"), c->endpoints, flag);
}

/* Whether a file could have the name too, in its [endpoint NAME]. */
static bool
is_endpoint_name(const char *name)
{
    size_t len = strlen(name);
    return len && len <= SECTION_MAX - strlen("endpoint ") && !strchr(" \t;", *name) && !strchr(name, ']') &&
           !strstr(name, " ;") && !strstr(name, "\t;") && utf8_is(name);
}

/* The NAME in endpoint.NAME.key, which may have dots in it; empty if a setting has none. */
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

/* Adds the endpoint of --upstream.url. It has the name that other flags have for it: the only one that is not given an
   upstream by a flag of its own; or else it is "default". */
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

/* section.key or endpoint.NAME.key; a name may have dots in it. */
static void
take_flag(struct builder *b, const struct config_flag_value *flag)
{
    const char *setting = flag->setting, *dot = strchr(setting, '.'), *last = strrchr(setting, '.');
    char section[64], name[64];
    struct endpoint *e = NULL;

    if (!dot || (size_t)(dot - setting) >= sizeof(section) || (size_t)(last - dot) >= sizeof(name)) {
        builder_error(b, "section.key=value or endpoint.NAME.key=value is right");
        return;
    }
    snprintf(section, sizeof(section), "%.*s", (int)(dot - setting), setting);
    bool of_endpoint = !strcmp(section, "endpoint");
    if (!builder_setting(section, NULL)) {
        builder_unknown_section(b, section);
        return;
    }
    if (of_endpoint ? last == dot : last != dot) {
        builder_error(b, "there is no setting %s; section.key or endpoint.NAME.key is right", setting);
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
            builder_error(b, "\"%s\" is no endpoint's name; at most 39 bytes of UTF-8 without ] are right", name);
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

void
builder_take_flags(struct builder *b, const struct config_flags *flags)
{
    size_t of_file = b->config->n_endpoints;
    memset(b->overridden, 0, sizeof(b->overridden));
    if (!of_file)
        add_upstream_endpoint(b, flags);
    for (size_t i = 0; i < flags->n; i++) {
        const struct config_flag_value *flag = &flags->values[i];
        builder_at_nowhere(b);
        b->at.flag = flag->flag;
        if (has_control(flag->setting) || has_control(flag->value))
            builder_error(b, "there is a control character in it");
        else if (!strcmp(flag->setting, "upstream.url"))
            take_upstream_flag(b, of_file, flag);
        else
            take_flag(b, flag);
    }
}
