/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies filtered with a cache of keys go where they go without one, whatever came before. */
#include "core/key/key_cache.h"
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_BODY = 64 * 1024, PLENTY = 1024 * 1024 };

/* A text that grows. */
struct text {
    char bytes[MAX_BODY];
    size_t len;
};

static void
append(struct text *t, const char *line)
{
    size_t len = strlen(line);
    assert_true(len <= sizeof(t->bytes) - t->len);
    memcpy(t->bytes + t->len, line, len);
    t->len += len;
}

static struct ss_span
span_of(const struct text *t)
{
    return (struct ss_span){t->bytes, t->len};
}

static const struct plan {
    enum ss_hash hash;
    const char *labels[3];
} plans[] = {
    {SS_HASH_XXH64, {"a"}},
    {SS_HASH_MD5, {"a"}},
    {SS_HASH_XXH64, {"b", "a"}},
    {SS_HASH_MD5, {"__name__", "a"}},
};

enum { PLANS = sizeof(plans) / sizeof(plans[0]) };

static struct ss_sharding *
sharding_of(const struct plan *plan)
{
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_sharding *sharding;
    struct ss_span labels[3];
    for (; settings.n_source_labels < 3 && plan->labels[settings.n_source_labels]; settings.n_source_labels++) {
        const char *label = plan->labels[settings.n_source_labels];
        labels[settings.n_source_labels] = (struct ss_span){label, strlen(label)};
    }
    settings.key = SS_KEY_LABELS;
    settings.hash = plan->hash;
    settings.source_labels = labels;
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);
    return sharding;
}

static struct ss_key_cache *
new_cache(size_t max_bytes)
{
    struct ss_key_cache *cache;
    assert_int_equal(ss_key_cache_new(&cache, max_bytes), 0);
    return cache;
}

struct running {
    struct ss_filter *filter;
    struct ss_shards *shards;
    struct text out;
};

static int
take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct text *t = ctx;
    for (size_t i = 0; i < n; i++) {
        assert_true(spans[i].len <= sizeof(t->bytes) - t->len);
        memcpy(t->bytes + t->len, spans[i].ptr, spans[i].len);
        t->len += spans[i].len;
    }
    return 0;
}

static void
start(struct running *r, struct ss_sharding *sharding, struct ss_key_cache *cache, uint32_t shard, uint32_t count)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_shards_error error;
    char name[12];
    int n = snprintf(name, sizeof(name), "%u", shard);
    r->out.len = 0;
    assert_int_equal(ss_shards_parse(&r->shards, (struct ss_span){name, (size_t)n}, count, &error), 0);
    settings.shards = r->shards;
    settings.sharding = sharding;
    settings.key_cache = cache;
    assert_int_equal(ss_filter_new(&r->filter, &settings), 0);
}

static int
feed(struct running *r, struct ss_span bytes)
{
    return ss_filter_feed(r->filter, bytes, &(struct ss_sink){take, &r->out});
}

static void
abandon(struct running *r)
{
    ss_filter_free(r->filter);
    ss_shards_free(r->shards);
}

static int
finish(struct running *r)
{
    int result = ss_filter_end(r->filter, &(struct ss_sink){take, &r->out});
    abandon(r);
    return result;
}

/* Fails unless a shard has the same with the cache and without. */
static void
check_shard(struct ss_sharding *sharding, struct ss_key_cache *cache, struct ss_span body, uint32_t shard,
            uint32_t count)
{
    static struct running with, without;
    size_t cut = body.len ? (size_t)rand() % body.len : 0;
    start(&with, sharding, cache, shard, count);
    start(&without, sharding, NULL, shard, count);
    assert_int_equal(feed(&without, body), 0);
    assert_int_equal(feed(&with, (struct ss_span){body.ptr, cut}), 0);
    assert_int_equal(feed(&with, (struct ss_span){body.ptr + cut, body.len - cut}), 0);
    assert_int_equal(finish(&with), 0);
    assert_int_equal(finish(&without), 0);
    assert_int_equal(with.out.len, without.out.len);
    assert_memory_equal(with.out.bytes, without.out.bytes, without.out.len);
}

static void
check_shards(struct ss_sharding *sharding, struct ss_key_cache *cache, struct ss_span body, uint32_t count)
{
    for (uint32_t shard = 0; shard < count; shard++)
        check_shard(sharding, cache, body, shard, count);
}

/* A line of one of many kinds: similar ones, of which some begin like others, and ones that are read in another way. */
static void
write_line(struct text *t, int kind, int value)
{
    static const struct {
        const char *before, *after; /* of a number */
    } series[] = {
        {"m{a=\"x", "\",b=\"1\"}"},
        {"m{b=\"1\",a=\"x", "\"}"},
        {"m{b=\"", "\"}"},
        {"m_sum{a=\"x", "\",}"},
        {"m{b=\"", "\",}"},
        {"m{ a = \"x", "\" }"},
        {"m{a=\"x", "\\\"\",b=\"}\"}"},
        {"m{c=\"", "\"}"},
        {"m", ""},
        {"{\"m\",a=\"x", "\"}"},
        {"n{a=\"a value of more than sixty-four bytes, which is more than a block ", "\"}"},
        {"m{c=\"}\",a=\"x", "\"}"},
        {"{a=\"x", "\",b=\"1\",\"m\"}"},
        {"{a=\"x", "\",b=\"1\",\"n\"}"},
    };
    enum { KINDS = sizeof(series) / sizeof(series[0]) };
    char line[200];
    snprintf(line, sizeof(line), "%s%d%s %d\n", series[kind % KINDS].before, kind / KINDS, series[kind % KINDS].after,
             value);
    append(t, line);
}

/* Series come, go and move; every body is compared. */
static void
test_random_bodies(void **state)
{
    enum { ROUNDS = 200, LINES = 120 };
    (void)state;
    for (size_t p = 0; p < PLANS; p++) {
        struct ss_sharding *sharding = sharding_of(&plans[p]);
        struct ss_key_cache *cache = new_cache(p % 2 ? PLENTY : 2000);
        int kinds[LINES], n = LINES;
        for (int i = 0; i < LINES; i++)
            kinds[i] = rand() % 96;
        for (int round = 0; round < ROUNDS; round++) {
            static struct text body;
            /* Mostly nothing changes. */
            for (int changes = round % 4 ? 0 : rand() % (round % 20 ? 4 : LINES); changes; changes--) {
                int at = rand() % LINES;
                if (rand() % 3 == 0)
                    n = LINES - rand() % 20;
                else
                    kinds[at] = rand() % 96;
            }
            body.len = 0;
            for (int i = 0; i < n; i++)
                write_line(&body, kinds[(i + (round % 50 > 40)) % LINES], round);
            uint32_t count = 2 + (uint32_t)rand() % 4;
            check_shard(sharding, cache, span_of(&body), (uint32_t)rand() % count, count);
        }
        ss_key_cache_free(cache);
        ss_sharding_free(sharding);
    }
}

static void
make_body(struct text *t, int from, int to, int value)
{
    char line[80];
    t->len = 0;
    for (int i = from; i < to; i++) {
        snprintf(line, sizeof(line), "m{b=\"%d\",a=\"series %d\"} %d\n", i % 7, i, value);
        append(t, line);
    }
}

/* What is remembered is used, for other values and other shard counts; what does not match it is not. */
static void
test_hits(void **state)
{
    static struct text body;
    struct ss_sharding *sharding = sharding_of(&plans[2]);
    struct ss_key_cache *cache = new_cache(PLENTY);
    struct key_cursor cursor;
    (void)state;

    make_body(&body, 0, 100, 1);
    check_shards(sharding, cache, span_of(&body), 3);
    make_body(&body, 0, 100, 22);
    check_shards(sharding, cache, span_of(&body), 5);

    key_cursor_init(&cursor, cache);
    assert_non_null(cursor.known);
    assert_false(key_cursor_records(&cursor));
    assert_int_equal(cursor.known->n, 100);
    assert_null(key_cursor_find(&cursor, SPAN("b=\"0\",a=\"series 1\"} 1\n")));
    assert_null(key_cursor_find(&cursor, SPAN("b=\"0\",a=\"series 0")));
    const struct cached_key *first = key_cursor_find(&cursor, SPAN("b=\"0\",a=\"series 0\"} 1\n"));
    assert_non_null(first);
    assert_int_equal(first->len, sizeof("b=\"0\",a=\"series 0\"") - 1);
    /* The same again, one that is gone in between, and one too far. */
    assert_ptr_equal(key_cursor_find(&cursor, SPAN("b=\"0\",a=\"series 0\",le=\"1\"} 1\n")), first);
    assert_ptr_equal(key_cursor_find(&cursor, SPAN("b=\"2\",a=\"series 2\"} 1\n")), first + 2);
    assert_null(key_cursor_find(&cursor, SPAN("b=\"6\",a=\"series 20\"} 1\n")));
    assert_int_equal(cursor.hits, 3);
    /* Only its user knows whether it could have been among them. */
    assert_int_equal(cursor.misses, 0);
    key_cursor_missed(&cursor);
    assert_int_equal(cursor.misses, 1);
    key_cursor_end(&cursor, false);
    ss_key_cache_free(cache);
    ss_sharding_free(sharding);
}

/* A recorded hash is what counts, so that a wrong one would show. */
static void
test_a_hash_comes_from_the_cache(void **state)
{
    struct ss_key_cache *cache = new_cache(PLENTY);
    struct ss_sharding *sharding = sharding_of(&plans[0]);
    struct key_cursor cursor;
    static struct running r;
    (void)state;

    key_cursor_init(&cursor, cache);
    assert_true(key_cursor_records(&cursor));
    for (int i = 0; i < 4; i++)
        key_cursor_record(&cursor, (struct ss_span){&"a=\"0\"a=\"1\"a=\"2\"a=\"3\""[5 * i], 5}, 2);
    key_cursor_end(&cursor, true);
    start(&r, sharding, cache, 2, 3);
    assert_int_equal(feed(&r, SPAN("m{a=\"0\"} 1\nm{a=\"1\"} 1\nm{a=\"2\"} 1\nm{a=\"3\"} 1\n")), 0);
    assert_int_equal(finish(&r), 0);
    assert_int_equal(r.out.len, 4 * 11);
    ss_key_cache_free(cache);
    ss_sharding_free(sharding);
}

/* The memory is bounded, and series beyond it are right; another body replaces what is remembered. */
static void
test_bound(void **state)
{
    static struct text body;
    struct ss_sharding *sharding = sharding_of(&plans[2]);
    struct ss_key_cache *cache = new_cache(4000), *empty = new_cache(0);
    size_t first;
    (void)state;

    assert_true((first = ss_key_cache_memory(cache)) < 200);
    for (int round = 0; round < 6; round++) {
        make_body(&body, 1000 * (round / 2), 1000 * (round / 2) + 1000, round);
        check_shards(sharding, cache, span_of(&body), 2);
        check_shards(sharding, empty, span_of(&body), 2);
        assert_in_range(ss_key_cache_memory(cache), 3000, first + 4000);
        assert_true(ss_key_cache_memory(empty) <= first);
    }
    ss_key_cache_free(cache);
    ss_key_cache_free(empty);
    ss_sharding_free(sharding);
}

/* While every body differs from the one before, they are recorded more and more rarely; then the first that comes again
   is remembered. */
static void
test_bodies_that_always_differ(void **state)
{
    static struct text body;
    struct ss_sharding *sharding = sharding_of(&plans[2]);
    struct ss_key_cache *cache = new_cache(PLENTY);
    struct key_cursor cursor;
    int recorded = 0;
    (void)state;

    for (int round = 0; round < 200; round++) {
        make_body(&body, 200 * round, 200 * round + 200, round);
        key_cursor_init(&cursor, cache);
        recorded += key_cursor_records(&cursor);
        key_cursor_end(&cursor, false);
        check_shard(sharding, cache, span_of(&body), 0, 2);
    }
    assert_in_range(recorded, 2, 20);
    for (int round = 0; round < 200; round++) {
        make_body(&body, 0, 200, round);
        check_shard(sharding, cache, span_of(&body), 0, 2);
    }
    key_cursor_init(&cursor, cache);
    assert_non_null(key_cursor_find(&cursor, SPAN("b=\"0\",a=\"series 0\"} 1\n")));
    key_cursor_end(&cursor, false);
    ss_key_cache_free(cache);
    ss_sharding_free(sharding);
}

/* Bodies that overlap, one of which may be abandoned, do not disturb each other. */
static void
test_overlapping_bodies(void **state)
{
    static struct text body, other;
    static struct running a, b, c;
    struct ss_sharding *sharding = sharding_of(&plans[1]);
    struct ss_key_cache *cache = new_cache(PLENTY);
    (void)state;

    make_body(&body, 0, 300, 1);
    make_body(&other, 500, 900, 1);
    for (int round = 0; round < 4; round++) {
        size_t half = body.len / 2;
        start(&a, sharding, cache, 0, 2);
        start(&b, sharding, cache, 1, 2);
        start(&c, sharding, cache, 1, 2);
        assert_int_equal(feed(&a, (struct ss_span){body.bytes, half}), 0);
        assert_int_equal(feed(&b, (struct ss_span){body.bytes, half}), 0);
        assert_int_equal(feed(&c, SPAN("m{a=\"series 0\"} 1\nm{a=\"series 1\"} 1\n")), 0);
        if (round % 2)
            assert_int_equal(finish(&c), 0);
        check_shards(sharding, cache, round % 2 ? span_of(&other) : span_of(&body), 2);
        assert_int_equal(feed(&a, (struct ss_span){body.bytes + half, body.len - half}), 0);
        assert_int_equal(feed(&b, (struct ss_span){body.bytes + half, body.len - half}), 0);
        assert_int_equal(finish(&a), 0);
        assert_int_equal(finish(&b), 0);
        assert_int_equal(a.out.len + b.out.len, body.len);
        if (!(round % 2))
            abandon(&c);
    }
    ss_key_cache_free(cache);
    ss_sharding_free(sharding);
}

/* Two sources with keys of their own, and one whose keys change: each has its cache. */
static void
test_other_keys(void **state)
{
    static struct text body;
    struct ss_sharding *shardings[PLANS];
    struct ss_key_cache *caches[PLANS];
    (void)state;
    make_body(&body, 0, 200, 1);
    for (size_t p = 0; p < PLANS; p++) {
        shardings[p] = sharding_of(&plans[p]);
        caches[p] = new_cache(PLENTY);
    }
    for (int round = 0; round < 3; round++)
        for (size_t p = 0; p < PLANS; p++)
            check_shards(shardings[p], caches[p], span_of(&body), 3);
    for (size_t p = 0; p < PLANS; p++) {
        ss_key_cache_free(caches[p]);
        ss_sharding_free(shardings[p]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_bodies),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_a_hash_comes_from_the_cache),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_bodies_that_always_differ),
        cmocka_unit_test(test_overlapping_bodies),
        cmocka_unit_test(test_other_keys),
    };
    return cmocka_run_group_tests_name("key-cache", tests, NULL, NULL);
}
