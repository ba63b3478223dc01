/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl's multi interface on libevent's loop. libcurl says which sockets to watch (watch_socket) and when to wake it
 * (set_timer); the loop tells it what happened (on_socket, on_timer); what has ended is collected after each turn.
 */
#include "upstream.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* A service is asked over so many connections at once at the most; further scrapes wait for one. */
    HOST_CONNECTIONS = 8,
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
    upstream_ended ended;
    size_t n_unasked;    /* transfers that have sent nothing yet, so that an idle connection may be chosen for them */
    struct sockets busy; /* that libcurl watches for a transfer */
    struct sockets idle; /* of plain connections that wait to be used again */
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
upstream_keep(struct upstream *u, curl_socket_t fd)
{
    /* In the turn in which one transfer ended, another may have taken the connection over. */
    if (sockets_have(&u->busy, fd))
        return false;
    if (!sockets_add(&u->idle, fd))
        shutdown(fd, SHUT_RDWR); /* not to be looked after, so not to be used */
    return true;
}

/*
 * libcurl takes a connection for alive that has bytes to be read, and those bytes for the answer to the next request.
 * Bytes that come while nobody has asked are a lie about the last answer's length, or worse: such a connection is made
 * one that libcurl takes for dead.
 */
static void
sweep_idle(struct upstream *u)
{
    char bytes[4096];
    for (size_t i = 0; u->n_unasked && i < u->idle.n; i++) {
        bool unasked = false;
        while (recv(u->idle.items[i], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            unasked = true;
        if (unasked)
            shutdown(u->idle.items[i], SHUT_RDWR);
    }
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
        u->ended(owner, code);
    }
}

static void
on_socket(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int running, action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    sweep_idle(u);
    curl_multi_socket_action(u->multi, fd, action, &running);
    collect_ended(u);
}

static void
on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream *u = ctx;
    int running;
    (void)fd, (void)what;
    sweep_idle(u);
    curl_multi_socket_action(u->multi, CURL_SOCKET_TIMEOUT, 0, &running);
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
    sockets_remove(&u->busy, fd);
    if (what != CURL_POLL_REMOVE) {
        sockets_remove(&u->idle, fd);
        if (!sockets_add(&u->busy, fd))
            return -1;
        short events =
            (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
        event = event_new(u->base, fd, events, on_socket, u);
        if (!event || event_add(event, NULL))
            return -1;
    }
    curl_multi_assign(u->multi, fd, event);
    return 0;
}

int
upstream_close_socket(void *ctx, curl_socket_t fd)
{
    struct upstream *u = ctx;
    sockets_remove(&u->idle, fd);
    sockets_remove(&u->busy, fd);
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
upstream_new(struct upstream **upstreamp, struct event_base *base, upstream_ended ended)
{
    struct upstream *u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->base = base;
    u->ended = ended;
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
    curl_multi_setopt(u->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS);
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
    free(u->idle.items);
    free(u->busy.items);
    free(u);
}

/* Transfers. */

int
upstream_add(struct upstream *u, CURL *easy)
{
    if (curl_multi_add_handle(u->multi, easy))
        return -ENOMEM;
    u->n_unasked++;
    return 0;
}

void
upstream_remove(struct upstream *u, CURL *easy)
{
    curl_multi_remove_handle(u->multi, easy);
}

void
upstream_asked(struct upstream *u)
{
    u->n_unasked--;
}
