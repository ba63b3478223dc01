/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    /* evhttp has no limits of its own. Prometheus' heads are below 1 KiB; Go's server takes 1 MiB, nginx 8 KiB lines.
     */
    HEAD_MOST = 8 * 1024,
    /* No body means anything here; one that fits is read and thrown away, so that the connection can be kept. */
    BODY_MOST = 8 * 1024,
    /* What a client may send ahead while its answer goes out. More than evhttp needs to see that a head is too long. */
    READ_MOST = 16 * 1024,
    /* Bytes of a system call; libevent's 16 KiB make an answer four times as many. */
    WRITE_MOST = 256 * 1024,
    /* Prometheus keeps idle connections for 5 minutes; the one who closes first should be it. */
    IDLE_SECONDS = 320,
    /* How long nobody is let in after accept(2) failed. */
    ACCEPT_PAUSE_US = 200 * 1000,
};

/* evhttp reads on while an answer goes out; without a mark a client could fill the memory meanwhile. */
static struct bufferevent *
new_connection(struct event_base *base, void *ctx)
{
    (void)ctx;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (bev) {
        bufferevent_setwatermark(bev, EV_READ, 0, READ_MOST);
        bufferevent_set_max_single_write(bev, WRITE_MOST);
    }
    return bev;
}

/*
 * Whether a request has, or may have, a body that evhttp does not read, or not to the end that others see: it would
 * take the rest for the next request.
 */
static bool
is_odd(struct evhttp_request *request)
{
    enum evhttp_cmd_type method = evhttp_request_get_command(request);
    const struct evkeyval *h;
    int lengths = 0;

    TAILQ_FOREACH (h, evhttp_request_get_input_headers(request), next) {
        if (strpbrk(h->key, " \t") || !strcasecmp(h->key, "Transfer-Encoding"))
            return true;
        if (!strcasecmp(h->key, "Content-Length") && strcmp(h->value, "0") != 0)
            lengths++;
    }
    return lengths > 1 || (lengths && (method == EVHTTP_REQ_HEAD || method == EVHTTP_REQ_TRACE));
}

static void
on_request(struct evhttp_request *request, void *ctx)
{
    const struct http_handler *handler = ctx;
    if (!is_odd(request)) {
        handler->handle(request, handler->ctx);
        return;
    }
    evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
    http_reply(request, 400, "the request's head is not clear about where it ends; one without a body is right");
}

int
http_new(struct evhttp **httpp, struct event_base *base, const struct http_handler *handler)
{
    struct evhttp *http = evhttp_new(base);
    if (!http)
        return -ENOMEM;
    evhttp_set_max_headers_size(http, HEAD_MOST);
    evhttp_set_max_body_size(http, BODY_MOST);
    evhttp_set_timeout(http, IDLE_SECONDS);
    evhttp_set_default_content_type(http, "text/plain; charset=utf-8");
    /* All of them, so that the handler says which are right. */
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                         EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                         EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_bevcb(http, new_connection, NULL);
    evhttp_set_gencb(http, on_request, (void *)(uintptr_t)handler);
    *httpp = http;
    return 0;
}

/* A socket file that nobody listens on any more is in the way; anything else is not ours to remove. */
static void
remove_stale_socket(const struct sockaddr_un *sun)
{
    struct stat st;
    if (lstat(sun->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) && errno == ECONNREFUSED)
        unlink(sun->sun_path);
    close(fd);
}

/* Reads the address; *any tells that it named only a port. */
static int
parse_address(const char *address, struct sockaddr_storage *out, socklen_t *len, bool *any)
{
    char buffer[128];

    memset(out, 0, sizeof(*out));
    *any = address[0] == ':';
    if (!strncmp(address, "unix:", 5)) {
        struct sockaddr_un *sun = (struct sockaddr_un *)out;
        if (address[5] != '/')
            return -EINVAL;
        if (strlen(address + 5) >= sizeof(sun->sun_path))
            return -ENAMETOOLONG;
        sun->sun_family = AF_UNIX;
        strcpy(sun->sun_path, address + 5);
        *len = sizeof(*sun);
        return 0;
    }
    /* libevent's reader refuses port 0, which lets the kernel choose; it gets the address alone. */
    const char *colon = strrchr(address, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    int size = (int)sizeof(*out), port = digits && digits <= 5 && !colon[1 + digits] ? atoi(colon + 1) : -1;
    if (port < 0 || port > 65535 || (size_t)(colon - address) >= sizeof(buffer))
        return -EINVAL;
    snprintf(buffer, sizeof(buffer), "%.*s", (int)(colon - address), address);
    if (evutil_parse_sockaddr_port(*any ? "[::]" : buffer, (struct sockaddr *)out, &size))
        return -EINVAL;
    if (out->ss_family == AF_INET)
        ((struct sockaddr_in *)out)->sin_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in6 *)out)->sin6_port = htons((uint16_t)port);
    *len = (socklen_t)size;
    return 0;
}

bool
http_is_address(const char *address)
{
    struct sockaddr_storage ss;
    socklen_t len;
    bool any;
    return !parse_address(address, &ss, &len, &any);
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

/* accept(2) failed, most likely for want of descriptors, and would fail again at once: a pause lets others close
 * theirs. */
static void
on_accept_error(struct evconnlistener *listener, void *ctx)
{
    const struct timeval pause = {0, ACCEPT_PAUSE_US};
    (void)ctx;
    if (!evconnlistener_disable(listener) &&
        event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, accept_again, listener, &pause))
        evconnlistener_enable(listener);
}

int
http_listen(struct evhttp *http, struct event_base *base, const char *address, char *bound, size_t size)
{
    struct sockaddr_storage ss;
    socklen_t len;
    bool any;
    int r = parse_address(address, &ss, &len, &any);
    if (r)
        return r;
    if (ss.ss_family == AF_UNIX)
        remove_stale_socket((struct sockaddr_un *)&ss);

    const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, NULL, NULL, flags, -1, (struct sockaddr *)&ss, (int)len);
    if (!listener && any && errno == EAFNOSUPPORT) {
        /* A kernel without IPv6. */
        struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = ((struct sockaddr_in6 *)&ss)->sin6_port};
        listener = evconnlistener_new_bind(base, NULL, NULL, flags, -1, (struct sockaddr *)&sin, sizeof(sin));
    }
    if (!listener)
        return errno ? -errno : -EINVAL;
    name_bound(listener, address, bound, size);
    if (!evhttp_bind_listener(http, listener)) {
        evconnlistener_free(listener);
        return -ENOMEM;
    }
    evconnlistener_set_error_cb(listener, on_accept_error);
    return 0;
}

static void
free_body(const void *bytes, size_t len, void *body)
{
    (void)bytes, (void)len;
    free(body);
}

void
http_reply_body(struct evhttp_request *request, int status, const char *type, char *bytes, size_t len)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *body = evbuffer_new();
    /* As an answer to HEAD evhttp would send a body too. */
    bool is_head = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    char length[24];

    if (is_head || !body || evbuffer_add_reference(body, bytes, len, free_body, bytes)) {
        free(bytes);
        if (!is_head) {
            status = 503;
            len = 0;
        }
    }
    evhttp_remove_header(headers, "Content-Type");
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    snprintf(length, sizeof(length), "%zu", len);
    evhttp_add_header(headers, "Content-Length", length);
    evhttp_send_reply(request, status, NULL, body);
    if (body)
        evbuffer_free(body);
}

void
http_reply(struct evhttp_request *request, int status, const char *text)
{
    char *line = NULL;
    int len = asprintf(&line, "%s\n", text);
    http_reply_body(request, status, "text/plain; charset=utf-8", len < 0 ? NULL : line, len < 0 ? 0 : (size_t)len);
}
