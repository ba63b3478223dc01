/* SPDX-License-Identifier: Apache-2.0 */
#include "http_client.h"

#include "proxy/negotiate.h"
#include "proxy/upstream.h"
#include "service/config/config_value.h"
#include "service/config/upstream_url.h"

#include <scrapeshard/version.h>

#include <curl/curl.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct http_client {
    struct event_base *base;
    struct upstream *upstream;
    struct event *timer;
    struct upstream_url url;
    struct evkeyvalq headers;
    struct http_client_settings settings;

    /* The current request. */
    const struct ss_sink *sink;
    struct http_response *response;
    size_t reason_len; /* of an error response */
    bool has_reason;
    int result;
    bool ended;
};

bool
http_client_is_url(const char *word)
{
    return !strncmp(word, "unix:", 5) || strstr(word, "://");
}

/* The response. */

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct http_client *c = ctx;
    const char *type = evhttp_find_header(headers, "Content-Type");
    char *encoding = NULL;

    c->response->status = status;
    snprintf(c->response->content_type, sizeof(c->response->content_type), "%s", type ? type : "");
    if (status != 200)
        c->reason_len = (size_t)snprintf(c->response->reason, sizeof(c->response->reason), "HTTP status %d", status);
    c->result = negotiate_join(headers, "Content-Encoding", &encoding);
    if (!c->result && status == 200 && negotiate_coding(encoding) != CODING_NONE) {
        snprintf(c->response->reason, sizeof(c->response->reason), "Content-Encoding %.40s was not requested",
                 encoding);
        c->result = EIO;
    }
    free(encoding);
    return c->result ? FETCH_ABORT : FETCH_CONTINUE;
}

/* The first line of an error response is the reason. */
static enum fetch_action
read_reason(struct http_client *c, struct ss_span bytes)
{
    if (!c->has_reason) {
        memcpy(c->response->reason + c->reason_len, ": ", 2);
        c->reason_len += 2;
        c->has_reason = true;
    }
    const char *lf = memchr(bytes.ptr, '\n', bytes.len);
    size_t n = lf ? (size_t)(lf - bytes.ptr) : bytes.len, space = sizeof(c->response->reason) - 1 - c->reason_len;
    if (n > space)
        n = space;
    memcpy(c->response->reason + c->reason_len, bytes.ptr, n);
    c->reason_len += n;
    c->response->reason[c->reason_len] = 0;
    return lf || n == space ? FETCH_ABORT : FETCH_CONTINUE;
}

static enum fetch_action
on_body(void *ctx, struct ss_span *bytes)
{
    struct http_client *c = ctx;
    if (c->response->status != 200)
        return read_reason(c, *bytes);
    c->result = c->sink->take(c->sink->ctx, bytes, 1);
    return c->result ? FETCH_ABORT : FETCH_CONTINUE;
}

static void
on_end(void *ctx, enum fetch_result result, const char *reason)
{
    struct http_client *c = ctx;
    c->ended = true;
    c->response->by_close = result == FETCH_CLOSED;
    if (c->result)
        return;
    if (c->response->status != 200 && c->reason_len)
        c->result = EIO;
    else if (result != FETCH_COMPLETE && result != FETCH_CLOSED) {
        snprintf(c->response->reason, sizeof(c->response->reason), "%s", reason);
        c->result = EIO;
    }
}

static void
on_timeout(evutil_socket_t fd, short what, void *ctx)
{
    struct http_client *c = ctx;
    (void)fd, (void)what;
    snprintf(c->response->reason, sizeof(c->response->reason), "no complete response within %.3g s",
             (double)c->settings.timeout / 1000);
    c->result = EIO;
    c->ended = true;
}

/* The request. */

int
http_client_get(struct http_client *c, const char *query, const struct ss_sink *sink, struct http_response *response)
{
    static const struct fetch_events events = {on_head, on_body, on_end, NULL};
    struct timeval timeout = {c->settings.timeout / 1000, c->settings.timeout % 1000 * 1000};
    char *url = url_with_query(&c->url, query);
    struct fetch_request request = {.url = url,
                                    .socket = c->url.socket,
                                    .tls = c->settings.tls,
                                    .keepalive = VALUE_KEEPALIVE_ON,
                                    .headers = &c->headers};
    struct fetch *fetch = NULL;

    *response = (struct http_response){.status = 0};
    c->sink = sink;
    c->response = response;
    c->reason_len = 0;
    c->ended = c->has_reason = false;
    c->result = 0;
    int r = url ? fetch_new(&fetch, c->upstream, &request, &events, c) : -ENOMEM;
    if (!r && event_add(c->timer, &timeout))
        r = -ENOMEM;
    while (!r && !c->ended)
        if (event_base_loop(c->base, EVLOOP_ONCE) < 0)
            r = -errno;
    event_del(c->timer);
    fetch_free(fetch);
    free(url);
    return r ? r : c->result;
}

int
http_client_new(struct http_client **clientp, const struct http_client_settings *settings, const char **reasonp)
{
    struct upstream_url url;
    int r = url_read(&url, settings->url, reasonp);
    if (r)
        return r;
    struct http_client *c = calloc(1, sizeof(*c));
    if (!c) {
        url_deinit(&url);
        return -ENOMEM;
    }
    c->url = url;
    TAILQ_INIT(&c->headers);
    signal(SIGPIPE, SIG_IGN);
    c->settings = *settings;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(c->base = event_base_new()) ||
        upstream_new(&c->upstream, c->base, &fetch_hooks) || !(c->timer = evtimer_new(c->base, on_timeout, c)) ||
        evhttp_add_header(&c->headers, "User-Agent", TOOL_USER_AGENT SS_VERSION) ||
        (settings->accept && evhttp_add_header(&c->headers, "Accept", settings->accept)) ||
        (settings->authorization && evhttp_add_header(&c->headers, "Authorization", settings->authorization))) {
        http_client_free(c);
        return -ENOMEM;
    }
    *clientp = c;
    return 0;
}

void
http_client_free(struct http_client *c)
{
    if (!c)
        return;
    upstream_free(c->upstream);
    if (c->timer)
        event_free(c->timer);
    if (c->base)
        event_base_free(c->base);
    evhttp_clear_headers(&c->headers);
    url_deinit(&c->url);
    free(c);
    curl_global_cleanup();
}
