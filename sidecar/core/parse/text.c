/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text formats 0.0.4, 1.0.0 and OpenMetrics, whose lines are split and named alike.
 *
 * Lines are split first and parsed as a whole, without state (text_line.c). Lines that start like the one before are
 * not parsed at all: they have the same name, and the scanner skips as many as there are.
 */
#include "core/key/sharding.h"
#include "core/text/sample.h"
#include "core/text/strict.h"
#include "text_state.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char too_long[] = "a line longer than max_line";

enum { BATCH_MIN = 128 };

/* An iteration over the complete lines of some bytes. */
struct walk {
    const char *line;    /* the start of the next one */
    const char *run;     /* the start of the lines like the last sample */
    uint64_t samples;    /* their number */
    const char *scanned; /* how far the scanner got */
    size_t batch;        /* how much it scans next */
    const char *end;
    struct scan_carry carry;
};

/* Emits the run of samples up to the current line. */
static int
emit_run(struct text *t, struct walk *w)
{
    struct ss_span bytes = {w->run, (size_t)(w->line - w->run)};
    uint64_t samples = w->samples;

    w->run = w->line;
    w->samples = 0;
    if (!bytes.len)
        return 0;
    const struct route *route = &t->current->route;
    return text_emit_routed(t, bytes, route, route->hash, samples, samples);
}

/* Whether a line may be a comment, whose quotes mislead the scanner. */
static bool
is_comment_like(struct ss_span line)
{
    return *line.ptr == '#' || *line.ptr == ' ' || *line.ptr == '\t';
}

/*
 * The length of the current line, which is len according to the scanner. In a comment most quotes are ordinary bytes
 * that may have misled it, so that the line is shorter: then it restarts after the line. (Each such line costs a
 * batch.)
 */
static size_t
resolve_length(const struct text *t, struct walk *w, size_t len)
{
    if (!is_comment_like((struct ss_span){w->line, len}) || !memchr(w->line, '"', len))
        return len;
    struct line_splitter c = {.openmetrics = is_openmetrics(t)};
    size_t own = line_splitter_feed(&c, (struct ss_span){w->line, len});
    if (own != len) {
        w->scanned = w->line + own;
        w->batch = BATCH_MIN;
        w->carry = (struct scan_carry){.rest = w->carry.rest};
    }
    return own;
}

/* Handles a line that is not like the last. */
static int
take_other(struct text *t, struct walk *w, size_t len)
{
    struct ss_span rest = {w->line, (size_t)(w->end - w->line)};
    if (is_at_nul(t, rest)) {
        w->line = w->run = w->scanned = w->end;
        return text_take_padding(t, rest);
    }
    if (len > t->max_line)
        return text_fail(t, SS_LINE_TOO_LONG, too_long, (struct ss_span){NULL, 0});
    int r = text_take_line(t, (struct ss_span){w->line, len});
    w->line += len;
    w->run = w->line;
    return r;
}

/* Whether a sample that spans lines must be fully parsed, although its prefix is known. The scanner knows whether
   there may be any, so usually nothing is searched. */
static bool
must_read(const struct walk *w, struct ss_span line)
{
    return w->carry.inside_lf && spans_lines(line);
}

/* Skips the lines like the last sample, from the i-th end on. Returns the index of the first line that is not. */
static size_t
step_over(const struct text *t, struct walk *w, const char *base, size_t i, size_t n)
{
    const uint32_t *ends = t->ends + i;
    const char *line = w->line;
    size_t max = n - i, same = 0;

    /* If a line may be longer than max_line and yet end in this batch, or may span lines, check each; else only the
       first, which may have started before this batch. */
    do {
        struct ss_span next = {line, (size_t)(base + ends[same] - line)};
        if (next.len > t->max_line || must_read(w, next))
            break;
        size_t step = t->max_line >= SCAN_BATCH && !w->carry.inside_lf ? max : 1;
        size_t found = t->scanner->count_same_prefix(&t->current->prefix, line, base, ends + same, step, w->end);
        same += found;
        if (found < step)
            break;
        line = base + ends[same - 1];
    } while (same < max);
    w->samples += same;
    if (same)
        w->line = base + ends[same - 1];
    return i + same;
}

/* The same if each series has its own hash. 0, or why it stopped. */
static int
take_series(struct text *t, struct walk *w, const char *base, size_t *ip, size_t n)
{
    const struct name_prefix *prefix = t->current;
    size_t i = *ip;
    int r = 0;

    for (; i < n && !r; i++) {
        struct ss_span line = {w->line, (size_t)(base + t->ends[i] - w->line)};
        if (line.len > t->max_line || !prefix_matches(line, &prefix->prefix) || must_read(w, line))
            break;
        r = text_emit_known(t, line, prefix, 1);
        w->line += line.len;
    }
    w->run = w->line;
    *ip = i;
    return r;
}

/* Whether a line that is not like the last sample is another one of its family, as in a histogram: then the run
   continues, and the line is the next to be skipped. */
static bool
continues_run(struct text *t, const struct walk *w, struct ss_span line)
{
    const struct name_prefix *prefix = prefix_cache_lookup(&t->prefixes, line);
    if (!prefix || !routes_are_equal(&prefix->route, &t->current->route) || line.len > t->max_line ||
        must_read(w, line) || !sample_ends_in_value(line, t->syntax))
        return false;
    t->current = prefix;
    return true;
}

/* Handles the lines whose n ends the scanner found after base. */
static int
take_batch(struct text *t, struct walk *w, const char *base, size_t n)
{
    const char *scanned = w->scanned;

    for (size_t i = 0; i < n; i++) {
        if (t->current && route_is_by_series(&t->current->route)) {
            int r = take_series(t, w, base, &i, n);
            if (r)
                return r;
        } else if (t->current) {
            i = step_over(t, w, base, i, n);
        }
        if (i == n)
            break;
        size_t len = (size_t)(base + t->ends[i] - w->line);
        if (t->current && continues_run(t, w, (struct ss_span){w->line, len})) {
            i--;
            continue;
        }
        int r = emit_run(t, w);
        len = resolve_length(t, w, len);
        if (!r)
            r = take_other(t, w, len);
        if (r || w->scanned != scanned || w->line == w->end)
            return r;
    }
    return 0;
}

/* Handles the complete lines of in and moves it after them. *carryp is the state at the end of the incomplete line,
   if it is a sample. */
static int
take_lines(struct text *t, struct ss_span *in, struct scan_carry *carryp)
{
    struct walk w = {.line = in->ptr,
                     .run = in->ptr,
                     .scanned = in->ptr,
                     .batch = SCAN_BATCH,
                     .end = in->ptr + in->len,
                     .carry = {.rest = t->scan_rest}};
    int r = 0;

    while (w.scanned < w.end && !r) {
        const char *base = w.scanned;
        size_t left = (size_t)(w.end - base);
        struct ss_span batch = {base, left < w.batch ? left : w.batch};
        size_t n = t->scanner->ends(batch, &w.carry, t->ends);
        w.scanned += batch.len;
        w.batch = w.batch < SCAN_BATCH ? 2 * w.batch : SCAN_BATCH;
        r = take_batch(t, &w, base, n);
    }
    if (!r)
        r = emit_run(t, &w);
    if (!r)
        r = text_flush(t);
    in->len -= (size_t)(w.line - in->ptr);
    in->ptr = w.line;
    *carryp = w.carry;
    t->scan_rest = w.carry.rest;
    return r;
}

/* Handles what follows a NUL that ends the body. */
static int
take_padding(struct text *t, struct ss_span in)
{
    int r = text_take_padding(t, in);
    return r ? r : text_flush(t);
}

/* Appends to the incomplete line, and handles it once complete. */
static int
fill_line(struct text *t, struct ss_span *in)
{
    bool whole;
    long n = partial_line_fill(&t->line, *in, t->max_line, &whole);
    if (n < 0)
        return (int)n;
    if (!whole && (size_t)n < in->len)
        return text_fail(t, SS_LINE_TOO_LONG, too_long, (struct ss_span){NULL, 0});
    in->ptr += n;
    in->len -= (size_t)n;
    if (!whole)
        return 0;

    int r = text_take_line(t, buffer_span(&t->line.bytes));
    if (!r)
        r = text_flush(t);
    partial_line_clear(&t->line);
    return r;
}

int
text_feed(void *state, struct ss_span in, const struct records *out)
{
    struct text *t = state;
    int r = 0;

    t->out = out;
    if (t->ending == ENDING_NUL)
        return take_padding(t, in);
    while (in.len && !r) {
        struct scan_carry carry;
        if (t->line.bytes.len)
            r = fill_line(t, &in);
        if (!in.len || r)
            break;
        r = take_lines(t, &in, &carry);
        if (!in.len || r)
            break;
        if (is_at_nul(t, in))
            return take_padding(t, in);
        if (is_comment_like(in) || in.len > t->max_line)
            r = fill_line(t, &in);
        else
            return partial_line_start(&t->line, in, carry.quoted != 0, carry.escaped != 0);
    }
    return r;
}

int
text_end(void *state, const struct records *out)
{
    struct text *t = state;
    struct ss_span none = {NULL, 0};
    int r = 0;

    t->out = out;
    if (line_splitter_is_quoted(&t->line.splitter))
        return text_fail(t, SS_BODY_TRUNCATED, "the body ends inside quotes", none);
    if (t->line.bytes.len)
        r = text_take_line(t, buffer_span(&t->line.bytes));
    if (!r)
        r = text_emit_held(t);
    if (!r && is_openmetrics(t) && t->ending != ENDING_SEEN)
        return text_fail(t, SS_BODY_TRUNCATED, "the body ends without # EOF", none);
    return r ? r : text_flush(t);
}

bool
text_ends_whole(const void *state)
{
    const struct text *t = state;
    bool marker = t->line.bytes.len == 5 && !memcmp(t->line.bytes.ptr, "# EOF", 5);
    if (is_openmetrics(t))
        return marker || t->ending == ENDING_SEEN;
    return (t->offset + t->block.lines.len > 0 || t->ending == ENDING_PENDING) && !t->line.bytes.len;
}

void
text_free(void *state)
{
    struct text *t = state;
    partial_line_deinit(&t->line);
    buffer_deinit(&t->scratch);
    buffer_deinit(&t->block.name);
    buffer_deinit(&t->block.type);
    buffer_deinit(&t->block.lines);
    free(t->pending.values);
    free(t);
}

int
text_new(void **statep, const struct format *format, const struct format_settings *settings)
{
    struct text *t = malloc(sizeof(*t));
    if (!t)
        return -ENOMEM;
    memset(t, 0, offsetof(struct text, ends)); /* the scanner needs no zeros there */
    t->kind = format->kind;
    t->syntax = format->syntax;
    t->scanner = scanner_best();
    t->error = settings->error;
    t->resolver = settings->resolver;
    t->max_line = settings->max_line;
    t->blocks = key_resolver_needs_type(t->resolver);
    t->line.splitter.openmetrics = is_openmetrics(t);
    size_t n = t->resolver->sharding->settings.n_source_labels;
    t->pending.values = calloc(MAX_PENDING * n + 1, sizeof(*t->pending.values));
    if (!t->pending.values) {
        free(t);
        return -ENOMEM;
    }
    for (size_t i = 0; i < MAX_PENDING; i++)
        t->pending.found[i].values = t->pending.values + i * n;
    *statep = t;
    return 0;
}
