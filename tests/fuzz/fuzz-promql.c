/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: whatever the bytes are, they are one, and in parentheses again the same, or have a mistake with a place.
 */
#include "require.h"

#include "promql/expression.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_error(const struct promql_error *error, struct ss_span text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    REQUIRE(error->offset <= text.len && error->line && error->line <= lines && error->column);
    REQUIRE(error->column <= text.len + 1 && *error->reason);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {NULL, 0, 0};
    struct expression e, again;
    struct promql_error error = {.line = 0};
    struct ss_span text = {(const char *)data, size};

    int r = expression_parse(&e, &arena, text, &error);
    if (r) {
        REQUIRE(r > 0);
        check_error(&error, text);
    } else {
        /* A comment may end it. */
        char *wrapped = malloc(size + 3);
        REQUIRE(wrapped && e.root);
        wrapped[0] = '(';
        memcpy(wrapped + 1, data, size);
        memcpy(wrapped + 1 + size, "\n)", 2);
        r = expression_parse(&again, &arena, (struct ss_span){wrapped, size + 3}, &error);
        /* It may have been as deep as is allowed. */
        REQUIRE(r ? strstr(error.reason, "nests deeper") || strstr(error.reason, "chains more")
                  : again.n_selectors == e.n_selectors && again.root->args[0]->type == e.root->type);
        free(wrapped);
    }
    arena_deinit(&arena);
    return 0;
}
