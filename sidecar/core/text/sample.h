/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SAMPLE_H
#define CORE_SAMPLE_H
/* What one whole line of a text format says. Everything points into the line. */
#include "labels.h"

struct sample {
    struct name name;
    size_t prefix_len; /* how many of the line's bytes, if another line has them too, make it one of the same name; 0
                          none */
    size_t labels;     /* where its labels begin, behind the opening brace; 0: it has none */
};

/* What a line that begins with # is. */
enum comment_kind { COMMENT_PLAIN, COMMENT_META, COMMENT_EOF };

struct comment {
    enum comment_kind kind;
    struct name name;    /* COMMENT_META: of the family */
    struct ss_span type; /* of a TYPE line; else empty */
};

/*
 * Reads a sample up to its value. Answers NULL, or what is missing, in words. openmetrics: blanks stand only where
 * that format has them.
 */
const char *sample_read(struct ss_span line, bool openmetrics, struct sample *sample);

/* Whether a word is a number as a sample's value is one, but for values in braces. */
bool sample_is_number(struct ss_span word);

/* Where the labels of a sample begin that is known to have a head of so many bytes; 0: it has none. */
size_t sample_labels(struct ss_span line, size_t prefix_len, bool openmetrics);

/*
 * Whether a sample whose name is known has a value, told from its end: numbers, and behind blanks before them the
 * closing brace. False may also mean that only sample_read() can tell.
 */
bool sample_ends_in_value(struct ss_span line, bool openmetrics);

/*
 * Where a sample's timestamp would stand, behind its value; 0: it has one, or the line is no sample that could be read
 * with one. Comments are none.
 */
size_t sample_untimed(struct ss_span line, bool openmetrics);

/*
 * Reads a comment; line begins, behind blanks that only the text format has, with #. Answers NULL, or what is wrong, in
 * words.
 */
const char *comment_read(struct ss_span line, bool openmetrics, struct comment *comment);

#endif
