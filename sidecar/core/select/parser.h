/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PARSER_H
#define CORE_PARSER_H
/* A body on its way to records: its format, its keys, its limits, and how it failed. What filters and indexes share. */
#include "format.h"
#include "core/key/key_resolver.h"
#include "record.h"

struct body {
    const struct format *format;
    void *state;
    struct ss_sharding *own_sharding; /* where none was given */
    struct keyer keyer;
    uint64_t max_series, series, bytes;
    size_t held; /* bytes of memory, by which the format holds back what is not whole */
    int failed;
    struct ss_filter_error error;
    const struct records *out; /* of the call in hand */
};

/* settings as of a filter; its shards mean nothing here. whole_frames: see format.h. 0 or -ENOMEM; to be freed with
   body_deinit() in both cases. */
int body_init(struct body *body, const struct ss_filter_settings *settings, bool whole_frames);

/* Give the records out; answer as ss_filter_feed() and ss_filter_end(). */
int body_feed(struct body *body, struct ss_span bytes, const struct records *out);
int body_end(struct body *body, const struct records *out);

void body_deinit(struct body *body);

#endif
