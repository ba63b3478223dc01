/* SPDX-License-Identifier: Apache-2.0 */
#include "md5_multi.h"

#include <string.h>

/* RFC 1321, section 3.4. */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

static const int shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

/* The compiler splits it into the vectors that the processor has. */
typedef uint32_t lanes __attribute__((vector_size(MD5_LANES * sizeof(uint32_t)), aligned(4), may_alias));

#define C_START 0x98badcfeu
#define D_START 0x10325476u

/* The four rounds of one block. Unrolled, so that everything that depends on i is a constant. */
#define DIGEST(words)                                                                                                  \
    lanes zero = {0}, a = zero + 0x67452301u, b = zero + 0xefcdab89u, c = zero + C_START, d = zero + D_START;          \
    _Pragma("GCC unroll 64") for (int i = 0; i < 64; i++)                                                              \
    {                                                                                                                  \
        int word = i < 16 ? i : i < 32 ? 5 * i + 1 : i < 48 ? 3 * i + 5 : 7 * i;                                       \
        int shift = shifts[i / 16][i % 4];                                                                             \
        lanes f = i < 16 ? d ^ (b & (c ^ d)) : i < 32 ? c ^ (d & (b ^ c)) : i < 48 ? b ^ c ^ d : c ^ (b | ~d);         \
        f += a + sines[i] + *(const lanes *)(words)->block[word % 16];                                                 \
        a = d;                                                                                                         \
        d = c;                                                                                                         \
        c = b;                                                                                                         \
        b += f << shift | f >> (32 - shift);                                                                           \
    }                                                                                                                  \
    *(lanes *)(words)->c = c + C_START;                                                                                \
    *(lanes *)(words)->d = d + D_START

static void
portable_digest(struct md5_words *words)
{
    DIGEST(words);
}

const struct md5_kind md5_portable = {"portable", portable_digest};

#ifdef __x86_64__
__attribute__((target("avx2"))) static void
avx2_digest(struct md5_words *words)
{
    DIGEST(words);
}

const struct md5_kind md5_avx2 = {"avx2", avx2_digest};
#endif

bool
md5_kind_runs(const struct md5_kind *kind)
{
#ifdef __x86_64__
    if (kind == &md5_avx2)
        return __builtin_cpu_supports("avx2");
#endif
    return kind != NULL;
}

void
md5_multi_init(struct md5_multi *m)
{
    *m = (struct md5_multi){.kind = &md5_portable};
#ifdef __x86_64__
    if (md5_kind_runs(&md5_avx2))
        m->kind = &md5_avx2;
#endif
}

/* A word of a block, which is little endian. */
static uint32_t
load_word(const char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

void
md5_multi_add(struct md5_multi *m, struct ss_span key, uint64_t *hashp)
{
    size_t lane = m->n, whole = key.len / 4, rest = key.len % 4;
    uint32_t last = UINT32_C(0x80) << 8 * rest;

    for (size_t i = 0; i < whole; i++)
        m->words.block[i][lane] = load_word(key.ptr + 4 * i);
    for (size_t i = 0; i < rest; i++)
        last |= (uint32_t)(unsigned char)key.ptr[4 * whole + i] << 8 * i;
    m->words.block[whole][lane] = last;
    for (size_t i = whole + 1; i < 14; i++)
        m->words.block[i][lane] = 0;
    m->words.block[14][lane] = (uint32_t)key.len * 8;
    m->hashes[m->n++] = hashp;
}

void
md5_multi_finish(struct md5_multi *m)
{
    if (!m->n)
        return;
    m->kind->digest(&m->words);
    /* The last 8 bytes of the digest, which is c and d as bytes, read big endian. */
    for (size_t i = 0; i < m->n; i++)
        *m->hashes[i] = (uint64_t)__builtin_bswap32(m->words.c[i]) << 32 | __builtin_bswap32(m->words.d[i]);
    m->n = 0;
}
