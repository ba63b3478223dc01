/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule's pattern can match, as far as its text shows. When in doubt, anything. */
#include "config_build.h"

#include <string.h>

enum { PATTERN_MAX = 256, DEPTH_MAX = 4 };

/* Suffixes of samples that have none where a histogram or summary is one metric. */
static const char *const suffixes[] = {"_bucket", "_sum", "_count"};

/* Skips a character class, after its bracket. Returns its end. */
static const char *
skip_class(const char *p, const char *end)
{
    p += p < end && *p == '^';
    p += p < end && *p == ']';
    while (p < end && *p != ']')
        p += *p == '\\' ? 2 : 1;
    return p;
}

/* The end of the first alternative of a pattern: a | outside groups, or the pattern's. *groupp: the bracket of the
   group that it ends with, or NULL. */
static const char *
alternative_end(const char *p, const char *end, const char **groupp)
{
    const char *open = NULL, *closed = NULL;
    size_t depth = 0;
    for (; p < end && (depth || *p != '|'); p++) {
        if (*p == '\\')
            p++;
        else if (*p == '[')
            p = skip_class(p + 1, end);
        else if (*p == '(' && !depth++)
            open = p;
        else if (*p == ')' && depth && !--depth)
            closed = p;
    }
    p = p < end ? p : end;
    *groupp = closed && closed + 1 == p ? open : NULL;
    return p;
}

/* Whether an alternative ends with the letters of a suffix. */
static bool
ends_with_suffix(const char *p, const char *end)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t len = strlen(suffixes[i]);
        if ((size_t)(end - p) >= len && !memcmp(end - len, suffixes[i], len))
            return true;
    }
    return false;
}

static bool only_suffixes(const char *p, const char *end, unsigned depth);

/* The same for one that ends with a group: for each alternative of the group. */
static bool
group_ends_with_suffix(const char *p, const char *group, const char *end, unsigned depth)
{
    char text[PATTERN_MAX];
    const char *inner = group + 1, *inner_end = end - 1, *unused;
    size_t before = (size_t)(group - p);

    if (inner_end - inner > 2 && !memcmp(inner, "?:", 2))
        inner += 2;
    else if (*inner == '?' || *inner == '*') /* not a plain group */
        return false;
    if (depth == DEPTH_MAX || (size_t)(end - p) > sizeof(text))
        return false;
    memcpy(text, p, before);
    for (;; inner++) {
        const char *stop = alternative_end(inner, inner_end, &unused);
        size_t len = (size_t)(stop - inner);
        memcpy(text + before, inner, len);
        if (!only_suffixes(text, text + before + len, depth + 1))
            return false;
        if (stop == inner_end)
            return true;
        inner = stop;
    }
}

/* Whether each alternative of a pattern ends with a suffix. */
static bool
only_suffixes(const char *p, const char *end, unsigned depth)
{
    for (;; p++) {
        const char *group, *stop = alternative_end(p, end, &group);
        bool anchored = stop - p > 1 && stop[-1] == '$' && stop[-2] != '\\';
        if (anchored ? !only_suffixes(p, stop - 1, depth)
            : group  ? !group_ends_with_suffix(p, group, stop, depth)
                     : !ends_with_suffix(p, stop))
            return false;
        if (stop == end)
            return true;
        p = stop;
    }
}

bool
pattern_needs_suffix(const char *pattern)
{
    return only_suffixes(pattern, pattern + strlen(pattern), 0);
}
