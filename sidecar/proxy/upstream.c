/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent's loop. libcurl says which sockets to watch (watch_socket) and when to wake it
 * (set_timer); the loop reports what happened (on_socket, on_timer); ended transfers are collected after each call.
 */
#include "upstream.h"

#include "resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    /* Idle connections, to all upstreams. libcurl's default follows the transfers in flight, and closes what the next
       burst of scrapes would reuse. */
    KEPT_CONNECTIONS = 256,
};

/*
 * A connection's socket. Nothing may arrive on it between the end of one response and the next request. libcurl does
 * not check, and reports the end of a response late, or not at all if it came at once; so it is checked here, when the
 * next request is about to be sent, the transfer is collected or the socket closed, whichever comes first.
 */
struct connection_socket {
    curl_socket_t fd;
    void *owner;    /* of the last transfer that used it, until released() was called; or NULL */
    int local_port; /* 0: no request was sent over it */
    int64_t keepalive;
    int64_t closes; /* while it is idle: when it is shut down, by now() */
};

struct sockets {
    struct connection_socket *items;
    size_t n, capacity;
};

struct upstream {
    struct event_base *base;
    struct event *timer, *idle;
    bool early; /* out of memory to arm the timer */
    CURLM *multi;
    struct resolver *resolver;
    struct upstream_hooks hooks;
    struct sockets sockets;
    uint64_t opened;
};

static bool
sockets_add(struct sockets *s, curl_socket_t fd)
{
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 8;
        struct connection_socket *items = realloc(s->items, capacity * sizeof(*items));
        if (!items)
            return false;
        s->items = items;
        s->capacity = capacity;
    }
    s->items[s->n++] = (struct connection_socket){.fd = fd};
    return true;
}

/* Idle connections. */

enum unsolicited
unsolicited_kind(const char *bytes, size_t len)
{
    size_t blank = 0;
    while (blank < len && (bytes[blank] == '\r' || bytes[blank] == '\n'))
        blank++;
    return blank < len ? UNSOLICITED_DATA : len ? UNSOLICITED_BLANK : UNSOLICITED_NONE;
}

enum unsolicited
upstream_drain_unsolicited(curl_socket_t fd)
{
    char bytes[4096];
    enum unsolicited unsolicited = UNSOLICITED_NONE;
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        enum unsolicited more = unsolicited_kind(bytes, (size_t)n);
        unsolicited = more > unsolicited ? more : unsolicited;
    }
    if (unsolicited)
        shutdown(fd, SHUT_RDWR);
    return unsolicited;
}

enum unsolicited
upstream_drain_owner(const struct upstream *u, const void *owner)
{
    for (size_t i = 0; i < u->sockets.n; i++)
        if (u->sockets.items[i].owner == owner)
            return upstream_drain_unsolicited(u->sockets.items[i].fd);
    return UNSOLICITED_NONE;
}

/* A TCP socket's port, which is at the same offset in both kinds of addresses; 0 for other sockets. */
static int
port_of(const struct sockaddr_storage *name)
{
    return name->ss_family == AF_INET || name->ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in *)(const void *)name)->sin_port)
               : 0;
}

static int
local_port(const struct connection_socket *s)
{
    struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(name);
    if (s->local_port || getsockname(s->fd, (struct sockaddr *)&name, &len))
        return s->local_port;
    return port_of(&name);
}

/* The local port alone is not enough: connections to several peers may share it. */
static bool
is_connection(const struct connection_socket *s, const struct tcp_tuple *tuple)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(peer);
    char ip[INET6_ADDRSTRLEN];
    const void *address = &((struct sockaddr_in *)&peer)->sin_addr;

    if (local_port(s) != tuple->local_port || getpeername(s->fd, (struct sockaddr *)&peer, &len))
        return false;
    if (peer.ss_family == AF_INET6)
        address = &((struct sockaddr_in6 *)&peer)->sin6_addr;
    return port_of(&peer) == tuple->port && inet_ntop(peer.ss_family, address, ip, sizeof(ip)) &&
           !strcmp(ip, tuple->ip);
}

static bool
is_idle(const struct connection_socket *s)
{
    return s->local_port && !s->owner;
}

static int64_t
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wakes on_idle() when the first idle connection expires. */
static void
arm_idle_timer(struct upstream *u)
{
    int64_t first = INT64_MAX, time = now();
    for (size_t i = 0; i < u->sockets.n; i++)
        if (is_idle(&u->sockets.items[i]) && u->sockets.items[i].closes < first)
            first = u->sockets.items[i].closes;
    if (first == INT64_MAX) {
        event_del(u->idle);
        return;
    }
    int64_t ms = first > time ? first - time : 0;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    /* If that fails, connections stay open until another becomes idle, or libcurl finds them too old. */
    (void)event_add(u->idle, &tv);
}

/*
 * An upstream with few workers gives one to each open connection: so a connection that was idle for long enough is shut
 * down. (CURLOPT_MAXAGE_CONN only keeps libcurl from reusing it.) libcurl closes it when it next looks for one.
 */
static void
on_idle(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int64_t time = now();
    (void)fd, (void)what;
    for (size_t i = 0; i < u->sockets.n; i++) {
        struct connection_socket *s = &u->sockets.items[i];
        if (!is_idle(s) || s->closes > time)
            continue;
        shutdown(s->fd, SHUT_RDWR);
        s->closes = INT64_MAX;
    }
    arm_idle_timer(u);
}

/* notify: call released(). */
static void
release_socket(struct upstream *u, struct connection_socket *s, bool notify)
{
    void *owner = s->owner;
    if (!owner)
        return;
    s->owner = NULL;
    s->closes = now() + s->keepalive;
    if (notify)
        u->hooks.released(owner, s->fd);
}

static void
release_sockets_of(struct upstream *u, void *owner, bool notify)
{
    for (size_t i = 0; i < u->sockets.n; i++) {
        struct connection_socket *s = &u->sockets.items[i];
        if (s->owner == owner)
            release_socket(u, s, notify);
    }
    arm_idle_timer(u);
}

/* An upstream that sends unsolicited data probably does so on its other idle connections; libcurl retries only a few.
 */
static void
drain_idle_sockets(struct upstream *u)
{
    for (size_t i = 0; i < u->sockets.n; i++)
        if (is_idle(&u->sockets.items[i]))
            upstream_drain_unsolicited(u->sockets.items[i].fd);
}

bool
upstream_use_connection(struct upstream *u, void *owner, const struct tcp_tuple *tuple, int64_t keepalive)
{
    for (size_t i = 0; i < u->sockets.n; i++) {
        struct connection_socket *s = &u->sockets.items[i];
        if (!is_connection(s, tuple))
            continue;
        /* On a connection that is shut down the request fails at once, and libcurl takes another. */
        if (is_idle(s) && upstream_drain_unsolicited(s->fd))
            drain_idle_sockets(u);
        release_socket(u, s, true);
        s->owner = owner;
        s->local_port = tuple->local_port;
        s->keepalive = keepalive;
        return true;
    }
    return false;
}

/* The loop. */

static void
collect_ended(struct upstream *u)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(u->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        void *owner;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
        release_sockets_of(u, owner, true);
        u->hooks.ended(owner, code);
    }
}

static void
on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int running, action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    curl_multi_socket_action(u->multi, fd, action, &running);
    collect_ended(u);
}

/* libcurl fails all transfers if this fails. So when the timer cannot be armed, it fires now. */
static int
set_timer(CURLM *multi, long ms, void *ctx)
{
    struct upstream *u = ctx;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    (void)multi;
    if (ms < 0)
        return event_del(u->timer);
    u->early = event_add(u->timer, &tv);
    if (u->early)
        event_active(u->timer, EV_TIMEOUT, 0);
    return 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    bool early = u->early;
    int running;
    long ms;
    (void)fd, (void)what;
    u->early = false;
    curl_multi_socket_action(u->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    /* libcurl does not report a timeout that is unchanged. */
    if (early && !u->early && !curl_multi_timeout(u->multi, &ms))
        set_timer(u->multi, ms, u);
    collect_ended(u);
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct upstream *u = ctx;
    struct event *event = socket_ctx;
    (void)easy;

    if (event)
        event_free(event);
    event = NULL;
    curl_multi_assign(u->multi, fd, NULL);
    if (what == CURL_POLL_REMOVE)
        return 0;
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    event = event_new(u->base, fd, events, on_socket, u);
    curl_multi_assign(u->multi, fd, event);
    return event && !event_add(event, NULL) ? 0 : -1;
}

int
upstream_open_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    struct upstream *u = ctx;
    (void)purpose;
    return sockets_add(&u->sockets, fd) ? CURL_SOCKOPT_OK : CURL_SOCKOPT_ERROR;
}

int
upstream_close_socket(void *ctx, curl_socket_t fd)
{
    struct upstream *u = ctx;
    struct sockets *s = &u->sockets;
    for (size_t i = 0; i < s->n; i++) {
        if (s->items[i].fd != fd)
            continue;
        release_socket(u, &s->items[i], true);
        s->items[i] = s->items[--s->n];
        break;
    }
    return close(fd);
}

int
upstream_new(struct upstream **upstreamp, struct event_base *base, const struct upstream_hooks *hooks)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->base = base;
    u->hooks = *hooks;
    u->timer = evtimer_new(base, on_timer, u);
    u->idle = evtimer_new(base, on_idle, u);
    u->multi = curl_multi_init();
    int r = u->timer && u->idle && u->multi ? resolver_new(&u->resolver, base) : -ENOMEM;
    if (r) {
        upstream_free(u);
        return r;
    }
    curl_multi_setopt(u->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(u->multi, CURLMOPT_SOCKETDATA, u);
    curl_multi_setopt(u->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(u->multi, CURLMOPT_TIMERDATA, u);
    curl_multi_setopt(u->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    *upstreamp = u;
    return 0;
}

void
upstream_free(struct upstream *u)
{
    if (!u)
        return;
    if (u->multi)
        curl_multi_cleanup(u->multi);
    if (u->timer)
        event_free(u->timer);
    if (u->idle)
        event_free(u->idle);
    resolver_free(u->resolver);
    free(u->sockets.items);
    free(u);
}

/* Transfers. */

int
upstream_add(struct upstream *u, CURL *easy)
{
    return curl_multi_add_handle(u->multi, easy) ? -ENOMEM : 0;
}

void
upstream_remove(struct upstream *u, CURL *easy)
{
    long opened = 0;
    void *owner = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
    if (owner)
        release_sockets_of(u, owner, false);
    if (!curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened))
        u->opened += (uint64_t)opened;
    curl_multi_remove_handle(u->multi, easy);
}

struct resolver *
upstream_resolver(struct upstream *u)
{
    return u->resolver;
}

struct event_base *
upstream_base(const struct upstream *u)
{
    return u->base;
}

uint64_t
upstream_opened(const struct upstream *u)
{
    return u->opened;
}
