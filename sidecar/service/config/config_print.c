/* SPDX-License-Identifier: Apache-2.0 */
#include "config_print.h"

#include "config_build.h"
#include "config_value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Whether a text without quotes would be read back as something else. */
static bool
needs_quotes(const char *text, enum type type)
{
    size_t len = strlen(text);
    if (type == TYPE_labels)
        return value_check_label(text) != NULL;
    return type == TYPE_separator || (len && strchr("\" \t;", *text)) || (len && strchr(" \t", text[len - 1])) ||
           strstr(text, " ;") || strstr(text, "\t;");
}

enum mode {
    MODE_FULL,
    MODE_REDACTED, /* without possible secrets; passwords and tokens are in files, which are only named here */
};

static void
print_text(FILE *out, const struct setting *s, const char *text, enum mode mode)
{
    char *shown = mode == MODE_REDACTED && s->type == TYPE_url ? url_shown(text) : NULL;
    bool quotes = needs_quotes(text, s->type);

    if (shown)
        text = shown;
    else if (mode == MODE_REDACTED && s->type == TYPE_url)
        text = "<secret>"; /* out of memory */
    fprintf(out, "%s = ", s->key);
    if (quotes)
        fputc('"', out);
    for (; *text; text++) {
        if (quotes && *text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputs(quotes ? "\"\n" : "\n", out);
    free(shown);
}

static void
print_list(FILE *out, const struct setting *s, const struct string_list *list, enum mode mode)
{
    if (!list->n)
        fprintf(out, "; %s =\n", s->key);
    for (size_t i = 0; i < list->n; i++)
        print_text(out, s, list->items[i], mode);
}

static void
print_choice(FILE *out, const char *choices, int index)
{
    for (; index; index--)
        choices += strcspn(choices, "|") + 1;
    fprintf(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

/* Whether a setting is unset where giving even its default would mean something: its default is printed as a comment.
 */
static bool
is_unset(const struct setting *s, const void *object)
{
    return s == &settings[SETTING_ENDPOINT_timeout] && !((const struct endpoint *)object)->timeout_is_set;
}

static void
print_scalar(FILE *out, const struct setting *s, const void *object)
{
    const void *field = (const char *)object + s->offset;
    fprintf(out, "%s%s = ", is_unset(s, object) ? "; " : "", s->key);
    if (s->type == TYPE_duration)
        value_write_duration(out, *(const int64_t *)field);
    else if (s->type == TYPE_keepalive)
        value_write_keepalive(out, *(const int64_t *)field);
    else if (s->type == TYPE_bytes)
        value_write_bytes(out, *(const uint64_t *)field);
    else if (s->type == TYPE_count)
        fprintf(out, "%" PRIu64, *(const uint64_t *)field);
    else if (s->type == TYPE_shards)
        value_write_shards(out, *(const uint32_t *)field, s->default_value);
    else if (s->type == TYPE_flag)
        fputs(*(const bool *)field ? "true" : "false", out);
    else
        print_choice(out, s->choices, *(const int *)field);
    fputc('\n', out);
}

static void
print_settings(FILE *out, const struct setting *s, const struct setting *end, const void *object, enum mode mode)
{
    for (; s < end; s++) {
        const void *field = (const char *)object + s->offset;
        if (setting_is_list(s->type))
            print_list(out, s, field, mode);
        else if (setting_is_text(s->type))
            print_text(out, s, *(char *const *)field, mode);
        else
            print_scalar(out, s, object);
    }
}

static void
print(const struct config *config, FILE *out, enum mode mode)
{
    for (const struct setting *s = settings, *next; s < settings + SETTINGS; s = next) {
        for (next = s + 1; next < settings + SETTINGS && !strcmp(next->section, s->section); next++)
            ;
        if (strcmp(s->section, "endpoint") != 0) {
            fprintf(out, "%s[%s]\n", s > settings ? "\n" : "", s->section);
            print_settings(out, s, next, config, mode);
            continue;
        }
        for (size_t i = 0; i < config->n_endpoints; i++) {
            fprintf(out, "\n[endpoint %s]\n", config->endpoints[i].name);
            print_settings(out, s, next, &config->endpoints[i], mode);
        }
    }
}

void
config_print(const struct config *config, FILE *out)
{
    print(config, out, MODE_FULL);
}

void
config_show(const struct config *config, FILE *out)
{
    print(config, out, MODE_REDACTED);
}
