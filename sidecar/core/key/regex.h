/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H
/*
 * Regular expressions of rules: PCRE2 with JIT, anchored at both ends as Prometheus anchors its own, a dot matching
 * every character, with limits to the cost of a match.
 */
#include <scrapeshard/rules.h>

#include <stddef.h>

struct pcre2_real_code_8;
struct pcre2_real_match_context_8;
struct pcre2_real_match_data_8;

/* What matching needs; shared by the expressions of one thread. */
struct regex_state {
    struct pcre2_real_match_context_8 *context;
    struct pcre2_real_match_data_8 *data; /* the groups of the last match */
};

/* groups: how many of a match are of interest. 0 or -ENOMEM; free with regex_state_deinit() in both cases. */
int regex_state_init(struct regex_state *state, uint32_t groups);
void regex_state_deinit(struct regex_state *state);

/* Says why a rule is invalid. Returns EINVAL. */
int rule_refuse(struct ss_rule_error *error, size_t offset, const char *reason);

/* 0: the caller frees *codep with regex_free(). EINVAL (positive) with *error, whose offset is into the pattern;
   -ENOMEM. */
int regex_compile(struct pcre2_real_code_8 **codep, struct ss_span pattern, struct ss_rule_error *error);

/* Whether all of the subject matches: 1, 0, or a negative error of PCRE2. What is not UTF-8 never matches. */
int regex_match(const struct pcre2_real_code_8 *code, struct ss_span subject, const struct regex_state *state);

/* Writes what such an error means. */
void regex_error_text(int error, char *text, size_t size);

/* NULL is fine. */
void regex_free(struct pcre2_real_code_8 *code);

#endif
