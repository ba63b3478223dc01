/* SPDX-License-Identifier: Apache-2.0 */
#include "auth_queue.h"

#include "connections.h"
#include "service/access/access_policy.h"
#include "service/base/peer.h"
#include "password_worker.h"

#include <event2/http.h>
#include <stdlib.h>

enum {
    /* Waiting, in all and from one peer: at 0.1 s each, the last waits for some seconds, less than a scrape's time. */
    WAITING_MOST = 64,
    WAITING_OF_PEER = 8,
};

struct attempt {
    TAILQ_ENTRY(attempt) next;
    struct attempts *all;
    struct evhttp_request *request; /* NULL: its connection has gone */
    struct connection *connection;
    struct peer peer;
    struct door *door; /* a reference */
    struct credential credential;
};

static void
attempt_free(struct attempt *a)
{
    struct attempts *all = a->all;
    if (a == all->current)
        all->current = NULL;
    else
        TAILQ_REMOVE(&all->queue, a, next);
    all->n--;
    credential_deinit(&a->credential);
    door_unref(a->door);
    free(a);
}

/* Tells the verdict, and forgets the attempt. */
static void
judge(struct attempt *a, enum attempt_verdict verdict)
{
    struct attempts *all = a->all;
    struct evhttp_request *request = a->request;

    if (verdict == ATTEMPT_MATCHES)
        passwords_note(a->door->passwords, &a->credential);
    if (request)
        connection_listen(a->connection, NULL, NULL);
    attempt_free(a);
    if (request)
        all->judged(request, verdict, all->ctx);
}

/* The first that waits with a credential that another was found good with meanwhile, or NULL. */
static struct attempt *
find_known(const struct attempts *all)
{
    struct attempt *a;
    TAILQ_FOREACH (a, &all->queue, next)
        if (passwords_remember(a->door->passwords, &a->credential))
            break;
    return a;
}

/* Takes the first of the queue. The others of its address go behind those of all other addresses. */
static struct attempt *
take_turn(struct attempts *all)
{
    struct attempt *taken = TAILQ_FIRST(&all->queue), *last = TAILQ_LAST(&all->queue, attempt_queue), *a, *next;
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

/* Begins to match the next. Many come with the same credential: the first decides for all. */
static void
go_on(struct attempts *all)
{
    struct attempt *known;
    while ((known = find_known(all)) != NULL)
        judge(known, ATTEMPT_MATCHES);
    if (all->current || TAILQ_EMPTY(&all->queue))
        return;
    all->current = take_turn(all);
    verifier_begin(all->verifier, &all->current->credential);
}

static void
on_matched(bool matches, void *ctx)
{
    struct attempts *all = ctx;
    judge(all->current, matches ? ATTEMPT_MATCHES : ATTEMPT_DOES_NOT_MATCH);
    go_on(all);
}

/* Only when the server ends: evhttp does not read meanwhile, so it sees a client that leaves when it writes. The
   request goes with the connection. */
static void
on_closed(void *ctx)
{
    struct attempt *a = ctx;
    a->request = NULL;
    if (a != a->all->current)
        attempt_free(a);
}

static const struct connection_events connection_events = {NULL, on_closed};

/* How many of an address there are, the current one too. */
static size_t
count_of_peer(const struct attempts *all, const struct peer *peer)
{
    const struct attempt *a;
    size_t n = all->current && peer_is_same(&all->current->peer, peer);
    TAILQ_FOREACH (a, &all->queue, next)
        n += peer_is_same(&a->peer, peer);
    return n;
}

/* The one that waits and came last of the address that has the most; NULL if none has two more than so many. */
static struct attempt *
find_displaced(const struct attempts *all, size_t than)
{
    struct attempt *a, *found = NULL;
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

/* Whether there is a place for one more of an address, perhaps that of another. */
static bool
make_place(struct attempts *all, const struct peer *peer)
{
    size_t n = count_of_peer(all, peer);
    struct attempt *displaced;
    if (n >= WAITING_OF_PEER)
        return false;
    if (all->n < WAITING_MOST)
        return true;
    displaced = find_displaced(all, n);
    if (displaced)
        judge(displaced, ATTEMPT_DISPLACED);
    return displaced;
}

int
attempts_add(struct attempts *all, struct evhttp_request *request, struct door *door, struct credential *credential)
{
    struct connection *connection = connection_of(request);
    struct peer peer = connection_peer(connection);

    if (!make_place(all, &peer))
        return 429;
    if (!all->verifier && verifier_new(&all->verifier, all->base, on_matched, all))
        return 503;
    struct attempt *a = malloc(sizeof(*a));
    if (!a)
        return 503;
    *a = (struct attempt){.all = all,
                          .request = request,
                          .connection = connection,
                          .peer = peer,
                          .door = door_ref(door),
                          .credential = *credential};
    credential->password = NULL;
    TAILQ_INSERT_TAIL(&all->queue, a, next);
    all->n++;
    connection_listen(connection, &connection_events, a);
    go_on(all);
    return 0;
}

void
attempts_init(struct attempts *all, struct event_base *base,
              void (*judged)(struct evhttp_request *request, enum attempt_verdict verdict, void *ctx), void *ctx)
{
    *all = (struct attempts){.base = base, .judged = judged, .ctx = ctx};
    TAILQ_INIT(&all->queue);
}

void
attempts_deinit(struct attempts *all)
{
    verifier_free(all->verifier);
    if (all->current)
        attempt_free(all->current); /* the others went with their connections */
}
