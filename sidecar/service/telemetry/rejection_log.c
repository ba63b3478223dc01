/* SPDX-License-Identifier: Apache-2.0 */
#include "rejection_log.h"

#include "service/base/log.h"

#include <time.h>

enum { REPORT_SECONDS = 10 };

static const struct {
    const char *label, *message;
} rows[LIMITS] = {
#define LIMIT(name, label, message) [LIMIT_##name] = {label, message},
#include "telemetry.def"
};

void
rejection_log_init(struct rejection_log *rejections, const struct log *log, struct telemetry *telemetry)
{
    *rejections = (struct rejection_log){.log = log, .telemetry = telemetry};
}

void
rejection_report(struct rejection_log *rejections, enum limit limit, const char *peer, const char *reason)
{
    struct timespec now;
    uint64_t hits = ++rejections->of[limit].hits, reported = rejections->of[limit].reported;

    telemetry_limit_hit(rejections->telemetry, limit);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (reported && now.tv_sec < rejections->of[limit].when + REPORT_SECONDS)
        return;
    rejections->of[limit].reported = hits;
    rejections->of[limit].when = now.tv_sec;
    log_warn(rejections->log, rows[limit].message, log_text("limit", rows[limit].label), log_text("peer", peer),
             log_number("times", (double)(hits - reported)), log_text("reason", reason));
}
