/* SPDX-License-Identifier: Apache-2.0 */
#include "sample.h"

#include "find.h"
#include "strict.h"

#include <string.h>

/* A position in a line. */
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

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads a name, perhaps empty. */
static struct ss_span
read_word(struct cursor *c)
{
    const char *start = c->p;
    c->p = name_end(start, c->end);
    return (struct ss_span){start, (size_t)(c->p - start)};
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

size_t
sample_composite_len(struct ss_span text)
{
    const char *end = text.ptr + text.len;
    if (text.len < 2 || *text.ptr != '{' || text.ptr[1] < 'a' || text.ptr[1] > 'z')
        return 0;
    const char *p = find_any(text.ptr, end, ' ', '"', '\n');
    return p[-1] == '}' && (p == end || *p != '"') ? (size_t)(p - text.ptr) : 0;
}

static size_t
composite_len(const struct cursor *c)
{
    return sample_composite_len((struct ss_span){c->p, (size_t)(c->end - c->p)});
}

/*
 * Whether there is a number at the cursor as Go's ParseFloat accepts it (no hexadecimal, no underscore), up to a blank
 * or the end of the line. A CR after it is left for the scraper to reject.
 */
static bool
is_number(struct cursor c)
{
    size_t digits = 0;

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

bool
sample_is_number(struct ss_span word)
{
    struct cursor c = {word.ptr, word.ptr + word.len};
    return !memchr(word.ptr, '\r', word.len) && is_number(c);
}

/* Whether there is a value at the cursor. */
static bool
is_value(const struct cursor *c, bool openmetrics)
{
    return peek(c) == '{' ? openmetrics && composite_len(c) : is_number(*c);
}

/* Skips the separator between name or labels and the value. */
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
sample_ends_in_value(struct ss_span line, enum text_syntax syntax)
{
    const char *start = line.ptr, *p = line.ptr + line.len;

    /* After an exemplar's closing brace there is no value of the sample. */
    if (syntax_is_openmetrics(syntax) && memchr(line.ptr, '#', line.len) && memmem(line.ptr, line.len, " # {", 4))
        return false;
    if (p > start && p[-1] == '\n')
        p--;
    /* There is no quote after the brace, and the end of the line is outside quotes, so the brace is too. A number
       that does not follow the brace may be a timestamp: try one more. */
    for (int numbers = 0; numbers < 2; numbers++) {
        struct cursor number;
        p = number.end = back_over_blanks(start, p);
        while (p > start && p[-1] != ' ' && p[-1] != '\t' && p[-1] != '"' && p[-1] != '}')
            p--;
        number.p = p;
        if (!is_number(number))
            return false;
        p = back_over_blanks(start, p);
        if (p > start && p[-1] == '}')
            return true;
    }
    return false;
}

size_t
sample_labels(struct ss_span line, size_t prefix_len, enum text_syntax syntax)
{
    struct cursor c = {line.ptr + prefix_len - 1, line.ptr + line.len};
    if (peek(&c) == ',')
        return prefix_len;
    if (!syntax_is_openmetrics(syntax))
        skip_blanks(&c);
    return peek(&c) == '{' ? (size_t)(c.p - line.ptr) + 1 : 0;
}

/* Parses labels up to and including the closing brace; the cursor is after the opening one. If there was no name so
   far, it is among them. */
static const char *
read_labels(struct cursor *c, struct sample *sample, const char *line)
{
    struct labels labels = labels_in_text(c->p, c->end);
    struct label label;

    sample->labels = (size_t)(c->p - line);
    while (labels_next(&labels, &label))
        ;
    if (labels.broken)
        return "malformed labels";
    c->p = labels.p;
    if (sample->name.raw.len)
        return NULL;
    if (!labels.metric.raw.ptr)
        return "no metric name in braces";
    sample->name = labels.metric;
    /* The byte after a quoted name must rule out that it is a label's. */
    const char *end = labels.metric_end;
    if (end && (*end == ',' || *end == '}'))
        sample->prefix_len = (size_t)(end - line) + 1;
    return NULL;
}

const char *
sample_read(struct ss_span line, enum text_syntax syntax, struct sample *sample)
{
    struct cursor c = {line.ptr, line.ptr + line.len};
    bool openmetrics = syntax_is_openmetrics(syntax);

    *sample = (struct sample){0};
    if (!openmetrics)
        skip_blanks(&c);
    sample->name.raw = read_word(&c);
    if (sample->name.raw.len) {
        sample->prefix_len = (size_t)(c.p - line.ptr) + 1;
        sample->labels = sample_labels(line, sample->prefix_len, syntax);
        if (peek(&c) == '{' && sample_ends_in_value(line, syntax))
            return NULL;
        if (!openmetrics)
            skip_blanks(&c);
    } else if (peek(&c) != '{') {
        return "no metric name";
    }
    if (peek(&c) == '{') {
        c.p++;
        const char *what = read_labels(&c, sample, line.ptr);
        if (what)
            return what;
    }
    return skip_to_value(&c, openmetrics) && is_value(&c, openmetrics) ? NULL : "no value";
}

static bool
is_at(const struct cursor *c, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(c->end - c->p) >= len && !memcmp(c->p, text, len);
}

/* Skips the value at the cursor. False: there is none that may have a timestamp. */
static bool
skip_value(struct cursor *c, enum text_syntax syntax)
{
    if (peek(c) == '{') {
        size_t len = syntax == SYNTAX_OPENMETRICS_2 ? composite_len(c) : 0;
        c->p += len;
        return len;
    }
    if (!is_number(*c))
        return false;
    while (c->p < c->end && !strchr(" \t\r\n", *c->p))
        c->p++;
    return true;
}

size_t
sample_timestamp_offset(struct ss_span line, enum text_syntax syntax)
{
    struct cursor c = {line.ptr, line.ptr + line.len};
    struct sample sample = {0};
    bool openmetrics = syntax_is_openmetrics(syntax);

    if (!openmetrics)
        skip_blanks(&c);
    if (peek(&c) == '#')
        return 0;
    sample.name.raw = read_word(&c);
    if (!openmetrics)
        skip_blanks(&c);
    if (peek(&c) == '{') {
        c.p++;
        if (read_labels(&c, &sample, line.ptr))
            return 0;
    }
    if (!sample.name.raw.len || !skip_to_value(&c, openmetrics) || !skip_value(&c, syntax))
        return 0;
    size_t at = (size_t)(c.p - line.ptr);
    if (openmetrics)
        return peek(&c) == '\n' || is_at(&c, " # {") || (syntax == SYNTAX_OPENMETRICS_2 && is_at(&c, " st@")) ? at : 0;
    skip_blanks(&c);
    return peek(&c) == '\n' ? at : 0;
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

/* Skips required blanks: one space in OpenMetrics, any number otherwise. */
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
comment_read(struct ss_span line, enum text_syntax syntax, struct comment *comment)
{
    struct cursor c = {line.ptr, line.ptr + line.len};
    bool openmetrics = syntax_is_openmetrics(syntax);

    *comment = (struct comment){.kind = COMMENT_PLAIN};
    if (line.len >= 5 && !memcmp(line.ptr, "# EOF", 5) && (line.len == 5 || (line.len == 6 && line.ptr[5] == '\n'))) {
        comment->kind = COMMENT_EOF;
        return NULL;
    }
    if (!openmetrics)
        skip_blanks(&c);
    c.p++;
    bool gap = skip_gap(&c, openmetrics);
    /* Prometheus' text parser stops at a NUL at the start of a comment, or anywhere in one without a blank after #. */
    if (!openmetrics && c.p < c.end && (gap ? !*c.p : !!memchr(c.p, 0, (size_t)(c.end - c.p))))
        return "a NUL byte, where the scraper would stop reading";
    if (!gap)
        return openmetrics ? "a comment other than HELP, TYPE, UNIT or # EOF" : NULL;
    bool is_type = skip_word(&c, "TYPE");
    if (!(is_type || skip_word(&c, "HELP") || (openmetrics && skip_word(&c, "UNIT"))) || !skip_gap(&c, openmetrics))
        return openmetrics ? "a comment other than HELP, TYPE, UNIT or # EOF" : NULL;

    comment->kind = COMMENT_META;
    if (peek(&c) == '"') {
        if (!(c.p = quoted_read(c.p, c.end, &comment->name)))
            return "an unterminated quoted name";
    } else if (!(comment->name.raw = read_word(&c)).len) {
        return "metadata without a metric name";
    }
    if (memchr(comment->name.raw.ptr, '\n', comment->name.raw.len)) {
        const char *what = strict_metadata(&comment->name, is_type, (struct ss_span){c.p, (size_t)(c.end - c.p)});
        if (what)
            return what;
    }
    if (is_type && c.p < c.end) {
        c.p++; /* exactly one blank */
        comment->type = (struct ss_span){c.p, (size_t)(c.end - c.p)};
        if (comment->type.len && c.end[-1] == '\n')
            comment->type.len--;
    }
    return NULL;
}
