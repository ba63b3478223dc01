/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients have left, and which only look like it. */
#include "service/http/hangup_watch.h"

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* A connection that is watched: the client's end, and how often it was found to have left. */
struct scene {
    struct event_base *base;
    struct bufferevent *bev;
    struct hangup_watch watch;
    int client, server, left;
};

static void
on_hangup(void *ctx)
{
    struct scene *s = ctx;
    s->left++;
    hangup_watch_stop(&s->watch);
    event_base_loopbreak(s->base);
}

static void
connect_tcp(struct scene *s)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), room = 192 * 1024;
    /* For a flood that nobody reads, whatever tcp_rmem is. */
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    s->client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(s->client, (struct sockaddr *)&address, len), 0);
    s->server = accept(listener, NULL, NULL);
    assert_true(s->server >= 0);
    close(listener);
}

static void
open_scene(struct scene *s, bool tcp)
{
    *s = (struct scene){.base = event_base_new()};
    if (tcp) {
        connect_tcp(s);
    } else {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        s->client = pair[0];
        s->server = pair[1];
    }
    s->bev = bufferevent_socket_new(s->base, s->server, BEV_OPT_CLOSE_ON_FREE);
    assert_int_equal(hangup_watch_start(&s->watch, s->bev, on_hangup, s), 0);
    assert_int_equal(hangup_watch_start(&s->watch, s->bev, on_hangup, s), 0); /* does nothing */
}

static void
close_scene(struct scene *s)
{
    hangup_watch_stop(&s->watch);
    hangup_watch_stop(&s->watch); /* is fine */
    bufferevent_free(s->bev);
    event_base_free(s->base);
    if (s->client >= 0)
        close(s->client);
}

static void
send_bytes(struct scene *s, size_t n)
{
    static const char bytes[4096];
    for (size_t sent = 0; sent < n;) {
        ssize_t r = send(s->client, bytes, n - sent < sizeof(bytes) ? n - sent : sizeof(bytes), 0);
        assert_true(r > 0);
        sent += (size_t)r;
    }
}

static void
close_client(struct scene *s, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};
    setsockopt(s->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(s->client);
    s->client = -1;
}

/* What the client did has arrived, and the loop has seen it. */
static void
assert_still_there(struct scene *s)
{
    struct pollfd state = {s->server, POLLIN | POLLRDHUP, 0};
    assert_int_equal(poll(&state, 1, 10000), 1);
    for (int i = 0; i < 3; i++)
        event_base_loop(s->base, EVLOOP_NONBLOCK);
    assert_int_equal(s->left, 0);
}

static void
assert_left(struct scene *s)
{
    const struct timeval limit = {10, 0};
    event_base_loopexit(s->base, &limit);
    event_base_dispatch(s->base);
    assert_int_equal(s->left, 1);
}

static void
test_unix_close(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, false);
    close_client(&s, false);
    assert_left(&s);
    close_scene(&s);
}

static void
test_tcp_reset(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    close_client(&s, true);
    assert_left(&s);
    close_scene(&s);
}

static void
test_tcp_fin_is_no_sign(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    shutdown(s.client, SHUT_WR);
    assert_still_there(&s);
    close_client(&s, true);
    assert_left(&s);
    close_scene(&s);
}

static void
test_pipelined_bytes_are_no_sign(void **state)
{
    struct scene s;
    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_scene(&s, tcp);
        send_bytes(&s, 100);
        assert_still_there(&s);
        close_client(&s, true);
        assert_left(&s); /* though bytes are unread */
        close_scene(&s);
    }
}

static void
test_flood(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    send_bytes(&s, 64 * 1024 + 1);
    assert_left(&s);
    close_scene(&s);
}

static void
test_stopped(void **state)
{
    struct scene s;
    (void)state;
    open_scene(&s, true);
    hangup_watch_stop(&s.watch);
    close_client(&s, true);
    assert_still_there(&s);
    close_scene(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix_close),
        cmocka_unit_test(test_tcp_reset),
        cmocka_unit_test(test_tcp_fin_is_no_sign),
        cmocka_unit_test(test_pipelined_bytes_are_no_sign),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
