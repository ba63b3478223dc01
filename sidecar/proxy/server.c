/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include "scrape.h"
#include "upstream.h"

#include "service/config/config.h"
#include "service/http/listen.h"
#include "service/telemetry/rejection_log.h"

#include <event2/http.h>
#include <stdio.h>
#include <string.h>

static const struct endpoint *
find_endpoint(const struct config *config, const char *path)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!strcmp(config->endpoints[i].path, path))
            return &config->endpoints[i];
    return NULL;
}

static void
reply_not_found(struct server *s, struct evhttp_request *request, const char *path)
{
    char text[1024];
    int n = snprintf(text, sizeof(text), "no endpoint at %.200s; the endpoints are:", path);
    for (size_t i = 0; i < s->proxy.config->n_endpoints && n < (int)sizeof(text) - 200; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %.190s", s->proxy.config->endpoints[i].path);
    http_reply(request, 404, text);
}

static void
on_request(struct evhttp_request *request, void *ctx)
{
    struct server *s = ctx;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const struct endpoint *endpoint = find_endpoint(s->proxy.config, path ? path : "");
    enum evhttp_cmd_type method = evhttp_request_get_command(request);

    if (!endpoint) {
        reply_not_found(s, request, path ? path : "");
    } else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
        http_reply(request, 405, "method not allowed; use GET or HEAD");
    } else {
        scrape_start(&s->proxy, endpoint, request);
    }
}

static void
notify_if_drained(void *ctx)
{
    struct server *s = ctx;
    if (s->draining && !s->proxy.in_flight && !http_has_pending_auth(s->http))
        s->on_drained(s->on_drained_ctx);
}

int
server_init(struct server *s, struct event_base *base, struct rejection_log *rejections, struct config *config)
{
    *s = (struct server){.handler = {on_request, s, NULL}};
    int r = proxy_context_init(&s->proxy, base, rejections, notify_if_drained, s);
    if (!r)
        r = http_new(&s->http, base, rejections, &s->handler);
    if (!r)
        server_set_config(s, config);
    else
        server_deinit(s);
    return r;
}

static int
listen_for_scrapes(struct server *s, const char *address)
{
    char bound[160];
    do {
        int r = http_listen(s->http, address, bound, sizeof(bound));
        if (r) {
            log_error(s->proxy.log, "cannot listen for scrapes", log_text("address", address),
                      log_text("reason", listen_reason(address, r)));
            return r;
        }
        log_info(s->proxy.log, "listening for scrapes", log_text("address", bound));
    } while (listen_has_more(address));
    return 0;
}

int
server_listen(struct server *s)
{
    int r = 0;
    for (size_t i = 0; i < s->proxy.config->web_listen.n && !r; i++)
        r = listen_for_scrapes(s, s->proxy.config->web_listen.items[i]);
    return r;
}

void
server_set_config(struct server *s, struct config *config)
{
    proxy_context_set_config(&s->proxy, config);
    struct connections_settings settings = {config->web_max_connections, config->web_max_per_peer,
                                            config->head_timeout};
    http_set(s->http, &settings, config->web_access);
}

void
server_drain(struct server *s, void (*on_drained)(void *ctx), void *ctx)
{
    s->draining = true;
    s->on_drained = on_drained;
    s->on_drained_ctx = ctx;
    http_drain(s->http, notify_if_drained, s);
    notify_if_drained(s);
}

void
server_update_gauges(const struct server *s)
{
    s->proxy.telemetry->scrapes_in_flight = (double)s->proxy.in_flight;
    s->proxy.telemetry->http_connections[LISTENER_WEB] = (double)http_connections(s->http);
    telemetry_set_snapshots(s->proxy.telemetry, s->proxy.snapshots.pool.count, s->proxy.snapshots.pool.bytes);
    s->proxy.telemetry->upstream_connections = upstream_opened(s->proxy.upstream);
}

void
server_deinit(struct server *s)
{
    http_free(s->http); /* ends all scrapes */
    proxy_context_deinit(&s->proxy);
    *s = (struct server){.http = NULL};
}
