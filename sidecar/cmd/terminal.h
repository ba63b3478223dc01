/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H
/* What a person sees: colours and widths where there is a terminal, and bytes that do it no harm. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct terminal {
    bool is_one;            /* and not a file or a pipe */
    bool colours;           /* it is one that takes them, and NO_COLOR is not set */
    bool blocks;            /* it shows UTF-8 */
    unsigned columns, rows; /* of a file: 80 and 0 */
};

struct terminal terminal_of(FILE *out);

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_GOOD, COLOUR_BAD };

/* The bytes that switch to a colour; nothing where there are none. */
const char *terminal_colour(const struct terminal *terminal, enum colour colour);

/* Draws a bar, as long as value is of most, with two blanks before it, in what a line has left after so many columns;
   nothing if that is too little. */
void terminal_bar(const struct terminal *terminal, FILE *out, double value, double most, int used);

/* The length of the UTF-8 character at p; 0 if there is none. */
size_t text_character(const char *p, const char *end);

/* Writes text of unknown origin: control characters and what is no UTF-8 as \n, \t, \xNN; a backslash doubled. */
void text_print(FILE *out, struct ss_span text);

/* The same for text that has its own escapes: a backslash stays. */
void log_escape_text(FILE *out, struct ss_span text);

/*
 * Tells on standard error how far a work is that takes longer than a second: on a terminal in one line that is
 * rewritten, elsewhere in a line now and then.
 */
struct progress {
    const char *what; /* "reading" */
    struct timespec begun, told;
    bool shown;
};

struct progress progress_start(const char *what);

/* total 0: not known. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);

/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
