/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests are one to a service. In doubt they are two: an answer that was meant for another must never go out.
 */
#include "snapshot.h"

#include "request.h"

#include <ctype.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What differs between the scrapes of one server, or between servers, and never decides over metrics: how long they
   wait, what they are called, and what they are traced by. */
static const char *const left_aside[] = {"X-Prometheus-Scrape-Timeout-Seconds", "User-Agent", "traceparent",
                                         "tracestate", NULL};

static bool
is_left_aside(const char *name)
{
    for (const char *const *n = left_aside; *n; n++)
        if (!strcasecmp(name, *n))
            return true;
    return false;
}

static size_t
longest_key(const struct request *request)
{
    const struct evkeyval *h;
    size_t size = sizeof("?") + (request->params.query ? strlen(request->params.query) : 0);
    TAILQ_FOREACH (h, &request->headers, next)
        size += strlen("\n") + strlen(h->key) + strlen(":") + strlen(h->value);
    return size;
}

char *
snapshot_key(const struct request *request)
{
    const struct evkeyval *h;
    char *key = malloc(longest_key(request)), *to = key;
    if (!key)
        return NULL;
    *to = 0;
    /* A query has no LF in it, and neither has a header. */
    if (request->params.query)
        to = stpcpy(stpcpy(to, "?"), request->params.query);
    TAILQ_FOREACH (h, &request->headers, next) {
        if (is_left_aside(h->key))
            continue;
        to = stpcpy(to, "\n");
        for (const char *c = h->key; *c; c++)
            *to++ = (char)tolower((unsigned char)*c);
        to = stpcpy(stpcpy(to, ":"), h->value);
    }
    return key;
}
