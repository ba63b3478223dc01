/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_log.h"

#include <assert.h>
#include <stdio.h>

static_assert((int)OUTCOMES <= (int)SUMMARY_FAILURES, "each outcome is a kind of summary line");

static void
add_field(struct scrape_line *line, struct log_field field)
{
    line->fields[line->n++] = field;
}

/* At debug once there are too many of this kind. */
static struct scrape_line
rate_limited_line(struct summary *summary, size_t kind, enum log_level level)
{
    struct scrape_line line = {.level = level};
    uint64_t suppressed = 0;
    if (!summary_admit(summary, kind, &suppressed))
        line.level = LOG_DEBUG;
    else if (suppressed)
        add_field(&line, log_number("suppressed", (double)suppressed));
    return line;
}

/* Scrapers that send bad requests or leave say nothing about the endpoint. */
static bool
is_endpoint_failure(enum outcome outcome)
{
    return outcome != OUTCOME_OK && outcome != OUTCOME_BAD_REQUEST && outcome != OUTCOME_CLIENT_GONE;
}

struct scrape_line
scrape_log_line(struct telemetry *telemetry, const char *endpoint, enum outcome outcome, bool first)
{
    struct summary *summary = telemetry_summary(telemetry, endpoint);
    struct scrape_line line = {.level = outcomes[outcome].level};

    if (!summary)
        return line;
    if (outcome != OUTCOME_OK) {
        summary->failed += is_endpoint_failure(outcome);
        return rate_limited_line(summary, outcome, line.level);
    }
    if (summary->failed) {
        line = rate_limited_line(summary, SUMMARY_RECOVERED, LOG_INFO);
        add_field(&line, log_number("recovered_after", (double)summary->failed));
        summary->failed = 0;
    } else if (first) {
        line = rate_limited_line(summary, SUMMARY_FIRST, LOG_INFO);
        add_field(&line, log_text("note", "first scrape of this shard"));
    }
    return line;
}

struct scrape_line
scrape_log_snapshot_line(struct telemetry *telemetry, const char *endpoint, enum outcome outcome, bool over_budget)
{
    struct summary *summary = telemetry_summary(telemetry, endpoint);
    enum log_level level = over_budget ? LOG_WARN : outcomes[outcome].level;

    if (!summary || (!over_budget && outcome == OUTCOME_OK))
        return (struct scrape_line){.level = level};
    return rate_limited_line(summary, over_budget ? (size_t)SUMMARY_OVER_BUDGET : (size_t)outcome, level);
}

static void
log_switch(const struct log *log, const char *endpoint, uint32_t count, uint32_t before)
{
    log_warn(log, "reshard: another shard count is in force", log_text("endpoint", endpoint),
             log_number("shard_count", count), log_number("before", before));
}

void
scrape_log_announcement(const struct log *log, const struct telemetry *telemetry)
{
    for (const struct telemetry_endpoint *e = telemetry->endpoints; e < telemetry->endpoints + telemetry->n_endpoints;
         e++)
        if (e->count_left && e->tracker.reshard.from)
            log_switch(log, e->name, shard_tracker_count_in_force(&e->tracker, e->tracker.reshard.from), e->count_left);
}

void
scrape_log_reshard(const struct log *log, struct telemetry *telemetry, const struct telemetry_scrape *s, bool switched)
{
    const struct reshard *r = telemetry_reshard(telemetry, s->endpoint);
    struct summary *summary = telemetry_summary(telemetry, s->endpoint);
    if (!r || !summary)
        return;
    if (r->switched != switched)
        log_switch(log, s->endpoint, r->switched ? r->to : r->from, r->switched ? r->from : r->to);
    if (!r->switched || !switched || s->untracked || s->shard_count != r->from)
        return;
    struct scrape_line line = rate_limited_line(summary, SUMMARY_OLD_COUNT, LOG_WARN);
    LOG_AT(log, line.level, "reshard: a scraper still names the old shard count", log_text("endpoint", s->endpoint),
           log_text("shard", s->shard), log_number("shard_count", s->shard_count), log_text("peer", s->peer),
           line.fields[0]);
}

void
scrape_log_summaries(const struct log *log, struct telemetry *telemetry)
{
    for (struct telemetry_endpoint *e = telemetry->endpoints; e < telemetry->endpoints + telemetry->n_endpoints; e++) {
        const struct summary *s = &e->summary;
        if (s->scrapes)
            log_info(log, "summary", log_text("endpoint", e->name), log_number("scrapes", (double)s->scrapes),
                     log_number("failures", (double)s->failures), log_number("bytes_in", (double)s->bytes_in),
                     log_number("bytes_out", (double)s->bytes_out),
                     log_number("seconds_mean", s->seconds / (double)s->scrapes), log_number("seconds_max", s->slowest),
                     log_number("lines_suppressed", (double)s->suppressed));
        summary_reset(&e->summary);
    }
}
