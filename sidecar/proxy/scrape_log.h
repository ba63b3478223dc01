/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SCRAPE_LOG_H
#define PROXY_SCRAPE_LOG_H
/* At which level the log hears of a scrape, and what it is told besides: see summary.h. */
#include "outcome.h"

struct log;
struct telemetry;

/* A line's level, and its last fields. */
struct scrape_line {
    enum log_level level;
    struct log_field fields[2];
    size_t n;
};

/* Of a scrape that is over, and of which telemetry_scrape() has said whether it is a first one. */
struct scrape_line scrape_log_line(struct telemetry *telemetry, const char *endpoint, enum outcome outcome, bool first);

/* Of a body that was fetched to be kept; over_budget: there was no room for it. */
struct scrape_line scrape_log_snapshot_line(struct telemetry *telemetry, const char *endpoint, enum outcome outcome,
                                            bool over_budget);

/* Writes how the scrapes of the minute went, of each endpoint that had some, and begins the next. */
void scrape_log_minute(const struct log *log, struct telemetry *telemetry);

#endif
