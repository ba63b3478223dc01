/* SPDX-License-Identifier: Apache-2.0 */
#include "config_print.h"

#include "config_build.h"
#include "config_value.h"

#include <inttypes.h>
#include <string.h>

/* Whether a text would be read as something else if it stood there without quotes. */
static bool
needs_quotes(const char *text, enum type type)
{
    size_t len = strlen(text);
    if (type == TYPE_labels)
        return value_check_label(text) != NULL;
    return type == TYPE_separator || (len && strchr("\" \t;", *text)) || (len && strchr(" \t", text[len - 1])) ||
           strstr(text, " ;") || strstr(text, "\t;");
}

/* How the values are to be written. */
enum manner {
    MANNER_WHOLE,
    MANNER_SHOWN, /* without what may be a secret; passwords and tokens are in files, of which only the names are here
                   */
};

/* Writes key = text. Returns 1 if that is too long for a line. */
static int
print_text(FILE *out, const struct setting *s, const char *text, enum manner manner)
{
    bool quotes = needs_quotes(text, s->type);
    size_t len = strlen(s->key) + strlen("=") + strlen(text) + strlen("\n");

    if (manner == MANNER_SHOWN && s->type == TYPE_url && strchr(text, '?')) {
        fprintf(out, "%s = %.*s<secret>\n", s->key, (int)strcspn(text, "?") + 1, text);
        return 0;
    }
    for (const char *p = text; quotes && *p; p++)
        len += *p == '"';
    len += quotes ? 2 : 0;
    if (len > CONFIG_LINE_MAX) {
        fprintf(out, "; %s: longer than a line of a file may be\n", s->key);
        return 1;
    }
    fprintf(out, len + 2 > CONFIG_LINE_MAX ? "%s=" : "%s = ", s->key);
    if (quotes)
        fputc('"', out);
    for (; *text; text++) {
        if (quotes && *text == '"')
            fputc('"', out);
        fputc(*text, out);
    }
    fputs(quotes ? "\"\n" : "\n", out);
    return 0;
}

static int
print_list(FILE *out, const struct setting *s, const struct string_list *list, enum manner manner)
{
    int too_long = 0;
    if (!list->n)
        fprintf(out, "; %s =\n", s->key);
    for (size_t i = 0; i < list->n; i++)
        too_long += print_text(out, s, list->items[i], manner);
    return too_long;
}

static void
print_choice(FILE *out, const char *choices, int index)
{
    for (; index; index--)
        choices += strcspn(choices, "|") + 1;
    fprintf(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

/* Whether it means something that a setting was given, even with its default: such a default is printed as a comment.
 */
static bool
is_left_open(const struct setting *s, const void *object)
{
    return s == &settings[SETTING_ENDPOINT_timeout] && !((const struct endpoint *)object)->timeout_is_set;
}

static void
print_scalar(FILE *out, const struct setting *s, const void *object)
{
    const void *field = (const char *)object + s->offset;
    fprintf(out, "%s%s = ", is_left_open(s, object) ? "; " : "", s->key);
    if (s->type == TYPE_duration)
        value_write_duration(out, *(const int64_t *)field);
    else if (s->type == TYPE_keepalive)
        value_write_keepalive(out, *(const int64_t *)field);
    else if (s->type == TYPE_bytes)
        value_write_bytes(out, *(const uint64_t *)field);
    else if (s->type == TYPE_count)
        fprintf(out, "%" PRIu64, *(const uint64_t *)field);
    else if (s->type == TYPE_flag)
        fputs(*(const bool *)field ? "true" : "false", out);
    else
        print_choice(out, s->choices, *(const int *)field);
    fputc('\n', out);
}

/* Writes the settings of one section. */
static int
print_settings(FILE *out, const struct setting *s, const struct setting *end, const void *object, enum manner manner)
{
    int too_long = 0;
    for (; s < end; s++) {
        const void *field = (const char *)object + s->offset;
        if (setting_is_list(s->type))
            too_long += print_list(out, s, field, manner);
        else if (setting_is_text(s->type))
            too_long += print_text(out, s, *(char *const *)field, manner);
        else
            print_scalar(out, s, object);
    }
    return too_long;
}

static int
print(const struct config *config, FILE *out, enum manner manner)
{
    int too_long = 0;
    for (const struct setting *s = settings, *next; s < settings + SETTINGS; s = next) {
        for (next = s + 1; next < settings + SETTINGS && !strcmp(next->section, s->section); next++)
            ;
        if (strcmp(s->section, "endpoint") != 0) {
            fprintf(out, "%s[%s]\n", s > settings ? "\n" : "", s->section);
            too_long += print_settings(out, s, next, config, manner);
            continue;
        }
        for (size_t i = 0; i < config->n_endpoints; i++) {
            fprintf(out, "\n[endpoint %s]\n", config->endpoints[i].name);
            too_long += print_settings(out, s, next, &config->endpoints[i], manner);
        }
    }
    return too_long;
}

int
config_print(const struct config *config, FILE *out)
{
    return print(config, out, MANNER_WHOLE);
}

void
config_show(const struct config *config, FILE *out)
{
    print(config, out, MANNER_SHOWN);
}
