/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCAN_X86_H
#define CORE_SCAN_X86_H
/*
 * Sixty-four bytes a block: a bit for each LF, quote and backslash. If a block has several LFs or an open quote, the
 * regions between quotes are found by a carry-less multiplication, as in simdjson (Langdale and Lemire, "Parsing
 * Gigabytes of JSON per Second", VLDB Journal 28, 2019, section 3.1.1); in all others the quotes are only counted.
 *
 * The part that does not depend on how the bits are computed, for scan_avx2.c and scan_avx512.c, which each compile it
 * for their processors.
 */
#include "scan.h"

#include <immintrin.h>

enum { BLOCK = 64 };

#define SCAN_X86 __attribute__((target("pclmul,bmi,popcnt")))

/* The bytes after an opening quote and before the closing one. */
SCAN_X86 static inline uint64_t
inside_quotes(uint64_t quotes, uint64_t quoted)
{
    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)quotes), _mm_set1_epi8(-1), 0);
    return (uint64_t)_mm_cvtsi128_si64(product) ^ (0 - quoted);
}

/* Writes the ends of any block, which starts at an offset. */
SCAN_X86 __attribute__((noinline)) static size_t
write_any_ends(uint32_t *out, uint64_t lfs, uint64_t quotes, uint32_t offset, struct scan_carry *carry)
{
    uint64_t inside = inside_quotes(quotes, carry->quoted), ends = lfs & ~inside;
    size_t n = (size_t)__builtin_popcountll(ends);

    carry->quoted = inside >> 63;
    carry->inside_lf |= lfs & inside;
    for (size_t i = 0; i < n; i++) {
        out[i] = offset + (uint32_t)_tzcnt_u64(ends) + 1;
        ends = _blsr_u64(ends);
    }
    return n;
}

/* The same. Most blocks have at most one LF, and the quotes before it are closed: there counting them is enough. It
   always writes one end, which is cheaper than a branch. */
SCAN_X86 static inline size_t
write_ends(uint32_t *out, uint64_t lfs, uint64_t quotes, uint32_t offset, struct scan_carry *carry)
{
    size_t n = (size_t)__builtin_popcountll(lfs);
    uint64_t open = carry->quoted ^ (uint64_t)__builtin_popcountll(quotes & _blsmsk_u64(lfs));

    if (__builtin_expect(n + (open & 1) > 1, 0))
        return write_any_ends(out, lfs, quotes, offset, carry);
    out[0] = offset + (uint32_t)_tzcnt_u64(lfs) + 1;
    carry->quoted = (carry->quoted ^ (uint64_t)__builtin_popcountll(quotes)) & 1;
    return n;
}

/* Removes the escaped quotes of two blocks; slashed: one of the blocks has a backslash. */
static inline void
drop_escaped(uint64_t *first_quotes, uint64_t *second_quotes, uint64_t first_slashes, uint64_t second_slashes,
             bool slashed, struct scan_carry *carry)
{
    if (__builtin_expect(slashed, 0)) {
        *first_quotes &= ~scan_escaped(first_slashes, &carry->escaped);
        *second_quotes &= ~scan_escaped(second_slashes, &carry->escaped);
    } else {
        *first_quotes &= ~carry->escaped; /* only the first byte can be */
        carry->escaped = 0;
    }
}

/* The last block, of which len bytes count; the others are zeros. */
SCAN_X86 static inline size_t
write_last(uint32_t *out, uint64_t lfs, uint64_t quotes, uint64_t slashes, size_t len, uint32_t offset,
           struct scan_carry *carry)
{
    uint64_t escaped = scan_escaped(slashes, &carry->escaped);
    if (len < BLOCK)
        carry->escaped = escaped >> len & 1;
    return write_ends(out, lfs, quotes & ~escaped, offset, carry);
}

#endif
