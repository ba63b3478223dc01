/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_sockets.h"

#include "tls_buffer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct connection_socket {
    int fd;
    char *path; /* of a unix socket, or NULL */
    unsigned number;
    char ip[INET6_ADDRSTRLEN]; /* of a TCP connection's peer */
    int port, local_port;      /* 0: not asked for yet */
    bool is_tls;
    SSL *tls;          /* NULL also once libcurl has freed it */
    void *reserved_by; /* by upstream_sockets_reserve(), or NULL */
    void *owner;       /* of the last transfer that used it, until released() was called; or NULL */
    bool used;         /* a request was sent over it */
    bool shut;         /* we have shut it down */
    int64_t keepalive;
    int64_t closes; /* while it is idle: when it is shut down, by now() */
};

bool
upstream_sockets_opened(struct upstream_sockets *s, int fd, const char *path, unsigned number)
{
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 8;
        struct connection_socket *items = realloc(s->items, capacity * sizeof(*items));
        if (!items)
            return false;
        s->items = items;
        s->capacity = capacity;
    }
    char *own = path ? strdup(path) : NULL;
    if (path && !own)
        return false;
    for (size_t i = 0; i < s->n && number; i++)
        if (s->items[i].number == number)
            s->items[i].number = 0; /* it replaces that one, which is dead */
    s->items[s->n++] = (struct connection_socket){.fd = fd, .path = own, .number = number};
    return true;
}

static bool
is_idle(const struct connection_socket *c)
{
    return c->used && !c->owner && !c->shut;
}

/* TLS. */

/* libcurl frees a connection's TLS before it closes the socket. */
static void
on_tls_freed(void *tls, void *sockets, CRYPTO_EX_DATA *ex, int index, long argl, void *argp)
{
    struct upstream_sockets *s = sockets;
    (void)ex, (void)index, (void)argl, (void)argp;
    for (size_t i = 0; s && i < s->n; i++)
        if (s->items[i].tls == tls)
            s->items[i].tls = NULL;
}

/* The index of a connection's sockets; negative: out of memory. */
static int
tls_index(void)
{
    static int index = -1;
    if (index < 0)
        index = SSL_get_ex_new_index(0, NULL, NULL, NULL, on_tls_freed);
    return index;
}

static bool
set_tls(struct upstream_sockets *s, struct connection_socket *c, SSL *tls)
{
    if (tls == c->tls)
        return true;
    if (!tls || tls_index() < 0 || !SSL_set_ex_data(tls, tls_index(), s))
        return false;
    SSL_set_msg_callback(tls, NULL); /* libcurl's describes each record, and needs a transfer */
    c->is_tls = true;
    c->tls = tls;
    return true;
}

/* What arrives. */

static void
shut_down(struct connection_socket *c)
{
    c->shut = true;
    unsolicited_shut(c->fd);
}

static enum unsolicited
drain(struct connection_socket *c)
{
    enum unsolicited kind = UNSOLICITED_NONE;
    if (c->is_tls)
        c->shut |= c->tls && !unsolicited_drain_tls(c->fd, c->tls, &kind);
    else
        c->shut |= !unsolicited_drain(c->fd, &kind);
    return kind;
}

enum unsolicited
upstream_sockets_drain(struct upstream_sockets *s, const void *owner)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].owner == owner)
            return drain(&s->items[i]);
    return UNSOLICITED_NONE;
}

/* What an upstream did to one idle connection, it has probably done to others; libcurl retries only a few. */
static void
drain_idle(struct upstream_sockets *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (is_idle(&s->items[i]))
            drain(&s->items[i]);
}

/* Which one. */

unsigned
upstream_sockets_reserve(struct upstream_sockets *s, void *owner, const char *path)
{
    for (size_t i = 0; i < s->n; i++) {
        struct connection_socket *c = &s->items[i];
        if (!is_idle(c) || c->reserved_by || !c->number || strcmp(c->path, path) != 0)
            continue;
        drain(c);
        if (c->shut)
            continue;
        c->reserved_by = owner;
        return c->number;
    }
    return ++s->last_number;
}

/* A TCP socket's port, which is at the same offset in both kinds of addresses; 0 for other sockets. */
static int
port_of(const struct sockaddr_storage *name)
{
    return name->ss_family == AF_INET || name->ss_family == AF_INET6
               ? ntohs(((const struct sockaddr_in *)(const void *)name)->sin_port)
               : 0;
}

/* Once, since the system forgets the peer of a connection that is reset. */
static bool
read_addresses(struct connection_socket *c)
{
    struct sockaddr_storage local = {.ss_family = AF_UNSPEC}, peer = {.ss_family = AF_UNSPEC};
    socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
    const void *address = &((struct sockaddr_in *)&peer)->sin_addr;

    if (c->local_port)
        return true;
    if (getsockname(c->fd, (struct sockaddr *)&local, &local_len) ||
        getpeername(c->fd, (struct sockaddr *)&peer, &peer_len) || !port_of(&peer))
        return false;
    if (peer.ss_family == AF_INET6)
        address = &((struct sockaddr_in6 *)&peer)->sin6_addr;
    if (!inet_ntop(peer.ss_family, address, c->ip, sizeof(c->ip)))
        return false;
    c->port = port_of(&peer);
    c->local_port = port_of(&local);
    return true;
}

/* The local port alone is not enough: connections to several peers may share it. */
static bool
has_addresses(struct connection_socket *c, const struct connection *wanted)
{
    return !c->path && read_addresses(c) && c->local_port == wanted->local_port && c->port == wanted->port &&
           !strcmp(c->ip, wanted->ip);
}

/* A socket that was shut down may stay open while another has its port. */
static struct connection_socket *
find(struct upstream_sockets *s, const struct connection *wanted)
{
    struct connection_socket *found = NULL;
    for (size_t i = 0; i < s->n; i++) {
        struct connection_socket *c = &s->items[i];
        bool is_wanted = wanted->number ? c->number == wanted->number : has_addresses(c, wanted);
        if (is_wanted && (!found || found->shut))
            found = c;
    }
    return found;
}

/* How long. */

static int64_t
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wakes on_idle_timer() when the first idle connection expires. */
static void
arm_idle_timer(struct upstream_sockets *s)
{
    int64_t first = INT64_MAX, time = now();
    for (size_t i = 0; i < s->n; i++)
        if (is_idle(&s->items[i]) && s->items[i].closes < first)
            first = s->items[i].closes;
    if (first == INT64_MAX) {
        event_del(s->idle_timer);
        return;
    }
    int64_t ms = first > time ? first - time : 0;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    /* If that fails, connections stay open until another becomes idle, or libcurl finds them too old. */
    (void)event_add(s->idle_timer, &tv);
}

/*
 * An upstream with few workers gives one to each open connection: so a connection that was idle for long enough is shut
 * down. (CURLOPT_MAXAGE_CONN only keeps libcurl from reusing it.) libcurl closes it when it next looks for one.
 */
static void
on_idle_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct upstream_sockets *s = ctx;
    int64_t time = now();
    (void)fd, (void)what;
    for (size_t i = 0; i < s->n; i++)
        if (is_idle(&s->items[i]) && s->items[i].closes <= time)
            shut_down(&s->items[i]);
    arm_idle_timer(s);
}

static void
release(struct upstream_sockets *s, struct connection_socket *c, bool notify)
{
    void *owner = c->owner;
    if (!owner)
        return;
    c->owner = NULL;
    c->closes = now() + c->keepalive;
    if (notify && !s->released(owner, drain(c)))
        shut_down(c);
    if (c->tls && (c->shut || !tls_buffer_left(c->tls)))
        tls_buffer_remove(c->tls);
}

void
upstream_sockets_release(struct upstream_sockets *s, void *owner, bool notify)
{
    for (size_t i = 0; i < s->n; i++) {
        struct connection_socket *c = &s->items[i];
        if (c->reserved_by == owner)
            c->reserved_by = NULL;
        if (c->owner == owner)
            release(s, c, notify);
    }
    arm_idle_timer(s);
}

enum connection_use
upstream_sockets_use(struct upstream_sockets *s, void *owner, const struct connection *used, int64_t keepalive)
{
    struct connection_socket *c = find(s, used);
    if (!c || !set_tls(s, c, used->tls))
        return CONNECTION_UNKNOWN;
    if (is_idle(c)) {
        drain(c);
        if (c->shut)
            drain_idle(s);
    }
    release(s, c, true);
    enum connection_use use = c->shut ? CONNECTION_DEAD : c->used ? CONNECTION_REUSED : CONNECTION_NEW;
    c->owner = owner;
    c->used = true;
    c->keepalive = keepalive;
    return use;
}

void
upstream_sockets_closing(struct upstream_sockets *s, int fd)
{
    for (size_t i = 0; i < s->n; i++) {
        struct connection_socket *c = &s->items[i];
        if (c->fd != fd)
            continue;
        release(s, c, true);
        free(c->path);
        *c = s->items[--s->n];
        return;
    }
}

int
upstream_sockets_init(struct upstream_sockets *s, struct event_base *base,
                      bool (*released)(void *owner, enum unsolicited kind))
{
    *s = (struct upstream_sockets){.released = released, .idle_timer = evtimer_new(base, on_idle_timer, s)};
    return s->idle_timer ? 0 : -ENOMEM;
}

void
upstream_sockets_deinit(struct upstream_sockets *s)
{
    if (s->idle_timer)
        event_free(s->idle_timer);
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i].path);
    free(s->items);
    *s = (struct upstream_sockets){.n = 0};
}
