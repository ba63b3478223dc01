/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of the text formats, each cut in every way: what is kept, what is rejected, and where. */
#include "feed.h"
#include "protobuf.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT "text/plain; version=0.0.4; charset=utf-8"
#define TEXT1 "text/plain; version=1.0.0; escaping=allow-utf-8"
#define OM "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define OM2 "application/openmetrics-text; version=2.0.0; charset=utf-8"

/* Bodies that every shard count must split without loss. */
static const struct {
    const char *name, *content_type;
    struct ss_span body;
} whole_bodies[] = {
    {"empty", TEXT, SPAN("")},
    {"one sample", TEXT, SPAN("up 1\n")},
    {"no final newline", TEXT, SPAN("up 1\nfoo 2")},
    {"metadata and samples", TEXT,
     SPAN("# HELP foo A foo.\n# TYPE foo counter\nfoo{a=\"b\"} 1\nfoo{a=\"c\"} 2 1395066363000\n"
          "# HELP bar A bar.\n# TYPE bar gauge\nbar 3\n")},
    {"a histogram", TEXT,
     SPAN("# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"
          "# TYPE g gauge\ng 1\nh_created 5\n")},
    {"comments, blank lines and blanks", TEXT,
     SPAN("# just a comment\n\n   \n\t\n#HELP x\n## HELP x\n# HELPER x\n# HELP\n# UNIT x s\n# EOF\nup 1\n  # TYPE \t "
          "up gauge\n"
          "\t#\tHELP up it's \"up\"\nfoo { a = \"b\" , c=\"d\" , }\t 1  17 \n foo 2\n#\n")},
    {"newlines and braces in quotes", TEXT,
     SPAN("a{x=\"1\n2\",y=\"} 3\"} 4\nb{x=\" # {\"} 5\na{x=\"# EOF\n# TYPE b gauge\n\"} 6\nb 1\n")},
    {"escapes", TEXT,
     SPAN("a{x=\"\\\"\n\\\\\"} 1\nb{x=\"\\\\\\\"\\n\"} 2\nc{p=\"C:\\\\DIR\\\\\"} 3\nd{x=\"\\q\\\\\"} 4\ne 5\n")},
    {"quotes in comments", TEXT,
     SPAN("# HELP a 5\" tall\na 1\nb 2\n# \"\nc{x=\"y\"} 3\n# HELP d \\\"\nd 4\n# TYPE e \"gauge\ne{x=\"\n\"} 5\nf "
          "6\n")},
    {"a unit is a comment in text", TEXT, SPAN("# UNIT \"x\nfoo 1\nbar 2\n# c \"\n")},
    {"CR is data", TEXT, SPAN("# HELP a x\r\na{x=\"\r\n\"} 1\r\nb 2\r\n")},
    {"interleaved and repeated families", TEXT,
     SPAN("a_sum 1\nb 2\na_count 3\n# TYPE a summary\nb 4\n# TYPE a summary\n# HELP a x\n# HELP a "
          "y\na{quantile=\"0.5\"} 5\n")},
    {"metadata without samples", TEXT, SPAN("# HELP lonely x\n# TYPE lonely gauge\nup 1\n# HELP last\n")},
    {"names alike", TEXT, SPAN("foo 1\nfoo1 2\nfoo_ 3\nfoo{a=\"b\"} 4\nfoo1{a=\"b\"} 5\nfo 6\nfoo_total 7\n:a:b 8\n")},
    {"a long name", TEXT,
     SPAN("a_name_that_is_longer_than_what_one_comparison_tells_and_goes_on{a=\"b\"} 1\n"
          "a_name_that_is_longer_than_what_one_comparison_tells_and_goes_off{a=\"b\"} 2\n"
          "a_name_that_is_longer_than_what_one_comparison_tells_and_goes_on{a=\"c\"} 3\n")},
    {"a bad value after a good one of the same name is left to the scraper", TEXT, SPAN("up 1\nup 2\0\nup x\nb 1\n")},
    {"values of all kinds", TEXT,
     SPAN("a 1\nb -1.5e+10\nc +Inf\nd -infinity\ne NaN\nf .5\ng 5.\nh{x=\"y\"}1\ni inf\nj 1e5 -1\n")},
    {"quoted names", TEXT1,
     SPAN("# HELP \"my.metric\" with a dot\n# TYPE \"my.metric\" gauge\n{\"my.metric\"} 1\n{\"my.metric\",a=\"b\"} 2\n"
          "{a=\"b\",\"my.metric\"} 3\n{a=\"b\" \"my.metric\"} 4\n{ \"my.metric\" , \"l.x\" = \"y\" } 5\n{\"my.other\"} "
          "6\n"
          "{\"quoted.label\"=\"my.metric\",\"m\"} 7\n# TYPE \"a\nb # \\\" {}\" gauge\n{\"a\nb # \\\" {}\",x=\"y\"} 8\n"
          "{\"foo\",a=\"1\"} 9\nfoo{\"l.x\"=\"2\"} 10\n{\"lat.ency_bucket\",le=\"1\"} 11\n")},
    {"NULs after the last line", TEXT, SPAN("a 1\nb 2\n\0\0\0\0\0")},
    {"NULs, blanks and newlines after the last line", TEXT, SPAN("a 1\nb 2\n\0\n\r\n\0 \t\n\n\0")},
    {"no type, a marker and NULs", NULL, SPAN("a 1\nb 2\n# EOF\n\0\0")},
    {"OpenMetrics", OM,
     SPAN("# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds \"It\" # EOF\na_seconds_total 1.0 1.5\n"
          "a_seconds_created 1.0\n# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {trace_id=\"}# EOF\"} 0.5 1.0\n"
          "h_bucket{le=\"+Inf\"} 2 # {} 1\nh_count 2\nh_sum 3\n# TYPE s stateset\ns{s=\"a\"} 1\n# TYPE t "
          "info\nt_info{a=\"b\"} 1\n"
          "# TYPE q gaugehistogram\nq_bucket{le=\"+Inf\"} 1\nq_gcount 1\nq_gsum 1\n# EOF\n")},
    {"OpenMetrics, marker without newline", OM, SPAN("a 1\nb 2\n# EOF")},
    {"OpenMetrics, nothing in it", OM, SPAN("# EOF\n")},
    {"OpenMetrics, quoted names", OM,
     SPAN("# UNIT \"a._s\" s\n{\"a\n# EOF\n.s\"} 1\n{\"b.c\",x=\"y\"} {count:1,sum:2} st@1\nc {count:1}\n# "
          "EOF\n")},
    {"OpenMetrics 2.0", OM2,
     SPAN("# TYPE s summary\n# UNIT s seconds\n# HELP s \"It\" # EOF\n"
          "s{path=\"/v1\",m=\"G\"} {count:80,sum:9036.32,quantile:[0.95:2,0.99:20]} st@1605281325.0\n"
          "s{path=\"/v2\",m=\"G\"} {count:34,sum:479.3,quantile:[]} 1 st@1605301325.0\n# TYPE c_total counter\n"
          "c_total 4.2e+06\nc_total{a=\"b\"} 17.0 15.7 st@15 # {trace_id=\"}# EOF\"} 0.67 15.1 # {} 1 2\n"
          "# TYPE h histogram\nh{a=\"1\"} {count:2,sum:1.2e2,schema:0,zero_threshold:1e-4,zero_count:0,"
          "positive_spans:[1:2],positive_buckets:[1,1],bucket:[0.5:1,1:2,+Inf:2]} st@1 # {a=\"1\"} 1 1\n"
          "h{a=\"2\"} {count:0,sum:0,bucket:[+Inf:0]}\n# TYPE h:rate5m gaugehistogram\n"
          "h:rate5m {gcount:0.01,gsum:NaN,bucket:[-Inf:0,+Inf:0.01]} 5\n# TYPE t_info info\nt_info{a=\"b\"} 1\n"
          "# TYPE \"foodb.errors\" counter\n{\"foodb.errors\",\"service.name\"=\"x\"} 3482 st@1\n"
          "{\"lat.ency\"} {count:1,sum:1,bucket:[+Inf:1]} 1 st@1\nc_count 1 st@-1e3\n# EOF\n")},
    {"OpenMetrics 2.0, names alike and newlines in names", OM2,
     SPAN("h {count:1,sum:2}\nh{a=\"}\"} {count:1,sum:2} 5\nh 1 st@1\nh {count:3,sum:2} st@1\nh_sum 1\nh 4\n"
          "{\"a\n# EOF\n\"} {gcount:1,gsum:2} 1 st@1 # {\"b\"=\"c\"} 1 1 # {} 2 2\n{\"a\n# EOF\n\",x=\"y\"} 2\n# EOF")},
    {"a type unknown, perhaps OpenMetrics", "application/json", SPAN("a 1\nb 2\nc 3\n# EOF\n")},
    {"no type, a marker without newline", NULL, SPAN("a 1\nb 2\n# EOF")},
    {"no type, a marker in the middle", NULL, SPAN("a 1\n# EOF\nb 2\n# EOF\n\n")},
};

static void
test_union(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(whole_bodies) / sizeof(whole_bodies[0]); i++) {
        print_message("  %s\n", whole_bodies[i].name);
        const char *type = whole_bodies[i].content_type;
        bool openmetrics = type && (!strcmp(type, OM) || !strcmp(type, OM2));
        check_union(whole_bodies[i].body, type, openmetrics ? first_openmetrics_line_len : first_line_len);
    }
}

/* What every shard rejects. */
static const struct {
    const char *content_type;
    struct ss_span body;
    enum ss_filter_condition condition;
    uint64_t offset, line;
    const char *reason;
} refused[] = {
    {TEXT, SPAN("<html>\n<body>no</body></html>\n"), SS_NO_EXPOSITION, 0, 1, "no metric name: <html>"},
    {TEXT, SPAN("OK"), SS_NO_EXPOSITION, 0, 1, "no value: OK"},
    {TEXT, SPAN("OK\n"), SS_NO_EXPOSITION, 0, 1, "no value: OK"},
    {TEXT, SPAN("Not found\n"), SS_NO_EXPOSITION, 0, 1, "no value: Not found"},
    {TEXT, SPAN("404 page not found\n"), SS_NO_EXPOSITION, 0, 1, "no metric name: 404 page not found"},
    {TEXT, SPAN("{\"status\":\"ok\"}\n"), SS_NO_EXPOSITION, 0, 1, "malformed labels: {\"status\":\"ok\"}"},
    {TEXT, SPAN("{\n  \"status\": 1\n}\n"), SS_NO_EXPOSITION, 0, 1, "malformed labels: {"},
    {TEXT, SPAN("[1]\n"), SS_NO_EXPOSITION, 0, 1, "no metric name: [1]"},
    {TEXT, SPAN("up 1\n# x\n\n<p>\n"), SS_NO_EXPOSITION, 10, 4, "no metric name: <p>"},
    {TEXT, SPAN("up{a=\"1\n2\"} 1\n<p>\n"), SS_NO_EXPOSITION, 14, 3, "no metric name: <p>"},
    {TEXT, SPAN("up 1\nup 2\nfoo\n"), SS_NO_EXPOSITION, 10, 3, "no value: foo"},
    {TEXT, SPAN("up 1\nfoo{a=\"b\"}\n"), SS_NO_EXPOSITION, 5, 2, "no value: foo{a=\"b\"}"},
    {TEXT, SPAN("foo{a=\"b\"} 1\nbar 1\nfoo{a=\"c\"} x\n"), SS_NO_EXPOSITION, 19, 3, "no value: foo{a=\"c\"} x"},
    {TEXT, SPAN("foo 0x10\n"), SS_NO_EXPOSITION, 0, 1, "no value: foo 0x10"},
    {TEXT, SPAN("foo 1e\n"), SS_NO_EXPOSITION, 0, 1, "no value: foo 1e"},
    {TEXT, SPAN("up 1\n \0up 2\n"), SS_NO_EXPOSITION, 5, 2, "no metric name:  \\x00up 2"},
    {TEXT, SPAN("\0\0\n"), SS_NO_EXPOSITION, 0, 1, "no metric name: \\x00\\x00"},
    {TEXT, SPAN("up 1\n\0\0up 2\n"), SS_NO_EXPOSITION, 7, 2, "text after a NUL byte, where the scraper stops reading"},
    {TEXT, SPAN("up 1\nup 2\n\0\n\0\n\"\n"), SS_NO_EXPOSITION, 14, 5,
     "text after a NUL byte, where the scraper stops reading"},
    {TEXT, SPAN("{a=\"b\"} 1\n"), SS_NO_EXPOSITION, 0, 1, "no metric name in braces: {a=\"b\"} 1"},
    {TEXT, SPAN("up 1\n#a\0b\nup 2\n"), SS_NO_EXPOSITION, 5, 2,
     "a NUL byte, where the scraper would stop reading: #a\\x00b"},
    {TEXT, SPAN("#\0\nup 2\n"), SS_NO_EXPOSITION, 0, 1, "a NUL byte, where the scraper would stop reading: #\\x00"},
    {TEXT, SPAN("\t# \0\nup 2\n"), SS_NO_EXPOSITION, 0, 1,
     "a NUL byte, where the scraper would stop reading: \\x09# \\x00"},
    {TEXT, SPAN("# HELP \n"), SS_NO_EXPOSITION, 0, 1, "metadata without a metric name: # HELP "},
    {TEXT, SPAN("up 1\nfoo{a=\"b\n"), SS_BODY_TRUNCATED, 5, 2, "the body ends inside quotes"},
    {TEXT, SPAN("up 1\n# HELP \"foo\n"), SS_BODY_TRUNCATED, 5, 2, "the body ends inside quotes"},
    {OM, SPAN(""), SS_BODY_TRUNCATED, 0, 1, "the body ends without # EOF"},
    {OM, SPAN("up 1\n"), SS_BODY_TRUNCATED, 5, 2, "the body ends without # EOF"},
    {OM, SPAN("up 1\n# EO"), SS_NO_EXPOSITION, 5, 2, "a comment other than HELP, TYPE, UNIT or # EOF: # EO"},
    {OM, SPAN("up 1\n# EOF \n"), SS_NO_EXPOSITION, 5, 2, "a comment other than HELP, TYPE, UNIT or # EOF: # EOF "},
    {OM, SPAN("# EOF\nup 1\n"), SS_NO_EXPOSITION, 6, 2, "text after # EOF: up 1"},
    {OM, SPAN("# EOF\n\n"), SS_NO_EXPOSITION, 6, 2, "text after # EOF: "},
    {OM, SPAN("# EOF\n# EOF\n"), SS_NO_EXPOSITION, 6, 2, "text after # EOF: # EOF"},
    {OM, SPAN("# EOF\n\0"), SS_NO_EXPOSITION, 6, 2, "text after # EOF: \\x00"},
    {OM, SPAN("\nup 1\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "a blank line, which OpenMetrics forbids: "},
    {OM, SPAN(" up 1\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no metric name:  up 1"},
    {OM, SPAN("up\t1\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: up\\x091"},
    {OM, SPAN("# hello\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "a comment other than HELP, TYPE, UNIT or # EOF: # hello"},
    {OM, SPAN("a{b=\"c\"} 1\nb 1\na{b=\"c\"} # {d=\"e\"} 1\n# EOF\n"), SS_NO_EXPOSITION, 15, 3,
     "no value: a{b=\"c\"} # {d=\"e\"} 1"},
    {OM2, SPAN(""), SS_BODY_TRUNCATED, 0, 1, "the body ends without # EOF"},
    {OM2, SPAN("up 1\n# hello\n"), SS_NO_EXPOSITION, 5, 2, "a comment other than HELP, TYPE, UNIT or # EOF: # hello"},
    {OM2, SPAN("a{b=\"c\"} 1\nb 1\na{b=\"c\"} # {d=\"e\"} 1 1\n# EOF\n"), SS_NO_EXPOSITION, 15, 3,
     "no value: a{b=\"c\"} # {d=\"e\"} 1 1"},
    {OM2, SPAN("a st@1\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a st@1"},
    {OM2, SPAN("a {count:1\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a {count:1"},
    {OM2, SPAN("a {count:1, sum:1}\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a {count:1, sum:1}"},
    {OM2, SPAN("a {count:1}5\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a {count:1}5"},
    {OM2, SPAN("a {} 5\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a {} 5"},
    {OM2, SPAN("a {\"count\":1}\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a {\"count\":1}"},
    {OM2, SPAN("a {b=\"c\"} 1\n# EOF\n"), SS_NO_EXPOSITION, 0, 1, "no value: a {b=\"c\"} 1"},
};

static void
test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        for (int shard = 0; shard < 3; shard++) {
            const char *shards[] = {"0", "1", "2"};
            struct question q = {.content_type = refused[i].content_type, .shard = shards[shard], .count = 3};
            struct outcome o = feed_all_ways(refused[i].body, &q);
            if (o.result != (int)refused[i].condition)
                fail_msg("\"%s\" gives %d", refused[i].body.ptr, o.result);
            assert_string_equal(o.error.reason, refused[i].reason);
            assert_int_equal(o.error.offset, refused[i].offset);
            assert_int_equal(o.error.line, refused[i].line);
            outcome_free(&o);
        }
    }
}

static void
test_line_limit(void **state)
{
    (void)state;
    struct question q = {.content_type = TEXT, .shard = "0", .count = 1, .max_line = 20};
    struct outcome o = feed_all_ways(SPAN("foo{a=\"12345678\"} 1\nfoo{a=\"12345678\"} 2\n"), &q);
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, 40);
    outcome_free(&o);

    o = feed_all_ways(SPAN("up 1\nfoo{a=\"1234567\"} 1\nfoo{a=\"123456789\"} 2\n"), &q);
    assert_int_equal(o.result, SS_LINE_TOO_LONG);
    assert_int_equal(o.error.offset, 24);
    assert_int_equal(o.error.line, 3);
    outcome_free(&o);

    o = feed_all_ways(SPAN("# a comment with more than twenty bytes\nup 1\n"), &q);
    assert_int_equal(o.result, SS_LINE_TOO_LONG);
    outcome_free(&o);

    static const char padded[300] = "up 1\n";
    o = feed_all_ways(SPAN(padded), &q);
    assert_int_equal(o.result, 0);
    assert_int_equal(o.len, sizeof(padded) - 1);
    outcome_free(&o);

    o = feed_all_ways(SPAN("a{b=\"a line that has no end, and is longer"), &q);
    assert_int_equal(o.result, SS_LINE_TOO_LONG);
    outcome_free(&o);
}

static uint32_t
place_of(struct ss_span key, uint32_t count)
{
    struct ss_hasher *hasher;
    uint64_t hash;
    assert_int_equal(ss_hasher_new(&hasher, SS_HASH_XXH64), 0);
    assert_int_equal(ss_hasher_hash(hasher, key, &hash), 0);
    ss_hasher_free(hasher);
    return ss_place(SS_HASH_XXH64, SS_PLACE_MODULO, hash, count);
}

/* Families stay whole, and their metadata go with them: a shard has a family if the family's key is in the shard. */
static void
test_families_whole(void **state)
{
    (void)state;
    struct ss_span body = SPAN("# HELP h x\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n"
                               "# HELP q x\n# TYPE q counter\nq_total 1\nq_created 2\n{\"q\",a=\"\"} 1\n");
    for (uint32_t s = 0; s < 7; s++) {
        char shard[2] = {(char)('0' + s), 0};
        struct question q = {.content_type = TEXT, .shard = shard, .count = 7};
        struct outcome o = feed_all_ways(body, &q);
        bool h = place_of(SPAN("h"), 7) == s, c = place_of(SPAN("q"), 7) == s;
        assert_int_equal(!!strstr(o.bytes, "# HELP h"), h);
        assert_int_equal(!!strstr(o.bytes, "# TYPE h"), h);
        assert_int_equal(!!strstr(o.bytes, "h_bucket"), h);
        assert_int_equal(!!strstr(o.bytes, "h_count"), h);
        assert_int_equal(!!strstr(o.bytes, "# TYPE q"), c);
        assert_int_equal(!!strstr(o.bytes, "q_total"), c);
        assert_int_equal(!!strstr(o.bytes, "q_created"), c);
        assert_int_equal(!!strstr(o.bytes, "{\"q\","), c);
        assert_int_equal(o.counts.series_seen, 6);
        assert_int_equal(o.counts.families_seen, 2);
        outcome_free(&o);
    }
}

/* The key of a quoted name is the unescaped name. */
static void
test_unescaped_key(void **state)
{
    (void)state;
    uint32_t shard = place_of(SPAN("a\n\"b\\q\\"), 80);
    char text[8];
    snprintf(text, sizeof(text), "%u", shard);
    struct question q = {.content_type = TEXT1, .shard = text, .count = 80};
    struct outcome o = feed_all_ways(SPAN("{\"a\\n\\\"b\\q\\\\_total\"} 1\n"), &q);
    assert_int_equal(o.counts.series_kept, 1);
    outcome_free(&o);
}

/* A quoted name after # UNIT counts in OpenMetrics only: in text it swallows nothing. */
static void
test_unit_in_text(void **state)
{
    (void)state;
    struct question q = {.content_type = TEXT, .shard = "7", .count = 8}; /* of "up" among 8 */
    struct outcome o = feed_all_ways(SPAN("# UNIT \"x\nnode_cpu_seconds_total 1\nup 2\n# c \"\n"), &q);
    assert_string_equal(o.bytes, "up 2\n");
    outcome_free(&o);
}

static void
test_several_shards(void **state)
{
    (void)state;
    struct ss_span body = SPAN("up 1\nhttp_requests_total 2\nnode_cpu_seconds_total 3\nkube_pod_info 4\n");
    struct question q = {.content_type = TEXT, .shard = "0-7", .count = 8};
    struct outcome o = feed_all_ways(body, &q);
    assert_int_equal(o.len, body.len);
    outcome_free(&o);
    q.shard = NULL;
    o = feed_all_ways(body, &q);
    assert_int_equal(o.len, body.len);
    outcome_free(&o);
    q.shard = "7"; /* of "up" among 8 */
    o = feed_all_ways(body, &q);
    assert_string_equal(o.bytes, "up 1\n");
    outcome_free(&o);
}

static void
test_ends_whole(void **state)
{
    (void)state;
    static const struct {
        const char *content_type;
        struct ss_span body;
        bool whole;
    } cases[] = {
        {TEXT, SPAN(""), false},
        {TEXT, SPAN("a 12"), false},
        {TEXT, SPAN("a 12\n"), true},
        {TEXT, SPAN("a 12\n\0\0"), true},
        {OM, SPAN("a 1\n# EOF"), true},
        {OM, SPAN("# EOF\n"), true},
        {NULL, SPAN("# EOF\n"), true},
        {"text/html", SPAN("# EOF\n"), true},
        {"text/html", SPAN("a 1\n# EOF\n"), true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct question q = {.content_type = cases[i].content_type, .shard = "0", .count = 1};
        struct outcome o = feed_all_ways(cases[i].body, &q);
        assert_int_equal(o.ends_whole, cases[i].whole);
        outcome_free(&o);
    }
}

static int
refusing_take(void *ctx, const struct ss_span *spans, size_t n)
{
    (void)ctx, (void)spans, (void)n;
    return -77;
}

static void
test_sink_error_travels(void **state)
{
    (void)state;
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct ss_sink sink = {refusing_take, NULL};
    struct ss_filter *filter;
    assert_int_equal(ss_filter_new(&filter, &settings), 0);
    assert_int_equal(ss_filter_feed(filter, SPAN("up 1\n"), &sink), -77);
    assert_int_equal(ss_filter_end(filter, &sink), -77);
    assert_null(ss_filter_error(filter));
    ss_filter_free(filter);
    ss_filter_free(NULL);
}

/* Many lines alternating between two shards: more spans than are passed on at once, and a body larger than a batch. */
static void
test_long_body(void **state)
{
    (void)state;
    size_t len = 0, size = 1 << 16;
    char *bytes = malloc(size);
    for (int i = 0; len < size - 200; i++)
        len += (size_t)snprintf(bytes + len, size - len, "# HELP n%d the \"%s\nn%d{a=\"%.*s\\\\\",b=\"%s\"} %d\n",
                                i % 97, i % 5 ? "quoted\" one" : "odd one", i % 97, i % 60,
                                "------------------------------------------------------------", i % 11 ? "x" : "\n\\\"",
                                i);
    check_union((struct ss_span){bytes, len}, TEXT, first_line_len);
    free(bytes);
}

enum { LONG_NAME = 1000 * 1000 };

static int
drop_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    (void)ctx, (void)spans, (void)n;
    return 0;
}

/* Feeds n families of one series, each with another long name, and returns by how much the allocated bytes grew; 0 if
   another allocator is in use. */
static size_t
feed_long_names(size_t n, const struct ss_filter_settings *settings, int expected)
{
    const struct ss_sink sink = {drop_spans, NULL};
    char *name = malloc(LONG_NAME + 1);
    struct writer body = {NULL, 0}, family = {NULL, 0};
    struct ss_filter *filter;
    int r = 0;

    memset(name, 'x', LONG_NAME);
    assert_int_equal(ss_filter_new(&filter, settings), 0);
    struct mallinfo2 before = mallinfo2();
    for (size_t i = 0; i < n && !r; i++) {
        name[sprintf(name, "n%06zu", i)] = '_';
        if (!strcmp(settings->content_type, PROTOBUF)) {
            put_field(&family, 1, (struct ss_span){name, LONG_NAME});
            put_field(&family, 4, SPAN(""));
            put_message(&body, &family);
        } else {
            put(&body, name, LONG_NAME);
            put(&body, " 1\n", 3);
        }
        r = ss_filter_feed(filter, span(&body), &sink);
        free(body.bytes);
        body = (struct writer){NULL, 0};
    }
    struct mallinfo2 after = mallinfo2();
    assert_int_equal(r, expected);
    if (expected)
        assert_non_null(strstr(ss_filter_error(filter)->reason, "family names that take more than 32 MiB"));
    else
        assert_int_equal(ss_filter_counts(filter)->families_seen, n);
    ss_filter_free(filter);
    free(name);
    return after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
}

/* Statistics remember few bytes of names, however long those are; a limit of families cannot do without, but has a
   limit itself. */
static void
test_long_names(void **state)
{
    (void)state;
    static const char *const types[] = {TEXT, PROTOBUF};
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        struct ss_filter_settings settings = ss_filter_settings_default();
        settings.content_type = types[i];
        settings.count_families = true;
        assert_true(feed_long_names(200, &settings, 0) < 4 << 20);
        settings.max_families = 1000;
        assert_true(feed_long_names(30, &settings, 0) < 34 << 20);
        assert_true(feed_long_names(200, &settings, SS_TOO_MANY) < 38 << 20);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_union),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_families_whole),
        cmocka_unit_test(test_unescaped_key),
        cmocka_unit_test(test_unit_in_text),
        cmocka_unit_test(test_several_shards),
        cmocka_unit_test(test_ends_whole),
        cmocka_unit_test(test_sink_error_travels),
        cmocka_unit_test(test_long_body),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
