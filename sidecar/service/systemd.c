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

/* How many were passed. What was meant for our parent is not for us. */
static int
count_passed(void)
{
    const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");
    return pid && n && strtol(pid, NULL, 10) == (long)getpid() ? atoi(n) : 0;
}

/* Which of the names is this one, the first being 0; -1: none. */
static int
find_name(const char *names, const char *name)
{
    size_t len = strlen(name);
    for (int i = 0; names; i++) {
        size_t n = strcspn(names, ":");
        if (n == len && !memcmp(names, name, n))
            return i;
        names = names[n] ? names + n + 1 : NULL;
    }
    return -1;
}

int
systemd_socket(const char *name)
{
    int at = find_name(getenv("LISTEN_FDNAMES"), name), listens = 0, fd = FIRST_FD + at;
    socklen_t len = sizeof(listens);

    if (at < 0 || at >= count_passed())
        return -ENOENT;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) || !listens)
        return -EINVAL;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
        return -errno;
    return fd;
}

bool
systemd_has_passed(int fd)
{
    return fd >= FIRST_FD && fd < FIRST_FD + count_passed();
}

/* News. */

void
systemd_notify(const char *news)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un sun = {.sun_family = AF_UNIX};

    if (!path || strlen(path) >= sizeof(sun.sun_path))
        return;
    strcpy(sun.sun_path, path);
    if (*path == '@')
        *sun.sun_path = 0; /* not a file: an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* Nobody there to hear it is no reason to stop. */
    sendto(fd, news, strlen(news), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&sun,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

void
systemd_notify_reload(void)
{
    char news[64];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(news, sizeof(news), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    systemd_notify(news);
}
