/* SPDX-License-Identifier: Apache-2.0 */
#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

/* Sockets. */

/* The number of passed sockets. LISTEN_PID guards against variables inherited from our parent. */
static int
count_passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    return pid && n && strtol(pid, NULL, 10) == (long)getpid() ? atoi(n) : 0;
}

bool
systemd_has_passed(int fd)
{
    return fd >= FIRST_FD && fd < FIRST_FD + count_passed();
}

/* The name of a passed socket, of *len bytes; "" if it has none. */
static const char *
name_of(int fd, size_t *len)
{
    const char *names = getenv("LISTEN_FDNAMES");
    for (int i = FIRST_FD; names && i < fd; i++) {
        names += strcspn(names, ":");
        names = *names ? names + 1 : NULL;
    }
    *len = names ? strcspn(names, ":") : 0;
    return names ? names : "";
}

/* Whether a socket is unclaimed: exec(2) passed it without FD_CLOEXEC, which claiming sets. */
static bool
is_unclaimed(int fd)
{
    int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && !(flags & FD_CLOEXEC);
}

int
systemd_unclaimed_socket(int from, const char *name)
{
    for (int fd = from < FIRST_FD ? FIRST_FD : from; systemd_has_passed(fd); fd++) {
        size_t len;
        const char *own = name_of(fd, &len);
        if (is_unclaimed(fd) && (!name || (strlen(name) == len && !memcmp(name, own, len))))
            return fd;
    }
    return -1;
}

void
systemd_socket_name(int fd, char *name, size_t size)
{
    size_t len;
    const char *own = name_of(fd, &len);
    snprintf(name, size, "%.*s", (int)len, own);
}

int
systemd_socket(const char *name)
{
    int listens = 0, fd = systemd_unclaimed_socket(0, name);
    socklen_t len = sizeof(listens);

    if (fd < 0)
        return -ENOENT;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || !listens)
        return -EINVAL;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
        return -errno;
    return fd;
}

/* Notifications. */

void
systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    if (!path || strlen(path) >= sizeof(sun.sun_path))
        return;
    strcpy(sun.sun_path, path);
    if (*path == '@')
        *sun.sun_path = 0; /* an abstract name, not a file */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* A missing receiver is not an error. */
    sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&sun,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

void
systemd_notify_reload(void)
{
    char state[64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    systemd_notify(state);
}
