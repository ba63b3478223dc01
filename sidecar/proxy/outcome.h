/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_OUTCOME_H
#define PROXY_OUTCOME_H
/* Two tables: how a scrape ends, with its HTTP status, its label in log and metrics, and its log level; and why one
   fails, with its outcome, the upstream's error and the limit that was hit. */
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
    const char *label;    /* in the log, and in metrics */
    int status;           /* of the response; 0: the upstream's, or none */
    enum log_level level; /* of the scrape's line, unless scrape_log.h says otherwise */
};

extern const struct outcome_row outcomes[];

/* Why a scrape can fail. */
enum failure_cause {
    FAILURE_PASSED_ON, /* another status than 200 */
    FAILURE_BAD_REQUEST,
    FAILURE_BUSY,
    FAILURE_NO_MEMORY,
    FAILURE_SLOW_READER,
    /* The upstream, before its body. */
    FAILURE_QUEUED, /* timeout */
    FAILURE_UNREACHABLE,
    FAILURE_CONNECTING, /* timeout */
    FAILURE_RESPONDING, /* timeout */
    FAILURE_HTTP,
    FAILURE_REDIRECTED,
    FAILURE_CONNECTION_LOST,
    FAILURE_ENCODING,
    /* Its body. */
    FAILURE_NO_EXPOSITION,
    FAILURE_TRUNCATED,
    FAILURE_BODY_TOO_LARGE,
    FAILURE_LINE_TOO_LONG,
    FAILURE_TOO_MANY_SERIES,
    FAILURE_TOO_MANY_FAMILIES,
    FAILURE_METADATA_TOO_LARGE,
    FAILURE_UNDECIDED,
};

struct failure_row {
    enum outcome outcome;
    enum upstream_error error;
    enum limit limit; /* LIMIT_NONE: none was hit */
};

extern const struct failure_row failure_rows[];

/* For telemetry_init(). */
const char *outcome_word(size_t outcome);

#endif
