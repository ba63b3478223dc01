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

AVX2 static inline uint64_t
bits(__m256i low, __m256i high)
{
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32 | (uint32_t)_mm256_movemask_epi8(low);
}

AVX2 static inline uint64_t
equals(__m256i low, __m256i high, char c)
{
    __m256i want = _mm256_set1_epi8(c);
    return bits(_mm256_cmpeq_epi8(low, want), _mm256_cmpeq_epi8(high, want));
}

struct block {
    uint64_t ends;    /* LFs outside quotes */
    uint64_t escaped; /* bytes behind an odd run of backslashes */
};

AVX2 static inline struct block
read_block(const char *p, struct scan_carry *carry)
{
    __m256i low = load(p), high = load(p + VECTOR), backslash = _mm256_set1_epi8('\\');
    uint64_t lfs = equals(low, high, '\n'), quotes = equals(low, high, '"'), escaped = 0;
    __m256i low_slashes = _mm256_cmpeq_epi8(low, backslash), high_slashes = _mm256_cmpeq_epi8(high, backslash);

    if (__builtin_expect(_mm256_movemask_epi8(_mm256_or_si256(low_slashes, high_slashes)) | (int)carry->escaped, 0)) {
        escaped = scan_escaped(bits(low_slashes, high_slashes), &carry->escaped);
        quotes &= ~escaped;
    }
    uint64_t inside = inside_quotes(quotes, carry);
    carry->inside_lf |= lfs & inside;
    return (struct block){lfs & ~inside, escaped};
}

AVX2 static size_t
avx2_ends(struct ss_span in, struct scan_carry *carryp, uint32_t *ends)
{
    struct scan_carry carry = *carryp;
    size_t n = 0, i = 0;

    for (; in.len - i >= BLOCK; i += BLOCK)
        n += write_ends(ends + n, read_block(in.ptr + i, &carry).ends, (uint32_t)i);
    if (i < in.len) {
        /* What stands behind the last bytes is not ours to touch. */
        char bytes[BLOCK] = {0};
        memcpy(bytes, in.ptr + i, in.len - i);
        struct block block = read_block(bytes, &carry);
        n += write_ends(ends + n, block.ends, (uint32_t)i);
        carry.escaped = block.escaped >> (in.len - i) & 1;
    }
    *carryp = carry;
    return n;
}

/* All ones, and then zeros: from 32 - n on, a mask of n bytes. */
static const char ones_zeros[2 * VECTOR] = {[0 ... VECTOR - 1] = -1};

/* A line with the same bytes as the head is longer than it: its LF would stand where the head has none, or has one
   inside quotes, and there the line would not end either. */
AVX2 static size_t
avx2_alike(const struct head *head, const char *line, const char *base, const uint32_t *ends, size_t n,
           const char *limit)
{
    size_t len = head->len, behind = len > VECTOR ? len - VECTOR : 0, i = 0;
    if (len > 2 * VECTOR)
        return scan_alike(head, line, base, ends, n, limit);
    __m256i first = load(head->bytes), last = load(head->bytes + behind);
    __m256i mask = load(ones_zeros + VECTOR - (len < VECTOR ? len : VECTOR));

    for (; i < n && limit - line >= 2 * VECTOR; i++) {
        __m256i differ =
            _mm256_or_si256(_mm256_xor_si256(load(line), first), _mm256_xor_si256(load(line + behind), last));
        if (!_mm256_testz_si256(differ, mask))
            return i;
        line = base + ends[i];
    }
    return i + scan_alike(head, line, base, ends + i, n - i, limit);
}

const struct scanner scanner_avx2 = {"avx2", avx2_ends, avx2_alike};

#endif
