/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_PLAN_LABELS_H
#define CMD_PLAN_LABELS_H
/* The label cardinality of the largest families: how many values each of their labels has. */
#include "core/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct plan_distribution;

enum {
    LABELLED_FAMILIES = 5,
    LABELS_MAX = 64, /* of a family */
};

struct label_values {
    struct ss_span name; /* unescaped */
    size_t n;            /* values */
    bool has_more;       /* there are more values than were counted */
    uint64_t *slots;     /* hashes of the values */
    size_t capacity;     /* a power of two */
};

struct labelled_family {
    struct ss_span family; /* borrowed from the index */
    uint64_t series;
    struct label_values labels[LABELS_MAX]; /* those with the most values first */
    size_t n_labels;
    bool has_more_labels;
};

/* Zeroed is empty. */
struct plan_labels {
    struct labelled_family families[LABELLED_FAMILIES]; /* the largest first */
    size_t n;
    size_t values; /* of all labels */
    struct arena arena;
};

/* Counts the values of the labels of the families that have the most series. A label with an empty value counts as
   missing; le and quantile are labels only in text. 0 or -ENOMEM; to be freed with plan_labels_deinit() in both cases.
 */
int plan_labels_count(struct plan_labels *labels, const struct plan_distribution *distribution);
void plan_labels_deinit(struct plan_labels *labels);

#endif
