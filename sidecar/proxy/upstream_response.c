/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_response.h"

#include "excerpt.h"
#include "negotiate.h"

#include "service/base/alloc_reserve.h"
#include "service/config/config.h"

#include <event2/http.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
failure_set(struct failure *failure, enum outcome outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(failure->reason, sizeof(failure->reason), format, args);
    va_end(args);
    failure->outcome = outcome;
    failure->error = outcomes[outcome].error;
    failure->limit = LIMIT_NONE;
}

void
failure_set_no_memory(struct failure *failure)
{
    failure_set(failure, OUTCOME_NO_MEMORY, "there is no memory left for the scrape");
}

/* An answer that is no 200 goes through as it is. */
static void
pass_on(struct body_settings *settings, const struct endpoint *endpoint, int status, const char *encoding,
        struct evkeyvalq *out, struct failure *failure)
{
    if (encoding)
        evhttp_add_header(out, "Content-Encoding", encoding);
    settings->passthrough = true;
    failure_set(failure, OUTCOME_PASSED_ON, "endpoint %s: the service answered with status %d", endpoint->name, status);
}

/* The settings for a body of this encoding; NULL: a plain one. */
static bool
set_body(struct body_settings *settings, const struct endpoint *endpoint, int status, const char *encoding,
         struct evkeyvalq *out, struct failure *failure)
{
    enum coding coding = negotiate_coding(encoding);
    if (status == 200 && coding == CODING_OTHER) {
        char shown[60];
        excerpt(shown, sizeof(shown), (struct ss_span){encoding, strlen(encoding)});
        failure_set(failure, OUTCOME_UPSTREAM_FAILED,
                    "endpoint %s: the response is encoded as \"%s\", expected gzip or no encoding", endpoint->name,
                    shown);
        failure->error = UPSTREAM_ERROR_ENCODING;
        return false;
    }
    if (status != 200)
        pass_on(settings, endpoint, status, encoding, out, failure);

    settings->content_type = evhttp_find_header(out, "Content-Type");
    settings->max_line = endpoint->max_line;
    settings->max_series = endpoint->max_series;
    settings->max_families = endpoint->max_families;
    settings->max_body = endpoint->max_body;
    settings->strict_close = endpoint->strict_close;
    settings->gunzip = coding == CODING_GZIP;
    return true;
}

bool
upstream_response_begin(struct body_settings *settings, const struct endpoint *endpoint, int status,
                        const struct evkeyvalq *headers, struct evkeyvalq *out, struct failure *failure)
{
    char *encoding;
    uint64_t failures = alloc_failures();
    if (negotiate_response(headers, out) || negotiate_join(headers, "Content-Encoding", &encoding)) {
        failure_set_no_memory(failure);
        return false;
    }
    /* A blank one is as good as none: Prometheus 3 refuses both. */
    const char *content_type = evhttp_find_header(out, "Content-Type");
    if (status == 200 && (!content_type || !*content_type)) {
        evhttp_remove_header(out, "Content-Type");
        evhttp_add_header(out, "Content-Type", endpoint->default_content_type);
    }
    bool begun = set_body(settings, endpoint, status, encoding, out, failure);
    free(encoding);
    if (begun && alloc_failures() != failures) { /* a header may be missing */
        failure_set_no_memory(failure);
        return false;
    }
    return begun;
}

/* The limit that a condition is about. */
static enum limit
limit_of(int r)
{
    return r == BODY_TOO_LARGE         ? LIMIT_BODY
           : r == BODY_LINE_TOO_LONG   ? LIMIT_LINE
           : r == BODY_TOO_MANY_SERIES ? LIMIT_SERIES
                                       : LIMIT_FAMILIES;
}

void
failure_of_body(struct failure *failure, const struct endpoint *endpoint, int r, const char *reason)
{
    const char *name = endpoint->name;
    switch (r) {
    case BODY_NO_EXPOSITION:
        failure_set(failure, OUTCOME_NO_EXPOSITION, "endpoint %s: the service's answer is no exposition: %s", name,
                    reason);
        break;
    case BODY_TRUNCATED:
        failure_set(failure, OUTCOME_UPSTREAM_TRUNCATED, "endpoint %s: %s", name, reason);
        break;
    case BODY_TOO_LARGE:
    case BODY_LINE_TOO_LONG:
    case BODY_TOO_MANY_SERIES:
    case BODY_TOO_MANY_FAMILIES:
        failure_set(failure, OUTCOME_TOO_LARGE, "endpoint %s: %s", name, reason);
        failure->limit = limit_of(r);
        break;
    case BODY_UNDECIDED:
        failure_set(failure, OUTCOME_UNDECIDED, "endpoint %s: the service's answer cannot be sharded: %s", name,
                    reason);
        break;
    case BODY_BAD_ENCODING:
        failure_set(failure, OUTCOME_UPSTREAM_FAILED, "endpoint %s: the service's answer cannot be decoded: %s", name,
                    reason);
        failure->error = UPSTREAM_ERROR_ENCODING;
        break;
    default:
        failure_set_no_memory(failure);
    }
}

void
failure_of_fetch(struct failure *failure, const struct endpoint *endpoint, enum fetch_result result, const char *reason)
{
    if (result == FETCH_NO_MEMORY) {
        failure_set_no_memory(failure);
        return;
    }
    failure_set(failure, OUTCOME_UPSTREAM_FAILED, "endpoint %s: the service's answer failed: %s", endpoint->name,
                reason);
    if (result == FETCH_REDIRECTED)
        failure->error = UPSTREAM_ERROR_STATUS;
    else if (result != FETCH_FAILED)
        failure->error = result == FETCH_UNREACHABLE ? UPSTREAM_ERROR_CONNECT : UPSTREAM_ERROR_TRUNCATED;
}

void
failure_of_timeout(struct failure *failure, const struct endpoint *endpoint, enum fetch_progress progress,
                   const struct time_limit *limit)
{
    bool asked = progress == FETCH_ASKED;
    failure_set(failure, OUTCOME_TIMEOUT, "endpoint %s: %s within %g s (%s)", endpoint->name,
                asked                        ? "the service did not answer"
                : progress == FETCH_RESOLVES ? "DNS did not answer for the host of the service's URL"
                                             : "there was no connection to the service",
                (double)limit->ms / 1000, limit->by);
    failure->error = asked ? UPSTREAM_ERROR_TIMEOUT : UPSTREAM_ERROR_CONNECT;
    if (progress == FETCH_WAITS)
        failure->limit = LIMIT_UPSTREAM_CONNECTIONS;
}
