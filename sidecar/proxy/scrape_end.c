/* SPDX-License-Identifier: Apache-2.0 */
/* How a scrape ends: failures, deadline, the scraper leaving, log and telemetry. */
#include "proxy_context.h"
#include "reply.h"
#include "scrape_log.h"
#include "scrape_state.h"

#include "service/base/alloc_reserve.h"
#include "service/config/config.h"

#include <scrapeshard/index.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Time that a scraper gets to read a complete response, or a failure's reason, beyond its timeout. */
    READ_GRACE_MS = 1000,
};

/* Time. */

int64_t
scrape_time_left(const struct scrape *s)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t elapsed = (int64_t)(now.tv_sec - s->start.tv_sec) * 1000 + (now.tv_nsec - s->start.tv_nsec) / 1000000;
    return elapsed < s->request.timeout.ms ? s->request.timeout.ms - elapsed : 0;
}

int
scrape_set_deadline(struct scrape *s, int64_t extra)
{
    int64_t ms = scrape_time_left(s) + extra;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    return evtimer_add(s->deadline, &tv) ? -ENOMEM : 0;
}

void
scrape_start_flushing(struct scrape *s)
{
    s->stage = STAGE_FLUSHING;
    scrape_set_deadline(s, READ_GRACE_MS);
}

/* Failure. */

/* False: out of memory, nothing was sent. */
static bool
reply_with_reason(struct scrape *s)
{
    const char *reason = s->failure.reason;
    struct evkeyvalq *headers = reply_headers(s->reply);
    struct evbuffer *text = evbuffer_new();
    uint64_t failures = alloc_failures();
    bool closes = evhttp_find_header(headers, "Connection"); /* set by us: the upstream's is not copied */

    if (!text || evbuffer_add_printf(text, "%s\n", reason) < 0) {
        if (text)
            evbuffer_free(text);
        return false;
    }
    s->status = outcomes[s->failure.outcome].status;
    s->bytes_out = evbuffer_get_length(text);
    evhttp_clear_headers(headers);
    if (closes)
        evhttp_add_header(headers, "Connection", "close");
    evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
    if (s->failure.outcome == OUTCOME_BUSY)
        evhttp_add_header(headers, "Retry-After", "1");
    if (alloc_failures() != failures) {
        evbuffer_free(text);
        return false;
    }
    reply_send_whole(s->reply, s->status, s->head_only ? NULL : text, s->bytes_out);
    evbuffer_free(text);
    return true;
}

void
scrape_fail(struct scrape *s, const struct failure *failure)
{
    /* The upstream may end in the turn of the loop in which the response began: only the next one writes. */
    bool holding = s->stage == STAGE_HOLDING || (s->stage == STAGE_STREAMING && reply_withdraw(s->reply));

    /* On a second failure the first one stays the reason: it could not be sent. */
    if (s->failure.outcome == OUTCOME_OK || s->failure.outcome == OUTCOME_PASSED_ON)
        s->failure = *failure;
    if (failure->limit)
        telemetry_limit_hit(s->proxy->telemetry, failure->limit);
    s->stage = STAGE_FLUSHING; /* before sending, which may call on_done() */
    /* The scraper gets time to read the reason even if the deadline has passed. */
    if (holding && s->deadline && scrape_set_deadline(s, READ_GRACE_MS))
        holding = false; /* no response without a deadline */
    if (holding && reply_with_reason(s))
        return;
    reply_abort(s->reply);
    s->stage = STAGE_OVER;
}

void
scrape_fail_out_of_memory(struct scrape *s)
{
    struct failure failure;
    failure_set_no_memory(&failure);
    scrape_fail(s, &failure);
}

void
scrape_release_upstream(struct scrape *s)
{
    fetch_free(s->fetch);
    s->fetch = NULL;
    s->paused = false;
    slot_release(&s->proxy->upstream_slots, &s->upstream_slot);
    snapshot_release(&s->user);
}

/* The snapshot was ready or failed in time, but on_snapshot_ready() is still to come, after other scrapes'. */
static bool
is_notification_pending(const struct scrape *s)
{
    const struct snapshot *snapshot = s->user.snapshot;
    return s->user.waits && (snapshot->state == SNAPSHOT_READY || snapshot->state == SNAPSHOT_FAILED);
}

void
scrape_on_deadline(evutil_socket_t fd, short what, void *ctx)
{
    struct scrape *s = ctx;
    struct failure failure;
    (void)fd, (void)what;
    if (is_notification_pending(s)) {
        scrape_set_deadline(s, READ_GRACE_MS);
        return;
    }
    if (s->user.waits || s->upstream_slot.waits || (s->fetch && !s->paused)) {
        failure_of_timeout(&failure, s->endpoint,
                           s->user.waits ? snapshot_progress(&s->user) : fetch_progress(s->fetch), &s->request.timeout);
    } else {
        failure_set(&failure, FAILURE_SLOW_READER, "endpoint %s: the scraper did not read the response in time",
                    s->endpoint->name);
    }
    if (s->stage != STAGE_OVER)
        scrape_fail(s, &failure);
    scrape_release_upstream(s);
    scrape_finish_if_done(s);
}

void
scrape_on_client_gone(void *ctx, bool no_memory)
{
    struct scrape *s = ctx;
    scrape_release_upstream(s);
    if (no_memory && (s->failure.outcome == OUTCOME_OK || s->failure.outcome == OUTCOME_PASSED_ON))
        failure_set_no_memory(&s->failure);
    else if (s->failure.outcome == OUTCOME_OK)
        s->failure.outcome = OUTCOME_CLIENT_GONE;
    s->stage = STAGE_OVER;
    scrape_finish_if_done(s);
}

/* The end. */

bool
scrape_is_current(const struct scrape *s)
{
    const struct config *config = s->proxy->config;
    const struct endpoint *now = config_endpoint(config, s->endpoint->name);
    return now && config_keeps_endpoint(s->config, s->endpoint, config, now);
}

void
scrape_report_families(const struct scrape *s, const struct ss_index *index)
{
    struct telemetry *telemetry = s->proxy->telemetry;
    struct ss_family_count largest[TRACKED_FAMILIES];
    const struct ss_filter *filter = index ? NULL : body_filter_get(s->body);
    size_t n = index ? ss_index_largest(index, largest, TRACKED_FAMILIES)
                     : ss_filter_largest(filter, largest, TRACKED_FAMILIES);
    telemetry_families(telemetry, s->endpoint->name, largest, n);

    struct distribution *distribution = telemetry_distribution(telemetry, s->endpoint->name);
    if (!distribution || !scrape_is_current(s))
        return;
    distribution_start(distribution, telemetry_now(), s->proxy->config->sharding);
    if (index)
        ss_index_families(index, distribution_add_family, distribution);
    else
        ss_filter_families(filter, distribution_add_family, distribution);
    distribution_finish(distribution, index ? ss_index_series(index) : ss_filter_counts(filter)->series_seen);
}

static void
log_scrape(const struct scrape *s, const struct ss_filter_counts *counts, double seconds, bool first)
{
    struct scrape_line line = scrape_log_line(s->proxy->telemetry, s->endpoint->name, s->failure.outcome, first);

    LOG_AT(s->proxy->log, line.level, "scrape", log_text("endpoint", s->endpoint->name),
           log_text("outcome", outcomes[s->failure.outcome].label), log_number("status", s->status),
           log_text("peer", s->peer), log_text("shard", s->request.params.shard),
           log_number("shard_count", s->request.params.count), log_number("bytes_in", (double)s->bytes_in),
           log_number("bytes_out", (double)s->bytes_out), log_number("series_in", (double)counts->series_seen),
           log_number("series_out", (double)counts->series_kept),
           log_number("families_in", (double)counts->families_seen),
           log_number("families_out", (double)counts->families_kept), log_number("seconds", seconds),
           log_text("reason", s->failure.reason), line.fields[0], line.fields[1]);
}

static void
record_end(const struct scrape *s)
{
    const struct ss_filter *filter = s->body ? body_filter_get(s->body) : NULL;
    struct ss_filter_counts counts = filter ? *ss_filter_counts(filter) : s->counts;
    struct timespec now;
    const struct params *params = &s->request.params;
    struct telemetry *telemetry = s->proxy->telemetry;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - s->start.tv_sec) + (double)(now.tv_nsec - s->start.tv_nsec) / 1e9;

    const struct telemetry_scrape record = {
        .endpoint = s->endpoint->name,
        .outcome = s->failure.outcome,
        .ok = s->failure.outcome == OUTCOME_OK,
        .error = s->failure.error,
        .seconds = seconds,
        .bytes_in = s->bytes_in,
        .bytes_out = s->head_only ? 0 : s->bytes_out,
        .counts = counts,
        .shared = s->shared,
        .untracked = s->head_only || s->by_tool,
        .shard = params->shard,
        .shard_count = params->count,
        .in_force = params->shards ? ss_shards_count(params->shards) : 0,
        .peer = s->peer,
        .reason = s->failure.reason,
    };
    const struct reshard *reshard = telemetry_reshard(telemetry, s->endpoint->name);
    bool switched = reshard && reshard->switched;
    bool first = telemetry_scrape(telemetry, &record);
    log_scrape(s, &counts, seconds, first);
    scrape_log_reshard(s->proxy->log, telemetry, &record, switched);
    if (s->failure.outcome == OUTCOME_OK && filter)
        scrape_report_families(s, NULL);
}

void
scrape_finish_if_done(struct scrape *s)
{
    if (s->stage != STAGE_OVER || s->fetch)
        return;
    struct proxy_context *proxy = s->proxy;
    record_end(s);
    snapshot_release(&s->user);
    reply_free(s->reply);
    body_filter_free(s->body);
    if (s->deadline)
        event_free(s->deadline);
    request_deinit(&s->request);
    slot_release(&proxy->upstream_slots, &s->upstream_slot);
    slot_release(&proxy->endpoint_slots, &s->endpoint_slot);
    config_unref(s->config);
    free(s);
    proxy_context_scrape_over(proxy);
}
