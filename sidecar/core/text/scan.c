/* SPDX-License-Identifier: Apache-2.0 */
/* The portable scanner, and the choice among all of them. */
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
            quoted ^= 1;
        }
        escaped = c == '\\' && !escaped;
    }
    carry->quoted = quoted;
    carry->escaped = escaped;
    return n;
}

size_t
scan_same_prefix(const struct prefix *prefix, const char *line, const char *base, const uint32_t *ends, size_t n,
                 const char *limit)
{
    size_t i = 0;
    (void)limit;
    for (; i < n; i++) {
        const char *next = base + ends[i];
        if (!prefix_matches((struct ss_span){line, (size_t)(next - line)}, prefix))
            break;
        line = next;
    }
    return i;
}

const struct scanner scanner_portable = {"portable", portable_ends, scan_same_prefix};

bool
scanner_runs(const struct scanner *scanner)
{
#ifdef __x86_64__
    bool common = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("popcnt");
    if (scanner == &scanner_avx2)
        return common && __builtin_cpu_supports("avx2");
    /* Processors without this, the newest of what is needed, slow down when they use 512-bit registers. */
    if (scanner == &scanner_avx512)
        return common && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vpopcntdq");
#endif
    return scanner != NULL;
}

const struct scanner *
scanner_best(void)
{
#ifdef __x86_64__
    if (scanner_runs(&scanner_avx512))
        return &scanner_avx512;
    if (scanner_runs(&scanner_avx2))
        return &scanner_avx2;
#endif
#ifdef __aarch64__
    return &scanner_neon;
#endif
    return &scanner_portable;
}
