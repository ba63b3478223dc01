/* SPDX-License-Identifier: Apache-2.0 */
#include "admin.h"

#include "page.h"
#include "service/access/access_policy.h"
#include "service/config/config.h"
#include "service/config/config_print.h"
#include "service/http/connections.h"
#include "service/telemetry/telemetry.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

static void
healthy(struct admin *admin, struct evhttp_request *request)
{
    (void)admin;
    http_reply(request, 200, "scrapeshard is healthy");
}

static void
ready(struct admin *admin, struct evhttp_request *request)
{
    if (admin->hooks.is_ready(admin->hooks.ctx))
        http_reply(request, 200, "scrapeshard is ready");
    else
        http_reply(request, 503, "scrapeshard is shutting down");
}

static void
reload(struct admin *admin, struct evhttp_request *request)
{
    char why[2048], seconds[16];
    unsigned wait = admin->hooks.admit_reload(admin->hooks.ctx);
    if (wait) {
        snprintf(seconds, sizeof(seconds), "%u", wait);
        evhttp_add_header(evhttp_request_get_output_headers(request), "Retry-After", seconds);
        http_reply(request, 429, "too many reloads, at most one per second is allowed; try again later");
    } else if (admin->hooks.reload(admin->hooks.ctx, why, sizeof(why)))
        http_reply(request, 200, "configuration reloaded");
    else
        http_reply(request, 500, why);
}

static void
metrics(struct admin *admin, struct evhttp_request *request)
{
    const char *accept = evhttp_find_header(evhttp_request_get_input_headers(request), "Accept");
    bool openmetrics = exposition_wants_openmetrics(accept);
    char *text;
    size_t len;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Vary", "Accept");
    if (telemetry_write(admin->hooks.telemetry(admin->hooks.ctx), openmetrics, &text, &len))
        http_reply(request, 503, "out of memory");
    else
        http_reply_body(request, 200, exposition_content_type(openmetrics), text, len);
}

/* The current configuration, as a file. */
static void
show_config(struct admin *admin, struct evhttp_request *request)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out)
        config_show(admin->hooks.config(admin->hooks.ctx), out);
    if (!out || ferror(out) | fclose(out) || !text) {
        free(text);
        http_reply(request, 503, "out of memory");
        return;
    }
    http_reply_body(request, 200, "text/plain; charset=utf-8", text, len);
}

static void
show_page(struct admin *admin, struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request), form;
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    char policy[256], *text;
    size_t len;

    TAILQ_INIT(&form);
    if (query)
        evhttp_parse_query_str(query, &form); /* an unreadable query is ignored */
    struct shard_page page = {
        .telemetry = admin->hooks.telemetry(admin->hooks.ctx),
        .config = admin->hooks.config(admin->hooks.ctx),
        .ready = admin->hooks.is_ready(admin->hooks.ctx),
        .series = evhttp_find_header(&form, "series"),
        .shard_count = evhttp_find_header(&form, "shard_count"),
        .what_if = evhttp_find_header(&form, "n"),
        .endpoint = evhttp_find_header(&form, "endpoint"),
    };
    int r = page_write(&page, &text, &len);
    evhttp_clear_headers(&form);
    if (r) {
        http_reply(request, 503, "out of memory");
        return;
    }
    page_security_policy(policy, sizeof(policy));
    evhttp_add_header(headers, "Content-Security-Policy", policy);
    evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
    evhttp_add_header(headers, "Cache-Control", "no-store");
    http_reply_body(request, 200, "text/html; charset=utf-8", text, len);
}

enum { READ = EVHTTP_REQ_GET | EVHTTP_REQ_HEAD, WRITE = EVHTTP_REQ_POST | EVHTTP_REQ_PUT };

static const struct page {
    const char *path;
    unsigned methods;
    const char *allow;
    void (*handle)(struct admin *admin, struct evhttp_request *request);
    bool privileged; /* see may_admit() */
} pages[] = {
    {"/", READ, "GET, HEAD", show_page, false},          {"/-/healthy", READ, "GET, HEAD", healthy, false},
    {"/-/ready", READ, "GET, HEAD", ready, false},       {"/metrics", READ, "GET, HEAD", metrics, false},
    {"/-/config", READ, "GET, HEAD", show_config, true}, {"/-/reload", WRITE, "POST, PUT", reload, true},
};

/* A Pod's admin listener is for kubelet's probes and for Prometheus, so the whole cluster reaches it. Pages that show
   or change the configuration are for this host, or for clients that have presented a credential. */
static bool
may_admit(struct admin *admin, struct evhttp_request *request, const struct page *page)
{
    struct peer peer = connection_peer(connection_of(request));
    return !page->privileged || peer_is_local(&peer) ||
           access_requires_identity(admin->hooks.config(admin->hooks.ctx)->admin_access);
}

static void
on_request(struct evhttp_request *request, void *ctx)
{
    struct admin *admin = ctx;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

    for (const struct page *p = pages; p < pages + sizeof(pages) / sizeof(pages[0]); p++) {
        if (!path || strcmp(path, p->path) != 0)
            continue;
        if (!may_admit(admin, request, p)) {
            http_refuse(
                admin->http, request, LIMIT_CREDENTIALS, 403,
                "allowed only from this host, unless [admin] requires a credential: bearer_token_file, basic_auth_file "
                "or tls_client_ca");
            return;
        }
        if ((unsigned)evhttp_request_get_command(request) & p->methods) {
            p->handle(admin, request);
            return;
        }
        evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", p->allow);
        http_reply(request, 405, p->allow);
        return;
    }
    http_reply(request, 404, "not found; expected / /metrics /-/healthy /-/ready /-/config or /-/reload");
}

/* A Pod's probes have no credentials. */
static const char *const unauthenticated_paths[] = {"/-/healthy", "/-/ready", NULL};

int
admin_init(struct admin *admin, struct event_base *base, struct rejection_log *rejections,
           const struct admin_hooks *hooks)
{
    *admin = (struct admin){.hooks = *hooks, .handler = {on_request, admin, unauthenticated_paths}};
    return http_new(&admin->http, base, rejections, &admin->handler);
}

void
admin_set_config(struct admin *admin, const struct config *config)
{
    uint64_t max = config->admin_max_connections;
    if (admin->http) /* it may be off */
        http_set(admin->http, &(struct connections_settings){max, max - max / 2, config->head_timeout},
                 config->admin_access);
}

void
admin_deinit(struct admin *admin)
{
    http_free(admin->http);
}
