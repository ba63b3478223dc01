/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SUMMARY_H
#define SERVICE_SUMMARY_H
/*
 * What the log says about an endpoint's scrapes above level debug: each failure, each recovery, the first scrape of
 * each shard, and once a minute a summary. Each kind has a maximum of lines per minute; lines beyond it are logged at
 * debug and counted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SUMMARY_SECONDS = 60,
    SUMMARY_FAILURES = 32, /* kinds of failure: the outcomes of scrapes */
};

enum summary_kind {
    SUMMARY_FIRST = SUMMARY_FAILURES, /* the first successful scrape of a shard */
    SUMMARY_RECOVERED,
    SUMMARY_OVER_BUDGET, /* a body that there was no room to cache */
    SUMMARY_OLD_COUNT,   /* a scrape that names the old shard count after a reshard */
    SUMMARY_KINDS
};

/* Zeroed is empty. */
struct summary {
    uint64_t failed; /* consecutive scrapes that failed because of the endpoint, not of its scraper */
    /* Of this minute: */
    uint64_t scrapes, failures, bytes_in, bytes_out, suppressed;
    double seconds, slowest;
    struct {
        unsigned lines;
        uint64_t suppressed; /* since the last line of the kind */
    } of[SUMMARY_KINDS];
};

/* Adds a finished scrape. */
void summary_scrape(struct summary *summary, bool ok, double seconds, uint64_t bytes_in, uint64_t bytes_out);

/* Whether another line of a kind (or of a failure, by its outcome) may be written in this minute. If so, *suppressedp
   is the number of lines suppressed since the last one. */
bool summary_admit(struct summary *summary, size_t kind, uint64_t *suppressedp);

/* Starts the next minute. */
void summary_reset(struct summary *summary);

#endif
