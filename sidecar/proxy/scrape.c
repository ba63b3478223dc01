/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one scrape. The functions stand in the order of time.
 *
 *     scraper                      scrape                                service
 *        | GET ?shard=3&...           |                                     |
 *        |--------------------------->| scrape_begin   is it sound?         |
 *        |                            | look           is a snapshot here, or on its way? (max_age)
 *        |                            | ask            ------ GET --------->|
 *        |                            | on_head        <----- head ---------|
 *        |                            | on_body        <----- bytes --------|
 *        |                            |   pipeline: gunzip, filter, gzip
 *        |                            |   staged until there is a piece to send
 *        |<-------- piece ------------| push           (head first)         |
 *        |                            |   wait until drained, meanwhile:    |
 *        |                            |   FETCH_PAUSE when enough is staged |
 *        | (took it)                  | on_drained     fetch_resume ------->|
 *        |                            | on_end         <----- the end ------|
 *        |<-------- the rest ---------| finish         checked to the last byte
 *        |                            | on_done                             |
 *        |                            | settle, tell   log and telemetry    |
 *
 * An answer that fits in HOLD_BYTES is sent only when the service's body has come to its end: then a failure, wherever
 * it was, is still a status. A longer one has gone out in part, and can only be broken. fail() knows which; every road
 * ends in settle().
 *
 * Under max_age the service's side is snapshot.h's: the scrape waits until the body is there (on_told), and answers
 * from it at once and whole (answer). Only when there is no room for a snapshot it asks the service itself.
 *
 * The road may fork anywhere to: on_deadline (no time left), on_gone (the scraper left), fail (anything else).
 */
#include "scrape.h"

#include "intake.h"
#include "negotiate.h"
#include "reply.h"
#include "request.h"
#include "server.h"

#include "../service/http.h"
#include "../service/limits.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <time.h>

enum {
    /* As much is sent at once, and as much is staged meanwhile: two of these are the scrape's memory for a body. */
    HOLD_BYTES = 64 * 1024,
};

enum stage {
    STAGE_HOLDING,   /* nothing has gone out */
    STAGE_STREAMING, /* head and pieces have */
    STAGE_FLUSHING,  /* all was handed to the kernel's door; on_done follows */
    STAGE_OVER,
};

struct scrape {
    struct server *server;
    struct config *config; /* a reference: the endpoint lives in it */
    const struct endpoint *endpoint;
    struct place place; /* among the endpoint's */
    struct request request;
    bool head_only;
    char peer[64];
    struct timespec began;

    struct reply *reply;
    struct fetch *fetch;       /* NULL once it has ended */
    struct snapshot_user user; /* under max_age */
    struct event *deadline;
    struct pipeline *pipeline; /* NULL before the head, and with a snapshot */
    size_t used;               /* bytes of the piece in hand that the pipeline took before a pause */
    enum stage stage;
    bool in_flight; /* a piece was sent and has not drained */
    bool paused;

    enum outcome outcome;
    enum upstream_error error; /* what the service did */
    int status;                /* sent, or to be */
    uint64_t bytes_in, bytes_out;
    struct ss_filter_counts counts; /* of what a snapshot gave */
    bool shared;                    /* the snapshot was fetched for another scrape */
    char reason[480];               /* why it failed */
};

static void settle(struct scrape *s);

/* Failure. */

/* Ends the answer as a failure: by a status while that can be said, by a broken transfer when it cannot. The fetch is
   the caller's to end. */
__attribute__((format(printf, 3, 4))) static void
fail(struct scrape *s, enum outcome outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(s->reason, sizeof(s->reason), format, args);
    va_end(args);
    s->outcome = outcome;
    s->error = outcomes[outcome].error;

    if (s->stage != STAGE_HOLDING) {
        reply_break(s->reply);
        s->stage = STAGE_OVER;
        return;
    }
    s->stage = STAGE_FLUSHING;
    s->status = outcomes[outcome].status;
    s->bytes_out = strlen(s->reason) + 1;

    struct evkeyvalq *headers = reply_headers(s->reply);
    evhttp_clear_headers(headers);
    evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
    if (outcome == OUTCOME_BUSY)
        evhttp_add_header(headers, "Retry-After", "1");
    struct evbuffer *text = s->head_only ? NULL : evbuffer_new();
    if (!s->head_only && (!text || evbuffer_add_printf(text, "%s\n", s->reason) < 0)) {
        if (text)
            evbuffer_free(text);
        reply_break(s->reply);
        s->stage = STAGE_OVER;
        return;
    }
    reply_whole(s->reply, s->status, text, s->bytes_out);
    if (text)
        evbuffer_free(text);
}

static void
fail_with(struct scrape *s, const struct failure *failure)
{
    fail(s, failure->outcome, "%s", failure->reason);
    s->error = failure->error;
    if (failure->limit != LIMITS)
        telemetry_limit_hit(s->server->telemetry, failure->limit);
}

static void
fail_without_memory(struct scrape *s)
{
    struct failure failure;
    failure_set_no_memory(&failure);
    fail_with(s, &failure);
}

/* Ends what the service's side is to the scrape. */
static void
end_fetch(struct scrape *s)
{
    fetch_free(s->fetch);
    s->fetch = NULL;
    s->paused = false;
    place_asked(&s->place); /* another's turn */
    snapshot_leave(&s->user);
}

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct scrape *s = ctx;
    struct failure failure;
    (void)fd, (void)what;
    if (s->user.waits || s->place.waits || (s->fetch && !s->paused)) {
        intake_timed_out(&failure, s->endpoint,
                         s->user.waits ? snapshot_was_asked(s->user.snapshot) : s->fetch && fetch_was_asked(s->fetch));
    } else {
        failure_set(&failure, OUTCOME_TIMEOUT, "endpoint %s: the scraper did not read in time", s->endpoint->name);
        failure.error = UPSTREAM_ERROR_NONE;
        failure.limit = LIMIT_SLOW_READER;
    }
    if (s->stage != STAGE_OVER)
        fail_with(s, &failure);
    end_fetch(s);
    settle(s);
}

static void
on_gone(void *ctx)
{
    struct scrape *s = ctx;
    end_fetch(s);
    if (s->outcome == OUTCOME_OK)
        s->outcome = OUTCOME_CLIENT_GONE;
    s->stage = STAGE_OVER;
    settle(s);
}

/* The answer. */

static size_t
staged(const struct scrape *s)
{
    return s->pipeline ? evbuffer_get_length(pipeline_out(s->pipeline)) : 0;
}

/* An answer of the service that is no success goes out as it is. */
static void
pass_on(struct scrape *s, const struct failure *failure)
{
    s->outcome = failure->outcome;
    s->error = failure->error;
    snprintf(s->reason, sizeof(s->reason), "%s", failure->reason);
}

/* The headers that are known only when there is something to send. */
static void
tell_encoding(struct scrape *s, bool gzip)
{
    if (s->config->compression == COMPRESSION_AUTO && s->outcome != OUTCOME_PASSED_ON)
        negotiate_vary(reply_headers(s->reply));
    if (gzip)
        evhttp_add_header(reply_headers(s->reply), "Content-Encoding", "gzip");
}

/* Sends what is staged if it is worth it and the last piece has drained. */
static void
push(struct scrape *s)
{
    size_t len = staged(s);
    if (len < HOLD_BYTES || s->in_flight || s->stage == STAGE_OVER)
        return;
    s->bytes_out += len;
    if (s->head_only) {
        evbuffer_drain(pipeline_out(s->pipeline), len);
        return;
    }
    if (s->stage == STAGE_HOLDING) {
        if (!reply_can_break(s->reply)) {
            fail(s, OUTCOME_BAD_REQUEST, "an answer of more than %d bytes needs HTTP/1.1 on a unix socket", HOLD_BYTES);
            return;
        }
        s->stage = STAGE_STREAMING;
        tell_encoding(s, pipeline_is_gzip(s->pipeline));
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
    push(s);
    if (s->paused) {
        s->paused = false;
        /* It tells no end of itself then; unless it was stopped, a part of the body is lost, and more would follow. */
        if (!fetch_resume(s->fetch) && s->stage != STAGE_OVER)
            fail_without_memory(s);
        if (s->stage == STAGE_OVER)
            end_fetch(s);
    }
    settle(s);
}

static void
on_done(void *ctx)
{
    struct scrape *s = ctx;
    s->stage = STAGE_OVER;
    settle(s);
}

/* The whole body has come, and is whole: the rest goes out, and the end. */
static void
finish(struct scrape *s)
{
    struct evbuffer *rest = pipeline_out(s->pipeline);
    bool holding = s->stage == STAGE_HOLDING;

    s->bytes_out += staged(s);
    s->stage = STAGE_FLUSHING; /* before anything is sent: on_done may be called from in there */
    if (holding) {
        tell_encoding(s, pipeline_is_gzip(s->pipeline));
        reply_whole(s->reply, s->status, s->head_only ? NULL : rest, s->bytes_out);
    } else {
        /* The last piece need not have drained: reply_end() waits for both. */
        if (staged(s))
            reply_send(s->reply, rest);
        reply_end(s->reply);
    }
}

/* The largest families of a snapshot, told by the scrape that it was fetched for. */
static void
tell_families(const struct scrape *s, const struct ss_index *index)
{
    struct ss_family_count largest[WATCH_FAMILIES];
    size_t n = ss_index_largest(index, largest, WATCH_FAMILIES);
    telemetry_families(s->server->telemetry, s->endpoint->name, largest, n);
}

/* The snapshot is here: all of the answer goes out at once. */
static void
answer(struct scrape *s)
{
    struct snapshot *snapshot = s->user.snapshot;
    struct snapshot_part part = {evbuffer_new(), s->request.gzip, &s->counts};
    int r = part.body ? snapshot_take(snapshot, &s->request.params, &part, reply_headers(s->reply)) : -ENOMEM;

    if (!r) {
        s->status = snapshot->status;
        pass_on(s, &snapshot->failure);
        tell_encoding(s, part.gzip);
        if (!s->shared && snapshot->index)
            tell_families(s, snapshot->index);
        s->bytes_in = s->shared ? 0 : snapshot->bytes_in;
        s->bytes_out = evbuffer_get_length(part.body);
        s->stage = STAGE_FLUSHING;
        reply_whole(s->reply, s->status, s->head_only ? NULL : part.body, s->bytes_out);
    } else if (r == ERANGE) {
        fail(s, OUTCOME_TOO_LARGE, "endpoint %s: the body has too much metadata", s->endpoint->name);
    } else {
        fail_without_memory(s);
    }
    if (part.body)
        evbuffer_free(part.body);
}

static const struct reply_events reply_events = {on_drained, on_gone, on_done};

/* The service's side. */

static enum fetch_pace
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct scrape *s = ctx;
    struct failure failure = {.outcome = OUTCOME_OK};
    struct pipeline_settings settings = {
        .target = PIPELINE_FILTER,
        .shards = s->request.params.shards,
        .sharding = s->config->sharding,
        .gzip_level = s->request.gzip ? s->config->compression_level : -1,
    };
    s->status = status;
    if (!intake_begin(&s->pipeline, &settings, s->endpoint, status, headers, reply_headers(s->reply), &failure)) {
        fail_with(s, &failure);
        return FETCH_STOP;
    }
    pass_on(s, &failure);
    return FETCH_ON;
}

static void
fail_pipeline(struct scrape *s, int r)
{
    struct failure failure;
    intake_pipeline_failed(&failure, s->endpoint, s->pipeline, r);
    fail_with(s, &failure);
}

static bool
is_full(const struct scrape *s)
{
    return s->in_flight && staged(s) >= HOLD_BYTES;
}

/* A piece of the body. After a pause the same bytes come again, and those that were used are not used twice. */
static enum fetch_pace
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
            return FETCH_STOP;
        }
        push(s);
        if (s->stage != STAGE_HOLDING && s->stage != STAGE_STREAMING)
            return FETCH_STOP;
        s->paused = more && is_full(s);
        if (!more) {
            s->used -= skip;
            s->bytes_in += bytes.len;
            return FETCH_ON;
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
            intake_fetch_failed(&failure, s->endpoint, result, reason);
            fail_with(s, &failure);
        } else if ((r = pipeline_end(s->pipeline, result == FETCH_CLOSED)) != 0) {
            fail_pipeline(s, r);
        } else {
            finish(s);
        }
    }
    end_fetch(s);
    settle(s);
}

static const struct fetch_events fetch_events = {on_head, on_body, on_end};

/* The beginning. */

static int
ask(struct scrape *s)
{
    char *url = request_url(&s->request, s->endpoint);
    struct fetch_request request = request_for(s->endpoint, url, &s->request.headers);
    int r = url ? fetch_new(&s->fetch, s->server->upstream, &request, &fetch_events, s) : -ENOMEM;
    free(url);
    return r;
}

static void
on_turn(void *ctx)
{
    struct scrape *s = ctx;
    if (ask(s))
        fail_without_memory(s);
    settle(s);
}

/* Asks the service when it is this scrape's turn. */
static int
ask_in_turn(struct scrape *s)
{
    return place_ask(&s->place, s->config->max_upstream_connections, on_turn, s) ? ask(s) : 0;
}

/* The snapshot that was waited for has come, or never will. */
static void
on_told(void *ctx)
{
    struct scrape *s = ctx;
    const struct snapshot *snapshot = s->user.snapshot;

    if (snapshot->state == SNAPSHOT_HERE)
        answer(s);
    else if (snapshot->state == SNAPSHOT_FAILED)
        fail_with(s, &snapshot->failure);
    else if (ask_in_turn(s))
        fail_without_memory(s);
    snapshot_leave(&s->user);
    settle(s);
}

/* Looks for a snapshot, and asks the service if there is no room for one. */
static int
look(struct scrape *s)
{
    struct telemetry *telemetry = s->server->telemetry;
    s->user = (struct snapshot_user){.peer = &s->place.peer, .told = on_told, .ctx = s};
    int r = snapshots_ask(&s->server->snapshots, s->config, s->endpoint, &s->request, &s->user);

    s->shared = s->user.found;
    if (s->user.found)
        telemetry_snapshot_hit(telemetry, s->endpoint->name);
    else
        telemetry_snapshot_miss(telemetry, s->endpoint->name);
    if (r > 0)
        return ask_in_turn(s);
    if (!r && !s->user.waits) {
        answer(s);
        snapshot_leave(&s->user);
    }
    return r;
}

static int
set_deadline(struct scrape *s)
{
    struct timeval tv = {s->request.timeout / 1000, s->request.timeout % 1000 * 1000};
    s->deadline = evtimer_new(s->server->base, on_deadline, s);
    return s->deadline && !evtimer_add(s->deadline, &tv) ? 0 : -ENOMEM;
}

/* Takes one of the endpoint's places. 0, or a negative errno value; EBUSY (positive): there is none. */
static int
take_place(struct scrape *s, struct evhttp_request *request)
{
    struct peer peer = connection_peer(connection_of(request));
    return place_take(&s->server->places, &s->place, s->endpoint->name, &peer, s->endpoint->max_in_flight);
}

static void
fail_busy(struct scrape *s)
{
    limits_hit(s->server->limits, LIMIT_IN_FLIGHT, s->peer, NULL);
    fail(s, OUTCOME_BUSY, "endpoint %s: as many scrapes of it are in flight as max_in_flight allows: %" PRIu64,
         s->endpoint->name, s->endpoint->max_in_flight);
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
    if (r) /* the answer that says so is to be read in time too */
        s->request.timeout = endpoint->timeout;
    if (set_deadline(s))
        r = -ENOMEM;
    if (!r && (r = take_place(s, request)) == EBUSY) {
        fail_busy(s);
        r = 0;
    } else if (!r) {
        r = endpoint->max_age ? look(s) : ask_in_turn(s);
    }
    if (r > 0)
        fail(s, OUTCOME_BAD_REQUEST, "%s", reason);
    else if (r)
        fail_without_memory(s);
    settle(s);
}

/* The end. */

/* Tells how it went, to the log and to telemetry. */
static void
tell(const struct scrape *s)
{
    struct ss_filter_counts counts = s->pipeline ? pipeline_counts(s->pipeline) : s->counts;
    struct timespec now;
    uint32_t shard_count = s->request.params.shards ? ss_shards_count(s->request.params.shards) : 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - s->began.tv_sec) + (double)(now.tv_nsec - s->began.tv_nsec) / 1e9;

    LOG_AT(s->server->log, outcomes[s->outcome].level, "scrape", log_text("endpoint", s->endpoint->name),
           log_text("outcome", outcomes[s->outcome].word), log_number("status", s->status), log_text("peer", s->peer),
           log_text("shard", s->request.params.shard), log_number("shard_count", shard_count),
           log_number("bytes_in", (double)s->bytes_in), log_number("bytes_out", (double)s->bytes_out),
           log_number("series_in", (double)counts.series_seen), log_number("series_out", (double)counts.series_kept),
           log_number("families_in", (double)counts.families_seen),
           log_number("families_out", (double)counts.families_kept), log_number("seconds", seconds),
           log_text("reason", s->reason));
    telemetry_scrape(s->server->telemetry, &(struct telemetry_scrape){
                                               .endpoint = s->endpoint->name,
                                               .outcome = s->outcome,
                                               .ok = s->outcome == OUTCOME_OK,
                                               .error = s->error,
                                               .seconds = seconds,
                                               .bytes_in = s->bytes_in,
                                               .bytes_out = s->head_only ? 0 : s->bytes_out,
                                               .counts = counts,
                                               .shared = s->shared,
                                               .unwatched = s->head_only,
                                               .shard = s->request.params.shard,
                                               .shard_count = shard_count,
                                               .peer = s->peer,
                                               .reason = s->reason,
                                           });
    if (s->outcome == OUTCOME_OK && s->pipeline) {
        struct ss_family_count largest[WATCH_FAMILIES];
        size_t n = pipeline_largest(s->pipeline, largest, WATCH_FAMILIES);
        telemetry_families(s->server->telemetry, s->endpoint->name, largest, n);
    }
}

/* Ends the scrape if answer and fetch are both over. Nothing of it may be touched behind a call. */
static void
settle(struct scrape *s)
{
    if (s->stage != STAGE_OVER || s->fetch)
        return;
    struct server *server = s->server;
    tell(s);
    snapshot_leave(&s->user);
    reply_free(s->reply);
    pipeline_free(s->pipeline);
    if (s->deadline)
        event_free(s->deadline);
    request_deinit(&s->request);
    place_leave(&server->places, &s->place);
    config_unref(s->config);
    free(s);
    server_scrape_over(server);
}
