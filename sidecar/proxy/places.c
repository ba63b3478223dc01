/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct endpoint_places {
    struct endpoint_places *next;
    TAILQ_HEAD(, place) places; /* in the order of time; never none */
    size_t n;
    uint64_t most_asking; /* as it was said last */
    char name[];
};

/* How many of the last are not for whoever comes first. */
static uint64_t
reserved(uint64_t most)
{
    return most >= 8 ? most / 8 : most > 1;
}

/* How many a peer has of an endpoint's places, or, if asking, of those that ask. */
static uint64_t
count_of_peer(const struct endpoint_places *e, const struct peer *peer, bool asking)
{
    const struct place *p;
    uint64_t n = 0;
    TAILQ_FOREACH (p, &e->places, next)
        n += (p->asks || !asking) && peer_is_same(&p->peer, peer);
    return n;
}

static struct endpoint_places *
find(struct places *all, const char *name)
{
    struct endpoint_places *e = all->first;
    while (e && strcmp(e->name, name) != 0)
        e = e->next;
    if (e || !(e = calloc(1, sizeof(*e) + strlen(name) + 1)))
        return e;
    strcpy(e->name, name);
    TAILQ_INIT(&e->places);
    e->next = all->first;
    all->first = e;
    return e;
}

int
place_take(struct places *all, struct place *place, const char *endpoint, const struct peer *peer, uint64_t most)
{
    struct endpoint_places *e = find(all, endpoint);
    if (!e)
        return -ENOMEM;
    if (most && e->n && e->n >= most - reserved(most) &&
        (e->n >= most || count_of_peer(e, peer, false) >= reserved(most)))
        return EBUSY;
    *place = (struct place){.of = e, .peer = *peer};
    TAILQ_INSERT_TAIL(&e->places, place, next);
    e->n++;
    return 0;
}

/* libcurl has the others wait, whoever they are; it goes by the order of time. */
static bool
may_ask(const struct endpoint_places *e, const struct peer *peer)
{
    return !e->most_asking || count_of_peer(e, peer, true) < e->most_asking - reserved(e->most_asking);
}

bool
place_ask(struct place *place, uint64_t most, void (*turn)(void *ctx), void *ctx)
{
    place->of->most_asking = most;
    place->asks = may_ask(place->of, &place->peer);
    place->waits = !place->asks;
    place->turn = turn;
    place->ctx = ctx;
    return place->asks;
}

/* Gives turns to those that wait, as far as there are any. */
static void
give_turns(struct endpoint_places *e)
{
    struct place *p = TAILQ_FIRST(&e->places);
    while (p) {
        if (!p->waits || !may_ask(e, &p->peer)) {
            p = TAILQ_NEXT(p, next);
            continue;
        }
        p->waits = false;
        p->asks = true;
        p->turn(p->ctx); /* it may leave, and others with it */
        p = TAILQ_FIRST(&e->places);
    }
}

void
place_asked(struct place *place)
{
    bool asked = place->asks; /* false too if none was taken */
    place->asks = place->waits = false;
    if (asked)
        give_turns(place->of);
}

void
place_leave(struct places *all, struct place *place)
{
    struct endpoint_places *e = place->of, **at = &all->first;
    if (!e)
        return;
    place_asked(place);
    TAILQ_REMOVE(&e->places, place, next);
    place->of = NULL;
    if (--e->n)
        return;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    free(e);
}
