/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sixty-four bytes a step: a bit for each LF, quote and backslash; the regions between quotes by a carry-less
 * multiplication, and the ends written out without a branch on how many there are, as simdjson does (Langdale and
 * Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 28, 2019, sections 3.1.1 and 3.1.4).
 */
#include "scan.h"

#ifdef __x86_64__

#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,pclmul,bmi,popcnt")))

enum { BLOCK = 64 };

AVX2 static inline uint64_t
equals(__m256i low, __m256i high, char c)
{
    __m256i want = _mm256_set1_epi8(c);
    uint32_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, want));
    uint32_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, want));
    return (uint64_t)b << 32 | a;
}

/* The bytes that a backslash takes the meaning from; backslashes are rare, so one by one. */
static uint64_t
escaped_bytes(uint64_t backslashes, uint64_t *carry)
{
    uint64_t escaped = *carry;
    backslashes &= ~escaped;
    *carry = 0;
    while (backslashes) {
        uint64_t slash = backslashes & (~backslashes + 1);
        uint64_t next = slash << 1;
        if (!next)
            *carry = 1;
        escaped |= next;
        backslashes &= ~(slash | next);
    }
    return escaped;
}

struct block {
    uint64_t ends;    /* LFs outside quotes */
    uint64_t escaped; /* bytes behind an odd run of backslashes */
};

AVX2 static inline struct block
read_block(const char *p, struct scan_carry *carry)
{
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32));
    uint64_t lfs = equals(low, high, '\n');
    uint64_t quotes = equals(low, high, '"');
    uint64_t backslashes = equals(low, high, '\\');

    uint64_t escaped = 0;

    if (__builtin_expect((backslashes | carry->escaped) != 0, 0)) {
        escaped = escaped_bytes(backslashes, &carry->escaped);
        quotes &= ~escaped;
    }

    __m128i product = _mm_clmulepi64_si128(_mm_set_epi64x(0, (int64_t)quotes), _mm_set1_epi8(-1), 0);
    uint64_t inside = (uint64_t)_mm_cvtsi128_si64(product) ^ carry->quoted;
    carry->quoted = (uint64_t)((int64_t)inside >> 63);
    carry->inside_lf |= lfs & inside;
    return (struct block){lfs & ~inside, escaped};
}

/* Writes out the ends of a block that begins at an offset; always one, which costs less than to ask. */
AVX2 static inline size_t
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

const struct scanner scanner_avx2 = {"avx2", avx2_ends};

#endif
