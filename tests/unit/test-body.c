/* SPDX-License-Identifier: Apache-2.0 */
/* The two ways of a body, without sockets: cut anywhere, compressed or not, both give what the core gives, and fail
   where a limit or the body says so. */
#include "feed.h"

#include "proxy/body_filter.h"
#include "proxy/body_index.h"
#include "proxy/gunzip.h"
#include "proxy/gzip.h"

#include <scrapeshard/index.h>
#include <scrapeshard/shard.h>

#include <errno.h>
#include <event2/buffer.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum way { FILTER, INDEX, WAYS };

/* How a body goes, and what comes of it. */
struct run {
    enum way way;
    struct body_settings settings;
    const char *shard; /* NULL: all */
    uint32_t shard_count;
    bool accepts_gzip;
    int64_t timestamp_ms;
    bool by_close;

    int result;
    char reason[400];
    bool is_gzip;
    struct outcome out; /* decompressed */
};

static struct body_settings
settings_default(void)
{
    return (struct body_settings){.content_type = "text/plain", .max_line = 1024, .max_body = 1 << 20};
}

static struct ss_span
all_of(struct evbuffer *buffer)
{
    size_t len = evbuffer_get_length(buffer);
    return (struct ss_span){len ? (const char *)evbuffer_pullup(buffer, -1) : "", len};
}

static struct evbuffer *
compressed(struct ss_span bytes)
{
    struct evbuffer *out = evbuffer_new();
    struct gzip *gzip;
    assert_int_equal(gzip_new(&gzip, 1), 0);
    assert_int_equal(gzip_add(gzip, bytes, out), 0);
    assert_int_equal(gzip_end(gzip, out), 0);
    gzip_free(gzip);
    return out;
}

static void
add_out(struct run *run, struct ss_span bytes)
{
    if (bytes.len)
        outcome_take(&run->out, &bytes, 1);
}

static void
add_decompressed(struct run *run, struct ss_span bytes)
{
    struct gunzip *gunzip;
    struct ss_span out;
    assert_int_equal(gunzip_new(&gunzip), 0);
    do {
        assert_int_equal(gunzip_read(gunzip, &bytes, &out), 0);
        add_out(run, out);
    } while (out.len);
    assert_true(gunzip_is_whole(gunzip));
    gunzip_free(gunzip);
}

static struct ss_shards *
shards_of(const struct run *run)
{
    struct ss_shards_error error;
    struct ss_shards *shards = NULL;
    if (run->shard)
        assert_int_equal(
            ss_shards_parse(&shards, (struct ss_span){run->shard, strlen(run->shard)}, run->shard_count, &error), 0);
    return shards;
}

/* Feeds pieces of step bytes, the first of first bytes, to a function, and then the end. */
static int
feed_pieces(int (*feed)(void *body, struct ss_span *in, bool *morep), void *body, struct ss_span bytes, size_t first,
            size_t step)
{
    struct guarded memory = guarded_new(bytes.len);
    int r = 0;
    for (size_t at = 0, n = first; at < bytes.len && !r; at += n, n = step) {
        if (n > bytes.len - at)
            n = bytes.len - at;
        struct ss_span in = guarded_put(&memory, (struct ss_span){bytes.ptr + at, n});
        bool more = true;
        while (more && !r)
            r = feed(body, &in, &more);
        assert_true(r || !in.len);
    }
    guarded_free(&memory);
    return r;
}

static int
feed_filter(void *body, struct ss_span *in, bool *morep)
{
    return body_filter_feed(body, in, morep);
}

static int
feed_index(void *body, struct ss_span *in, bool *morep)
{
    return body_index_feed(body, in, morep);
}

static void
run_filter(struct run *run, struct ss_span bytes, size_t first, size_t step)
{
    struct ss_shards *shards = shards_of(run);
    struct body_filter *body;

    assert_int_equal(body_filter_new(&body, &run->settings, shards, run->accepts_gzip ? 1 : -1), 0);
    run->result = feed_pieces(feed_filter, body, bytes, first, step);
    if (!run->result)
        run->result = body_filter_end(body, run->by_close);
    snprintf(run->reason, sizeof(run->reason), "%s", body_filter_reason(body));
    run->is_gzip = body_filter_is_gzip(body);
    assert_true(!body_filter_get(body) == run->settings.passthrough);
    if (!run->result && run->is_gzip)
        add_decompressed(run, all_of(body_filter_out(body)));
    else
        add_out(run, all_of(body_filter_out(body)));
    if (!run->result && body_filter_get(body))
        run->out.counts = *ss_filter_counts(body_filter_get(body));
    body_filter_free(body);
    ss_shards_free(shards);
}

static void
run_index(struct run *run, struct ss_span bytes, size_t first, size_t step)
{
    struct ss_shards *shards = shards_of(run);
    struct ss_sink sink = {outcome_take, &run->out};
    struct body_index *body;

    assert_int_equal(body_index_new(&body, &run->settings, run->timestamp_ms), 0);
    run->result = feed_pieces(feed_index, body, bytes, first, step);
    if (!run->result)
        run->result = body_index_end(body, run->by_close);
    snprintf(run->reason, sizeof(run->reason), "%s", body_index_reason(body));
    if (!run->result) {
        size_t memory = body_index_memory(body);
        struct ss_index *index = body_index_take(body);
        struct evbuffer *passthrough = body_index_take_passthrough(body);
        assert_true(!index == run->settings.passthrough && !passthrough == !run->settings.passthrough);
        if (index)
            assert_int_equal(ss_index_select(index, shards, &sink, &run->out.counts), 0);
        else
            add_out(run, all_of(passthrough));
        assert_true(memory >= (shards ? 0 : run->out.len));
        ss_index_free(index);
        if (passthrough)
            evbuffer_free(passthrough);
    }
    body_index_free(body);
    ss_shards_free(shards);
}

static void
run_way(struct run *run, struct ss_span bytes, size_t first, size_t step)
{
    run->out = (struct outcome){.bytes = calloc(1, 1)};
    if (run->way == FILTER)
        run_filter(run, bytes, first, step);
    else
        run_index(run, bytes, first, step);
}

/* The run, the same however the bytes are cut; to be freed by outcome_free(&run.out). */
static struct run
run_all_ways(const struct run *run, struct ss_span bytes)
{
    struct run whole = *run;
    size_t stride = bytes.len < 300 ? 1 : bytes.len / 31;
    run_way(&whole, bytes, bytes.len, 1);
    for (size_t cut = 0; cut < bytes.len; cut += stride) {
        struct run other = *run;
        run_way(&other, bytes, cut ? cut : 1, cut ? bytes.len : 1);
        assert_int_equal(other.result, whole.result);
        assert_string_equal(other.reason, whole.reason);
        if (!whole.result) {
            assert_int_equal(other.is_gzip, whole.is_gzip);
            assert_int_equal(other.out.len, whole.out.len);
            assert_memory_equal(other.out.bytes, whole.out.bytes, whole.out.len + 1);
            assert_memory_equal(&other.out.counts, &whole.out.counts, sizeof(whole.out.counts));
        }
        outcome_free(&other.out);
    }
    return whole;
}

static struct evbuffer *
make_body(unsigned families)
{
    struct evbuffer *body = evbuffer_new();
    for (unsigned i = 0; i < families; i++)
        evbuffer_add_printf(body, "# TYPE family_%u gauge\nfamily_%u{id=\"a\"} 1\nfamily_%u{id=\"b\"} %u\n", i, i, i,
                            i);
    return body;
}

/* Both ways, gzip in and out, all shards and one: what the core's filter gives. */
static void
test_shards(void **state)
{
    static const char *const shards[] = {NULL, "0", "1-2"};
    struct evbuffer *body = make_body(200), *zipped = compressed(all_of(body));
    (void)state;
    for (size_t i = 0; i < sizeof(shards) / sizeof(shards[0]); i++) {
        struct question question = {.content_type = "text/plain", .shard = shards[i], .count = 3};
        struct outcome expected = feed_all_ways(all_of(body), &question);
        for (unsigned mode = 0; mode < 8; mode++) {
            struct run run = {.way = mode & 1, .settings = settings_default(), .shard = shards[i], .shard_count = 3};
            run.settings.gunzip = mode & 2;
            run.accepts_gzip = mode & 4;
            run = run_all_ways(&run, all_of(mode & 2 ? zipped : body));
            assert_int_equal(run.result, 0);
            assert_int_equal(run.is_gzip, run.way == FILTER && run.accepts_gzip);
            assert_int_equal(run.out.len, expected.len);
            assert_memory_equal(run.out.bytes, expected.bytes, expected.len);
            assert_int_equal(run.out.counts.series_seen, 400);
            assert_int_equal(run.out.counts.series_kept, expected.counts.series_kept);
            outcome_free(&run.out);
        }
        outcome_free(&expected);
    }
    evbuffer_free(zipped);
    evbuffer_free(body);
}

static void
test_short_bodies_are_not_compressed(void **state)
{
    (void)state;
    for (unsigned len = GZIP_MIN_BYTES - 2; len <= GZIP_MIN_BYTES + 1; len++) {
        struct evbuffer *body = evbuffer_new();
        struct run run = {.way = FILTER, .settings = settings_default(), .accepts_gzip = true};
        run.settings.max_line = 2 * GZIP_MIN_BYTES;
        evbuffer_add_printf(body, "up%*s1\n", (int)len - 4, "");
        run = run_all_ways(&run, all_of(body));
        assert_int_equal(run.result, 0);
        assert_int_equal(run.is_gzip, len >= GZIP_MIN_BYTES);
        assert_int_equal(run.out.len, len);
        outcome_free(&run.out);
        evbuffer_free(body);
    }
}

#define BODY "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE b gauge\nb 1\n"

static const struct failing {
    const char *body;
    int result;
    const char *reason;
    struct body_settings settings; /* what is not zero stands in the place of the default */
    bool by_close;
    bool plain_only; /* the limit means something else for compressed bytes */
} failing[] = {
    {BODY, 0, "", .settings = {.max_body = sizeof(BODY) - 1}, .plain_only = true},
    {BODY, BODY_TOO_LARGE, "larger than max_body", .settings = {.max_body = sizeof(BODY) - 2}, .plain_only = true},
    {BODY, BODY_TOO_LARGE, "larger than max_body", .settings = {.max_body = 10}},
    {BODY, 0, "", .settings = {.max_line = 17}},
    {BODY, BODY_LINE_TOO_LONG, "max_line", .settings = {.max_line = 10}},
    {BODY, 0, "", .settings = {.max_series = 3}},
    {BODY, BODY_TOO_MANY_SERIES, "series", .settings = {.max_series = 2}},
    {BODY, 0, "", .settings = {.max_families = 2}},
    {BODY, BODY_TOO_MANY_FAMILIES, "families", .settings = {.max_families = 1}},
    {"<html>\n", BODY_NO_EXPOSITION, "line 1", .settings = {.gunzip = false}},
    {"a 1\n# EOF\n", 0, "", .settings = {.content_type = "application/openmetrics-text"}},
    {"a 1\n", BODY_TRUNCATED, "", .settings = {.content_type = "application/openmetrics-text"}},
    {"a 1\nb 2", 0, "", .settings = {.strict_close = true}},
    {"a 1\nb 2", 0, "", .settings = {.strict_close = false}, .by_close = true},
    {"a 1\nb 2\n", 0, "", .settings = {.strict_close = true}, .by_close = true},
    {"a 1\nb 2", BODY_TRUNCATED, "strict_close", .settings = {.strict_close = true}, .by_close = true},
};

static struct body_settings
settings_of(const struct failing *f)
{
    struct body_settings s = settings_default(), wanted = f->settings;
    s.content_type = wanted.content_type ? wanted.content_type : s.content_type;
    s.max_line = wanted.max_line ? wanted.max_line : s.max_line;
    s.max_body = wanted.max_body ? wanted.max_body : s.max_body;
    s.max_series = wanted.max_series;
    s.max_families = wanted.max_families;
    s.strict_close = wanted.strict_close;
    return s;
}

static void
check_failing(const struct run *run, struct ss_span bytes, const struct failing *f)
{
    struct run done = run_all_ways(run, bytes);
    if (done.result != f->result || !strstr(done.reason, f->reason))
        fail_msg("\"%s\": %d, \"%s\"", f->body, done.result, done.reason);
    outcome_free(&done.out);
}

static void
test_conditions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(failing) / sizeof(failing[0]); i++) {
        const struct failing *f = &failing[i];
        struct ss_span body = {f->body, strlen(f->body)};
        struct evbuffer *zipped = compressed(body);
        for (unsigned mode = 0; mode < 8; mode++) {
            struct run run = {.way = mode & 1, .settings = settings_of(f), .by_close = f->by_close};
            run.settings.gunzip = mode & 2;
            run.timestamp_ms = run.way == INDEX && mode & 4 ? 1 : 0;
            if (!run.settings.gunzip || !f->plain_only)
                check_failing(&run, run.settings.gunzip ? all_of(zipped) : body, f);
        }
        evbuffer_free(zipped);
    }
}

static void
test_bad_gzip(void **state)
{
    static const struct failing damaged = {"", BODY_BAD_ENCODING, "gzip: ", .settings = {.gunzip = true}},
                                truncated = {"", BODY_TRUNCATED, "truncated", .settings = {.gunzip = true}};
    struct evbuffer *zipped = compressed(SPAN("up 1\n"));
    struct ss_span all = all_of(zipped);
    (void)state;
    for (enum way way = 0; way < WAYS; way++) {
        struct run run = {.way = way, .settings = settings_default()};
        run.settings.gunzip = true;
        check_failing(&run, SPAN("up 1\n"), &damaged);
        for (size_t len = 0; len < all.len; len++)
            check_failing(&run, (struct ss_span){all.ptr, len}, &truncated);
    }
    evbuffer_add(zipped, "garbage", 7);
    for (enum way way = 0; way < WAYS; way++) {
        struct run run = {.way = way, .settings = settings_default()};
        run.settings.gunzip = true;
        check_failing(&run, all_of(zipped), &damaged);
    }
    evbuffer_free(zipped);
}

/* The limit holds for the decoded bytes too, long before all of them are. */
static void
test_bomb(void **state)
{
    size_t len = 8 << 20;
    char *blanks = malloc(len);
    (void)state;
    memset(blanks, '\n', len);
    struct evbuffer *zipped = compressed((struct ss_span){blanks, len});
    free(blanks);
    assert_true(evbuffer_get_length(zipped) < 1 << 20);
    for (enum way way = 0; way < WAYS; way++) {
        struct run run = {.way = way, .settings = settings_default()};
        run.settings.gunzip = true;
        run_way(&run, all_of(zipped), 16384, 16384);
        assert_int_equal(run.result, BODY_TOO_LARGE);
        assert_true(run.out.len <= run.settings.max_body);
        outcome_free(&run.out);
    }
    evbuffer_free(zipped);
}

static void
test_passthrough(void **state)
{
    (void)state;
    for (unsigned mode = 0; mode < 4; mode++) {
        struct run run = {.way = mode & 1, .settings = {.passthrough = true, .max_body = 6, .gunzip = mode & 2}};
        run.shard = "0";
        run.shard_count = 2;
        run.accepts_gzip = run.by_close = run.settings.strict_close = true;
        struct run done = run_all_ways(&run, SPAN("<html>"));
        assert_int_equal(done.result, 0);
        assert_string_equal(done.out.bytes, "<html>");
        assert_false(done.is_gzip);
        outcome_free(&done.out);
        done = run_all_ways(&run, SPAN("<html>\n"));
        assert_int_equal(done.result, BODY_TOO_LARGE);
        outcome_free(&done.out);
    }
}

static void
test_timestamps(void **state)
{
    struct run run = {.way = INDEX, .settings = settings_default(), .timestamp_ms = 1700000000123};
    (void)state;
    run = run_all_ways(&run, SPAN("# HELP a A.\na 1\na{x=\"1\"} 2 5\nb 3"));
    assert_int_equal(run.result, 0);
    assert_string_equal(run.out.bytes, "# HELP a A.\na 1 1700000000123\na{x=\"1\"} 2 5\nb 3 1700000000123");
    outcome_free(&run.out);
}

/* Where a body fails, in what the upstream sent: with timestamps its bytes are others, but not its lines. */
static void
test_places_of_errors(void **state)
{
    static const struct {
        const char *content_type;
        struct ss_span body;
        const char *plain, *timestamped;
    } bodies[] = {
        {"text/plain", SPAN("a 1\na 2\nb 3 4\nc!\n"), "line 4, byte 14: no value: c!", "line 4: no value: c!"},
        {"text/html", SPAN("a 1\n# EOF\nc!\n"), "line 3, byte 10: no value: c!", "line 3: no value: c!"},
        {"application/vnd.google.protobuf",
         SPAN("\x08\x0a\x01"
              "a\x22\x03\x22\x01"
              "b\x02\x0a\x09"),
         "byte 9: a field longer than its message, in the family that starts here",
         "byte 11 with timestamps: a field longer than its message, in the family that starts here"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (unsigned mode = 0; mode < 3; mode++) {
            struct run run = {.way = mode ? INDEX : FILTER, .settings = settings_default(), .timestamp_ms = mode / 2};
            run.settings.content_type = bodies[i].content_type;
            run = run_all_ways(&run, bodies[i].body);
            assert_int_equal(run.result, BODY_NO_EXPOSITION);
            assert_string_equal(run.reason, run.timestamp_ms ? bodies[i].timestamped : bodies[i].plain);
            outcome_free(&run.out);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards),     cmocka_unit_test(test_short_bodies_are_not_compressed),
        cmocka_unit_test(test_conditions), cmocka_unit_test(test_bad_gzip),
        cmocka_unit_test(test_bomb),       cmocka_unit_test(test_passthrough),
        cmocka_unit_test(test_timestamps), cmocka_unit_test(test_places_of_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
