/* SPDX-License-Identifier: Apache-2.0 */
/* The INI file, by inih. */
#include "config_build.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

/*
 * Lines as Debian's inih takes them: at most 198 bytes with their LF, or it cuts them and hands on the head (its
 * INI_MAX_LINE is 200). The section name has 49.
 */
enum { LINE_MOST = 198, SECTION_MOST = 49 };

/* A file being read. */
struct ini {
    struct builder *b;
    FILE *file;
    int line;
    char *text; /* of the line in hand */
    size_t text_size;
    bool in_unknown_section;
};

/* The name in a section's "endpoint NAME"; NULL if it is none. */
static const char *
endpoint_name(const char *section)
{
    if (strncmp(section, "endpoint", 8) || (section[8] && section[8] != ' ' && section[8] != '\t'))
        return NULL;
    section += 8;
    return section + strspn(section, " \t");
}

/* The length of a line before the comment that a blank and ; begin. */
static size_t
before_comment(const char *text)
{
    size_t n = 0;
    while (text[n] && !(text[n] == ';' && (n == 0 || text[n - 1] == ' ' || text[n - 1] == '\t')))
        n++;
    return n;
}

/* What is wrong with a line that inih would cut, misread or call only by the first one's number; NULL if nothing is. */
static const char *
line_mistake(const char *text, size_t len)
{
    size_t said = before_comment(text);
    if (strlen(text) != len)
        return "there is a NUL byte in the line";
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)text[i]) && text[i] != '\t' && strcmp(text + i, "\n") != 0 &&
            strcmp(text + i, "\r\n") != 0)
            return "there is a control character in the line";
    if (len > LINE_MOST)
        return "the line is longer than 198 bytes; a list may be several lines with the same key";
    if (*text == '[' && !memchr(text, ']', said))
        return "the section's name has no end; [section] is right";
    if (*text == '[' && strcspn(text, "]") > SECTION_MOST)
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
    char section[SECTION_MOST + 1];
    snprintf(section, sizeof(section), "%.*s", (int)strcspn(text, "]"), text);

    const char *name = endpoint_name(section);
    ini->in_unknown_section = !builder_setting(name ? "endpoint" : section, NULL) || (name && !*name);
    if (name && !*name) {
        builder_mistake(b, "an endpoint needs a name; [endpoint NAME] is right");
    } else if (ini->in_unknown_section) {
        builder_mistake(b, "there is no section [%s]; [web] [admin] [endpoint NAME] [sharding] [log] are right",
                        section);
    } else if (name) {
        struct endpoint *e = builder_endpoint(b, name);
        if (!e)
            e = builder_add_endpoint(b, name);
        if (e)
            b->endpoints[e - b->config->endpoints].section = ini->line;
    }
}

/* Reads as fgets() does for inih; a bad line is reported and left away, and so are leading blanks, which would make the
   line go on with the one before. */
static char *
read_line(char *out, int size, void *stream)
{
    struct ini *ini = stream;
    struct builder *b = ini->b;
    ssize_t n = getline(&ini->text, &ini->text_size, ini->file);
    if (n < 0)
        return NULL;
    ini->line++;
    snprintf(b->place, sizeof(b->place), "%s:%d", b->path, ini->line);

    size_t skip = ini->line == 1 && !strncmp(ini->text, "\xef\xbb\xbf", 3) ? 3 : 0;
    skip += strspn(ini->text + skip, " \t");
    const char *text = ini->text + skip, *wrong = line_mistake(text, (size_t)n - skip);
    if (wrong)
        builder_mistake(b, "%s", wrong);
    else if (*text == '[')
        begin_section(ini, text + 1);
    snprintf(out, (size_t)size, "%s", wrong ? "\n" : text);
    return out;
}

static int
take_value(void *user, const char *section, const char *key, const char *value)
{
    struct ini *ini = user;
    struct builder *b = ini->b;
    const char *name = endpoint_name(section);
    void *object = b->config;
    struct origin *origin = &b->globals;

    if (ini->in_unknown_section || b->out_of_memory)
        return 1;
    if (!*section) {
        builder_mistake(b, "the key %s stands in no section", key);
        return 1;
    }
    const struct setting *s = builder_setting(name ? "endpoint" : section, key);
    if (!s) {
        builder_mistake(b, "there is no key %s in [%s]", key, section);
        return 1;
    }
    if (name) {
        struct endpoint *e = builder_endpoint(b, name);
        if (!e) {
            builder_mistake(b, "there is no section [%s] before this line", section);
            return 1;
        }
        object = e;
        origin = &b->endpoints[e - b->config->endpoints];
    }

    int *line = &origin->lines[s - settings];
    if (*line && s->type != TYPE_addresses) {
        builder_mistake(b, "%s is given twice, before in line %d; once is right", key, *line);
        return 1;
    }
    *line = ini->line;
    builder_assign(b, s, object, value);
    return 1;
}

void
builder_read_file(struct builder *b)
{
    struct ini ini = {.b = b};

    b->place[0] = 0;
    ini.file = fopen(b->path, "r");
    if (!ini.file) {
        builder_mistake(b, "%s: %s", b->path, strerror(errno));
        return;
    }
    memset(b->touched, 0, sizeof(b->touched));
    int line = ini_parse_stream(read_line, &ini, take_value, &ini);
    if (line < 0)
        b->out_of_memory = true;
    /* read_line() left all bad lines away that it knows of. */
    snprintf(b->place, sizeof(b->place), "%s:%d", b->path, line);
    if (line > 0)
        builder_mistake(b, "the line is neither [section] nor key = value");
    b->place[0] = 0;
    if (ferror(ini.file))
        builder_mistake(b, "%s: %s", b->path, strerror(errno));
    fclose(ini.file);
    free(ini.text);
}
