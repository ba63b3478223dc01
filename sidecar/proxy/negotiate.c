/* SPDX-License-Identifier: Apache-2.0 */
#include "negotiate.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/* RFC 9110, 7.6.1: these concern one connection; and so do those that Connection names. */
static const char *const hop_by_hop[] = {
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
    NULL,
};

/* What the service must not hear: it would send a part, nothing, or an encoded body. A scrape has no body either. */
static const char *const not_for_service[] = {
    "Host",     "Accept-Encoding", "Content-Length",    "Content-Encoding",    "Content-Type", "Expect", "Range",
    "If-Match", "If-None-Match",   "If-Modified-Since", "If-Unmodified-Since", "If-Range",     NULL,
};

/* What no longer holds for a part of the body, or is said anew. */
static const char *const not_for_scraper[] = {
    "Content-Length",
    "Content-Encoding",
    "Content-Range",
    "Content-MD5",
    "Content-Digest",
    "Repr-Digest",
    "Digest",
    "ETag",
    "Last-Modified",
    "Accept-Ranges",
    "Alt-Svc",
    "Strict-Transport-Security",
    NULL,
};

static bool
is_among(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcasecmp(name, *names))
            return true;
    return false;
}

/* Whether a header's value, a comma-separated list, has a name in it. */
static bool
list_has(const char *list, const char *name)
{
    size_t len = strlen(name);
    while (*list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n == len && !strncasecmp(list, name, len))
            return true;
        list += n;
    }
    return false;
}

/* Whether a Connection header makes this one concern the connection alone. */
static bool
is_of_connection(const struct evkeyvalq *headers, const char *name)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, headers, next)
        if (!strcasecmp(h->key, "Connection") && list_has(h->value, name))
            return true;
    return false;
}

/* RFC 9110, 5.6.2. */
static bool
is_token(const char *name)
{
    for (const char *p = name; *p; p++)
        if (*p <= ' ' || *p > '~' || strchr("\"(),/:;<=>?@[\\]{}", *p))
            return false;
    return *name;
}

static bool
has_control(const char *value)
{
    for (; *value; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return true;
    return false;
}

int
negotiate_request(const struct evkeyvalq *from, struct evkeyvalq *to, struct negotiate_error *error)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, from, next) {
        if (!is_token(h->key) || has_control(h->value)) {
            snprintf(error->reason, sizeof(error->reason),
                     "the header \"%.40s\" has characters that no header may have", is_token(h->key) ? h->key : "");
            return EINVAL;
        }
        if (is_among(h->key, hop_by_hop) || is_among(h->key, not_for_service) || is_of_connection(from, h->key))
            continue;
        if (evhttp_add_header(to, h->key, h->value))
            return -ENOMEM;
    }
    return 0;
}

int
negotiate_response(const struct evkeyvalq *from, struct evkeyvalq *to)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, from, next) {
        if (!is_token(h->key) || has_control(h->value) || is_among(h->key, hop_by_hop) ||
            is_among(h->key, not_for_scraper) || is_of_connection(from, h->key))
            continue;
        if (evhttp_add_header(to, h->key, h->value))
            return -ENOMEM;
    }
    return 0;
}

void
negotiate_vary(struct evkeyvalq *headers)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, headers, next)
        if (!strcasecmp(h->key, "Vary") && (list_has(h->value, "Accept-Encoding") || list_has(h->value, "*")))
            return;
    evhttp_add_header(headers, "Vary", "Accept-Encoding");
}

int
negotiate_join(const struct evkeyvalq *headers, const char *name, char **joinedp)
{
    const struct evkeyval *h;
    char *joined = NULL;

    TAILQ_FOREACH (h, headers, next) {
        char *longer;
        if (strcasecmp(h->key, name) != 0)
            continue;
        if (asprintf(&longer, "%s%s%s", joined ? joined : "", joined ? ", " : "", h->value) < 0) {
            free(joined);
            return -ENOMEM;
        }
        free(joined);
        joined = longer;
    }
    *joinedp = joined;
    return 0;
}

int
negotiate_timeout(const char *header, int64_t endpoint_ms, int64_t *msp, struct negotiate_error *error)
{
    *msp = endpoint_ms;
    if (!header)
        return 0;

    char *end;
    double seconds = strtod(header, &end);
    /* strtod() takes more than a decimal number; a scraper's timeout is nothing else. */
    if (!*header || *end || strspn(header, "0123456789.") != strlen(header) || !(seconds > 0)) {
        snprintf(error->reason, sizeof(error->reason),
                 "X-Prometheus-Scrape-Timeout-Seconds: \"%.40s\" is no time; a number of seconds above 0 is right",
                 header);
        return EINVAL;
    }
    double left = seconds - (seconds > 1 ? 0.5 : seconds / 2);
    if (left * 1000 < (double)endpoint_ms)
        *msp = left * 1000 < 1 ? 1 : (int64_t)(left * 1000);
    return 0;
}
