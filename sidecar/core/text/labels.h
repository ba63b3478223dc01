/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LABELS_H
#define CORE_LABELS_H
/* The labels of one series, read where they stand: in a line of text, or in a metric of protobuf. */
#include "core/protobuf/wire.h"

#include <scrapeshard/span.h>

#include <stdbool.h>

/* A name or value as written: its bytes, a quoted one's without the quotes. */
struct name {
    struct ss_span raw;
    bool escaped; /* raw has backslashes in it */
};

/*
 * The bytes that a name means: raw itself, or raw with its escapes (\\ \" \n; others stand for themselves) resolved
 * into scratch, which must hold raw.len bytes.
 */
struct ss_span name_bytes(const struct name *name, char *scratch);

struct label {
    struct name name, value;
};

/* A walk over labels. It stands between two of them, or behind the closing brace. */
struct labels {
    const char *p, *end;
    bool broken;            /* what stands there are no labels */
    struct name metric;     /* a quoted string among them that is none: the metric's name. raw.ptr NULL: none yet */
    const char *metric_end; /* behind its quote, if it stands first; else NULL */
    bool first;
};

/* Over those of a line of text, from behind the opening brace on. */
struct labels labels_of_text(const char *behind_brace, const char *end);

/* The next one, which points into the line. False: there is none, or labels->broken. */
bool labels_next(struct labels *labels, struct label *label);

/* Some labels of a line, and their values as they are found; each ptr is NULL before. */
struct wanted_labels {
    const struct ss_span *names;
    struct ss_span *values;
    size_t n, missing; /* as many as have no value yet */
};

/*
 * Finds the values of labels that begin at an offset of the line and are written as all exporters write them: one
 * behind the other, without blanks and without escapes. False: they are not written so, and nothing is known of them.
 */
bool labels_find(struct ss_span line, size_t at, struct wanted_labels *wanted);

/* Steps over letters of a name: [a-zA-Z_:][a-zA-Z0-9_:]*, perhaps none. Returns where they end. */
const char *name_end(const char *p, const char *end);

/* Reads a quoted string that begins at p, with its quote. Returns what stands behind it, or NULL if it has no end. */
const char *quoted_read(const char *p, const char *end, struct name *name);

/*
 * Over those of a metric of protobuf (io.prometheus.client.Metric of prometheus/client_model, fields label = 1;
 * LabelPair's name = 1, value = 2). The same loop, with label_pairs_next().
 */
struct label_pairs {
    struct wire fields; /* of the metric; broken if they are, or a label */
};

bool label_pairs_next(struct label_pairs *pairs, struct label *label);

#endif
