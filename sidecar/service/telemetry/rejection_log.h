/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_REJECTION_LOG_H
#define SERVICE_REJECTION_LOG_H
/*
 * Counts and logs hit limits: who was rejected, why, and how often. Each limit is hit in one place, which reports here.
 *
 * The first hit is logged at once, then at most one line every ten seconds with the number of hits since: what floods
 * the listener does not flood the log.
 */
#include "telemetry.h"

#include <stdint.h>

struct log;

struct rejection_log {
    const struct log *log;
    struct telemetry *telemetry; /* counts the hits too */
    struct {
        uint64_t hits;     /* since the start */
        uint64_t reported; /* hits that the log has reported */
        int64_t when;      /* the last line: seconds of the monotonic clock */
    } of[LIMITS];
};

/* Borrows log and telemetry. */
void rejection_log_init(struct rejection_log *rejections, const struct log *log, struct telemetry *telemetry);

/* A peer hit a limit. reason is for the log, or NULL. */
void rejection_report(struct rejection_log *rejections, enum limit limit, const char *peer, const char *reason);

#endif
