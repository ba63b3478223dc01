/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conductor.
 *
 *     bytes --> format: records (span, hash of the key) --> selection: spans of the wanted shards --> sink
 *                 keyer: which bytes are the key?
 *
 * The format is chosen once, by the response's Content-Type. Everything after the first failure is refused with the
 * same failure.
 */
#include "parser.h"
#include "select.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct ss_filter {
    struct body body;
    struct selection selection;
};

struct ss_filter_settings
ss_filter_settings_default(void)
{
    return (struct ss_filter_settings){.max_line = 1024 * 1024};
}

int
ss_filter_new(struct ss_filter **filterp, const struct ss_filter_settings *settings)
{
    struct ss_filter *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    int r = body_init(&f->body, settings, false);
    f->selection.shards = settings->shards;
    f->selection.sharding = f->body.keyer.sharding;
    if (r)
        ss_filter_free(f);
    else
        *filterp = f;
    return r;
}

static int
take_record(void *ctx, const struct record *record)
{
    return selection_take(ctx, record);
}

static int
settle_records(void *ctx)
{
    return selection_settle(ctx);
}

/* Of what is over max_series the selection hears nothing, and it is to be counted all the same. */
static int
count_series(struct ss_filter *f, int r)
{
    f->selection.counts.series_seen = f->body.series;
    return r;
}

int
ss_filter_feed(struct ss_filter *f, struct ss_span bytes, const struct ss_sink *sink)
{
    struct records records = {take_record, settle_records, &f->selection};
    f->selection.sink = sink;
    if (!f->body.failed)
        f->selection.counts.bytes_seen += bytes.len;
    return count_series(f, body_feed(&f->body, bytes, &records));
}

int
ss_filter_end(struct ss_filter *f, const struct ss_sink *sink)
{
    struct records records = {take_record, settle_records, &f->selection};
    f->selection.sink = sink;
    return count_series(f, body_end(&f->body, &records));
}

bool
ss_filter_ends_whole(const struct ss_filter *f)
{
    return f->body.format->ends_whole(f->body.state);
}

const struct ss_filter_error *
ss_filter_error(const struct ss_filter *f)
{
    return f->body.error.condition ? &f->body.error : NULL;
}

const char *
ss_filter_error_text(const struct ss_filter_error *error, char *buffer, size_t size)
{
    int n = error->line ? snprintf(buffer, size, "line %" PRIu64 ", ", error->line) : 0;
    if (n >= 0 && (size_t)n < size)
        snprintf(buffer + n, size - (size_t)n, "byte %" PRIu64 ": %s", error->offset, error->reason);
    return buffer;
}

const struct ss_filter_counts *
ss_filter_counts(const struct ss_filter *f)
{
    return &f->selection.counts;
}

size_t
ss_filter_largest(const struct ss_filter *f, struct ss_family_count *out, size_t n)
{
    return n ? families_largest(&f->body.keyer.families, out, n) : 0;
}

void
ss_filter_families(const struct ss_filter *f, void (*visit)(void *ctx, const struct ss_family_count *family), void *ctx)
{
    families_visit(&f->body.keyer.families, visit, ctx);
}

const char *
ss_filter_format(const struct ss_filter *f)
{
    return f->body.format->name;
}

void
ss_filter_free(struct ss_filter *f)
{
    if (!f)
        return;
    body_deinit(&f->body);
    selection_deinit(&f->selection);
    free(f);
}
