/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_FAMILIES_H
#define CORE_FAMILIES_H
/* The families of a body: what their TYPE lines declare, and how many series each has. */
#include "core/base/name_table.h"
#include "core/text/syntax.h"

#include <scrapeshard/filter.h>

#include <stdbool.h>
#include <stdint.h>

/* What a TYPE line declares; a body may have several for one name. */
enum family_type {
    TYPE_PLAIN = 1, /* its samples are named as the family */
    TYPE_COUNTER = 2,
    TYPE_SUMMARY = 4,
    TYPE_HISTOGRAM = 8,
    TYPE_GAUGEHISTOGRAM = 16,
    TYPE_INFO = 32,
};

struct family {
    uint32_t types; /* enum family_type */
    bool counted;   /* it is among the counted families */
    bool has_route; /* route applies to all samples so far, and so does hash under SS_FAMILY_BY_HASH */
    enum ss_family_route route;
    uint64_t hash;
    uint64_t series, bytes;
    uint64_t dropped, replicated; /* of its series */
};

/* Zeroed is empty; free with families_deinit(). */
struct families {
    struct name_table names;
    struct family *items; /* by the name's number */
    uint32_t capacity;
    uint64_t n_counted;
};

/* The number of a family, which is added if it is missing. 0 and *numberp, or -ENOMEM. */
int families_add(struct families *families, struct ss_span name, uint32_t *numberp);

/* The memory used, in bytes. */
size_t families_bytes(const struct families *families);

/* The type named by a TYPE line's last word. */
enum family_type families_type(struct ss_span word);

/*
 * The family that a sample belongs to according to the TYPE lines so far: the one of its own name, else the one of its
 * name without a suffix that the type allows (OpenMetrics 1.0, "Suffixes"; the text format allows those of histograms
 * and summaries only, OpenMetrics 2.0 none), else its own name. Borrows from name.
 */
struct ss_span families_declared(const struct families *families, struct ss_span name, enum text_syntax syntax);

/*
 * The name that OpenMetrics 1.0 would declare for a family of 2.0: that of a counter without _total and that of an info
 * without _info, if its TYPE line came. Borrows from name.
 */
struct ss_span families_declared_before_2(const struct families *families, struct ss_span name);

/* Records the route of samples of a family. */
void families_record_route(struct families *families, uint32_t number, enum ss_family_route route, uint64_t hash);

/* See ss_filter_families(). */
void families_visit(const struct families *families, void (*visit)(void *ctx, const struct ss_family_count *family),
                    void *ctx);

/* See ss_filter_largest(). */
size_t families_largest(const struct families *families, struct ss_family_count *out, size_t n);

void families_deinit(struct families *families);

#endif
