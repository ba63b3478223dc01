/* SPDX-License-Identifier: Apache-2.0 */
/* In the order of time, but for the beginning, which stands last, as in fetch.c. */
#include "shared_fetch.h"

#include "fetch.h"
#include "request.h"
#include "scrape_log.h"
#include "slots.h"
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
    struct snapshot *snapshot;
    struct slot upstream_slot; /* of the first of those who wait who has had one */
    char *url;
    struct evkeyvalq headers;
    struct fetch *fetch; /* NULL until it is its turn */
    struct event *deadline;
    struct time_limit timeout; /* of those who wait or have waited, the longest, from the beginning */
    struct pipeline *pipeline; /* NULL before the head */
    bool over_budget;
};

/* The end. */

static void
log_end(const struct shared_fetch *x, enum snapshot_state state)
{
    const struct snapshot *s = x->snapshot;
    const struct failure *failure = &s->failure;
    bool over_budget = state == SNAPSHOT_OVER_BUDGET;
    struct scrape_line line =
        scrape_log_snapshot_line(s->store->telemetry, s->endpoint->name, failure->outcome, over_budget);

    LOG_AT(s->store->log, line.level, "snapshot", log_text("endpoint", s->endpoint->name),
           log_text("outcome", over_budget ? "over_budget" : outcomes[failure->outcome].label),
           log_number("status", s->status), log_number("bytes_in", (double)s->bytes_in),
           log_number("memory", (double)s->bytes), log_number("seconds", snapshot_age(s)),
           log_text("reason",
                    over_budget ? "there is no room for it in max_snapshot_bytes, so it is streamed" : failure->reason),
           line.fields[0]);
}

/* Keeps what has come. */
static int
keep_body(struct shared_fetch *x)
{
    struct snapshot *s = x->snapshot;
    if (snapshot_set_time_header(s))
        return -ENOMEM;
    if (s->failure.outcome == OUTCOME_OK) {
        s->index = pipeline_take_index(x->pipeline);
        return 0;
    }
    s->passthrough_body = evbuffer_new();
    return s->passthrough_body && !evbuffer_add_buffer(s->passthrough_body, pipeline_out(x->pipeline)) &&
                   (!evbuffer_get_length(s->passthrough_body) || evbuffer_pullup(s->passthrough_body, -1))
               ? 0
               : -ENOMEM;
}

/* The fetch is over, one way or another. */
static void
end(struct shared_fetch *x)
{
    struct snapshot *s = x->snapshot;
    bool passed_on = s->failure.outcome == OUTCOME_PASSED_ON;
    enum snapshot_state state = x->over_budget                                  ? SNAPSHOT_OVER_BUDGET
                                : s->failure.outcome == OUTCOME_OK || passed_on ? SNAPSHOT_HERE
                                                                                : SNAPSHOT_FAILED;
    log_end(x, state);
    if (state == SNAPSHOT_HERE && keep_body(x)) {
        state = SNAPSHOT_FAILED;
        failure_set_no_memory(&s->failure);
    }
    shared_fetch_free(x);
    if (state != SNAPSHOT_HERE)
        snapshot_count(s, sizeof(*s));
    snapshot_ended(s, state);
}

static void
on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct shared_fetch *x = ctx;
    (void)fd, (void)what;
    failure_of_timeout(&x->snapshot->failure, x->snapshot->endpoint, fetch_progress(x->fetch), &x->timeout);
    end(x);
}

/* The answer. */

static bool
has_failed(const struct shared_fetch *x)
{
    enum outcome outcome = x->snapshot->failure.outcome;
    return x->over_budget || (outcome != OUTCOME_OK && outcome != OUTCOME_PASSED_ON);
}

/* Counts what has come. */
static enum fetch_action
make_room(struct shared_fetch *x, uint64_t to_come)
{
    struct snapshot *s = x->snapshot;
    x->over_budget = !snapshot_count(s, sizeof(*s) + pipeline_memory(x->pipeline)) || !snapshot_has_room(s, to_come);
    return x->over_budget ? FETCH_ABORT : FETCH_CONTINUE;
}

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct shared_fetch *x = ctx;
    struct snapshot *s = x->snapshot;
    const char *length = evhttp_find_header(headers, "Content-Length");
    struct pipeline_settings settings = {
        .target = PIPELINE_INDEX,
        .sharding = s->config->sharding,
        .gzip_level = -1,
    };
    if (s->endpoint->timestamps == TIMESTAMPS_SNAPSHOT)
        settings.timestamp_ms = (int64_t)s->time.tv_sec * 1000 + s->time.tv_nsec / 1000000;
    s->status = status;
    if (!upstream_response_begin(&x->pipeline, &settings, s->endpoint, status, headers, &s->headers, &s->failure))
        return FETCH_ABORT;
    /* What will not fit need not come first. */
    return make_room(x, length ? strtoull(length, NULL, 10) : 0);
}

static enum fetch_action
on_body(void *ctx, struct ss_span bytes)
{
    struct shared_fetch *x = ctx;
    bool more = true;

    x->snapshot->bytes_in += bytes.len;
    while (more) {
        int r = pipeline_feed(x->pipeline, &bytes, &more);
        if (r) {
            failure_of_pipeline(&x->snapshot->failure, x->snapshot->endpoint, x->pipeline, r);
            return FETCH_ABORT;
        }
        if (make_room(x, 0) != FETCH_CONTINUE)
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
    else if ((r = pipeline_end(x->pipeline, result == FETCH_CLOSED)) != 0)
        failure_of_pipeline(failure, x->snapshot->endpoint, x->pipeline, r);
    else
        make_room(x, 0);
    end(x);
}

static const struct fetch_events fetch_events = {on_head, on_body, on_end};

/* The beginning. */

static int64_t
time_left(const struct shared_fetch *x)
{
    int64_t gone = (int64_t)(snapshot_age(x->snapshot) * 1000);
    return gone < x->timeout.ms ? x->timeout.ms - gone : 0;
}

/* Gives it the time of one more who waits, if that is longer. It counts from the beginning all the same: a service that
   hangs is not waited for by everyone who comes, one after the other. */
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
    int r = negotiate_tell_timeout(&x->headers, time_left(x));
    return r ? r : fetch_new(&x->fetch, s->store->upstream, &request, &fetch_events, x);
}

static void
fail_without_memory(struct shared_fetch *x)
{
    failure_set_no_memory(&x->snapshot->failure);
    end(x);
}

/* Those who wait need no turn any more. */
static void
leave_slot_queue(struct shared_fetch *x)
{
    struct snapshot *s = x->snapshot;
    struct snapshot_user *user;
    TAILQ_FOREACH (user, &s->waiting, next)
        slot_release(s->store->upstream_slots, &user->upstream_slot);
}

static void
on_slot(void *ctx)
{
    struct snapshot_user *user = ctx;
    struct shared_fetch *x = user->snapshot->fetch;
    slot_transfer(&x->upstream_slot, &user->upstream_slot);
    leave_slot_queue(x);
    if (start_fetch(x))
        fail_without_memory(x);
}

static int
begin(struct shared_fetch *x, const struct request *request)
{
    const struct evkeyval *h;
    x->url = request_url(request, x->snapshot->endpoint);
    x->deadline = evtimer_new(x->snapshot->store->base, on_deadline, x);
    if (!x->url || !x->deadline)
        return -ENOMEM;
    TAILQ_FOREACH (h, &request->headers, next)
        if (evhttp_add_header(&x->headers, h->key, h->value))
            return -ENOMEM;
    return 0;
}

int
shared_fetch_new(struct shared_fetch **fetchp, struct snapshot *snapshot, const struct request *request)
{
    struct shared_fetch *x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->snapshot = snapshot;
    TAILQ_INIT(&x->headers);
    int r = begin(x, request);
    if (r) {
        shared_fetch_free(x);
        return r;
    }
    *fetchp = x;
    return 0;
}

void
shared_fetch_join(struct shared_fetch *x, struct snapshot_user *user)
{
    const struct snapshot *s = x->snapshot;
    int r = extend(x, user->timeout);
    if (x->fetch && !r)
        return;
    if (!r)
        r = slot_acquire(s->store->upstream_slots, &user->upstream_slot, s->endpoint->url.service, user->peer, on_slot,
                         user);
    if (!r)
        on_slot(user);
    else if (r < 0)
        fail_without_memory(x);
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
    leave_slot_queue(x);
    if (x->deadline)
        event_free(x->deadline);
    fetch_free(x->fetch);
    pipeline_free(x->pipeline);
    slot_release(x->snapshot->store->upstream_slots, &x->upstream_slot);
    evhttp_clear_headers(&x->headers);
    free(x->url);
    free(x);
}
