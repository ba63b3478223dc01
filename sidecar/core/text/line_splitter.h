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
enum cut_state {
    CUT_START = 0, /* nothing but blanks */
    CUT_HASH,      /* # */
    CUT_KEYWORD,   /* # and blanks, then perhaps a part of HELP, TYPE or UNIT */
    CUT_NAME,      /* a keyword and blanks */
    CUT_QUOTED_NAME,
    CUT_COMMENT, /* whatever follows ends at the next LF */
    CUT_SAMPLE,
    CUT_QUOTED,
};

struct cut {
    enum cut_state state;
    bool escaped;       /* the last byte was an odd backslash, in CUT_QUOTED_NAME, CUT_SAMPLE and CUT_QUOTED */
    unsigned char word; /* letters of a keyword read, in CUT_KEYWORD */
    char first;         /* the keyword's first letter */
    bool openmetrics;   /* UNIT is a keyword too */
};

/* Reads on. Returns how many bytes of in belong to the line, its LF included; 0 if it does not end in there. */
size_t cut_feed(struct cut *cut, struct ss_span in);

/* Whether the bytes read so far end inside quotes. */
bool cut_is_quoted(const struct cut *cut);

/* A line that came in pieces. Zeroed, but for cut.openmetrics, is empty. */
struct line {
    struct cut cut;
    struct bytes bytes;
};

/*
 * Appends from in up to the line's end, at most up to max bytes in all. *wholep tells whether it is whole now; returns
 * the bytes taken, or -ENOMEM. A line that is not whole after fewer than in.len bytes is longer than max.
 */
long line_fill(struct line *line, struct ss_span in, size_t max, bool *wholep);

/* Begins an empty line with bytes of a sample of which it is known how they end, so that they need not be read again. 0
   or -ENOMEM. */
int line_begin(struct line *line, struct ss_span bytes, bool quoted, bool escaped);

/* Empties the line; its memory is kept for the next. */
void line_clear(struct line *line);

void line_deinit(struct line *line);

#endif
