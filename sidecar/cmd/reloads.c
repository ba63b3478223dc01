/* SPDX-License-Identifier: Apache-2.0 */
#include "reloads.h"

#include "service/base/file_watch.h"
#include "service/base/log.h"
#include "service/config/config.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum {
    /* Between reloads by SIGHUP; one takes a few milliseconds. */
    PAUSE_MS = 100,
    /* Requests: one a second, and a burst for whoever experiments. */
    REQUEST_MS = 1000,
    REQUEST_BURST = 5,
};

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
on_pending(evutil_socket_t fd, short what, void *ctx)
{
    struct reloads *r = ctx;
    (void)fd, (void)what;
    r->reload(r->ctx);
}

static void
on_changed(void *ctx, const char *path)
{
    struct reloads *r = ctx;
    log_info(r->log, "a configuration file changed", log_text("file", path));
    r->reload(r->ctx);
}

int
reloads_init(struct reloads *r, struct event_base *base, const struct log *log, void (*reload)(void *ctx), void *ctx)
{
    r->base = base;
    r->log = log;
    r->reload = reload;
    r->ctx = ctx;
    r->ended = now_ms() - PAUSE_MS;
    r->pending = evtimer_new(base, on_pending, r);
    return r->pending ? 0 : -ENOMEM;
}

void
reloads_deinit(struct reloads *r)
{
    file_watch_free(r->watch);
    if (r->pending)
        event_free(r->pending);
}

void
reloads_on_sighup(struct reloads *r)
{
    int64_t wait = r->ended + PAUSE_MS - now_ms();
    const struct timeval tv = {0, wait > 0 ? wait * 1000 : 0};
    /* A pending reload will read the latest content, too. */
    if (!evtimer_pending(r->pending, NULL) && (wait <= 0 || evtimer_add(r->pending, &tv)))
        r->reload(r->ctx);
}

unsigned
reloads_admit_request(struct reloads *r)
{
    int64_t now = now_ms(), spent = r->spent_until > now ? r->spent_until : now;
    int64_t wait = spent - now - (REQUEST_BURST - 1) * REQUEST_MS;
    if (wait > 0)
        return (unsigned)((wait + 999) / 1000);
    r->spent_until = spent + REQUEST_MS;
    return 0;
}

void
reloads_begin(struct reloads *r)
{
    if (r->pending)
        evtimer_del(r->pending);
    file_watch_begin(r->watch);
    clock_gettime(CLOCK_REALTIME_COARSE, &r->started);
}

void
reloads_end(struct reloads *r, const struct string_list *files, bool watch)
{
    int error = 0;
    if (!watch) {
        file_watch_free(r->watch);
        r->watch = NULL;
    } else if (!r->watch) {
        error = file_watch_new(&r->watch, r->base, on_changed, r);
    }
    if (r->watch)
        error = file_watch_set(r->watch, files->items, files->n, &r->started);
    if (error)
        log_warn(r->log, "cannot watch the configuration files, changes may be missed",
                 log_text("reason", strerror(-error)));
    r->ended = now_ms();
}
