/* SPDX-License-Identifier: Apache-2.0 */
/* Which headers are forwarded, how a body is encoded, and how long a scrape may take. */
#include "proxy/negotiate.h"

#include "service/config/config.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <cmocka.h>

/* Headers as in "A: b|C: d". */
static void
fill(struct evkeyvalq *headers, const char *text)
{
    char copy[500], *rest = copy, *line;
    TAILQ_INIT(headers);
    snprintf(copy, sizeof(copy), "%s", text);
    while ((line = strsep(&rest, "|")) != NULL) {
        char *colon = strchr(line, ':');
        if (!colon)
            continue;
        *colon = 0;
        assert_int_equal(evhttp_add_header(headers, line, colon + 2), 0);
    }
}

static void
check(struct evkeyvalq *headers, const char *expected)
{
    const struct evkeyval *h;
    char got[500] = "";
    size_t len = 0;
    TAILQ_FOREACH (h, headers, next)
        len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s: %s", len ? "|" : "", h->key, h->value);
    assert_string_equal(got, expected);
    evhttp_clear_headers(headers);
}

static void
check_request(const char *from, bool composites, const char *expected)
{
    struct evkeyvalq in, out;
    struct negotiate_error error;
    fill(&in, from);
    TAILQ_INIT(&out);
    assert_int_equal(negotiate_request(&in, &out, composites, &error), 0);
    check(&out, expected);
    evhttp_clear_headers(&in);
}

#define PROTO "application/vnd.google.protobuf"
#define OM "application/openmetrics-text"

static void
test_request(void **state)
{
    (void)state;
    check_request("Host: a|X-A: b|Accept-Encoding: gzip|X-A: c|Range: bytes=1-|TE: trailers", true, "X-A: b|X-A: c");
    check_request("Connection: close, X-Hop|X-Hop: 1|X-Hops: 2", true, "X-Hops: 2");
    check_request("Accept: " PROTO ";q=1,text/plain", true, "Accept: " PROTO ";q=1,text/plain");
}

static void
test_request_without_composites(void **state)
{
    (void)state;
    check_request("Accept: " OM ";version=2.0.0;q=0.7," OM ";version=1.0.0;q=0.6,*/*;q=0.1", false,
                  "Accept: " OM ";version=1.0.0;q=0.6,*/*;q=0.1");
    check_request("Accept: text/plain, Application/OpenMetrics-Text ; a=\";version=1\";q=1; Version=\"2.0.0\"", false,
                  "Accept: text/plain");
    check_request("Accept: " OM ";version=2|Accept: " OM ";version=2.1-rc0,text/plain", false, "Accept: text/plain");
    check_request("Accept: " OM "," OM ";version=20," OM ";version=12," OM "; xversion=2.0.0", false,
                  "Accept: " OM "," OM ";version=20," OM ";version=12," OM "; xversion=2.0.0");
    check_request("Accept: " OM ";a=\";version=2.0.0\",text/plain;version=2.0.0", false,
                  "Accept: " OM ";a=\";version=2.0.0\",text/plain;version=2.0.0");
    check_request("Accept: " OM ";version=2.0.0", true, "Accept: " OM ";version=2.0.0");
    check_request("Accept: " PROTO ";q=1, text/plain;q=0.5 , */*", false, "Accept: text/plain;q=0.5 , */*");
    check_request("Accept: ,text/plain, ,*/*", false, "Accept: ,text/plain, ,*/*");
    check_request("Accept: text/plain;a=\"x,y\"," PROTO ";b=\",\"", false, "Accept: text/plain;a=\"x,y\"");
    check_request("Accept: " PROTO "2", false, "Accept: " PROTO "2");
    check_request("Accept: " PROTO, false, "");
    check_request("Accept: " PROTO ", ," PROTO ";a=b", false, "");
}

static void
test_request_that_is_refused(void **state)
{
    struct evkeyvalq in = TAILQ_HEAD_INITIALIZER(in), out = TAILQ_HEAD_INITIALIZER(out);
    struct evkeyval h = {.key = (char[]){"X A"}, .value = (char[]){"b"}};
    struct negotiate_error error;
    (void)state;
    TAILQ_INSERT_TAIL(&in, &h, next);
    assert_int_equal(negotiate_request(&in, &out, true, &error), EINVAL);
    h.key = (char[]){"X-A"};
    h.value = (char[]){"a\nX-B: c"};
    assert_int_equal(negotiate_request(&in, &out, true, &error), EINVAL);
    assert_non_null(strstr(error.reason, "X-A"));
    check(&out, "");
}

static void
test_response(void **state)
{
    struct evkeyvalq in, out;
    (void)state;
    fill(&in, "ETag: a|Content-Type: text/plain|Content-Length: 5|Connection: X-Hop|X-Hop: 1|X-A: b");
    TAILQ_INIT(&out);
    assert_int_equal(negotiate_response(&in, &out), 0);
    check(&out, "Content-Type: text/plain|X-A: b");
    evhttp_clear_headers(&in);
}

static void
check_vary(const char *from, const char *expected)
{
    struct evkeyvalq headers;
    fill(&headers, from);
    negotiate_add_vary(&headers);
    check(&headers, expected);
}

static void
test_vary(void **state)
{
    (void)state;
    check_vary("", "Vary: Accept-Encoding");
    check_vary("Vary: Accept", "Vary: Accept|Vary: Accept-Encoding");
    check_vary("Vary: Accept, accept-encoding", "Vary: Accept, accept-encoding");
    check_vary("Vary: *", "Vary: *");
}

static void
test_coding(void **state)
{
    (void)state;
    assert_int_equal(negotiate_coding(NULL), CODING_NONE);
    assert_int_equal(negotiate_coding("identity, utf-8,,gzip;q=1"), CODING_NONE);
    assert_int_equal(negotiate_coding(" X-GZIP ,identity"), CODING_GZIP);
    assert_int_equal(negotiate_coding("gzip, gzip"), CODING_OTHER);
    assert_int_equal(negotiate_coding("identity, br"), CODING_OTHER);
}

static void
test_join(void **state)
{
    struct evkeyvalq headers;
    char *joined;
    (void)state;
    fill(&headers, "A: 1|B: 2|a: 3");
    assert_int_equal(negotiate_join(&headers, "A", &joined), 0);
    assert_string_equal(joined, "1, 3");
    free(joined);
    assert_int_equal(negotiate_join(&headers, "C", &joined), 0);
    assert_null(joined);
    evhttp_clear_headers(&headers);
}

static void
check_timeout(const char *header, int64_t set, int64_t expected)
{
    const struct endpoint endpoint = {.name = (char[]){"a"}, .timeout = set ? set : 10000, .timeout_is_set = set};
    struct time_limit limit;
    struct negotiate_error error;
    assert_int_equal(negotiate_timeout(header, &endpoint, &limit, &error), expected < 0 ? EINVAL : 0);
    if (expected >= 0)
        assert_int_equal(limit.ms, expected);
}

static void
test_timeout(void **state)
{
    (void)state;
    check_timeout(NULL, 0, 10000);
    check_timeout("30", 0, 29500);
    check_timeout("30", 5000, 5000);
    check_timeout("3", 5000, 2700);
    check_timeout("0.001", 0, 1);
    check_timeout("999999999", 0, 60 * 60 * 1000 - 500);
    check_timeout("0", 0, -1);
    check_timeout("", 0, -1);
    check_timeout("1e3", 0, -1);
    check_timeout("-1", 0, -1);
    check_timeout("nan", 0, -1);
}

static void
check_upstream_timeout(const char *from, int64_t left, const char *expected)
{
    struct evkeyvalq headers;
    fill(&headers, from);
    assert_int_equal(negotiate_set_timeout(&headers, left), 0);
    check(&headers, expected);
}

#define TIMEOUT "X-Prometheus-Scrape-Timeout-Seconds: "

static void
test_upstream_timeout(void **state)
{
    (void)state;
    check_upstream_timeout("A: b", 1000, "A: b");
    check_upstream_timeout(TIMEOUT "10|A: b|" TIMEOUT "11", 9500, "A: b|" TIMEOUT "9.400");
    check_upstream_timeout(TIMEOUT "10", 500, TIMEOUT "0.450");
    check_upstream_timeout(TIMEOUT "10", 0, TIMEOUT "0.001");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_request_without_composites),
        cmocka_unit_test(test_request_that_is_refused),
        cmocka_unit_test(test_response),
        cmocka_unit_test(test_vary),
        cmocka_unit_test(test_coding),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_upstream_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
