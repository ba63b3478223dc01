/* SPDX-License-Identifier: Apache-2.0 */
#include "fd_reserve.h"

#include "peer.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    /* Descriptors besides connections and scrapes: standard streams, the event loop's, two listeners, the spare,
       libcurl's; and a few for name lookups and files being read. */
    OWN = 16,
};

/* The process has one table of descriptors, hence one spare. It is global because libevent's callback for a failed
   accept(2) has no context for it. */
static struct {
    int fd; /* -1: none */
    void (*rejected)(const struct peer *peer, void *ctx);
    void *ctx;
} reserve = {-1, NULL, NULL};

static void
reserve_take(void)
{
    if (reserve.fd < 0)
        reserve.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void
fd_reserve_init(void (*rejected)(const struct peer *peer, void *ctx), void *ctx)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* a failure leaves the old limit */
    }
    reserve.rejected = rejected;
    reserve.ctx = ctx;
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
    if (reserve.fd < 0)
        return false;
    close(reserve.fd);
    reserve.fd = -1;
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = accept(listener, (struct sockaddr *)&address, &len);
    if (fd >= 0) {
        struct peer peer = peer_of_address((const struct sockaddr *)&address);
        close(fd);
        reserve.rejected(&peer, reserve.ctx);
    }
    reserve_take();
    return fd >= 0;
}
