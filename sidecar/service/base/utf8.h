/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_UTF8_H
#define SERVICE_UTF8_H
/* Untrusted text is written only as valid UTF-8: log readers, Prometheus and browsers reject anything else. */
#include <stdbool.h>
#include <stddef.h>

/* Replaces invalid bytes. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* The length of a text's byte order mark: 3, or 0 for none. */
size_t utf8_mark_len(const char *text);

/* The length of the UTF-8 character at p in a NUL-terminated text; 0: invalid (RFC 3629). */
size_t utf8_len(const char *p);

/* Whether a text is valid UTF-8. */
bool utf8_is(const char *text);

#endif
