/* SPDX-License-Identifier: Apache-2.0 */
#include "listen.h"

#include "service/base/address.h"
#include "service/base/fd_reserve.h"
#include "service/base/systemd.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    /* The pause after accept(2) failed. */
    ACCEPT_PAUSE_US = 200 * 1000,
};

/* Removes a socket file that no process listens on any more, and nothing else. */
static void
remove_stale_socket(const struct sockaddr_un *sun)
{
    struct stat st;
    if (lstat(sun->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) && errno == ECONNREFUSED)
        unlink(sun->sun_path);
    close(fd);
}

static void
name_bound(struct evconnlistener *listener, const char *address, char *bound, size_t size)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char text[INET6_ADDRSTRLEN] = "";

    snprintf(bound, size, "%s", address);
    if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&ss, &len))
        return;
    if (ss.ss_family == AF_INET) {
        struct sockaddr_in *sin = (struct sockaddr_in *)&ss;
        evutil_inet_ntop(AF_INET, &sin->sin_addr, text, sizeof(text));
        snprintf(bound, size, "%s:%u", text, ntohs(sin->sin_port));
    } else if (ss.ss_family == AF_INET6) {
        struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&ss;
        evutil_inet_ntop(AF_INET6, &sin6->sin6_addr, text, sizeof(text));
        snprintf(bound, size, "[%s]:%u", text, ntohs(sin6->sin6_port));
    }
}

static void
accept_again(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    evconnlistener_enable(ctx);
}

/* accept(2) failed. Out of descriptors, a client is rejected, or accept(2) would fail again at once. If that fails, or
   on any other error, a pause lets others close theirs. */
static void
on_accept_error(struct evconnlistener *listener, void *ctx)
{
    const struct timeval pause = {0, ACCEPT_PAUSE_US};
    int error = errno;
    (void)ctx;
    if ((error == EMFILE || error == ENFILE) && fd_reserve_reject(evconnlistener_get_fd(listener)))
        return;
    if (!evconnlistener_disable(listener) &&
        event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, accept_again, listener, &pause))
        evconnlistener_enable(listener);
}

/* Sets what libevent sets on its own sockets, and lets the unspecified IPv6 address accept IPv4 too, whatever
   net.ipv6.bindv6only says: Go's programs do the same. */
static bool
set_options(int fd, int family)
{
    const int on = 1, off = 0;
    return !setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) && !evutil_make_listen_socket_reuseable(fd) &&
           (family != AF_INET6 || !setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)));
}

/* 0 or a negative errno value. */
static int
bind_at(struct evconnlistener **listenerp, struct event_base *base, const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    errno = 0;
    if (set_options(fd, address->sa_family) && !bind(fd, address, len)) {
        *listenerp = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, fd);
        if (*listenerp)
            return 0;
    }
    int error = errno ? errno : ENOMEM;
    close(fd);
    return -error;
}

static int
listen_bound(struct evconnlistener **listenerp, struct event_base *base, const char *address)
{
    struct sockaddr_storage ss;
    socklen_t len;
    bool any;
    int r = address_parse(address, &ss, &len, &any);
    if (r)
        return r;
    if (ss.ss_family == AF_UNIX)
        remove_stale_socket((struct sockaddr_un *)&ss);
    r = bind_at(listenerp, base, (struct sockaddr *)&ss, len);
    if (r == -EAFNOSUPPORT && any) {
        /* A kernel without IPv6. */
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = ((struct sockaddr_in6 *)&ss)->sin6_port};
        r = bind_at(listenerp, base, (struct sockaddr *)&sin, sizeof(sin));
    }
    return r;
}

/* On a socket that systemd passed, which listens already. */
static int
listen_passed(struct evconnlistener **listenerp, struct event_base *base, const char *name)
{
    int fd = systemd_socket(name);
    if (fd < 0)
        return fd;
    *listenerp = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    return *listenerp ? 0 : -ENOMEM;
}

int
listen_at(struct evconnlistener **listenerp, struct event_base *base, const char *address, char *bound, size_t size)
{
    struct evconnlistener *listener = NULL;
    const char *name = address_systemd_name(address);
    int r = name ? listen_passed(&listener, base, name) : listen_bound(&listener, base, address);
    if (r)
        return r;
    name_bound(listener, address, bound, size);
    evconnlistener_set_error_cb(listener, on_accept_error);
    *listenerp = listener;
    return 0;
}

bool
listen_has_more(const char *address)
{
    const char *name = address_systemd_name(address);
    return name && systemd_unclaimed_socket(0, name) >= 0;
}

const char *
listen_reason(const char *address, int error)
{
    if (address_systemd_name(address) && error == -ENOENT)
        return "systemd passed no socket of this name; set FileDescriptorName= in the socket unit";
    if (address_systemd_name(address) && error == -EINVAL)
        return "the socket that systemd passed under this name is not listening";
    return strerror(-error);
}

void
listen_stop(struct evconnlistener *listener)
{
    int fd = evconnlistener_get_fd(listener);
    evconnlistener_disable(listener);
    evconnlistener_set_cb(listener, NULL, NULL); /* the end of a pause must not resume accepting */
    if (!systemd_has_passed(fd))
        shutdown(fd, SHUT_RDWR);
}
