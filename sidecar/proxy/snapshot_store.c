/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot_store.h"

#include "request.h"
#include "snapshot_key.h"

#include "service/access/secrets.h"
#include "service/config/config.h"
#include "service/telemetry/telemetry.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

/* A snapshot that can be found, or that scrapes wait for. */
struct snapshot_entry {
    TAILQ_ENTRY(snapshot_entry) next;
    struct snapshots *store;
    struct snapshot *snapshot; /* a reference */
    bool published;            /* scrapes can find it */
    char *key;
    const struct endpoint *serves; /* its endpoint in the current configuration: it is found by this */
    struct event *expiry, *notify_timer;
    struct shared_fetch *fetch; /* NULL once it has ended */
    TAILQ_HEAD(, snapshot_user) waiting;
};

/* The life of an entry. */

static void
stop_waiting(struct snapshot_user *user)
{
    TAILQ_REMOVE(&user->entry->waiting, user, next);
    shared_fetch_leave(&user->waiter);
    user->entry = NULL;
    user->waits = false;
}

static void
entry_free(struct snapshot_entry *e)
{
    while (!TAILQ_EMPTY(&e->waiting))
        stop_waiting(TAILQ_FIRST(&e->waiting));
    TAILQ_REMOVE(&e->store->entries, e, next);
    if (e->expiry)
        event_free(e->expiry);
    if (e->notify_timer)
        event_free(e->notify_timer);
    shared_fetch_free(e->fetch);
    snapshot_unref(e->snapshot);
    secret_free(e->key);
    free(e);
}

static void
free_if_unused(struct snapshot_entry *e)
{
    if (!e->published && TAILQ_EMPTY(&e->waiting))
        entry_free(e);
}

/* Scrapes no longer find it. */
static void
unpublish(struct snapshot_entry *e)
{
    if (e->published)
        evtimer_del(e->expiry);
    e->published = false;
    free_if_unused(e);
}

static void
on_expiry(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    unpublish(ctx);
}

/* Notifies one waiting user in the next iteration of the loop, or in this one without memory for the timer. */
static void
notify_soon(struct snapshot_entry *e)
{
    const struct timeval now = {0, 0};
    if (evtimer_add(e->notify_timer, &now))
        event_active(e->notify_timer, EV_TIMEOUT, 0);
}

/* Notifies one waiting user per iteration of the loop: each builds a response, and other events must not wait for all
   of them. */
static void
on_notify_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct snapshot_entry *e = ctx;
    struct snapshot_user *user = TAILQ_FIRST(&e->waiting);
    (void)fd, (void)what;
    if (!user)
        return;
    stop_waiting(user);
    if (TAILQ_EMPTY(&e->waiting))
        free_if_unused(e);
    else
        notify_soon(e);
    user->on_ready(user->ctx);
}

/* The snapshot expires max_age after the request, not after the scrape that had to wait for an upstream slot. */
static int
on_fetch_start(void *ctx)
{
    struct snapshot_entry *e = ctx;
    if (!e->published)
        return 0;
    const struct timeval max_age = {e->serves->max_age / 1000, e->serves->max_age % 1000 * 1000};
    return evtimer_add(e->expiry, &max_age) ? -ENOMEM : 0;
}

static void
on_fetch_end(void *ctx)
{
    struct snapshot_entry *e = ctx;
    const struct snapshot *s = e->snapshot;
    bool over_budget = s->state == SNAPSHOT_OVER_BUDGET;
    e->fetch = NULL;
    telemetry_snapshot_ended(e->store->context.telemetry, s->endpoint->name,
                             over_budget                               ? SHARED_OVER_BUDGET
                             : s->state == SNAPSHOT_FAILED             ? SHARED_FAILED
                             : s->failure.outcome == OUTCOME_PASSED_ON ? SHARED_PASSED_ON
                                                                       : SHARED_KEPT);
    notify_soon(e);
    if (s->failure.outcome != OUTCOME_OK && !over_budget)
        unpublish(e);
}

/* Acquiring. */

static struct snapshot_entry *
find(struct snapshots *store, const struct endpoint *endpoint, const char *key)
{
    struct snapshot_entry *e;
    TAILQ_FOREACH (e, &store->entries, next)
        if (e->published && e->serves == endpoint && !strcmp(e->key, key))
            break;
    /* The timer may be late. */
    if (!e || snapshot_age(e->snapshot) * 1000 < (double)endpoint->max_age)
        return e;
    unpublish(e);
    return NULL;
}

static int
start(struct snapshot_entry *e, const struct request *request)
{
    const struct shared_fetch_context *context = &e->store->context;
    const struct shared_fetch_settings settings = {context, e->snapshot, on_fetch_start, on_fetch_end, e};
    e->expiry = evtimer_new(context->base, on_expiry, e);
    e->notify_timer = evtimer_new(context->base, on_notify_timer, e);
    if (!e->expiry || !e->notify_timer)
        return -ENOMEM;
    return shared_fetch_new(&e->fetch, &settings, request);
}

/* Makes an entry, which owns the key if it could be made, and starts its fetch. */
static int
entry_new(struct snapshot_entry **entryp, struct snapshots *store, struct config *config,
          const struct endpoint *endpoint, const struct request *request, char *key)
{
    struct snapshot_entry *e = calloc(1, sizeof(*e));
    if (!e || snapshot_new(&e->snapshot, &store->pool, config, endpoint)) {
        free(e);
        secret_free(key);
        return -ENOMEM;
    }
    e->store = store;
    e->key = key;
    e->serves = endpoint;
    TAILQ_INIT(&e->waiting);
    TAILQ_INSERT_TAIL(&store->entries, e, next);
    int r = start(e, request);
    if (r) {
        entry_free(e);
        return r;
    }
    e->published = true;
    *entryp = e;
    return 0;
}

static bool
is_full(const struct snapshots *store, const struct config *config)
{
    return store->pool.count >= config->max_snapshots || store->pool.bytes >= config->max_snapshot_bytes;
}

int
snapshots_acquire(struct snapshots *store, struct config *config, const struct endpoint *endpoint,
                  const struct request *request, struct snapshot_user *user)
{
    char *key = snapshot_key(request);
    struct snapshot_entry *e = key ? find(store, endpoint, key) : NULL;
    if (!key)
        return -ENOMEM;
    if (e ? e->snapshot->state == SNAPSHOT_OVER_BUDGET : is_full(store, config)) {
        secret_free(key);
        return EBUSY;
    }
    if (!e) {
        int r = entry_new(&e, store, config, endpoint, request, key);
        if (r)
            return r;
    } else {
        secret_free(key);
        user->found = true;
    }
    user->snapshot = snapshot_ref(e->snapshot);
    user->waits = e->snapshot->state == SNAPSHOT_FETCHING;
    if (user->waits) {
        user->entry = e;
        TAILQ_INSERT_TAIL(&e->waiting, user, next);
        shared_fetch_join(e->fetch, &user->waiter, user->peer, user->timeout);
    }
    return 0;
}

/* Stops waiting, and cancels a fetch that nobody else waits for. */
static void
leave(struct snapshot_user *user)
{
    struct snapshot_entry *e = user->entry;
    stop_waiting(user);
    if (!TAILQ_EMPTY(&e->waiting))
        return;
    if (e->fetch) {
        shared_fetch_free(e->fetch);
        e->fetch = NULL;
        telemetry_snapshot_ended(e->store->context.telemetry, e->snapshot->endpoint->name, SHARED_CANCELLED);
        unpublish(e);
    } else {
        free_if_unused(e);
    }
}

void
snapshot_release(struct snapshot_user *user)
{
    struct snapshot *s = user->snapshot;
    if (!s)
        return;
    if (user->waits)
        leave(user);
    user->snapshot = NULL;
    snapshot_unref(s);
}

enum fetch_progress
snapshot_progress(const struct snapshot_user *user)
{
    return user->entry && user->entry->fetch ? shared_fetch_progress(user->entry->fetch) : FETCH_REQUEST_SENT;
}

/* The store. */

void
snapshots_init(struct snapshots *store, struct event_base *base, struct upstream *upstream,
               struct slot_pool *upstream_slots, struct telemetry *telemetry, const struct log *log)
{
    *store = (struct snapshots){.context = {base, upstream, upstream_slots, telemetry, log}};
    snapshot_pool_init(&store->pool);
    TAILQ_INIT(&store->entries);
}

/* The endpoint of a configuration that would have made just this snapshot, or NULL. Other limits make a difference: one
   that was over the budget may now fit. */
static const struct endpoint *
successor(const struct snapshot *s, const struct config *config)
{
    const struct endpoint *endpoint = config ? config_endpoint(config, s->endpoint->name) : NULL;
    bool keeps = endpoint && config_keeps_endpoint(s->config, s->endpoint, config, endpoint) &&
                 s->config->max_snapshots == config->max_snapshots &&
                 s->config->max_snapshot_bytes == config->max_snapshot_bytes;
    return keeps ? endpoint : NULL;
}

void
snapshots_set_config(struct snapshots *store, const struct config *config)
{
    struct snapshot_entry *e = TAILQ_FIRST(&store->entries);
    while (e) {
        struct snapshot_entry *next = TAILQ_NEXT(e, next);
        e->serves = successor(e->snapshot, config);
        if (!e->serves)
            unpublish(e);
        e = next;
    }
}

void
snapshots_trim(struct snapshots *store)
{
    snapshot_pool_trim(&store->pool);
}

void
snapshots_deinit(struct snapshots *store)
{
    struct snapshot_entry *e;
    if (!store->context.base)
        return;
    while ((e = TAILQ_FIRST(&store->entries)) != NULL)
        entry_free(e);
    snapshot_pool_deinit(&store->pool);
}
