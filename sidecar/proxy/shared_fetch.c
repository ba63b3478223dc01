/* SPDX-License-Identifier: Apache-2.0 */
/* In the order of time, except that the start is last, as in fetch.c. */
#include "shared_fetch.h"

#include "body_index.h"
#include "fetch.h"
#include "request.h"
#include "scrape_log.h"
#include "snapshot.h"

#include "service/base/log.h"
#include "service/config/config.h"

#include <scrapeshard/index.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>

struct shared_fetch {
    const struct shared_fetch_context *context;
    struct snapshot *snapshot;
    int (*report_start)(void *ctx);
    void (*report_end)(void *ctx);
    void *report_ctx;
    struct timespec arrived; /* when the first waiter came, by the monotonic clock */
    TAILQ_HEAD(, fetch_waiter) waiters;
    struct slot upstream_slot; /* of the first waiter that got one */
    char *url;
    struct evkeyvalq headers;
    struct fetch *fetch; /* NULL until it has a slot */
    struct event *deadline;
    struct time_limit timeout; /* the longest of all waiters so far, from the arrival of the first */
    struct body_index *body;   /* NULL before the response header */
    bool over_budget;
};

/* Seconds since the first waiter came. */
static double
elapsed(const struct shared_fetch *x)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - x->arrived.tv_sec) + (double)(now.tv_nsec - x->arrived.tv_nsec) / 1e9;
}

/* The end. */

static void
log_end(const struct shared_fetch *x, enum snapshot_state state)
{
    const struct snapshot *s = x->snapshot;
    const struct failure *failure = &s->failure;
    bool over_budget = state == SNAPSHOT_OVER_BUDGET;
    struct scrape_line line =
        scrape_log_snapshot_line(x->context->telemetry, s->endpoint->name, failure->outcome, over_budget);

    LOG_AT(x->context->log, line.level, "snapshot", log_text("endpoint", s->endpoint->name),
           log_text("outcome", over_budget ? "over_budget" : outcomes[failure->outcome].label),
           log_number("status", s->status), log_number("bytes_in", (double)s->bytes_in),
           log_number("memory", (double)s->bytes), log_number("seconds", elapsed(x)),
           log_text("reason", over_budget ? "does not fit in max_snapshot_bytes, so it is streamed" : failure->reason),
           line.fields[0]);
}

static int
keep_body(struct shared_fetch *x)
{
    struct snapshot *s = x->snapshot;
    if (snapshot_set_time_header(s))
        return -ENOMEM;
    s->index = body_index_take(x->body);
    s->passthrough_body = body_index_take_passthrough(x->body);
    return 0;
}

static void
end(struct shared_fetch *x)
{
    struct snapshot *s = x->snapshot;
    bool passed_on = s->failure.outcome == OUTCOME_PASSED_ON;
    enum snapshot_state state = x->over_budget                                  ? SNAPSHOT_OVER_BUDGET
                                : s->failure.outcome == OUTCOME_OK || passed_on ? SNAPSHOT_READY
                                                                                : SNAPSHOT_FAILED;
    log_end(x, state);
    if (state == SNAPSHOT_READY && keep_body(x)) {
        state = SNAPSHOT_FAILED;
        failure_set_no_memory(&s->failure);
    }
    void (*report)(void *) = x->report_end;
    void *ctx = x->report_ctx;
    shared_fetch_free(x);
    if (state != SNAPSHOT_READY)
        snapshot_set_memory(s, sizeof(*s));
    s->state = state;
    report(ctx);
}

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct shared_fetch *x = ctx;
    (void)fd, (void)what;
    failure_of_timeout(&x->snapshot->failure, x->snapshot->endpoint, fetch_progress(x->fetch), &x->timeout);
    end(x);
}

/* The response. */

static void
on_connected(void *ctx, bool reused)
{
    const struct shared_fetch *x = ctx;
    telemetry_upstream_connected(x->context->telemetry, x->snapshot->endpoint->name, reused);
}

static bool
has_failed(const struct shared_fetch *x)
{
    enum outcome outcome = x->snapshot->failure.outcome;
    return x->over_budget || (outcome != OUTCOME_OK && outcome != OUTCOME_PASSED_ON);
}

static enum fetch_action
check_budget(struct shared_fetch *x, uint64_t to_come)
{
    struct snapshot *s = x->snapshot;
    x->over_budget = !snapshot_set_memory(s, sizeof(*s) + body_index_memory(x->body)) || !snapshot_has_room(s, to_come);
    return x->over_budget ? FETCH_ABORT : FETCH_CONTINUE;
}

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct shared_fetch *x = ctx;
    struct snapshot *s = x->snapshot;
    const char *length = evhttp_find_header(headers, "Content-Length");
    int64_t time_ms = (int64_t)s->time.tv_sec * 1000 + s->time.tv_nsec / 1000000;
    struct body_settings settings = {.sharding = s->config->sharding};
    s->status = status;
    if (!upstream_response_begin(&settings, s->endpoint, status, headers, &s->headers, &s->failure))
        return FETCH_ABORT;
    if (body_index_new(&x->body, &settings, s->endpoint->timestamps == TIMESTAMPS_SNAPSHOT ? time_ms : 0)) {
        failure_set_no_memory(&s->failure);
        return FETCH_ABORT;
    }
    /* What will not fit is not received first. */
    return check_budget(x, length ? strtoull(length, NULL, 10) : 0);
}

static enum fetch_action
on_body(void *ctx, struct ss_span *bytes)
{
    struct shared_fetch *x = ctx;
    bool more = true;

    x->snapshot->bytes_in += bytes->len;
    while (more) {
        int r = body_index_feed(x->body, bytes, &more);
        if (r) {
            failure_of_body(&x->snapshot->failure, x->snapshot->endpoint, r, body_index_reason(x->body));
            return FETCH_ABORT;
        }
        if (check_budget(x, 0) != FETCH_CONTINUE)
            return FETCH_ABORT;
    }
    return FETCH_CONTINUE;
}

static void
on_end(void *ctx, enum fetch_result result, const char *reason)
{
    struct shared_fetch *x = ctx;
    struct failure *failure = &x->snapshot->failure;
    int r;

    if (has_failed(x)) {
        end(x);
        return;
    }
    if (result >= FETCH_FAILED)
        failure_of_fetch(failure, x->snapshot->endpoint, result, reason);
    else if ((r = body_index_end(x->body, result == FETCH_CLOSED)) != 0)
        failure_of_body(failure, x->snapshot->endpoint, r, body_index_reason(x->body));
    else
        check_budget(x, 0);
    end(x);
}

static const struct fetch_events fetch_events = {on_head, on_body, on_end, on_connected};

/* The start. */

static int64_t
time_left(const struct shared_fetch *x)
{
    int64_t ms = (int64_t)(elapsed(x) * 1000);
    return ms < x->timeout.ms ? x->timeout.ms - ms : 0;
}

/* A longer timeout counts from the first arrival all the same: otherwise each scrape that joined would wait for an
   upstream that hangs, one after the other. */
static int
extend(struct shared_fetch *x, const struct time_limit *timeout)
{
    if (timeout->ms <= x->timeout.ms)
        return 0;
    x->timeout = *timeout;
    int64_t left = time_left(x);
    struct timeval tv = {left / 1000, left % 1000 * 1000};
    return evtimer_add(x->deadline, &tv) ? -ENOMEM : 0;
}

static int
start_fetch(struct shared_fetch *x)
{
    struct snapshot *s = x->snapshot;
    struct fetch_request request = request_for(s->endpoint, x->url, &x->headers);
    snapshot_start(x->snapshot);
    int r = x->report_start(x->report_ctx);
    if (!r)
        r = negotiate_set_timeout(&x->headers, time_left(x));
    return r ? r : fetch_new(&x->fetch, x->context->upstream, &request, &fetch_events, x);
}

static void
fail_out_of_memory(struct shared_fetch *x)
{
    failure_set_no_memory(&x->snapshot->failure);
    end(x);
}

static void
leave_slot_queue(struct shared_fetch *x)
{
    struct fetch_waiter *waiter;
    TAILQ_FOREACH (waiter, &x->waiters, next)
        slot_release(x->context->upstream_slots, &waiter->upstream_slot);
}

static void
on_slot(void *ctx)
{
    struct fetch_waiter *waiter = ctx;
    struct shared_fetch *x = waiter->fetch;
    slot_transfer(&x->upstream_slot, &waiter->upstream_slot);
    leave_slot_queue(x);
    if (start_fetch(x))
        fail_out_of_memory(x);
}

static int
prepare(struct shared_fetch *x, const struct request *request)
{
    const struct evkeyval *h;
    x->url = request_url(request, x->snapshot->endpoint);
    x->deadline = evtimer_new(x->context->base, on_deadline, x);
    if (!x->url || !x->deadline)
        return -ENOMEM;
    TAILQ_FOREACH (h, &request->headers, next)
        if (evhttp_add_header(&x->headers, h->key, h->value))
            return -ENOMEM;
    return 0;
}

int
shared_fetch_new(struct shared_fetch **fetchp, const struct shared_fetch_settings *settings,
                 const struct request *request)
{
    struct shared_fetch *x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->context = settings->context;
    x->snapshot = settings->snapshot;
    x->report_start = settings->on_start;
    x->report_end = settings->on_end;
    x->report_ctx = settings->ctx;
    TAILQ_INIT(&x->waiters);
    TAILQ_INIT(&x->headers);
    clock_gettime(CLOCK_MONOTONIC, &x->arrived);
    int r = prepare(x, request);
    if (r) {
        shared_fetch_free(x);
        return r;
    }
    *fetchp = x;
    return 0;
}

void
shared_fetch_join(struct shared_fetch *x, struct fetch_waiter *waiter, const struct peer *peer,
                  const struct time_limit *timeout)
{
    *waiter = (struct fetch_waiter){.fetch = x};
    TAILQ_INSERT_TAIL(&x->waiters, waiter, next);
    int r = extend(x, timeout);
    if (x->fetch && !r)
        return;
    if (!r)
        r = slot_acquire(x->context->upstream_slots, &waiter->upstream_slot, x->snapshot->endpoint->url.server, peer,
                         on_slot, waiter);
    if (!r)
        on_slot(waiter);
    else if (r < 0)
        fail_out_of_memory(x);
}

void
shared_fetch_leave(struct fetch_waiter *waiter)
{
    struct shared_fetch *x = waiter->fetch;
    if (!x)
        return;
    waiter->fetch = NULL;
    TAILQ_REMOVE(&x->waiters, waiter, next);
    slot_release(x->context->upstream_slots, &waiter->upstream_slot);
}

enum fetch_progress
shared_fetch_progress(const struct shared_fetch *x)
{
    return fetch_progress(x->fetch);
}

void
shared_fetch_free(struct shared_fetch *x)
{
    if (!x)
        return;
    while (!TAILQ_EMPTY(&x->waiters))
        shared_fetch_leave(TAILQ_FIRST(&x->waiters));
    if (x->deadline)
        event_free(x->deadline);
    fetch_free(x->fetch);
    body_index_free(x->body);
    slot_release(x->context->upstream_slots, &x->upstream_slot);
    evhttp_clear_headers(&x->headers);
    free(x->url);
    free(x);
}
