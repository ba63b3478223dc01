/* SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <inttypes.h>
#include <stdio.h>

int
parser_init(struct parser *b, const struct ss_filter_settings *settings, bool whole_families)
{
    struct ss_filter_settings own = *settings;
    int r = 0;

    *b = (struct parser){.format = format_of(own.content_type), .max_series = own.max_series};
    if (!own.sharding) {
        struct ss_sharding_settings sharding = ss_sharding_settings_default();
        r = ss_sharding_new(&b->own_sharding, &sharding);
        own.sharding = b->own_sharding;
    }
    if (!r)
        r = key_resolver_init(&b->resolver, &own, b->format == &format_openmetrics);
    if (!r)
        r = b->format->begin(
            &b->state, b->format,
            &(struct format_settings){own.max_line, &b->resolver, &b->error, whole_families, &b->held});
    return r;
}

/* What the format gives out is counted. Of a body that has too many series no more is given out, but it is counted to
   its end, to tell which family it is that grew. */
static int
take_record(void *ctx, const struct record *record)
{
    struct parser *b = ctx;
    if (b->resolver.counts_families)
        key_resolver_count(&b->resolver, record);
    b->series += record->series;
    if (b->max_series && b->series > b->max_series)
        return 0;
    return b->out->take(b->out->ctx, record);
}

static int
flush_records(void *ctx)
{
    struct parser *b = ctx;
    return b->out->flush(b->out->ctx);
}

static int
too_many_series(struct parser *b)
{
    struct ss_family_count largest = {.name = {"", 0}};
    families_largest(&b->resolver.families, &largest, 1);
    snprintf(b->error.reason, sizeof(b->error.reason),
             "it has %" PRIu64 " series, more than max_series, %" PRIu64 "; %" PRIu64 " are of the family %.*s",
             b->series, b->max_series, largest.series, largest.name.len < 80 ? (int)largest.name.len : 80,
             largest.name.ptr);
    return SS_TOO_MANY;
}

/* The answer of a call: a condition that is not of the format's finding has its error filled here. */
static int
answer(struct parser *b, int r)
{
    if (r > 0 && !b->error.condition) {
        b->error.condition = (enum ss_filter_condition)r;
        b->error.offset = b->bytes;
    }
    return b->failed = r;
}

int
parser_feed(struct parser *b, struct ss_span bytes, const struct records *out)
{
    struct records records = {take_record, flush_records, b};
    if (b->failed || !bytes.len) /* an empty span may be NULL */
        return b->failed;
    b->out = out;
    b->bytes += bytes.len;
    return answer(b, b->format->feed(b->state, bytes, &records));
}

int
parser_end(struct parser *b, const struct records *out)
{
    struct records records = {take_record, flush_records, b};
    if (b->failed)
        return b->failed;
    b->out = out;
    int r = b->format->end(b->state, &records);
    if (!r && b->max_series && b->series > b->max_series)
        r = too_many_series(b);
    return answer(b, r);
}

void
parser_deinit(struct parser *b)
{
    if (b->state)
        b->format->free(b->state);
    key_resolver_deinit(&b->resolver);
    ss_sharding_free(b->own_sharding);
}
