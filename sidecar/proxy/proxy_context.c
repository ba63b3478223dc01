/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy_context.h"

#include "fetch.h"
#include "scrape_log.h"
#include "upstream.h"

#include "service/config/config.h"
#include "service/telemetry/rejection_log.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>

/* After the last scrape, before memory is returned to the system. */
enum { IDLE_TRIM_SECONDS = 2 };

/* Each scrape allocates and frees some hundred KiB, so the heap keeps that much between them (serve.c). When idle, it
   is returned to the system. */
static void
on_idle_trim(evutil_socket_t fd, short what, void *ctx)
{
    struct proxy_context *p = ctx;
    (void)fd, (void)what;
    snapshots_trim(&p->snapshots);
    malloc_trim(0);
}

static void
on_summary_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct proxy_context *p = ctx;
    (void)fd, (void)what;
    scrape_log_summaries(p->log, p->telemetry);
}

int
proxy_context_init(struct proxy_context *p, struct event_base *base, struct rejection_log *rejections,
                   void (*on_idle)(void *ctx), void *on_idle_ctx)
{
    *p = (struct proxy_context){.base = base,
                                .log = rejections->log,
                                .telemetry = rejections->telemetry,
                                .rejections = rejections,
                                .on_idle = on_idle,
                                .on_idle_ctx = on_idle_ctx};
    int r = upstream_new(&p->upstream, base, &fetch_hooks);
    snapshots_init(&p->snapshots, base, p->upstream, &p->upstream_slots, p->telemetry, p->log);
    if (!r && (!(p->idle_trim_timer = evtimer_new(base, on_idle_trim, p)) ||
               !(p->summary_timer = evtimer_new(base, on_summary_timer, p))))
        r = -ENOMEM;
    if (r)
        proxy_context_deinit(p);
    return r;
}

void
proxy_context_set_config(struct proxy_context *p, struct config *config)
{
    config_ref(config);
    config_unref(p->config);
    p->config = config;
    snapshots_set_config(&p->snapshots, config);
    slot_pool_set_max(&p->upstream_slots, config->max_upstream_connections);
}

void
proxy_context_scrape_started(struct proxy_context *p)
{
    p->in_flight++;
}

void
proxy_context_scrape_over(struct proxy_context *p)
{
    const struct timeval idle = {IDLE_TRIM_SECONDS, 0}, minute = {SUMMARY_SECONDS, 0};
    if (!evtimer_pending(p->summary_timer, NULL))
        evtimer_add(p->summary_timer, &minute);
    if (--p->in_flight)
        return;
    (void)evtimer_add(p->idle_trim_timer, &idle); /* on failure the next scrape tries again */
    p->on_idle(p->on_idle_ctx);
}

void
proxy_context_deinit(struct proxy_context *p)
{
    if (p->idle_trim_timer)
        event_free(p->idle_trim_timer);
    if (p->summary_timer)
        event_free(p->summary_timer);
    snapshots_deinit(&p->snapshots);
    upstream_free(p->upstream);
    config_unref(p->config);
    *p = (struct proxy_context){.base = NULL};
}
