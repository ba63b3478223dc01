/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_EXCERPT_H
#define PROXY_EXCERPT_H
/* Quotes bytes of an upstream in a reason, which is one line of text. */
#include <scrapeshard/span.h>

#include <stddef.h>

/* Writes the bytes, escaped, as far as there is room; then "..." if some are left. size is at least 8. */
void excerpt(char *out, size_t size, struct ss_span bytes);

#endif
