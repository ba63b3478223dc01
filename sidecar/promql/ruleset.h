/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROMQL_RULESET_H
#define PROMQL_RULESET_H
/* Recording and alerting rules, as rule files have them. */
#include "expression.h"

struct prom_rule {
    struct ss_span file, group, name; /* the file as it was named */
    bool is_record;                   /* else an alert */
    uint32_t line;                    /* where it begins */
    struct expression expression;
    /* What templates of its annotations and labels query. */
    struct expression *queries;
    size_t n_queries;
    bool has_unreadable_query; /* one that is made up while it runs, or is no expression */
};

/* Zeroed is empty; to be freed with ruleset_deinit(). */
struct ruleset {
    struct arena arena;
    struct prom_rule *items; /* in the order of files, groups and rules */
    size_t n, capacity;
};

/*
 * Adds the rules of a file: plain groups, PrometheusRule, VMRule, List, many documents. Documents of other kinds have
 * no rules. name and bytes are copied, as far as they are needed.
 *
 * 0; EINVAL (positive) with *error filled, its line and column those of the file; -ENOMEM. After an error some of the
 * file's rules may have been added.
 */
int ruleset_add_file(struct ruleset *rules, const char *name, struct ss_span bytes, struct promql_error *error);

void ruleset_deinit(struct ruleset *rules);

/* Adds what the templates in a text query to the rule. 0 or -ENOMEM. */
int ruleset_read_template(struct ruleset *rules, struct prom_rule *rule, struct ss_span text);

/* The first line of a Helm template that was not rendered, from 1; 0: it does not look like one. broken: it is not even
   YAML or a rule, so that less is enough. */
uint32_t ruleset_find_helm(struct ss_span text, bool broken);

#endif
