/* SPDX-License-Identifier: Apache-2.0 */
/* gzip and gunzip: what one writes the other reads, cut anywhere; and what is no complete stream is never taken for
 * one. */
#include "feed.h"

#include "proxy/gunzip.h"
#include "proxy/gzip.h"

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

enum { LONG = 200 * 1000 };

/* A body that shrinks, but not to nothing. */
static struct evbuffer *
make_body(size_t len)
{
    struct evbuffer *body = evbuffer_new();
    assert_non_null(body);
    for (unsigned i = 0; evbuffer_get_length(body) < len; i++)
        evbuffer_add_printf(body, "family_%u{id=\"%u\"} %u\n", i / 10, i * 7919 % 1000, i * i);
    struct evbuffer *cut = evbuffer_new();
    assert_int_equal(evbuffer_remove_buffer(body, cut, len), len);
    evbuffer_free(body);
    return cut;
}

static struct ss_span
all_of(struct evbuffer *buffer)
{
    size_t len = evbuffer_get_length(buffer);
    return (struct ss_span){len ? (const char *)evbuffer_pullup(buffer, -1) : "", len};
}

static void
add_member(struct evbuffer *out, struct ss_span bytes, int level, size_t step)
{
    struct gzip *gzip;
    assert_int_equal(gzip_new(&gzip, level), 0);
    for (size_t at = 0; at < bytes.len; at += step) {
        size_t n = bytes.len - at < step ? bytes.len - at : step;
        assert_int_equal(gzip_add(gzip, (struct ss_span){bytes.ptr + at, n}, out), 0);
    }
    assert_int_equal(gzip_end(gzip, out), 0);
    gzip_free(gzip);
}

/* What gunzip makes of a stream that comes in pieces of step bytes, the first of them of first bytes. */
struct result {
    int result;
    bool whole;
    struct evbuffer *out;
};

static struct result
gunzip_all(struct ss_span stream, size_t first, size_t step)
{
    struct guarded memory = guarded_new(stream.len);
    struct result r = {.out = evbuffer_new()};
    struct gunzip *gunzip;

    assert_int_equal(gunzip_new(&gunzip), 0);
    for (size_t at = 0, n = first; at < stream.len && !r.result; at += n, n = step) {
        if (n > stream.len - at)
            n = stream.len - at;
        struct ss_span in = guarded_put(&memory, (struct ss_span){stream.ptr + at, n}), out = {NULL, 0};
        do {
            r.result = gunzip_read(gunzip, &in, &out);
            assert_int_equal(evbuffer_add(r.out, out.ptr, out.len), 0);
        } while (!r.result && out.len);
        assert_true(r.result || !in.len);
    }
    r.whole = !r.result && gunzip_is_whole(gunzip);
    if (r.result == EBADMSG)
        assert_true(strlen(gunzip_error(gunzip)) > 0);
    gunzip_free(gunzip);
    guarded_free(&memory);
    return r;
}

static void
check_means(struct ss_span stream, struct ss_span expected, size_t first, size_t step)
{
    struct result r = gunzip_all(stream, first, step);
    assert_int_equal(r.result, 0);
    assert_true(r.whole);
    assert_int_equal(evbuffer_get_length(r.out), expected.len);
    assert_memory_equal(all_of(r.out).ptr, expected.ptr, expected.len);
    evbuffer_free(r.out);
}

static void
test_round_trips(void **state)
{
    static const size_t lengths[] = {0, 1, 100, 32 * 1024, 32 * 1024 + 1, LONG};
    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (int level = GZIP_LEVEL_MIN; level <= GZIP_LEVEL_MAX; level++) {
            struct evbuffer *body = make_body(lengths[i]), *stream = evbuffer_new();
            add_member(stream, all_of(body), level, 5000);
            check_means(all_of(stream), all_of(body), evbuffer_get_length(stream), 1);
            check_means(all_of(stream), all_of(body), 1, 1);
            check_means(all_of(stream), all_of(body), 1000, 1000);
            evbuffer_free(stream);
            evbuffer_free(body);
        }
    }
}

static void
test_a_buffer_is_as_its_bytes(void **state)
{
    struct evbuffer *body = make_body(LONG), *expected = evbuffer_new(), *found = evbuffer_new();
    struct gzip *gzip = NULL;
    (void)state;
    add_member(expected, all_of(body), 1, LONG);
    /* Reusing a stream changes nothing, however it was left. */
    for (int i = 0; i < 3; i++) {
        struct evbuffer *copy = evbuffer_new();
        evbuffer_add(copy, all_of(body).ptr, LONG);
        evbuffer_drain(found, evbuffer_get_length(found));
        assert_int_equal(gzip_reset(&gzip, i == 1 ? 2 : 1), 0);
        assert_int_equal(gzip_add_buffer(gzip, copy, found), 0);
        assert_int_equal(evbuffer_get_length(copy), 0);
        if (i != 1)
            assert_int_equal(gzip_end(gzip, found), 0);
        evbuffer_free(copy);
    }
    check_means(all_of(found), all_of(body), 10000, 10000);
    assert_int_equal(evbuffer_get_length(found), evbuffer_get_length(expected));
    gzip_free(gzip);
    evbuffer_free(found);
    evbuffer_free(expected);
    evbuffer_free(body);
}

static void
test_members_at_every_cut(void **state)
{
    struct evbuffer *stream = evbuffer_new();
    (void)state;
    add_member(stream, SPAN(""), 1, 1);
    add_member(stream, SPAN("up 1\n"), 1, 5);
    add_member(stream, SPAN(""), 0, 1);
    add_member(stream, SPAN("down 0\n"), 3, 2);
    add_member(stream, SPAN(""), 2, 1);
    for (size_t cut = 1; cut <= evbuffer_get_length(stream); cut++)
        check_means(all_of(stream), SPAN("up 1\ndown 0\n"), cut, LONG);
    check_means(all_of(stream), SPAN("up 1\ndown 0\n"), 1, 1);
    evbuffer_free(stream);
}

static void
test_truncated_at_every_byte(void **state)
{
    struct evbuffer *stream = evbuffer_new();
    (void)state;
    add_member(stream, SPAN("up 1\n"), 1, 5);
    size_t one = evbuffer_get_length(stream);
    add_member(stream, SPAN("down 0\n"), 1, 7);
    for (size_t len = 0; len < evbuffer_get_length(stream); len++) {
        for (size_t step = 1; step <= LONG; step += LONG - 1) {
            struct result r = gunzip_all((struct ss_span){all_of(stream).ptr, len}, step, step);
            assert_int_equal(r.result, 0);
            assert_int_equal(r.whole, len == one);
            evbuffer_free(r.out);
        }
    }
    evbuffer_free(stream);
}

static void
check_bad(struct ss_span stream)
{
    for (size_t step = 1; step <= LONG; step += LONG - 1) {
        struct result r = gunzip_all(stream, step, step);
        assert_int_equal(r.result, EBADMSG);
        evbuffer_free(r.out);
    }
}

static void
test_bad_streams(void **state)
{
    (void)state;
    check_bad(SPAN("up 1\n"));
    check_bad(SPAN("\x78\x9c\x2b\x2d\x50\x30\xe4\x02\x00\x08\xaf\x01\xe9")); /* zlib's own format */
    check_bad(SPAN("\x1f\x8b\x07\0\0\0\0\0\0\x03"));                         /* an unknown method */
    check_bad(SPAN("\x1f\x8b\x08\x20\0\0\0\0\0\x03"));                       /* an unknown flag */
    check_bad(SPAN("\x1f\x8b\x08\x02\0\0\0\0\0\x03\0\0"));                   /* a wrong check sum of the header */

    static const struct ss_span after[] = {SPAN("g"), SPAN("garbage"), SPAN("\0"), SPAN("\0\0\0\0\0\0\0\0")};
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        struct evbuffer *stream = evbuffer_new();
        add_member(stream, SPAN("up 1\n"), 1, 5);
        evbuffer_add(stream, after[i].ptr, after[i].len);
        /* One byte might still be a header's, were it not the wrong one. */
        struct result r = gunzip_all(all_of(stream), LONG, LONG);
        assert_false(r.whole);
        evbuffer_free(r.out);
        if (after[i].len > 1)
            check_bad(all_of(stream));
        evbuffer_free(stream);
    }
    struct evbuffer *stream = evbuffer_new();
    add_member(stream, SPAN("up 1\n"), 1, 5);
    size_t len = evbuffer_get_length(stream);
    for (size_t at = len - 8; at < len; at++) { /* its check sum and length */
        char *bytes = (char *)evbuffer_pullup(stream, -1);
        bytes[at] ^= 1;
        check_bad(all_of(stream));
        bytes[at] ^= 1;
    }
    check_means(all_of(stream), SPAN("up 1\n"), LONG, LONG);
    evbuffer_free(stream);
}

/* A caller sees the output of a few bytes in pieces, and can stop. */
static void
test_bomb_comes_in_pieces(void **state)
{
    struct evbuffer *stream = evbuffer_new();
    struct gunzip *gunzip;
    size_t len = 10 * 1000 * 1000, total = 0;
    char *zeros = calloc(1, len);
    (void)state;
    add_member(stream, (struct ss_span){zeros, len}, 1, len);
    free(zeros);
    assert_true(evbuffer_get_length(stream) < len / 100);
    struct ss_span in = all_of(stream), out;
    assert_int_equal(gunzip_new(&gunzip), 0);
    do {
        assert_int_equal(gunzip_read(gunzip, &in, &out), 0);
        assert_true(out.len <= 32 * 1024);
        total += out.len;
    } while (out.len);
    assert_int_equal(total, len);
    assert_true(gunzip_is_whole(gunzip));
    gunzip_free(gunzip);
    evbuffer_free(stream);
}

static void
test_accepted(void **state)
{
    static const struct {
        const char *accept;
        bool accepted;
    } cases[] = {
        {NULL, false},          {"", false},
        {"gzip", true},         {"br, X-GZIP;q=0.5", true},
        {"gzip;q=0", false},    {"*", true},
        {"*, gzip;q=0", false}, {"pigz", false},
        {"gzip;q=2", false},    {"gzip ; q=0.001 ", true},
        {"*;q=0, gzip", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (gzip_accepted(cases[i].accept) != cases[i].accepted)
            fail_msg("Accept-Encoding: %s", cases[i].accept);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_a_buffer_is_as_its_bytes),
        cmocka_unit_test(test_members_at_every_cut),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_bad_streams),
        cmocka_unit_test(test_bomb_comes_in_pieces),
        cmocka_unit_test(test_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
