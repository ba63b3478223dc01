/* SPDX-License-Identifier: Apache-2.0 */
#include "rejection_log.h"

#include "service/base/log.h"

#include <time.h>

enum { REPORT_SECONDS = 10 };

static const struct {
    const char *word, *what;
} rows[LIMITS] = {
    [LIMIT_CONNECTIONS] = {"max_connections", "a connection was refused: there are as many as may be"},
    [LIMIT_CONNECTIONS_PER_PEER] = {"max_connections_per_peer",
                                    "a connection was refused: its peer has as many as may be"},
    [LIMIT_EVICTED] = {"evicted", "an idle connection had to make room for another"},
    [LIMIT_DESCRIPTORS] = {"descriptors", "a connection was refused: there are no descriptors left"},
    [LIMIT_REQUEST_HEAD] = {"request_head", "a request was refused: its head is larger than 8 KiB"},
    [LIMIT_HEAD_TIMEOUT] = {"head_timeout", "a connection was closed: no request came in time"},
    [LIMIT_SLOW_READER] = {"answer_timeout", "a connection was closed: its answer was not read in time"},
    [LIMIT_IN_FLIGHT] = {"max_in_flight", "a scrape was refused: as many are in flight as may be"},
    [LIMIT_NETWORK] = {"allow_networks", "a connection was refused: its peer is in no network that may come in"},
    [LIMIT_TLS] = {"tls", "a TLS handshake failed"},
    [LIMIT_CREDENTIALS] = {"credentials", "a request was refused at the door"},
    [LIMIT_ATTEMPTS] = {"attempts", "a request was refused: too many passwords wait to be matched"},
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
    uint64_t hits = ++rejections->of[limit].hits, told = rejections->of[limit].reported;

    telemetry_limit_hit(rejections->telemetry, limit);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (told && now.tv_sec < rejections->of[limit].when + REPORT_SECONDS)
        return;
    rejections->of[limit].reported = hits;
    rejections->of[limit].when = now.tv_sec;
    log_warn(rejections->log, rows[limit].what, log_text("limit", rows[limit].word), log_text("peer", peer),
             log_number("times", (double)(hits - told)), log_text("reason", reason));
}
