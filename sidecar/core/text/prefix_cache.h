/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PREFIX_CACHE_H
#define CORE_PREFIX_CACHE_H
/* A cache of how the samples of one name start, so that the following ones need not be parsed. */
#include "core/base/limits.h"
#include "core/key/key_resolver.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * A name and the byte after it, as written. Compared as words at four offsets, which overlap in a short prefix; bytes
 * that they omit of a long one, and prefixes shorter than a word, are compared with memcmp().
 */
struct name_prefix {
    size_t len; /* 0: matches nothing */
    struct route route;
    struct ss_span name; /* points into bytes */
    size_t labels;       /* where the labels of the lines start; 0: unknown */
    size_t offsets[4];
    uint64_t words[4];
    char bytes[CORE_MAX_PREFIX];
};

enum { PREFIX_WORD = 8, PREFIX_WORDS = 32 };

/* The most recent ones. Zeroed is empty. */
struct prefix_cache {
    struct name_prefix items[CORE_MAX_PREFIXES];
    size_t oldest; /* the one to replace next */
};

/* Whether a line starts with the prefix; a line is always longer than its own. */
static inline bool
prefix_matches(struct ss_span line, const struct name_prefix *prefix)
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

/* The prefix that a line starts with, or NULL. Borrowed until it is replaced. */
const struct name_prefix *prefix_cache_lookup(const struct prefix_cache *prefixes, struct ss_span line);

/* Adds a prefix, given the position of the name in it and its route, and drops the oldest. NULL if it is too long:
   its lines are parsed one by one. */
const struct name_prefix *prefix_cache_insert(struct prefix_cache *prefixes, struct ss_span prefix_bytes,
                                              struct ss_span name, const struct route *route);

/* Removes all. */
void prefix_cache_clear(struct prefix_cache *prefixes);

#endif
