/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_STRINGS_H
#define PROMQL_STRINGS_H
/* Literals of PromQL: what they mean. */
#include "core/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* What a string with its quotes means: escapes are those of Go. 0: *out is in the arena or borrows the text; EINVAL
   (positive): *reason says why, static; -ENOMEM. */
int string_unquote(struct ss_span quoted, struct arena *arena, struct ss_span *out, const char **reason);

/* The milliseconds of a duration such as 1h30m. NULL, or why there are none, static. */
const char *duration_read(struct ss_span text, int64_t *ms);

/* The value of a number: decimal, hexadecimal, with underscores, Inf, NaN. NULL, or why there is none, static. */
const char *number_read(struct ss_span text, double *value);

#endif
