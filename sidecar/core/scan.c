/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner that runs everywhere, and the choice among all. */
#include "scan.h"

static size_t
portable_ends(struct ss_span in, struct scan_carry *carry, uint32_t *ends)
{
    uint64_t quoted = carry->quoted, escaped = carry->escaped;
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (c == '\n') {
            carry->inside_lf |= quoted;
            ends[n] = (uint32_t)i + 1;
            n += !quoted;
        } else if (c == '"' && !escaped) {
            quoted = ~quoted;
        }
        escaped = c == '\\' && !escaped;
    }
    carry->quoted = quoted;
    carry->escaped = escaped;
    return n;
}

const struct scanner scanner_portable = {"portable", portable_ends};

const struct scanner *
scanner_best(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("popcnt"))
        return &scanner_avx2;
#endif
    return &scanner_portable;
}
