/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCAN_X86_H
#define CORE_SCAN_X86_H
/*
 * Sixty-four bytes a step: a bit for each LF, quote and backslash; the regions between quotes by a carry-less
 * multiplication, and the ends written out without a branch on how many there are, as simdjson does (Langdale and
 * Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019, sections 3.1.1 and 3.1.4).
 *
 * What does not depend on how the bits were made; for scan_avx2.c and scan_avx512.c, which each compile it for their
 * processors.
 */
#include "scan.h"

#include <immintrin.h>

enum { BLOCK = 64 };

/* Which bytes stand behind an opening quote and not behind the closing one. */
__attribute__((target("pclmul"))) static inline uint64_t
inside_quotes(uint64_t quotes, struct scan_carry *carry)
{
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)quotes), _mm_set1_epi8(-1), 0);
    uint64_t inside = (uint64_t)_mm_cvtsi128_si64(product) ^ carry->quoted;
    carry->quoted = (uint64_t)((int64_t)inside >> 63);
    return inside;
}

/* Writes out the ends of a block that begins at an offset; always one, which costs less than to ask. */
__attribute__((target("bmi,popcnt"))) static inline size_t
write_ends(uint32_t *out, uint64_t ends, uint32_t offset)
{
    size_t n = (size_t)__builtin_popcountll(ends);
    out[0] = offset + (uint32_t)_tzcnt_u64(ends) + 1;
    if (__builtin_expect(n > 1, 0)) {
        for (size_t i = 1; i < n; i++) {
            ends = _blsr_u64(ends);
            out[i] = offset + (uint32_t)_tzcnt_u64(ends) + 1;
        }
    }
    return n;
}

#endif
