/* SPDX-License-Identifier: Apache-2.0 */
/* Finds labels by their quotes, sixty-four bytes at a time: where labels are the key, every line of a body is
   searched here. */
#include "find.h"
#include "labels.h"

#include <string.h>

enum { STEP = 64 };

static inline uint64_t
load(const char *p, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, p, size);
    return word;
}

static inline bool
same_bytes(const char *a, const char *b, size_t len)
{
    if (len > 16)
        return !memcmp(a, b, len);
    if (len >= 8)
        return load(a, 8) == load(b, 8) && load(a + len - 8, 8) == load(b + len - 8, 8);
    if (len >= 4)
        return load(a, 4) == load(b, 4) && load(a + len - 4, 4) == load(b + len - 4, 4);
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* Stores the value between two quotes if its label is wanted. */
static inline void
take_label(struct wanted_labels *wanted, size_t n, const char *name, const char *open, const char *close)
{
    size_t len = (size_t)(open - 1 - name);
    for (size_t i = 0; i < n; i++) {
        if (wanted->names[i].len != len || wanted->values[i].ptr || !same_bytes(wanted->names[i].ptr, name, len))
            continue;
        wanted->values[i] = (struct ss_span){open + 1, (size_t)(close - open - 1)};
        wanted->missing--;
    }
}

/* The quotes of the next 64 bytes; at the end of the line, the load starts earlier if the line is long enough. */
static inline uint64_t
next_quotes(const char *p, struct ss_span line, uint64_t *backslashp)
{
    size_t left = (size_t)(line.ptr + line.len - p);
    char bytes[STEP] = {0};
    if (left >= STEP)
        return find_quotes(p, backslashp);
    if (line.len >= STEP)
        return find_quotes(p + left - STEP, backslashp) >> (STEP - left);
    memcpy(bytes, p, left);
    return find_quotes(bytes, backslashp);
}

/* The first byte after blanks, where a label could start. A brace ends the labels: what follows may be those of an
   exemplar. */
static inline char
first_of(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p < end ? *p : '\n';
}

static inline bool
find(struct ss_span line, size_t at, struct wanted_labels *wanted, size_t n)
{
    const char *name = line.ptr + at, *open = NULL, *end = line.ptr + line.len;
    bool blanks = false;
    char first = first_of(name, end);
    wanted->end = NULL;
    if (first == '}' || first == ',')
        return first == '}';
    for (const char *p = name; p < end; p += STEP) {
        uint64_t backslash, quotes = next_quotes(p, line, &backslash);
        if (backslash)
            return false;
        for (; quotes; quotes &= quotes - 1) {
            /* Handle the opening and the closing quote together if both are here. */
            if (!open) {
                open = p + __builtin_ctzll(quotes);
                quotes &= quotes - 1;
                if (!quotes)
                    break;
            }
            const char *quote = p + __builtin_ctzll(quotes);
            if (open - name < 2 || open[-1] != '=' || end - quote < 2)
                return false;
            take_label(wanted, n, name, open, quote);
            wanted->end = quote + 1;
            if (!wanted->missing)
                return true;
            /* A label with blanks around its name was not matched, but it may be wanted. */
            blanks |= (open[-2] <= ' ') | (*name <= ' ');
            first = quote[1] == ',' ? first_of(quote + 2, end) : quote[1];
            if (quote[1] != ',' || first == '}' || first == ',') {
                if (first != '}' || blanks)
                    return false;
                wanted->end = (const char *)memchr(quote + 1, '}', (size_t)(end - quote - 1)) + 1;
                return true;
            }
            name = quote + 2;
            open = NULL;
        }
    }
    return false;
}

bool
labels_find(struct ss_span line, size_t at, struct wanted_labels *wanted)
{
    /* One or two labels are the common case; a constant unrolls the loop over them. */
    switch (wanted->n) {
    case 1:
        return find(line, at, wanted, 1);
    case 2:
        return find(line, at, wanted, 2);
    default:
        return find(line, at, wanted, wanted->n);
    }
}
