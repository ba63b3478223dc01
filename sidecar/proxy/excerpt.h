/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_EXCERPT_H
#define PROXY_EXCERPT_H
/* Bytes of a service in a reason, which is a line of text. */
#include <scrapeshard/span.h>

#include <stddef.h>

/* Writes the beginning of the bytes, escaped; "..." follows where not all of them have room. size is 8 at the least. */
void excerpt(char *out, size_t size, struct ss_span bytes);

#endif
