/* SPDX-License-Identifier: Apache-2.0 */
/* A fetch neither reads files nor speaks any protocol but HTTP, whatever the URL. */
#include "proxy/fetch.h"
#include "proxy/upstream.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/queue.h>

#include <cmocka.h>
#include <event2/keyvalq_struct.h>

struct ending {
    struct event_base *base;
    bool ended;
    enum fetch_result result;
    char reason[256];
};

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    (void)ctx, (void)headers;
    fail_msg("expected no response, got status %d", status);
    return FETCH_ABORT;
}

static enum fetch_action
on_body(void *ctx, struct ss_span bytes)
{
    (void)ctx;
    fail_msg("expected no body, got %zu bytes", bytes.len);
    return FETCH_ABORT;
}

static void
on_end(void *ctx, enum fetch_result result, const char *reason)
{
    struct ending *ending = ctx;
    ending->ended = true;
    ending->result = result;
    strncpy(ending->reason, reason, sizeof(ending->reason) - 1);
    event_base_loopbreak(ending->base);
}

static const struct fetch_events events = {on_head, on_body, on_end};

static void
check_refused(const char *url)
{
    struct evkeyvalq headers = TAILQ_HEAD_INITIALIZER(headers);
    struct fetch_request request = {.url = url, .headers = &headers};
    struct ending ending = {.base = event_base_new()};
    struct upstream *upstream;
    struct fetch *fetch;

    assert_non_null(ending.base);
    assert_int_equal(upstream_new(&upstream, ending.base, &fetch_hooks), 0);
    assert_int_equal(fetch_new(&fetch, upstream, &request, &events, &ending), 0);
    event_base_dispatch(ending.base);
    assert_true(ending.ended);
    assert_int_equal(ending.result, FETCH_FAILED);
    assert_non_null(strstr(ending.reason, "rotocol"));
    fetch_free(fetch);
    upstream_free(upstream);
    event_base_free(ending.base);
}

static void
test_nothing_but_http(void **state)
{
    (void)state;
    check_refused("file:///etc/passwd");
    check_refused("ftp://127.0.0.1:1/metrics");
    check_refused("gopher://127.0.0.1:1/metrics");
    check_refused("dict://127.0.0.1:1/metrics");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_but_http)};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
