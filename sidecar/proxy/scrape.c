/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of one scrape. The functions stand in the order of time.
 *
 *     scraper                      scrape                                service
 *        | GET ?shard=3&...           |                                     |
 *        |--------------------------->| scrape_begin   is it sound?         |
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
 * The road may fork anywhere to: on_deadline (no time left), on_gone (the scraper left), fail (anything else).
 */
#include "scrape.h"

#include "fetch.h"
#include "negotiate.h"
#include "outcome.h"
#include "pipeline.h"
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
    struct fetch *fetch; /* NULL once it has ended */
    struct event *deadline;
    struct pipeline *pipeline; /* NULL before the head */
    size_t used;               /* bytes of the piece in hand that the pipeline took before a pause */
    enum stage stage;
    bool in_flight; /* a piece was sent and has not drained */
    bool paused;

    enum outcome outcome;
    enum upstream_error error; /* what the service did */
    int status;                /* sent, or to be */
    uint64_t bytes_in, bytes_out;
    char reason[480]; /* why it failed */
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

static enum fetch_pace
fail_and_stop(struct scrape *s, enum outcome outcome, const char *reason)
{
    fail(s, outcome, "%s", reason);
    return FETCH_STOP;
}

static void
end_fetch(struct scrape *s)
{
    fetch_free(s->fetch);
    s->fetch = NULL;
    s->paused = false;
    place_asked(&s->place); /* another's turn */
}

static const char no_memory[] = "there is no memory left for the scrape";

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct scrape *s = ctx;
    (void)fd, (void)what;
    bool slow_reader = s->paused || (!s->fetch && !s->place.waits);
    bool asked = slow_reader || (s->fetch && fetch_was_asked(s->fetch));
    const char *what_not = slow_reader ? "the scraper did not read"
                           : !asked    ? "no connection to the service was to be had"
                                       : "the service did not answer";
    if (s->stage != STAGE_OVER) {
        fail(s, OUTCOME_TIMEOUT, "endpoint %s: %s in time", s->endpoint->name, what_not);
        s->error = slow_reader ? UPSTREAM_ERROR_NONE : asked ? UPSTREAM_ERROR_TIMEOUT : UPSTREAM_ERROR_CONNECT;
        if (slow_reader)
            telemetry_limit_hit(s->server->telemetry, LIMIT_SLOW_READER);
    }
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

/* The headers that only the pipeline can tell. */
static void
tell_encoding(struct scrape *s)
{
    if (s->config->compression == COMPRESSION_AUTO && s->outcome != OUTCOME_PASSED_ON)
        negotiate_vary(reply_headers(s->reply));
    if (pipeline_is_gzip(s->pipeline))
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
        tell_encoding(s);
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
        fetch_resume(s->fetch);
        /* A transfer that is stopped while it is resumed tells no end. */
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
        tell_encoding(s);
        reply_whole(s->reply, s->status, s->head_only ? NULL : rest, s->bytes_out);
    } else {
        /* The last piece need not have drained: reply_end() waits for both. */
        if (staged(s))
            reply_send(s->reply, rest);
        reply_end(s->reply);
    }
}

static const struct reply_events reply_events = {on_drained, on_gone, on_done};

/* The service's side. */

/* Which of a service's encodings we asked for or can take all the same. */
static bool
is_gzip(const char *encoding)
{
    return encoding && (!strcasecmp(encoding, "gzip") || !strcasecmp(encoding, "x-gzip"));
}

/* An answer that is no 200 goes through as it is: a scraper takes none of it for a success. */
static void
pass_on(struct scrape *s, const char *encoding)
{
    if (encoding)
        evhttp_add_header(reply_headers(s->reply), "Content-Encoding", encoding);
    s->outcome = OUTCOME_PASSED_ON;
    s->error = outcomes[OUTCOME_PASSED_ON].error;
    snprintf(s->reason, sizeof(s->reason), "endpoint %s: the service answered with status %d", s->endpoint->name,
             s->status);
}

/* Begins the pipeline for an answer that has a body of this encoding; NULL: a plain one. */
static enum fetch_pace
begin_body(struct scrape *s, const char *encoding)
{
    if (s->status == 200 && encoding && !is_gzip(encoding) && strcasecmp(encoding, "identity") != 0) {
        fail(s, OUTCOME_UPSTREAM_FAILED,
             "endpoint %s: the service's answer is encoded as \"%.40s\", which was not asked for", s->endpoint->name,
             encoding);
        s->error = UPSTREAM_ERROR_ENCODING;
        return FETCH_STOP;
    }
    if (s->status != 200)
        pass_on(s, encoding);

    struct pipeline_settings settings = {
        .filtered = s->status == 200,
        .content_type = evhttp_find_header(reply_headers(s->reply), "Content-Type"),
        .shards = s->request.params.shards,
        .sharding = s->config->sharding,
        .max_line = s->endpoint->max_line,
        .max_series = s->endpoint->max_series,
        .max_families = s->endpoint->max_families,
        .max_body = s->endpoint->max_body,
        .strict_close = s->endpoint->strict_close,
        .gunzip = is_gzip(encoding),
        .gzip_level = s->request.gzip ? s->config->compression_level : -1,
    };
    if (pipeline_new(&s->pipeline, &settings))
        return fail_and_stop(s, OUTCOME_NO_MEMORY, no_memory);
    return FETCH_ON;
}

static enum fetch_pace
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct scrape *s = ctx;
    struct evkeyvalq *out = reply_headers(s->reply);
    char *encoding;

    s->status = status;
    if (negotiate_response(headers, out) || negotiate_join(headers, "Content-Encoding", &encoding))
        return fail_and_stop(s, OUTCOME_NO_MEMORY, no_memory);
    /* A blank one is as good as none: Prometheus 3 refuses both. */
    const char *content_type = evhttp_find_header(out, "Content-Type");
    if (status == 200 && (!content_type || !*content_type)) {
        evhttp_remove_header(out, "Content-Type");
        evhttp_add_header(out, "Content-Type", s->endpoint->default_content_type);
    }
    enum fetch_pace pace = begin_body(s, encoding);
    free(encoding);
    return pace;
}

/* The limit that a pipeline's answer speaks of. */
static enum limit
limit_of(int r)
{
    return r == PIPELINE_TOO_LARGE         ? LIMIT_BODY
           : r == PIPELINE_LINE_TOO_LONG   ? LIMIT_LINE
           : r == PIPELINE_TOO_MANY_SERIES ? LIMIT_SERIES
                                           : LIMIT_FAMILIES;
}

/* A pipeline's answer that is not 0. */
static void
fail_pipeline(struct scrape *s, int r)
{
    const char *name = s->endpoint->name, *reason = pipeline_reason(s->pipeline);
    switch (r) {
    case PIPELINE_NO_EXPOSITION:
        fail(s, OUTCOME_NO_EXPOSITION, "endpoint %s: the service's answer is no exposition: %s", name, reason);
        break;
    case PIPELINE_CUT:
        fail(s, OUTCOME_UPSTREAM_CUT, "endpoint %s: %s", name, reason);
        break;
    case PIPELINE_TOO_LARGE:
    case PIPELINE_LINE_TOO_LONG:
    case PIPELINE_TOO_MANY_SERIES:
    case PIPELINE_TOO_MANY_FAMILIES:
        fail(s, OUTCOME_TOO_LARGE, "endpoint %s: %s", name, reason);
        telemetry_limit_hit(s->server->telemetry, limit_of(r));
        break;
    case PIPELINE_UNDECIDED:
        fail(s, OUTCOME_UNDECIDED, "endpoint %s: the service's answer cannot be sharded: %s", name, reason);
        break;
    case PIPELINE_BAD_ENCODING:
        fail(s, OUTCOME_UPSTREAM_FAILED, "endpoint %s: the service's answer cannot be decoded: %s", name, reason);
        s->error = UPSTREAM_ERROR_ENCODING;
        break;
    default:
        fail(s, OUTCOME_NO_MEMORY, "%s", no_memory);
    }
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
        int r = 0;
        if (result >= FETCH_FAILED) {
            fail(s, OUTCOME_UPSTREAM_FAILED, "endpoint %s: the service's answer failed: %s", s->endpoint->name, reason);
            if (result != FETCH_FAILED)
                s->error = result == FETCH_UNREACHABLE ? UPSTREAM_ERROR_CONNECT : UPSTREAM_ERROR_CUT;
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

/* A file's name, or NULL if the setting says that there is none. */
static const char *
file_of(const char *setting, const char *none)
{
    return strcmp(setting, none) ? setting : NULL;
}

static struct fetch_request
describe(const struct scrape *s, const char *url)
{
    const struct endpoint *e = s->endpoint;
    return (struct fetch_request){
        .url = url,
        .socket = e->socket,
        .connect_to = e->connect_to,
        .host = e->host,
        .tls = {file_of(e->tls_ca, "system"), file_of(e->tls_certificate, "off"), file_of(e->tls_key, "off"),
                e->tls_insecure},
        .gzip = e->upstream_encoding == ENCODING_GZIP,
        .headers = &s->request.headers,
    };
}

static int
ask(struct scrape *s)
{
    char *url = request_url(&s->request, s->endpoint);
    struct fetch_request request = describe(s, url);
    int r = url ? fetch_new(&s->fetch, s->server->upstream, &request, &fetch_events, s) : -ENOMEM;
    free(url);
    return r;
}

static int
set_deadline(struct scrape *s)
{
    struct timeval tv = {s->request.timeout / 1000, s->request.timeout % 1000 * 1000};
    s->deadline = evtimer_new(s->server->base, on_deadline, s);
    return s->deadline && !evtimer_add(s->deadline, &tv) ? 0 : -ENOMEM;
}

static void
on_turn(void *ctx)
{
    struct scrape *s = ctx;
    if (ask(s))
        fail(s, OUTCOME_NO_MEMORY, "%s", no_memory);
    settle(s);
}

/* Takes one of the endpoint's places, and asks the service when it is this scrape's turn. 0, or a negative errno value;
   EBUSY (positive): there is no place. */
static int
take_place(struct scrape *s, struct evhttp_request *request)
{
    struct peer peer = connection_peer(connection_of(request));
    int r = place_take(&s->server->places, &s->place, s->endpoint->name, &peer, s->endpoint->max_in_flight);
    if (r || !place_ask(&s->place, s->config->max_upstream_connections, on_turn, s))
        return r;
    return ask(s);
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
        free(s);
        http_reply(request, outcomes[OUTCOME_NO_MEMORY].status, no_memory);
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
    if (!r && (r = take_place(s, request)) == EBUSY)
        fail_busy(s);
    else if (r > 0)
        fail(s, OUTCOME_BAD_REQUEST, "%s", reason);
    else if (r)
        fail(s, OUTCOME_NO_MEMORY, "%s", no_memory);
    settle(s);
}

/* The end. */

/* Tells how it went, to the log and to telemetry. */
static void
tell(const struct scrape *s)
{
    struct ss_filter_counts counts = {0};
    struct timespec now;
    if (s->pipeline)
        counts = pipeline_counts(s->pipeline);
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
                                               .unwatched = s->head_only,
                                               .shard = s->request.params.shard,
                                               .shard_count = shard_count,
                                               .peer = s->peer,
                                               .reason = s->reason,
                                           });
    if (s->outcome == OUTCOME_OK) {
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
