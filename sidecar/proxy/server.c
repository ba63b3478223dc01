/* SPDX-License-Identifier: Apache-2.0 */
#include "server.h"

#include "fetch.h"
#include "scrape.h"
#include "scrape_log.h"
#include "upstream.h"

#include "service/http/listen.h"
#include "service/telemetry/rejection_log.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

/* Behind the last scrape, before memory is given back. */
enum { IDLE_TRIM_SECONDS = 2 };

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
    int n = snprintf(text, sizeof(text), "there is nothing at %.200s; here are:", path);
    for (size_t i = 0; i < s->config->n_endpoints && n < (int)sizeof(text) - 200; i++)
        n += snprintf(text + n, sizeof(text) - (size_t)n, " %.190s", s->config->endpoints[i].path);
    http_reply(request, 404, text);
}

static void
on_request(struct evhttp_request *request, void *ctx)
{
    struct server *s = ctx;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const struct endpoint *endpoint = find_endpoint(s->config, path ? path : "");
    enum evhttp_cmd_type method = evhttp_request_get_command(request);

    if (!endpoint) {
        reply_not_found(s, request, path ? path : "");
    } else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
        http_reply(request, 405, "a scrape is a GET");
    } else {
        scrape_begin(s, endpoint, request);
    }
}

/* Scrapes take and give back some hundred KiB each, so the heap keeps as much through them (serve.c); when there are
   none any more, it goes back to the system. */
static void
on_idle_trim(evutil_socket_t fd, short what, void *ctx)
{
    struct server *s = ctx;
    (void)fd, (void)what;
    snapshots_trim(&s->snapshots);
    malloc_trim(0);
}

static void
on_minute(evutil_socket_t fd, short what, void *ctx)
{
    struct server *s = ctx;
    (void)fd, (void)what;
    scrape_log_minute(s->log, s->telemetry);
}

int
server_init(struct server *s, struct event_base *base, struct rejection_log *rejections, struct config *config)
{
    *s = (struct server){.base = base,
                         .log = rejections->log,
                         .rejections = rejections,
                         .telemetry = rejections->telemetry,
                         .handler = {on_request, s, NULL}};
    int r = upstream_new(&s->upstream, base, &fetch_hooks);
    snapshots_init(&s->snapshots, base, s->upstream, &s->upstream_slots, s->telemetry, s->log);
    if (!r)
        r = http_new(&s->http, base, rejections, &s->handler);
    if (!r &&
        (!(s->idle_trim_timer = evtimer_new(base, on_idle_trim, s)) || !(s->minute = evtimer_new(base, on_minute, s))))
        r = -ENOMEM;
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
            log_error(s->log, "cannot listen for scrapes", log_text("address", address),
                      log_text("reason", listen_reason(address, r)));
            return r;
        }
        log_info(s->log, "listening for scrapes", log_text("address", bound));
    } while (listen_has_more(address));
    return 0;
}

int
server_listen(struct server *s)
{
    int r = 0;
    for (size_t i = 0; i < s->config->web_listen.n && !r; i++)
        r = listen_for_scrapes(s, s->config->web_listen.items[i]);
    return r;
}

void
server_set_config(struct server *s, struct config *config)
{
    config_ref(config);
    config_unref(s->config);
    s->config = config;
    snapshots_set_config(&s->snapshots, config);
    struct connections_settings settings = {config->web_max_connections, config->web_max_per_peer,
                                            config->head_timeout};
    http_set(s->http, &settings, config->web_access);
    slot_pool_set_max(&s->upstream_slots, config->max_upstream_connections);
}

static void
end_if_idle(void *ctx)
{
    struct server *s = ctx;
    if (s->draining && !s->in_flight && !http_has_pending_auth(s->http))
        s->idle(s->idle_ctx);
}

void
server_drain(struct server *s, void (*idle)(void *ctx), void *ctx)
{
    s->draining = true;
    s->idle = idle;
    s->idle_ctx = ctx;
    http_drain(s->http, end_if_idle, s);
    end_if_idle(s);
}

void
server_scrape_over(struct server *s)
{
    const struct timeval quiet = {IDLE_TRIM_SECONDS, 0}, minute = {SUMMARY_SECONDS, 0};
    if (!evtimer_pending(s->minute, NULL))
        evtimer_add(s->minute, &minute);
    if (--s->in_flight)
        return;
    (void)evtimer_add(s->idle_trim_timer, &quiet); /* if it fails, the next scrape tries again */
    end_if_idle(s);
}

void
server_update_gauges(const struct server *s)
{
    s->telemetry->scrapes_in_flight = (double)s->in_flight;
    s->telemetry->http_connections[LISTENER_WEB] = (double)http_connections(s->http);
    telemetry_set_snapshots(s->telemetry, s->snapshots.count, s->snapshots.bytes);
    s->telemetry->upstream_connections = upstream_opened(s->upstream);
}

void
server_deinit(struct server *s)
{
    http_free(s->http);
    if (s->idle_trim_timer)
        event_free(s->idle_trim_timer);
    if (s->minute)
        event_free(s->minute);
    snapshots_deinit(&s->snapshots);
    upstream_free(s->upstream);
    config_unref(s->config);
    *s = (struct server){.base = NULL};
}
