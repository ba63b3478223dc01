/* SPDX-License-Identifier: Apache-2.0 */
#include "fd_reserve.h"

#include "peer.h"
#include "service/telemetry/rejection_log.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    /* What the process has open besides connections and scrapes: standard streams, the event loop's, two listeners, the
       reserve, libcurl's; and a few for a name being looked up or a file being read. */
    OWN = 16,
};

/* The process has one table of descriptors, so there is one reserve. libevent tells of a failed accept(2) only to whom
   it cannot hand anything else. */
static struct {
    int fd; /* -1: none */
    struct rejection_log *limits;
} reserve = {-1, NULL};

static void
reserve_take(void)
{
    if (reserve.fd < 0)
        reserve.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
fd_reserve_init(struct rejection_log *rejections)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* as it was will do too */
    }
    reserve.limits = rejections;
    reserve_take();
}

void
fd_reserve_deinit(void)
{
    if (reserve.fd >= 0)
        close(reserve.fd);
    reserve.fd = -1;
}

bool
fds_are_low(size_t connections)
{
    struct rlimit limit;
    reserve_take();
    return !getrlimit(RLIMIT_NOFILE, &limit) && connections + OWN > limit.rlim_cur - limit.rlim_cur / 4;
}

bool
fd_reserve_reject(int listener)
{
    char text[PEER_TEXT];
    if (reserve.fd < 0)
        return false;
    close(reserve.fd);
    reserve.fd = -1;
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = accept(listener, (struct sockaddr *)&address, &len);
    if (fd >= 0) {
        struct peer peer = peer_of_address((const struct sockaddr *)&address);
        peer_print(&peer, text);
        close(fd);
        rejection_report(reserve.limits, LIMIT_DESCRIPTORS, text, NULL);
    }
    reserve_take();
    return fd >= 0;
}
