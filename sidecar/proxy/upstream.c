/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent's loop. libcurl says which sockets to watch (watch_socket) and when to wake it
 * (set_timer); the loop tells it what happened (on_socket, on_timer); what has ended is collected after each turn.
 */
#include "upstream.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* Idle connections kept, of all services. libcurl's own bound follows the transfers in flight, and closes what the
       next burst of scrapes would use again. */
    KEPT_CONNECTIONS = 256,
};

/* A few sockets. */
struct sockets {
    curl_socket_t *items;
    size_t n, capacity;
};

struct upstream {
    struct event_base *base;
    struct event *timer;
    CURLM *multi;
    struct upstream_hooks hooks;
    struct sockets idle; /* of connections that wait to be used again */
    uint64_t opened;     /* connections */
};

static bool
sockets_have(const struct sockets *s, curl_socket_t fd)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i] == fd)
            return true;
    return false;
}

static bool
sockets_add(struct sockets *s, curl_socket_t fd)
{
    if (sockets_have(s, fd))
        return true;
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 8;
        curl_socket_t *items = realloc(s->items, capacity * sizeof(*items));
        if (!items)
            return false;
        s->items = items;
        s->capacity = capacity;
    }
    s->items[s->n++] = fd;
    return true;
}

static void
sockets_remove(struct sockets *s, curl_socket_t fd)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i] == fd)
            s->items[i--] = s->items[--s->n];
}

/* Idle connections. */

bool
upstream_clear_socket(curl_socket_t fd)
{
    char bytes[4096];
    bool unasked = false;
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        unasked = true;
    if (unasked)
        shutdown(fd, SHUT_RDWR);
    return unasked;
}

/* The local port of a TCP socket; 0 for any other. */
static int
local_port(curl_socket_t fd)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    if (getsockname(fd, (struct sockaddr *)&name, &len))
        return 0;
    if (name.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&name)->sin_port);
    return name.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&name)->sin6_port) : 0;
}

void
upstream_use(struct upstream *u, int port)
{
    for (size_t i = u->idle.n; i-- > 0;) {
        if (local_port(u->idle.items[i]) == port)
            u->idle.items[i] = u->idle.items[--u->idle.n];
    }
}

static void
sweep_idle(struct upstream *u)
{
    for (size_t i = 0; i < u->idle.n; i++)
        upstream_clear_socket(u->idle.items[i]);
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

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int running;
    (void)fd, (void)what;
    sweep_idle(u); /* transfers begin in here */
    curl_multi_socket_action(u->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_ended(u);
}

/* A transfer needs its socket no more; the next to take it over, if its connection is kept, has not yet. */
static void
free_socket(struct upstream *u, CURL *easy, curl_socket_t fd)
{
    void *owner = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
    if (owner && u->hooks.freed(owner, fd) && !sockets_add(&u->idle, fd))
        shutdown(fd, SHUT_RDWR); /* not to be looked after, so not to be used */
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct upstream *u = ctx;
    struct event *event = socket_ctx;

    if (event)
        event_free(event);
    event = NULL;
    curl_multi_assign(u->multi, fd, NULL);
    sockets_remove(&u->idle, fd);
    if (what == CURL_POLL_REMOVE) {
        free_socket(u, easy, fd);
        return 0;
    }
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    event = event_new(u->base, fd, events, on_socket, u);
    curl_multi_assign(u->multi, fd, event);
    return event && !event_add(event, NULL) ? 0 : -1;
}

int
upstream_close_socket(void *ctx, curl_socket_t fd)
{
    struct upstream *u = ctx;
    sockets_remove(&u->idle, fd);
    return close(fd);
}

static int
set_timer(CURLM *multi, long ms, void *ctx)
{
    struct upstream *u = ctx;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    (void)multi;
    return ms < 0 ? event_del(u->timer) : event_add(u->timer, &tv);
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
    u->multi = curl_multi_init();
    if (!u->timer || !u->multi) {
        upstream_free(u);
        return -ENOMEM;
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
upstream_set_most(struct upstream *u, long most)
{
    curl_multi_setopt(u->multi, CURLMOPT_MAX_HOST_CONNECTIONS, most);
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
    free(u->idle.items);
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
    if (!curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened))
        u->opened += (uint64_t)opened;
    curl_multi_remove_handle(u->multi, easy);
}

uint64_t
upstream_opened(const struct upstream *u)
{
    return u->opened;
}
