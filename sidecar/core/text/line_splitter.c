/* SPDX-License-Identifier: Apache-2.0 */
#include "line_splitter.h"

#include "find.h"

#include <errno.h>
#include <string.h>

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The letters that may stand at a place of a keyword, given its first. */
static bool
keyword_goes_on(const struct cut *cut, char c)
{
    switch (cut->first) {
    case 'H':
        return c == "HELP"[cut->word];
    case 'T':
        return c == "TYPE"[cut->word];
    default:
        return cut->openmetrics && c == "UNIT"[cut->word];
    }
}

/* A byte behind the head, where quotes and backslashes count. */
static enum cut_state
cut_body(struct cut *cut, char c)
{
    bool escaped = cut->escaped;
    cut->escaped = c == '\\' && !escaped;
    if (c != '"' || escaped)
        return cut->state;
    switch (cut->state) {
    case CUT_QUOTED_NAME:
        return CUT_COMMENT;
    case CUT_SAMPLE:
        return CUT_QUOTED;
    default: /* CUT_QUOTED */
        return CUT_SAMPLE;
    }
}

/* Steps in a body over bytes that mean nothing there. */
static const char *
skip_body(const struct cut *cut, const char *p, const char *end)
{
    return cut->escaped ? p : find_any(p, end, '"', '\\', '\n');
}

/* The head of a line, a byte at a time: is it a sample, a comment, or a comment with a name that may be quoted? */
static enum cut_state
cut_head(struct cut *cut, char c)
{
    switch (cut->state) {
    case CUT_START:
        if (is_blank(c) || c == '#')
            return c == '#' ? CUT_HASH : CUT_START;
        cut->state = CUT_SAMPLE;
        return cut_body(cut, c);
    case CUT_HASH:
        cut->word = 0;
        return is_blank(c) ? CUT_KEYWORD : CUT_COMMENT;
    case CUT_KEYWORD:
        if (cut->word == 0 && is_blank(c))
            return CUT_KEYWORD;
        if (cut->word == 0)
            cut->first = c;
        if (cut->word == 4)
            return is_blank(c) ? CUT_NAME : CUT_COMMENT;
        if (!keyword_goes_on(cut, c))
            return CUT_COMMENT;
        cut->word++;
        return CUT_KEYWORD;
    default: /* CUT_NAME */
        return is_blank(c) ? CUT_NAME : c == '"' ? CUT_QUOTED_NAME : CUT_COMMENT;
    }
}

bool
cut_is_quoted(const struct cut *cut)
{
    return cut->state == CUT_QUOTED || cut->state == CUT_QUOTED_NAME;
}

/* Whether an LF ends the line. */
static bool
ends_at_lf(const struct cut *cut)
{
    return !cut_is_quoted(cut) || (cut->openmetrics && cut->state == CUT_QUOTED_NAME);
}

size_t
cut_feed(struct cut *cut, struct ss_span in)
{
    const char *end = in.ptr + in.len;
    for (const char *p = in.ptr; p < end; p++) {
        if (cut->state == CUT_COMMENT) {
            const char *lf = memchr(p, '\n', (size_t)(end - p));
            return lf ? (size_t)(lf - in.ptr) + 1 : 0;
        }
        if (cut->state >= CUT_QUOTED_NAME && (p = skip_body(cut, p, end)) == end)
            break;
        if (*p == '\n' && ends_at_lf(cut))
            return (size_t)(p - in.ptr) + 1;
        cut->state = cut->state < CUT_QUOTED_NAME ? cut_head(cut, *p) : cut_body(cut, *p);
    }
    return 0;
}

long
line_fill(struct line *line, struct ss_span in, size_t max, bool *wholep)
{
    size_t end = cut_feed(&line->cut, in);
    size_t n = end ? end : in.len;

    *wholep = end != 0;
    if (n > max - line->bytes.len) {
        n = max - line->bytes.len;
        *wholep = false;
    }
    return bytes_add(&line->bytes, (struct ss_span){in.ptr, n}) ? -ENOMEM : (long)n;
}

int
line_begin(struct line *line, struct ss_span bytes, bool quoted, bool escaped)
{
    line->cut.state = quoted ? CUT_QUOTED : CUT_SAMPLE;
    line->cut.escaped = escaped;
    return bytes_add(&line->bytes, bytes);
}

void
line_clear(struct line *line)
{
    line->bytes.len = 0;
    line->cut = (struct cut){.openmetrics = line->cut.openmetrics};
}

void
line_deinit(struct line *line)
{
    bytes_deinit(&line->bytes);
}
