/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf families with native and classic histograms, which must not be split. */
#include "splitting.h"

/* Prometheus reads a family of histograms by its first metric: native or classic. */

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

/* A family of one type: all metrics except the one at odd are of one kind. */
static void
check_kinds(unsigned type, int kind, int odd_kind, int odd, bool together)
{
    struct sharding split = split_all();
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
    sharding_end(&split);
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

/* The start of a large family decides; if what follows disagrees, the body fails. */
static void
test_large_mixed_families(void **state)
{
    (void)state;
    struct sharding s = split_all();
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
    sharding_end(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed_histograms_stay_together),
        cmocka_unit_test(test_hashmod_is_refused),
        cmocka_unit_test(test_large_mixed_families),
    };
    return cmocka_run_group_tests_name("native-histograms", tests, NULL, NULL);
}
