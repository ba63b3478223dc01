/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include "core/text/line_splitter.h"

#include <scrapeshard/index.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

struct guarded
guarded_new(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct guarded g = {.size = (len / page + 2) * page};
    g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g.map, MAP_FAILED);
    assert_int_equal(mprotect(g.map + g.size - page, page, PROT_NONE), 0);
    return g;
}

struct ss_span
guarded_put(const struct guarded *g, struct ss_span bytes)
{
    char *at = g->map + g->size - (size_t)sysconf(_SC_PAGESIZE) - bytes.len;
    if (bytes.len)
        memcpy(at, bytes.ptr, bytes.len);
    return (struct ss_span){at, bytes.len};
}

void
guarded_free(struct guarded *g)
{
    munmap(g->map, g->size);
}

int
outcome_take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct outcome *o = ctx;
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(spans[i].len > 0);
        o->bytes = realloc(o->bytes, o->len + spans[i].len + 1);
        memcpy(o->bytes + o->len, spans[i].ptr, spans[i].len);
        o->len += spans[i].len;
        o->bytes[o->len] = 0;
    }
    return 0;
}

static struct ss_shards *
question_shards(const struct question *q)
{
    struct ss_shards_error error;
    struct ss_shards *shards = NULL;
    if (q->shard)
        assert_int_equal(ss_shards_parse(&shards, (struct ss_span){q->shard, strlen(q->shard)}, q->count, &error), 0);
    return shards;
}

static struct ss_filter_settings
question_settings(const struct question *q)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    settings.content_type = q->content_type;
    if (q->max_line)
        settings.max_line = q->max_line;
    settings.sharding = q->sharding;
    settings.max_series = q->max_series;
    settings.max_families = q->max_families;
    return settings;
}

/* Feeds the body in pieces of step bytes, the first of them of first bytes. */
static struct outcome
feed(struct ss_span body, const struct question *q, const struct guarded *memory, size_t first, size_t step)
{
    struct ss_filter_settings settings = question_settings(q);
    struct ss_shards *shards = question_shards(q);
    struct ss_filter *filter;
    struct outcome o = {.bytes = calloc(1, 1)};
    struct ss_sink sink = {outcome_take, &o};

    settings.shards = shards;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);

    for (size_t at = 0, n = first; at < body.len && !o.result; at += n, n = step) {
        if (n > body.len - at)
            n = body.len - at;
        o.result = ss_filter_feed(filter, guarded_put(memory, (struct ss_span){body.ptr + at, n}), &sink);
    }
    o.ends_whole = !o.result && ss_filter_ends_whole(filter);
    if (!o.result)
        o.result = ss_filter_end(filter, &sink);
    if (o.result) {
        assert_non_null(ss_filter_error(filter));
        o.error = *ss_filter_error(filter);
        /* Once failed, always failed. */
        assert_int_equal(ss_filter_feed(filter, SPAN("up 1\n"), &sink), o.result);
        assert_int_equal(ss_filter_end(filter, &sink), o.result);
    } else {
        assert_null(ss_filter_error(filter));
    }
    o.counts = *ss_filter_counts(filter);
    ss_filter_free(filter);
    ss_shards_free(shards);
    return o;
}

/* Indexes the body and selects from that; with_lists: through the lists of the shard count. */
static struct outcome
feed_index(struct ss_span body, const struct question *q, bool with_lists)
{
    struct ss_filter_settings settings = question_settings(q);
    struct ss_shards *shards = question_shards(q);
    struct ss_index *index;
    struct outcome o = {.bytes = calloc(1, 1)};
    struct ss_sink sink = {outcome_take, &o};

    assert_int_equal(ss_index_new(&index, &settings), 0);
    o.result = ss_index_feed(index, body);
    o.ends_whole = !o.result && ss_index_ends_whole(index);
    if (!o.result)
        o.result = ss_index_end(index);
    if (!o.result && with_lists && shards)
        assert_int_equal(ss_index_build_shard_lists(index, ss_shards_count(shards)), 0);
    if (o.result)
        o.error = *ss_index_error(index);
    else
        assert_int_equal(ss_index_select(index, shards, &sink, &o.counts), 0);
    ss_index_free(index);
    ss_shards_free(shards);
    return o;
}

static void
check_same(const struct outcome *a, const struct outcome *b, size_t first, size_t step)
{
    if (a->result != b->result || (!a->result && (a->len != b->len || memcmp(a->bytes, b->bytes, a->len))))
        fail_msg("split at %zu, then every %zu: result %d, %zu bytes \"%.200s\" instead of %d, %zu bytes \"%.200s\"",
                 first, step, b->result, b->len, b->bytes, a->result, a->len, a->bytes);
    if (!a->result) {
        assert_int_equal(a->ends_whole, b->ends_whole);
        assert_memory_equal(&a->counts, &b->counts, sizeof(a->counts));
        return;
    }
    assert_int_equal(a->error.condition, b->error.condition);
    assert_int_equal(a->error.offset, b->error.offset);
    assert_int_equal(a->error.line, b->error.line);
    assert_string_equal(a->error.reason, b->error.reason);
}

struct outcome
feed_all_ways(struct ss_span body, const struct question *question)
{
    struct guarded memory = guarded_new(body.len);
    struct outcome whole = feed(body, question, &memory, body.len, body.len);
    size_t stride = body.len < 1000 ? 1 : body.len / 101;

    for (size_t cut = 0; cut <= body.len; cut += stride) {
        /* The first iteration is byte by byte. */
        struct outcome other = feed(body, question, &memory, cut ? cut : 1, cut ? body.len : 1);
        check_same(&whole, &other, cut ? cut : 1, cut ? body.len : 1);
        outcome_free(&other);
    }
    for (int with_lists = 0; with_lists <= 1; with_lists++) {
        struct outcome indexed = feed_index(body, question, with_lists);
        check_same(&whole, &indexed, body.len, 0);
        outcome_free(&indexed);
    }
    guarded_free(&memory);
    return whole;
}

static size_t
line_len(struct ss_span body, bool openmetrics)
{
    struct line_splitter splitter = {.openmetrics = openmetrics};
    size_t len = line_splitter_feed(&splitter, body);
    return len ? len : body.len;
}

size_t
first_line_len(struct ss_span body)
{
    return line_len(body, false);
}

size_t
first_openmetrics_line_len(struct ss_span body)
{
    return line_len(body, true);
}

/* Checks that each record of the body is in exactly one shard, an end marker in all. */
static void
check_parts(struct ss_span body, size_t (*first_len)(struct ss_span body), const struct outcome *parts, uint32_t count)
{
    size_t *at = calloc(count, sizeof(*at));

    while (body.len) {
        size_t len = first_len(body);
        uint32_t holders = 0;
        for (uint32_t s = 0; s < count; s++) {
            if (parts[s].len - at[s] >= len && !memcmp(parts[s].bytes + at[s], body.ptr, len)) {
                /* Equal lines share a shard, so that another shard with the same line ahead cannot exist. */
                at[s] += len;
                holders++;
            }
        }
        bool marker = body.len - len == 0 && len >= 5 && !memcmp(body.ptr, "# EOF", 5);
        if (holders != 1 && !(marker && holders == count))
            fail_msg("%u of %u shards have the record \"%.*s\"", holders, count, (int)len, body.ptr);
        body.ptr += len;
        body.len -= len;
    }
    for (uint32_t s = 0; s < count; s++)
        assert_int_equal(at[s], parts[s].len);
    free(at);
}

void
check_union(struct ss_span body, const char *content_type, size_t (*first_len)(struct ss_span body))
{
    static const uint32_t counts[] = {1, 2, 7, 80};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint32_t count = counts[i];
        struct outcome *parts = calloc(count, sizeof(*parts));
        for (uint32_t s = 0; s < count; s++) {
            char shard[16];
            snprintf(shard, sizeof(shard), "%u", s);
            struct question q = {.content_type = content_type, .shard = shard, .count = count};
            parts[s] = feed_all_ways(body, &q);
            if (parts[s].result)
                fail_msg("shard %u of %u: byte %zu: %s", s, count, (size_t)parts[s].error.offset,
                         parts[s].error.reason);
            assert_int_equal(parts[s].counts.bytes_kept, parts[s].len);
        }
        check_parts(body, first_len, parts, count);
        for (uint32_t s = 0; s < count; s++)
            outcome_free(&parts[s]);
        free(parts);
    }
}

void
outcome_free(struct outcome *outcome)
{
    free(outcome->bytes);
}
