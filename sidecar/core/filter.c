/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conductor.
 *
 *     bytes --> format: records (span, hash of the key) --> selection: spans of the wanted shards --> sink
 *
 * The format is chosen once, by the response's Content-Type. Everything after the first failure is refused with the
 * same failure.
 */
#include "format.h"
#include "select.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct ss_filter {
    const struct format *format;
    void *state;
    struct ss_hasher *hasher;
    int failed;
    struct ss_filter_error error;
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
    const struct format *format = format_of(settings->content_type);
    struct ss_filter *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->format = format;
    f->selection.shards = settings->shards;
    f->selection.hash = settings->hash;
    f->selection.placement = settings->placement;
    int r = ss_hasher_new(&f->hasher, settings->hash);
    if (!r)
        r = format->begin(&f->state, format, &(struct format_settings){settings->max_line, f->hasher, &f->error});
    if (r)
        ss_filter_free(f);
    else
        *filterp = f;
    return r;
}

int
ss_filter_feed(struct ss_filter *f, struct ss_span bytes, const struct ss_sink *sink)
{
    if (f->failed)
        return f->failed;
    struct records records = selection_records(&f->selection);
    f->selection.sink = sink;
    f->selection.counts.bytes_seen += bytes.len;
    return f->failed = f->format->feed(f->state, bytes, &records);
}

int
ss_filter_end(struct ss_filter *f, const struct ss_sink *sink)
{
    if (f->failed)
        return f->failed;
    struct records records = selection_records(&f->selection);
    f->selection.sink = sink;
    return f->failed = f->format->end(f->state, &records);
}

bool
ss_filter_ends_whole(const struct ss_filter *f)
{
    return f->format->ends_whole(f->state);
}

const struct ss_filter_error *
ss_filter_error(const struct ss_filter *f)
{
    return f->error.condition ? &f->error : NULL;
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

const char *
ss_filter_format(const struct ss_filter *f)
{
    return f->format->name;
}

void
ss_filter_free(struct ss_filter *f)
{
    if (!f)
        return;
    if (f->state)
        f->format->free(f->state);
    ss_hasher_free(f->hasher);
    free(f);
}
