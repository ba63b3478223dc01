/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TELEMETRY_ROWS_H
#define SERVICE_TELEMETRY_ROWS_H
/* The rows of telemetry.def. Private to telemetry*.c. */
#include "telemetry.h"

/* The sets of labels that distinguish the numbers of a row. */
enum label_set {
    LABELS_NONE,
#define LABELS(set, label) LABELS_##set,
#include "telemetry.def"
};

struct telemetry_row {
    const char *name;
    enum metric_type type;
    const char *help;
    bool of_endpoint;
    size_t offset; /* in struct telemetry, or struct telemetry_endpoint */
    enum label_set labels;
    const struct histogram_bound *bounds; /* of a histogram */
    /* Writes a row that is not stored; it may write nothing. NULL: the row is stored. */
    void (*compute)(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t);
};

#define COMPUTED(type, name, function, ...)                                                                            \
    void function(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t);
#include "telemetry.def"

/* Writes the row's metadata and its only sample, one without labels. */
void telemetry_write_number(struct exposition *e, const struct telemetry_row *row, double value);

#endif
