/* SPDX-License-Identifier: Apache-2.0 */
#include "http_client.h"

#include "proxy/negotiate.h"
#include "proxy/upstream.h"
#include "service/config/config_value.h"
#include "service/config/upstream_url.h"

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

    /* Of the answer in hand. */
    const struct ss_sink *sink;
    struct http_response *answer;
    size_t reason_len; /* of what an answer that is none says */
    bool has_reason;
    int result;
    bool ended;
};

bool
http_client_is_url(const char *word)
{
    return !strncmp(word, "unix:", 5) || strstr(word, "://");
}

/* The answer. */

static enum fetch_action
on_head(void *ctx, int status, const struct evkeyvalq *headers)
{
    struct http_client *g = ctx;
    const char *type = evhttp_find_header(headers, "Content-Type");
    char *encoding = NULL;

    g->answer->status = status;
    snprintf(g->answer->content_type, sizeof(g->answer->content_type), "%s", type ? type : "");
    if (status != 200)
        g->reason_len = (size_t)snprintf(g->answer->reason, sizeof(g->answer->reason), "it answers %d", status);
    g->result = negotiate_join(headers, "Content-Encoding", &encoding);
    if (!g->result && status == 200 && negotiate_coding(encoding) != CODING_NONE) {
        snprintf(g->answer->reason, sizeof(g->answer->reason), "its body is encoded as %.40s, which was not asked for",
                 encoding);
        g->result = EIO;
    }
    free(encoding);
    return g->result ? FETCH_ABORT : FETCH_CONTINUE;
}

/* Of an answer that is none, the first line is the reason. */
static enum fetch_action
take_reason(struct http_client *g, struct ss_span bytes)
{
    if (!g->has_reason) {
        memcpy(g->answer->reason + g->reason_len, ": ", 2);
        g->reason_len += 2;
        g->has_reason = true;
    }
    const char *lf = memchr(bytes.ptr, '\n', bytes.len);
    size_t n = lf ? (size_t)(lf - bytes.ptr) : bytes.len, room = sizeof(g->answer->reason) - 1 - g->reason_len;
    if (n > room)
        n = room;
    memcpy(g->answer->reason + g->reason_len, bytes.ptr, n);
    g->reason_len += n;
    g->answer->reason[g->reason_len] = 0;
    return lf || n == room ? FETCH_ABORT : FETCH_CONTINUE;
}

static enum fetch_action
on_body(void *ctx, struct ss_span bytes)
{
    struct http_client *g = ctx;
    if (g->answer->status != 200)
        return take_reason(g, bytes);
    g->result = g->sink->take(g->sink->ctx, &bytes, 1);
    return g->result ? FETCH_ABORT : FETCH_CONTINUE;
}

static void
on_end(void *ctx, enum fetch_result result, const char *reason)
{
    struct http_client *g = ctx;
    g->ended = true;
    g->answer->by_close = result == FETCH_CLOSED;
    if (g->result)
        return;
    if (g->answer->status != 200 && g->reason_len)
        g->result = EIO;
    else if (result != FETCH_WHOLE && result != FETCH_CLOSED) {
        snprintf(g->answer->reason, sizeof(g->answer->reason), "%s", reason);
        g->result = EIO;
    }
}

static void
on_timeout(evutil_socket_t fd, short what, void *ctx)
{
    struct http_client *g = ctx;
    (void)fd, (void)what;
    snprintf(g->answer->reason, sizeof(g->answer->reason), "there was no whole answer within %.3g s",
             (double)g->settings.timeout / 1000);
    g->result = EIO;
    g->ended = true;
}

/* The question. */

int
http_client_get(struct http_client *g, const char *query, const struct ss_sink *sink, struct http_response *answer)
{
    static const struct fetch_events events = {on_head, on_body, on_end};
    struct timeval timeout = {g->settings.timeout / 1000, g->settings.timeout % 1000 * 1000};
    char *url = url_with_query(&g->url, query);
    struct fetch_request request = {.url = url,
                                    .socket = g->url.socket,
                                    .tls = g->settings.tls,
                                    .keepalive = VALUE_KEEPALIVE_ON,
                                    .headers = &g->headers};
    struct fetch *fetch = NULL;

    *answer = (struct http_response){.status = 0};
    g->sink = sink;
    g->answer = answer;
    g->reason_len = 0;
    g->ended = g->has_reason = false;
    g->result = 0;
    int r = url ? fetch_new(&fetch, g->upstream, &request, &events, g) : -ENOMEM;
    if (!r && event_add(g->timer, &timeout))
        r = -ENOMEM;
    while (!r && !g->ended)
        if (event_base_loop(g->base, EVLOOP_ONCE) < 0)
            r = -errno;
    event_del(g->timer);
    fetch_free(fetch);
    free(url);
    return r ? r : g->result;
}

int
http_client_new(struct http_client **clientp, const struct http_client_settings *settings, const char **reasonp)
{
    struct upstream_url url;
    int r = url_read(&url, settings->url, reasonp);
    if (r)
        return r;
    struct http_client *g = calloc(1, sizeof(*g));
    if (!g) {
        url_deinit(&url);
        return -ENOMEM;
    }
    g->url = url;
    TAILQ_INIT(&g->headers);
    signal(SIGPIPE, SIG_IGN);
    g->settings = *settings;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(g->base = event_base_new()) ||
        upstream_new(&g->upstream, g->base, &fetch_hooks) || !(g->timer = evtimer_new(g->base, on_timeout, g)) ||
        evhttp_add_header(&g->headers, "Accept", settings->accept) ||
        (settings->authorization && evhttp_add_header(&g->headers, "Authorization", settings->authorization))) {
        http_client_free(g);
        return -ENOMEM;
    }
    *clientp = g;
    return 0;
}

void
http_client_free(struct http_client *g)
{
    if (!g)
        return;
    upstream_free(g->upstream);
    if (g->timer)
        event_free(g->timer);
    if (g->base)
        event_base_free(g->base);
    evhttp_clear_headers(&g->headers);
    url_deinit(&g->url);
    free(g);
    curl_global_cleanup();
}
