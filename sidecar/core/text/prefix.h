/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PREFIX_H
#define CORE_PREFIX_H
/* Recognises the lines that start with the same bytes. */
#include "core/base/limits.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * A name and the byte after it, as written. Compared as words at four offsets, which overlap in a short prefix; bytes
 * that they omit of a long one, and prefixes shorter than a word, are compared with memcmp().
 */
struct prefix {
    size_t len; /* 0: matches nothing */
    size_t offsets[4];
    uint64_t words[4];
    char bytes[CORE_MAX_PREFIX];
};

/* Sets a prefix to at most CORE_MAX_PREFIX bytes. */
void prefix_set(struct prefix *prefix, struct ss_span bytes);

enum { PREFIX_WORD = 8, PREFIX_WORDS = 32 };

/* Whether a line starts with the prefix; a line is always longer than its own. */
static inline bool
prefix_matches(struct ss_span line, const struct prefix *prefix)
{
    uint64_t differ = 0;

    if (line.len <= prefix->len)
        return false;
    if (prefix->len < PREFIX_WORD)
        return prefix->len && !memcmp(line.ptr, prefix->bytes, prefix->len);
    for (size_t i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, line.ptr + prefix->offsets[i], sizeof(word));
        differ |= word ^ prefix->words[i];
    }
    return !differ &&
           (prefix->len <= PREFIX_WORDS || !memcmp(line.ptr + 16, prefix->bytes + 16, prefix->len - PREFIX_WORDS));
}

#endif
