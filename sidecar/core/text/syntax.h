/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SYNTAX_H
#define CORE_SYNTAX_H
/* The text formats, as far as their lines are read differently. */
#include <stdbool.h>

enum text_syntax {
    SYNTAX_TEXT,          /* text 0.0.4 and 1.0.0 */
    SYNTAX_OPENMETRICS,   /* 0.0.1 and 1.0.0 */
    SYNTAX_OPENMETRICS_2, /* 2.0.0: composite values, start timestamps, several exemplars, names without suffixes */
};

static inline bool
syntax_is_openmetrics(enum text_syntax syntax)
{
    return syntax != SYNTAX_TEXT;
}

#endif
