/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses NUL-terminated expressions from standard input. Prints a line for each: "ok", "later" and the feature that
 * Prometheus 2.42 does not have, or "error" with position and reason. tests/rules/differential compares this with
 * promtool.
 */
#include "promql/expression.h"

#include <stdio.h>
#include <stdlib.h>

int
main(void)
{
    char *text = NULL;
    size_t room = 0;

    for (ssize_t n; (n = getdelim(&text, &room, 0, stdin)) > 0;) {
        struct arena arena = {NULL, 0, 0};
        struct promql_error error;
        struct expression e;
        int r = expression_parse(&e, &arena, (struct ss_span){text, (size_t)n - (text[n - 1] == 0)}, &error);
        if (r > 0)
            printf("error\t%u:%u: %s\n", error.line, error.column, error.reason);
        else if (r)
            abort();
        else
            printf(e.later ? "later\t%s\n" : "ok\n", e.later);
        arena_deinit(&arena);
    }
    free(text);
    return 0;
}
