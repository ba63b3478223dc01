/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H
/* Output for people: colours and bars if it is a terminal, and text that cannot harm one. */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct terminal {
    bool is_tty;
    bool colours;           /* TERM is not dumb, and NO_COLOR is not set */
    bool utf8;              /* by the locale */
    unsigned columns, rows; /* 80 and 0 if it is not a terminal */
};

struct terminal terminal_of(FILE *out);

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_GOOD, COLOUR_BAD };

/* The escape sequence of a colour; empty without colours. */
const char *terminal_colour(const struct terminal *terminal, enum colour colour);

/* Draws a bar of value / max of the line's free width, after `used` columns and two blanks; nothing if there is no
   space. */
void terminal_bar(const struct terminal *terminal, FILE *out, double value, double max, int used);

/* The length of the UTF-8 character at p; 0 if it is invalid. */
size_t text_character(const char *p, const char *end);

/* Prints untrusted text: control characters and invalid UTF-8 as \n, \t, \xNN, a backslash doubled. */
void print_escaped(FILE *out, struct ss_span text);

/* The same for text with escapes of its own: backslashes are kept. */
void print_escaped_controls(FILE *out, struct ss_span text);

/*
 * Progress on standard error of work that takes longer than a second: one line that is rewritten on a terminal, else a
 * line now and then.
 */
struct progress {
    const char *what; /* "bytes read" */
    struct timespec started, updated;
    bool shown;
};

struct progress progress_start(const char *what);

/* total 0: unknown. */
void progress_update(struct progress *progress, uint64_t done, uint64_t total);

/* Erases the line. */
void progress_end(struct progress *progress);

#endif
