/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text formats: 0.0.4, 1.0.0 and OpenMetrics, which cut and name their lines alike.
 *
 * Lines are cut first and read whole, without a state. The lines that begin like the one before are not read at all:
 * they are of the same name, and the scanner steps over as many as there are.
 */
#include "format.h"
#include "head.h"
#include "line.h"
#include "sample.h"
#include "scan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum ending {
    ENDING_OPEN,
    ENDING_PENDING, /* format_guess: a # EOF stood there; is it the last line? */
    ENDING_SEEN,    /* OpenMetrics: nothing may follow */
};

struct text {
    const struct format *format;
    const struct scanner *scanner;
    const struct records *out; /* of the call in hand */
    struct ss_filter_error *error;
    struct ss_hasher *hasher;
    size_t max_line;
    struct line line;           /* the one that is not whole yet */
    struct heads heads;         /* of the last names */
    const struct head *current; /* of the last line, if it was a sample */
    uint64_t offset, lfs;       /* bytes and LFs before the line in hand */
    enum ending ending;
    bool marker_lf; /* the pending # EOF had its LF */
    char *scratch;  /* for names with escapes */
    size_t scratch_size;
    uint32_t ends[SCAN_ENDS];
};

static const char too_long[] = "a line longer than max_line";

static bool
is_openmetrics(const struct text *t)
{
    return t->format == &format_openmetrics;
}

static int
fail(struct text *t, enum ss_filter_condition condition, const char *what, struct ss_span line)
{
    struct ss_filter_error *e = t->error;
    e->condition = condition;
    e->offset = t->offset;
    e->line = t->lfs + 1;

    int n = snprintf(e->reason, sizeof(e->reason), "%s", what);
    if (line.len && n >= 0) {
        char *out = e->reason + n, *end = e->reason + sizeof(e->reason) - 8;
        out += sprintf(out, ": ");
        for (size_t i = 0; i < line.len && i < 48 && line.ptr[i] != '\n' && out < end; i++) {
            unsigned char c = (unsigned char)line.ptr[i];
            out += sprintf(out, c < 0x20 || c == 0x7f ? "\\x%02x" : "%c", c);
        }
    }
    return (int)condition;
}

/* Hands on a record that begins at the line in hand, and steps over it. lfs: how many LFs are in it. */
static int
give(struct text *t, struct record record, uint64_t lfs)
{
    int r = t->out->take(t->out->ctx, &record);
    t->offset += record.bytes.len;
    t->lfs += lfs;
    return r;
}

static uint64_t
count_lfs(struct ss_span bytes)
{
    uint64_t n = 0;
    for (const char *p = bytes.ptr, *end = p + bytes.len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        n++;
    return n;
}

static int
hash_name(struct text *t, const struct name *name, uint64_t *hashp)
{
    if (name->escaped && t->scratch_size < name->raw.len) {
        char *scratch = realloc(t->scratch, name->raw.len);
        if (!scratch)
            return -ENOMEM;
        t->scratch = scratch;
        t->scratch_size = name->raw.len;
    }
    return ss_hasher_hash(t->hasher, ss_key_family(name_bytes(name, t->scratch)), hashp);
}

static int
take_sample(struct text *t, struct ss_span line)
{
    struct sample sample;
    uint64_t hash;

    /* Only a change of name asks for a look at the value: the same lines must pass however the body is cut. */
    if (t->current && head_begins(line, t->current))
        return give(t, (struct record){line, t->current->hash, 0, 1}, count_lfs(line));
    t->current = heads_recall(&t->heads, line);
    if (t->current && sample_ends_in_value(line, is_openmetrics(t)))
        return give(t, (struct record){line, t->current->hash, 0, 1}, count_lfs(line));

    const char *what = sample_read(line, is_openmetrics(t), &sample);
    if (what)
        return fail(t, SS_NO_EXPOSITION, what, line);
    int r = hash_name(t, &sample.name, &hash);
    if (r)
        return r;
    if (!t->current && sample.head_len)
        t->current = heads_remember(&t->heads, (struct ss_span){line.ptr, sample.head_len}, hash);
    return give(t, (struct record){line, hash, 0, 1}, count_lfs(line));
}

/* A # EOF in a body that is not known to be OpenMetrics: whose it is depends on whether anything follows. */
static int
settle_marker(struct text *t, uint32_t flags)
{
    t->ending = ENDING_OPEN;
    return give(t, (struct record){{"# EOF\n", t->marker_lf ? 6 : 5}, 0, flags, 0}, t->marker_lf);
}

static int
take_marker(struct text *t, struct ss_span line)
{
    if (is_openmetrics(t)) {
        t->ending = ENDING_SEEN;
        return give(t, (struct record){line, 0, RECORD_EVERY, 0}, count_lfs(line));
    }
    if (t->format == &format_guess) {
        t->ending = ENDING_PENDING;
        t->marker_lf = line.len == 6;
        return 0;
    }
    return give(t, (struct record){line, 0, RECORD_LOOSE, 0}, 1);
}

static int
take_comment(struct text *t, struct ss_span line)
{
    enum comment_kind kind;
    struct name name;
    struct record record = {line, 0, RECORD_LOOSE, 0};
    const char *what = comment_read(line, is_openmetrics(t), &kind, &name);
    if (what)
        return fail(t, SS_NO_EXPOSITION, what, line);

    if (kind == COMMENT_EOF)
        return take_marker(t, line);
    if (kind == COMMENT_META) {
        int r = hash_name(t, &name, &record.hash);
        if (r)
            return r;
        record.flags = 0;
    }
    return give(t, record, count_lfs(line));
}

/* Takes one whole line; at the body's end it may lack its LF. */
static int
take_line(struct text *t, struct ss_span line)
{
    if (t->ending == ENDING_SEEN)
        return fail(t, SS_NO_EXPOSITION, "text after # EOF", line);
    if (t->ending == ENDING_PENDING) {
        int r = settle_marker(t, RECORD_LOOSE);
        if (r)
            return r;
    }

    size_t blanks = 0;
    if (!is_openmetrics(t))
        while (blanks < line.len && (line.ptr[blanks] == ' ' || line.ptr[blanks] == '\t'))
            blanks++;
    char first = blanks < line.len ? line.ptr[blanks] : '\n';
    if (first != '#' && first != '\n')
        return take_sample(t, line);
    t->current = NULL;
    if (first == '#')
        return take_comment(t, line);
    return is_openmetrics(t) ? fail(t, SS_NO_EXPOSITION, "a blank line", line)
                             : give(t, (struct record){line, 0, RECORD_LOOSE, 0}, count_lfs(line));
}

enum { BATCH_LEAST = 128 };

/* A walk over the whole lines of some bytes. */
struct walk {
    const char *line;    /* where the next one begins */
    const char *run;     /* where the lines like the last sample began */
    uint64_t samples;    /* how many they are */
    const char *scanned; /* how far the scanner is */
    size_t batch;        /* how much it does next */
    const char *end;
    struct scan_carry carry;
};

/* Gives out the run of samples up to the line in hand. */
static int
give_run(struct text *t, struct walk *w)
{
    struct ss_span bytes = {w->run, (size_t)(w->line - w->run)};
    uint64_t samples = w->samples;

    w->run = w->line;
    w->samples = 0;
    if (!bytes.len)
        return 0;
    return give(t, (struct record){bytes, t->current->hash, 0, samples},
                w->carry.inside_lf ? count_lfs(bytes) : samples);
}

/* Whether a line may be a comment, so that the scanner cannot be trusted with its quotes. */
static bool
is_comment_like(struct ss_span line)
{
    return *line.ptr == '#' || *line.ptr == ' ' || *line.ptr == '\t';
}

/*
 * The length of the line in hand, which the scanner thinks to be len. In a comment most quotes are but letters and may
 * have misled it, so that the line is shorter: then it starts anew behind it. (Each such line costs a batch.)
 */
static size_t
settle_length(const struct text *t, struct walk *w, size_t len)
{
    if (!is_comment_like((struct ss_span){w->line, len}) || !memchr(w->line, '"', len))
        return len;
    struct cut c = {.openmetrics = is_openmetrics(t)};
    size_t own = cut_feed(&c, (struct ss_span){w->line, len});
    if (own != len) {
        w->scanned = w->line + own;
        w->batch = BATCH_LEAST;
        w->carry = (struct scan_carry){.inside_lf = w->carry.inside_lf};
    }
    return own;
}

/* Takes a line that is not like the last. */
static int
take_other(struct text *t, struct walk *w, size_t len)
{
    if (len > t->max_line)
        return fail(t, SS_LINE_TOO_LONG, too_long, (struct ss_span){NULL, 0});
    int r = take_line(t, (struct ss_span){w->line, len});
    w->line += len;
    w->run = w->line;
    return r;
}

/* Steps over the lines like the last sample, from the i-th end on. Returns which line is not like it. */
static size_t
step_over(const struct text *t, struct walk *w, const char *base, size_t i, size_t n)
{
    const struct head *head = t->current;
    const size_t max_line = t->max_line, first = i;
    const char *line = w->line;

    for (; i < n; i++) {
        const char *next = base + t->ends[i];
        size_t len = (size_t)(next - line);
        if (len > max_line || !head_begins((struct ss_span){line, len}, head))
            break;
        line = next;
    }
    w->samples += i - first;
    w->line = line;
    return i;
}

/* Whether a line that is not like the last sample is another one of its family, as a histogram's are: then the run goes
   on, and the line is the next to be stepped over. */
static bool
goes_on(struct text *t, struct ss_span line)
{
    const struct head *head = heads_recall(&t->heads, line);
    if (!head || head->hash != t->current->hash || line.len > t->max_line ||
        !sample_ends_in_value(line, is_openmetrics(t)))
        return false;
    t->current = head;
    return true;
}

/* Takes the lines whose n ends the scanner found behind base. */
static int
take_batch(struct text *t, struct walk *w, const char *base, size_t n)
{
    const char *scanned = w->scanned;

    for (size_t i = 0; i < n; i++) {
        if (t->current && (i = step_over(t, w, base, i, n)) == n)
            break;
        size_t len = (size_t)(base + t->ends[i] - w->line);
        if (t->current && goes_on(t, (struct ss_span){w->line, len})) {
            i--;
            continue;
        }
        int r = give_run(t, w);
        len = settle_length(t, w, len);
        if (!r)
            r = take_other(t, w, len);
        if (r || w->scanned != scanned)
            return r;
    }
    return 0;
}

/* Takes the whole lines of in, and moves it behind them. *carryp is how the line that is not whole ends, if a sample.
 */
static int
take_lines(struct text *t, struct ss_span *in, struct scan_carry *carryp)
{
    struct walk w = {
        .line = in->ptr, .run = in->ptr, .scanned = in->ptr, .batch = SCAN_BATCH, .end = in->ptr + in->len};
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
        r = give_run(t, &w);
    if (!r)
        r = t->out->settle(t->out->ctx);
    in->len -= (size_t)(w.line - in->ptr);
    in->ptr = w.line;
    *carryp = w.carry;
    return r;
}

/* Adds to the line that is not whole; takes it when it is. */
static int
fill_line(struct text *t, struct ss_span *in)
{
    bool whole;
    long n = line_fill(&t->line, *in, t->max_line, &whole);
    if (n < 0)
        return (int)n;
    if (!whole && (size_t)n < in->len)
        return fail(t, SS_LINE_TOO_LONG, too_long, (struct ss_span){NULL, 0});
    in->ptr += n;
    in->len -= (size_t)n;
    if (!whole)
        return 0;

    int r = take_line(t, (struct ss_span){t->line.bytes.ptr, t->line.bytes.len});
    if (!r)
        r = t->out->settle(t->out->ctx);
    line_clear(&t->line);
    return r;
}

static int
text_feed(void *state, struct ss_span in, const struct records *out)
{
    struct text *t = state;
    int r = 0;

    t->out = out;
    while (in.len && !r) {
        struct scan_carry carry;
        if (t->line.bytes.len)
            r = fill_line(t, &in);
        if (!in.len || r)
            break;
        r = take_lines(t, &in, &carry);
        if (!in.len || r)
            break;
        if (is_comment_like(in) || in.len > t->max_line)
            r = fill_line(t, &in);
        else
            return line_begin(&t->line, in, carry.quoted != 0, carry.escaped != 0);
    }
    return r;
}

static int
text_end(void *state, const struct records *out)
{
    struct text *t = state;
    struct ss_span none = {NULL, 0};
    int r = 0;

    t->out = out;
    if (cut_is_quoted(&t->line.cut))
        return fail(t, SS_BODY_CUT, "the body ends inside quotes", none);
    if (t->line.bytes.len)
        r = take_line(t, (struct ss_span){t->line.bytes.ptr, t->line.bytes.len});
    if (!r && t->ending == ENDING_PENDING)
        r = settle_marker(t, RECORD_EVERY);
    if (!r && is_openmetrics(t) && t->ending != ENDING_SEEN)
        return fail(t, SS_BODY_CUT, "the body ends without # EOF", none);
    return r ? r : out->settle(out->ctx);
}

static bool
text_ends_whole(const void *state)
{
    const struct text *t = state;
    bool marker = t->line.bytes.len == 5 && !memcmp(t->line.bytes.ptr, "# EOF", 5);
    if (is_openmetrics(t))
        return marker || t->ending == ENDING_SEEN;
    return t->offset > 0 && !t->line.bytes.len;
}

static void
text_free(void *state)
{
    struct text *t = state;
    line_deinit(&t->line);
    free(t->scratch);
    free(t);
}

static int
text_begin(void **statep, const struct format *format, const struct format_settings *settings)
{
    struct text *t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->format = format;
    t->scanner = scanner_best();
    t->error = settings->error;
    t->hasher = settings->hasher;
    t->max_line = settings->max_line;
    t->line.cut.openmetrics = is_openmetrics(t);
    *statep = t;
    return 0;
}

#define TEXT(name)                                                                                                     \
    {                                                                                                                  \
        name, text_begin, text_feed, text_end, text_ends_whole, text_free                                              \
    }

const struct format format_text = TEXT("text");
const struct format format_guess = TEXT("text");
const struct format format_openmetrics = TEXT("openmetrics");
