/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PREFIX_CACHE_H
#define CORE_PREFIX_CACHE_H
/* How the samples of one name begin, remembered so that the next ones need not be read. */
#include "core/key/key_resolver.h"
#include "core/base/limits.h"

#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/*
 * The name with the byte behind it, as it is written. Compared as words at four places, which overlap in a short one;
 * what they leave out of a long one, and one shorter than a word, as bytes.
 */
struct head {
    size_t len; /* 0: matches nothing */
    struct fate fate;
    struct ss_span name; /* in bytes */
    size_t labels;       /* where the lines' labels begin; 0: that is to be looked for */
    size_t places[4];
    uint64_t words[4];
    char bytes[LIMIT_HEAD];
};

enum { HEAD_WORD = 8, HEAD_WORDS = 32 };

/* The last few. Zeroed is none. */
struct heads {
    struct head items[LIMIT_HEADS];
    size_t oldest; /* which one is forgotten next */
};

/* Whether a line begins like that head; a line is always longer than its own. */
static inline bool
head_begins(struct ss_span line, const struct head *head)
{
    uint64_t differ = 0;

    if (line.len <= head->len)
        return false;
    if (head->len < HEAD_WORD)
        return head->len && !memcmp(line.ptr, head->bytes, head->len);
    for (size_t i = 0; i < 4; i++) {
        uint64_t word;
        memcpy(&word, line.ptr + head->places[i], sizeof(word));
        differ |= word ^ head->words[i];
    }
    return !differ && (head->len <= HEAD_WORDS || !memcmp(line.ptr + 16, head->bytes + 16, head->len - HEAD_WORDS));
}

/* The one that a line begins with, or NULL. Borrowed until it is forgotten. */
const struct head *heads_recall(const struct heads *heads, struct ss_span line);

/* Remembers one, given the place of the name in it and the name's fate, and forgets the oldest. NULL if it is too long:
   its lines are read one by one. */
const struct head *heads_remember(struct heads *heads, struct ss_span beginning, struct ss_span name,
                                  const struct fate *fate);

/* Forgets all. */
void heads_clear(struct heads *heads);

#endif
