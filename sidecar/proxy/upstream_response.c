/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_response.h"

#include "excerpt.h"
#include "negotiate.h"

#include "service/base/alloc_reserve.h"
#include "service/config/config.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

static void
pass_on(struct body_settings *settings, const struct endpoint *endpoint, int status, const char *encoding,
        struct evkeyvalq *out, struct failure *failure)
{
    if (encoding)
        evhttp_add_header(out, "Content-Encoding", encoding);
    settings->passthrough = true;
    failure_set(failure, FAILURE_PASSED_ON, "endpoint %s: the upstream responded with status %d", endpoint->name,
                status);
}

/* The settings for a body of this encoding; NULL: none. */
static bool
set_body(struct body_settings *settings, const struct endpoint *endpoint, int status, const char *encoding,
         struct evkeyvalq *out, struct failure *failure)
{
    enum coding coding = negotiate_coding(encoding);
    if (status == 200 && coding == CODING_OTHER) {
        char shown[60];
        excerpt(shown, sizeof(shown), (struct ss_span){encoding, strlen(encoding)});
        failure_set(failure, FAILURE_ENCODING,
                    "endpoint %s: the response is encoded as \"%s\", expected gzip or no encoding", endpoint->name,
                    shown);
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
    /* Prometheus 3 refuses a missing and an empty one. */
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
