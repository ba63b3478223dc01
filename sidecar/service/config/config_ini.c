/* SPDX-License-Identifier: Apache-2.0 */
/* The INI file, by inih. */
#include "config_build.h"

#include "service/base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

/* A file being read. */
struct ini {
    struct builder *b;
    FILE *file;
    int line;
    size_t skip; /* bytes before the first that counts, in the line in hand */
    bool in_unknown_section;
};

/* The length of a line before the comment that a blank and ; begin. */
static size_t
before_comment(const char *text)
{
    size_t n = 0;
    while (text[n] && !(text[n] == ';' && (n == 0 || text[n - 1] == ' ' || text[n - 1] == '\t')))
        n++;
    return n;
}

/* What is wrong with a line that inih would cut, misread or call only by the first one's number, and at which byte;
   NULL if nothing is. */
static const char *
line_mistake(const char *text, size_t len, size_t *at)
{
    size_t said = before_comment(text);
    *at = strlen(text);
    if (*at != len)
        return "there is a NUL byte in the line";
    for (*at = 0; *at < len; ++*at)
        if (iscntrl((unsigned char)text[*at]) && text[*at] != '\t' && strcmp(text + *at, "\n") != 0 &&
            strcmp(text + *at, "\r\n") != 0)
            return "there is a control character in the line";
    *at = CONFIG_LINE_MAX;
    if (len > CONFIG_LINE_MAX)
        return "the line is longer than 198 bytes; a list may be several lines with the same key";
    *at = 0;
    if (*text == '[' && !memchr(text, ']', said))
        return "the section's name has no end; [section] is right";
    if (*text == '[' && strcspn(text, "]") > 1 + SECTION_MAX)
        return "the section's name is longer than 48 bytes";
    if (*text && !strchr("[;#\r\n", *text) && !memchr(text, '=', said) && !memchr(text, ':', said))
        return "the line is neither [section] nor key = value";
    return NULL;
}

/* Takes note of a section's beginning: inih tells only of those with a key in them. */
static void
begin_section(struct ini *ini, const char *text)
{
    struct builder *b = ini->b;
    char section[SECTION_MAX + 1];
    snprintf(section, sizeof(section), "%.*s", (int)strcspn(text, "]"), text);

    const char *name = endpoint_name(section);
    ini->in_unknown_section =
        !builder_setting(name ? "endpoint" : section, NULL) || (name && (!*name || !utf8_is(name)));
    b->at.column++;
    if (name && !*name) {
        builder_error(b, "an endpoint needs a name; [endpoint NAME] is right");
    } else if (name && !utf8_is(name)) {
        builder_error(b, "the endpoint's name is no UTF-8; [endpoint NAME] in UTF-8 is right");
    } else if (ini->in_unknown_section) {
        builder_unknown_section(b, section);
    } else if (name) {
        struct endpoint *e = builder_endpoint(b, name);
        if (!e)
            e = builder_add_endpoint(b, name);
        if (e)
            b->endpoints[e - b->config->endpoints].section = b->at;
    }
}

/* Puts the mistakes to come at a byte of what counts of the line in hand. */
static void
place_in_line(struct ini *ini, size_t at)
{
    ini->b->at = (struct source_place){.line = ini->line, .column = ini->skip + at + 1};
}

/* Refuses what stands behind a section's name and is no comment: inih would leave it away in silence. */
static void
end_section(struct ini *ini, const char *text)
{
    size_t end = strcspn(text, "]") + 1, blanks = strspn(text + end, " \t");
    char next = text[end + blanks];
    if (!next || strchr("\r\n", next) || (next == ';' && blanks))
        return;
    place_in_line(ini, end + blanks);
    builder_error(ini->b, "there is something behind the section's name; key = value is right in a line of its own");
}

/* Reads as fgets() does for inih; a bad line is reported and left away, and so are leading blanks, which would make the
   line go on with the one before. */
static char *
read_line(char *out, int size, void *stream)
{
    struct ini *ini = stream;
    struct builder *b = ini->b;
    char *line = NULL;
    size_t line_size = 0, at;
    errno = 0;
    ssize_t n = getline(&line, &line_size, ini->file);
    if (n < 0) {
        b->out_of_memory |= errno == ENOMEM;
        free(line);
        return NULL;
    }
    if (!string_list_take(b, &b->lines, line))
        return NULL;

    ini->line++;
    ini->skip = ini->line == 1 ? utf8_mark_len(line) : 0;
    ini->skip += strspn(line + ini->skip, " \t");
    const char *text = line + ini->skip, *wrong = line_mistake(text, (size_t)n - ini->skip, &at);
    place_in_line(ini, at);
    if (wrong) {
        builder_error(b, "%s", wrong);
    } else if (*text == '[') {
        begin_section(ini, text + 1);
        end_section(ini, text);
    }
    snprintf(out, (size_t)size, "%s", wrong ? "\n" : text);
    return out;
}

static bool
is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/*
 * The length of a value, up to the blank and ; that begin a comment, as inih has it, but not in double quotes. A quote
 * opens at the value's beginning or, in a list of labels, at a label's. The byte before the value is looked at.
 */
static size_t
value_length(const char *text, bool labels)
{
    bool quoted = false, opens = true;
    const char *p = text;

    for (; *p && *p != '\n' && strcmp(p, "\r\n") != 0; p++) {
        if (*p == '"' && (quoted || opens)) {
            quoted = !quoted;
            opens = !quoted; /* "" in quotes is none of both */
        } else if (!quoted) {
            if (*p == ';' && is_blank(p[-1]))
                break;
            opens = labels && (*p == ',' || (opens && is_blank(*p) && p[-1] != '"'));
        }
    }
    while (p > text && is_blank(p[-1]))
        p--;
    return (size_t)(p - text);
}

/* Puts the value of the line in hand where it belongs. inih has cut it where quotes may have kept it whole. */
static void
assign_value(struct ini *ini, const struct setting *s, void *object, struct source_map *origin)
{
    struct builder *b = ini->b;
    const char *text = b->lines.items[ini->line - 1] + ini->skip;
    size_t at = strcspn(text, "=:") + 1;
    char value[CONFIG_LINE_MAX + 1];

    at += strspn(text + at, " \t");
    place_in_line(ini, at);
    origin->settings[s - settings] = b->at;
    snprintf(value, sizeof(value), "%.*s", (int)value_length(text + at, s->type == TYPE_labels), text + at);
    builder_assign(b, s, object, value);
}

static int
take_pair(void *user, const char *section, const char *key, const char *value)
{
    struct ini *ini = user;
    struct builder *b = ini->b;
    const char *name = endpoint_name(section), *kind = name ? "endpoint" : section;
    void *object = b->config;
    struct source_map *origin = &b->globals;

    (void)value;
    if (ini->in_unknown_section || b->out_of_memory)
        return 1;
    place_in_line(ini, 0);
    if (!*section) {
        builder_error(b, "the key %s stands in no section; [section] is to come before it", key);
        return 1;
    }
    if (!*key) {
        builder_error(b, "the key is missing; key = value is right");
        return 1;
    }
    const struct setting *s = builder_setting(kind, key);
    if (!s) {
        builder_unknown_key(b, section, kind, key);
        return 1;
    }
    if (name) {
        struct endpoint *e = builder_endpoint(b, name);
        if (!e) {
            builder_error(b, "there is no section [%s] before this line", section);
            return 1;
        }
        object = e;
        origin = &b->endpoints[e - b->config->endpoints];
    }

    int before = origin->settings[s - settings].line;
    if (before && !setting_is_list(s->type))
        builder_error(b, "%s is given twice, before in line %d; once is right", key, before);
    else
        assign_value(ini, s, object, origin);
    return 1;
}

void
builder_read_file(struct builder *b)
{
    struct ini ini = {.b = b};

    ini.file = fopen(b->path, "r");
    if (!ini.file) {
        b->unread = true;
        builder_error(b, "%s: %s", b->path, strerror(errno));
        return;
    }
    memset(b->overridden, 0, sizeof(b->overridden));
    int line = ini_parse_stream(read_line, &ini, take_pair, &ini);
    if (line < 0)
        b->out_of_memory = true;
    /* read_line() left all bad lines away that it knows of. */
    b->at = (struct source_place){.line = line, .column = 1};
    if (line > 0)
        builder_error(b, "the line is neither [section] nor key = value");
    builder_at_nowhere(b);
    b->unread = ferror(ini.file);
    if (b->unread)
        builder_error(b, "%s: %s", b->path, strerror(errno));
    fclose(ini.file);
}
