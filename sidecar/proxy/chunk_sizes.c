/* SPDX-License-Identifier: Apache-2.0 */
#include "chunk_sizes.h"

/* The value of each hexadecimal digit, plus 1: in a body of small chunks a table is faster than comparisons. */
static const unsigned char digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* Takes digits, perhaps after others; returns what follows them. */
static const char *
take_digits(struct chunk_sizes *s, const char *p, const char *end)
{
    const char *first = p;
    uint64_t size = s->left;
    unsigned char digit;
    for (; p < end && (digit = digits[(unsigned char)*p]) != 0; p++)
        size = size << 4 | (digit - 1U); /* libcurl refuses those beyond 63 bits */
    s->left = size;
    s->has_digits |= p > first;
    if (p < end)
        s->place = s->has_digits ? CHUNK_BLANKS : CHUNKS_INVALID;
    return p;
}

/* A byte between a size's digits and the next size that is not the chunk's own. */
static void
take_byte(struct chunk_sizes *s, char c)
{
    if (c == '\n' && s->place == CHUNK_END)
        *s = (struct chunk_sizes){.place = CHUNK_SIZE};
    else if (c == '\n')
        s->place = s->left ? CHUNK_DATA : CHUNKS_OVER;
    else if (c == ';' && s->place == CHUNK_BLANKS)
        s->place = CHUNK_EXTENSION;
    else if (s->place == CHUNK_BLANKS && c != '\r' && c != ' ' && c != '\t')
        s->place = CHUNKS_INVALID;
}

static const char *
take_data(struct chunk_sizes *s, const char *p, const char *end)
{
    uint64_t n = (uint64_t)(end - p) < s->left ? (uint64_t)(end - p) : s->left;
    s->left -= n;
    if (!s->left)
        s->place = CHUNK_END;
    return p + n;
}

void
chunk_sizes_take(struct chunk_sizes *s, struct ss_span bytes)
{
    const char *p = bytes.ptr, *end = p + bytes.len;
    while (p < end && s->place < CHUNKS_OVER) {
        if (s->place == CHUNK_DATA)
            p = take_data(s, p, end);
        else if (s->place == CHUNK_SIZE)
            p = take_digits(s, p, end);
        else
            take_byte(s, *p++);
    }
}
