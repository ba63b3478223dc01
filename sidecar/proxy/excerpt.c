/* SPDX-License-Identifier: Apache-2.0 */
#include "excerpt.h"

#include <stdio.h>

void
excerpt(char *out, size_t size, struct ss_span bytes)
{
    char *end = out + size - sizeof("\\xff...");
    *out = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = (unsigned char)bytes.ptr[i];
        if (out > end) {
            snprintf(out, sizeof("..."), "...");
            return;
        }
        out += snprintf(out, sizeof("\\xff"), c < ' ' || c > '~' ? "\\x%02x" : "%c", c);
    }
}
