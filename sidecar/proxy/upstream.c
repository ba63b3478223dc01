/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent's loop. libcurl says which sockets to watch (watch_socket) and when to wake it
 * (set_timer); the loop reports what happened (act, on_timer); ended transfers are collected after each call.
 */
#include "upstream.h"

#include "resolver.h"
#include "socket_watch.h"
#include "tls_pool.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    /* Idle connections, to all upstreams. libcurl's default follows the transfers in flight, and closes what the next
       burst of scrapes would reuse. */
    KEPT_CONNECTIONS = 256,
};

struct upstream {
    struct event_base *base;
    struct event *timer;
    bool early; /* out of memory to arm the timer */
    CURLM *multi;
    struct resolver *resolver;
    struct upstream_hooks hooks;
    struct socket_watches watches;
    struct upstream_sockets sockets;
    struct tls_pools tls_pools;
    uint64_t opened;
};

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
        upstream_sockets_release(&u->sockets, owner, true);
        u->hooks.ended(owner, code);
    }
    socket_watches_wake_buffered(&u->watches);
}

static void
act(void *ctx, curl_socket_t fd, int action)
{
    const struct upstream *u = ctx;
    int running;
    curl_multi_socket_action(u->multi, fd, action, &running);
}

static void
collect(void *ctx)
{
    collect_ended(ctx);
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
    struct socket_watch *watch = NULL;
    socket_watch_free(socket_ctx);
    if (what != CURL_POLL_REMOVE)
        watch = socket_watch_new(&u->watches, easy, fd, what);
    curl_multi_assign(u->multi, fd, watch);
    return watch || what == CURL_POLL_REMOVE ? 0 : -1;
}

int
upstream_close_socket(void *ctx, curl_socket_t fd)
{
    struct upstream *u = ctx;
    upstream_sockets_closing(&u->sockets, fd);
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
    TAILQ_INIT(&u->tls_pools.list);
    u->timer = evtimer_new(base, on_timer, u);
    u->multi = curl_multi_init();
    u->watches = (struct socket_watches){.base = base, .act = act, .collect = collect, .ctx = u};
    socket_watches_init(&u->watches);
    int r = upstream_sockets_init(&u->sockets, base, hooks->released);
    if (!r)
        r = u->timer && u->multi ? resolver_new(&u->resolver, base) : -ENOMEM;
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
    tls_pools_deinit(&u->tls_pools);
    if (u->multi)
        curl_multi_cleanup(u->multi);
    if (u->timer)
        event_free(u->timer);
    socket_watches_deinit(&u->watches);
    upstream_sockets_deinit(&u->sockets);
    resolver_free(u->resolver);
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
        upstream_sockets_release(&u->sockets, owner, false);
    if (!curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened))
        u->opened += (uint64_t)opened;
    curl_multi_remove_handle(u->multi, easy);
    socket_watches_forget(&u->watches, easy);
}

struct resolver *
upstream_resolver(struct upstream *u)
{
    return u->resolver;
}

struct upstream_sockets *
upstream_sockets(struct upstream *u)
{
    return &u->sockets;
}

struct tls_pools *
upstream_tls_pools(struct upstream *u)
{
    return &u->tls_pools;
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
