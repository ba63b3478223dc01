/* SPDX-License-Identifier: Apache-2.0 */
/* Error messages: FILE:LINE:COLUMN: MESSAGE, then the line with a caret under the column. */
#include "config_build.h"

#include "service/base/utf8.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 100, SHOWN_BEFORE = 70 }; /* bytes of a long line that are shown in all, and before the caret */

static bool
starts_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

/* An error message must not reveal a secret. */
static void
hide_secrets(char *line)
{
    char *value = line + strcspn(line, "=:"), *at = strrchr(line, '@');
    url_mask(!*value || (at && at < value) ? line : value + 1);
}

/* Prints a line, shortened around a byte if it is long, with a caret under that byte. */
static void
print_excerpt(FILE *out, char *line, size_t at)
{
    size_t len = strlen(line);
    while (len && strchr("\r\n", line[len - 1]))
        len--;
    size_t from = at > SHOWN_BEFORE && len > SHOWN ? at - SHOWN_BEFORE : 0;
    size_t to = len - from > SHOWN ? from + SHOWN : len;
    const char *cut = from ? "..." : "";

    line[len] = 0;
    hide_secrets(line);
    if (!from && at >= utf8_mark_len(line))
        from = utf8_mark_len(line);
    while (from < at && !starts_character(line[from]))
        from++;
    while (to < len && !starts_character(line[to]))
        to++;
    for (size_t i = from; i < to; i++)
        if (iscntrl((unsigned char)line[i]))
            line[i] = line[i] == '\t' ? ' ' : '?';

    fprintf(out, "    %s%.*s%s\n    %s", cut, (int)(to - from), line + from, to < len ? "..." : "", *cut ? "   " : "");
    for (size_t i = from; i < at; i++)
        if (starts_character(line[i]))
            fputc(' ', out);
    fputs("^\n", out);
}

static void
print_place(struct builder *b)
{
    if (b->at.flag)
        fprintf(b->errors, "%s: ", b->at.flag);
    else if (b->at.line)
        fprintf(b->errors, "%s:%d:%zu: ", b->path, b->at.line, b->at.column);
    else if (b->of)
        fprintf(b->errors, "[endpoint %s]: ", b->of->name);
}

void
builder_begin_error(struct builder *b)
{
    b->n_errors++;
    b->n_flag_errors += b->at.flag || !b->path;
    print_place(b);
}

void
builder_end_error(struct builder *b)
{
    fputc('\n', b->errors);
    if (b->at.flag || !b->at.line || (size_t)b->at.line > b->lines.n)
        return;
    char *line = builder_copy(b, b->lines.items[b->at.line - 1]);
    if (line)
        print_excerpt(b->errors, line, b->at.column - 1);
    free(line);
}

void
builder_error_was_in_file(struct builder *b)
{
    b->n_flag_errors -= b->at.flag || !b->path;
}

void
builder_error(struct builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    builder_begin_error(b);
    vfprintf(b->errors, format, args);
    builder_end_error(b);
    va_end(args);
}

void
builder_warning(struct builder *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_place(b);
    fputs("warning: ", b->errors);
    vfprintf(b->errors, format, args);
    builder_end_error(b);
    va_end(args);
}

void
builder_at_nowhere(struct builder *b)
{
    b->at = (struct source_place){0};
    b->of = NULL;
}

static const struct source_map *
map_of(const struct builder *b, const struct endpoint *e)
{
    return e ? &b->endpoints[e - b->config->endpoints] : &b->globals;
}

static bool
is_given(const struct source_place *place)
{
    return place->flag || place->line;
}

bool
builder_is_given(const struct builder *b, const struct endpoint *e, int setting)
{
    return is_given(&map_of(b, e)->settings[setting]);
}

void
builder_at(struct builder *b, const struct endpoint *e, int setting)
{
    const struct source_map *map = map_of(b, e);
    b->at = is_given(&map->settings[setting]) ? map->settings[setting] : map->section;
    b->of = e;
}

void
builder_at_either(struct builder *b, const struct endpoint *e, int setting, int other)
{
    builder_at(b, e, is_given(&map_of(b, e)->settings[setting]) ? setting : other);
}

void
builder_at_value(struct builder *b, int setting, size_t i, size_t offset)
{
    b->at = b->lists[setting].items[i];
    b->of = NULL;
    if (b->at.flag || !b->at.line)
        return;
    const char *text = b->lines.items[b->at.line - 1] + b->at.column - 1;
    bool quoted = *text == '"';
    size_t at = quoted;
    for (; offset; offset--)
        at += quoted && text[at] == '"' ? 2 : 1;
    b->at.column += at;
}
