/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one scrape. The functions stand in the order of time.
 *
 *     scraper              scrape                                              upstream
 *        | GET ?shard=3&...   |                                                    |
 *        |------------------->| scrape_start            validate, acquire a slot   |
 *        |                    | try_snapshot            with max_age: cached, or   |
 *        |                    |                         being fetched?             |
 *        |                    | start_fetch_when_slot_free                         |
 *        |                    | start_fetch             ---------- GET ----------->|
 *        |                    | on_head                 <-------- header ----------|
 *        |                    | on_body                 <-------- body ------------|
 *        |                    |   body_filter: gunzip, filter, gzip                   |
 *        |                    |   staged until there is a chunk to send            |
 *        |<----- chunk -------| flush_staged            (header first)             |
 *        |                    |   FETCH_PAUSE if enough is staged meanwhile        |
 *        | (read)             | on_drained              fetch_resume ------------->|
 *        |                    | on_end                  <--------- end ------------|
 *        |<----- rest --------| finish_response         validated to the last byte |
 *        |                    | on_done                                            |
 *        |                    | scrape_finish_if_done   log and telemetry          |
 *
 * A response that fits in HOLD_BYTES is sent only after the upstream's body has ended, so that a failure anywhere in it
 * still becomes a status. A longer one is sent in part, and can only be aborted once its first byte has gone to the
 * kernel. scrape_fail() knows which.
 *
 * With max_age the snapshot (snapshot.h) does the fetch: the scrape waits for on_snapshot_ready(), and
 * reply_from_snapshot() sends the whole response at once. If there is no room for a snapshot, bypass_snapshot()
 * fetches.
 *
 * At any time: scrape_on_deadline() (out of time), scrape_on_client_gone() (the scraper left), scrape_fail() (any other
 * failure). Every scrape ends in scrape_finish_if_done(). These are in scrape_end.c.
 */
#include "scrape.h"

#include "negotiate.h"
#include "proxy_context.h"
#include "reply.h"
#include "scrape_state.h"
#include "snapshot_select.h"

#include "service/base/alloc_reserve.h"
#include "service/config/config.h"
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
    /* A response up to this size is sent only when it is complete. */
    HOLD_BYTES = 64 * 1024,
    /* One chunk is being sent while the next is staged: a scrape's memory for the body is twice this. */
    CHUNK_BYTES = 192 * 1024,
    /* Larger steps made larger chunks, which a slow reader's socket took later, if at all (tests/torture/load
       slowloris). */
    STEP_BYTES = 16 * 1024,
};

static int try_snapshot(struct scrape *s);
static int start_fetch_when_slot_free(struct scrape *s);
static size_t staged(const struct scrape *s);
static void flush_staged(struct scrape *s);
static void finish_response(struct scrape *s);
static void reply_from_snapshot(struct scrape *s);

static enum fetch_action on_head(void *ctx, int status, const struct evkeyvalq *headers);
static enum fetch_action on_body(void *ctx, struct ss_span *bytes);
static void on_end(void *ctx, enum fetch_result result, const char *reason);
static void on_connected(void *ctx, bool reused);
static const struct fetch_events fetch_events = {on_head, on_body, on_end, on_connected};

static void on_drained(void *ctx);
static void on_done(void *ctx);
static const struct reply_events reply_events = {on_drained, scrape_on_client_gone, on_done};

/* The start. */

static int
create_deadline(struct scrape *s)
{
    s->deadline = evtimer_new(s->proxy->base, scrape_on_deadline, s);
    return s->deadline ? scrape_set_deadline(s, 0) : -ENOMEM;
}

/* 0, EBUSY (positive): max_in_flight reached, or a negative errno value. */
static int
acquire_endpoint_slot(struct scrape *s, struct evhttp_request *request)
{
    struct peer peer = connection_peer(connection_of(request));
    return slot_try_acquire(&s->proxy->endpoint_slots, &s->endpoint_slot, s->endpoint->name, &peer,
                            s->endpoint->max_in_flight);
}

static void
fail_busy(struct scrape *s)
{
    struct failure failure;
    rejection_report(s->proxy->rejections, LIMIT_IN_FLIGHT, s->peer, NULL);
    failure_set(&failure, FAILURE_BUSY,
                "endpoint %s: too many scrapes in flight (max_in_flight = %" PRIu64 "), retry later", s->endpoint->name,
                s->endpoint->max_in_flight);
    scrape_fail(s, &failure);
}

static void
fail_out_of_descriptors(struct scrape *s)
{
    struct failure failure;
    failure_set(&failure, FAILURE_NO_MEMORY, "out of file descriptors");
    scrape_fail(s, &failure);
}

static bool
is_by_tool(struct evhttp_request *request)
{
    const char *agent = evhttp_find_header(evhttp_request_get_input_headers(request), "User-Agent");
    return agent && !strncmp(agent, TOOL_USER_AGENT, strlen(TOOL_USER_AGENT));
}

/* During a reshard. */
static int
use_count_in_force(struct scrape *s)
{
    struct params *params = &s->request.params;
    if (!params->shards)
        return 0;
    return params_use_count(params, telemetry_count_in_force(s->proxy->telemetry, s->endpoint->name, params->count));
}

void
scrape_start(struct proxy_context *proxy, const struct endpoint *endpoint, struct evhttp_request *request)
{
    struct scrape *s = calloc(1, sizeof(*s));
    if (!s || reply_new(&s->reply, request, &reply_events, s)) {
        struct failure failure;
        failure_set_no_memory(&failure);
        free(s);
        http_reply(request, outcomes[failure.outcome].status, failure.reason);
        return;
    }
    struct peer peer = connection_peer(connection_of(request)); /* evhttp calls those of unix sockets localhost */
    peer_print(&peer, s->peer);
    s->proxy = proxy;
    s->config = config_ref(proxy->config);
    s->endpoint = endpoint;
    s->head_only = evhttp_request_get_command(request) == EVHTTP_REQ_HEAD;
    s->by_tool = is_by_tool(request);
    clock_gettime(CLOCK_MONOTONIC, &s->start);
    proxy_context_scrape_started(proxy);

    char reason[320];
    int r = request_read(&s->request, request, s->config, endpoint, reason, sizeof(reason));
    if (!r && s->config->reshard_to)
        r = use_count_in_force(s);
    if (create_deadline(s))
        r = -ENOMEM;
    if (!r && (r = acquire_endpoint_slot(s, request)) == EBUSY) {
        fail_busy(s);
        r = 0;
    } else if (!r) {
        r = endpoint->max_age ? try_snapshot(s) : start_fetch_when_slot_free(s);
    }
    if (r > 0) {
        struct failure failure;
        failure_set(&failure, FAILURE_BAD_REQUEST, "%s", reason);
        scrape_fail(s, &failure);
    } else if (r == -EMFILE) {
        fail_out_of_descriptors(s);
    } else if (r) {
        scrape_fail_out_of_memory(s);
    }
    scrape_finish_if_done(s);
}

/* A snapshot, with max_age. */

static int
bypass_snapshot(struct scrape *s)
{
    telemetry_snapshot_bypassed(s->proxy->telemetry, s->endpoint->name);
    return start_fetch_when_slot_free(s);
}

/* The fetch of the snapshot has ended. */
static void
on_snapshot_ready(void *ctx)
{
    struct scrape *s = ctx;
    const struct snapshot *snapshot = s->user.snapshot;

    if (snapshot->state == SNAPSHOT_READY)
        reply_from_snapshot(s);
    else if (snapshot->state == SNAPSHOT_FAILED)
        scrape_fail(s, &snapshot->failure);
    else if (bypass_snapshot(s))
        scrape_fail_out_of_memory(s);
    snapshot_release(&s->user);
    scrape_finish_if_done(s);
}

/* 0 or a negative errno value. */
static int
try_snapshot(struct scrape *s)
{
    struct telemetry *telemetry = s->proxy->telemetry;
    s->user = (struct snapshot_user){
        .peer = &s->endpoint_slot.peer, .timeout = &s->request.timeout, .on_ready = on_snapshot_ready, .ctx = s};
    int r = snapshots_acquire(&s->proxy->snapshots, s->config, s->endpoint, &s->request, &s->user);

    if (s->user.found)
        telemetry_snapshot_hit(telemetry, s->endpoint->name, s->user.waits);
    else
        telemetry_snapshot_miss(telemetry, s->endpoint->name);
    if (r > 0)
        return bypass_snapshot(s);
    if (!r && s->user.waits) {
        r = reply_watch_hangup(s->reply);
    } else if (!r) {
        reply_from_snapshot(s);
    }
    if (r || !s->user.waits)
        snapshot_release(&s->user);
    return r;
}

/* The upstream. */

static int
start_fetch(struct scrape *s)
{
    char *url = request_url(&s->request, s->endpoint);
    int r = url ? negotiate_set_timeout(&s->request.headers, scrape_time_left(s)) : -ENOMEM;
    struct fetch_request request = request_for(s->endpoint, url, &s->request.headers);
    if (!r)
        r = fetch_new(&s->fetch, s->proxy->upstream, &request, &fetch_events, s);
    free(url);
    return r;
}

static void
on_slot(void *ctx)
{
    struct scrape *s = ctx;
    if (start_fetch(s))
        scrape_fail_out_of_memory(s);
    scrape_finish_if_done(s);
}

static int
start_fetch_when_slot_free(struct scrape *s)
{
    int r = reply_watch_hangup(s->reply);
    if (!r)
        r = slot_acquire(&s->proxy->upstream_slots, &s->upstream_slot, s->endpoint->url.server, &s->endpoint_slot.peer,
                         on_slot, s);
    return r == EAGAIN ? 0 : r ? r : start_fetch(s);
}

static void
on_connected(void *ctx, bool reused)
{
    const struct scrape *s = ctx;
    telemetry_upstream_connected(s->proxy->telemetry, s->endpoint->name, reused);
}

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct scrape *s = ctx;
    struct failure failure = {.outcome = OUTCOME_OK}; /* or passed on */
    struct body_settings settings = {.sharding = s->config->sharding, .key_cache = s->endpoint->key_cache};
    s->status = status;
    if (!upstream_response_begin(&settings, s->endpoint, status, headers, reply_headers(s->reply), &failure)) {
        scrape_fail(s, &failure);
        return FETCH_ABORT;
    }
    if (body_filter_new(&s->body, &settings, s->request.params.shards,
                        s->request.gzip ? s->config->compression_level : -1)) {
        scrape_fail_out_of_memory(s);
        return FETCH_ABORT;
    }
    s->failure = failure;
    return FETCH_CONTINUE;
}

static void
fail_body(struct scrape *s, int r)
{
    struct failure failure;
    failure_of_body(&failure, s->endpoint, r, body_filter_reason(s->body));
    scrape_fail(s, &failure);
}

static bool
is_full(const struct scrape *s)
{
    return s->sending && staged(s) >= CHUNK_BYTES;
}

/* How much of the body is filtered before the response is looked at: all that was read if little of it is kept, else a
   step. */
static size_t
step_bytes(const struct scrape *s)
{
    bool keeps_little = s->stage == STAGE_HOLDING && s->bytes_in && staged(s) < s->bytes_in / 8;
    return keeps_little ? SIZE_MAX : STEP_BYTES;
}

static enum fetch_action
on_body(void *ctx, struct ss_span *bytes)
{
    struct scrape *s = ctx;
    bool more;

    do {
        s->paused = is_full(s);
        if (s->paused)
            return FETCH_PAUSE;
        size_t most = step_bytes(s), len = bytes->len < most ? bytes->len : most;
        struct ss_span step = {bytes->ptr, len};
        int r = body_filter_feed(s->body, &step, &more);
        len -= step.len;
        bytes->ptr += len;
        bytes->len -= len;
        s->bytes_in += len;
        if (r) {
            fail_body(s, r);
            return FETCH_ABORT;
        }
        flush_staged(s);
        if (s->stage != STAGE_HOLDING && s->stage != STAGE_STREAMING)
            return FETCH_ABORT;
    } while (more || bytes->len);
    return FETCH_CONTINUE;
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
        } else if ((r = body_filter_end(s->body, result == FETCH_CLOSED)) != 0) {
            fail_body(s, r);
        } else {
            finish_response(s);
        }
    }
    scrape_release_upstream(s);
    scrape_finish_if_done(s);
}

/* The response. */

static size_t
staged(const struct scrape *s)
{
    return s->body ? evbuffer_get_length(body_filter_out(s->body)) : 0;
}

/* These headers are known only once there is something to send. False: out of memory. */
static bool
add_encoding_headers(struct scrape *s, bool gzip)
{
    uint64_t failures = alloc_failures();
    if (s->config->compression == COMPRESSION_AUTO && s->failure.outcome != OUTCOME_PASSED_ON)
        negotiate_add_vary(reply_headers(s->reply));
    if (gzip)
        evhttp_add_header(reply_headers(s->reply), "Content-Encoding", "gzip");
    return alloc_failures() == failures;
}

/* Sends what is staged if it is enough for a chunk and the last one has drained. */
static void
flush_staged(struct scrape *s)
{
    size_t len = staged(s);
    if (len < (s->stage == STAGE_HOLDING ? HOLD_BYTES : CHUNK_BYTES) || s->sending || s->stage == STAGE_OVER)
        return;
    s->bytes_out += len;
    if (s->head_only) {
        evbuffer_drain(body_filter_out(s->body), len);
        return;
    }
    if (s->stage == STAGE_HOLDING) {
        if (!reply_can_abort(s->reply)) {
            struct failure failure;
            failure_set(&failure, FAILURE_BAD_REQUEST,
                        "a response of more than %d bytes needs HTTP/1.1 on a unix socket", HOLD_BYTES);
            scrape_fail(s, &failure);
            return;
        }
        if (!add_encoding_headers(s, body_filter_is_gzip(s->body))) {
            scrape_fail_out_of_memory(s);
            return;
        }
        s->stage = STAGE_STREAMING;
        reply_start(s->reply, s->status);
    }
    s->sending = true;
    reply_send(s->reply, body_filter_out(s->body));
}

static void
on_drained(void *ctx)
{
    struct scrape *s = ctx;
    s->sending = false;
    flush_staged(s);
    if (s->paused) {
        s->paused = false;
        fetch_resume(s->fetch);
    }
    scrape_finish_if_done(s);
}

/* The upstream's body is complete and valid: sends the rest, and the end. */
static void
finish_response(struct scrape *s)
{
    struct evbuffer *rest = body_filter_out(s->body);
    bool holding = s->stage == STAGE_HOLDING;

    if (holding && !add_encoding_headers(s, body_filter_is_gzip(s->body))) {
        scrape_fail_out_of_memory(s);
        return;
    }
    s->bytes_out += staged(s);
    scrape_start_flushing(s); /* before sending, which may call on_done() */
    if (holding) {
        reply_send_whole(s->reply, s->status, s->head_only ? NULL : rest, s->bytes_out);
    } else {
        /* The previous chunk may not have drained: reply_end() waits for both. */
        if (staged(s))
            reply_send(s->reply, rest);
        reply_end(s->reply);
    }
}

/* Sends the whole response at once. */
static void
reply_from_snapshot(struct scrape *s)
{
    struct snapshot *snapshot = s->user.snapshot;
    struct snapshot_selection part = {evbuffer_new(), s->request.gzip, &s->counts};
    int r = part.body ? snapshot_select(snapshot, &s->request.params, &part, reply_headers(s->reply)) : -ENOMEM;

    /* With max_age switched off meanwhile, nothing would ever end the age. */
    if (!r && snapshot->index && scrape_is_current(s))
        telemetry_snapshot_used(s->proxy->telemetry, s->endpoint->name, snapshot_age(snapshot));
    if (!r) {
        s->status = snapshot->status;
        s->failure = snapshot->failure; /* or passed on, which add_encoding_headers() checks */
        if (!add_encoding_headers(s, part.gzip))
            r = -ENOMEM;
    }
    if (!r) {
        s->shared = snapshot->is_counted;
        snapshot->is_counted = true;
        if (!s->shared && snapshot->index)
            scrape_report_families(s, snapshot->index);
        s->bytes_in = s->shared ? 0 : snapshot->bytes_in;
        s->bytes_out = evbuffer_get_length(part.body);
        scrape_start_flushing(s);
        reply_send_whole(s->reply, s->status, s->head_only ? NULL : part.body, s->bytes_out);
    } else if (r == ERANGE) {
        struct failure failure;
        failure_set(&failure, FAILURE_METADATA_TOO_LARGE, "endpoint %s: the body has too much metadata",
                    s->endpoint->name);
        scrape_fail(s, &failure);
    } else {
        scrape_fail_out_of_memory(s);
    }
    if (part.body)
        evbuffer_free(part.body);
}

static void
on_done(void *ctx)
{
    struct scrape *s = ctx;
    s->stage = STAGE_OVER;
    scrape_finish_if_done(s);
}
