/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_YAML_TREE_H
#define PROMQL_YAML_TREE_H
/*
 * The documents of a YAML file, as trees of values with their positions.
 *
 * An alias shares the value of its anchor but counts as a copy, so a file that expands to more than LIMIT_YAML_NODES
 * values is an error.
 */
#include "error.h"

#include <scrapeshard/span.h>

#include <stdbool.h>

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_value {
    enum yaml_kind kind;
    uint32_t line, column; /* from 1 */
    struct ss_span text;   /* of a scalar */
    enum { YAML_PLAIN, YAML_QUOTED, YAML_DOUBLE_QUOTED, YAML_BLOCK } style;
    const struct yaml_value **items; /* of a mapping: alternating keys and values */
    size_t n, capacity;              /* items */
    uint64_t weight;                 /* how many values it expands to, including itself */
};

struct yaml_file;

/* bytes are borrowed. 0: the caller frees *filep; -ENOMEM. */
int yaml_file_new(struct yaml_file **filep, struct ss_span bytes);

/* The next document, valid as long as the file. 0, with *rootp NULL at the end; EINVAL (positive) with *error set;
   -ENOMEM. */
int yaml_file_next(struct yaml_file *file, const struct yaml_value **rootp, struct promql_error *error);

/* NULL is allowed. */
void yaml_file_free(struct yaml_file *file);

/* Whether it is null, ~ or empty. */
bool yaml_is_null(const struct yaml_value *value);

/* The value of a key; own keys take precedence over merged ones (<<). NULL: none. */
const struct yaml_value *yaml_find(const struct yaml_value *mapping, const char *key);

/* The second occurrence of a key, or NULL. */
const struct yaml_value *yaml_find_duplicate(const struct yaml_value *mapping, const char *key);

/* Sets error's line and column to the position of a scalar's byte in the file. */
void yaml_locate(struct ss_span file, const struct yaml_value *scalar, size_t offset, struct promql_error *error);

#endif
