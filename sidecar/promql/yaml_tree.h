/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_YAML_TREE_H
#define PROMQL_YAML_TREE_H
/*
 * The documents of a YAML file, as trees that know where they were written.
 *
 * An alias is the value that its anchor named, not a copy; but it counts as one, so that a file that means more than
 * LIMIT_YAML_NODES values is an error.
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
    const struct yaml_value **items; /* of a mapping: keys and values in turn */
    size_t n, capacity;              /* items */
    uint64_t weight;                 /* how many values it means, itself among them */
};

struct yaml_file;

/* bytes are borrowed. 0: *filep is the caller's; -ENOMEM. */
int yaml_file_new(struct yaml_file **filep, struct ss_span bytes);

/* The next document, which lives as long as the file. 0, and *rootp is NULL at the end; EINVAL (positive) with *error
   filled; -ENOMEM. */
int yaml_file_next(struct yaml_file *file, const struct yaml_value **rootp, struct promql_error *error);

/* NULL is fine. */
void yaml_file_free(struct yaml_file *file);

/* Whether it is nothing: null, ~ or no value at all. */
bool yaml_is_null(const struct yaml_value *value);

/* The value of a key, merged ones (<<) after its own; NULL: there is none. */
const struct yaml_value *yaml_find(const struct yaml_value *mapping, const char *key);

/* A key that is there twice, or NULL. Only those asked for by name matter, so it is told for one. */
const struct yaml_value *yaml_find_again(const struct yaml_value *mapping, const char *key);

/* Where the byte at an offset of a scalar was written in the file: error's line and column. */
void yaml_locate(struct ss_span file, const struct yaml_value *scalar, size_t offset, struct promql_error *error);

#endif
