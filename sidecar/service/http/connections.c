/* SPDX-License-Identifier: Apache-2.0 */
#include "connections.h"

#include "service/access/access_policy.h"
#include "service/access/tls.h"
#include "service/base/alloc_reserve.h"
#include "service/base/fd_reserve.h"
#include "service/base/loop.h"
#include "service/base/peer.h"
#include "service/telemetry/rejection_log.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

/*
 * A handshake costs as much as some scrapes. At low priority, a flood of them does not delay scrapes. For a loop that
 * is never idle, those that have waited for long get the usual priority, one after the other.
 */
enum {
    LOW_PRIORITY_MS = 1000, /* how long a handshake runs at low priority */
    PROMOTION_MS = 20,      /* between two that get the usual one */
    PROMOTION_RETRY_MS = 100,
};

enum phase { FRESH, HEADER, BUSY, IDLE };

struct connection {
    TAILQ_ENTRY(connection) next;
    struct connections *all;
    struct bufferevent *bev;          /* a reference while FRESH, evhttp's afterwards */
    struct evhttp_connection *evhttp; /* NULL while FRESH */
    struct event *deadline;
    struct peer peer;
    enum phase phase;
    uint64_t peer_count;   /* connections of its peer, including this one */
    size_t request_bytes;  /* received since the last request */
    int64_t handshake_end; /* when the first deadline expires, in milliseconds of the monotonic clock */
    bool low_priority;     /* its handshake runs at low priority */
    bool got_bytes;        /* any byte was received */
    bool had_200;          /* it got a 200 response */
    uint64_t failures;     /* alloc_failures() at the start of the response */
    const struct connection_events *events;
    void *ctx;
};

/* Time. */

/* No connection may live forever: without memory for the timer, the deadline is now. */
static void
set_deadline(struct connection *c, int64_t ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    if (event_add(c->deadline, &tv))
        event_active(c->deadline, EV_TIMEOUT, 0);
}

static void
start_deadline(struct connection *c)
{
    c->low_priority = false;
    set_deadline(c, c->all->settings.head_timeout);
}

static int64_t
monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The first one, for the handshake and the first request. */
static void
start_first_deadline(struct connection *c)
{
    int64_t timeout = c->all->settings.head_timeout;
    start_deadline(c);
    if (timeout <= LOW_PRIORITY_MS || !tls_set_priority(c->bev, LOOP_LAST))
        return;
    c->low_priority = true;
    c->handshake_end = monotonic_ms() + timeout;
    set_deadline(c, LOW_PRIORITY_MS);
}

static bool
has_input(const struct connection *c)
{
    int n = 0;
    return !ioctl(bufferevent_getfd(c->bev), FIONREAD, &n) && n > 0;
}

/* Reconsiders the priority of a handshake that is waiting for the client or for the loop. */
static void
review_priority(struct connection *c)
{
    int64_t now = monotonic_ms(), left = c->handshake_end - now;
    int64_t retry = has_input(c) ? PROMOTION_RETRY_MS : LOW_PRIORITY_MS;

    if (retry == PROMOTION_RETRY_MS && now >= c->all->next_promotion) {
        c->all->next_promotion = now + PROMOTION_MS;
        tls_set_priority(c->bev, LOOP_USUAL);
        c->low_priority = false;
    } else if (left <= retry) {
        c->low_priority = false;
    } else {
        left = retry;
    }
    set_deadline(c, left > 0 ? left : 0);
}

static void
report(const struct connection *c, enum limit limit, const char *reason)
{
    char text[PEER_TEXT];
    peer_print(&c->peer, text);
    rejection_report(c->all->rejections, limit, text, reason);
}

/* Sends the reason to the peer, if its socket takes it at once and without TLS. */
static void
send_status(const struct connection *c, const char *status)
{
    char text[256];
    if (tls_is(c->bev))
        return;
    int n = snprintf(text, sizeof(text),
                     "HTTP/1.1 %s\r\nConnection: close\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n", status);
    send(bufferevent_getfd(c->bev), text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Closes a connection from outside evhttp's callbacks. Frees the record. */
static void
close_connection(struct connection *c, enum limit limit)
{
    report(c, limit, NULL);
    if (limit == LIMIT_HEAD_TIMEOUT && c->got_bytes)
        send_status(c, "408 Request Timeout");
    else if (limit == LIMIT_CONNECTIONS || limit == LIMIT_CONNECTIONS_PER_PEER)
        send_status(c, "503 Too Many Connections");
    else if (limit == LIMIT_NETWORK)
        send_status(c, "403 Forbidden");
    bufferevent_priority_set(c->bev, LOOP_FIRST); /* libevent closes the descriptor a turn later */
    evhttp_connection_free(c->evhttp);
}

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct connection *c = ctx;
    (void)fd, (void)what;
    if (c->low_priority)
        review_priority(c);
    else
        close_connection(c, c->phase == BUSY ? LIMIT_SLOW_READER : LIMIT_HEAD_TIMEOUT);
}

static void
on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *ctx)
{
    struct connection *c = ctx;
    (void)input;
    c->got_bytes |= info->n_added > 0;
    c->request_bytes += info->n_added;
    if (c->phase == IDLE && info->n_added) {
        c->phase = HEADER;
        start_deadline(c);
    }
}

/* evhttp responds by itself to a request that is not complete. */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *ctx)
{
    struct connection *c = ctx;
    (void)output;
    if (c->phase != HEADER || !info->n_added || c->request_bytes <= CONNECTION_HEADER_MAX)
        return;
    c->request_bytes = 0; /* report once */
    report(c, LIMIT_REQUEST_HEAD, NULL);
}

/* The record. */

/* Adds a connection to the count of its peer, or removes it. */
static void
count_peer(struct connection *c, bool in)
{
    struct connection *other;
    c->peer_count = 1;
    TAILQ_FOREACH (other, &c->all->list, next) {
        if (other == c || other->phase == FRESH || !peer_is_same(&other->peer, &c->peer))
            continue;
        other->peer_count += in ? 1 : (uint64_t)-1;
        c->peer_count++;
    }
}

static void
connection_free(struct connection *c)
{
    TAILQ_REMOVE(&c->all->list, c, next);
    if (c->phase != FRESH) {
        c->all->n--;
        count_peer(c, false);
    }
    if (c->deadline)
        event_free(c->deadline);
    free(c);
}

static void
on_close(struct evhttp_connection *evhttp, void *ctx)
{
    struct connection *c = ctx;
    const char *failure = tls_failure(c->bev);
    (void)evhttp;
    if (failure)
        report(c, LIMIT_TLS, failure);
    evbuffer_remove_cb(bufferevent_get_input(c->bev), on_input, c);
    evbuffer_remove_cb(bufferevent_get_output(c->bev), on_output, c);
    if (c->events)
        c->events->closed(c->ctx);
    connection_free(c);
}

int
connections_add(struct connections *all, struct bufferevent *bev)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->deadline = evtimer_new(all->base, on_deadline, c);
    if (!c->deadline) {
        free(c);
        return -ENOMEM;
    }
    c->all = all;
    c->bev = bev;
    bufferevent_incref(bev);
    TAILQ_INSERT_TAIL(&all->list, c, next);
    event_active(all->admission, EV_TIMEOUT, 0);
    return 0;
}

/* Admission. */

/*
 * The connection to evict for c, among those without a request in progress, of c's own peer if of_peer: the oldest that
 * never got a 200, or else the oldest of the peer with the most, if that has more than c's. So a peer that opens many
 * loses them first, and a scraper with one or two keeps them.
 */
static struct connection *
find_evictable(const struct connection *c, bool of_peer)
{
    struct connection *old, *best = NULL;
    TAILQ_FOREACH (old, &c->all->list, next) {
        if (old == c || (of_peer && !peer_is_same(&old->peer, &c->peer)))
            continue;
        if (old->phase != HEADER && old->phase != IDLE)
            continue;
        if (!old->had_200)
            return old;
        if (old->peer_count > (best ? best->peer_count : c->peer_count))
            best = old;
    }
    return best;
}

static bool
evict_for(const struct connection *c, bool of_peer)
{
    struct connection *old = find_evictable(c, of_peer);
    if (old)
        close_connection(old, LIMIT_EVICTED);
    return old;
}

/* Whether c is admitted; evicts another if need be. */
static bool
may_admit(const struct connection *c, enum limit *why)
{
    const struct connections_settings *s = &c->all->settings;
    *why = LIMIT_NETWORK;
    if (!access_allows_peer(c->all->policy, &c->peer))
        return false;
    *why = LIMIT_CONNECTIONS_PER_PEER;
    if (s->max_per_peer && c->peer_count > s->max_per_peer && !evict_for(c, true))
        return false;
    *why = LIMIT_CONNECTIONS;
    if (s->max && c->all->n > s->max && !evict_for(c, false))
        return false;
    *why = LIMIT_DESCRIPTORS;
    return !fds_are_low(c->all->n) || evict_for(c, false);
}

static void
admit(struct connection *c)
{
    void *evhttp = NULL;
    enum limit why;

    /* The callback argument that evhttp set is its connection; NULL: it had no memory for one. */
    bufferevent_getcb(c->bev, NULL, NULL, NULL, &evhttp);
    bufferevent_decref(c->bev);
    if (!evhttp) {
        connection_free(c);
        return;
    }
    c->evhttp = evhttp;
    c->phase = HEADER;
    c->all->n++;
    c->peer = peer_of_address(evhttp_connection_get_addr(c->evhttp));
    count_peer(c, true);
    evhttp_connection_set_closecb(c->evhttp, on_close, c);
    if (!evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c) ||
        !evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c))
        evhttp_connection_free(c->evhttp);
    else if (!may_admit(c, &why))
        close_connection(c, why);
    else
        start_first_deadline(c);
}

static void
on_admission(evutil_socket_t fd, short what, void *ctx)
{
    struct connections *all = ctx;
    struct connection *c;
    (void)fd, (void)what;
    /* The fresh ones are at the end of the list. Admitting one may close it or another. */
    while ((c = TAILQ_LAST(&all->list, connection_list)) != NULL && c->phase == FRESH) {
        struct connection *before;
        while ((before = TAILQ_PREV(c, connection_list, next)) != NULL && before->phase == FRESH)
            c = before;
        admit(c);
    }
}

/* Requests. */

static void
on_complete(struct evhttp_request *request, void *ctx)
{
    struct connection *c = ctx;
    const struct connection_events *events = c->events;

    c->events = NULL;
    c->had_200 |= evhttp_request_get_response_code(request) == 200;
    c->phase = IDLE;
    event_del(c->deadline);
    c->request_bytes = evbuffer_get_length(bufferevent_get_input(c->bev));
    if (c->request_bytes) {
        c->phase = HEADER; /* the next request was pipelined */
        start_deadline(c);
    }
    if (events)
        events->done(c->ctx);
}

struct connection *
connection_start_request(struct connections *all, struct evhttp_request *request)
{
    struct evhttp_connection *evhttp = evhttp_request_get_connection(request);
    struct connection *c;
    TAILQ_FOREACH (c, &all->list, next) {
        if (c->evhttp != evhttp)
            continue;
        c->phase = BUSY;
        connection_start_response(c);
        event_del(c->deadline);
        evhttp_request_set_on_complete_cb(request, on_complete, c);
        return c;
    }
    return NULL;
}

struct connection *
connection_of(struct evhttp_request *request)
{
    return request->on_complete_cb == on_complete ? request->on_complete_cb_arg : NULL;
}

struct peer
connection_peer(const struct connection *c)
{
    return c->peer;
}

void
connection_set_callbacks(struct connection *c, const struct connection_events *events, void *ctx)
{
    c->events = events;
    c->ctx = ctx;
}

void
connection_set_deadline(struct connection *c)
{
    start_deadline(c);
}

void
connection_pause_input(struct evhttp_connection *evhttp)
{
    bufferevent_disable(evhttp_connection_get_bufferevent(evhttp), EV_READ);
}

void
connection_reset(struct evhttp_connection *evhttp)
{
    const struct sockaddr unconnected = {.sa_family = AF_UNSPEC};
    connect(bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp)), &unconnected, sizeof(unconnected));
}

void
connection_abort(struct evhttp_connection *evhttp)
{
    connection_reset(evhttp);
    shutdown(bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp)), SHUT_RDWR);
}

void
connection_start_response(struct connection *c)
{
    c->failures = alloc_failures();
}

bool
connection_response_is_complete(const struct connection *c)
{
    return alloc_failures() == c->failures;
}

/* The set. */

int
connections_init(struct connections *all, struct event_base *base, struct rejection_log *rejections)
{
    *all = (struct connections){.base = base, .rejections = rejections};
    TAILQ_INIT(&all->list);
    all->admission = event_new(base, -1, 0, on_admission, all);
    if (!all->admission)
        return -ENOMEM;
    /* Before scrapes, which need the descriptors of the evicted. */
    event_priority_set(all->admission, LOOP_FIRST);
    return 0;
}

void
connections_set(struct connections *all, const struct connections_settings *settings, struct access_policy *policy)
{
    access_policy_ref(policy);
    access_policy_unref(all->policy);
    all->policy = policy;
    all->settings = *settings;
}

void
connections_close_idle(struct connections *all)
{
    struct connection *c = TAILQ_FIRST(&all->list), *next;
    for (; c; c = next) {
        next = TAILQ_NEXT(c, next);
        if (c->phase == IDLE)
            evhttp_connection_free(c->evhttp);
    }
}

void
connections_deinit(struct connections *all)
{
    struct connection *c;
    while (all->admission && (c = TAILQ_FIRST(&all->list)) != NULL) {
        bufferevent_decref(c->bev); /* only fresh ones outlive the server */
        connection_free(c);
    }
    if (all->admission)
        event_free(all->admission);
    all->admission = NULL;
    access_policy_unref(all->policy);
    all->policy = NULL;
}
