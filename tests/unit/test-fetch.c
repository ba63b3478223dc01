/* SPDX-License-Identifier: Apache-2.0 */
/* A fetch by itself, with the installed libcurl: what a listener gets across pauses, and which URLs it refuses. */
#include "proxy/fetch.h"
#include "proxy/upstream.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/keyvalq_struct.h>

enum { BODY_BYTES = 1000 * 1000 };

/* A listener that takes a piece and pauses, over and over. */
struct scene {
    struct event_base *base;
    struct fetch *fetch;
    struct event *resume;
    size_t piece;
    size_t taken, pauses;
    size_t abort_after; /* 0: never */
    bool resuming;
    unsigned ends;
    enum fetch_result result;
    char reason[256];
};

static char
byte_at(size_t i)
{
    return (char)('a' + (i + i / 26) % 26);
}

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    (void)ctx, (void)headers;
    assert_int_equal(status, 200);
    return FETCH_CONTINUE;
}

static enum fetch_action
on_body(void *ctx, struct ss_span *bytes)
{
    struct scene *s = ctx;
    size_t n = bytes->len < s->piece ? bytes->len : s->piece;
    assert_int_equal(s->ends, 0);
    for (size_t i = 0; i < n; i++)
        if (bytes->ptr[i] != byte_at(s->taken + i))
            fail_msg("byte %zu is not the next", s->taken + i);
    bool had = bytes->len;
    s->taken += n;
    *bytes = (struct ss_span){bytes->ptr + n, bytes->len - n};
    if (s->abort_after && s->taken >= s->abort_after)
        return FETCH_ABORT;
    if (!had)
        return FETCH_CONTINUE; /* the pause was after the last byte */
    s->pauses++;
    event_active(s->resume, EV_TIMEOUT, 0);
    return FETCH_PAUSE;
}

static void
on_end(void *ctx, enum fetch_result result, const char *reason)
{
    struct scene *s = ctx;
    assert_false(s->resuming);
    s->ends++;
    s->result = result;
    strncpy(s->reason, reason, sizeof(s->reason) - 1);
    event_base_loopbreak(s->base);
}

static void
on_resume(evutil_socket_t fd, short what, void *ctx)
{
    struct scene *s = ctx;
    (void)fd, (void)what;
    s->resuming = true;
    fetch_resume(s->fetch);
    s->resuming = false;
}

static const struct fetch_events events = {on_head, on_body, on_end, NULL};

static void
run(struct scene *s, const char *url)
{
    struct evkeyvalq headers = TAILQ_HEAD_INITIALIZER(headers);
    struct fetch_request request = {.url = url, .headers = &headers};
    struct upstream *upstream;

    s->base = event_base_new();
    assert_non_null(s->base);
    s->resume = event_new(s->base, -1, 0, on_resume, s);
    assert_non_null(s->resume);
    assert_int_equal(upstream_new(&upstream, s->base, &fetch_hooks), 0);
    assert_int_equal(fetch_new(&s->fetch, upstream, &request, &events, s), 0);
    event_base_dispatch(s->base);
    assert_int_equal(s->ends, 1);
    event_base_loop(s->base, EVLOOP_NONBLOCK);
    assert_int_equal(s->ends, 1);
    fetch_free(s->fetch);
    upstream_free(upstream);
    event_free(s->resume);
    event_base_free(s->base);
}

/* Serves one request with the body. */
static void *
serve(void *ctx)
{
    const int *listener = ctx;
    char request[4096], *response = malloc(BODY_BYTES + 100);
    int fd = accept(*listener, NULL, NULL);
    if (fd < 0 || !response || recv(fd, request, sizeof(request), 0) <= 0)
        return NULL;
    size_t head = (size_t)sprintf(response, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);
    for (size_t i = 0; i < BODY_BYTES; i++)
        response[head + i] = byte_at(i);
    for (size_t sent = 0; sent < head + BODY_BYTES;) {
        ssize_t n = send(fd, response + sent, head + BODY_BYTES - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    free(response);
    close(fd);
    return ctx;
}

static void
run_with_body(struct scene *s)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;
    void *served;
    char url[64];

    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve, &listener), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(name.sin_port));
    run(s, url);
    pthread_join(thread, &served);
    close(listener);
    assert_non_null(served);
}

static void
test_each_byte_once(void **state)
{
    static const size_t pieces[] = {1000, 4096, 16384, 50000, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct scene s = {.piece = pieces[i]};
        run_with_body(&s);
        assert_int_equal(s.result, FETCH_COMPLETE);
        assert_int_equal(s.taken, BODY_BYTES);
        assert_true(s.pauses >= BODY_BYTES / 100000);
    }
}

/* In the first body(), which libcurl calls, and in one that fetch_resume() calls. */
static void
test_abort(void **state)
{
    static const size_t after[] = {1, 3000};
    (void)state;
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        struct scene s = {.piece = 1000, .abort_after = after[i]};
        run_with_body(&s);
        assert_int_equal(s.result, FETCH_FAILED);
        assert_true(s.taken >= after[i] && s.taken < after[i] + 1000);
    }
}

static void
check_refused(const char *url)
{
    struct scene s = {.piece = 1000};
    run(&s, url);
    assert_int_equal(s.result, FETCH_FAILED);
    assert_int_equal(s.taken, 0);
    assert_non_null(strstr(s.reason, "rotocol"));
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_but_http),
        cmocka_unit_test(test_each_byte_once),
        cmocka_unit_test(test_abort),
    };
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
