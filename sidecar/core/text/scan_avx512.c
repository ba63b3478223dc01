/* SPDX-License-Identifier: Apache-2.0 */
#ifdef __x86_64__
#include "scan_x86.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,pclmul,bmi,popcnt")))

AVX512 static inline __mmask64
equals(__m512i bytes, char c)
{
    return _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(c));
}

/* The lowest n bits; n is below 64. */
static inline __mmask64
low_bits(size_t n)
{
    return (UINT64_C(1) << n) - 1;
}

/* Two blocks per step, so that one test finds a backslash in either. */
AVX512 static size_t
avx512_ends(struct ss_span in, struct scan_carry *carryp, uint32_t *ends)
{
    struct scan_carry carry = *carryp;
    size_t n = 0, i = 0;

    for (; in.len - i >= 2 * BLOCK; i += 2 * BLOCK) {
        __m512i first = _mm512_loadu_si512(in.ptr + i), second = _mm512_loadu_si512(in.ptr + i + BLOCK);
        __mmask64 first_slashes = equals(first, '\\'), second_slashes = equals(second, '\\');
        uint64_t first_quotes = equals(first, '"'), second_quotes = equals(second, '"');

        drop_escaped(&first_quotes, &second_quotes, first_slashes, second_slashes,
                     !_kortestz_mask64_u8(first_slashes, second_slashes), &carry);
        n += write_ends(ends + n, equals(first, '\n'), first_quotes, (uint32_t)i, &carry);
        n += write_ends(ends + n, equals(second, '\n'), second_quotes, (uint32_t)i + BLOCK, &carry);
    }
    for (; i < in.len; i += BLOCK) {
        size_t len = in.len - i;
        __m512i bytes = _mm512_maskz_loadu_epi8(len < BLOCK ? low_bits(len) : UINT64_MAX, in.ptr + i);
        n += write_last(ends + n, equals(bytes, '\n'), equals(bytes, '"'), equals(bytes, '\\'), len, (uint32_t)i,
                        &carry);
    }
    *carryp = carry;
    return n;
}

/* A line that starts with the bytes of the prefix is longer than it: its LF would be where the prefix has none, or
   has one inside quotes, where the line would not end either. So bytes after the line never matter, although they
   are loaded. */
AVX512 static size_t
avx512_same_prefix(const struct prefix *prefix, const char *line, const char *base, const uint32_t *ends, size_t n,
                   const char *limit)
{
    size_t i = 0;
    if (prefix->len >= BLOCK)
        return scan_same_prefix(prefix, line, base, ends, n, limit);
    __mmask64 mask = low_bits(prefix->len);
    __m512i bytes = _mm512_loadu_si512(prefix->bytes);

    for (; i < n && limit - line >= BLOCK; i++) {
        if (_mm512_mask_cmpneq_epi8_mask(mask, _mm512_loadu_si512(line), bytes))
            return i;
        line = base + ends[i];
    }
    return i + scan_same_prefix(prefix, line, base, ends + i, n - i, limit);
}

const struct scanner scanner_avx512 = {"avx512", avx512_ends, avx512_same_prefix};

#endif
