/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SAMPLE_H
#define CORE_SAMPLE_H
/* Parses one complete line of a text format. All results point into the line. */
#include "labels.h"
#include "syntax.h"

struct sample {
    struct name name;
    size_t prefix_len; /* length of the prefix by which other lines of the same name are recognised; 0: none */
    size_t labels;     /* where its labels start, after the opening brace; 0: it has none */
};

/* Kinds of lines that start with #. */
enum comment_kind { COMMENT_PLAIN, COMMENT_META, COMMENT_EOF };

struct comment {
    enum comment_kind kind;
    struct name name;    /* COMMENT_META: of the family */
    struct ss_span type; /* of a TYPE line; else empty */
};

/*
 * Parses a sample up to its value. Returns NULL, or what is missing. In OpenMetrics blanks are allowed only where that
 * format has them.
 */
const char *sample_read(struct ss_span line, enum text_syntax syntax, struct sample *sample);

/* Whether a word is a number as in a sample's value, other than composite ones. */
bool sample_is_number(struct ss_span word);

/*
 * The length of the composite value of OpenMetrics 2.0 that the text starts with: {field:value,...}, without blanks and
 * quotes, up to a blank, an LF or the end. 0: there is none.
 */
size_t sample_composite_len(struct ss_span text);

/* Where the labels of a sample start whose prefix has that length; 0: it has none. */
size_t sample_labels(struct ss_span line, size_t prefix_len, enum text_syntax syntax);

/*
 * Whether a sample whose name is known has a value, seen from its end: numbers and, after blanks, the closing brace.
 * False may also mean that only sample_read() can decide.
 */
bool sample_ends_in_value(struct ss_span line, enum text_syntax syntax);

/*
 * Where a timestamp belongs, after the value; 0: the sample has one, or the line is not a sample that is readable with
 * one. A comment is not.
 */
size_t sample_timestamp_offset(struct ss_span line, enum text_syntax syntax);

/*
 * Parses a comment; line starts, after blanks that only the text format allows, with #. Returns NULL, or what is wrong.
 */
const char *comment_read(struct ss_span line, enum text_syntax syntax, struct comment *comment);

#endif
