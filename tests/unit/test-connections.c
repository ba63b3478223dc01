/* SPDX-License-Identifier: Apache-2.0 */
/* Admission, eviction and deadlines of connections: a real evhttp server, and clients from several loopback addresses.
 */
#include "service/http/connections.h"

#include "service/access/access_policy.h"
#include "service/base/log.h"
#include "service/base/loop.h"
#include "service/telemetry/rejection_log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    NEVER_MS = 600 * 1000, /* a deadline that no test reaches */
    SOON_MS = 20,
    PATIENCE_S = 20,
    CLIENTS_MAX = 8,
};

static const struct log quiet = {.level = LOG_ERROR + 1};

static struct {
    struct event_base *base;
    struct evhttp *evhttp;
    struct connections connections;
    struct telemetry telemetry;
    struct rejection_log rejections;
    struct access_policy *policy;
    uint16_t port;
    struct evhttp_request *held; /* the request for /held, without a response yet */
    int clients[CLIENTS_MAX];
    size_t n_clients;
} t;

static const char *
label(size_t outcome)
{
    (void)outcome;
    return NULL;
}

static struct bufferevent *
new_connection(struct event_base *base, void *ctx)
{
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    (void)ctx;
    assert_non_null(bev);
    assert_int_equal(connections_add(&t.connections, bev), 0);
    return bev;
}

static void
on_request(struct evhttp_request *request, void *ctx)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    (void)ctx;
    assert_non_null(connection_start_request(&t.connections, request));
    assert_non_null(connection_of(request));
    if (!strcmp(path, "/held"))
        t.held = request;
    else
        evhttp_send_reply(request, !strcmp(path, "/good") ? 200 : 404, NULL, NULL);
}

/* Limits for connections from now on; deadline is the time for a request's header. */
static void
set_limits(uint64_t max, uint64_t max_per_peer, int64_t deadline)
{
    connections_set(&t.connections, &(struct connections_settings){max, max_per_peer, deadline}, t.policy);
}

static int
setup(void **state)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    (void)state;
    memset(&t, 0, sizeof(t));
    telemetry_init(&t.telemetry, label);
    rejection_log_init(&t.rejections, &quiet, &t.telemetry);
    t.base = loop_new();
    t.evhttp = evhttp_new(t.base);
    t.policy = access_policy_new();
    assert_non_null(t.policy);
    assert_int_equal(connections_init(&t.connections, t.base, &t.rejections), 0);
    set_limits(0, 0, NEVER_MS);
    evhttp_set_bevcb(t.evhttp, new_connection, NULL);
    evhttp_set_gencb(t.evhttp, on_request, NULL);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(t.evhttp, "0.0.0.0", 0);
    assert_non_null(bound);
    assert_int_equal(getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &len), 0);
    t.port = ntohs(address.sin_port);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < t.n_clients; i++)
        close(t.clients[i]);
    evhttp_free(t.evhttp);
    connections_deinit(&t.connections);
    access_policy_unref(t.policy);
    telemetry_deinit(&t.telemetry);
    event_base_free(t.base);
    return 0;
}

/* Runs the loop until something is true. */
static void
wait_until(bool (*is_true)(int arg), int arg)
{
    struct timespec now, start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (!is_true(arg)) {
        event_base_loop(t.base, EVLOOP_NONBLOCK);
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec - start.tv_sec < PATIENCE_S);
    }
}

static bool
is_readable(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || errno != EAGAIN;
}

static bool
is_held(int fd)
{
    (void)fd;
    return t.held;
}

static bool
has_connections(int n)
{
    return t.connections.n == (size_t)n;
}

/* Connects from 127.0.0.HOST. */
static int
connect_from(uint8_t host)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u | host)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u), .sin_port = htons(t.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && t.n_clients < CLIENTS_MAX);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    t.clients[t.n_clients++] = fd;
    return fd;
}

static void
send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void
request(int fd, const char *path)
{
    char text[128];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    send_text(fd, text);
}

/* The status of the next response; 0: the connection is closed without one. */
static int
read_status(int fd)
{
    char text[1024];
    int status = 0;
    wait_until(is_readable, fd);
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    if (n <= 0)
        return 0;
    text[n] = 0;
    assert_int_equal(sscanf(text, "HTTP/1.1 %d ", &status), 1);
    return status;
}

/* A connection with one finished request: idle, as a scraper keeps it. */
static int
connect_idle(uint8_t host, const char *path)
{
    int fd = connect_from(host);
    request(fd, path);
    assert_int_equal(read_status(fd), !strcmp(path, "/good") ? 200 : 404);
    return fd;
}

/* A connection whose request has no response yet. */
static int
connect_busy(uint8_t host)
{
    int fd = connect_from(host);
    t.held = NULL;
    request(fd, "/held");
    wait_until(is_held, fd);
    return fd;
}

static void
assert_works(int fd)
{
    request(fd, "/good");
    assert_int_equal(read_status(fd), 200);
}

static uint64_t
hits(enum limit limit)
{
    return t.telemetry.limit_hits[limit];
}

static void
test_unlimited(void **state)
{
    int fds[CLIENTS_MAX];
    (void)state;
    for (int i = 0; i < CLIENTS_MAX; i++)
        fds[i] = connect_idle(2, "/good");
    assert_int_equal(t.connections.n, CLIENTS_MAX);
    for (int i = 0; i < CLIENTS_MAX; i++)
        assert_works(fds[i]);
}

static void
test_scrapers_keep_their_connections(void **state)
{
    (void)state;
    set_limits(2, 0, NEVER_MS);
    int a = connect_idle(2, "/good"), b = connect_idle(3, "/good");
    assert_int_equal(read_status(connect_from(4)), 503);
    assert_int_equal(hits(LIMIT_CONNECTIONS), 1);
    assert_int_equal(hits(LIMIT_EVICTED), 0);
    assert_works(a);
    assert_works(b);
    assert_int_equal(t.connections.n, 2);
}

static void
test_without_a_200_is_evicted_first(void **state)
{
    (void)state;
    set_limits(3, 0, NEVER_MS);
    int a = connect_idle(2, "/good"), b = connect_from(3);
    wait_until(has_connections, 2);
    int c = connect_idle(4, "/bad");
    int d = connect_idle(5, "/good"); /* b is the oldest that got no 200 */
    assert_int_equal(read_status(b), 0);
    int e = connect_idle(6, "/good"); /* c got a response, but no 200 */
    assert_int_equal(read_status(c), 0);
    assert_int_equal(read_status(connect_from(7)), 503);
    assert_int_equal(hits(LIMIT_EVICTED), 2);
    assert_int_equal(hits(LIMIT_CONNECTIONS), 1);
    assert_works(a);
    assert_works(d);
    assert_works(e);
}

static void
test_the_peer_with_the_most_loses_its_oldest(void **state)
{
    (void)state;
    set_limits(4, 0, NEVER_MS);
    int lone = connect_idle(2, "/good"), two = connect_idle(3, "/good"), many[2];
    for (int i = 0; i < 2; i++)
        many[i] = connect_idle(4, "/good");
    int new = connect_idle(5, "/good");
    assert_int_equal(read_status(many[0]), 0);
    assert_works(many[1]);
    /* Now each has one, so nobody is evicted for another. */
    assert_int_equal(read_status(connect_from(6)), 503);
    assert_works(lone);
    assert_works(two);
    assert_works(new);
    assert_int_equal(hits(LIMIT_EVICTED), 1);
}

/* A peer's count decreases when its connections end. */
static void
test_counts_of_peers(void **state)
{
    (void)state;
    set_limits(3, 2, NEVER_MS);
    int a = connect_idle(2, "/good"), b = connect_idle(2, "/good"), c = connect_idle(3, "/good");
    connections_close_idle(&t.connections);
    assert_int_equal(read_status(a) + read_status(b) + read_status(c), 0);
    assert_int_equal(t.connections.n, 0);
    a = connect_idle(2, "/good");
    b = connect_idle(2, "/good");
    assert_works(a);
    assert_works(b);
    assert_int_equal(hits(LIMIT_EVICTED) + hits(LIMIT_CONNECTIONS_PER_PEER), 0);
}

static void
test_requests_in_progress_are_never_evicted(void **state)
{
    (void)state;
    set_limits(1, 0, NEVER_MS);
    int a = connect_busy(2);
    assert_int_equal(read_status(connect_from(3)), 503);
    evhttp_send_reply(t.held, 200, NULL, NULL);
    assert_int_equal(read_status(a), 200);
    assert_int_equal(hits(LIMIT_EVICTED), 0);
}

static void
test_max_per_peer(void **state)
{
    (void)state;
    set_limits(0, 2, NEVER_MS);
    int other = connect_from(3), a = connect_busy(2);
    int b = connect_from(2);
    wait_until(has_connections, 3);
    int c = connect_busy(2); /* evicts b, of its own peer, though `other` is older */
    assert_int_equal(read_status(b), 0);
    assert_int_equal(read_status(connect_from(2)), 503);
    assert_int_equal(hits(LIMIT_CONNECTIONS_PER_PEER), 1);
    assert_int_equal(hits(LIMIT_EVICTED), 1);
    assert_works(other);
    assert_int_equal(t.connections.n, 3);
    (void)a, (void)c;
}

static void
test_networks(void **state)
{
    (void)state;
    t.policy->networks = calloc(1, sizeof(*t.policy->networks));
    t.policy->networks[0] = (struct network){AF_INET, {127, 0, 0, 2}, 32};
    t.policy->n_networks = 1;
    int allowed = connect_idle(2, "/good");
    assert_int_equal(read_status(connect_from(3)), 403);
    assert_int_equal(hits(LIMIT_NETWORK), 1);
    assert_works(allowed);
}

static void
test_deadline(void **state)
{
    (void)state;
    set_limits(0, 0, SOON_MS);
    int silent = connect_from(2), partial = connect_from(2);
    send_text(partial, "GET /good HTTP/1.1\r\n");
    assert_int_equal(read_status(silent), 0);
    assert_int_equal(read_status(partial), 408);
    assert_int_equal(hits(LIMIT_HEAD_TIMEOUT), 2);
}

/* Between requests there is no deadline, until the first byte of the next one. */
static void
test_deadline_of_the_next_request(void **state)
{
    (void)state;
    set_limits(0, 0, SOON_MS);
    int idle = connect_idle(2, "/good"), next = connect_idle(2, "/good");
    send_text(next, "G");
    assert_int_equal(read_status(next), 408); /* takes SOON_MS, which did not end the idle one */
    assert_works(idle);
    assert_int_equal(hits(LIMIT_HEAD_TIMEOUT), 1);
}

static void
test_large_header(void **state)
{
    char line[1024];
    (void)state;
    evhttp_set_max_headers_size(t.evhttp, CONNECTION_HEADER_MAX);
    int fd = connect_from(2);
    send_text(fd, "GET /good HTTP/1.1\r\n");
    snprintf(line, sizeof(line), "X: %01000d\r\n", 0);
    for (int i = 0; i < 10; i++)
        send_text(fd, line);
    assert_int_equal(read_status(fd) / 100, 4);
    assert_int_equal(hits(LIMIT_REQUEST_HEAD), 1);
}

static void
count_end(void *ctx)
{
    ++*(int *)ctx;
}

static void
test_callbacks(void **state)
{
    static const struct connection_events done = {count_end, NULL}, closed = {NULL, count_end};
    int n_done = 0, n_closed = 0;
    (void)state;
    int a = connect_busy(2);
    connection_set_callbacks(connection_of(t.held), &done, &n_done);
    evhttp_send_reply(t.held, 200, NULL, NULL);
    assert_int_equal(read_status(a), 200);
    assert_int_equal(n_done, 1);
    connect_busy(3);
    connection_set_callbacks(connection_of(t.held), &closed, &n_closed);
    evhttp_connection_free(evhttp_request_get_connection(t.held));
    assert_int_equal(n_closed, 1);
    assert_works(a);
    assert_int_equal(n_done, 1); /* callbacks are for one request */
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unlimited),
        TEST(scrapers_keep_their_connections),
        TEST(without_a_200_is_evicted_first),
        TEST(the_peer_with_the_most_loses_its_oldest),
        TEST(counts_of_peers),
        TEST(requests_in_progress_are_never_evicted),
        TEST(max_per_peer),
        TEST(networks),
        TEST(deadline),
        TEST(deadline_of_the_next_request),
        TEST(large_header),
        TEST(callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
