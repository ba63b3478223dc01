/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FIND_H
#define CORE_FIND_H
/* Short searches, sixteen bytes at a time with SSE2, which every x86-64 processor has. */
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The next of three bytes, or end. */
static inline const char *
find_any(const char *p, const char *end, char a, char b, char c)
{
#ifdef __SSE2__
    const __m128i as = _mm_set1_epi8(a), bs = _mm_set1_epi8(b), cs = _mm_set1_epi8(c);
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i equal =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, as), _mm_cmpeq_epi8(bytes, bs)), _mm_cmpeq_epi8(bytes, cs));
        int found = _mm_movemask_epi8(equal);
        if (found)
            return p + __builtin_ctz((unsigned)found);
    }
#endif
    while (p < end && *p != a && *p != b && *p != c)
        p++;
    return p;
}

/* The next byte that is not one of [a-zA-Z0-9_:], or end. */
static inline const char *
find_no_name(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Unsigned x <= n is min(x, n) == x. The colon is the byte after 9; the blank bit makes letters lower case. */
        __m128i letters = _mm_sub_epi8(_mm_or_si128(bytes, _mm_set1_epi8(' ')), _mm_set1_epi8('a'));
        __m128i digits = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
        __m128i name =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letters, _mm_set1_epi8(25)), letters),
                                      _mm_cmpeq_epi8(_mm_min_epu8(digits, _mm_set1_epi8(':' - '0')), digits)),
                         _mm_cmpeq_epi8(bytes, _mm_set1_epi8('_')));
        int others = _mm_movemask_epi8(name) ^ 0xffff;
        if (others)
            return p + __builtin_ctz((unsigned)others);
    }
#endif
    while (p < end && ((*p | ' ') >= 'a' ? (*p | ' ') <= 'z' || *p == '_' : *p >= '0' && *p <= ':'))
        p++;
    return p;
}

/* A bit for each of 64 bytes that is a quote; *backslashp is not 0 if one is a backslash. */
static inline uint64_t
find_quotes(const char *p, uint64_t *backslashp)
{
    uint64_t quotes = 0, backslashes = 0;
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    __m128i any = _mm_setzero_si128();
    for (int i = 0; i < 64; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + i));
        quotes |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << i;
        any = _mm_or_si128(any, _mm_cmpeq_epi8(bytes, backslash));
    }
    backslashes = (uint64_t)_mm_movemask_epi8(any);
#else
    for (int i = 0; i < 64; i++) {
        quotes |= (uint64_t)(p[i] == '"') << i;
        backslashes |= p[i] == '\\';
    }
#endif
    *backslashp = backslashes;
    return quotes;
}

#endif
