/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_TELEMETRY_ROWS_H
#define SERVICE_TELEMETRY_ROWS_H
/* The rows of telemetry.def. For telemetry*.c alone. */
#include "telemetry.h"

/* The sets of words that tell the numbers of a row apart. */
enum words {
    WORDS_NONE,
#define WORDS(set, label) WORDS_##set,
#include "telemetry.def"
};

struct telemetry_row {
    const char *name;
    enum metric_type type;
    const char *help;
    bool of_endpoint;
    size_t offset; /* in struct telemetry, or struct telemetry_endpoint */
    enum words words;
    const struct histogram_bound *bounds; /* of a histogram */
    /* Writes the samples of a row that is nowhere kept; one that writes none is left away. NULL: it is kept. */
    void (*compute)(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t);
};

#define COMPUTED(type, name, function, ...)                                                                            \
    void function(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t);
#include "telemetry.def"

/* Writes the row's metadata and its only sample, one without labels. */
void telemetry_write_number(struct exposition *e, const struct telemetry_row *row, double value);

#endif
