/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that get timestamps, cut in every way. */
#include <scrapeshard/stamp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4"
#define OM "application/openmetrics-text; version=1.0.0"
#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
#define SPAN(text) ((struct ss_span){(text), sizeof(text) - 1})

enum { TIME_MS = 1500, MAX_LINE = 64 }; /* as a varint dc 0b */

struct stamped {
    char bytes[1024];
    size_t len;
};

static int
take(void *ctx, const struct ss_span *spans, size_t n)
{
    struct stamped *s = ctx;
    for (size_t i = 0; i < n; i++) {
        assert_true(s->len + spans[i].len <= sizeof(s->bytes));
        memcpy(s->bytes + s->len, spans[i].ptr, spans[i].len);
        s->len += spans[i].len;
    }
    return 0;
}

/* Feeds the body in two pieces, the first of which has so many bytes; or, that being 0, byte by byte. */
static int
stamp(struct ss_span body, const char *content_type, size_t first, struct stamped *out)
{
    struct ss_sink sink = {take, out};
    struct ss_stamp *s;
    size_t n = first ? first : 1;
    int r = 0;

    out->len = 0;
    assert_int_equal(ss_stamp_new(&s, content_type, TIME_MS, MAX_LINE), 0);
    for (size_t at = 0; at < body.len && !r; at += n, n = first ? body.len - at : 1) {
        /* A copy of its own, so that a sanitizer sees each byte that is read too far. */
        char *piece = malloc(n);
        memcpy(piece, body.ptr + at, n);
        r = ss_stamp_feed(s, (struct ss_span){piece, n}, &sink);
        free(piece);
    }
    if (!r)
        r = ss_stamp_end(s, &sink);
    ss_stamp_free(s);
    return r;
}

static const struct {
    const char *content_type;
    struct ss_span before, after;
} bodies[] = {
    {TEXT, SPAN(""), SPAN("")},
    {TEXT, SPAN("a 1\nb{x=\"1\n2\",y=\"} 3\"} 4\nc 5 -6\n# c 7\n\n \n"),
     SPAN("a 1 1500\nb{x=\"1\n2\",y=\"} 3\"} 4 1500\nc 5 -6\n# c 7\n\n \n")},
    {TEXT, SPAN("a{b=\"\\\"\"}1"), SPAN("a{b=\"\\\"\"}1 1500")},
    {TEXT, SPAN("{\"a.b\",c=\"d\"} NaN  \n\t# HELP \"x\ny\" z 1\n"),
     SPAN("{\"a.b\",c=\"d\"} NaN 1500  \n\t# HELP \"x\ny\" z 1\n")},
    {TEXT, SPAN("a 1\r\nb x\n<html>\nc\n{} 1\nd 0x1\n"), SPAN("a 1\r\nb x\n<html>\nc\n{} 1\nd 0x1\n")},
    {TEXT, SPAN("a 1\nb{c=\"d"), SPAN("a 1 1500\nb{c=\"d")},
    {NULL, SPAN("a 1\n# EOF\n"), SPAN("a 1 1500\n# EOF\n")},
    {OM, SPAN("a 1\nb 1 2\nc{d=\" # {\"} 3 # {e=\"}\"} 4 5\n# UNIT \"f\n# EOF\n\" s\ng {count:1}\n# EOF"),
     SPAN("a 1 1.500\nb 1 2\nc{d=\" # {\"} 3 1.500 # {e=\"}\"} 4 5\n# UNIT \"f\n# EOF\n\" s\ng {count:1}\n# EOF")},
    {OM, SPAN("a 1 \nb  2\nc 3 #\n d 4\n# EOF\n"), SPAN("a 1 \nb  2\nc 3 #\n d 4\n# EOF\n")},
    /* A family without metrics; one with a metric that has a time, and one that has not; an empty one. */
    {PROTOBUF,
     SPAN("\x03\x0a\x01"
          "a\x0d\x0a\x01"
          "b\x22\x02\x30\x07\x22\x02\x12\x00\x18\x01\x00"),
     SPAN("\x03\x0a\x01"
          "a\x10\x0a\x01"
          "b\x22\x02\x30\x07\x22\x05\x12\x00\x30\xdc\x0b\x18\x01\x00")},
    /* Wrong ones: a length and a field that are too long, one that is cut. */
    {PROTOBUF,
     SPAN("\x03\x0a\x01"
          "a\xff\xff\xff\xff\xff\x01\x0a\x00"),
     SPAN("\x03\x0a\x01"
          "a\xff\xff\xff\xff\xff\x01\x0a\x00")},
    {PROTOBUF,
     SPAN("\x04\x22\x09"
          "ab"),
     SPAN("\x04\x22\x09"
          "ab")},
    {PROTOBUF, SPAN("\x04\x22\x02\x12\x01"), SPAN("\x04\x22\x02\x12\x01")},
    {PROTOBUF, SPAN("\x08\x22\x02\x12\x00"), SPAN("\x08\x22\x02\x12\x00")},
};

static void
test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        for (size_t first = 0; first <= bodies[i].before.len; first++) {
            struct stamped out;
            assert_int_equal(stamp(bodies[i].before, bodies[i].content_type, first, &out), 0);
            if (out.len != bodies[i].after.len || memcmp(out.bytes, bodies[i].after.ptr, out.len))
                fail_msg("body %zu, cut at %zu: \"%.*s\"", i, first, (int)out.len, out.bytes);
        }
    }
}

static void
test_long_lines(void **state)
{
    static const char longest[] = "a{b=\"56789 123456789 123456789 123456789 123456789 12345678\"} 1\n";
    char longer[sizeof(longest) + 1];
    struct stamped out;
    (void)state;
    assert_int_equal(sizeof(longest) - 1, MAX_LINE);
    memcpy(longer + 1, longest, sizeof(longest));
    for (size_t first = 0; first <= MAX_LINE; first++) {
        *longer = 'x';
        assert_int_equal(stamp(SPAN(longest), TEXT, first, &out), 0);
        assert_int_equal(out.len, MAX_LINE + 5);
        assert_int_equal(stamp((struct ss_span){longer, MAX_LINE + 1}, TEXT, first, &out), SS_LINE_TOO_LONG);
        *longer = '#';
        assert_int_equal(stamp((struct ss_span){longer, MAX_LINE + 1}, TEXT, first, &out), SS_LINE_TOO_LONG);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bodies), cmocka_unit_test(test_long_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
