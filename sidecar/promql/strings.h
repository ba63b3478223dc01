/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_STRINGS_H
#define PROMQL_STRINGS_H
/* Decodes the literals of PromQL. */
#include "core/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* Unquotes a string, with the escapes of Go. 0: *out is in the arena or borrows the text; EINVAL (positive) with
 *reason, static; -ENOMEM. */
int string_unquote(struct ss_span quoted, struct arena *arena, struct ss_span *out, const char **reason);

/* Reads a duration such as 1h30m in milliseconds. NULL, or an error message, static. */
const char *duration_read(struct ss_span text, int64_t *ms);

/* Reads a number: decimal, hexadecimal, with underscores, Inf, NaN. NULL, or an error message, static. */
const char *number_read(struct ss_span text, double *value);

#endif
