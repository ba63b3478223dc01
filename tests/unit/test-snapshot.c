/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot without a store: references, memory, selections and the gzips that are kept of them. */
#include "proxy/gunzip.h"
#include "proxy/params.h"
#include "proxy/snapshot.h"
#include "proxy/snapshot_select.h"

#include "service/config/config.h"

#include <scrapeshard/index.h>
#include <scrapeshard/shard.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BUDGET = 1 << 20 };

/* Never freed: a reference of the test's stays. */
static struct config config = {.references = 1, .max_snapshot_bytes = BUDGET, .compression_level = 1};
static const struct endpoint endpoint;

static struct evbuffer *
make_body(void)
{
    struct evbuffer *body = evbuffer_new();
    for (unsigned i = 0; i < 20; i++)
        for (unsigned j = 0; j < 300; j++)
            evbuffer_add_printf(body, "family_%u{id=\"%u\"} %u\n", i, j, i * j);
    return body;
}

/* A snapshot that is READY, with an index of the body. */
static struct snapshot *
make_snapshot(struct snapshot_pool *pool, struct evbuffer *body)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct snapshot *s;
    struct ss_span bytes = {(const char *)evbuffer_pullup(body, -1), evbuffer_get_length(body)};

    assert_int_equal(snapshot_new(&s, pool, &config, &endpoint), 0);
    assert_int_equal(s->state, SNAPSHOT_FETCHING);
    assert_true(snapshot_age(s) == 0);
    snapshot_start(s);
    assert_int_equal(ss_index_new(&s->index, &settings), 0);
    assert_int_equal(ss_index_feed(s->index, bytes), 0);
    assert_int_equal(ss_index_end(s->index), 0);
    assert_int_equal(evhttp_add_header(&s->headers, "Content-Type", "text/plain"), 0);
    assert_int_equal(evhttp_add_header(&s->headers, "Age", "77"), 0);
    assert_int_equal(evhttp_add_header(&s->headers, "age", "78"), 0);
    assert_int_equal(evhttp_add_header(&s->headers, "Scrapeshard-Snapshot", "yesterday"), 0);
    assert_int_equal(snapshot_set_time_header(s), 0);
    assert_true(snapshot_set_memory(s, sizeof(*s) + ss_index_memory(s->index)));
    s->state = SNAPSHOT_READY;
    s->status = 200;
    return s;
}

/* A selection; its body and counts are the caller's. */
struct selected {
    struct evbuffer *body;
    bool gzip;
    struct ss_filter_counts counts;
};

static struct selected
take(struct snapshot *s, const char *shard, uint32_t count, bool gzip)
{
    struct evkeyvalq headers = TAILQ_HEAD_INITIALIZER(headers);
    struct selected found = {.body = evbuffer_new(), .counts = {.series_seen = 12345}};
    struct snapshot_selection selection = {found.body, gzip, &found.counts};
    struct params params = {.shards = NULL};
    struct ss_shards_error error;
    char text[8] = "";

    if (shard) {
        strncpy(text, shard, sizeof(text) - 1);
        params.shard = text;
        assert_int_equal(ss_shards_parse(&params.shards, (struct ss_span){shard, strlen(shard)}, count, &error), 0);
    }
    assert_int_equal(snapshot_select(s, &params, &selection, &headers), 0);
    found.gzip = selection.gzip;
    assert_string_equal(evhttp_find_header(&headers, "Content-Type"), "text/plain");
    assert_true(strtod(evhttp_find_header(&headers, "Age"), NULL) <= snapshot_age(s));
    assert_int_equal(evhttp_remove_header(&headers, "Age"), 0);
    assert_null(evhttp_find_header(&headers, "Age"));
    assert_int_equal(evhttp_find_header(&headers, "Scrapeshard-Snapshot")[0], '2');
    evhttp_clear_headers(&headers);
    ss_shards_free(params.shards);
    return found;
}

static int
add_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(evbuffer_add(ctx, spans[i].ptr, spans[i].len), 0);
    return 0;
}

/* What the core's filter makes of the body. */
static struct selected
filtered(struct evbuffer *body, const char *shard, uint32_t count)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct selected expected = {.body = evbuffer_new()};
    struct ss_sink sink = {add_spans, expected.body};
    struct ss_shards *shards = NULL;
    struct ss_shards_error error;
    struct ss_filter *filter;

    if (shard)
        assert_int_equal(ss_shards_parse(&shards, (struct ss_span){shard, strlen(shard)}, count, &error), 0);
    settings.shards = shards;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    struct ss_span bytes = {(const char *)evbuffer_pullup(body, -1), evbuffer_get_length(body)};
    assert_int_equal(ss_filter_feed(filter, bytes, &sink), 0);
    assert_int_equal(ss_filter_end(filter, &sink), 0);
    expected.counts = *ss_filter_counts(filter);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return expected;
}

static void
check_same(struct evbuffer *a, struct evbuffer *b)
{
    size_t len = evbuffer_get_length(a);
    assert_true(len > 0);
    assert_int_equal(evbuffer_get_length(b), len);
    assert_memory_equal(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), len);
}

static struct evbuffer *
decompressed(struct evbuffer *zipped)
{
    struct evbuffer *plain = evbuffer_new();
    struct ss_span in = {(const char *)evbuffer_pullup(zipped, -1), evbuffer_get_length(zipped)}, out;
    struct gunzip *gunzip;
    assert_int_equal(gunzip_new(&gunzip), 0);
    do {
        assert_int_equal(gunzip_read(gunzip, &in, &out), 0);
        evbuffer_add(plain, out.ptr, out.len);
    } while (out.len);
    assert_true(gunzip_is_whole(gunzip));
    gunzip_free(gunzip);
    return plain;
}

static void
check_empty(struct snapshot_pool *pool)
{
    assert_int_equal(pool->count, 0);
    assert_int_equal(pool->bytes, 0);
    assert_true(TAILQ_EMPTY(&pool->all));
    assert_int_equal(config.references, 1);
    snapshot_pool_deinit(pool);
}

static void
test_memory(void **state)
{
    struct snapshot_pool pool;
    struct snapshot *a, *b;
    (void)state;
    snapshot_pool_init(&pool);
    assert_int_equal(snapshot_new(&a, &pool, &config, &endpoint), 0);
    assert_int_equal(snapshot_new(&b, &pool, &config, &endpoint), 0);
    assert_int_equal(pool.count, 2);
    assert_int_equal(pool.bytes, 2 * sizeof(*a));
    assert_true(snapshot_set_memory(a, BUDGET - sizeof(*b)));
    assert_true(snapshot_has_room(b, 0));
    assert_false(snapshot_has_room(b, 1));
    assert_false(snapshot_set_memory(a, BUDGET - sizeof(*b) + 1));
    assert_false(snapshot_has_room(a, 0));
    assert_false(snapshot_has_room(a, UINT64_MAX));
    assert_true(snapshot_set_memory(a, 100));
    assert_true(snapshot_has_room(b, BUDGET - 100 - sizeof(*b)));
    assert_int_equal(a->peak_bytes, BUDGET - sizeof(*b) + 1);
    snapshot_unref(a);
    assert_int_equal(pool.count, 1);
    assert_int_equal(pool.bytes, sizeof(*b));
    assert_ptr_equal(snapshot_ref(b), b);
    snapshot_unref(b);
    assert_int_equal(pool.count, 1);
    snapshot_unref(b);
    check_empty(&pool);
}

static void
test_selections(void **state)
{
    static const char *const shards[] = {"0", "1-2", "1", "1", "2", NULL};
    struct snapshot_pool pool;
    struct evbuffer *body = make_body();
    (void)state;
    snapshot_pool_init(&pool);
    struct snapshot *s = make_snapshot(&pool, body);
    for (size_t i = 0; i < sizeof(shards) / sizeof(shards[0]); i++) {
        struct selected expected = filtered(body, shards[i], 3), found = take(s, shards[i], 3, false);
        assert_false(found.gzip);
        check_same(found.body, expected.body);
        assert_int_equal(found.counts.series_seen, 20 * 300);
        assert_int_equal(found.counts.series_kept, expected.counts.series_kept);
        evbuffer_free(found.body);
        evbuffer_free(expected.body);
    }
    evbuffer_free(body);
    snapshot_unref(s);
    check_empty(&pool);
}

/* What is being sent keeps the snapshot, and its memory is counted until then. */
static void
test_a_body_holds_its_snapshot(void **state)
{
    struct snapshot_pool pool;
    struct evbuffer *body = make_body();
    (void)state;
    snapshot_pool_init(&pool);
    for (int gzip = 0; gzip <= 1; gzip++) {
        struct snapshot *s = make_snapshot(&pool, body);
        struct selected found = take(s, NULL, 0, gzip);
        assert_int_equal(found.gzip, gzip);
        snapshot_unref(s);
        assert_int_equal(pool.count, 1);
        assert_true(pool.bytes > evbuffer_get_length(body));
        struct evbuffer *plain = gzip ? decompressed(found.body) : found.body;
        check_same(plain, body);
        assert_int_equal(pool.count, 1);
        if (gzip)
            evbuffer_free(plain);
        evbuffer_free(found.body);
        assert_int_equal(pool.count, 0);
    }
    evbuffer_free(body);
    check_empty(&pool);
}

static void
test_gzips_are_kept(void **state)
{
    struct snapshot_pool pool;
    struct evbuffer *body = make_body();
    (void)state;
    snapshot_pool_init(&pool);
    struct snapshot *s = make_snapshot(&pool, body);
    struct selected plain = take(s, "0-1", 3, false), first = take(s, "0-1", 3, true);
    uint64_t bytes = pool.bytes;
    struct selected second = take(s, "0-1", 3, true);
    struct evbuffer *means = decompressed(first.body);

    assert_true(first.gzip && second.gzip);
    assert_int_equal(pool.bytes, bytes);
    check_same(means, plain.body);
    check_same(first.body, second.body);
    assert_memory_equal(&first.counts, &second.counts, sizeof(first.counts));
    assert_memory_equal(&first.counts, &plain.counts, sizeof(first.counts));

    /* The count belongs to it, and all shards are another selection. */
    struct selected others[] = {take(s, "0-1", 4, true), take(s, NULL, 0, true), take(s, "0", 3, true)};
    for (size_t i = 0; i < 3; i++) {
        assert_true(others[i].gzip);
        assert_int_not_equal(evbuffer_get_length(others[i].body), evbuffer_get_length(first.body));
        evbuffer_free(others[i].body);
    }
    assert_true(pool.bytes > bytes);

    evbuffer_free(means);
    evbuffer_free(plain.body);
    evbuffer_free(first.body);
    evbuffer_free(second.body);
    evbuffer_free(body);
    snapshot_unref(s);
    check_empty(&pool);
}

/* Then it is sent plain. */
static void
test_gzip_over_the_budget(void **state)
{
    struct snapshot_pool pool;
    struct evbuffer *body = make_body();
    (void)state;
    snapshot_pool_init(&pool);
    struct snapshot *s = make_snapshot(&pool, body);
    uint64_t bytes = BUDGET - evbuffer_get_length(body);
    for (int more = 1; more >= 0; more--) {
        assert_true(snapshot_set_memory(s, bytes + (unsigned)more));
        struct selected found = take(s, NULL, 0, true);
        assert_int_equal(found.gzip, !more);
        evbuffer_free(found.body);
    }
    evbuffer_free(body);
    snapshot_unref(s);
    check_empty(&pool);
}

static void
test_passthrough(void **state)
{
    struct snapshot_pool pool;
    struct evbuffer *body = make_body();
    (void)state;
    snapshot_pool_init(&pool);
    struct snapshot *s = make_snapshot(&pool, body);
    ss_index_free(s->index);
    s->index = NULL;
    s->passthrough_body = evbuffer_new();
    struct selected nothing = take(s, "0", 2, true);
    assert_int_equal(evbuffer_get_length(nothing.body), 0);
    evbuffer_add(s->passthrough_body, evbuffer_pullup(body, -1), evbuffer_get_length(body));
    struct selected found = take(s, "0", 2, true);
    assert_false(found.gzip);
    check_same(found.body, body);
    assert_int_equal(found.counts.series_seen, 0);
    evbuffer_free(nothing.body);
    evbuffer_free(found.body);
    evbuffer_free(body);
    snapshot_unref(s);
    check_empty(&pool);
}

/* libevent frees the buffers that still hold one after the pool is gone. */
static void
test_a_body_outlives_the_pool(void **state)
{
    struct snapshot_pool *pool = malloc(sizeof(*pool));
    struct evbuffer *body = make_body();
    (void)state;
    snapshot_pool_init(pool);
    struct snapshot *s = make_snapshot(pool, body);
    struct selected found = take(s, NULL, 0, true);
    snapshot_pool_deinit(pool);
    free(pool);
    assert_false(snapshot_has_room(s, 0));
    snapshot_unref(s);
    struct evbuffer *plain = decompressed(found.body);
    check_same(plain, body);
    evbuffer_free(plain);
    evbuffer_free(found.body);
    evbuffer_free(body);
    assert_int_equal(config.references, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_selections),
        cmocka_unit_test(test_a_body_holds_its_snapshot),
        cmocka_unit_test(test_gzips_are_kept),
        cmocka_unit_test(test_gzip_over_the_budget),
        cmocka_unit_test(test_passthrough),
        cmocka_unit_test(test_a_body_outlives_the_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
