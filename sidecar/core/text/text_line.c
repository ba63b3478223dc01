/* SPDX-License-Identifier: Apache-2.0 */
/* One line of a text format: what is it, whose is it, and out with it. Lines are whole here; there is no state but what
   the next lines may need: the beginnings of the last samples, metadata held back, and the end marker. */
#include "text.h"

#include "sample.h"
#include "strict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int
text_fail(struct text *t, enum ss_filter_condition condition, const char *what, struct ss_span line)
{
    struct ss_filter_error *e = t->error;
    e->condition = condition;
    e->offset = t->offset + t->block.lines.len;
    e->line = t->lfs + (t->block.lines.len ? t->block.lfs : 0) + 1;

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

/* Fails with what the keyer says, if r is a condition. */
static int
keyer_failed(struct text *t, int r, struct ss_span line)
{
    return r > 0 ? text_fail(t, (enum ss_filter_condition)r, t->keyer->reason, line) : r;
}

/* Hands on a record that begins at the line in hand, and steps over it. lfs: how many LFs are in it. */
static int
give(struct text *t, const struct record *record, uint64_t lfs)
{
    int r = t->out->take(t->out->ctx, record);
    t->offset += record->bytes.len;
    t->lfs += lfs;
    return r;
}

/* The same for bytes of a fate; hash says more than it where each series has a hash of its own. */
int
text_give_fated(struct text *t, struct ss_span bytes, const struct fate *fate, uint64_t hash, uint64_t series,
                uint64_t lfs)
{
    static const uint32_t flags[] = {
        [FATE_HASHED] = 0, [FATE_EVERY] = RECORD_EVERY, [FATE_DROPPED] = RECORD_DROPPED, [FATE_LABELS] = 0,
        [FATE_SPLIT] = 0,  [FATE_META] = RECORD_META,
    };
    return give(t, &(struct record){bytes, hash, flags[fate->kind], fate->family, fate->meta, series}, lfs);
}

static int
give_flagged(struct text *t, struct ss_span bytes, uint32_t flags, uint64_t lfs)
{
    return give(t, &(struct record){.bytes = bytes, .flags = flags}, lfs);
}

static uint64_t
count_lfs(struct ss_span bytes)
{
    const char *p = bytes.ptr, *last = bytes.ptr + bytes.len - 1;
    uint64_t n = 0;
    if (!bytes.len)
        return 0;
    /* Of most there is one, and it is the last byte. */
    for (; (p = memchr(p, '\n', (size_t)(last - p))) != NULL; p++)
        n++;
    return n + (*last == '\n');
}

/* What a name means; one with escapes is borrowed from the scratch. ptr is NULL if there is no memory. */
static struct ss_span
meaning(struct text *t, const struct name *name)
{
    t->scratch.len = 0;
    if (name->escaped && bytes_add(&t->scratch, name->raw))
        return (struct ss_span){NULL, 0};
    return name_bytes(name, t->scratch.ptr);
}

/* Hands on a sample whose name and its fate are known; labels: where they begin, or 0. */
static int
give_sample(struct text *t, struct ss_span line, const struct fate *fate, struct ss_span name, size_t labels,
            uint64_t lfs)
{
    uint64_t hash = fate->hash;
    if (fate_is_by_series(fate)) {
        int r = keyer_hash_text(t->keyer, fate, name, line, labels, &hash);
        if (r)
            return keyer_failed(t, r, line);
    }
    return text_give_fated(t, line, fate, hash, 1, lfs);
}

int
text_give_like(struct text *t, struct ss_span line, const struct head *head, uint64_t lfs)
{
    size_t labels = head->labels;
    if (!labels && fate_is_by_series(&head->fate))
        labels = sample_labels(line, head->len, is_openmetrics(t));
    return give_sample(t, line, &head->fate, head->name, labels, lfs);
}

static int
take_sample(struct text *t, struct ss_span line)
{
    struct sample sample;
    struct fate fate;
    uint64_t lfs = count_lfs(line);

    if (lfs > (line.ptr[line.len - 1] == '\n')) {
        const char *wrong = strict_sample(line, is_openmetrics(t));
        if (wrong)
            return text_fail(t, SS_NO_EXPOSITION, wrong, line);
    }
    /* Only a change of name asks for a look at the value: the same lines must pass however the body is cut. */
    if (t->current && head_begins(line, t->current))
        return text_give_like(t, line, t->current, lfs);
    t->current = heads_recall(&t->heads, line);
    if (t->current && sample_ends_in_value(line, is_openmetrics(t)))
        return text_give_like(t, line, t->current, lfs);

    const char *what = sample_read(line, is_openmetrics(t), &sample);
    if (what)
        return text_fail(t, SS_NO_EXPOSITION, what, line);
    struct ss_span name = meaning(t, &sample.name);
    int r = name.ptr ? keyer_sample(t->keyer, name, &fate) : -ENOMEM;
    if (r)
        return keyer_failed(t, r, line);
    if (!t->current && sample.head_len && !sample.name.escaped)
        t->current = heads_remember(&t->heads, (struct ss_span){line.ptr, sample.head_len}, name, &fate);
    return give_sample(t, line, &fate, name, sample.labels, lfs);
}

/* A # EOF in a body that is not known to be OpenMetrics: whose it is depends on whether anything follows. */
static int
settle_marker(struct text *t, uint32_t flags)
{
    t->ending = ENDING_OPEN;
    return give_flagged(t, (struct ss_span){"# EOF\n", t->marker_lf ? 6 : 5}, flags, t->marker_lf);
}

static int
take_marker(struct text *t, struct ss_span line)
{
    if (is_openmetrics(t)) {
        t->ending = ENDING_SEEN;
        return give_flagged(t, line, RECORD_EVERY, count_lfs(line));
    }
    if (t->format == &format_guess) {
        t->ending = ENDING_PENDING;
        t->marker_lf = line.len == 6;
        return 0;
    }
    return give_flagged(t, line, RECORD_LOOSE, 1);
}

static int
give_meta(struct text *t, struct ss_span lines, struct ss_span name, struct ss_span type, uint64_t lfs)
{
    struct fate fate;
    int r = keyer_meta(t->keyer, name, type, &fate);
    if (r)
        return keyer_failed(t, r, lines);
    if (fate.kind == FATE_META && (t->waiting += lines.len + LIMIT_WAITING) > LIMIT_NAMES)
        return text_fail(t, SS_TOO_MANY, "metadata of families that part, 32 MiB of them before it", lines);
    /* The samples behind it may be another family's now than they were before. */
    if (keyer_depends_on_meta(t->keyer))
        heads_clear(&t->heads);
    return text_give_fated(t, lines, &fate, fate.hash, 0, lfs);
}

/* Gives out the block, whose memory is then free for the next. */
static int
give_block(struct text *t)
{
    struct block *b = &t->block;
    struct ss_span lines = bytes_span(&b->lines);
    if (!lines.len)
        return 0;
    b->lines.len = 0;
    int r = give_meta(t, lines, bytes_span(&b->name), bytes_span(&b->type), b->lfs);
    return r ? r : t->out->settle(t->out->ctx);
}

static int
add_to_block(struct text *t, struct ss_span line, struct ss_span name, struct ss_span type)
{
    struct block *b = &t->block;
    int r = 0;
    if (b->lines.len && !spans_equal(bytes_span(&b->name), name))
        r = give_block(t);
    if (!r && b->lines.len > t->max_line)
        return text_fail(t, SS_LINE_TOO_LONG, "metadata of one family, longer than max_line", line);
    if (!r && !b->lines.len) {
        b->name.len = b->type.len = b->lfs = 0;
        r = bytes_add(&b->name, name);
    }
    if (!r && type.len) {
        b->type.len = 0;
        r = bytes_add(&b->type, type);
    }
    if (!r)
        r = bytes_add(&b->lines, line);
    b->lfs += count_lfs(line);
    return r;
}

static int
take_meta(struct text *t, struct ss_span line, const struct comment *comment)
{
    struct ss_span name = meaning(t, &comment->name);
    if (!name.ptr)
        return -ENOMEM;
    return t->blocks ? add_to_block(t, line, name, comment->type)
                     : give_meta(t, line, name, comment->type, count_lfs(line));
}

static int
take_comment(struct text *t, struct ss_span line)
{
    struct comment comment;
    const char *what = comment_read(line, is_openmetrics(t), &comment);
    if (what)
        return text_fail(t, SS_NO_EXPOSITION, what, line);
    if (comment.kind == COMMENT_META)
        return take_meta(t, line, &comment);
    int r = give_block(t);
    if (r)
        return r;
    return comment.kind == COMMENT_EOF ? take_marker(t, line) : give_flagged(t, line, RECORD_LOOSE, count_lfs(line));
}

int
text_take_line(struct text *t, struct ss_span line)
{
    if (t->ending == ENDING_SEEN)
        return text_fail(t, SS_NO_EXPOSITION, "text after # EOF", line);
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
    if (first == '#') {
        t->current = NULL;
        return take_comment(t, line);
    }
    int r = give_block(t);
    if (r)
        return r;
    if (first != '\n')
        return take_sample(t, line);
    t->current = NULL;
    return is_openmetrics(t) ? text_fail(t, SS_NO_EXPOSITION, "a blank line", line)
                             : give_flagged(t, line, RECORD_LOOSE, count_lfs(line));
}

int
text_take_padding(struct text *t, struct ss_span in)
{
    static const char padding[] = " \t\r\n"; /* and its NUL */
    size_t n = 0;
    int r = 0;

    if (t->ending == ENDING_PENDING)
        r = settle_marker(t, RECORD_LOOSE);
    t->ending = ENDING_NUL;
    t->current = NULL;
    while (n < in.len && memchr(padding, in.ptr[n], sizeof(padding)))
        n++;
    if (!r && n)
        r = give_flagged(t, (struct ss_span){in.ptr, n}, RECORD_LOOSE, count_lfs((struct ss_span){in.ptr, n}));
    if (!r && n < in.len)
        return text_fail(t, SS_NO_EXPOSITION, "more text after a NUL, at which the scraper takes the body to end",
                         (struct ss_span){NULL, 0});
    return r;
}

int
text_give_held(struct text *t)
{
    int r = give_block(t);
    return r || t->ending != ENDING_PENDING ? r : settle_marker(t, RECORD_EVERY);
}
