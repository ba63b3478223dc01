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
 *        |                            | settle         one line of log      |
 *
 * An answer that fits in HOLD_BYTES is sent only when the service's body has come to its end: then a failure, wherever
 * it was, is still a status. A longer one has gone out in part, and can only be broken. fail() knows which; every road
 * ends in settle().
 *
 * The road may fork anywhere to: on_deadline (no time left), on_gone (the scraper left), fail (anything else).
 */
#include "scrape.h"

#include "fetch.h"
#include "gzip.h"
#include "negotiate.h"
#include "outcome.h"
#include "params.h"
#include "pipeline.h"
#include "reply.h"
#include "server.h"

#include "../service/http.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
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
    struct params params;
    bool head_only;
    char peer[64];
    struct timespec began;

    struct reply *reply;
    struct fetch *fetch; /* NULL once it has ended */
    struct event *deadline;
    struct pipeline *pipeline; /* NULL before the head */
    size_t used;               /* bytes of the piece in hand that the pipeline took before a pause */
    int gzip_level;            /* for this scraper; below 0: none */
    enum stage stage;
    bool in_flight; /* a piece was sent and has not drained */
    bool paused;

    enum outcome outcome;
    int status; /* sent, or to be */
    uint64_t bytes_in, bytes_out;
    char reason[320]; /* why it failed */
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
}

static const char no_memory[] = "there is no memory left for the scrape";

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct scrape *s = ctx;
    (void)fd, (void)what;
    if (s->stage == STAGE_OVER) {
        end_fetch(s);
        settle(s);
        return;
    }
    const char *who = !s->fetch || s->paused ? "the scraper did not read" : "the service did not answer";
    fail(s, OUTCOME_TIMEOUT, "endpoint %s: %s in time", s->endpoint->name, who);
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
        evhttp_add_header(reply_headers(s->reply), "Vary", "Accept-Encoding");
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
    s->gzip_level = -1;
    if (encoding)
        evhttp_add_header(reply_headers(s->reply), "Content-Encoding", encoding);
    s->outcome = OUTCOME_PASSED_ON;
    snprintf(s->reason, sizeof(s->reason), "endpoint %s: the service answered with status %d", s->endpoint->name,
             s->status);
}

static enum fetch_pace
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct scrape *s = ctx;
    struct evkeyvalq *out = reply_headers(s->reply);
    const char *encoding = evhttp_find_header(headers, "Content-Encoding");

    s->status = status;
    if (negotiate_response(headers, out))
        return fail_and_stop(s, OUTCOME_NO_MEMORY, no_memory);
    if (status != 200) {
        pass_on(s, encoding);
    } else if (encoding && !is_gzip(encoding) && strcasecmp(encoding, "identity") != 0) {
        fail(s, OUTCOME_UPSTREAM_FAILED,
             "endpoint %s: the service's answer is encoded as \"%.40s\", which was not asked for", s->endpoint->name,
             encoding);
        return FETCH_STOP;
    } else if (!evhttp_find_header(out, "Content-Type")) {
        evhttp_add_header(out, "Content-Type", s->endpoint->default_content_type);
    }

    struct pipeline_settings settings = {
        .filtered = status == 200,
        .content_type = evhttp_find_header(out, "Content-Type"),
        .shards = s->params.shards,
        .hash = (enum ss_hash)s->config->hash,
        .placement = (enum ss_placement)s->config->placement,
        .max_line = s->endpoint->max_line,
        .max_body = s->endpoint->max_body,
        .strict_close = s->endpoint->strict_close,
        .gunzip = is_gzip(encoding),
        .gzip_level = s->gzip_level,
    };
    if (pipeline_new(&s->pipeline, &settings))
        return fail_and_stop(s, OUTCOME_NO_MEMORY, no_memory);
    return FETCH_ON;
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
        fail(s, OUTCOME_TOO_LARGE, "endpoint %s: %s", name, reason);
        break;
    case PIPELINE_BAD_ENCODING:
        fail(s, OUTCOME_UPSTREAM_FAILED, "endpoint %s: the service's answer cannot be decoded: %s", name, reason);
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
        if (result == FETCH_FAILED)
            fail(s, OUTCOME_UPSTREAM_FAILED, "endpoint %s: the service's answer failed: %s", s->endpoint->name, reason);
        else if ((r = pipeline_end(s->pipeline, result == FETCH_CLOSED)) != 0)
            fail_pipeline(s, r);
        else
            finish(s);
    }
    end_fetch(s);
    settle(s);
}

static const struct fetch_events fetch_events = {on_head, on_body, on_end};

/* The beginning. */

/* The upstream's URL with the rest of the scrape's query. */
static char *
make_url(const char *url, const char *query)
{
    char *out;
    if (!query)
        return strdup(url);
    return asprintf(&out, "%s%c%s", url, strchr(url, '?') ? '&' : '?', query) < 0 ? NULL : out;
}

static void
ask(struct scrape *s, const struct evkeyvalq *headers)
{
    char *url = make_url(s->endpoint->url, s->params.query);
    struct fetch_request request = {url, s->endpoint->socket, s->endpoint->upstream_encoding == ENCODING_GZIP, headers};
    if (!url || fetch_new(&s->fetch, s->server->upstream, &request, &fetch_events, s))
        fail(s, OUTCOME_NO_MEMORY, "%s", no_memory);
    free(url);
}

static int
set_deadline(struct scrape *s, int64_t ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    s->deadline = evtimer_new(s->server->base, on_deadline, s);
    return s->deadline && !evtimer_add(s->deadline, &tv) ? 0 : -ENOMEM;
}

/* Reads the request, and asks the service if it is sound. */
static void
read_request(struct scrape *s, struct evhttp_request *request)
{
    const struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    bool gzip =
        s->config->compression == COMPRESSION_AUTO && gzip_accepted(evhttp_find_header(headers, "Accept-Encoding"));
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    struct params_names names = {s->config->shard_param, s->config->shard_count_param, s->config->require_shard};
    struct params_error params_error;
    struct negotiate_error error;
    struct evkeyvalq passed = TAILQ_HEAD_INITIALIZER(passed);
    int64_t ms;

    s->gzip_level = gzip ? s->config->compression_level : -1;
    int r = params_parse(&s->params, query, &names, &params_error);
    if (r > 0) {
        fail(s, OUTCOME_BAD_REQUEST, "%s", params_error.reason);
        return;
    }
    if (!r)
        r = negotiate_timeout(evhttp_find_header(headers, "X-Prometheus-Scrape-Timeout-Seconds"), s->endpoint->timeout,
                              &ms, &error);
    if (!r)
        r = negotiate_request(headers, &passed, &error);
    if (!r)
        r = set_deadline(s, ms);
    if (!r)
        ask(s, &passed);
    else if (r > 0)
        fail(s, OUTCOME_BAD_REQUEST, "%s", error.reason);
    else
        fail(s, OUTCOME_NO_MEMORY, "%s", no_memory);
    evhttp_clear_headers(&passed);
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
    read_request(s, request);
    settle(s);
}

/* The end. */

static void
log_scrape(const struct scrape *s)
{
    struct ss_filter_counts counts = {0};
    struct timespec now;
    if (s->pipeline)
        counts = pipeline_counts(s->pipeline);
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - s->began.tv_sec) + (double)(now.tv_nsec - s->began.tv_nsec) / 1e9;

    LOG_AT(s->server->log, outcomes[s->outcome].level, "scrape", log_text("endpoint", s->endpoint->name),
           log_text("outcome", outcomes[s->outcome].word), log_number("status", s->status), log_text("peer", s->peer),
           log_text("shard", s->params.shard),
           log_number("shard_count", s->params.shards ? ss_shards_count(s->params.shards) : 0),
           log_number("bytes_in", (double)s->bytes_in), log_number("bytes_out", (double)s->bytes_out),
           log_number("series_in", (double)counts.series_seen), log_number("series_out", (double)counts.series_kept),
           log_number("families_in", (double)counts.families_seen),
           log_number("families_out", (double)counts.families_kept), log_number("seconds", seconds),
           log_text("reason", s->reason));
}

/* Ends the scrape if answer and fetch are both over. Nothing of it may be touched behind a call. */
static void
settle(struct scrape *s)
{
    if (s->stage != STAGE_OVER || s->fetch)
        return;
    struct server *server = s->server;
    log_scrape(s);
    reply_free(s->reply);
    pipeline_free(s->pipeline);
    if (s->deadline)
        event_free(s->deadline);
    params_deinit(&s->params);
    config_unref(s->config);
    free(s);
    server_scrape_over(server);
}
