/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts the stages together.
 *
 *     bytes --> format: records (span, hash of the key) --> selection: spans of the wanted shards --> sink
 *                 key_resolver: which bytes are the key?
 *
 * The format is chosen once, by the Content-Type of the response. After the first failure, every call returns that
 * failure.
 */
#include "core/parse/parser.h"
#include "select.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct ss_filter {
    struct parser parser;
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
    int r = parser_init(&f->parser, settings, false);
    f->selection.shards = settings->shards;
    f->selection.sharding = f->parser.resolver.sharding;
    if (r)
        ss_filter_free(f);
    else
        *filterp = f;
    return r;
}

static int
take_record(void *ctx, const struct record *record)
{
    struct ss_filter *f = ctx;
    return parser_count(&f->parser, record) ? selection_take(&f->selection, record) : 0;
}

static int
flush_records(void *ctx)
{
    struct ss_filter *f = ctx;
    return selection_flush(&f->selection);
}

/* The selection does not see series beyond max_series, but they must be counted. */
static int
count_series(struct ss_filter *f, int r)
{
    f->selection.counts.series_seen = f->parser.series;
    return r;
}

int
ss_filter_feed(struct ss_filter *f, struct ss_span bytes, const struct ss_sink *sink)
{
    struct records records = {take_record, flush_records, f};
    f->selection.sink = sink;
    if (!f->parser.failed)
        f->selection.counts.bytes_seen += bytes.len;
    return count_series(f, parser_feed(&f->parser, bytes, &records));
}

int
ss_filter_end(struct ss_filter *f, const struct ss_sink *sink)
{
    struct records records = {take_record, flush_records, f};
    f->selection.sink = sink;
    return count_series(f, parser_end(&f->parser, &records));
}

bool
ss_filter_ends_whole(const struct ss_filter *f)
{
    return f->parser.format->ends_whole(f->parser.state);
}

const struct ss_filter_error *
ss_filter_error(const struct ss_filter *f)
{
    return f->parser.error.condition ? &f->parser.error : NULL;
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
    return n ? families_largest(&f->parser.resolver.families, out, n) : 0;
}

void
ss_filter_families(const struct ss_filter *f, void (*visit)(void *ctx, const struct ss_family_count *family), void *ctx)
{
    families_visit(&f->parser.resolver.families, visit, ctx);
}

const char *
ss_filter_format(const struct ss_filter *f)
{
    return f->parser.format->name;
}

void
ss_filter_free(struct ss_filter *f)
{
    if (!f)
        return;
    parser_deinit(&f->parser);
    selection_deinit(&f->selection);
    free(f);
}
