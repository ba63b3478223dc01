/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LINE_SPLITTER_H
#define CORE_LINE_SPLITTER_H
/*
 * Cuts lines of the text formats, and owns the one that is not whole yet.
 *
 * A line ends at the first LF outside quotes; but quotes mean something only in a sample and in a quoted name behind
 * HELP, TYPE or UNIT: in the rest of a comment they are letters. In OpenMetrics such a name holds no LF: there the line
 * ends, and is wrong.
 */
#include "core/base/buffer.h"

#include <scrapeshard/span.h>

#include <stdbool.h>

/* How far a line has been read. */
enum line_state {
    LINE_START = 0, /* nothing but blanks */
    LINE_HASH,      /* # */
    LINE_KEYWORD,   /* # and blanks, then perhaps a part of HELP, TYPE or UNIT */
    LINE_NAME,      /* a keyword and blanks */
    LINE_QUOTED_NAME,
    LINE_COMMENT, /* whatever follows ends at the next LF */
    LINE_SAMPLE,
    LINE_QUOTED,
};

struct line_splitter {
    enum line_state state;
    bool escaped;       /* the last byte was an odd backslash, in LINE_QUOTED_NAME, LINE_SAMPLE and LINE_QUOTED */
    unsigned char word; /* letters of a keyword read, in LINE_KEYWORD */
    char first;         /* the keyword's first letter */
    bool openmetrics;   /* UNIT is a keyword too */
};

/* Reads on. Returns how many bytes of in belong to the line, its LF included; 0 if it does not end in there. */
size_t line_splitter_feed(struct line_splitter *splitter, struct ss_span in);

/* Whether the bytes read so far end inside quotes. */
bool line_splitter_is_quoted(const struct line_splitter *splitter);

/* A line that came in pieces. Zeroed, but for cut.openmetrics, is empty. */
struct partial_line {
    struct line_splitter splitter;
    struct buffer bytes;
};

/*
 * Appends from in up to the line's end, at most up to max bytes in all. *wholep tells whether it is whole now; returns
 * the bytes taken, or -ENOMEM. A line that is not whole after fewer than in.len bytes is longer than max.
 */
long partial_line_fill(struct partial_line *line, struct ss_span in, size_t max, bool *wholep);

/* Begins an empty line with bytes of a sample of which it is known how they end, so that they need not be read again. 0
   or -ENOMEM. */
int partial_line_start(struct partial_line *line, struct ss_span bytes, bool quoted, bool escaped);

/* Empties the line; its memory is kept for the next. */
void partial_line_clear(struct partial_line *line);

void partial_line_deinit(struct partial_line *line);

#endif
