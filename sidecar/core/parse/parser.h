/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PARSER_H
#define CORE_PARSER_H
/* Parses a body into records: its format, its keys, its limits, and how it failed. Shared by filters and indexes. */
#include "core/key/key_resolver.h"
#include "format.h"
#include "record.h"

struct parser {
    const struct format *format;
    void *state;
    struct ss_sharding *own_sharding; /* if none was given */
    struct key_resolver resolver;
    uint64_t max_series, series, bytes;
    size_t held; /* memory in bytes that the format uses to hold incomplete messages */
    int failed;
    struct ss_filter_error error;
};

/* settings as for a filter; its shards are ignored. whole_families: see format.h. 0 or -ENOMEM; call parser_deinit()
   in both cases. */
int parser_init(struct parser *parser, const struct ss_filter_settings *settings, bool whole_families);

/* Emit the records; return as ss_filter_feed() and ss_filter_end(). What takes them counts each with parser_count(). */
int parser_feed(struct parser *parser, struct ss_span bytes, const struct records *out);
int parser_end(struct parser *parser, const struct records *out);

/* Counts a record. False: the body has too many series, so that no more is selected; the rest is only counted, to
   report which family grew. */
static inline bool
parser_count(struct parser *parser, const struct record *record)
{
    if (parser->resolver.counts_families)
        key_resolver_count(&parser->resolver, record->family, record->series, record->bytes.len);
    if (parser->resolver.counts_families && record->flags & (RECORD_DROPPED | RECORD_ALL))
        key_resolver_count_others(&parser->resolver, record->family,
                                  record->flags & RECORD_DROPPED ? record->series : 0,
                                  record->flags & RECORD_ALL ? record->series : 0);
    parser->series += record->series;
    return !parser->max_series || parser->series <= parser->max_series;
}

void parser_deinit(struct parser *parser);

#endif
