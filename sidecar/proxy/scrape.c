/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one scrape. The functions stand in the order of time.
 *
 *     scraper                      scrape                                service
 *        | GET ?shard=3&...           |                                     |
 *        |--------------------------->| scrape_begin   is it sound?         |
 *        |                            | try_snapshot           is a snapshot here, or on its way? (max_age)
 *        |                            | start_fetch            ------ GET --------->|
 *        |                            | on_head        <----- head ---------|
 *        |                            | on_body        <----- bytes --------|
 *        |                            |   pipeline: gunzip, filter, gzip
 *        |                            |   staged until there is a piece to send
 *        |<-------- piece ------------| flush_staged           (head first)         |
 *        |                            |   wait until drained, meanwhile:    |
 *        |                            |   FETCH_PAUSE when enough is staged |
 *        | (took it)                  | on_drained     fetch_resume ------->|
 *        |                            | on_end         <----- the end ------|
 *        |<-------- the rest ---------| finish         checked to the last byte
 *        |                            | on_done                             |
 *        |                            | scrape_finish_if_done  log and telemetry    |
 *
 * An reply_from_snapshot that fits in HOLD_BYTES is sent only when the service's body has come to its end: then a
 * failure, wherever it was, is still a status. A longer one has gone out in part, and can only be broken. scrape_fail()
 * knows which; every road ends in scrape_finish_if_done() (scrape_end.c).
 *
 * Under max_age the service's side is snapshot.h's: the scrape waits until the body is there (on_snapshot_ready), and
 * answers from it at once and whole (reply_from_snapshot). Only when there is no room for a snapshot it asks the
 * service itself.
 *
 * The road may fork anywhere to: scrape_on_deadline (no time left), scrape_on_gone (the scraper left), scrape_fail
 * (anything else).
 */
#include "scrape.h"

#include "negotiate.h"
#include "reply.h"
#include "scrape_state.h"
#include "server.h"

#include "service/base/alloc_reserve.h"
#include "service/http/http.h"
#include "service/telemetry/rejection_log.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    /* An reply_from_snapshot is held up to so much. */
    HOLD_BYTES = 64 * 1024,
    /* As much is sent at once, and as much is staged meanwhile: two of these are the scrape's memory for a body. */
    PIECE_BYTES = 192 * 1024,
};

/* The reply_from_snapshot. */

static size_t
staged(const struct scrape *s)
{
    return s->pipeline ? evbuffer_get_length(pipeline_out(s->pipeline)) : 0;
}

/* The headers that are known only when there is something to send. False: there is no memory for them. */
static bool
add_encoding_headers(struct scrape *s, bool gzip)
{
    uint64_t failures = alloc_failures();
    if (s->config->compression == COMPRESSION_AUTO && s->failure.outcome != OUTCOME_PASSED_ON)
        negotiate_vary(reply_headers(s->reply));
    if (gzip)
        evhttp_add_header(reply_headers(s->reply), "Content-Encoding", "gzip");
    return alloc_failures() == failures;
}

/* Sends what is staged if it is worth it and the last piece has drained. */
static void
flush_staged(struct scrape *s)
{
    size_t len = staged(s);
    if (len < (s->stage == STAGE_HOLDING ? HOLD_BYTES : PIECE_BYTES) || s->in_flight || s->stage == STAGE_OVER)
        return;
    s->bytes_out += len;
    if (s->head_only) {
        evbuffer_drain(pipeline_out(s->pipeline), len);
        return;
    }
    if (s->stage == STAGE_HOLDING) {
        if (!reply_can_break(s->reply)) {
            struct failure failure;
            failure_set(&failure, OUTCOME_BAD_REQUEST,
                        "an reply_from_snapshot of more than %d bytes needs HTTP/1.1 on a unix socket", HOLD_BYTES);
            scrape_fail(s, &failure);
            return;
        }
        if (!add_encoding_headers(s, pipeline_is_gzip(s->pipeline))) {
            scrape_fail_without_memory(s);
            return;
        }
        s->stage = STAGE_STREAMING;
        reply_start(s->reply, s->status);
    }
    s->in_flight = true;
    reply_send(s->reply, pipeline_out(s->pipeline));
}

static void
on_drained(void *ctx)
{
    struct scrape *s = ctx;
    s->in_flight = false;
    flush_staged(s);
    if (s->paused) {
        s->paused = false;
        /* It tells no end of itself then; unless it was stopped, a part of the body is lost, and more would follow. */
        if (!fetch_resume(s->fetch) && s->stage != STAGE_OVER)
            scrape_fail_without_memory(s);
        if (s->stage == STAGE_OVER)
            scrape_end_fetch(s);
    }
    scrape_finish_if_done(s);
}

static void
on_done(void *ctx)
{
    struct scrape *s = ctx;
    s->stage = STAGE_OVER;
    scrape_finish_if_done(s);
}

/* The whole body has come, and is whole: the rest goes out, and the end. */
static void
finish(struct scrape *s)
{
    struct evbuffer *rest = pipeline_out(s->pipeline);
    bool holding = s->stage == STAGE_HOLDING;

    if (holding && !add_encoding_headers(s, pipeline_is_gzip(s->pipeline))) {
        scrape_fail_without_memory(s);
        return;
    }
    s->bytes_out += staged(s);
    scrape_is_whole(s); /* before anything is sent: on_done may be called from in there */
    if (holding) {
        reply_whole(s->reply, s->status, s->head_only ? NULL : rest, s->bytes_out);
    } else {
        /* The last piece need not have drained: reply_end() waits for both. */
        if (staged(s))
            reply_send(s->reply, rest);
        reply_end(s->reply);
    }
}

/* The snapshot is here: all of the reply_from_snapshot goes out at once. */
static void
reply_from_snapshot(struct scrape *s)
{
    struct snapshot *snapshot = s->user.snapshot;
    struct snapshot_selection part = {evbuffer_new(), s->request.gzip, &s->counts};
    int r = part.body ? snapshot_take(snapshot, &s->request.params, &part, reply_headers(s->reply)) : -ENOMEM;

    if (!r && snapshot->index)
        telemetry_snapshot_used(s->server->telemetry, s->endpoint->name, snapshot_age(snapshot));
    if (!r) {
        s->status = snapshot->status;
        s->failure = snapshot->failure; /* or passed on, which decides what is told of encodings */
        if (!add_encoding_headers(s, part.gzip))
            r = -ENOMEM;
    }
    if (!r) {
        if (!s->shared && snapshot->index)
            scrape_report_families(s, snapshot->index);
        s->bytes_in = s->shared ? 0 : snapshot->bytes_in;
        s->bytes_out = evbuffer_get_length(part.body);
        scrape_is_whole(s);
        reply_whole(s->reply, s->status, s->head_only ? NULL : part.body, s->bytes_out);
    } else if (r == ERANGE) {
        struct failure failure;
        failure_set(&failure, OUTCOME_TOO_LARGE, "endpoint %s: the body has too much metadata", s->endpoint->name);
        scrape_fail(s, &failure);
    } else {
        scrape_fail_without_memory(s);
    }
    if (part.body)
        evbuffer_free(part.body);
}

static const struct reply_events reply_events = {on_drained, scrape_on_gone, on_done};

/* The service's side. */

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct scrape *s = ctx;
    struct failure failure = {.outcome = OUTCOME_OK}; /* or passed on */
    struct pipeline_settings settings = {
        .target = PIPELINE_FILTER,
        .shards = s->request.params.shards,
        .sharding = s->config->sharding,
        .gzip_level = s->request.gzip ? s->config->compression_level : -1,
    };
    s->status = status;
    if (!upstream_response_begin(&s->pipeline, &settings, s->endpoint, status, headers, reply_headers(s->reply),
                                 &failure)) {
        scrape_fail(s, &failure);
        return FETCH_ABORT;
    }
    s->failure = failure;
    return FETCH_CONTINUE;
}

static void
fail_pipeline(struct scrape *s, int r)
{
    struct failure failure;
    failure_of_pipeline(&failure, s->endpoint, s->pipeline, r);
    scrape_fail(s, &failure);
}

static bool
is_full(const struct scrape *s)
{
    return s->in_flight && staged(s) >= PIECE_BYTES;
}

/* A piece of the body. After a pause the same bytes come again, and those that were used are not used twice. */
static enum fetch_action
on_body(void *ctx, struct ss_span bytes)
{
    struct scrape *s = ctx;
    size_t skip = s->used < bytes.len ? s->used : bytes.len;
    struct ss_span in = {bytes.ptr + skip, bytes.len - skip};
    bool more = false;

    s->paused = is_full(s);
    while (!s->paused) {
        int r = pipeline_feed(s->pipeline, &in, &more);
        if (r) {
            fail_pipeline(s, r);
            return FETCH_ABORT;
        }
        flush_staged(s);
        if (s->stage != STAGE_HOLDING && s->stage != STAGE_STREAMING)
            return FETCH_ABORT;
        s->paused = more && is_full(s);
        if (!more) {
            s->used -= skip;
            s->bytes_in += bytes.len;
            return FETCH_CONTINUE;
        }
    }
    s->used += (size_t)(in.ptr - bytes.ptr) - skip;
    return FETCH_PAUSE;
}

static void
on_end(void *ctx, enum fetch_result result, const char *reason)
{
    struct scrape *s = ctx;

    if (s->stage == STAGE_HOLDING || s->stage == STAGE_STREAMING) {
        struct failure failure;
        int r = 0;
        if (result >= FETCH_FAILED) {
            failure_of_fetch(&failure, s->endpoint, result, reason);
            scrape_fail(s, &failure);
        } else if ((r = pipeline_end(s->pipeline, result == FETCH_CLOSED)) != 0) {
            fail_pipeline(s, r);
        } else {
            finish(s);
        }
    }
    scrape_end_fetch(s);
    scrape_finish_if_done(s);
}

static const struct fetch_events fetch_events = {on_head, on_body, on_end};

/* The beginning. */

static int
start_fetch(struct scrape *s)
{
    char *url = request_url(&s->request, s->endpoint);
    int r = url ? negotiate_tell_timeout(&s->request.headers, scrape_time_left(s)) : -ENOMEM;
    struct fetch_request request = request_for(s->endpoint, url, &s->request.headers);
    if (!r)
        r = fetch_new(&s->fetch, s->server->upstream, &request, &fetch_events, s);
    free(url);
    return r;
}

static void
on_slot(void *ctx)
{
    struct scrape *s = ctx;
    if (start_fetch(s))
        scrape_fail_without_memory(s);
    scrape_finish_if_done(s);
}

/* Asks the service when it is this scrape's turn. */
static int
start_fetch_when_slot_free(struct scrape *s)
{
    int r = reply_watch(s->reply);
    if (!r)
        r = slot_acquire(&s->server->upstream_slots, &s->upstream_slot, s->endpoint->url.service,
                         &s->endpoint_slot.peer, on_slot, s);
    return r == EAGAIN ? 0 : r ? r : start_fetch(s);
}

/* There is no room for a snapshot. */
static int
bypass_snapshot(struct scrape *s)
{
    telemetry_snapshot_bypassed(s->server->telemetry, s->endpoint->name);
    return start_fetch_when_slot_free(s);
}

/* The snapshot that was waited for has come, or never will. */
static void
on_snapshot_ready(void *ctx)
{
    struct scrape *s = ctx;
    const struct snapshot *snapshot = s->user.snapshot;

    if (snapshot->state == SNAPSHOT_HERE)
        reply_from_snapshot(s);
    else if (snapshot->state == SNAPSHOT_FAILED)
        scrape_fail(s, &snapshot->failure);
    else if (bypass_snapshot(s))
        scrape_fail_without_memory(s);
    snapshot_release(&s->user);
    scrape_finish_if_done(s);
}

/* Looks for a snapshot, and asks the service if there is no room for one. */
static int
try_snapshot(struct scrape *s)
{
    struct telemetry *telemetry = s->server->telemetry;
    s->user = (struct snapshot_user){
        .peer = &s->endpoint_slot.peer, .timeout = &s->request.timeout, .on_ready = on_snapshot_ready, .ctx = s};
    int r = snapshots_acquire(&s->server->snapshots, s->config, s->endpoint, &s->request, &s->user);

    s->shared = s->user.found;
    if (s->user.found)
        telemetry_snapshot_hit(telemetry, s->endpoint->name, s->user.waits);
    else
        telemetry_snapshot_miss(telemetry, s->endpoint->name);
    if (r > 0)
        return bypass_snapshot(s);
    if (!r && s->user.waits) {
        r = reply_watch(s->reply);
    } else if (!r) {
        reply_from_snapshot(s);
    }
    if (r || !s->user.waits)
        snapshot_release(&s->user);
    return r;
}

static int
begin_deadline(struct scrape *s)
{
    s->deadline = evtimer_new(s->server->base, scrape_on_deadline, s);
    return s->deadline ? scrape_set_deadline(s, 0) : -ENOMEM;
}

/* Takes one of the endpoint's places. 0, or a negative errno value; EBUSY (positive): there is none. */
static int
take_endpoint_slot(struct scrape *s, struct evhttp_request *request)
{
    struct peer peer = connection_peer(connection_of(request));
    return slot_try_acquire(&s->server->endpoint_slots, &s->endpoint_slot, s->endpoint->name, &peer,
                            s->endpoint->max_in_flight);
}

static void
fail_busy(struct scrape *s)
{
    struct failure failure;
    rejection_report(s->server->rejections, LIMIT_IN_FLIGHT, s->peer, NULL);
    failure_set(&failure, OUTCOME_BUSY,
                "endpoint %s: as many scrapes of it are in flight as max_in_flight allows: %" PRIu64, s->endpoint->name,
                s->endpoint->max_in_flight);
    scrape_fail(s, &failure);
}

static void
fail_without_descriptor(struct scrape *s)
{
    struct failure failure;
    failure_set(&failure, OUTCOME_NO_MEMORY, "there is no descriptor left for the scrape");
    scrape_fail(s, &failure);
}

void
scrape_begin(struct server *server, const struct endpoint *endpoint, struct evhttp_request *request)
{
    struct scrape *s = calloc(1, sizeof(*s));
    if (!s || reply_new(&s->reply, request, &reply_events, s)) {
        struct failure failure;
        failure_set_no_memory(&failure);
        free(s);
        http_reply(request, outcomes[failure.outcome].status, failure.reason);
        return;
    }
    char *peer;
    ev_uint16_t port;
    evhttp_connection_get_peer(evhttp_request_get_connection(request), &peer, &port);
    snprintf(s->peer, sizeof(s->peer), "%s", peer);
    s->server = server;
    s->config = config_ref(server->config);
    s->endpoint = endpoint;
    s->head_only = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    clock_gettime(CLOCK_MONOTONIC, &s->began);
    server->in_flight++;

    char reason[320];
    int r = request_read(&s->request, request, s->config, endpoint, reason, sizeof(reason));
    if (begin_deadline(s))
        r = -ENOMEM;
    if (!r && (r = take_endpoint_slot(s, request)) == EBUSY) {
        fail_busy(s);
        r = 0;
    } else if (!r) {
        r = endpoint->max_age ? try_snapshot(s) : start_fetch_when_slot_free(s);
    }
    if (r > 0) {
        struct failure failure;
        failure_set(&failure, OUTCOME_BAD_REQUEST, "%s", reason);
        scrape_fail(s, &failure);
    } else if (r == -EMFILE) {
        fail_without_descriptor(s);
    } else if (r) {
        scrape_fail_without_memory(s);
    }
    scrape_finish_if_done(s);
}
