/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TERMINAL_H
#define CMD_TERMINAL_H
/* What the terminal of an output can show. */
#include <stdbool.h>
#include <stdio.h>

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

#endif
