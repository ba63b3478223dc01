/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SAMPLE_H
#define CORE_SAMPLE_H
/* What one whole line of a text format says. Everything points into the line. */
#include <scrapeshard/span.h>

#include <stdbool.h>

/* A metric name as written: name, or "quoted name" without its quotes. */
struct name {
    struct ss_span raw;
    bool escaped; /* raw has backslashes in it */
};

struct sample {
    struct name name;
    size_t
        head_len; /* how many of the line's bytes, if another line has them too, make it one of the same name; 0 none */
};

/* What a line that begins with # is. */
enum comment_kind { COMMENT_PLAIN, COMMENT_META, COMMENT_EOF };

/*
 * Reads a sample up to its value. Answers NULL, or what is missing, in words. openmetrics: blanks stand only where
 * that format has them.
 */
const char *sample_read(struct ss_span line, bool openmetrics, struct sample *sample);

/*
 * Whether a sample whose name is known has a value, told from its end: numbers, and behind blanks before them the
 * closing brace. False may also mean that only sample_read() can tell.
 */
bool sample_ends_in_value(struct ss_span line, bool openmetrics);

/*
 * Reads a comment; line begins, behind blanks that only the text format has, with #. Under COMMENT_META *namep is the
 * family it names. Answers NULL, or what is wrong, in words.
 */
const char *comment_read(struct ss_span line, bool openmetrics, enum comment_kind *kindp, struct name *namep);

/*
 * The bytes that a name means: raw itself, or raw with its escapes (\\ \" \n; others stand for themselves) resolved
 * into scratch, which must hold raw.len bytes.
 */
struct ss_span name_bytes(const struct name *name, char *scratch);

#endif
