/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_FUNCTIONS_H
#define PROMQL_FUNCTIONS_H
/* The functions of PromQL and their arguments. */
#include "expression.h"

struct function {
    const char *name;
    const char *args; /* one letter each: s scalar, v instant vector, m range vector, t string */
    int optional;     /* the last argument may occur 0 to this many times; -1: any number of times */
    enum value_type type;
    bool later; /* newer than Prometheus 2.42 */
};

/* NULL: unknown function. */
const struct function *function_find(struct ss_span name);

/* The type of a letter of args. */
enum value_type function_type(char letter);

/* The minimum and maximum number of arguments. */
size_t function_min_args(const struct function *function);
size_t function_max_args(const struct function *function);

#endif
