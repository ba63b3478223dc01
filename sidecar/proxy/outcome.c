/* SPDX-License-Identifier: Apache-2.0 */
#include "outcome.h"

const struct outcome_row outcomes[] = {
    [OUTCOME_OK] = {"ok", 200, LOG_DEBUG, UPSTREAM_ERROR_NONE},
    [OUTCOME_PASSED_ON] = {"passed_on", 0, LOG_WARN, UPSTREAM_ERROR_STATUS},
    [OUTCOME_BAD_REQUEST] = {"bad_request", 400, LOG_WARN, UPSTREAM_ERROR_NONE},
    [OUTCOME_BUSY] = {"busy", 503, LOG_WARN, UPSTREAM_ERROR_NONE},
    [OUTCOME_UPSTREAM_FAILED] = {"upstream_failed", 502, LOG_WARN, UPSTREAM_ERROR_HTTP},
    [OUTCOME_UPSTREAM_TRUNCATED] = {"upstream_truncated", 502, LOG_WARN, UPSTREAM_ERROR_TRUNCATED},
    [OUTCOME_NO_EXPOSITION] = {"no_exposition", 502, LOG_WARN, UPSTREAM_ERROR_EXPOSITION},
    [OUTCOME_TOO_LARGE] = {"too_large", 502, LOG_WARN, UPSTREAM_ERROR_TOO_LARGE},
    [OUTCOME_UNDECIDED] = {"undecided", 502, LOG_WARN, UPSTREAM_ERROR_NONE},
    [OUTCOME_TIMEOUT] = {"timeout", 504, LOG_WARN, UPSTREAM_ERROR_TIMEOUT},
    [OUTCOME_CLIENT_GONE] = {"client_gone", 0, LOG_INFO, UPSTREAM_ERROR_NONE},
    [OUTCOME_NO_MEMORY] = {"no_memory", 503, LOG_ERROR, UPSTREAM_ERROR_NONE},
};

const char *
outcome_word(size_t outcome)
{
    return outcome < OUTCOMES ? outcomes[outcome].label : NULL;
}
