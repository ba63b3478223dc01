/* SPDX-License-Identifier: Apache-2.0 */
#ifdef __x86_64__
#include "scan_x86.h"

#define AVX512 __attribute__((target("avx512f,avx512bw,pclmul,bmi,popcnt")))

struct block {
    uint64_t ends;    /* LFs outside quotes */
    uint64_t escaped; /* bytes behind an odd run of backslashes */
};

AVX512 static inline struct block
read_block(__m512i bytes, struct scan_carry *carry)
{
    uint64_t lfs = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\n'));
    uint64_t quotes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('"'));
    uint64_t backslashes = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8('\\')), escaped = 0;

    if (__builtin_expect((backslashes | carry->escaped) != 0, 0)) {
        escaped = scan_escaped(backslashes, &carry->escaped);
        quotes &= ~escaped;
    }
    uint64_t inside = inside_quotes(quotes, carry);
    carry->inside_lf |= lfs & inside;
    return (struct block){lfs & ~inside, escaped};
}

/* The lowest n bits; n is below 64. */
static inline __mmask64
low_bits(size_t n)
{
    return (UINT64_C(1) << n) - 1;
}

AVX512 static size_t
avx512_ends(struct ss_span in, struct scan_carry *carryp, uint32_t *ends)
{
    struct scan_carry carry = *carryp;
    size_t n = 0, i = 0;

    for (; in.len - i >= BLOCK; i += BLOCK)
        n += write_ends(ends + n, read_block(_mm512_loadu_si512(in.ptr + i), &carry).ends, (uint32_t)i);
    if (i < in.len) {
        struct block block = read_block(_mm512_maskz_loadu_epi8(low_bits(in.len - i), in.ptr + i), &carry);
        n += write_ends(ends + n, block.ends, (uint32_t)i);
        carry.escaped = block.escaped >> (in.len - i) & 1;
    }
    *carryp = carry;
    return n;
}

/* A line with the same bytes as the head is longer than it: its LF would stand where the head has none, or has one
   inside quotes, and there the line would not end either. So nothing behind the line is looked at, whatever is read. */
AVX512 static size_t
avx512_alike(const struct head *head, const char *line, const char *base, const uint32_t *ends, size_t n,
             const char *limit)
{
    size_t i = 0;
    if (head->len >= BLOCK)
        return scan_alike(head, line, base, ends, n, limit);
    __mmask64 mask = low_bits(head->len);
    __m512i bytes = _mm512_loadu_si512(head->bytes);

    for (; i < n && limit - line >= BLOCK; i++) {
        if (_mm512_mask_cmpneq_epi8_mask(mask, _mm512_loadu_si512(line), bytes))
            return i;
        line = base + ends[i];
    }
    return i + scan_alike(head, line, base, ends + i, n - i, limit);
}

const struct scanner scanner_avx512 = {"avx512", avx512_ends, avx512_alike};

#endif
