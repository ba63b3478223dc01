/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_OUTCOME_H
#define PROXY_OUTCOME_H
/* One table from how a scrape ends to its HTTP status, its label in log and metrics, and its log level. */
#include "service/base/log.h"
#include "service/telemetry/telemetry.h"

/* How a scrape can end. */
enum outcome {
    OUTCOME_OK,
    OUTCOME_PASSED_ON,
    OUTCOME_BAD_REQUEST,
    OUTCOME_BUSY,
    OUTCOME_UPSTREAM_FAILED,
    OUTCOME_UPSTREAM_TRUNCATED,
    OUTCOME_NO_EXPOSITION,
    OUTCOME_TOO_LARGE,
    OUTCOME_UNDECIDED,
    OUTCOME_TIMEOUT,
    OUTCOME_CLIENT_GONE,
    OUTCOME_NO_MEMORY,
    OUTCOMES
};

struct outcome_row {
    const char *label;         /* in the log, and in metrics */
    int status;                /* of the response; 0: the upstream's, or none */
    enum log_level level;      /* of the scrape's line, unless scrape_log.h says otherwise */
    enum upstream_error error; /* unless the failure knows better */
};

extern const struct outcome_row outcomes[];

/* For telemetry_init(). */
const char *outcome_word(size_t outcome);

#endif
