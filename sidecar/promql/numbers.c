/* SPDX-License-Identifier: Apache-2.0 */
#include "numbers.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *
duration_read(struct ss_span text, int64_t *ms)
{
    /* Prometheus keeps durations in 64 bits of nanoseconds. */
    const int64_t most = INT64_MAX / 1000000;
    const char *p = text.ptr, *end = p + text.len;

    *ms = 0;
    while (p < end) {
        int64_t number = 0, unit = 0;
        for (; p < end && *p >= '0' && *p <= '9'; p++) {
            if (number > most)
                return "the duration is out of range";
            number = number * 10 + (*p - '0');
        }
        char c = *p++;
        if (c == 'm' && p < end && *p == 's') {
            p++;
            unit = 1;
        } else {
            const int64_t second = 1000, day = 24 * 3600 * second;
            unit = c == 's'   ? second
                   : c == 'm' ? 60 * second
                   : c == 'h' ? 3600 * second
                   : c == 'd' ? day
                   : c == 'w' ? 7 * day
                              : 365 * day;
        }
        if (number > (most - *ms) / unit)
            return "the duration is out of range";
        *ms += number * unit;
    }
    return NULL;
}

const char *
number_read(struct ss_span text, double *value)
{
    char digits[128], *to = digits, *end;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '_')
            continue;
        if (to == digits + sizeof(digits) - 1)
            return "the number is too long";
        *to++ = text.ptr[i];
    }
    *to = 0;
    errno = 0;
    bool hex = digits[0] == '0' && (digits[1] | 0x20) == 'x';
    *value = hex ? (double)strtoll(digits, &end, 16) : strtod(digits, &end);
    if (*end || (errno == ERANGE && (hex || isinf(*value))))
        return "the number is out of range";
    return NULL;
}
