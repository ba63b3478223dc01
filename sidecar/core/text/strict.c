/* SPDX-License-Identifier: Apache-2.0 */
#include "strict.h"

#include "sample.h"

#include <math.h>
#include <stdlib.h>

/* A position in a record. */
struct strict_reader {
    const char *p, *end;
    enum text_syntax syntax;
    bool openmetrics; /* the syntax is one of its */
    bool named;       /* the metric's name has been read */
};

enum strings {
    STRING_VALUE, /* of a label */
    STRING_NAME,  /* of a metric or label */
};

static const char no_name[] = "quotes that span lines, expected a metric name",
                  no_label[] = "quotes that span lines, expected a label name or }",
                  no_equal[] = "quotes that span lines, expected = after a label name",
                  no_label_value[] = "quotes that span lines, expected a quoted label value",
                  no_comma[] = "quotes that span lines, expected a comma or } after a label value",
                  no_value[] = "quotes that span lines, expected a value after name and labels",
                  no_time[] = "quotes that span lines, expected a timestamp or the end of the line after the value",
                  no_end[] = "quotes that span lines, expected the end of the line after the timestamp",
                  bad_string[] = "quotes that span lines, around bytes that the scraper rejects";

static char
peek(const struct strict_reader *r)
{
    return r->p < r->end ? *r->p : '\n';
}

/* Skips blanks where they are allowed: in text everywhere. */
static void
skip_blanks(struct strict_reader *r)
{
    while (!r->openmetrics && (peek(r) == ' ' || peek(r) == '\t'))
        r->p++;
}

static bool
skip(struct strict_reader *r, char c)
{
    return r->p < r->end && *r->p == c && r->p++;
}

/* The length of the UTF-8 character at p (RFC 3629), or 0. */
static size_t
character_len(const unsigned char *p, const unsigned char *end)
{
    size_t n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    if ((size_t)(end - p) < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool too_long = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool no_character = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return too_long || no_character ? 0 : n;
}

bool
strict_is_utf8(struct ss_span text)
{
    const unsigned char *p = (const unsigned char *)text.ptr, *end = p + text.len;
    size_t n = 1;
    for (; p < end && n; p += n)
        n = character_len(p, end);
    return n;
}

/* Whether a backslash escapes a byte that scrapers do not allow: an LF, or a NUL, which they skip to take the byte
   after it. */
static bool
has_bad_escape(struct ss_span raw)
{
    const char *p = raw.ptr, *end = p + raw.len;
    for (; (p = memchr(p, '\\', (size_t)(end - p))) != NULL; p += 2)
        if (p[1] == '\n' || !p[1])
            return true;
    return false;
}

static bool
is_string(const struct name *string, enum strings kind)
{
    if (kind == STRING_NAME && (!string->raw.len || memchr(string->raw.ptr, 0, string->raw.len)))
        return false;
    return !(string->escaped && has_bad_escape(string->raw)) && strict_is_utf8(string->raw);
}

/* Reads a quoted string. */
static const char *
read_string(struct strict_reader *r, enum strings kind, bool lf_allowed)
{
    struct name string;
    const char *after = quoted_read(r->p, r->end, &string);
    if (!after || !is_string(&string, kind))
        return bad_string;
    if (!lf_allowed && memchr(string.raw.ptr, '\n', string.raw.len))
        return kind == STRING_NAME ? "a label name that spans lines" : "a label value that spans lines";
    r->p = after;
    return NULL;
}

/* Reads an unquoted label name: a metric's without the colons. */
static bool
read_label_name(struct strict_reader *r)
{
    const char *start = r->p;
    r->p = name_end(start, r->end);
    return r->p > start && !memchr(start, ':', (size_t)(r->p - start));
}

/* Parses labels up to and including the closing brace; the reader is after the opening one. A quoted string that is
   not a label's name is the metric's, in OpenMetrics 2.0 only if it comes first; an exemplar has none. */
static const char *
read_labels(struct strict_reader *r, bool exemplar)
{
    for (bool first = true;; first = false) {
        skip_blanks(r);
        if (skip(r, '}'))
            return NULL;
        bool may_be_name = !exemplar && !r->named && (first || r->syntax != SYNTAX_OPENMETRICS_2);
        bool quoted = peek(r) == '"';
        const char *what = quoted ? read_string(r, STRING_NAME, !exemplar) : read_label_name(r) ? NULL : no_label;
        if (what)
            return what;
        skip_blanks(r);
        if (quoted && may_be_name && (peek(r) == ',' || peek(r) == '}')) {
            r->named = true;
            skip(r, ',');
            continue;
        }
        if (!skip(r, '='))
            return no_equal;
        skip_blanks(r);
        if (peek(r) != '"')
            return no_label_value;
        if ((what = read_string(r, STRING_VALUE, !r->openmetrics)) != NULL)
            return what;
        skip_blanks(r);
        if (!skip(r, ',') && r->openmetrics && peek(r) != '}')
            return no_comma;
    }
}

/* Reads up to a blank or the end of the record. */
static struct ss_span
read_word(struct strict_reader *r)
{
    const char *start = r->p;
    while (r->p < r->end && *r->p != '\n' && *r->p != ' ' && (r->openmetrics || *r->p != '\t'))
        r->p++;
    return (struct ss_span){start, (size_t)(r->p - start)};
}

/* Whether a word is a number in range. finite: neither infinite nor NaN. */
static bool
is_number(struct ss_span word, bool finite)
{
    char text[512]; /* longer ones do not occur */
    if (!word.len || word.len >= sizeof(text) || !sample_is_number(word))
        return false;
    memcpy(text, word.ptr, word.len);
    text[word.len] = 0;
    if (strpbrk(text, "nN")) /* infinite or NaN, which has no sign */
        return !finite && !(strpbrk(text, "aA") && strpbrk(text, "+-"));
    return !isinf(strtod(text, NULL));
}

/* Whether a word is a time in milliseconds in range. */
static bool
is_milliseconds(struct ss_span word)
{
    static const char most[] = "9223372036854775807";
    const size_t len = sizeof(most) - 1;
    for (size_t i = 0; i < word.len; i++)
        if (word.ptr[i] < '0' || word.ptr[i] > '9')
            return false;
    while (word.len > len && *word.ptr == '0') {
        word.ptr++;
        word.len--;
    }
    return word.len && (word.len < len || (word.len == len && memcmp(word.ptr, most, len) <= 0));
}

static bool
is_at(const struct strict_reader *r, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(r->end - r->p) >= len && !memcmp(r->p, text, len);
}

/* Reads a number, or a composite one of OpenMetrics 2.0. */
static bool
read_value(struct strict_reader *r)
{
    struct ss_span word = read_word(r);
    return is_number(word, false) || (r->syntax == SYNTAX_OPENMETRICS_2 && sample_composite_len(word));
}

/* The rest of a line of text after the value: perhaps a timestamp. */
static const char *
read_text_end(struct strict_reader *r)
{
    skip_blanks(r);
    if (peek(r) != '\n' && !is_milliseconds(read_word(r)))
        return no_time;
    skip_blanks(r);
    return peek(r) == '\n' ? NULL : no_end;
}

static const char exemplar_start[] = " # {", start_timestamp[] = " st@";

/* Reads an exemplar. Its timestamp is required in OpenMetrics 2.0. */
static const char *
read_exemplar(struct strict_reader *r)
{
    r->p += strlen(exemplar_start);
    const char *what = read_labels(r, true);
    if (what)
        return what;
    if (!skip(r, ' ') || !is_number(read_word(r), false))
        return "quotes that span lines, expected a value after the exemplar's labels";
    if (!skip(r, ' '))
        return r->syntax == SYNTAX_OPENMETRICS_2 ? no_time : NULL;
    return is_number(read_word(r), true) ? NULL : no_time;
}

/* The same in OpenMetrics: a timestamp and an exemplar, in 2.0 a start timestamp between them and any number of
   exemplars. */
static const char *
read_openmetrics_end(struct strict_reader *r)
{
    bool is_2 = r->syntax == SYNTAX_OPENMETRICS_2;
    bool has_time = !is_at(r, exemplar_start) && !(is_2 && is_at(r, start_timestamp));
    if (has_time && skip(r, ' ') && !is_number(read_word(r), true))
        return no_time;
    if (is_2 && is_at(r, start_timestamp)) {
        r->p += strlen(start_timestamp);
        if (!is_number(read_word(r), true))
            return no_time;
    }
    for (bool more = true; more && is_at(r, exemplar_start); more = is_2) {
        const char *what = read_exemplar(r);
        if (what)
            return what;
    }
    return peek(r) == '\n' ? NULL : no_end;
}

/* The end of a record without its LF. A CR before that is left for the scraper to reject, as in all other lines: any
   scraper that gets such a line rejects the body. */
static const char *
end_of(struct ss_span record, bool openmetrics)
{
    const char *end = record.ptr + record.len;
    if (end > record.ptr && end[-1] == '\n')
        end--;
    return !openmetrics && end > record.ptr && end[-1] == '\r' ? end - 1 : end;
}

const char *
strict_sample(struct ss_span record, enum text_syntax syntax)
{
    bool openmetrics = syntax_is_openmetrics(syntax);
    struct strict_reader r = {record.ptr, end_of(record, openmetrics), syntax, openmetrics, false};

    r.p = name_end(r.p, r.end);
    r.named = r.p > record.ptr;
    skip_blanks(&r);
    if (!r.named && peek(&r) != '{')
        return no_name;
    if (skip(&r, '{')) {
        const char *what = read_labels(&r, false);
        if (what)
            return what;
    }
    if (!r.named)
        return no_name;
    skip_blanks(&r);
    if ((openmetrics && !skip(&r, ' ')) || !read_value(&r))
        return no_value;
    return openmetrics ? read_openmetrics_end(&r) : read_text_end(&r);
}

static bool
is_type_of_text(struct ss_span type)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary", "untyped"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (type.len == strlen(types[i]) && !memcmp(type.ptr, types[i], type.len))
            return true;
    return false;
}

/* Whether a text has an unclosed quote, like the rest of a sample whose start was swallowed. */
static bool
has_open_quote(struct ss_span text)
{
    bool open = false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            open = !open;
    }
    return open;
}

const char *
strict_metadata(const struct name *name, bool is_type, struct ss_span rest)
{
    if (!is_string(name, STRING_NAME))
        return bad_string;
    if (rest.len && rest.ptr[rest.len - 1] == '\n')
        rest.len--;
    /* Scrapers that support quoted names take the first byte for the blank, whatever it is, and any text after it.
       But a name that has swallowed lines ends where a label value started, and older scrapers reject that body. */
    if (rest.len && *rest.ptr != ' ' && *rest.ptr != '\t')
        return "quotes that span lines, expected a blank after the name";
    if (has_open_quote(rest))
        return "quotes that span lines, expected no open quote after the name";
    if (rest.len) {
        rest.ptr++;
        rest.len--;
    }
    if (is_type && !is_type_of_text(rest))
        return "quotes that span lines, expected counter, gauge, histogram, summary or untyped after the name";
    return strict_is_utf8(rest) ? NULL : "quotes that span lines, expected a help text in UTF-8 after the name";
}
