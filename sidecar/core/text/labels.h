/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_LABELS_H
#define CORE_LABELS_H
/* Reads the labels of a line of text. */
#include "core/base/label.h"

/*
 * The unescaped bytes: raw itself, or raw with its escapes (\\ \" \n; others are left as they are) resolved into
 * scratch, which must hold raw.len bytes.
 */
struct ss_span name_unescape(const struct name *name, char *scratch);

/* An iterator over labels. It stands between two of them, or after the closing brace. */
struct labels {
    const char *p, *end;
    bool broken;            /* the labels are malformed */
    struct name metric;     /* the metric's name, if it is a quoted string among the labels. raw.ptr NULL: none yet */
    const char *metric_end; /* after its closing quote if it comes first, else NULL */
    bool first;
};

/* Iterates over the labels of a line of text, starting after the opening brace. */
struct labels labels_in_text(const char *after_brace, const char *end);

/* The next label, which points into the line. False: no more, or labels->broken. */
bool labels_next(struct labels *labels, struct label *label);

/* The labels to find in a line, and their values; each ptr is NULL until found. */
struct wanted_labels {
    const struct ss_span *names;
    struct ss_span *values;
    size_t n, missing; /* number of values not found yet */
    const char *end;   /* set by labels_find(): the bytes of the labels up to here decided the values; or NULL */
};

/*
 * Finds the values of labels that start at an offset of the line and are written as almost every exporter writes them:
 * adjacent, without blanks and escapes. False: they are not, and nothing is known about them.
 */
bool labels_find(struct ss_span line, size_t at, struct wanted_labels *wanted);

/* Skips a name, [a-zA-Z_:][a-zA-Z0-9_:]*, perhaps empty. Returns its end. */
const char *name_end(const char *p, const char *end);

/* Reads a quoted string that starts at p with its quote. Returns the byte after it, or NULL if it is unterminated. */
const char *quoted_read(const char *p, const char *end, struct name *name);

#endif
