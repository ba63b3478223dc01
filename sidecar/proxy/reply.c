/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include "service/access/tls.h"
#include "service/base/alloc_reserve.h"
#include "service/http/connections.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct reply {
    struct evhttp_request *request; /* NULL once it is over */
    struct evhttp_connection *connection;
    struct connection *record; /* its */
    int hangup_fd;             /* the connection's socket by a second descriptor, or -1 */
    struct event *hangup;
    bool sending;   /* a piece has not gone to the kernel */
    bool ending;    /* the end is to follow it */
    bool no_memory; /* for a part of it */
    const struct reply_events *events;
    void *ctx;
};

static struct evbuffer *
output_of(const struct reply *r)
{
    return bufferevent_get_output(evhttp_connection_get_bufferevent(r->connection));
}

/* What is at hand goes out at once, as a rule. If it turns out that it does not, it is to be watched for. */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *ctx)
{
    if (info->n_deleted && evbuffer_get_length(output))
        reply_watch(ctx); /* where this fails, evhttp's next write will tell */
}

/* Forgets request and connection: they are over, or about to be. */
static void
detach(struct reply *r)
{
    if (r->record)
        connection_set_callbacks(r->record, NULL, NULL);
    if (r->connection)
        evbuffer_remove_cb(output_of(r), on_output, r);
    if (r->hangup)
        event_free(r->hangup);
    if (r->hangup_fd >= 0)
        close(r->hangup_fd);
    r->hangup = NULL;
    r->hangup_fd = -1;
    r->request = NULL;
    r->connection = NULL;
    r->record = NULL;
}

/* Whether a close of the socket, by whomever and be it the kernel at the process' end, is a reset. */
static void
set_reset_on_close(struct evhttp_connection *connection, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};
    setsockopt(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), SOL_SOCKET, SO_LINGER, &linger,
               sizeof(linger));
}

/* Whether the end of the connection is the end of the body. */
static bool
ends_by_close(const struct reply *r)
{
    return r->request->major < 1 || (r->request->major == 1 && r->request->minor < 1);
}

/*
 * To be called after each part of the response that is given to evhttp, with alloc_failures() from before it. What it
 * had no memory for is missing there, perhaps from the head, so nothing may go out; evhttp hears that by the error that
 * its next write gets.
 */
static void
after_send(struct reply *r, uint64_t failures)
{
    connection_pause_input(r->connection);
    if (alloc_failures() == failures)
        return;
    r->no_memory = true;
    connection_abort(r->connection);
}

/* evhttp ends the connection: an error of it, or a time-out. */
static void
on_close(void *ctx)
{
    struct reply *r = ctx;
    struct evhttp_request *request = r->request;

    connection_dissolve(r->connection);
    detach(r);
    /* A request that was still being answered has been taken from its connection and left to us; otherwise it goes
       with the connection. */
    if (!evhttp_request_get_connection(request))
        evhttp_request_free(request);
    r->events->gone(r->ctx, r->no_memory);
}

enum {
    /* What a scraper may send ahead while it waits: some requests. One that sends more is not one, and behind so much
       its leaving could not be seen. */
    AHEAD_MAX = 64 * 1024,
};

/*
 * Whether the peer has reset the connection, or, over a unix socket, closed it, or floods it. Over TCP the end of what
 * it sends is no such sign: one that shuts down its sending side after the request waits for the response, and a close
 * looks the same until something is sent.
 */
static bool
has_left(int fd)
{
    struct pollfd state = {.fd = fd};
    int ahead = 0;
    return poll(&state, 1, 0) < 0 || state.revents & (POLLERR | POLLHUP) || ioctl(fd, FIONREAD, &ahead) ||
           ahead > AHEAD_MAX;
}

static void
on_hangup(evutil_socket_t fd, short what, void *ctx)
{
    struct reply *r = ctx;
    struct evhttp_connection *connection = r->connection;
    (void)what;

    if (!has_left(fd))
        return;
    detach(r);
    evhttp_connection_free(connection);
    r->events->gone(r->ctx, r->no_memory);
}

/*
 * evhttp would see that a scraper has left only when it writes; and to let it read until then would end the process at
 * the first byte. A reset is told by libevent as readable and not as closed, so both are watched, and only changes, for
 * bytes that were sent ahead stay readable. Of one descriptor libevent watches either changes or states: so it is a
 * second one.
 */
int
reply_watch(struct reply *r)
{
    if (r->hangup_fd >= 0)
        return 0;
    struct bufferevent *bev = evhttp_connection_get_bufferevent(r->connection);
    r->hangup_fd = fcntl(bufferevent_getfd(bev), F_DUPFD_CLOEXEC, 0);
    if (r->hangup_fd < 0)
        return -errno;
    r->hangup =
        event_new(bufferevent_get_base(bev), r->hangup_fd, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_hangup, r);
    return r->hangup && !event_add(r->hangup, NULL) ? 0 : -ENOMEM;
}

static void
on_done(void *ctx)
{
    struct reply *r = ctx;
    if (ends_by_close(r)) {
        set_reset_on_close(r->connection, false);
        tls_send_close_notify(evhttp_connection_get_bufferevent(r->connection));
    }
    detach(r);
    r->events->done(r->ctx);
}

static const struct connection_events connection_events = {on_done, on_close};

static void
send_end(struct reply *r)
{
    bool chunked = !ends_by_close(r); /* else nothing is added, and r may be over behind it */
    uint64_t failures = alloc_failures();
    evhttp_send_reply_end(r->request);
    if (chunked)
        after_send(r, failures);
}

/*
 * libevent tells what TLS has written a turn later, when there may be more to write: such news of a last piece would be
 * taken by evhttp for the end of the whole answer, which then was cut without a sign. So over TLS the end is sent when
 * the news has come.
 */
static void
on_drained(struct evhttp_connection *connection, void *ctx)
{
    struct reply *r = ctx;
    (void)connection;
    r->sending = false;
    if (r->ending)
        send_end(r);
    else
        r->events->drained(r->ctx);
}

int
reply_new(struct reply **replyp, struct evhttp_request *request, const struct reply_events *events, void *ctx)
{
    struct reply *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->request = request;
    r->connection = evhttp_request_get_connection(request);
    r->events = events;
    r->ctx = ctx;
    r->hangup_fd = -1;
    r->record = connection_of(request);
    connection_set_callbacks(r->record, &connection_events, r);
    *replyp = r;
    return 0;
}

struct evkeyvalq *
reply_headers(struct reply *r)
{
    return evhttp_request_get_output_headers(r->request);
}

void
reply_whole(struct reply *r, int status, struct evbuffer *body, uint64_t len)
{
    char length[24];
    uint64_t failures = alloc_failures();
    snprintf(length, sizeof(length), "%" PRIu64, len);
    evhttp_remove_header(reply_headers(r), "Content-Length");
    if (status != 204 && status != 304)
        evhttp_add_header(reply_headers(r), "Content-Length", length);
    if (r->hangup_fd < 0)
        (void)evbuffer_add_cb(output_of(r), on_output, r); /* without it nobody watches, which the deadline bounds */
    evhttp_send_reply(r->request, status, NULL, body);
    after_send(r, failures);
}

bool
reply_can_break(struct reply *r)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(r->connection));
    return !ends_by_close(r) || (!getsockname(fd, (struct sockaddr *)&name, &len) && name.ss_family != AF_UNIX);
}

void
reply_start(struct reply *r, int status)
{
    uint64_t failures = alloc_failures();
    if (ends_by_close(r)) {
        /* evhttp answers HTTP/1.0 with keep-alive by "Content-Length: 0" in front of the body. */
        while (!evhttp_remove_header(evhttp_request_get_input_headers(r->request), "Connection"))
            ;
        set_reset_on_close(r->connection, true);
    }
    evhttp_send_reply_start(r->request, status, NULL);
    after_send(r, failures);
}

void
reply_send(struct reply *r, struct evbuffer *body)
{
    uint64_t failures = alloc_failures();
    r->sending = true;
    evhttp_send_reply_chunk_with_cb(r->request, body, on_drained, r);
    after_send(r, failures);
}

void
reply_end(struct reply *r)
{
    r->ending = r->sending && tls_is(evhttp_connection_get_bufferevent(r->connection));
    if (!r->ending)
        send_end(r);
}

void
reply_break(struct reply *r)
{
    struct evhttp_connection *connection = r->connection;
    if (!connection)
        return;
    connection_dissolve(connection);
    detach(r);
    evhttp_connection_free(connection);
}

void
reply_free(struct reply *r)
{
    if (!r)
        return;
    reply_break(r);
    detach(r);
    free(r);
}
