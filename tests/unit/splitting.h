/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UNIT_SPLITTING_H
#define UNIT_SPLITTING_H
/* Splits protobuf families: shardings, series, and large bodies. */
#include "plan.h"
#include "protobuf.h"

#include <scrapeshard/index.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const shard_names[] = {"0", "1", "2"};

enum { COUNTER = 0, HISTOGRAM = 4, GAUGE_HISTOGRAM = 5 };

static inline struct sharding
split_all(void)
{
    return sharding_of(&(struct plan){.rules = {"split .*"}});
}

/* A metric with one label, id=<id>, and an unknown field of size bytes. */
static inline void
put_series(struct writer *message, const char *id, size_t size)
{
    struct writer pair = {NULL, 0}, metric = {NULL, 0};
    char *filler = calloc(size, 1);
    put_field(&pair, 1, SPAN("id"));
    put_field(&pair, 2, (struct ss_span){id, strlen(id)});
    put_field(&metric, 1, span(&pair));
    put_field(&metric, 99, (struct ss_span){filler, size});
    put_field(message, 4, span(&metric));
    free(filler);
    free(pair.bytes);
    free(metric.bytes);
}

/* Feeds a body in two pieces, or whole. Only result, bytes and error of the outcome are set. */
static inline struct outcome
feed_in_two(struct ss_span body, size_t cut, const char *shard, struct ss_sharding *sharding)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_shards_error error;
    struct ss_shards *shards;
    struct ss_filter *filter;
    struct outcome o = {.bytes = calloc(1, 1)};
    struct ss_sink sink = {outcome_take, &o};

    assert_int_equal(ss_shards_parse(&shards, (struct ss_span){shard, 1}, 3, &error), 0);
    settings.content_type = PROTOBUF;
    settings.shards = shards;
    settings.sharding = sharding;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    o.result = ss_filter_feed(filter, (struct ss_span){body.ptr, cut}, &sink);
    if (!o.result)
        o.result = ss_filter_feed(filter, (struct ss_span){body.ptr + cut, body.len - cut}, &sink);
    if (!o.result)
        o.result = ss_filter_end(filter, &sink);
    if (o.result)
        o.error = *ss_filter_error(filter);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return o;
}

static inline struct ss_sharding *
by_label(struct ss_span label, enum ss_hash hash, enum ss_placement placement)
{
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_sharding *sharding;
    settings.key = SS_KEY_LABELS;
    settings.hash = hash;
    settings.placement = placement;
    settings.source_labels = &label;
    settings.n_source_labels = 1;
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);
    return sharding;
}

static inline struct ss_sharding *
by_id(void)
{
    return by_label(SPAN("id"), SS_HASH_XXH64, SS_PLACE_MODULO);
}

/* Feeds a large body cut at some positions. All must have this result, and this text in the reason. */
static inline void
check_large(const struct writer *b, struct ss_sharding *sharding, int result, const char *reason)
{
    const size_t cuts[] = {0, 1, 1000, 200 * 1024, 256 * 1024 - 1, 256 * 1024, 300 * 1024, b->len - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        struct outcome o = feed_in_two(span(b), cuts[i], "1", sharding);
        if (o.result != result || (result && !strstr(o.error.reason, reason)))
            fail_msg("cut at %zu: result %d, %s", cuts[i], o.result, o.error.reason);
        outcome_free(&o);
    }
}

/* An index holds whole families, so it never rejects one. Checks the number of shards that have it. */
static inline void
check_indexed(const struct writer *b, struct ss_sharding *sharding, int holders)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_index *index;
    settings.content_type = PROTOBUF;
    settings.sharding = sharding;
    assert_int_equal(ss_index_new(&index, &settings), 0);
    assert_int_equal(ss_index_feed(index, span(b)), 0);
    assert_int_equal(ss_index_end(index), 0);
    for (int i = 0; i < 3; i++) {
        struct outcome o = {.bytes = calloc(1, 1)};
        struct ss_sink sink = {outcome_take, &o};
        struct ss_shards_error error;
        struct ss_shards *shards;
        assert_int_equal(ss_shards_parse(&shards, (struct ss_span){shard_names[i], 1}, 3, &error), 0);
        assert_int_equal(ss_index_select(index, shards, &sink, &o.counts), 0);
        holders -= o.len > 0;
        ss_shards_free(shards);
        outcome_free(&o);
    }
    assert_int_equal(holders, 0);
    ss_index_free(index);
}

#endif
