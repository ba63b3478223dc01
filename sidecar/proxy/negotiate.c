/* SPDX-License-Identifier: Apache-2.0 */
#include "negotiate.h"

#include "core/parse/format.h"
#include "service/base/http_list.h"
#include "service/config/config.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

/* RFC 9110, 7.6.1: these, and those that Connection names, concern one connection. */
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

/* With these the upstream would send part of a body, none, or an encoded one. A scrape has no body either. */
static const char *const not_for_upstream[] = {
    "Host",     "Accept-Encoding", "Content-Length",    "Content-Encoding",    "Content-Type", "Expect", "Range",
    "If-Match", "If-None-Match",   "If-Modified-Since", "If-Unmodified-Since", "If-Range",     NULL,
};

/* These do not hold for part of the body, or are set again. */
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

/* IANA's registry of content codings (2026-11), without those that we decode. */
static const char *const other_codings[] = {
    "aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "pack200-gzip", "x-compress", "zstd", NULL,
};

static bool
is_among(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcasecmp(name, *names))
            return true;
    return false;
}

/* Whether a Connection header names this one. */
static bool
is_of_connection(const struct evkeyvalq *headers, const char *name)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, headers, next)
        if (!strcasecmp(h->key, "Connection") && http_list_has(h->value, name))
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

/* Removes the formats with composites from Accept in place. Whether anything is left. */
static bool
drop_composites(char *accept)
{
    const char *list = accept;
    char *out = accept;
    struct http_list_element e;
    bool dropped = false, first = true;
    while (http_list_next(&list, &e)) {
        if (format_of_element(e.value)->has_composites) {
            dropped = true;
            continue;
        }
        if (!first)
            *out++ = ',';
        first = false;
        memmove(out, e.raw.ptr, e.raw.len);
        out += e.raw.len;
    }
    *out = 0;
    return !dropped || accept[strspn(accept, ", \t")];
}

int
negotiate_accept(const char *accept, bool composites, char **leftp)
{
    char *left = strdup(accept);
    if (!left)
        return -ENOMEM;
    *leftp = left;
    if (composites)
        return 0;
    if (drop_composites(left)) {
        size_t blanks = strspn(left, " \t");
        memmove(left, left + blanks, strlen(left + blanks) + 1);
    } else {
        free(left);
        *leftp = NULL;
    }
    return 0;
}

static int
add_accept(struct evkeyvalq *to, const char *key, const char *value)
{
    char *left = NULL;
    int r = negotiate_accept(value, false, &left);
    if (!r && left && evhttp_add_header(to, key, left))
        r = -ENOMEM;
    free(left);
    return r;
}

int
negotiate_request(const struct evkeyvalq *from, struct evkeyvalq *to, bool composites, struct negotiate_error *error)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, from, next) {
        if (!is_token(h->key) || has_control(h->value)) {
            snprintf(error->reason, sizeof(error->reason), "the header \"%.40s\" contains invalid characters",
                     is_token(h->key) ? h->key : "");
            return EINVAL;
        }
        if (is_among(h->key, hop_by_hop) || is_among(h->key, not_for_upstream) || is_of_connection(from, h->key))
            continue;
        bool whole = composites || strcasecmp(h->key, "Accept") != 0;
        if (whole ? evhttp_add_header(to, h->key, h->value) : add_accept(to, h->key, h->value))
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
negotiate_add_vary(struct evkeyvalq *headers)
{
    const struct evkeyval *h;
    TAILQ_FOREACH (h, headers, next)
        if (!strcasecmp(h->key, "Vary") && (http_list_has(h->value, "Accept-Encoding") || http_list_has(h->value, "*")))
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

static bool
is_coding_among(struct ss_span coding, const char *const *names)
{
    while (*names && !http_list_equals(coding, *names))
        names++;
    return *names;
}

enum coding
negotiate_coding(const char *list)
{
    static const char *const gzip[] = {"gzip", "x-gzip", NULL};
    enum coding coding = CODING_NONE;
    struct http_list_element e;
    while (http_list_next(&list, &e)) {
        bool is_gzip = is_coding_among(e.value, gzip);
        if (is_coding_among(e.value, other_codings) || (is_gzip && coding == CODING_GZIP))
            return CODING_OTHER;
        if (is_gzip)
            coding = CODING_GZIP;
    }
    return coding;
}

static const char timeout_header[] = "X-Prometheus-Scrape-Timeout-Seconds";

enum {
    /* No scraper waits longer; a peer that claims to must not hold its slot for days. */
    TIMEOUT_MAX = 60 * 60 * 1000,
    OFFSET_MAX = 500,
    UPSTREAM_OFFSET_MAX = 100,
};

static double
tenth(double ms, double max)
{
    return ms / 10 < max ? ms / 10 : max;
}

int
negotiate_timeout(const char *header, const struct endpoint *endpoint, struct time_limit *limit,
                  struct negotiate_error *error)
{
    limit->ms = endpoint->timeout;
    snprintf(limit->by, sizeof(limit->by), "endpoint.%s.timeout", endpoint->name);
    if (!header)
        return 0;

    char *end;
    double seconds = strtod(header, &end);
    /* strtod() takes more than decimal numbers. */
    if (!*header || *end || strspn(header, "0123456789.") != strlen(header) || !(seconds > 0)) {
        snprintf(error->reason, sizeof(error->reason), "%s: expected a number of seconds above 0, got \"%.40s\"",
                 timeout_header, header);
        return EINVAL;
    }
    double ms = seconds * 1000 < TIMEOUT_MAX ? seconds * 1000 : TIMEOUT_MAX, offset = tenth(ms, OFFSET_MAX);
    if (endpoint->timeout_is_set && (double)endpoint->timeout <= ms - offset)
        return 0;
    limit->ms = ms - offset < 1 ? 1 : (int64_t)(ms - offset);
    snprintf(limit->by, sizeof(limit->by), "%s %g less %g s", timeout_header, ms / 1000, offset / 1000);
    return 0;
}

int
negotiate_set_timeout(struct evkeyvalq *headers, int64_t left_ms)
{
    char seconds[32];
    double ms = left_ms > 1 ? (double)left_ms : 1;
    if (!evhttp_find_header(headers, timeout_header))
        return 0;
    while (!evhttp_remove_header(headers, timeout_header))
        ;
    ms -= tenth(ms, UPSTREAM_OFFSET_MAX);
    snprintf(seconds, sizeof(seconds), "%.3f", (ms < 1 ? 1 : ms) / 1000);
    return evhttp_add_header(headers, timeout_header, seconds) ? -ENOMEM : 0;
}
