/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf families that are split: their fields are read, and a large family is emitted in parts. */
#include "protobuf.h"

#include <scrapeshard/index.h>

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static const char *const shard_names[] = {"0", "1", "2"};

struct splitting {
    struct ss_rules *rules;
    struct ss_sharding *sharding;
};

static struct splitting
split_all(void)
{
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_rule_error error;
    struct splitting s;
    assert_int_equal(ss_rules_new(&s.rules), 0);
    assert_int_equal(ss_rules_add(s.rules, SS_ACTION_SPLIT, SPAN(".*"), &error), 0);
    settings.rules = s.rules;
    assert_int_equal(ss_sharding_new(&s.sharding, &settings), 0);
    return s;
}

static void
splitting_end(struct splitting *s)
{
    ss_sharding_free(s->sharding);
    ss_rules_free(s->rules);
}

/* A metric with one label, id=<id>, and an unknown field of size bytes. */
static void
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

static void
check_too_long(struct writer *message, size_t max_line)
{
    struct splitting s = split_all();
    struct writer b = {NULL, 0};
    put_message(&b, message);
    for (int i = 0; i < 3; i++) {
        struct question q = {.content_type = PROTOBUF,
                             .shard = shard_names[i],
                             .count = 3,
                             .max_line = max_line,
                             .sharding = s.sharding};
        struct outcome o = feed_all_ways(span(&b), &q);
        assert_int_equal(o.result, SS_LINE_TOO_LONG);
        outcome_free(&o);
    }
    free(b.bytes);
    splitting_end(&s);
}

/* What is held of a split family is bounded, and the bound does not depend on how the body is cut. */
static void
test_family_memory_is_bounded(void **state)
{
    (void)state;
    struct writer m = {NULL, 0};
    char id[16];

    put_field(&m, 1, SPAN("x"));
    for (int i = 0; i < 30; i++) {
        sprintf(id, "a%d", i);
        put_series(&m, id, 10000);
    }
    put_series(&m, "large", 150000);
    check_too_long(&m, 100000);

    /* What every part repeats counts as well. */
    put_field(&m, 1, SPAN("x"));
    for (int i = 0; i < 30; i++) {
        char help[4000] = "";
        sprintf(id, "a%d", i);
        put_field(&m, 2, (struct ss_span){help, sizeof(help)});
        put_series(&m, id, 10000);
    }
    check_too_long(&m, 100000);
}

/* Feeds a body in two pieces, or whole. Only result, bytes and error of the outcome are set. */
static struct outcome
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

/* A large family may repeat its name; half of it at the end of a feed is not its name. */
static void
test_a_name_cut_by_a_feed(void **state)
{
    (void)state;
    enum { SERIES = 60 };
    struct splitting s = split_all();
    struct writer b = {NULL, 0}, m = {NULL, 0};
    char id[16];

    put_field(&m, 1, SPAN("the_name_of_all"));
    for (int i = 0; i < SERIES; i++) {
        sprintf(id, "series-%02d", i);
        put_series(&m, id, 5000);
    }
    put_field(&m, 1, SPAN("the_name_of_all"));
    put_message(&b, &m);
    for (int i = 0; i < 3; i++) {
        struct outcome whole = feed_in_two(span(&b), 0, shard_names[i], s.sharding);
        struct outcome cut = feed_in_two(span(&b), b.len - 6, shard_names[i], s.sharding);
        assert_int_equal(whole.result, 0);
        assert_int_equal(cut.result, 0);
        for (int n = 0; n < SERIES; n++) {
            sprintf(id, "series-%02d", n);
            assert_int_equal(!memmem(whole.bytes, whole.len, id, strlen(id)),
                             !memmem(cut.bytes, cut.len, id, strlen(id)));
        }
        outcome_free(&whole);
        outcome_free(&cut);
    }
    free(b.bytes);
    splitting_end(&s);
}

/* Prometheus reads a family of histograms by its first metric: native or classic. */

enum { COUNTER = 0, HISTOGRAM = 4, GAUGE_HISTOGRAM = 5 };

static void
put_double(struct writer *b, unsigned field, double value)
{
    put_varint(b, field << 3 | 1);
    put(b, &value, sizeof(value)); /* little endian, as on all machines that run this */
}

static void
put_bucket(struct writer *h)
{
    put_field(h, 3, SPAN("\x08\x05\x11\x00\x00\x00\x00\x00\x00\xf0\x3f")); /* 5 up to 1.0 */
}

static void
put_classic(struct writer *h)
{
    put_number(h, 1, 5);
    put_double(h, 2, 1.5);
    put_bucket(h);
    put_number(h, 7, 0);
    put_double(h, 6, 0);
}

static void
put_nothing(struct writer *h)
{
    (void)h;
}

static void
put_zero_count(struct writer *h)
{
    put_number(h, 7, 1ull << 63);
}

static void
put_zero_threshold(struct writer *h)
{
    put_bucket(h);
    put_double(h, 6, 1e-128);
}

static void
put_native(struct writer *h)
{
    put_double(h, 6, 1e-128);
    put_field(h, 12, SPAN("\x08\x00\x10\x02"));
    put_field(h, 13, SPAN("\x02\x01"));
}

static void
put_no_zero_bucket(struct writer *h)
{
    put_double(h, 6, -1);
    put_unknown(h);
    put_field(h, 9, SPAN("\x08\x00\x10\x01"));
    put_number(h, 10, 2); /* not packed */
}

static void
put_packed_no_zero_bucket(struct writer *h)
{
    put_field(h, 12, SPAN(""));
    put_long_varint(h, 13 << 3 | 2, 9);
    put_long_varint(h, 2, 10);
    put(h, "\x02\x01", 2);
}

static void
put_spans(struct writer *h)
{
    put_field(h, 12, SPAN(""));
    put_field(h, 13, SPAN("")); /* packed and empty */
}

static void
put_floats(struct writer *h)
{
    put_double(h, 4, 5);
    put_field(h, 12, SPAN("\x08\x00\x10\x01"));
    put_double(h, 14, 5);
}

static void
put_packed_floats(struct writer *h)
{
    put_double(h, 4, 5);
    put_field(h, 9, SPAN("\x08\x00\x10\x01"));
    put_field(h, 11, SPAN("12345678"));
}

/* Of numbers the last one counts, which makes it classic. */
static void
put_taken_back(struct writer *h)
{
    put_zero_count(h);
    put_zero_threshold(h);
    put_classic(h);
}

/* Histograms, by the versions of Prometheus to which they are native. */
static const struct {
    void (*put)(struct writer *h);
    int kind;
} histograms[] = {
    {put_classic, 0},        {put_nothing, 0}, {put_taken_back, 0},     {put_zero_count, 1},
    {put_zero_threshold, 1}, {put_native, 1},  {put_no_zero_bucket, 1}, {put_packed_no_zero_bucket, 1},
    {put_spans, 2},          {put_floats, 3},  {put_packed_floats, 3},
};

enum { KINDS = sizeof(histograms) / sizeof(histograms[0]), CLASSIC = 0, NATIVE = 5 };

/* A metric with the label id and a histogram, perhaps in three fields, which are merged. */
static void
put_histogram(struct writer *message, int id, void (*put_parts)(struct writer *h), bool in_parts)
{
    struct writer pair = {NULL, 0}, metric = {NULL, 0}, h = {NULL, 0};
    char text[16];
    sprintf(text, "series-%d", id);
    put_field(&pair, 1, SPAN("id"));
    put_field(&pair, 2, (struct ss_span){text, strlen(text)});
    put_field(&metric, 1, span(&pair));
    put(&h, "", 0);
    put_parts(&h);
    if (in_parts)
        put_field(&metric, 7, SPAN("\x08\x01"));
    put_field(&metric, 7, span(&h));
    if (in_parts)
        put_field(&metric, 7, SPAN(""));
    put_field(message, 4, span(&metric));
    free(pair.bytes);
    free(metric.bytes);
    free(h.bytes);
}

/* How many of the three shards have a part of the body; if one has as many bytes, it has the body. */
static int
count_holders(struct ss_span body, struct ss_sharding *sharding)
{
    size_t len = 0;
    int holders = 0;
    for (int i = 0; i < 3; i++) {
        struct question q = {.content_type = PROTOBUF, .shard = shard_names[i], .count = 3, .sharding = sharding};
        struct outcome o = feed_all_ways(body, &q);
        if (o.result)
            fail_msg("%s", o.error.reason);
        holders += o.len > 0;
        len += o.len;
        if (o.len == body.len)
            assert_memory_equal(o.bytes, body.ptr, body.len);
        outcome_free(&o);
    }
    assert_true(len >= body.len);
    return holders;
}

static struct ss_sharding *
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

static struct ss_sharding *
by_id(void)
{
    return by_label(SPAN("id"), SS_HASH_XXH64, SS_PLACE_MODULO);
}

/* A family of one type: all metrics except the one at odd are of one kind. */
static void
check_kinds(unsigned type, int kind, int odd_kind, int odd, bool together)
{
    struct splitting split = split_all();
    struct ss_sharding *labels = by_id();
    struct writer b = {NULL, 0}, m = {NULL, 0};

    put_field(&m, 1, SPAN("latency"));
    put_number(&m, 3, 2); /* the last of two types counts */
    for (int id = 0; id < 6; id++)
        put_histogram(&m, id, histograms[id == odd ? odd_kind : kind].put, id == 2);
    put_number(&m, 3, (1ull << 32) + type); /* and of that the lower 32 bits */
    put_message(&b, &m);
    int by_split = count_holders(span(&b), split.sharding), by_labels = count_holders(span(&b), labels);
    if ((by_split == 1) != together || (by_labels == 1) != together)
        fail_msg("type %u, kinds %d and %d at %d: in %d shards by split, in %d by labels", type, kind, odd_kind, odd,
                 by_split, by_labels);
    free(b.bytes);
    ss_sharding_free(labels);
    splitting_end(&split);
}

static void
test_mixed_histograms_stay_together(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        for (int odd_kind = 0; odd_kind < KINDS; odd_kind++) {
            bool mixed = histograms[kind].kind != histograms[odd_kind].kind;
            check_kinds(HISTOGRAM, kind, odd_kind, kind % 6, mixed);
        }
        check_kinds(GAUGE_HISTOGRAM, kind, CLASSIC, 5, histograms[kind].kind != 0);
        check_kinds(COUNTER, kind, CLASSIC, 5, false); /* whose histograms are not read */
    }
}

/* A series must be where hashmod puts it: a server that still drops by hashmod would drop a family that was kept
   together. */
static void
test_hashmod_is_refused(void **state)
{
    (void)state;
    static const struct {
        struct ss_span label;
        enum ss_hash hash;
        enum ss_placement placement;
        bool accepted;
    } cases[] = {
        {SPAN("id"), SS_HASH_MD5, SS_PLACE_MODULO, false},
        {SPAN("id"), SS_HASH_MD5, SS_PLACE_JUMP, true},
        {SPAN("id"), SS_HASH_XXH64, SS_PLACE_MODULO, true},
        {SPAN("nobody"), SS_HASH_MD5, SS_PLACE_MODULO, true}, /* no series has it: all are in one shard anyway */
    };
    struct writer b = {NULL, 0}, m = {NULL, 0};

    put_field(&m, 1, SPAN("latency"));
    put_number(&m, 3, HISTOGRAM);
    for (int id = 0; id < 6; id++)
        put_histogram(&m, id, id % 2 ? put_native : put_classic, false);
    put_message(&b, &m);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ss_sharding *sharding = by_label(cases[i].label, cases[i].hash, cases[i].placement);
        for (int n = 0; n < 3 && !cases[i].accepted; n++) {
            struct question q = {.content_type = PROTOBUF, .shard = shard_names[n], .count = 3, .sharding = sharding};
            struct outcome o = feed_all_ways(span(&b), &q);
            assert_int_equal(o.result, SS_KEY_IMPOSSIBLE);
            assert_non_null(strstr(o.error.reason, "both native and classic histograms"));
            assert_non_null(strstr(o.error.reason, "hash = xxh64"));
            outcome_free(&o);
        }
        if (cases[i].accepted)
            assert_int_equal(count_holders(span(&b), sharding), 1);
        ss_sharding_free(sharding);
    }

    /* The shard of an empty value, according to hashmod: 1 of 3. */
    struct ss_sharding *sharding = by_label(SPAN("nobody"), SS_HASH_MD5, SS_PLACE_MODULO);
    struct question q = {.content_type = PROTOBUF, .shard = "1", .count = 3, .sharding = sharding};
    struct outcome o = feed_all_ways(span(&b), &q);
    assert_int_equal(o.len, b.len);
    outcome_free(&o);
    ss_sharding_free(sharding);
    free(b.bytes);
}

enum { LARGE = 20000, EARLY = 4000 }; /* metrics; the first EARLY of them are within 256 KiB */

/* A large family with one metric of another kind, at odd. */
static void
put_large(struct writer *b, int odd, int kind, int odd_kind)
{
    struct writer m = {NULL, 0};
    put_field(&m, 1, SPAN("latency"));
    put_number(&m, 3, HISTOGRAM);
    for (int id = 0; id < LARGE; id++)
        put_histogram(&m, id, histograms[id == odd ? odd_kind : kind].put, false);
    put_message(b, &m);
}

/* Feeds a large body cut at some positions. All must have this result, and this text in the reason. */
static void
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
static void
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

/* The start of a large family decides; if what follows disagrees, the body fails. */
static void
test_large_mixed_families(void **state)
{
    (void)state;
    struct splitting s = split_all();
    struct writer b = {NULL, 0};

    put_large(&b, -1, CLASSIC, CLASSIC);
    assert_true(b.len > 3 * 256 * 1024);
    check_large(&b, s.sharding, 0, NULL);
    check_indexed(&b, s.sharding, 3);
    for (int odd = 0; odd < LARGE; odd += 3333) {
        b.len = 0;
        put_large(&b, odd, odd % 2 ? CLASSIC : NATIVE, odd % 2 ? NATIVE : CLASSIC);
        check_large(&b, s.sharding, odd < EARLY ? 0 : SS_KEY_IMPOSSIBLE, "both native and classic histograms");
        check_indexed(&b, s.sharding, 1);
    }
    free(b.bytes);
    splitting_end(&s);
}

/* A type after metrics that were emitted without it would change their type. */
static void
test_late_type(void **state)
{
    (void)state;
    static const struct {
        int first, last; /* -1: none */
        bool accepted;
    } types[] = {{-1, 1, false}, {-1, 0, true}, {1, 1, true}, {1, 2, false}, {4, 5, false}};
    struct splitting s = split_all();
    struct writer b = {NULL, 0}, m = {NULL, 0};
    char id[16];

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        put_field(&m, 1, SPAN("x"));
        if (types[i].first >= 0)
            put_number(&m, 3, (uint64_t)types[i].first);
        for (int n = 0; n < 600; n++) {
            sprintf(id, "a%d", n);
            put_series(&m, id, 1000);
        }
        put_number(&m, 3, (uint64_t)types[i].last);
        b.len = 0;
        put_message(&b, &m);
        check_large(&b, s.sharding, types[i].accepted ? 0 : SS_KEY_IMPOSSIBLE, "a type after metrics");
        check_indexed(&b, s.sharding, 3);
    }
    /* Without metrics before it, it is as good as at the start. */
    char *help = calloc(600 * 1024, 1);
    put_field(&m, 1, SPAN("x"));
    put_field(&m, 2, (struct ss_span){help, 600 * 1024});
    put_number(&m, 3, 1);
    put_series(&m, "a", 1000);
    b.len = 0;
    put_message(&b, &m);
    check_large(&b, s.sharding, 0, NULL);
    free(help);
    free(b.bytes);
    splitting_end(&s);
}

/* A malformed metric fails all shards where metrics are read; an unknown field fails none. */
static void
test_metrics_are_read(void **state)
{
    (void)state;
    static const struct {
        struct ss_span fields;
        bool valid;
    } metrics[] = {
        {SPAN(""), true},
        {SPAN("\x4b\x0b\x00\x07\x12\x01x\x0c\x4c"), true},                /* groups, with a field 0 */
        {SPAN("\x80\x80\x80\x80\x10\x01"), true},                         /* field 2^29 */
        {SPAN("\x3a\x04\xc3\x02\xc4\x02"), true},                         /* a group in a histogram */
        {SPAN("\x0a\x04\x1b\x1c\x0a\x00"), true},                         /* a group in a label */
        {SPAN("\x8a\x80\x80\x80\x80\x80\x80\x80\x80\x00\x80\x00"), true}, /* an empty label in long varints */
        {SPAN("\x4b\x0b\x4c"), false},                                    /* an unterminated group */
        {SPAN("\x4c"), false},                                            /* an end without a group */
        {SPAN("\x00\x01"), false},                                        /* field 0 */
        {SPAN("\x08\x01"), false},                                        /* a label that is a number */
        {SPAN("\x0a\x02\x08\x01"), false},                                /* a label name that is a number */
        {SPAN("\x0a\x02\x10\x01"), false},                                /* a label value that is a number */
        {SPAN("\x12\x05x"), false},                                       /* truncated */
        {SPAN("\x15xxxx"), false},                                        /* a gauge of 4 bytes */
        {SPAN("\x32\x00"), false},                                        /* a timestamp of the wrong type */
        {SPAN("\x3a\x02\x30\x01"), false},                                /* a zero threshold of the wrong type */
        {SPAN("\x3a\x02\x60\x01"), false},                                /* a span that is a number */
        {SPAN("\x3a\x05\x6dxxxx"), false},                                /* a delta of 4 bytes */
    };
    struct splitting s = split_all();
    struct ss_sharding *labels = by_id();

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        struct writer b = {NULL, 0}, m = {NULL, 0};
        put_field(&m, 1, SPAN("x"));
        put_number(&m, 3, HISTOGRAM);
        put_series(&m, "a", 5);
        put_field(&m, 4, metrics[i].fields);
        put_series(&m, "b", 5);
        put_message(&b, &m);
        for (int n = 0; n < 6; n++) {
            struct question q = {.content_type = PROTOBUF,
                                 .shard = shard_names[n % 3],
                                 .count = 3,
                                 .sharding = n < 3 ? s.sharding : labels};
            struct outcome o = feed_all_ways(span(&b), &q);
            if (o.result != (metrics[i].valid ? 0 : SS_NO_EXPOSITION))
                fail_msg("metric %zu, shard %d: result %d, %s", i, n, o.result, o.error.reason);
            outcome_free(&o);
        }
        free(b.bytes);
    }
    ss_sharding_free(labels);
    splitting_end(&s);
}

/* Allocated bytes; 0 if another allocator is in use. */
static size_t
allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* A tenth more is untouched spare capacity. */
static void
check_memory(const struct ss_index *index, size_t before)
{
    size_t actual = allocated() - before, reported = ss_index_memory(index);
    if (actual > reported / 10 * 11)
        fail_msg("%zu bytes allocated, %zu reported", actual, reported);
}

/* An index holds a split family twice until it is complete, which is counted; and once when it is. */
static void
test_memory_of_an_index(void **state)
{
    (void)state;
    enum { METRICS = 8000, PIECE = 64 * 1024 }; /* a little less than 8 MiB, for little spare capacity */
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct splitting s = split_all();
    struct writer b = {NULL, 0}, m = {NULL, 0};
    struct ss_index *index;
    char id[16];

    put_field(&m, 1, SPAN("x"));
    for (int n = 0; n < METRICS; n++) {
        sprintf(id, "a%d", n);
        put_series(&m, id, 1000);
    }
    put_message(&b, &m);
    settings.content_type = PROTOBUF;
    settings.sharding = s.sharding;
    size_t before = allocated(), at = 0;
    assert_int_equal(ss_index_new(&index, &settings), 0);
    for (; b.len - at > PIECE; at += PIECE) {
        assert_int_equal(ss_index_feed(index, (struct ss_span){b.bytes + at, PIECE}), 0);
        assert_true(ss_index_memory(index) > 2 * at);
    }
    check_memory(index, before);
    assert_int_equal(ss_index_feed(index, (struct ss_span){b.bytes + at, b.len - at}), 0);
    assert_int_equal(ss_index_end(index), 0);
    check_memory(index, before);
    assert_in_range(ss_index_memory(index), b.len, b.len + METRICS * 100);
    ss_index_free(index);
    free(b.bytes);
    splitting_end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_family_memory_is_bounded),
        cmocka_unit_test(test_a_name_cut_by_a_feed),
        cmocka_unit_test(test_mixed_histograms_stay_together),
        cmocka_unit_test(test_hashmod_is_refused),
        cmocka_unit_test(test_large_mixed_families),
        cmocka_unit_test(test_late_type),
        cmocka_unit_test(test_metrics_are_read),
        cmocka_unit_test(test_memory_of_an_index),
    };
    return cmocka_run_group_tests_name("family-splitter", tests, NULL, NULL);
}
