/* SPDX-License-Identifier: Apache-2.0 */
#include "destination.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#ifndef CURLU_PUNYCODE
#define CURLU_PUNYCODE 0 /* without it a host that is not ASCII fails: libcurl looks it up by another name */
#endif

static bool
ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && !strcasecmp(text + len - n, end);
}

/* Whether libcurl knows a host's addresses itself. */
static bool
needs_no_lookup(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return *host == '[' || inet_pton(AF_INET, host, address) == 1 || !strcasecmp(host, "localhost") ||
           ends_with(host, ".localhost");
}

/* Sets host and port of a URL, in libcurl's form, unless they need no lookup. What libcurl does not take for a URL
   fails later, with its reason. */
static int
set_host(struct destination *d, const char *url, bool *known)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL;
    *known = false;
    CURLUcode r = u ? curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) : CURLUE_OUT_OF_MEMORY;
    if (!r)
        r = curl_url_get(u, CURLUPART_HOST, &host, CURLU_PUNYCODE);
    if (!r)
        r = curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    if (!r)
        *known = needs_no_lookup(host);
    if (!r && !*known) {
        d->host = strdup(host);
        d->port = strdup(port);
        if (!d->host || !d->port)
            r = CURLUE_OUT_OF_MEMORY;
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
    return r == CURLUE_OUT_OF_MEMORY ? -ENOMEM : 0;
}

/* libcurl is about to look the host up. */
static int
on_lookup_needed(void *resolver, void *reserved, void *ctx)
{
    struct destination *d = ctx;
    (void)resolver, (void)reserved;
    d->unknown = true;
    return 1;
}

int
destination_init(struct destination *d, CURL *easy, const char *url, const char *connect_to)
{
    char *other = NULL;
    bool known;
    *d = (struct destination){.easy = easy};
    if (connect_to) { /* NAME:PORT:HOST:PORT */
        const char *host = strchr(strchr(connect_to, ':') + 1, ':') + 1;
        if (asprintf(&other, "https://%s/", host) < 0)
            return -ENOMEM;
    }
    int r = set_host(d, other ? other : url, &known);
    free(other);
    if (!r && !known &&
        (curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_lookup_needed) ||
         curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, d)))
        r = -ENOMEM;
    return r;
}

bool
destination_needs_lookup(const struct destination *d)
{
    return d->host && d->unknown && !d->found;
}

/* Puts the addresses into libcurl's cache; the plus makes them expire. */
static bool
give_addresses(struct destination *d, const char *addresses)
{
    char *line;
    if (asprintf(&line, "+%s:%s:%s", d->host, d->port, addresses) < 0)
        return false;
    curl_slist_free_all(d->addresses); /* of a transfer that was redirected */
    d->addresses = curl_slist_append(NULL, line);
    free(line);
    return d->addresses && !curl_easy_setopt(d->easy, CURLOPT_RESOLVE, d->addresses);
}

static void
on_answered(void *ctx, const struct resolver_answer *answer)
{
    static const struct resolver_answer no_memory = {.reason = "out of memory", .no_memory = true};
    struct destination *d = ctx;
    d->found = true;
    d->unknown = false;
    d->ready(d->ctx, answer->addresses && !give_addresses(d, answer->addresses) ? &no_memory : answer);
}

int
destination_look_up(struct destination *d, struct resolver *resolver)
{
    d->lookup.answered = on_answered;
    d->lookup.ctx = d;
    return resolver_look_up(resolver, d->host, &d->lookup);
}

bool
destination_is_resolving(const struct destination *d)
{
    return d->lookup.name;
}

void
destination_deinit(struct destination *d)
{
    lookup_cancel(&d->lookup);
    curl_slist_free_all(d->addresses);
    free(d->host);
    free(d->port);
    *d = (struct destination){.easy = NULL};
}
