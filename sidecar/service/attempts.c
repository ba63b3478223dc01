/* SPDX-License-Identifier: Apache-2.0 */
#include "attempts.h"

#include "connections.h"
#include "door.h"
#include "peer.h"
#include "verifier.h"

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
    TAILQ_REMOVE(&a->all->queue, a, next);
    a->all->n--;
    credential_deinit(&a->credential);
    door_unref(a->door);
    free(a);
}

/* Tells the verdict, and forgets the attempt. */
static void
judge(struct attempt *a, bool matches)
{
    struct attempts *all = a->all;
    struct evhttp_request *request = a->request;

    if (matches)
        passwords_note(a->door->passwords, &a->credential);
    if (request)
        connection_listen(a->connection, NULL, NULL);
    attempt_free(a);
    if (request)
        all->judged(request, matches, all->ctx);
}

/* Begins to match the first that waits. Many come with the same credential: the first decides for all. */
static void
go_on(struct attempts *all)
{
    struct attempt *a;
    while (!all->current && (a = TAILQ_FIRST(&all->queue)) != NULL) {
        if (passwords_remember(a->door->passwords, &a->credential)) {
            judge(a, true);
        } else {
            all->current = a;
            verifier_begin(all->verifier, &a->credential);
        }
    }
}

static void
on_matched(bool matches, void *ctx)
{
    struct attempts *all = ctx;
    struct attempt *a = all->current;
    all->current = NULL;
    judge(a, matches);
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

static size_t
count_of_peer(const struct attempts *all, const struct peer *peer)
{
    const struct attempt *a;
    size_t n = 0;
    TAILQ_FOREACH (a, &all->queue, next)
        n += peer_is_same(&a->peer, peer);
    return n;
}

int
attempts_add(struct attempts *all, struct evhttp_request *request, struct door *door, struct credential *credential)
{
    struct connection *connection = connection_of(request);
    struct peer peer = connection_peer(connection);

    if (all->n >= WAITING_MOST || count_of_peer(all, &peer) >= WAITING_OF_PEER)
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
              void (*judged)(struct evhttp_request *request, bool matches, void *ctx), void *ctx)
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
