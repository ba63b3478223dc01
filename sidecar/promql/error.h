/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_ERROR_H
#define PROMQL_ERROR_H
/* An error and its position. */
#include <stddef.h>
#include <stdint.h>

struct promql_error {
    size_t offset;         /* into an expression, in bytes */
    uint32_t line, column; /* from 1, in the expression or in its file; columns count characters */
    uint32_t begins;       /* the line on which what is wrong begins, in a rule file; 0: unknown */
    char reason[240];      /* what is wrong, and what was expected */
};

#endif
