/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PREFIX_CACHE_H
#define CORE_PREFIX_CACHE_H
/* How the samples of one name begin, remembered so that the next ones need not be read. */
#include "core/base/limits.h"
#include "core/key/key_resolver.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * The name with the byte behind it, as it is written. Compared as words at four places, which overlap in a short one;
 * what they leave out of a long one, and one shorter than a word, as bytes.
 */
struct name_prefix {
    size_t len; /* 0: matches nothing */
    struct route route;
    struct ss_span name; /* in bytes */
    size_t labels;       /* where the lines' labels begin; 0: that is to be looked for */
    size_t places[4];
    uint64_t words[4];
    char bytes[CORE_MAX_PREFIX];
};

enum { PREFIX_WORD = 8, PREFIX_WORDS = 32 };

/* The last few. Zeroed is none. */
struct prefix_cache {
    struct name_prefix items[CORE_MAX_PREFIXES];
    size_t oldest; /* which one is forgotten next */
};

/* Whether a line begins like that head; a line is always longer than its own. */
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
        memcpy(&word, line.ptr + prefix->places[i], sizeof(word));
        differ |= word ^ prefix->words[i];
    }
    return !differ &&
           (prefix->len <= PREFIX_WORDS || !memcmp(line.ptr + 16, prefix->bytes + 16, prefix->len - PREFIX_WORDS));
}

/* The one that a line begins with, or NULL. Borrowed until it is forgotten. */
const struct name_prefix *prefix_cache_lookup(const struct prefix_cache *prefixes, struct ss_span line);

/* Remembers one, given the place of the name in it and the name's fate, and forgets the oldest. NULL if it is too long:
   its lines are read one by one. */
const struct name_prefix *prefix_cache_insert(struct prefix_cache *prefixes, struct ss_span beginning,
                                              struct ss_span name, const struct route *route);

/* Forgets all. */
void prefix_cache_clear(struct prefix_cache *prefixes);

#endif
