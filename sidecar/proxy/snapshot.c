/* SPDX-License-Identifier: Apache-2.0 */
/* The store, and the life of a snapshot in it. */
#include "snapshot.h"

#include "gzip.h"
#include "request.h"
#include "shared_fetch.h"

#include "service/access/secrets.h"
#include "service/config/config.h"
#include "service/telemetry/telemetry.h"

#include <scrapeshard/index.h>

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* What a larger body took is given back at once; the allocator would keep some of it for the next. */
    TRIM_MIN = 1024 * 1024,
};

/* Memory. */

bool
snapshot_count(struct snapshot *s, uint64_t bytes)
{
    if (s->store)
        s->store->bytes += bytes - s->bytes;
    s->bytes = bytes;
    if (bytes > s->most_bytes)
        s->most_bytes = bytes;
    return snapshot_has_room(s, 0);
}

bool
snapshot_has_room(const struct snapshot *s, uint64_t bytes)
{
    return s->store && bytes <= s->config->max_snapshot_bytes &&
           s->store->bytes <= s->config->max_snapshot_bytes - bytes;
}

void
snapshot_ref(struct snapshot *s)
{
    s->references++;
}

void
snapshot_unref(struct snapshot *s)
{
    if (--s->references)
        return;
    bool large = s->most_bytes >= TRIM_MIN;
    snapshot_count(s, 0);
    if (s->store) {
        TAILQ_REMOVE(&s->store->all, s, next);
        s->store->count--;
    }
    if (s->expiry)
        event_free(s->expiry);
    if (s->notify_timer)
        event_free(s->notify_timer);
    shared_fetch_free(s->fetch);
    snapshot_free_gzips(s);
    ss_index_free(s->index);
    if (s->passthrough_body)
        evbuffer_free(s->passthrough_body);
    evhttp_clear_headers(&s->headers);
    config_unref(s->config);
    secret_free(s->key);
    free(s);
    if (large)
        malloc_trim(0);
}

/* Nobody finds it any more. */
static void
unpublish(struct snapshot *s)
{
    if (!s->findable)
        return;
    s->findable = false;
    evtimer_del(s->expiry);
    snapshot_unref(s);
}

/* Time. */

static double
seconds_since(const struct timespec *began)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began->tv_sec) + (double)(now.tv_nsec - began->tv_nsec) / 1e9;
}

double
snapshot_age(const struct snapshot *s)
{
    return seconds_since(&s->began);
}

static void
on_expiry(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd, (void)what;
    unpublish(ctx);
}

/* Tells one of those who wait, in the next turn of the loop, or in this one if there is no memory to wait for it. */
static void
tell_soon(struct snapshot *s)
{
    const struct timeval now = {0, 0};
    if (evtimer_add(s->notify_timer, &now))
        event_active(s->notify_timer, EV_TIMEOUT, 0);
}

/* Tells the next of those who wait, one in a turn of the loop: each makes an answer of its own, and others are to be
   answered in between. */
static void
on_notify_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct snapshot *s = ctx;
    struct snapshot_user *user = TAILQ_FIRST(&s->waiting);
    (void)fd, (void)what;
    if (!user)
        return;
    TAILQ_REMOVE(&s->waiting, user, next);
    user->waits = false;
    if (!TAILQ_EMPTY(&s->waiting))
        tell_soon(s);
    user->on_ready(user->ctx);
}

void
snapshot_ended(struct snapshot *s, enum snapshot_state state)
{
    s->fetch = NULL;
    s->state = state;
    telemetry_snapshot_ended(s->store->telemetry, s->endpoint->name,
                             state == SNAPSHOT_OVER_BUDGET             ? SHARED_OVER_BUDGET
                             : state == SNAPSHOT_FAILED                ? SHARED_FAILED
                             : s->failure.outcome == OUTCOME_PASSED_ON ? SHARED_PASSED_ON
                                                                       : SHARED_KEPT);
    tell_soon(s);
    if (s->failure.outcome != OUTCOME_OK && state != SNAPSHOT_OVER_BUDGET)
        unpublish(s);
}

/* Asking. */

static struct snapshot *
find(struct snapshots *store, const struct endpoint *endpoint, const char *key)
{
    struct snapshot *s;
    TAILQ_FOREACH (s, &store->all, next)
        if (s->findable && s->serves == endpoint && !strcmp(s->key, key))
            break;
    /* Its timer may be late. */
    if (!s || snapshot_age(s) * 1000 < (double)endpoint->max_age)
        return s;
    unpublish(s);
    return NULL;
}

static int
begin(struct snapshots *store, struct snapshot *s, const struct request *request)
{
    const struct timeval max_age = {s->endpoint->max_age / 1000, s->endpoint->max_age % 1000 * 1000};
    s->expiry = evtimer_new(store->base, on_expiry, s);
    s->notify_timer = evtimer_new(store->base, on_notify_timer, s);
    if (!s->expiry || !s->notify_timer || evtimer_add(s->expiry, &max_age))
        return -ENOMEM;
    return shared_fetch_new(&s->fetch, s, request);
}

/* Begins a snapshot, which takes the key over. */
static int
snapshot_new(struct snapshots *store, struct config *config, const struct endpoint *endpoint,
             const struct request *request, struct snapshot_user *user, char *key)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (!s) {
        secret_free(key);
        return -ENOMEM;
    }
    s->store = store;
    s->references = 1;
    s->config = config_ref(config);
    s->endpoint = s->serves = endpoint;
    s->key = key;
    TAILQ_INIT(&s->waiting);
    TAILQ_INIT(&s->headers);
    TAILQ_INIT(&s->gzips);
    clock_gettime(CLOCK_MONOTONIC, &s->began);
    clock_gettime(CLOCK_REALTIME, &s->time);
    TAILQ_INSERT_TAIL(&store->all, s, next);
    store->count++;
    snapshot_count(s, sizeof(*s) + strlen(key));
    int r = begin(store, s, request);
    if (r) {
        snapshot_unref(s);
        return r;
    }
    s->findable = true;
    user->snapshot = s;
    return 0;
}

static bool
is_full(const struct snapshots *store, const struct config *config)
{
    return store->count >= config->max_snapshots || store->bytes >= config->max_snapshot_bytes;
}

int
snapshots_acquire(struct snapshots *store, struct config *config, const struct endpoint *endpoint,
                  const struct request *request, struct snapshot_user *user)
{
    char *key = snapshot_key(request);
    struct snapshot *s = key ? find(store, endpoint, key) : NULL;
    if (!key)
        return -ENOMEM;
    if (s ? s->state == SNAPSHOT_OVER_BUDGET : is_full(store, config)) {
        secret_free(key);
        return EBUSY;
    }
    if (!s) {
        int r = snapshot_new(store, config, endpoint, request, user, key);
        if (r)
            return r;
        s = user->snapshot;
    } else {
        secret_free(key);
        user->found = true;
    }
    snapshot_ref(s);
    user->snapshot = s;
    user->waits = s->state == SNAPSHOT_COMING;
    if (user->waits) {
        TAILQ_INSERT_TAIL(&s->waiting, user, next);
        shared_fetch_join(s->fetch, user);
    }
    return 0;
}

void
snapshot_release(struct snapshot_user *user)
{
    struct snapshot *s = user->snapshot;
    if (!s)
        return;
    user->snapshot = NULL;
    if (user->waits) {
        TAILQ_REMOVE(&s->waiting, user, next);
        slot_release(s->store->upstream_slots, &user->upstream_slot);
    }
    user->waits = false;
    if (s->fetch && TAILQ_EMPTY(&s->waiting)) {
        shared_fetch_free(s->fetch);
        s->fetch = NULL;
        telemetry_snapshot_ended(s->store->telemetry, s->endpoint->name, SHARED_CANCELLED);
        unpublish(s);
    }
    snapshot_unref(s);
}

enum fetch_progress
snapshot_progress(const struct snapshot *s)
{
    return s->fetch ? shared_fetch_progress(s->fetch) : FETCH_ASKED;
}

/* The store as a whole. */

void
snapshots_init(struct snapshots *store, struct event_base *base, struct upstream *upstream,
               struct slot_pool *upstream_slots, struct telemetry *telemetry, const struct log *log)
{
    *store = (struct snapshots){
        .base = base, .upstream = upstream, .upstream_slots = upstream_slots, .telemetry = telemetry, .log = log};
    TAILQ_INIT(&store->all);
}

/* The endpoint of a configuration that a snapshot was as well made for; NULL: there is none. With another limit, one
   that has found no room may have some. */
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
    struct snapshot *s = TAILQ_FIRST(&store->all);
    while (s) {
        struct snapshot *next = TAILQ_NEXT(s, next);
        s->serves = successor(s, config);
        if (!s->serves)
            unpublish(s);
        s = next;
    }
}

void
snapshots_trim(struct snapshots *store)
{
    gzip_free(store->gzip);
    store->gzip = NULL;
}

/* Takes a snapshot away from the store, for which pieces of it on their way are no reason to stay: libevent frees them
   when the base goes, after us. */
static void
orphan(struct snapshot *s)
{
    shared_fetch_free(s->fetch);
    s->fetch = NULL;
    TAILQ_REMOVE(&s->store->all, s, next);
    s->store = NULL;
    event_free(s->expiry);
    event_free(s->notify_timer);
    s->expiry = s->notify_timer = NULL;
}

void
snapshots_deinit(struct snapshots *store)
{
    struct snapshot *s;
    if (!store->base)
        return;
    snapshots_set_config(store, NULL);
    while ((s = TAILQ_FIRST(&store->all)) != NULL)
        orphan(s);
    snapshots_trim(store);
}
