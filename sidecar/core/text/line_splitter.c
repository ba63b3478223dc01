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

/* Whether a byte continues a keyword with the first letter seen. */
static bool
keyword_continues(const struct line_splitter *splitter, char c)
{
    switch (splitter->first) {
    case 'H':
        return c == "HELP"[splitter->word];
    case 'T':
        return c == "TYPE"[splitter->word];
    default:
        return splitter->openmetrics && c == "UNIT"[splitter->word];
    }
}

/* A byte after the start of a line, where quotes and backslashes count. */
static enum line_state
feed_body(struct line_splitter *splitter, char c)
{
    bool escaped = splitter->escaped;
    splitter->escaped = c == '\\' && !escaped;
    if (c != '"' || escaped)
        return splitter->state;
    switch (splitter->state) {
    case LINE_QUOTED_NAME:
        return LINE_COMMENT;
    case LINE_SAMPLE:
        return LINE_QUOTED;
    default: /* LINE_QUOTED */
        return LINE_SAMPLE;
    }
}

/* Skips bytes that have no meaning there. */
static const char *
skip_body(const struct line_splitter *splitter, const char *p, const char *end)
{
    return splitter->escaped ? p : find_any(p, end, '"', '\\', '\n');
}

/* The start of a line, byte by byte: is it a sample, a comment, or a comment with a name that may be quoted? */
static enum line_state
feed_head(struct line_splitter *splitter, char c)
{
    switch (splitter->state) {
    case LINE_START:
        if (is_blank(c) || c == '#')
            return c == '#' ? LINE_HASH : LINE_START;
        splitter->state = LINE_SAMPLE;
        return feed_body(splitter, c);
    case LINE_HASH:
        splitter->word = 0;
        return is_blank(c) ? LINE_KEYWORD : LINE_COMMENT;
    case LINE_KEYWORD:
        if (splitter->word == 0 && is_blank(c))
            return LINE_KEYWORD;
        if (splitter->word == 0)
            splitter->first = c;
        if (splitter->word == 4)
            return is_blank(c) ? LINE_NAME : LINE_COMMENT;
        if (!keyword_continues(splitter, c))
            return LINE_COMMENT;
        splitter->word++;
        return LINE_KEYWORD;
    default: /* LINE_NAME */
        return is_blank(c) ? LINE_NAME : c == '"' ? LINE_QUOTED_NAME : LINE_COMMENT;
    }
}

bool
line_splitter_is_quoted(const struct line_splitter *splitter)
{
    return splitter->state == LINE_QUOTED || splitter->state == LINE_QUOTED_NAME;
}

/* Whether an LF ends the line. */
static bool
ends_at_lf(const struct line_splitter *splitter)
{
    return !line_splitter_is_quoted(splitter) || (splitter->openmetrics && splitter->state == LINE_QUOTED_NAME);
}

size_t
line_splitter_feed(struct line_splitter *splitter, struct ss_span in)
{
    const char *end = in.ptr + in.len;
    for (const char *p = in.ptr; p < end; p++) {
        if (splitter->state == LINE_COMMENT) {
            const char *lf = memchr(p, '\n', (size_t)(end - p));
            return lf ? (size_t)(lf - in.ptr) + 1 : 0;
        }
        if (splitter->state >= LINE_QUOTED_NAME && (p = skip_body(splitter, p, end)) == end)
            break;
        if (*p == '\n' && ends_at_lf(splitter))
            return (size_t)(p - in.ptr) + 1;
        splitter->state = splitter->state < LINE_QUOTED_NAME ? feed_head(splitter, *p) : feed_body(splitter, *p);
    }
    return 0;
}

long
partial_line_fill(struct partial_line *line, struct ss_span in, size_t max, bool *wholep)
{
    size_t end = line_splitter_feed(&line->splitter, in);
    size_t n = end ? end : in.len;

    *wholep = end != 0;
    if (n > max - line->bytes.len) {
        n = max - line->bytes.len;
        *wholep = false;
    }
    return buffer_add(&line->bytes, (struct ss_span){in.ptr, n}) ? -ENOMEM : (long)n;
}

int
partial_line_start(struct partial_line *line, struct ss_span bytes, bool quoted, bool escaped)
{
    line->splitter.state = quoted ? LINE_QUOTED : LINE_SAMPLE;
    line->splitter.escaped = escaped;
    return buffer_add(&line->bytes, bytes);
}

void
partial_line_clear(struct partial_line *line)
{
    line->bytes.len = 0;
    line->splitter = (struct line_splitter){.openmetrics = line->splitter.openmetrics};
}

void
partial_line_deinit(struct partial_line *line)
{
    buffer_deinit(&line->bytes);
}
