/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_key.h"

#include "request.h"

#include <ctype.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Headers that differ between scrapes or servers and never change the metrics: timeout, name, tracing. */
static const char *const ignored[] = {"X-Prometheus-Scrape-Timeout-Seconds", "User-Agent", "traceparent", "tracestate",
                                      NULL};

static bool
is_ignored(const char *name)
{
    for (const char *const *n = ignored; *n; n++)
        if (!strcasecmp(name, *n))
            return true;
    return false;
}

static size_t
max_key_size(const struct request *request)
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
    char *key = malloc(max_key_size(request)), *to = key;
    if (!key)
        return NULL;
    *to = 0;
    /* Neither a query nor a header contains LF. */
    if (request->params.query)
        to = stpcpy(stpcpy(to, "?"), request->params.query);
    TAILQ_FOREACH (h, &request->headers, next) {
        if (is_ignored(h->key))
            continue;
        to = stpcpy(to, "\n");
        for (const char *c = h->key; *c; c++)
            *to++ = (char)tolower((unsigned char)*c);
        to = stpcpy(stpcpy(to, ":"), h->value);
    }
    return key;
}
