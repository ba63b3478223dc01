/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PATTERN_H
#define PROMQL_PATTERN_H
/* Regular expressions of label matchers, anchored at both ends. */
#include <scrapeshard/span.h>

#include <stdio.h>

struct pattern;

/* 0: the caller frees *patternp; EINVAL (positive): not a valid pattern, see reason (size bytes); -ENOMEM. */
int pattern_new(struct pattern **patternp, struct ss_span text, char *reason, size_t size);

/* Whether it matches: 1, 0, or -ENOMEM. */
int pattern_matches(const struct pattern *pattern, struct ss_span text);

/* NULL is allowed. */
void pattern_free(struct pattern *pattern);

/* Writes a pattern that matches only this name and is valid in a configuration file. */
void pattern_print_name(FILE *out, struct ss_span name);

#endif
