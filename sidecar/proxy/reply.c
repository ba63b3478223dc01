/* SPDX-License-Identifier: Apache-2.0 */
#include "reply.h"

#include "service/access/tls.h"
#include "service/base/alloc_reserve.h"
#include "service/http/connections.h"
#include "service/http/hangup_watch.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct reply {
    struct evhttp_request *request; /* NULL once detached */
    struct evhttp_connection *evhttp;
    struct connection *connection; /* our record of it */
    struct hangup_watch hangup;
    size_t begun;   /* bytes of header and first chunk, until more follows */
    bool sending;   /* a chunk has not gone to the kernel */
    bool ending;    /* the end follows it */
    bool no_memory; /* for part of the response */
    const struct reply_events *events;
    void *ctx;
};

static struct bufferevent *
bufferevent_of(const struct reply *r)
{
    return evhttp_connection_get_bufferevent(r->evhttp);
}

static struct evbuffer *
output_of(const struct reply *r)
{
    return bufferevent_get_output(bufferevent_of(r));
}

/* A whole response usually goes out at once. If it does not, watch for a scraper that leaves. */
static void
on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *ctx)
{
    if (info->n_deleted && evbuffer_get_length(output))
        reply_watch_hangup(ctx); /* if this fails, evhttp's next write notices */
}

/* Drops request and connection, which have ended or are about to. */
static void
detach(struct reply *r)
{
    if (r->connection)
        connection_set_callbacks(r->connection, NULL, NULL);
    if (r->evhttp)
        evbuffer_remove_cb(output_of(r), on_output, r);
    hangup_watch_stop(&r->hangup);
    r->request = NULL;
    r->evhttp = NULL;
    r->connection = NULL;
}

/* Makes a close of the socket a reset, also the kernel's when the process ends. */
static void
set_reset_on_close(const struct reply *r, bool reset)
{
    struct linger linger = {.l_onoff = reset, .l_linger = 0};
    setsockopt(bufferevent_getfd(bufferevent_of(r)), SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* HTTP/1.0 has no chunks: the end of the connection is the end of the body. */
static bool
is_delimited_by_close(const struct reply *r)
{
    return r->request->major < 1 || (r->request->major == 1 && r->request->minor < 1);
}

/*
 * Call after giving evhttp any part of the response, with alloc_failures() from before. On ENOMEM evhttp silently
 * leaves out what it could not store, perhaps a header, so nothing may go out; evhttp notices when its next write
 * fails.
 */
static void
after_send(struct reply *r, uint64_t failures)
{
    connection_pause_input(r->evhttp);
    if (alloc_failures() == failures)
        return;
    r->no_memory = true;
    connection_abort(r->evhttp);
}

/* evhttp closes the connection: an error or a timeout. */
static void
on_close(void *ctx)
{
    struct reply *r = ctx;
    struct evhttp_request *request = r->request;

    connection_reset(r->evhttp);
    detach(r);
    /* A request without a response is detached from its connection and left to us; otherwise evhttp frees it with the
       connection. */
    if (!evhttp_request_get_connection(request))
        evhttp_request_free(request);
    r->events->gone(r->ctx, r->no_memory);
}

static void
on_hangup(void *ctx)
{
    struct reply *r = ctx;
    struct evhttp_connection *evhttp = r->evhttp;
    detach(r);
    evhttp_connection_free(evhttp);
    r->events->gone(r->ctx, r->no_memory);
}

int
reply_watch_hangup(struct reply *r)
{
    return hangup_watch_start(&r->hangup, bufferevent_of(r), on_hangup, r);
}

static void
on_done(void *ctx)
{
    struct reply *r = ctx;
    if (is_delimited_by_close(r)) {
        set_reset_on_close(r, false);
        tls_send_close_notify(bufferevent_of(r));
    }
    detach(r);
    r->events->done(r->ctx);
}

static const struct connection_events connection_events = {on_done, on_close};

static void
send_end(struct reply *r)
{
    bool chunked = !is_delimited_by_close(r); /* if not, evhttp adds nothing, and r may be freed by this call */
    uint64_t failures = alloc_failures();
    evhttp_send_reply_end(r->request);
    if (chunked)
        after_send(r, failures);
}

/*
 * Over TLS libevent reports a write one loop iteration later, when more may have been queued: evhttp would take the
 * report of the last chunk for the end of the response, which would be truncated silently. So over TLS the end is sent
 * only after that report.
 */
static void
on_drained(struct evhttp_connection *evhttp, void *ctx)
{
    struct reply *r = ctx;
    (void)evhttp;
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
    r->evhttp = evhttp_request_get_connection(request);
    r->events = events;
    r->ctx = ctx;
    r->connection = connection_of(request);
    connection_set_callbacks(r->connection, &connection_events, r);
    *replyp = r;
    return 0;
}

struct evkeyvalq *
reply_headers(struct reply *r)
{
    return evhttp_request_get_output_headers(r->request);
}

void
reply_send_whole(struct reply *r, int status, struct evbuffer *body, uint64_t len)
{
    char length[24];
    uint64_t failures = alloc_failures();
    snprintf(length, sizeof(length), "%" PRIu64, len);
    evhttp_remove_header(reply_headers(r), "Content-Length");
    if (status != 204 && status != 304)
        evhttp_add_header(reply_headers(r), "Content-Length", length);
    if (!r->hangup.event)
        (void)evbuffer_add_cb(output_of(r), on_output, r); /* if this fails, only the deadline applies */
    evhttp_send_reply(r->request, status, NULL, body);
    after_send(r, failures);
}

bool
reply_can_abort(struct reply *r)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int fd = bufferevent_getfd(bufferevent_of(r));
    return !is_delimited_by_close(r) || (!getsockname(fd, (struct sockaddr *)&name, &len) && name.ss_family != AF_UNIX);
}

void
reply_start(struct reply *r, int status)
{
    uint64_t failures = alloc_failures();
    if (is_delimited_by_close(r)) {
        /* For HTTP/1.0 with keep-alive evhttp would send "Content-Length: 0" before the body. */
        while (!evhttp_remove_header(evhttp_request_get_input_headers(r->request), "Connection"))
            ;
        set_reset_on_close(r, true);
    }
    evhttp_send_reply_start(r->request, status, NULL);
    r->begun = evbuffer_get_length(output_of(r));
    after_send(r, failures);
}

/* Of what has begun; everything else in the output has gone before evhttp hands out a request. */
static bool
nothing_has_gone(const struct reply *r)
{
    return r->begun && evbuffer_get_length(output_of(r)) == r->begun && !tls_write_is_pending(bufferevent_of(r));
}

void
reply_send(struct reply *r, struct evbuffer *body)
{
    uint64_t failures = alloc_failures();
    bool first = nothing_has_gone(r);
    r->sending = true;
    evhttp_send_reply_chunk_with_cb(r->request, body, on_drained, r);
    r->begun = first ? evbuffer_get_length(output_of(r)) : 0;
    after_send(r, failures);
}

bool
reply_withdraw(struct reply *r)
{
    if (!r->evhttp || r->no_memory || !nothing_has_gone(r))
        return false;
    struct evbuffer *output = output_of(r);
    bool tls = tls_is(bufferevent_of(r));
    evbuffer_unfreeze(output, 1); /* without TLS libevent keeps it frozen except while it writes */
    evbuffer_drain(output, r->begun);
    if (!tls)
        evbuffer_freeze(output, 1);
    r->request->chunked = 0;
    r->begun = 0;
    r->sending = false;
    return true;
}

void
reply_end(struct reply *r)
{
    r->ending = r->sending && tls_is(bufferevent_of(r));
    if (!r->ending)
        send_end(r);
}

void
reply_abort(struct reply *r)
{
    struct evhttp_connection *evhttp = r->evhttp;
    if (!evhttp)
        return;
    connection_reset(evhttp);
    detach(r);
    evhttp_connection_free(evhttp);
}

void
reply_free(struct reply *r)
{
    if (!r)
        return;
    reply_abort(r);
    detach(r);
    free(r);
}
