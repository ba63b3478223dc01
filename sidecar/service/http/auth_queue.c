/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_queue.h"

#include "connections.h"
#include "password_worker.h"
#include "service/access/access_policy.h"
#include "service/base/peer.h"

#include <event2/http.h>
#include <stdlib.h>

enum {
    /* In total and per peer: at 0.1 s each, the last waits some seconds, less than a scrape's timeout. */
    PENDING_MAX = 64,
    PENDING_PER_PEER_MAX = 8,
};

struct pending_auth {
    TAILQ_ENTRY(pending_auth) next;
    struct auth_queue *all;
    struct evhttp_request *request; /* NULL: its connection is closed */
    struct connection *connection;
    struct peer peer;
    struct access_policy *policy; /* a reference */
    struct credential credential;
};

static void
pending_auth_free(struct pending_auth *a)
{
    struct auth_queue *all = a->all;
    if (a == all->current)
        all->current = NULL;
    else
        TAILQ_REMOVE(&all->queue, a, next);
    all->n--;
    credential_deinit(&a->credential);
    access_policy_unref(a->policy);
    free(a);
}

/* Reports the result and removes the entry. */
static void
finish_auth(struct pending_auth *a, enum auth_result result)
{
    struct auth_queue *all = a->all;
    struct evhttp_request *request = a->request;

    if (result == AUTH_MATCHES)
        passwords_cache(a->policy->passwords, &a->credential);
    if (request)
        connection_set_callbacks(a->connection, NULL, NULL);
    pending_auth_free(a);
    if (request)
        all->auth_done(request, result, all->ctx);
}

/* The first queued request whose credential has been accepted for another request meanwhile, or NULL. */
static struct pending_auth *
find_known(const struct auth_queue *all)
{
    struct pending_auth *a;
    TAILQ_FOREACH (a, &all->queue, next)
        if (passwords_is_cached(a->policy->passwords, &a->credential))
            break;
    return a;
}

/* Takes the first of the queue. The others of its address move to the end of the queue. */
static struct pending_auth *
take_next(struct auth_queue *all)
{
    struct pending_auth *taken = TAILQ_FIRST(&all->queue), *last = TAILQ_LAST(&all->queue, pending_auth_list), *a,
                        *next;
    TAILQ_REMOVE(&all->queue, taken, next);
    for (a = taken == last ? NULL : TAILQ_FIRST(&all->queue); a; a = a == last ? NULL : next) {
        next = TAILQ_NEXT(a, next);
        if (!peer_is_same(&a->peer, &taken->peer))
            continue;
        TAILQ_REMOVE(&all->queue, a, next);
        TAILQ_INSERT_TAIL(&all->queue, a, next);
    }
    return taken;
}

/* Starts the next check. Requests that share a credential share the result of the first. */
static void
start_next(struct auth_queue *all)
{
    struct pending_auth *known;
    while ((known = find_known(all)) != NULL)
        finish_auth(known, AUTH_MATCHES);
    if (all->current || TAILQ_EMPTY(&all->queue))
        return;
    all->current = take_next(all);
    password_worker_start(all->worker, &all->current->credential);
}

static void
on_password_checked(bool matches, void *ctx)
{
    struct auth_queue *all = ctx;
    finish_auth(all->current, matches ? AUTH_MATCHES : AUTH_MISMATCH);
    start_next(all);
}

/* Only at shutdown: evhttp does not read meanwhile, so it notices a client that has left only when it writes. The
   request is freed with the connection. */
static void
on_closed(void *ctx)
{
    struct pending_auth *a = ctx;
    a->request = NULL;
    if (a != a->all->current)
        pending_auth_free(a);
}

static const struct connection_events connection_events = {NULL, on_closed};

/* The number of requests of an address, including the current one. */
static size_t
count_of_peer(const struct auth_queue *all, const struct peer *peer)
{
    const struct pending_auth *a;
    size_t n = all->current && peer_is_same(&all->current->peer, peer);
    TAILQ_FOREACH (a, &all->queue, next)
        n += peer_is_same(&a->peer, peer);
    return n;
}

/* The newest queued request of the address with the most; NULL: no address has at least two more than `than`. */
static struct pending_auth *
find_displaced(const struct auth_queue *all, size_t than)
{
    struct pending_auth *a, *found = NULL;
    size_t most = than + 1;
    TAILQ_FOREACH (a, &all->queue, next) {
        size_t n = count_of_peer(all, &a->peer);
        if (n > most || (found && n == most && peer_is_same(&a->peer, &found->peer))) {
            most = n;
            found = a;
        }
    }
    return found;
}

/* Whether there is room for one more of an address; may displace another. */
static bool
make_room(struct auth_queue *all, const struct peer *peer)
{
    size_t n = count_of_peer(all, peer);
    struct pending_auth *displaced;
    if (n >= PENDING_PER_PEER_MAX)
        return false;
    if (all->n < PENDING_MAX)
        return true;
    displaced = find_displaced(all, n);
    if (displaced)
        finish_auth(displaced, AUTH_DISPLACED);
    return displaced;
}

int
auth_queue_add(struct auth_queue *all, struct evhttp_request *request, struct access_policy *policy,
               struct credential *credential)
{
    struct connection *connection = connection_of(request);
    struct peer peer = connection_peer(connection);

    if (!make_room(all, &peer))
        return 429;
    if (!all->worker && password_worker_new(&all->worker, all->base, on_password_checked, all))
        return 503;
    struct pending_auth *a = malloc(sizeof(*a));
    if (!a)
        return 503;
    *a = (struct pending_auth){.all = all,
                               .request = request,
                               .connection = connection,
                               .peer = peer,
                               .policy = access_policy_ref(policy),
                               .credential = *credential};
    credential->password = NULL;
    TAILQ_INSERT_TAIL(&all->queue, a, next);
    all->n++;
    connection_set_callbacks(connection, &connection_events, a);
    start_next(all);
    return 0;
}

void
auth_queue_init(struct auth_queue *all, struct event_base *base,
                void (*auth_done)(struct evhttp_request *request, enum auth_result result, void *ctx), void *ctx)
{
    *all = (struct auth_queue){.base = base, .auth_done = auth_done, .ctx = ctx};
    TAILQ_INIT(&all->queue);
}

void
auth_queue_deinit(struct auth_queue *all)
{
    password_worker_free(all->worker);
    if (all->current)
        pending_auth_free(all->current); /* the others went with their connections */
}
