/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_TEXT_H
#define CORE_TEXT_H
/* A body of text being read: text.c cuts it into lines, text_line.c reads those that have to be. For these two alone.
 */
#include "core/select/format.h"
#include "line_splitter.h"
#include "prefix_cache.h"
#include "scan.h"

enum ending {
    ENDING_OPEN,
    ENDING_PENDING, /* format_guess: a # EOF stood there; is it the last line? */
    ENDING_SEEN,    /* OpenMetrics: nothing may follow */
    ENDING_NUL,     /* text: a NUL stood where a line begins, and so only what says nothing may follow */
};

/*
 * Neighbouring lines of metadata for one name, in OpenMetrics, where rules may ask for more than the name: samples are
 * called as the type says, which perhaps only the block's last line does. Given out as one.
 */
struct block {
    struct buffer name, type, lines;
    uint64_t lfs;
};

struct text {
    const struct format *format;
    const struct scanner *scanner;
    const struct records *out; /* of the call in hand */
    struct ss_filter_error *error;
    struct key_resolver *resolver;
    size_t max_line;
    struct partial_line line;     /* the one that is not whole yet */
    struct prefix_cache prefixes; /* of the last names */
    bool blocks;                  /* metadata are given out in blocks */
    struct block block;
    uint64_t waiting; /* bytes of metadata of families that part: all of them may have to wait for a sample */
    const struct name_prefix *current; /* of the last line, if it was a sample */
    uint64_t offset, lfs;              /* bytes and LFs before the line in hand */
    enum ending ending;
    bool marker_lf;        /* the pending # EOF had its LF */
    struct buffer scratch; /* for names with escapes */
    uint32_t ends[SCAN_ENDS];
};

static inline bool
is_openmetrics(const struct text *t)
{
    return t->format == &format_openmetrics;
}

/* The functions answer as those of struct format. */

/* Fails at the line in hand, and shows it if it is not empty. */
int text_fail(struct text *text, enum ss_filter_condition condition, const char *what, struct ss_span line);

/* Takes one whole line; at the body's end it may lack its LF. */
int text_take_line(struct text *text, struct ss_span line);

/* Takes a line, of which it is known that it begins like that head. lfs: how many are in it. */
int text_emit_like(struct text *text, struct ss_span line, const struct name_prefix *prefix, uint64_t lfs);

/* Hands on bytes that begin at the line in hand and have a fate, and steps over them; hash is the fate's own unless
   each series has one. */
int text_emit_routed(struct text *text, struct ss_span bytes, const struct route *route, uint64_t hash, uint64_t series,
                     uint64_t lfs);

/* Whether text begins at a place where a line would with a NUL, at which the scraper takes the body to end. Before the
   first line it is no end, but no exposition. */
static inline bool
is_at_nul(const struct text *t, struct ss_span in)
{
    return in.len && !*in.ptr && !is_openmetrics(t) && (t->offset || t->ending == ENDING_PENDING);
}

/* Takes bytes from that NUL on, which need be no whole lines: nothing is lost as long as they are NULs, blanks, CRs and
   LFs. */
int text_take_padding(struct text *text, struct ss_span in);

/* Gives out what was held back until more is known: at the body's end. */
int text_emit_held(struct text *text);

#endif
