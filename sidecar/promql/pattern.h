/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PATTERN_H
#define PROMQL_PATTERN_H
/* Regular expressions of matchers, anchored at both ends. */
#include <scrapeshard/span.h>

#include <stdbool.h>

/* Whether the pattern is none: reason, of size bytes, says why. */
bool pattern_check(struct ss_span pattern, char *reason, size_t size);

struct pcre2_real_code_8;

/* Compiled, to be freed with pattern_free(); NULL if it is none, or there is no memory. */
struct pcre2_real_code_8 *pattern_new(struct ss_span pattern);
bool pattern_has(const struct pcre2_real_code_8 *code, struct ss_span text);
void pattern_free(struct pcre2_real_code_8 *code);

/* For one text. */
bool pattern_matches(struct ss_span pattern, struct ss_span text);

#endif
