/* SPDX-License-Identifier: Apache-2.0 */
#ifdef __x86_64__
#include "scan_x86.h"

#include <stdalign.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,pclmul,bmi,popcnt")))

enum {
    /* As many blocks as a vector has masks of them. */
    GROUP_BLOCKS = 8,
    GROUP = GROUP_BLOCKS * BLOCK,
    /* How many batches are not read in groups after one where it did not pay. */
    REST = 15,
};

/* Of each block of a batch, a bit for each of its bytes. */
struct marks {
    alignas(64) uint64_t lfs[SCAN_BATCH / BLOCK];
    alignas(64) uint64_t quotes[SCAN_BATCH / BLOCK];
};

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

/* Marks n blocks. False: there is a backslash, too. (The masks of a group are read as vectors only once all of the
   batch are written: a load that needs several stores waits until they have left the store buffer.) */
AVX512 static bool
mark_blocks(const char *bytes, size_t n, struct marks *marks)
{
    __m512i nearest = _mm512_set1_epi8(-1); /* to a backslash, which is 0 */
    for (size_t i = 0; i < n; i++) {
        __m512i block = _mm512_loadu_si512(bytes + i * BLOCK);
        marks->lfs[i] = equals(block, '\n');
        marks->quotes[i] = equals(block, '"');
        nearest = _mm512_min_epu8(nearest, _mm512_xor_si512(block, _mm512_set1_epi8('\\')));
    }
    return !_mm512_testn_epi8_mask(nearest, nearest);
}

/* For each bit whether the bits up to it, and the carry, are odd in number. */
static inline unsigned
running_parity(unsigned bits, uint64_t carry)
{
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    return bits ^ (0 - (unsigned)carry);
}

/*
 * Writes the ends of a group whose blocks have at most one LF each, none of them inside quotes: then counting quotes is
 * enough, as in write_ends(). Returns their number; negative: it is not such a group.
 */
AVX512 static inline int
write_plain_ends(uint32_t *out, __m512i lfs, __m512i quotes, uint32_t offset, uint64_t *quoted)
{
    const __m512i one = _mm512_set1_epi64(1), starts = _mm512_setr_epi64(1, 65, 129, 193, 257, 321, 385, 449);
    __m512i less = _mm512_sub_epi64(lfs, one), up_to_lf = _mm512_xor_si512(lfs, less);
    __m512i before_lf = _mm512_popcnt_epi64(_mm512_and_si512(quotes, up_to_lf));
    unsigned odd = _mm512_test_epi64_mask(_mm512_popcnt_epi64(quotes), one);
    unsigned odd_before_lf = _mm512_test_epi64_mask(before_lf, one);
    unsigned ended = _mm512_test_epi64_mask(lfs, lfs), again = _mm512_test_epi64_mask(lfs, less);
    unsigned inside = running_parity(odd, *quoted);

    if (__builtin_expect(again | (ended & (inside ^ odd ^ odd_before_lf)), 0))
        return -1;
    __m512i ends = _mm512_add_epi64(_mm512_popcnt_epi64(_mm512_andnot_si512(lfs, less)), starts);
    ends = _mm512_add_epi64(_mm512_maskz_compress_epi64((__mmask8)ended, ends), _mm512_set1_epi64(offset));
    _mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtepi64_epi32(ends));
    *quoted = inside >> (GROUP_BLOCKS - 1) & 1;
    return __builtin_popcount(ended);
}

/* Writes the ends of marked groups; if too many of them are not plain, groups rest. */
AVX512 static size_t
write_marked_ends(uint32_t *ends, const struct marks *marks, size_t groups, struct scan_carry *carry)
{
    size_t n = 0, others = 0;
    for (size_t i = 0; i < groups * GROUP_BLOCKS; i += GROUP_BLOCKS) {
        const uint64_t *lfs = marks->lfs + i, *quotes = marks->quotes + i;
        uint32_t offset = (uint32_t)(i * BLOCK);
        int plain =
            write_plain_ends(ends + n, _mm512_load_si512(lfs), _mm512_load_si512(quotes), offset, &carry->quoted);
        if (plain >= 0) {
            n += (size_t)plain;
            continue;
        }
        others++;
        for (size_t k = 0; k < GROUP_BLOCKS; k++)
            n += write_ends(ends + n, lfs[k], quotes[k], offset + (uint32_t)k * BLOCK, carry);
    }
    if (others > groups / 8)
        carry->rest = REST;
    return n;
}

/* In groups, which is a fifth faster for lines of 130 bytes, but slower for lines of 40, or with backslashes. */
AVX512 static size_t
grouped_ends(struct ss_span in, struct scan_carry *carry, uint32_t *ends, size_t *readp)
{
    size_t groups = in.len / GROUP;
    struct marks marks;
    *readp = 0;
    if (carry->rest) {
        carry->rest--;
        return 0;
    }
    if (!groups)
        return 0;
    if (!mark_blocks(in.ptr, groups * GROUP_BLOCKS, &marks)) {
        carry->rest = REST;
        return 0;
    }
    marks.quotes[0] &= ~carry->escaped; /* only the first byte can be */
    carry->escaped = 0;
    *readp = groups * GROUP;
    return write_marked_ends(ends, &marks, groups, carry);
}

/* What is not read in groups, two blocks per step, so that one test finds a backslash in either. */
AVX512 static size_t
avx512_ends(struct ss_span in, struct scan_carry *carryp, uint32_t *ends)
{
    struct scan_carry carry = *carryp;
    size_t i, n = grouped_ends(in, &carry, ends, &i);

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
