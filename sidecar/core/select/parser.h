/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PARSER_H
#define CORE_PARSER_H
/* A body on its way to records: its format, its keys, its limits, and how it failed. What filters and indexes share. */
#include "core/key/key_resolver.h"
#include "format.h"
#include "record.h"

struct parser {
    const struct format *format;
    void *state;
    struct ss_sharding *own_sharding; /* where none was given */
    struct key_resolver resolver;
    uint64_t max_series, series, bytes;
    size_t held; /* bytes of memory, by which the format holds back what is not whole */
    int failed;
    struct ss_filter_error error;
    const struct records *out; /* of the call in hand */
};

/* settings as of a filter; its shards mean nothing here. whole_frames: see format.h. 0 or -ENOMEM; to be freed with
   parser_deinit() in both cases. */
int parser_init(struct parser *parser, const struct ss_filter_settings *settings, bool whole_families);

/* Give the records out; answer as ss_filter_feed() and ss_filter_end(). */
int parser_feed(struct parser *parser, struct ss_span bytes, const struct records *out);
int parser_end(struct parser *parser, const struct records *out);

void parser_deinit(struct parser *parser);

#endif
