/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

const struct outcome_row outcomes[] = {
    [OUTCOME_OK] = {"ok", 200, LOG_DEBUG},
    [OUTCOME_PASSED_ON] = {"passed_on", 0, LOG_WARN},
    [OUTCOME_BAD_REQUEST] = {"bad_request", 400, LOG_WARN},
    [OUTCOME_BUSY] = {"busy", 503, LOG_WARN},
    [OUTCOME_UPSTREAM_FAILED] = {"upstream_failed", 502, LOG_WARN},
    [OUTCOME_UPSTREAM_TRUNCATED] = {"upstream_truncated", 502, LOG_WARN},
    [OUTCOME_NO_EXPOSITION] = {"no_exposition", 502, LOG_WARN},
    [OUTCOME_TOO_LARGE] = {"too_large", 502, LOG_WARN},
    [OUTCOME_UNDECIDED] = {"undecided", 502, LOG_WARN},
    [OUTCOME_TIMEOUT] = {"timeout", 504, LOG_WARN},
    [OUTCOME_CLIENT_GONE] = {"client_gone", 0, LOG_INFO},
    [OUTCOME_NO_MEMORY] = {"no_memory", 503, LOG_ERROR},
};

#define ROW(outcome, error, limit)                                                                                     \
    {                                                                                                                  \
        OUTCOME_##outcome, UPSTREAM_ERROR_##error, LIMIT_##limit                                                       \
    }

const struct failure_row failure_rows[] = {
    [FAILURE_PASSED_ON] = ROW(PASSED_ON, STATUS, NONE),
    [FAILURE_BAD_REQUEST] = ROW(BAD_REQUEST, NONE, NONE),
    [FAILURE_BUSY] = ROW(BUSY, NONE, NONE), /* its limit is counted with its log line */
    [FAILURE_NO_MEMORY] = ROW(NO_MEMORY, NONE, NONE),
    [FAILURE_SLOW_READER] = ROW(TIMEOUT, NONE, SLOW_READER),
    [FAILURE_QUEUED] = ROW(TIMEOUT, CONNECT, UPSTREAM_CONNECTIONS),
    [FAILURE_UNREACHABLE] = ROW(UPSTREAM_FAILED, CONNECT, NONE),
    [FAILURE_CONNECTING] = ROW(TIMEOUT, CONNECT, NONE),
    [FAILURE_RESPONDING] = ROW(TIMEOUT, TIMEOUT, NONE),
    [FAILURE_HTTP] = ROW(UPSTREAM_FAILED, HTTP, NONE),
    [FAILURE_REDIRECTED] = ROW(UPSTREAM_FAILED, STATUS, NONE),
    [FAILURE_CONNECTION_LOST] = ROW(UPSTREAM_FAILED, TRUNCATED, NONE),
    [FAILURE_ENCODING] = ROW(UPSTREAM_FAILED, ENCODING, NONE),
    [FAILURE_NO_EXPOSITION] = ROW(NO_EXPOSITION, EXPOSITION, NONE),
    [FAILURE_TRUNCATED] = ROW(UPSTREAM_TRUNCATED, TRUNCATED, NONE),
    [FAILURE_BODY_TOO_LARGE] = ROW(TOO_LARGE, TOO_LARGE, BODY),
    [FAILURE_LINE_TOO_LONG] = ROW(TOO_LARGE, TOO_LARGE, LINE),
    [FAILURE_TOO_MANY_SERIES] = ROW(TOO_LARGE, TOO_LARGE, SERIES),
    [FAILURE_TOO_MANY_FAMILIES] = ROW(TOO_LARGE, TOO_LARGE, FAMILIES),
    [FAILURE_METADATA_TOO_LARGE] = ROW(TOO_LARGE, TOO_LARGE, NONE),
    [FAILURE_UNDECIDED] = ROW(UNDECIDED, NONE, NONE),
};

const char *
outcome_word(size_t outcome)
{
    return outcome < OUTCOMES ? outcomes[outcome].label : NULL;
}
