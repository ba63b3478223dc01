/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup of sections and keys, and suggestions for unknown ones. */
#include "config_build.h"

#include <ctype.h>
#include <string.h>

enum { NAME_MAX = 48 }; /* longer names get no suggestion */

const struct setting *
builder_setting(const char *section, const char *key)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, section) && (!key || !strcmp(s->key, key)))
            return s;
    return NULL;
}

const char *
endpoint_name(const char *section)
{
    if (strncmp(section, "endpoint", 8) || (section[8] && section[8] != ' ' && section[8] != '\t'))
        return NULL;
    section += 8;
    return section + strspn(section, " \t");
}

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The edit distance of two names: insertions, deletions, substitutions and swaps of neighbours; ignores case. */
static unsigned
distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][NAME_MAX + 1], *before = rows[0], *above = rows[1], *row = rows[2];

    for (unsigned j = 0; j <= m; j++)
        above[j] = j;
    for (unsigned i = 1; i <= n; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= m; j++) {
            unsigned other = tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + other);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[m];
}

/* The setting whose key in the section, or whose section if that is NULL, is closest to name; NULL if none is close. */
static const struct setting *
nearest(const char *section, const char *name, size_t len)
{
    const struct setting *best = NULL;
    unsigned least_yet = len < 6 ? 2 : (unsigned)len / 3 + 1; /* one typo in a short name, a third of a long one */

    if (len > NAME_MAX)
        return NULL;
    for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
        const char *known = section ? s->key : s->section;
        if (section && strcmp(section, s->section) != 0)
            continue;
        unsigned d = distance(name, len, known, strlen(known));
        if (d < least_yet) {
            best = s;
            least_yet = d;
        }
    }
    return best;
}

static const char *
section_name(const struct setting *s)
{
    return !strcmp(s->section, "endpoint") ? "endpoint NAME" : s->section;
}

/* Prints each section that has the key, or all if it is NULL, once. */
static void
print_sections(FILE *out, const char *key, const char *between)
{
    int n = 0;
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (key ? !strcmp(s->key, key) : s == builder_setting(s->section, NULL))
            fprintf(out, "%s[%s]", n++ ? between : "", section_name(s));
}

void
builder_unknown_section(struct builder *b, const char *section)
{
    const struct setting *meant = nearest(NULL, section, strcspn(section, " \t"));

    builder_begin_error(b);
    fprintf(b->errors, "unknown section [%s]", section);
    if (meant) {
        fprintf(b->errors, " (did you mean [%s]?)", section_name(meant));
    } else {
        fputs(" (expected ", b->errors);
        print_sections(b->errors, NULL, ", ");
        fputc(')', b->errors);
    }
    builder_end_error(b);
}

void
builder_unknown_key(struct builder *b, const char *section, const char *kind, const char *key)
{
    const struct setting *meant = nearest(kind, key, strlen(key));
    bool elsewhere = false;

    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        elsewhere |= !strcmp(s->key, key);
    builder_begin_error(b);
    fprintf(b->errors, "unknown key %s in [%s] (", key, section);
    if (elsewhere) {
        fprintf(b->errors, "%s belongs in ", key);
        print_sections(b->errors, key, " or ");
    } else if (meant) {
        fprintf(b->errors, "did you mean %s?", meant->key);
    } else {
        const char *before = "expected";
        for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
            if (strcmp(s->section, kind) != 0)
                continue;
            fprintf(b->errors, "%s %s", before, s->key);
            before = ",";
        }
    }
    fputc(')', b->errors);
    builder_end_error(b);
}

bool
builder_unknown_endpoint(struct builder *b, const struct endpoint *e)
{
    const struct config *c = b->config;
    const struct source_map *map = &b->endpoints[e - c->endpoints];
    size_t flag = 0, known = 0;

    while (flag < SETTINGS && !map->settings[flag].flag)
        flag++;
    for (size_t i = 0; i < c->n_endpoints; i++)
        known += *c->endpoints[i].upstream != 0;
    if (map->section.line || flag == SETTINGS || !known)
        return false;
    b->at = map->settings[flag];
    builder_begin_error(b);
    fprintf(b->errors, "unknown endpoint %s (expected ", e->name);
    for (size_t i = 0; i < c->n_endpoints; i++)
        if (*c->endpoints[i].upstream)
            fprintf(b->errors, "%s, ", c->endpoints[i].name);
    fprintf(b->errors, "or endpoint.%s.upstream=URL)", e->name);
    builder_end_error(b);
    return true;
}
