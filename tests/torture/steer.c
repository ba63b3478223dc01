/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steers what a program sees of the system, for tests/e2e/steer.py: preloaded (LD_PRELOAD), it does what a file says,
 * named by STEER and as long as struct control, which both sides map. Without STEER it only hands on.
 */
#include "map.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

struct control {
    atomic_llong ahead;   /* seconds that the monotonic clock and time(2) are put forward */
    atomic_llong patient; /* send(2) returns when an answer is there: nobody is ever faster than the peer */
    atomic_llong actions; /* calls of sigaction(2) that change something */
    atomic_llong turns;   /* calls of epoll_wait(2) */
};

static struct control nothing, *control = &nothing;

__attribute__((constructor)) static void
begin(void)
{
    void *map = map_file("STEER", sizeof(*control));
    if (map)
        control = map;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);
    if (!r && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW))
        ts->tv_sec += atomic_load(&control->ahead);
    return r;
}

time_t
time(time_t *also)
{
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    now.tv_sec += atomic_load(&control->ahead);
    if (also)
        *also = now.tv_sec;
    return now.tv_sec;
}

int __sigaction(int number, const struct sigaction *action, struct sigaction *old);

int
sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    if (action)
        atomic_fetch_add(&control->actions, 1);
    return __sigaction(number, action, old);
}

ssize_t
send(int fd, const void *bytes, size_t len, int flags)
{
    ssize_t n = sendto(fd, bytes, len, flags, NULL, 0);
    if (n > 0 && atomic_load(&control->patient))
        poll(&(struct pollfd){fd, POLLIN, 0}, 1, 2000);
    return n;
}

int
epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    atomic_fetch_add(&control->turns, 1);
    return epoll_pwait(fd, events, most, timeout, NULL);
}
