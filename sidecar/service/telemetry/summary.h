/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SUMMARY_H
#define SERVICE_SUMMARY_H
/*
 * What the log says of an endpoint's scrapes besides debug: each failure, each recovery, the first scrape of a shard,
 * and once a minute how all of them went. Of each kind only so many lines a minute: what comes beyond is for debug, and
 * is counted.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SUMMARY_SECONDS = 60,
    SUMMARY_FAILURES = 32, /* kinds of failures: the outcomes of scrapes */
};

enum summary_kind {
    SUMMARY_FIRST = SUMMARY_FAILURES, /* the first good scrape of a shard */
    SUMMARY_RECOVERED,
    SUMMARY_OUTGROWN, /* a body that there was no room to keep */
    SUMMARY_KINDS
};

/* Zeroed is fine. */
struct summary {
    uint64_t failed; /* scrapes in a row that the endpoint, not its scraper, failed */
    /* Of the minute: */
    uint64_t scrapes, failures, bytes_in, bytes_out, suppressed;
    double seconds, slowest;
    struct {
        unsigned lines;
        uint64_t suppressed; /* since the last line of the kind */
    } of[SUMMARY_KINDS];
};

/* Takes in a scrape that is over. */
void summary_scrape(struct summary *summary, bool ok, double seconds, uint64_t bytes_in, uint64_t bytes_out);

/* Whether a line of a kind (or of a failure, by its outcome) may still be written in this minute. If it may,
 *suppressedp says how many might not since the last one. */
bool summary_admit(struct summary *summary, size_t kind, uint64_t *suppressedp);

/* The minute is over. */
void summary_begin(struct summary *summary);

#endif
