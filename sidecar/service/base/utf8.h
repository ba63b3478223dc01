/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_UTF8_H
#define SERVICE_UTF8_H
/* Texts of unknown origin go out only as UTF-8: a log reader, Prometheus and a browser all take offence otherwise. */
#include <stdbool.h>
#include <stddef.h>

/* What stands where bytes were that are none. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* The length of the byte order mark that a text begins with: 3, or 0 for none. */
size_t utf8_mark_len(const char *text);

/* The length of the UTF-8 character at p, which ends in a NUL somewhere; 0 if there is none (RFC 3629). */
size_t utf8_len(const char *p);

/* Whether a text is nothing but such characters. */
bool utf8_is(const char *text);

#endif
