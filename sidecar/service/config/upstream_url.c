/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define EXPECTED "(expected http://HOST:PORT/PATH, https://HOST:PORT/PATH or unix:/SOCKET:/PATH)"

/* libcurl's error in the terms of the configuration. */
static const char *
reason_for(CURLUcode code)
{
    switch (code) {
    case CURLUE_BAD_PORT_NUMBER:
        return "has an invalid port (expected a number from 1 to 65535)";
    case CURLUE_BAD_IPV6:
        return "has an invalid IPv6 address (expected http://[ADDRESS]:PORT/PATH)";
    case CURLUE_BAD_HOSTNAME:
        return "has an invalid host (expected a DNS name, an IPv4 address, or an IPv6 address in brackets)";
    case CURLUE_NO_HOST:
        return "has no host " EXPECTED;
    case CURLUE_USER_NOT_ALLOWED:
        return "must not contain credentials, which logs would show (expected authorization_file)";
    default:
        return curl_url_strerror(code);
    }
}

/* What libcurl accepts, or reports less clearly. NULL: nothing is wrong. */
static const char *
check_text(const char *text)
{
    if (strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return "is not an upstream URL " EXPECTED;
    const char *authority = strstr(text, "://") + 3;
    size_t len = strcspn(authority, "/?#");
    const char *colon = memchr(authority, ':', len);
    bool ipv6 = colon && memchr(colon + 1, ':', len - (size_t)(colon + 1 - authority)); /* at least intended as one */

    if (!len)
        return reason_for(CURLUE_NO_HOST);
    if (memchr(authority, '@', len))
        return reason_for(CURLUE_USER_NOT_ALLOWED);
    if (strcspn(authority, ipv6 ? "${}" : "${}%") < len)
        return "has an unexpanded placeholder in its host or port (expected $(NAME) of an environment variable that is "
               "set, and is a host, an address or a port)";
    if (ipv6 && strspn(authority, "0123456789abcdefABCDEF:.") >= len)
        return "has an IPv6 address without brackets (expected http://[ADDRESS]:PORT/PATH)";
    for (const char *p = authority; p < authority + len; p++)
        if ((unsigned char)*p & 0x80)
            return "has a host that is not ASCII (expected its DNS form, xn--...)";
    if (strchr(text, '#'))
        return "has a fragment, which would never be sent (expected no #)";
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || strchr("\"<>\177", *p))
            return "has a character that is not valid in a URL (expected it percent-encoded, e.g. %20)";
    return NULL;
}

/* The value of the variable in $(NAME), of len bytes, if it can be part of a host or port; otherwise NULL. */
static const char *
variable(const char *placeholder, size_t len)
{
    static const char valid[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:_-";
    char name[256];
    size_t n = len - strlen("$()");
    if (!n || n >= sizeof(name))
        return NULL;
    snprintf(name, sizeof(name), "%.*s", (int)n, placeholder + strlen("$("));
    const char *value = getenv(name);
    return value && *value && value[strspn(value, valid)] == 0 ? value : NULL;
}

char *
url_expand(const char *text)
{
    const char *from = strstr(text, "://"),
               *end = from ? from + strlen("://") + strcspn(from + strlen("://"), "/?#") : text;
    char *expanded = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&expanded, &size);
    if (!out)
        return NULL;
    for (from = text; from < end; from++) {
        const char *close = !strncmp(from, "$(", 2) ? memchr(from, ')', (size_t)(end - from)) : NULL;
        const char *value = close ? variable(from, (size_t)(close + 1 - from)) : NULL;
        struct in6_addr address;
        bool brackets = value && inet_pton(AF_INET6, value, &address) == 1 && from > text && from[-1] != '[';
        if (value)
            fprintf(out, brackets ? "[%s]" : "%s", value);
        else
            fputc(*from, out);
        from = value ? close : from;
    }
    fputs(end, out);
    if (ferror(out) | fclose(out) || !expanded) {
        free(expanded);
        return NULL;
    }
    return expanded;
}

/* HOST[:PORT]; flags decide whether the scheme's default port is included. NULL: out of memory. */
static char *
authority_of(CURLU *u, unsigned flags)
{
    char *host = NULL, *zone = NULL, *port = NULL, *authority = NULL;
    CURLUcode code = curl_url_get(u, CURLUPART_HOST, &host, 0), port_code;

    if (!code && (code = curl_url_get(u, CURLUPART_ZONEID, &zone, 0)) == CURLUE_NO_ZONEID)
        code = CURLUE_OK;
    port_code = curl_url_get(u, CURLUPART_PORT, &port, flags);
    if (!code && (!port_code || port_code == CURLUE_NO_PORT)) {
        int len = (int)strlen(host) - (zone != NULL); /* before the bracket */
        if (asprintf(&authority, "%.*s%s%s%s%s%s", len, host, zone ? "%25" : "", zone ? zone : "", host + len,
                     port ? ":" : "", port ? port : "") < 0)
            authority = NULL;
    }
    curl_free(host);
    curl_free(zone);
    curl_free(port);
    return authority;
}

/* Parses what check_text() accepted. Returns libcurl's code; the caller cleans *urlp up in any case. */
static CURLUcode
parse(CURLU **urlp, const char *text, bool *tls)
{
    char *scheme = NULL;
    CURLUcode code = CURLUE_OUT_OF_MEMORY;

    *urlp = curl_url();
    if (*urlp)
        code = curl_url_set(*urlp, CURLUPART_URL, text, CURLU_PATH_AS_IS | CURLU_DISALLOW_USER);
    if (!code)
        code = curl_url_get(*urlp, CURLUPART_SCHEME, &scheme, 0);
    *tls = !code && !strcmp(scheme, "https");
    curl_free(scheme);
    return code;
}

/* Takes text over; NULL: out of memory. Returns 0, EINVAL or -ENOMEM. */
static int
read_http(struct upstream_url *url, char *text, const char **reasonp)
{
    CURLU *u = NULL;
    CURLUcode code = CURLUE_OUT_OF_MEMORY;

    url->url = text;
    for (char *p = text; p && isalpha((unsigned char)*p); p++)
        *p = (char)tolower((unsigned char)*p); /* the scheme */
    *reasonp = text ? check_text(text) : NULL;
    if (*reasonp)
        return EINVAL;
    if (text)
        code = parse(&u, text, &url->tls);
    if (!code && !(url->server = authority_of(u, CURLU_DEFAULT_PORT)))
        code = CURLUE_OUT_OF_MEMORY;
    else if (!code && !strcmp(strrchr(url->server, ':'), ":0"))
        code = CURLUE_BAD_PORT_NUMBER;
    for (char *p = url->server; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    curl_url_cleanup(u);
    *reasonp = code ? reason_for(code) : NULL;
    return !code ? 0 : code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : EINVAL;
}

static int
read_unix(struct upstream_url *url, const char *text, const char **reasonp)
{
    size_t len = strcspn(text, ":");
    char *http = NULL;

    *reasonp = "has no socket or no path (expected unix:/SOCKET:/PATH)";
    if (text[0] != '/' || text[len] != ':' || text[len + 1] != '/')
        return EINVAL;
    *reasonp = "has a socket path that is too long (expected at most 107 bytes)";
    if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return EINVAL;
    if (asprintf(&http, "http://localhost%s", text + len + 1) < 0)
        http = NULL;
    int r = read_http(url, http, reasonp);
    free(url->server);
    url->server = r ? NULL : strndup(text, len);
    url->socket = r ? NULL : strndup(text, len);
    return r ? r : url->server && url->socket ? 0 : -ENOMEM;
}

int
url_read(struct upstream_url *url, const char *text, const char **reasonp)
{
    *url = (struct upstream_url){.url = NULL};
    int r = !strncmp(text, "unix:", 5) ? read_unix(url, text + 5, reasonp) : read_http(url, strdup(text), reasonp);
    if (!r && !(url->shown = strndup(text, strcspn(text, "?"))))
        r = -ENOMEM;
    if (r)
        url_deinit(url);
    return r;
}

int
url_set_server_name(struct upstream_url *url, const char *name)
{
    char *renamed = NULL, *connect_to = NULL, *copy = NULL, *host = NULL;
    CURLU *u;
    CURLUcode code = parse(&u, url->url, &url->tls);

    if (!code && !(host = authority_of(u, CURLU_NO_DEFAULT_PORT)))
        code = CURLUE_OUT_OF_MEMORY;
    if (!code)
        code = curl_url_set(u, CURLUPART_HOST, name, 0);
    if (!code)
        code = curl_url_get(u, CURLUPART_URL, &renamed, 0);
    if (!code && asprintf(&connect_to, "%s%s:%s", name, strrchr(url->server, ':'), url->server) < 0)
        connect_to = NULL;
    if (!code && connect_to && (copy = strdup(renamed)) != NULL) {
        free(url->url);
        url->url = copy;
        url->connect_to = connect_to;
        url->host = host;
    } else {
        free(connect_to);
        free(host);
    }
    curl_free(renamed);
    curl_url_cleanup(u);
    return copy ? 0 : code && code != CURLUE_OUT_OF_MEMORY ? EINVAL : -ENOMEM;
}

char *
url_with_query(const struct upstream_url *url, const char *query)
{
    const char *mark = strchr(url->url, '?');
    char *whole;
    if (!query)
        return strdup(url->url);
    return asprintf(&whole, "%s%s%s", url->url, !mark ? "?" : mark[1] ? "&" : "", query) < 0 ? NULL : whole;
}

/* Where the authority of a text meant as a URL starts, of which scheme and colon may be missing. */
static size_t
authority_at(const char *text)
{
    size_t start = strspn(text, " \t\""), n = start;
    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("+-.", text[n])))
        n++;
    n += text[n] == ':';
    return strncmp(text + n, "//", 2) ? start : n + 2;
}

static void
mask(char *from, const char *to)
{
    while (from < to)
        *from++ = '*';
}

void
url_mask(char *text)
{
    const char *at = strrchr(text, '@'), *slash = strchr(text, '/');
    char *query = slash ? strchr(slash, '?') : NULL;

    if (at)
        mask(text + authority_at(text), at);
    if (query)
        mask(query + 1, text + strlen(text));
}

char *
url_shown(const char *text)
{
    struct upstream_url url;
    const char *reason, *at = strrchr(text, '@');
    size_t query = strcspn(text, "?#"), authority = authority_at(text);
    char *shown;

    if (!url_read(&url, text, &reason)) {
        at = NULL; /* a valid URL has no credentials */
        url_deinit(&url);
    }
    bool cut = at && at > text + query;
    int len = cut ? 0 : (int)(query - (at ? (size_t)(at - text) : 0));
    return asprintf(&shown, "%.*s%s%.*s%s", at ? (int)authority : 0, text, at ? "<secret>" : "", len, at ? at : text,
                    text[query] && !cut ? "?<secret>" : "") < 0
               ? NULL
               : shown;
}

void
url_deinit(struct upstream_url *url)
{
    free(url->url);
    free(url->socket);
    free(url->server);
    free(url->shown);
    free(url->connect_to);
    free(url->host);
    *url = (struct upstream_url){.url = NULL};
}
