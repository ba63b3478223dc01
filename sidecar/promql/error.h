/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_ERROR_H
#define PROMQL_ERROR_H
/* What is wrong, and where. */
#include <stddef.h>
#include <stdint.h>

struct promql_error {
    size_t offset;         /* into an expression, in bytes */
    uint32_t line, column; /* from 1; columns count characters. Of an expression alone, or of the file it is in */
    char reason[240];      /* what is wrong, and what was expected */
};

#endif
