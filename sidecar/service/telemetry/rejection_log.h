/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_REJECTION_LOG_H
#define SERVICE_REJECTION_LOG_H
/*
 * Who was turned away, why, and how often. Each limit has one place where it is hit, and each place tells it here.
 *
 * The log hears of a limit at once, and then at most every ten seconds, with how often it was hit meanwhile: what
 * floods the listener does not flood the log.
 */
#include "telemetry.h"

#include <stdint.h>

struct log;

struct rejection_log {
    const struct log *log;
    struct telemetry *telemetry; /* counts them, too */
    struct {
        uint64_t hits;     /* since the program began */
        uint64_t reported; /* of them, in the log */
        int64_t when;      /* the log was told last: seconds of the monotonic clock */
    } of[LIMITS];
};

/* Borrows both. */
void rejection_log_init(struct rejection_log *rejections, const struct log *log, struct telemetry *telemetry);

/* A limit was hit by a peer, as text. reason is for the log, or NULL. */
void rejection_report(struct rejection_log *rejections, enum limit limit, const char *peer, const char *reason);

#endif
