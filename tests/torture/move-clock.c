/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts a program's monotonic clock forward, for tests/e2e/test_time.py: preloaded (LD_PRELOAD), it adds what a file
 * says, named by MOVE_CLOCK and as long as struct control, which both sides map. It also counts how often the program
 * changes what a signal does. Without MOVE_CLOCK it only hands on.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct control {
    atomic_llong ahead;   /* seconds */
    atomic_llong actions; /* calls of sigaction(2) that change something */
};

static struct control nothing, *control = &nothing;

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("MOVE_CLOCK");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
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

int __sigaction(int number, const struct sigaction *action, struct sigaction *old);

int
sigaction(int number, const struct sigaction *action, struct sigaction *old)
{
    if (action)
        atomic_fetch_add(&control->actions, 1);
    return __sigaction(number, action, old);
}
