/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEXT_STATE_H
#define CORE_TEXT_STATE_H
/* The state of a text parser, shared by text.c, which splits a body into lines, and text_line.c, which parses those
   that must be parsed. Private to these two. */
#include "core/text/line_splitter.h"
#include "core/text/scan.h"
#include "format.h"
#include "prefix_cache.h"
#include "record.h"

enum ending {
    ENDING_OPEN,
    ENDING_PENDING, /* FORMAT_GUESS: there was a # EOF; is it the last line? */
    ENDING_SEEN,    /* OpenMetrics: nothing may follow */
    ENDING_NUL,     /* text: a NUL at the start of a line: only padding may follow */
};

/*
 * Neighbouring lines of metadata for one name, in OpenMetrics, if the route may depend on the type, which may be in the
 * last line of the block. Emitted as one record.
 */
struct block {
    struct buffer name, type, lines;
    uint64_t lfs;
};

/* Series by the values of labels, which are found. Their records wait until several keys are hashed together. */
enum { MAX_PENDING = 16 };

struct pending_series {
    size_t n;
    struct record records[MAX_PENDING];
    struct found_labels found[MAX_PENDING];
    struct ss_span *values; /* of all */
};

struct text {
    enum format_kind kind;
    enum text_syntax syntax;
    const struct scanner *scanner;
    unsigned scan_rest;        /* of scan_carry, from one feed to the next */
    const struct records *out; /* of the current call */
    struct ss_filter_error *error;
    struct key_resolver *resolver;
    size_t max_line;
    struct partial_line line;     /* the incomplete one */
    struct prefix_cache prefixes; /* of the most recent names */
    bool blocks;                  /* metadata are emitted in blocks */
    struct block block;
    struct pending_series pending;
    uint64_t waiting; /* bytes of metadata of split families: all of them may have to wait for a sample */
    const struct name_prefix *current; /* of the last line, if it was a sample */
    uint64_t offset, lfs;              /* bytes and LFs before the current line */
    enum ending ending;
    bool marker_lf;        /* the pending # EOF had its LF */
    struct buffer scratch; /* for unescaped names */
    uint32_t ends[SCAN_ENDS];
};

static inline bool
is_openmetrics(const struct text *t)
{
    return syntax_is_openmetrics(t->syntax);
}

/* The functions return as those of struct format. */

/* Fails at the current line, and quotes it if it is not empty. */
int text_fail(struct text *text, enum ss_filter_condition condition, const char *what, struct ss_span line);

/* Parses and emits one complete line; at the end of the body it may lack its LF. */
int text_take_line(struct text *text, struct ss_span line);

/* Emits a line that is known to start with the prefix. lfs: how many it has. */
int text_emit_known(struct text *text, struct ss_span line, const struct name_prefix *prefix, uint64_t lfs);

/* Emits bytes that start at the current line and have a route, and moves after them; hash is the route's own unless
   each series has one. */
int text_emit_routed(struct text *text, struct ss_span bytes, const struct route *route, uint64_t hash, uint64_t series,
                     uint64_t lfs);

/* Flushes the records, pending ones first. Required before the bytes of any of them change. */
int text_flush(struct text *text);

/* Whether text starts, where a line would, with a NUL, at which the scraper stops reading. Before the first line
   this is not an end but a malformed exposition. */
static inline bool
is_at_nul(const struct text *t, struct ss_span in)
{
    return in.len && !*in.ptr && !is_openmetrics(t) && (t->offset || t->ending == ENDING_PENDING);
}

/* Emits bytes from that NUL on, which need not be complete lines: nothing is lost as long as they are NULs, blanks,
   CRs and LFs. */
int text_take_padding(struct text *text, struct ss_span in);

/* Emits what was held back: at the end of the body. */
int text_emit_held(struct text *text);

#endif
