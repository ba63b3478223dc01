/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_UNQUOTE_H
#define CORE_UNQUOTE_H
/* The strings of PromQL. */
#include "arena.h"

/* Unquotes a string, with the escapes of Go. 0: *out is in the arena or borrows the text; EINVAL (positive) with
 *reason, static; -ENOMEM. */
int string_unquote(struct ss_span quoted, struct arena *arena, struct ss_span *out, const char **reason);

#endif
