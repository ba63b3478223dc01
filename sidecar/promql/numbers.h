/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_NUMBERS_H
#define PROMQL_NUMBERS_H
/* Reads the durations and numbers of PromQL. */
#include <scrapeshard/span.h>

#include <stdint.h>

/* Reads a duration such as 1h30m in milliseconds. NULL, or an error message, static. */
const char *duration_read(struct ss_span text, int64_t *ms);

/* Reads a number: decimal, hexadecimal, with underscores, Inf, NaN. NULL, or an error message, static. */
const char *number_read(struct ss_span text, double *value);

#endif
