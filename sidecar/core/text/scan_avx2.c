/* SPDX-License-Identifier: Apache-2.0 */
#ifdef __x86_64__
#include "scan_x86.h"

#include <string.h>

#define AVX2 __attribute__((target("avx2,pclmul,bmi,popcnt")))

enum { VECTOR = 32 };

AVX2 static inline __m256i
load(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* A block is two vectors. */
struct block {
    __m256i low, high;
};

AVX2 static inline struct block
load_block(const char *p)
{
    return (struct block){load(p), load(p + VECTOR)};
}

AVX2 static inline uint64_t
equals(struct block block, char c)
{
    __m256i want = _mm256_set1_epi8(c);
    uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(block.low, want));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(block.high, want));
    return (uint64_t)high << 32 | low;
}

/* Whether there is a backslash in either. */
AVX2 static inline bool
are_slashed(struct block first, struct block second)
{
    __m256i slash = _mm256_set1_epi8('\\');
    __m256i low = _mm256_or_si256(_mm256_cmpeq_epi8(first.low, slash), _mm256_cmpeq_epi8(second.low, slash));
    __m256i high = _mm256_or_si256(_mm256_cmpeq_epi8(first.high, slash), _mm256_cmpeq_epi8(second.high, slash));
    return _mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0;
}

/* Two blocks per step, so that one test finds a backslash in either. */
AVX2 static size_t
avx2_ends(struct ss_span in, struct scan_carry *carryp, uint32_t *ends)
{
    struct scan_carry carry = *carryp;
    size_t n = 0, i = 0;

    for (; in.len - i >= 2 * BLOCK; i += 2 * BLOCK) {
        struct block first = load_block(in.ptr + i), second = load_block(in.ptr + i + BLOCK);
        uint64_t first_quotes = equals(first, '"'), second_quotes = equals(second, '"');

        drop_escaped(&first_quotes, &second_quotes, equals(first, '\\'), equals(second, '\\'),
                     are_slashed(first, second), &carry);
        n += write_ends(ends + n, equals(first, '\n'), first_quotes, (uint32_t)i, &carry);
        n += write_ends(ends + n, equals(second, '\n'), second_quotes, (uint32_t)i + BLOCK, &carry);
    }
    for (; i < in.len; i += BLOCK) {
        /* Bytes after the last ones must not be read. */
        size_t len = in.len - i;
        char bytes[BLOCK] = {0};
        memcpy(bytes, in.ptr + i, len < BLOCK ? len : BLOCK);
        struct block last = load_block(bytes);
        n += write_last(ends + n, equals(last, '\n'), equals(last, '"'), equals(last, '\\'), len, (uint32_t)i, &carry);
    }
    *carryp = carry;
    return n;
}

/* All ones, then zeros: from 32 - n on, a mask of n bytes. */
static const char ones_zeros[2 * VECTOR] = {[0 ... VECTOR - 1] = -1};

/* A line that starts with the bytes of the prefix is longer than it: its LF would be where the prefix has none, or
   has one inside quotes, where the line would not end either. */
AVX2 static size_t
avx2_same_prefix(const struct prefix *prefix, const char *line, const char *base, const uint32_t *ends, size_t n,
                 const char *limit)
{
    size_t len = prefix->len, tail = len > VECTOR ? len - VECTOR : 0, i = 0;
    if (len > 2 * VECTOR)
        return scan_same_prefix(prefix, line, base, ends, n, limit);
    __m256i first = load(prefix->bytes), last = load(prefix->bytes + tail);
    __m256i mask = load(ones_zeros + VECTOR - (len < VECTOR ? len : VECTOR));

    for (; i < n && limit - line >= 2 * VECTOR; i++) {
        __m256i differ =
            _mm256_or_si256(_mm256_xor_si256(load(line), first), _mm256_xor_si256(load(line + tail), last));
        if (!_mm256_testz_si256(differ, mask))
            return i;
        line = base + ends[i];
    }
    return i + scan_same_prefix(prefix, line, base, ends + i, n - i, limit);
}

const struct scanner scanner_avx2 = {"avx2", avx2_ends, avx2_same_prefix};

#endif
