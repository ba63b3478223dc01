/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_RULESET_H
#define PROMQL_RULESET_H
/* Recording and alerting rules, read from rule files. */
#include "expression.h"

struct prom_rule {
    struct ss_span file, group, name; /* file: the path as given */
    bool is_record;                   /* else an alert */
    uint32_t line;                    /* of its first key */
    struct expression expression;
    /* Queries in the templates of its annotations and labels. */
    struct expression *queries;
    size_t n_queries;
    bool has_unreadable_query; /* a query that is built at run time or is not a valid expression */
};

/* Zero-initialised it is empty; free it with ruleset_deinit(). */
struct ruleset {
    struct arena arena;
    struct prom_rule *items; /* in the order of files, groups and rules */
    size_t n, capacity;
};

/*
 * Adds the rules of a file: plain groups, PrometheusRule, VMRule or List, in one or more documents. Documents of other
 * kinds are ignored. name and bytes are copied as needed.
 *
 * 0; EINVAL (positive) with *error set, its position relative to the file; -ENOMEM. After an error some of the
 * file's rules may have been added.
 */
int ruleset_add_file(struct ruleset *rules, const char *name, struct ss_span bytes, struct promql_error *error);

void ruleset_deinit(struct ruleset *rules);

/* Adds the queries in the templates of a text to the rule. 0 or -ENOMEM. */
int ruleset_read_template(struct ruleset *rules, struct prom_rule *rule, struct ss_span text);

/* The first line (from 1) with an action that only Helm's templates have; 0: none. */
uint32_t ruleset_find_helm(struct ss_span text);

/* Whether a line (from 1) begins with an action, as in Helm's templates and in the block text of an annotation. */
bool ruleset_starts_with_action(struct ss_span text, uint32_t line);

#endif
