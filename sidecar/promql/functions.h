/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_FUNCTIONS_H
#define PROMQL_FUNCTIONS_H
/* The functions of PromQL and what they take. */
#include "expression.h"

struct function {
    const char *name;
    const char *args; /* a letter each: s a scalar, v an instant vector, m a range vector, t a string */
    int optional;     /* so many of the last argument, instead of one; -1: any number of them */
    enum value_type type;
    bool later; /* than Prometheus 2.42 */
};

/* NULL: there is none of that name. */
const struct function *function_find(struct ss_span name);

/* The type that a letter of args means. */
enum value_type function_type(char letter);

/* How many arguments it takes at least and at most. */
size_t function_least(const struct function *function);
size_t function_most(const struct function *function);

#endif
