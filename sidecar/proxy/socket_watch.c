/* SPDX-License-Identifier: Apache-2.0 */
#include "socket_watch.h"

#include "tls_buffer.h"

#include "service/base/alloc_reserve.h"

#include <event2/event.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    /* Less than this is a small piece; and a body of less never waits. */
    SMALL_BYTES = 16 * 1024,
    /* As much wakes the loop at once. With half of it a scrape took a tenth more CPU, with twice as much no less. */
    ENOUGH_BYTES = 128 * 1024,
    /* How long a piece waits; with the wake-up it is a millisecond. libevent's own timers wait up to four. */
    GATHER_NSEC = 900 * 1000,
    /* Reads at a tick, of what arrives meanwhile. */
    READS_MAX = 8,
    /* What is taken from a TLS buffer before others have their turn. */
    TURN_BYTES = 256 * 1024,
};

struct socket_watch {
    struct socket_watches *watches;
    TAILQ_ENTRY(socket_watch) next;
    CURL *easy; /* NULL: its transfer has gone */
    curl_socket_t fd;
    struct event event;
    bool may_gather;
    bool gathers;
    TAILQ_ENTRY(socket_watch) next_gathering;
    unsigned ticks;                /* the last one that it was read at */
    bool tried_buffer, has_buffer; /* its TLS */
    uint64_t stuck_at;             /* what TLS had taken when libcurl did not read on, as when it has to write; or 0 */
    bool *freed;                   /* in act() */
};

/* How much of the body has been read. */
static curl_off_t
downloaded(const struct socket_watch *w)
{
    curl_off_t bytes = 0;
    if (w->easy)
        curl_easy_getinfo(w->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
    return bytes;
}

/* The clock. */

static void
set_clock(const struct socket_watches *ws, long period)
{
    const struct itimerspec spec = {{0, period}, {0, period}};
    (void)timerfd_settime(ws->clock, 0, &spec, NULL);
}

/* A unix socket's poll(2) does not know SO_RCVLOWAT. To read it by the clock instead made bodies up to 15 times slower:
   its buffer is full long before a millisecond is over. */
static bool
can_gather(const struct socket_watch *w)
{
    int domain = AF_UNIX;
    socklen_t len = sizeof(domain);
    return w->watches->clock >= 0 && !getsockopt(w->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain != AF_UNIX;
}

/* How much has to arrive before the loop is woken; the end of the connection always wakes it. */
static void
set_least(const struct socket_watch *w, int bytes)
{
    (void)setsockopt(w->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

static void
start_gathering(struct socket_watch *w)
{
    struct socket_watches *ws = w->watches;
    w->may_gather = can_gather(w);
    if (!w->may_gather)
        return;
    if (TAILQ_EMPTY(&ws->gathering))
        set_clock(ws, GATHER_NSEC);
    TAILQ_INSERT_TAIL(&ws->gathering, w, next_gathering);
    w->ticks = ws->ticks;
    w->gathers = true;
    set_least(w, ENOUGH_BYTES);
}

static void
stop_gathering(struct socket_watch *w)
{
    struct socket_watches *ws = w->watches;
    set_least(w, 1);
    w->gathers = false;
    TAILQ_REMOVE(&ws->gathering, w, next_gathering);
    if (TAILQ_EMPTY(&ws->gathering))
        set_clock(ws, 0);
}

/* TLS with a buffer. */

/* Asked for each time: a new watch may be of a transfer that had a buffer before, and whatever drives libcurl may read
   any transfer. */
static SSL *
tls_of(const struct socket_watch *w)
{
    return w->easy && tls_buffers() ? tls_of_transfer(w->easy) : NULL;
}

static void
try_buffer(struct socket_watch *w)
{
    SSL *tls = tls_of_transfer(w->easy);
    w->tried_buffer = true;
    w->has_buffer = tls && tls_buffer_add(tls);
}

/* libcurl reads on for as long as the socket is readable (and then up to 100 records), whatever the buffer holds. */
static void
read_buffer(struct socket_watch *w, const bool *freed)
{
    const SSL *tls = tls_of(w);
    uint64_t start = tls_buffer_taken(tls), taken = start;
    w->stuck_at = 0;
    while (tls_buffer_left(tls) && taken - start < TURN_BYTES) {
        w->watches->act(w->watches->ctx, w->fd, CURL_CSELECT_IN);
        if (*freed)
            return;
        tls = tls_of(w);
        if (tls_buffer_taken(tls) == taken) {
            w->stuck_at = taken;
            return;
        }
        taken = tls_buffer_taken(tls);
    }
}

static bool
has_more_to_read(const struct socket_watch *w)
{
    const SSL *tls = tls_of(w);
    return tls_buffer_left(tls) && tls_buffer_taken(tls) != w->stuck_at;
}

/* A timer's turn, for an event that is activated by another has its turn before all else. */
static void
on_wake(evutil_socket_t fd, short what, void *ctx)
{
    struct socket_watches *ws = ctx;
    struct socket_watch *w;
    (void)fd, (void)what;
    TAILQ_FOREACH (w, &ws->all, next)
        if (has_more_to_read(w))
            event_active(&w->event, EV_READ, 0);
}

void
socket_watches_wake_buffered(struct socket_watches *ws)
{
    static const struct timeval now = {0, 0};
    struct socket_watch *w;
    if (!tls_buffers())
        return;
    TAILQ_FOREACH (w, &ws->all, next) {
        if (!has_more_to_read(w))
            continue;
        if (event_add(&ws->wake, &now)) /* out of memory */
            event_active(&ws->wake, EV_TIMEOUT, 0);
        return;
    }
}

/* Returns how much of the body was read. *freed: the watch is. */
static curl_off_t
act(struct socket_watch *w, int action, bool *freed)
{
    curl_off_t before = downloaded(w), after;
    w->freed = freed;
    w->watches->act(w->watches->ctx, w->fd, action);
    if (!*freed)
        read_buffer(w, freed);
    if (*freed)
        return 0;
    w->freed = NULL;
    after = downloaded(w);
    if (!w->tried_buffer && after >= SMALL_BYTES)
        try_buffer(w);
    return after - before;
}

/* What has gathered, if anything. */
static void
read_gathered(struct socket_watch *w)
{
    bool freed = false;
    curl_off_t first = act(w, CURL_CSELECT_IN, &freed), more = first;
    for (int i = 1; i < READS_MAX && more && !freed && !w->has_buffer; i++)
        more = act(w, CURL_CSELECT_IN, &freed);
    if (!freed && !first && w->gathers)
        stop_gathering(w);
}

static struct socket_watch *
first_to_read(const struct socket_watches *ws)
{
    struct socket_watch *w;
    TAILQ_FOREACH (w, &ws->gathering, next_gathering)
        if (w->ticks != ws->ticks)
            return w;
    return NULL;
}

static void
on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct socket_watches *ws = ctx;
    struct socket_watch *w;
    uint64_t expired;
    (void)what;
    if (read(fd, &expired, sizeof(expired)) != sizeof(expired))
        return;
    ws->ticks++;
    while ((w = first_to_read(ws)) != NULL) {
        w->ticks = ws->ticks;
        read_gathered(w);
    }
    ws->collect(ws->ctx);
}

void
socket_watches_init(struct socket_watches *ws)
{
    TAILQ_INIT(&ws->all);
    TAILQ_INIT(&ws->gathering);
    event_assign(&ws->wake, ws->base, -1, 0, on_wake, ws);
    ws->clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (ws->clock < 0)
        return;
    event_assign(&ws->tick, ws->base, ws->clock, EV_READ | EV_PERSIST, on_tick, ws);
    if (!event_add(&ws->tick, NULL))
        return;
    close(ws->clock);
    ws->clock = -1;
}

void
socket_watches_deinit(struct socket_watches *ws)
{
    if (!ws->base)
        return;
    event_del(&ws->wake);
    if (ws->clock < 0)
        return;
    event_del(&ws->tick);
    close(ws->clock);
}

/* One socket. */

static void
on_event(evutil_socket_t fd, short what, void *ctx)
{
    struct socket_watch *w = ctx;
    struct socket_watches *ws = w->watches;
    bool freed = false;
    (void)fd;
    curl_off_t bytes =
        act(w, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0), &freed);
    if (!freed && w->may_gather && !w->gathers && bytes < SMALL_BYTES && downloaded(w) >= SMALL_BYTES)
        start_gathering(w);
    ws->collect(ws->ctx);
}

struct socket_watch *
socket_watch_new(struct socket_watches *ws, CURL *easy, curl_socket_t fd, int what)
{
    struct socket_watch *w = alloc_reserve_calloc(sizeof(*w)); /* libcurl stalls if this fails */
    if (!w)
        return NULL;
    w->watches = ws;
    w->easy = easy;
    w->fd = fd;
    w->may_gather = true;
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    event_assign(&w->event, ws->base, fd, events, on_event, w);
    if (event_add(&w->event, NULL)) {
        alloc_reserve_free(w);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&ws->all, w, next);
    socket_watches_wake_buffered(ws); /* a transfer that was paused, with its buffer full */
    return w;
}

void
socket_watches_forget(struct socket_watches *ws, const CURL *easy)
{
    struct socket_watch *w;
    TAILQ_FOREACH (w, &ws->all, next) {
        if (w->easy != easy)
            continue;
        if (w->gathers)
            stop_gathering(w);
        w->may_gather = false;
        w->easy = NULL;
    }
}

void
socket_watch_free(struct socket_watch *w)
{
    if (!w)
        return;
    if (w->freed)
        *w->freed = true;
    if (w->gathers)
        stop_gathering(w);
    TAILQ_REMOVE(&w->watches->all, w, next);
    event_del(&w->event);
    alloc_reserve_free(w);
}
