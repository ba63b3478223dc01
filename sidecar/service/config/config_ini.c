/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The INI file, by inih, which finds sections and keys. It gets section headers and keys only, and values are taken
 * from the line itself: inih splits lines of more than 198 bytes (Debian's has INI_MAX_LINE 200 compiled in) and
 * ignores quotes.
 */
#include "config_build.h"

#include "service/base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct ini {
    struct builder *b;
    FILE *file;
    int line;
    size_t skip; /* BOM and indentation of the current line */
    bool in_unknown_section;
};

static bool
is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* The length of a line up to its comment, which starts with ; after a blank. */
static size_t
before_comment(const char *text)
{
    size_t n = 0;
    while (text[n] && !(text[n] == ';' && (n == 0 || is_blank(text[n - 1]))))
        n++;
    return n;
}

static size_t
key_length(const char *text)
{
    size_t n = strcspn(text, "=:");
    while (n && is_blank(text[n - 1]))
        n--;
    return n;
}

/* What is wrong with a line that inih would misread or, after the first one, not report; and at which byte.
   NULL: nothing. */
static const char *
line_error(const char *text, size_t len, size_t *at)
{
    size_t said = before_comment(text);
    *at = strlen(text);
    if (*at != len)
        return "unexpected NUL byte";
    for (*at = 0; *at < len; ++*at)
        if (iscntrl((unsigned char)text[*at]) && text[*at] != '\t' && strcmp(text + *at, "\n") != 0 &&
            strcmp(text + *at, "\r\n") != 0)
            return "unexpected control character";
    *at = 0;
    if (*text == '[' && !memchr(text, ']', said))
        return "unterminated section name (expected [section])";
    if (*text == '[' && strcspn(text, "]") > 1 + SECTION_MAX)
        return "section name longer than 48 bytes";
    if (*text && !strchr("[;#\r\n", *text) && !memchr(text, '=', said) && !memchr(text, ':', said))
        return "expected [section] or key = value";
    if (*text && !strchr("[;#", *text) && key_length(text) > KEY_MAX)
        return "key longer than 128 bytes";
    return NULL;
}

/* inih reports only sections that contain a key. */
static void
start_section(struct ini *ini, const char *text)
{
    struct builder *b = ini->b;
    char section[SECTION_MAX + 1];
    snprintf(section, sizeof(section), "%.*s", (int)strcspn(text, "]"), text);

    const char *name = endpoint_name(section);
    ini->in_unknown_section =
        !builder_setting(name ? "endpoint" : section, NULL) || (name && (!*name || !utf8_is(name)));
    b->at.column++;
    if (name && !*name) {
        builder_error(b, "missing endpoint name (expected [endpoint NAME])");
    } else if (name && !utf8_is(name)) {
        builder_error(b, "endpoint name is not valid UTF-8");
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

/* Sets the place of the errors that follow; at: a byte after BOM and indentation. */
static void
at_byte(struct ini *ini, size_t at)
{
    ini->b->at = (struct source_place){.line = ini->line, .column = ini->skip + at + 1};
}

/* Reports text after a section header, which inih would silently drop. */
static void
check_section_end(struct ini *ini, const char *text)
{
    size_t end = strcspn(text, "]") + 1, blanks = strspn(text + end, " \t");
    char next = text[end + blanks];
    if (!next || strchr("\r\n", next) || (next == ';' && blanks))
        return;
    at_byte(ini, end + blanks);
    builder_error(ini->b, "unexpected text after the section header");
}

/* fgets() for inih. Reports bad lines and hands an empty one on instead. Drops indentation, which inih would take for a
   continuation of the previous line. */
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
    if (!builder_add(b, &b->lines, line))
        return NULL;

    ini->line++;
    ini->skip = ini->line == 1 ? utf8_mark_len(line) : 0;
    ini->skip += strspn(line + ini->skip, " \t");
    const char *text = line + ini->skip, *wrong = line_error(text, (size_t)n - ini->skip, &at);
    at_byte(ini, at);
    if (wrong) {
        builder_error(b, "%s", wrong);
    } else if (*text == '[') {
        start_section(ini, text + 1);
        check_section_end(ini, text);
    }
    *out = 0;
    if (!wrong && *text == '[')
        snprintf(out, (size_t)size, "%.*s]", (int)strcspn(text, "]"), text);
    else if (!wrong && !strchr(";#\r\n", *text))
        snprintf(out, (size_t)size, "%.*s=", (int)key_length(text), text);
    return out;
}

/*
 * The length of a value, up to a comment, which starts with ; after a blank, as for inih, but not in double quotes. A
 * quote opens at the start of the value or, in a list of labels, of a label. Reads the byte before text.
 */
static size_t
value_length(const char *text, bool labels)
{
    bool quoted = false, opens = true;
    const char *p = text;

    for (; *p && *p != '\n' && strcmp(p, "\r\n") != 0; p++) {
        if (*p == '"' && (quoted || opens)) {
            quoted = !quoted;
            opens = !quoted; /* "" in quotes does neither */
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

/* Takes the value from the current line. */
static void
assign_value(struct ini *ini, const struct setting *s, void *object, struct source_map *map)
{
    struct builder *b = ini->b;
    const char *text = b->lines.items[ini->line - 1] + ini->skip;
    size_t at = strcspn(text, "=:") + 1;

    at += strspn(text + at, " \t");
    at_byte(ini, at);
    map->settings[s - settings] = b->at;
    char *value = strndup(text + at, value_length(text + at, s->type == TYPE_labels));
    b->out_of_memory |= !value;
    if (value)
        builder_assign(b, s, object, value);
    free(value);
}

static int
take_pair(void *user, const char *section, const char *key, const char *value)
{
    struct ini *ini = user;
    struct builder *b = ini->b;
    const char *name = endpoint_name(section), *kind = name ? "endpoint" : section;
    void *object = b->config;
    struct source_map *map = &b->globals;

    (void)value;
    if (ini->in_unknown_section || b->out_of_memory)
        return 1;
    at_byte(ini, 0);
    if (!*section) {
        builder_error(b, "key %s before any section (expected [section] first)", key);
        return 1;
    }
    if (!*key) {
        builder_error(b, "missing key (expected key = value)");
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
            builder_error(b, "no section [%s] before this line", section);
            return 1;
        }
        object = e;
        map = &b->endpoints[e - b->config->endpoints];
    }

    int before = map->settings[s - settings].line;
    if (before && !setting_is_list(s->type))
        builder_error(b, "duplicate key %s (first set on line %d)", key, before);
    else
        assign_value(ini, s, object, map);
    return 1;
}

void
builder_read_file(struct builder *b)
{
    struct ini ini = {.b = b};
    struct stat st;

    if (b->again && !stat(b->path, &st) && !S_ISREG(st.st_mode)) {
        b->unread = true;
        builder_error(b, "%s: not a regular file, so it cannot be read again", b->path);
        return;
    }
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
    /* read_line() has reported all bad lines that it knows of. */
    b->at = (struct source_place){.line = line, .column = 1};
    if (line > 0)
        builder_error(b, "expected [section] or key = value");
    builder_at_nowhere(b);
    b->unread = ferror(ini.file);
    if (b->unread)
        builder_error(b, "%s: %s", b->path, strerror(errno));
    fclose(ini.file);
}
