/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FAMILIES_H
#define CORE_FAMILIES_H
/* The families of a body: what TYPE lines declared of them, and how many series each has. */
#include "core/base/name_table.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stdint.h>

/* What a TYPE line said; of one name several may stand in a body. */
enum family_type {
    TYPE_PLAIN = 1, /* its samples have its name */
    TYPE_COUNTER = 2,
    TYPE_SUMMARY = 4,
    TYPE_HISTOGRAM = 8,
    TYPE_GAUGEHISTOGRAM = 16,
    TYPE_INFO = 32,
};

struct family {
    uint32_t types; /* enum family_type */
    bool counted;   /* it is one of the census */
    bool has_route; /* fate is that of all its samples so far, and hash, if it is SS_FAMILY_BY_HASH */
    enum ss_family_route route;
    uint64_t hash;
    uint64_t series, bytes;
};

/* Zeroed is empty; to be freed with families_deinit(). */
struct families {
    struct name_table names;
    struct family *items; /* by the name's number */
    uint32_t capacity;
    uint64_t n_counted;
};

/* The number of a family, which is added if it is not there. 0 and *numberp, or -ENOMEM. */
int families_add(struct families *families, struct ss_span name, uint32_t *numberp);

/* The bytes that the table takes. */
size_t families_bytes(const struct families *families);

/* The type that a TYPE line's last word says. */
enum family_type families_type(struct ss_span word);

/*
 * The family that a sample belongs to by what TYPE lines have said so far: the one of its own name, else the one of its
 * name without a suffix that the family's type has (OpenMetrics 1.0, "Suffixes"; the text format has those of
 * histograms and summaries alone), else its own name. Borrows from name.
 */
struct ss_span families_declared(const struct families *families, struct ss_span name, bool openmetrics);

/* Takes in how samples of a family fall. */
void families_record_route(struct families *families, uint32_t number, enum ss_family_route route, uint64_t hash);

/* See ss_filter_families(). */
void families_visit(const struct families *families, void (*visit)(void *ctx, const struct ss_family_count *family),
                    void *ctx);

/* See ss_filter_largest(). */
size_t families_largest(const struct families *families, struct ss_family_count *out, size_t n);

void families_deinit(struct families *families);

#endif
