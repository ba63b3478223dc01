/* SPDX-License-Identifier: Apache-2.0 */
#include "hangup_watch.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    /* Bytes that a client may pipeline while it waits: some requests. Whoever sends more is no scraper, and after that
       much unread data its leaving could not be seen. */
    PIPELINED_MAX = 64 * 1024,
};

static bool
has_left(int fd)
{
    struct pollfd state = {.fd = fd};
    int pipelined = 0;
    return poll(&state, 1, 0) < 0 || state.revents & (POLLERR | POLLHUP) || ioctl(fd, FIONREAD, &pipelined) ||
           pipelined > PIPELINED_MAX;
}

static void
on_event(evutil_socket_t fd, short what, void *ctx)
{
    struct hangup_watch *w = ctx;
    (void)what;
    if (has_left(fd))
        w->on_hangup(w->ctx);
}

/*
 * evhttp notices that a client has left only when it writes, and letting it read until then would abort the process at
 * the first byte. libevent reports a reset as readable and not as closed, so both are watched; edge-triggered, because
 * pipelined bytes stay readable. libevent does not mix edge and level triggering on one descriptor: hence the
 * duplicate.
 */
int
hangup_watch_start(struct hangup_watch *w, struct bufferevent *bev, void (*on_hangup)(void *ctx), void *ctx)
{
    if (w->event)
        return 0;
    int fd = fcntl(bufferevent_getfd(bev), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *w = (struct hangup_watch){.fd = fd, .on_hangup = on_hangup, .ctx = ctx};
    w->event = event_new(bufferevent_get_base(bev), fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_event, w);
    if (!w->event) {
        close(fd);
        return -ENOMEM;
    }
    if (event_add(w->event, NULL)) {
        hangup_watch_stop(w);
        return -ENOMEM;
    }
    return 0;
}

void
hangup_watch_stop(struct hangup_watch *w)
{
    if (!w->event)
        return;
    event_free(w->event);
    close(w->fd);
    w->event = NULL;
}
