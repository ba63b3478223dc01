/* SPDX-License-Identifier: Apache-2.0 */
#include "reloads.h"

#include "service/base/file_watch.h"
#include "service/base/log.h"

#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum {
    /* Between reloads by SIGHUP: one takes a few milliseconds. */
    PAUSE_MS = 100,
    /* Of requests: one a second, and a few at once for whoever tries something out. */
    REQUEST_MS = 1000,
    REQUESTS_AT_ONCE = 5,
};

static int64_t
now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
on_due(evutil_socket_t fd, short what, void *ctx)
{
    struct reloads *r = ctx;
    (void)fd, (void)what;
    r->reload(r->ctx);
}

static void
on_changed(void *ctx, const char *path)
{
    struct reloads *r = ctx;
    log_info(r->log, "a file of the configuration has changed", log_text("file", path));
    r->reload(r->ctx);
}

int
reloads_init(struct reloads *r, struct event_base *base, const struct log *log, void (*reload)(void *ctx), void *ctx)
{
    r->base = base;
    r->log = log;
    r->reload = reload;
    r->ctx = ctx;
    r->over = now_ms() - PAUSE_MS;
    r->due = evtimer_new(base, on_due, r);
    return r->due ? 0 : -ENOMEM;
}

void
reloads_deinit(struct reloads *r)
{
    file_watch_free(r->tracker);
    if (r->due)
        event_free(r->due);
}

void
reloads_hang_up(struct reloads *r)
{
    int64_t wait = r->over + PAUSE_MS - now_ms();
    const struct timeval tv = {0, wait > 0 ? wait * 1000 : 0};
    /* One that is due already reads what is there then, too. */
    if (!evtimer_pending(r->due, NULL) && (wait <= 0 || evtimer_add(r->due, &tv)))
        r->reload(r->ctx);
}

unsigned
reloads_ask(struct reloads *r)
{
    int64_t now = now_ms(), spent = r->spent > now ? r->spent : now;
    int64_t wait = spent - now - (REQUESTS_AT_ONCE - 1) * REQUEST_MS;
    if (wait > 0)
        return (unsigned)((wait + 999) / 1000);
    r->spent = spent + REQUEST_MS;
    return 0;
}

void
reloads_begin(struct reloads *r)
{
    if (r->due)
        evtimer_del(r->due);
    file_watch_begin(r->tracker);
    clock_gettime(CLOCK_REALTIME_COARSE, &r->begun);
}

void
reloads_end(struct reloads *r, const struct string_list *files, bool watches)
{
    int error = 0;
    if (!watches) {
        file_watch_free(r->tracker);
        r->tracker = NULL;
    } else if (!r->tracker) {
        error = file_watch_new(&r->tracker, r->base, on_changed, r);
    }
    if (r->tracker)
        error = file_watch_set(r->tracker, files, &r->begun);
    if (error)
        log_warn(r->log, "changes of the configuration's files may go unseen", log_text("reason", strerror(-error)));
    r->over = now_ms();
}
