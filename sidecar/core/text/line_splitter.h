/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LINE_SPLITTER_H
#define CORE_LINE_SPLITTER_H
/*
 * Splits the text formats into lines, and owns the incomplete one.
 *
 * A line ends at the first LF outside quotes. But quotes count only in a sample and in a quoted name after HELP, TYPE
 * or UNIT; in the rest of a comment they are ordinary bytes. In OpenMetrics such a name cannot contain an LF: there the
 * line ends, and is malformed.
 */
#include "core/base/buffer.h"

#include <scrapeshard/span.h>

#include <stdbool.h>

/* The state of a line. */
enum line_state {
    LINE_START = 0, /* only blanks so far */
    LINE_HASH,      /* # */
    LINE_KEYWORD,   /* # and blanks, then perhaps part of HELP, TYPE or UNIT */
    LINE_NAME,      /* a keyword and blanks */
    LINE_QUOTED_NAME,
    LINE_COMMENT, /* everything up to the next LF */
    LINE_SAMPLE,
    LINE_QUOTED,
};

struct line_splitter {
    enum line_state state;
    bool escaped;       /* the last byte was an unescaped backslash, in LINE_QUOTED_NAME, LINE_SAMPLE and LINE_QUOTED */
    unsigned char word; /* number of keyword letters seen, in LINE_KEYWORD */
    char first;         /* the keyword's first letter */
    bool openmetrics;   /* UNIT is a keyword too */
};

/* Continues the line. Returns the number of bytes of in that belong to it, including its LF; 0 if it does not end in
   them. */
size_t line_splitter_feed(struct line_splitter *splitter, struct ss_span in);

/* Whether the bytes so far end inside quotes. */
bool line_splitter_is_quoted(const struct line_splitter *splitter);

/* A line that arrives in pieces. Zeroed, except for splitter.openmetrics, is empty. */
struct partial_line {
    struct line_splitter splitter;
    struct buffer bytes;
};

/*
 * Appends from in up to the end of the line, at most max bytes in total. *wholep: whether it is complete. Returns the
 * bytes consumed, or -ENOMEM. A line that is incomplete after fewer than in.len bytes is longer than max.
 */
long partial_line_fill(struct partial_line *line, struct ss_span in, size_t max, bool *wholep);

/* Starts an empty line with bytes of a sample whose quoting state at the end is known, so that they need not be
   scanned again. 0 or -ENOMEM. */
int partial_line_start(struct partial_line *line, struct ss_span bytes, bool quoted, bool escaped);

/* Empties the line but keeps its memory for the next. */
void partial_line_clear(struct partial_line *line);

void partial_line_deinit(struct partial_line *line);

#endif
