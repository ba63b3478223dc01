/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_PATTERN_H
#define PROMQL_PATTERN_H
/* Regular expressions of matchers, anchored at both ends. */
#include <scrapeshard/span.h>

#include <stdio.h>

struct pattern;

/* 0: *patternp is the caller's; EINVAL (positive): reason, of size bytes, says why it is none; -ENOMEM. */
int pattern_new(struct pattern **patternp, struct ss_span text, char *reason, size_t size);

/* Whether it matches: 1, 0, or -ENOMEM. */
int pattern_matches(const struct pattern *pattern, struct ss_span text);

/* NULL is fine. */
void pattern_free(struct pattern *pattern);

/* Writes a pattern that matches this name alone, and that a line of a configuration file can hold. */
void pattern_print_name(FILE *out, struct ss_span name);

#endif
