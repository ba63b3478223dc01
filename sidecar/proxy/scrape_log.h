/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SCRAPE_LOG_H
#define PROXY_SCRAPE_LOG_H
/* Level and extra fields of the log line of a scrape; summary.h has the rules. */
#include "outcome.h"

struct log;
struct telemetry;
struct telemetry_scrape;

/* A line's level, and its last fields; unused ones are empty. */
struct scrape_line {
    enum log_level level;
    struct log_field fields[2];
    size_t n;
};

/* The line of a finished scrape; first: as returned by telemetry_scrape(). */
struct scrape_line scrape_log_line(struct telemetry *telemetry, const char *endpoint, enum outcome outcome, bool first);

/* The line of a snapshot's fetch; over_budget: there was no room to keep the body. */
struct scrape_line scrape_log_snapshot_line(struct telemetry *telemetry, const char *endpoint, enum outcome outcome,
                                            bool over_budget);

/* Logs, while a reshard is announced, that a scrape made another count come in force, or that it names the old one
   after that. switched: whether the new count was in force before. */
void scrape_log_reshard(const struct log *log, struct telemetry *telemetry, const struct telemetry_scrape *scrape,
                        bool switched);

/* Logs for each endpoint whether the configuration that telemetry has just got made another count come in force. */
void scrape_log_announcement(const struct log *log, const struct telemetry *telemetry);

/* Logs the last minute's summary of each endpoint that was scraped, and starts the next minute. */
void scrape_log_summaries(const struct log *log, struct telemetry *telemetry);

#endif
