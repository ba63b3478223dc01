/* SPDX-License-Identifier: Apache-2.0 */
/* Timestamps for samples without: what gets one, what does not, in pieces of every size. */
#include "feed.h"

#include <scrapeshard/timestamper.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OM2 "application/openmetrics-text; version=2.0.0"
#define PROTOBUF "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

enum { MAX_LINE = 64 };

/* Feeds a body in pieces of that many bytes. */
static struct outcome
add_timestamps(int64_t time_ms, const char *content_type, struct ss_span body, size_t step)
{
    struct outcome o = {.bytes = calloc(1, 1)};
    struct ss_sink sink = {outcome_take, &o};
    struct guarded memory = guarded_new(step);
    struct ss_timestamper *s;

    assert_int_equal(ss_timestamper_new(&s, content_type, time_ms, MAX_LINE), 0);
    for (size_t at = 0; at < body.len && !o.result; at += step) {
        size_t n = step < body.len - at ? step : body.len - at;
        o.result = ss_timestamper_feed(s, guarded_put(&memory, (struct ss_span){body.ptr + at, n}), &sink);
    }
    if (!o.result)
        o.result = ss_timestamper_end(s, &sink);
    assert_true(ss_timestamper_memory(s) > 0);
    ss_timestamper_free(s);
    guarded_free(&memory);
    return o;
}

static void
check_at(int64_t time_ms, const char *content_type, struct ss_span body, struct ss_span timestamped)
{
    for (size_t step = 1; step <= body.len; step++) {
        struct outcome o = add_timestamps(time_ms, content_type, body, step);
        if (o.result || o.len != timestamped.len || memcmp(o.bytes, timestamped.ptr, o.len) != 0)
            fail_msg("\"%.*s\" in pieces of %zu: %d, \"%.*s\"", (int)body.len, body.ptr, step, o.result, (int)o.len,
                     o.bytes);
        outcome_free(&o);
    }
}

/* With the time 1700000000.123, or in protobuf 5 ms. */
static void
check(const char *content_type, struct ss_span body, struct ss_span timestamped)
{
    check_at(strcmp(content_type, PROTOBUF) ? 1700000000123 : 5, content_type, body, timestamped);
}

/* NULs after the last line are not a line, however many they are. */
static void
test_padding(void **state)
{
    (void)state;
    static const char before[2 * MAX_LINE] = "up 1\n", after[2 * MAX_LINE + 14] = "up 1 1700000000123\n";
    check(TEXT, SPAN(before), SPAN(after));
}

static void
test_text(void **state)
{
    (void)state;
    static const char *const timestamped[] = {"up 1", "a{b=\"c\"} 1", " a {b = \"}\\\"\"} 1e3", "a{b=\"one\ntwo\"} NaN",
                                              "a +Inf"};
    static const char *const unchanged[] = {"up 1 17",        "# HELP up 1", "# a comment", "",    "up",
                                            "a{b=\"c\"} 1 2", "a{b=\"c\"",   "{b=\"c\"} 1", "up x"};
    char before[MAX_LINE], after[2 * MAX_LINE];

    for (size_t i = 0; i < sizeof(timestamped) / sizeof(*timestamped); i++) {
        int n = snprintf(before, sizeof(before), "%s\n", timestamped[i]);
        int m = snprintf(after, sizeof(after), "%s 1700000000123\n", timestamped[i]);
        check(TEXT, (struct ss_span){before, (size_t)n}, (struct ss_span){after, (size_t)m});
    }
    for (size_t i = 0; i < sizeof(unchanged) / sizeof(*unchanged); i++) {
        struct ss_span line = {before, (size_t)snprintf(before, sizeof(before), "%s\n", unchanged[i])};
        check(TEXT, line, line);
    }
    check(TEXT, SPAN("a 1 \t\r\nb 2\n# EOF\n"), SPAN("a 1 \t\r\nb 2 1700000000123\n# EOF\n"));
    /* An end without LF is left to the next reader. */
    check(TEXT, SPAN("a 1\nb 2"), SPAN("a 1 1700000000123\nb 2 1700000000123"));
    check(TEXT, SPAN("a{b=\"c"), SPAN("a{b=\"c"));
}

static void
test_openmetrics(void **state)
{
    (void)state;
    check(OM, SPAN("# TYPE a counter\na_total 1\n# EOF\n"),
          SPAN("# TYPE a counter\na_total 1 1700000000.123\n# EOF\n"));
    check(OM, SPAN("a_total{b=\"c\"} 1 # {id=\"d\"} 2\n"), SPAN("a_total{b=\"c\"} 1 1700000000.123 # {id=\"d\"} 2\n"));
    check(OM, SPAN("a 1 17\na 1 # 2\n a 1\na {b=\"c\"} 1\n"), SPAN("a 1 17\na 1 # 2\n a 1\na {b=\"c\"} 1\n"));
    check(OM, SPAN("a {count:1,sum:2}\n"), SPAN("a {count:1,sum:2}\n"));
    check(OM, SPAN("a 1 st@1\n"), SPAN("a 1 st@1\n"));
}

/* The timestamp follows the value, before a start timestamp and exemplars. */
static void
test_openmetrics_2(void **state)
{
    (void)state;
    static const char *const timestamped[][2] = {
        {"a_total 1", ""},
        {"a_total{b=\"c\"} 1", " st@1.5"},
        {"a_total 1", " # {id=\"}\"} 2 3"},
        {"a_total 1", " st@1.5 # {id=\" # {\"} 2 3 # {} 4 5"},
        {"{\"a.b\",c=\" st@1\"} NaN", " st@1"},
        {"a {count:1,sum:2,bucket:[0.5:1,+Inf:1]}", ""},
        {"a{b=\"{\"} {count:1,sum:2,quantile:[0.5:1]}", " st@1"},
        {"{\"a.b\"} {gcount:1,gsum:NaN,bucket:[+Inf:1]}", " st@1"},
        {"{\"a.b\"} {gcount:1,gsum:NaN}", " st@1 # {} 1 1 # {} 1 1"},
        {"a{b=\"c\"} {count:1,sum:2,schema:0,positive_spans:[1:2]}", ""},
    };
    static const char *const unchanged[] = {
        "a 1 17",
        "a 1 17 st@1",
        "a {count:1,sum:2} 17",
        "a {count:1,sum:2} 1.5 st@1 # {} 1 1",
        "# TYPE a gauge",
        "# HELP a st@",
        "a 1  st@1",
        "a 1 sT@1",
        "a 1 # 2",
        "a {count:1",
        "a {}",
        "a { count:1}",
        "a {count:1}st@1",
        "a {\"count\":1}",
        "a st@1",
        "a {b=\"c\"} 1",
        "a",
    };
    char before[MAX_LINE], after[2 * MAX_LINE];

    for (size_t i = 0; i < sizeof(timestamped) / sizeof(*timestamped); i++) {
        const char *sample = timestamped[i][0], *rest = timestamped[i][1];
        int n = snprintf(before, sizeof(before), "%s%s\n", sample, rest);
        int m = snprintf(after, sizeof(after), "%s 1700000000.123%s\n", sample, rest);
        check(OM2, (struct ss_span){before, (size_t)n}, (struct ss_span){after, (size_t)m});
        check(OM2, (struct ss_span){before, (size_t)n - 1}, (struct ss_span){after, (size_t)m - 1});
    }
    for (size_t i = 0; i < sizeof(unchanged) / sizeof(*unchanged); i++) {
        struct ss_span line = {before, (size_t)snprintf(before, sizeof(before), "%s\n", unchanged[i])};
        check(OM2, line, line);
    }
}

/* A gauge of 1, as the fields of a metric. */
#define GAUGE "\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"
#define NAME                                                                                                           \
    "\x0a\x01"                                                                                                         \
    "a"

static void
test_protobuf(void **state)
{
    (void)state;
    check(PROTOBUF, SPAN("\x12" NAME "\x18\x01\x22\x0b" GAUGE), SPAN("\x14" NAME "\x18\x01\x22\x0d" GAUGE "\x30\x05"));
    check(PROTOBUF, SPAN("\x1d" NAME "\x22\x0b" GAUGE "\x22\x0b" GAUGE "\x03" NAME),
          SPAN("\x21" NAME "\x22\x0d" GAUGE "\x30\x05\x22\x0d" GAUGE "\x30\x05\x03" NAME));
    /* It already has a timestamp; fields of other types are not metrics. */
    check(PROTOBUF, SPAN("\x12" NAME "\x22\x0d" GAUGE "\x30\x07"), SPAN("\x12" NAME "\x22\x0d" GAUGE "\x30\x07"));
    check(PROTOBUF,
          SPAN("\x08" NAME "\x25"
               "abcd"),
          SPAN("\x08" NAME "\x25"
               "abcd"));
    check(PROTOBUF,
          SPAN("\x0c" NAME "\x21"
               "abcdefgh"),
          SPAN("\x0c" NAME "\x21"
               "abcdefgh"));
}

static void
test_malformed_protobuf(void **state)
{
    (void)state;
    static const struct ss_span bodies[] = {
        SPAN("\x05" NAME),                                         /* truncated */
        SPAN("\x80"),                                              /* truncated in its length */
        SPAN("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" NAME), /* not a length */
        SPAN("\xff\xff\xff\xff\x7f" NAME),                         /* too long */
        SPAN("\x05" NAME "\x0f\x01"),                              /* an invalid wire type */
        SPAN("\x07" NAME "\x22\x02\x09\x01"),                      /* a malformed metric */
        SPAN("\x05" NAME "\x22\x7f"),                              /* a field longer than its family */
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
        check(PROTOBUF, bodies[i], bodies[i]);
}

/* With the time 1.5, as a varint dc 0b. */
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
    /* Of an unknown type: OpenMetrics would read milliseconds as seconds, and text seconds as milliseconds. */
    {NULL, SPAN("a 1\n# EOF\n"), SPAN("a 1\n# EOF\n")},
    {"text/html", SPAN("foo 1\n# EOF\n"), SPAN("foo 1\n# EOF\n")},
    {"text/html", SPAN("foo{a=\"\n\"} 1\nfoo 2\n\0\n"), SPAN("foo{a=\"\n\"} 1\nfoo 2\n\0\n")},
    {OM, SPAN("a 1\nb 1 2\nc{d=\" # {\"} 3 # {e=\"}\"} 4 5\n# UNIT \"f\n# EOF\n\" s\ng {count:1}\n# EOF"),
     SPAN("a 1 1.500\nb 1 2\nc{d=\" # {\"} 3 1.500 # {e=\"}\"} 4 5\n# UNIT \"f\n# EOF\n\" s\ng {count:1}\n# EOF")},
    {OM2, SPAN("a 1\nb {count:1} st@2\nc{d=\" # {\"} 3 # {e=\"}\"} 4 5\n{\"g\n\"} {count:1}\n# UNIT f s\n# EOF"),
     SPAN("a 1 1.500\nb {count:1} 1.500 st@2\nc{d=\" # {\"} 3 1.500 # {e=\"}\"} 4 5\n{\"g\n\"} {count:1} 1.500\n"
          "# UNIT f s\n# EOF")},
    {OM, SPAN("a 1 \nb  2\nc 3 #\n d 4\n# EOF\n"), SPAN("a 1 \nb  2\nc 3 #\n d 4\n# EOF\n")},
    /* A family without metrics; one with a metric that has a timestamp and one that has none; an empty one. */
    {PROTOBUF,
     SPAN("\x03\x0a\x01"
          "a\x0d\x0a\x01"
          "b\x22\x02\x30\x07\x22\x02\x12\x00\x18\x01\x00"),
     SPAN("\x03\x0a\x01"
          "a\x10\x0a\x01"
          "b\x22\x02\x30\x07\x22\x05\x12\x00\x30\xdc\x0b\x18\x01\x00")},
    /* Malformed: a length and a field that are too long, one that is truncated. */
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
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        check_at(1500, bodies[i].content_type, bodies[i].before, bodies[i].after);
}

static void
test_line_limit(void **state)
{
    (void)state;
    char line[MAX_LINE + 2];
    for (size_t i = 0; i < 4; i++) {
        size_t len = MAX_LINE + i % 2;
        memset(line, 'a', len);
        memcpy(line + len - 3, " 1\n", 3);
        if (i >= 2)
            *line = '#';
        for (size_t step = 1; step <= len; step++) {
            struct outcome o = add_timestamps(1500, TEXT, (struct ss_span){line, len}, step);
            assert_int_equal(o.result, len > MAX_LINE ? SS_LINE_TOO_LONG : 0);
            outcome_free(&o);
        }
    }
}

static int
refuse(void *ctx, const struct ss_span *spans, size_t n)
{
    (void)ctx, (void)spans, (void)n;
    return -EPIPE;
}

static void
test_sink_error_travels(void **state)
{
    (void)state;
    const struct ss_sink sink = {refuse, NULL};
    static const char *const types[] = {TEXT, OM, PROTOBUF};
    for (size_t i = 0; i < 3; i++) {
        struct ss_timestamper *s;
        assert_int_equal(ss_timestamper_new(&s, types[i], 5, MAX_LINE), 0);
        int r = ss_timestamper_feed(s, SPAN("\n"), &sink); /* an empty line, or the start of a family of ten bytes */
        assert_int_equal(r ? r : ss_timestamper_end(s, &sink), -EPIPE);
        ss_timestamper_free(s);
    }
    ss_timestamper_free(NULL);
}

/* More than is passed on at once. */
static void
test_long_body(void **state)
{
    (void)state;
    enum { LINES = 20000 };
    char *body = malloc(LINES * 4);
    for (size_t i = 0; i < LINES; i++)
        memcpy(body + 4 * i, "a 1\n", 4);
    struct outcome o = add_timestamps(1700000000123, TEXT, (struct ss_span){body, LINES * 4}, LINES * 4);
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, LINES * strlen("a 1 1700000000123\n"));
    outcome_free(&o);
    free(body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_padding),     cmocka_unit_test(test_text),
        cmocka_unit_test(test_openmetrics), cmocka_unit_test(test_openmetrics_2),
        cmocka_unit_test(test_protobuf),    cmocka_unit_test(test_malformed_protobuf),
        cmocka_unit_test(test_line_limit),  cmocka_unit_test(test_sink_error_travels),
        cmocka_unit_test(test_long_body),   cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
