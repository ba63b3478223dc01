/* SPDX-License-Identifier: Apache-2.0 */
#include "failure.h"

#include "negotiate.h"

#include "service/config/config.h"

#include <stdarg.h>
#include <stdio.h>

void
failure_set(struct failure *failure, enum failure_cause cause, const char *format, ...)
{
    const struct failure_row *row = &failure_rows[cause];
    va_list args;
    failure->outcome = row->outcome;
    failure->error = row->error;
    failure->limit = row->limit;
    va_start(args, format);
    vsnprintf(failure->reason, sizeof(failure->reason), format, args);
    va_end(args);
}

void
failure_set_no_memory(struct failure *failure)
{
    failure_set(failure, FAILURE_NO_MEMORY, "out of memory");
}

void
failure_of_body(struct failure *failure, const struct endpoint *endpoint, int r, const char *reason)
{
    static const struct {
        enum failure_cause cause;
        const char *what;
    } rows[] = {
        [BODY_NO_EXPOSITION] = {FAILURE_NO_EXPOSITION, "the response is not a valid exposition: "},
        [BODY_TRUNCATED] = {FAILURE_TRUNCATED, ""},
        [BODY_TOO_LARGE] = {FAILURE_BODY_TOO_LARGE, ""},
        [BODY_LINE_TOO_LONG] = {FAILURE_LINE_TOO_LONG, ""},
        [BODY_TOO_MANY_SERIES] = {FAILURE_TOO_MANY_SERIES, ""},
        [BODY_TOO_MANY_FAMILIES] = {FAILURE_TOO_MANY_FAMILIES, ""},
        [BODY_BAD_ENCODING] = {FAILURE_ENCODING, "the response cannot be decoded: "},
        [BODY_UNDECIDED] = {FAILURE_UNDECIDED, "the response cannot be sharded: "},
    };
    if (r > 0 && (size_t)r < sizeof(rows) / sizeof(rows[0]))
        failure_set(failure, rows[r].cause, "endpoint %s: %s%s", endpoint->name, rows[r].what, reason);
    else
        failure_set_no_memory(failure);
}

void
failure_of_fetch(struct failure *failure, const struct endpoint *endpoint, enum fetch_result result, const char *reason)
{
    static const enum failure_cause causes[] = {
        [FETCH_FAILED] = FAILURE_HTTP,
        [FETCH_REDIRECTED] = FAILURE_REDIRECTED,
        [FETCH_UNREACHABLE] = FAILURE_UNREACHABLE,
        [FETCH_TRUNCATED] = FAILURE_CONNECTION_LOST,
    };
    if (result == FETCH_NO_MEMORY)
        failure_set_no_memory(failure);
    else
        failure_set(failure, causes[result], "endpoint %s: the upstream's response failed: %s", endpoint->name, reason);
}

void
failure_of_timeout(struct failure *failure, const struct endpoint *endpoint, enum fetch_progress progress,
                   const struct time_limit *limit)
{
    static const struct {
        enum failure_cause cause;
        const char *what;
    } rows[] = {
        [FETCH_QUEUED] = {FAILURE_QUEUED, "could not connect to the upstream"},
        [FETCH_RESOLVING] = {FAILURE_CONNECTING, "DNS did not answer for the upstream's host"},
        [FETCH_CONNECTING] = {FAILURE_CONNECTING, "could not connect to the upstream"},
        [FETCH_REQUEST_SENT] = {FAILURE_RESPONDING, "the upstream did not respond"},
    };
    failure_set(failure, rows[progress].cause, "endpoint %s: %s within %g s (%s)", endpoint->name, rows[progress].what,
                (double)limit->ms / 1000, limit->by);
}
