/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include <string.h>

/* A place in a line. */
struct cursor {
    const char *p, *end;
};

static char
peek(const struct cursor *c)
{
    return c->p < c->end ? *c->p : '\n';
}

static void
skip_blanks(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
        c->p++;
}

enum { NAME_START = 1, NAME_REST = 2 };

/* [a-zA-Z_:] may begin a name, and [0-9] go on with it. */
static const unsigned char name_letters[256] = {
    ['a' ... 'z'] = NAME_START | NAME_REST,
    ['A' ... 'Z'] = NAME_START | NAME_REST,
    ['_'] = NAME_START | NAME_REST,
    [':'] = NAME_START | NAME_REST,
    ['0' ... '9'] = NAME_REST,
};

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads [a-zA-Z_:][a-zA-Z0-9_:]*, perhaps nothing. */
static struct ss_span
read_word(struct cursor *c)
{
    const char *start = c->p;
    const char *p = start, *end = c->end;
    if (p < end && name_letters[(unsigned char)*p] & NAME_START)
        while (p < end && name_letters[(unsigned char)*p])
            p++;
    c->p = p;
    return (struct ss_span){start, (size_t)(p - start)};
}

/* Reads a quoted string; the cursor stands on its first quote. False if it has no end. */
static bool
read_quoted(struct cursor *c, struct name *name)
{
    const char *start = ++c->p;
    name->escaped = false;
    for (; c->p < c->end && *c->p != '"'; c->p++) {
        if (*c->p == '\\') {
            name->escaped = true;
            c->p++;
        }
    }
    if (c->p >= c->end)
        return false;
    name->raw = (struct ss_span){start, (size_t)(c->p++ - start)};
    return true;
}

/*
 * Reads labels up to and with the closing brace; the cursor stands behind the opening one. If name is given, the first
 * quoted string that is neither a label's name nor its value is put there: the name of a sample that begins with a
 * brace. first_end is where that string ends if nothing stands before it. Answers false for what are no labels.
 */
static bool
read_labels(struct cursor *c, struct name *name, const char **first_end)
{
    bool value_next = false, first = true;

    for (;;) {
        struct name quoted;
        skip_blanks(c);
        switch (peek(c)) {
        case '}':
            c->p++;
            return !value_next;
        case ',':
            c->p++;
            break;
        case '"':
            if (!read_quoted(c, &quoted))
                return false;
            const char *end = c->p;
            skip_blanks(c);
            if (value_next) {
                value_next = false;
            } else if (peek(c) == '=') {
                c->p++;
                value_next = true;
            } else if (name && !name->raw.ptr) {
                *name = quoted;
                if (first)
                    *first_end = end;
            }
            break;
        default:
            if (value_next || !read_word(c).len)
                return false;
            skip_blanks(c);
            if (peek(c) != '=')
                return false;
            c->p++;
            value_next = true;
        }
        first = false;
    }
}

static bool
skip_letters(struct cursor *c, const char *word)
{
    const char *p = c->p;
    for (; *word; word++, p++)
        if (p == c->end || (*p | 0x20) != *word)
            return false;
    c->p = p;
    return true;
}

/*
 * Whether a value stands at the cursor: a number as Go's ParseFloat takes it (no hexadecimal, no underscore), up to a
 * blank or the line's end. A CR behind it is left for the scraper to refuse. OpenMetrics 2.0 has values in braces.
 */
static bool
is_value(struct cursor c, bool openmetrics)
{
    size_t digits = 0;

    if (peek(&c) == '{')
        return openmetrics;
    if (peek(&c) == '+' || peek(&c) == '-')
        c.p++;
    if (skip_letters(&c, "inf")) {
        skip_letters(&c, "inity");
    } else if (!skip_letters(&c, "nan")) {
        for (; is_digit(peek(&c)); c.p++)
            digits++;
        if (peek(&c) == '.')
            for (c.p++; is_digit(peek(&c)); c.p++)
                digits++;
        if (!digits)
            return false;
        if ((peek(&c) | 0x20) == 'e') {
            c.p++;
            if (peek(&c) == '+' || peek(&c) == '-')
                c.p++;
            if (!is_digit(peek(&c)))
                return false;
            while (is_digit(peek(&c)))
                c.p++;
        }
    }
    return peek(&c) == ' ' || peek(&c) == '\t' || peek(&c) == '\n' || peek(&c) == '\r';
}

/* Steps over what stands between name or labels and the value. */
static bool
skip_to_value(struct cursor *c, bool openmetrics)
{
    if (!openmetrics) {
        skip_blanks(c);
        return true;
    }
    return peek(c) == ' ' && c->p++;
}

static const char *
back_over_blanks(const char *start, const char *p)
{
    while (p > start && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    return p;
}

bool
sample_ends_in_value(struct ss_span line, bool openmetrics)
{
    const char *start = line.ptr, *p = line.ptr + line.len;

    /* Behind an exemplar's closing brace stands no value of the sample. */
    if (openmetrics && memmem(line.ptr, line.len, " # {", 4))
        return false;
    if (p > start && p[-1] == '\n')
        p--;
    /* No quote stands behind the brace and the line's end is outside quotes, so the brace is too. A number that is not
       behind the brace may be a timestamp: one more to go. */
    for (int numbers = 0; numbers < 2; numbers++) {
        struct cursor number;
        p = number.end = back_over_blanks(start, p);
        while (p > start && p[-1] != ' ' && p[-1] != '\t' && p[-1] != '"' && p[-1] != '}')
            p--;
        number.p = p;
        if (!is_value(number, false))
            return false;
        p = back_over_blanks(start, p);
        if (p > start && p[-1] == '}')
            return true;
    }
    return false;
}

const char *
sample_read(struct ss_span line, bool openmetrics, struct sample *sample)
{
    struct cursor c = {line.ptr, line.ptr + line.len};
    const char *first_end = NULL;

    *sample = (struct sample){0};
    if (!openmetrics)
        skip_blanks(&c);
    sample->name.raw = read_word(&c);
    bool braced = !sample->name.raw.len;
    if (braced) {
        if (peek(&c) != '{')
            return "no metric name";
        sample->name.raw.ptr = NULL;
    } else {
        sample->head_len = (size_t)(c.p - line.ptr) + 1;
        if (peek(&c) == '{' && sample_ends_in_value(line, openmetrics))
            return NULL;
        if (!openmetrics)
            skip_blanks(&c);
    }
    if (peek(&c) == '{') {
        c.p++;
        if (!read_labels(&c, braced ? &sample->name : NULL, &first_end))
            return "no metric name and labels";
        if (!sample->name.raw.ptr)
            return "no metric name in braces";
    }
    if (!skip_to_value(&c, openmetrics) || !is_value(c, openmetrics))
        return "no value";

    /* The byte behind a quoted name must tell that it is no label's name. */
    if (braced && first_end && (*first_end == ',' || *first_end == '}'))
        sample->head_len = (size_t)(first_end - line.ptr) + 1;
    return NULL;
}

static bool
skip_word(struct cursor *c, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len))
        return false;
    c->p += len;
    return true;
}

/* Steps over the blanks that must stand here: one space in OpenMetrics, any number otherwise. */
static bool
skip_gap(struct cursor *c, bool openmetrics)
{
    const char *start = c->p;
    if (openmetrics)
        return peek(c) == ' ' && c->p++;
    skip_blanks(c);
    return c->p > start;
}

const char *
comment_read(struct ss_span line, bool openmetrics, enum comment_kind *kindp, struct name *namep)
{
    struct cursor c = {line.ptr, line.ptr + line.len};

    if (line.len >= 5 && !memcmp(line.ptr, "# EOF", 5) && (line.len == 5 || (line.len == 6 && line.ptr[5] == '\n'))) {
        *kindp = COMMENT_EOF;
        return NULL;
    }
    *kindp = COMMENT_PLAIN;
    if (!openmetrics)
        skip_blanks(&c);
    c.p++;
    if (!skip_gap(&c, openmetrics) ||
        !(skip_word(&c, "HELP") || skip_word(&c, "TYPE") || (openmetrics && skip_word(&c, "UNIT"))) ||
        !skip_gap(&c, openmetrics))
        return openmetrics ? "a comment that is no metadata" : NULL;

    *kindp = COMMENT_META;
    *namep = (struct name){{NULL, 0}, false};
    if (peek(&c) == '"')
        return read_quoted(&c, namep) ? NULL : "a quoted name without its end";
    namep->raw = read_word(&c);
    return namep->raw.len ? NULL : "metadata without a metric name";
}

struct ss_span
name_bytes(const struct name *name, char *scratch)
{
    if (!name->escaped)
        return name->raw;

    char *out = scratch;
    for (size_t i = 0; i < name->raw.len; i++) {
        char c = name->raw.ptr[i];
        if (c == '\\' && i + 1 < name->raw.len) {
            char next = name->raw.ptr[i + 1];
            if (next == '\\' || next == '"' || next == 'n') {
                c = next == 'n' ? '\n' : next;
                i++;
            }
        }
        *out++ = c;
    }
    return (struct ss_span){scratch, (size_t)(out - scratch)};
}
