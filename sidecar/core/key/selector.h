/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SELECTOR_H
#define CORE_SELECTOR_H
/*
 * The selector of a rule, which restricts it to some of the series of the names that its pattern matches:
 *
 *     PATTERN{code=~"2..", job!="x"}
 *
 * It is written as in PromQL. All matchers must match; regular expressions match the whole value; a missing label is
 * the empty string. le and quantile cannot be selected, so that the series of one histogram or summary are selected
 * together.
 */
#include "core/base/limits.h"
#include "core/base/name_table.h"
#include "regex.h"

#include <stdbool.h>
#include <stdint.h>

/* What is remembered about a value. */
struct cached_value {
    unsigned char state, len; /* state: of enum value_state in selector.c */
    char bytes[CORE_SELECTOR_VALUE_BYTES];
};

struct selector_matcher {
    uint32_t label; /* its number among the labels of all selectors, from 1 */
    bool negated;
    struct ss_span value;           /* of = and != */
    struct pcre2_real_code_8 *code; /* of =~ and !~, else NULL */
    struct cached_value *cache;     /* of code: CORE_SELECTOR_VALUES items, by the value's hash */
};

struct rule_selector {
    struct selector_matcher *matchers; /* in the arena that it was parsed with */
    size_t n;                          /* 0: it selects everything */
};

/* Where the selector of a rule starts: the offset of its brace; the length of the rule if it has none. All other braces
   belong to the pattern. */
size_t selector_find(struct ss_span rule);

/*
 * Parses a selector, from its brace to the end of the rule, which it borrows; labels numbers its labels. Zeroed before.
 *
 * 0; EINVAL (positive) with *error, whose offset is into the text; -ENOMEM. Free with selector_deinit() in all cases.
 */
int selector_parse(struct rule_selector *selector, struct ss_span text, struct name_table *labels, struct arena *arena,
                   struct ss_rule_error *error);

void selector_deinit(struct rule_selector *selector);

/* The values of labels in the current series, which selectors look at. */
struct selector_values {
    uint64_t selectors; /* the rules that look at them, a bit for each; 0: nothing is prepared */
    size_t n;
    struct ss_span names[CORE_MAX_SELECTOR_LABELS];
    struct ss_span values[CORE_MAX_SELECTOR_LABELS];   /* ptr is NULL if the label is missing */
    unsigned char slots[CORE_MAX_SELECTOR_LABELS + 1]; /* by the label's number: where it is above, plus 1; 0: not */
};

/* Adds the labels of a selector, whose names are borrowed, unless they are there. */
void selector_add_labels(const struct rule_selector *selector, const struct name_table *labels,
                         struct selector_values *values);

/* Whether the series is selected: 1, 0, or a negative error of PCRE2. The values have the selector's labels. */
int selector_matches(const struct rule_selector *selector, const struct selector_values *values,
                     const struct regex_state *state);

/* Whether a series may be selected of which only some values are known, a bit for each. *allp: it is, whatever the
   others are. A match that fails is not known. */
bool selector_may_match(const struct rule_selector *selector, const struct selector_values *values, uint64_t known,
                        const struct regex_state *state, bool *allp);

#endif
