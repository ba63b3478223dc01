/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_ESCAPE_H
#define CMD_ESCAPE_H
/* Untrusted text, printed so that it cannot control a terminal. */
#include <scrapeshard/span.h>

#include <stdio.h>

/* The length of the UTF-8 character at p; 0 if it is invalid. */
size_t utf8_char_len(const char *p, const char *end);

/* Prints untrusted text: control characters and invalid UTF-8 as \n, \t, \xNN, a backslash doubled. */
void print_escaped(FILE *out, struct ss_span text);

/* The same for text with escapes of its own: backslashes are kept. */
void print_escaped_controls(FILE *out, struct ss_span text);

#endif
