/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct places_of {
    struct places_of *next;
    TAILQ_HEAD(, place) places; /* in the order of time, those that wait among them */
    size_t references;          /* of the places, and of whoever goes through them */
    size_t taken;
    char name[];
};

/* How many of the last are not for whoever comes first. */
static uint64_t
reserved(uint64_t most)
{
    return most >= 8 ? most / 8 : most > 1;
}

static uint64_t
count_of_peer(const struct places_of *of, const struct peer *peer)
{
    const struct place *p;
    uint64_t n = 0;
    TAILQ_FOREACH (p, &of->places, next)
        n += !p->waits && peer_is_same(&p->peer, peer);
    return n;
}

/* Whether there is one for a peer. */
static bool
is_free(const struct places_of *of, const struct peer *peer, uint64_t most)
{
    return !most || of->taken < most - reserved(most) || (of->taken < most && count_of_peer(of, peer) < reserved(most));
}

static struct places_of *
find(struct places *all, const char *name)
{
    struct places_of *of = all->first;
    while (of && strcmp(of->name, name) != 0)
        of = of->next;
    if (of || !(of = calloc(1, sizeof(*of) + strlen(name) + 1)))
        return of;
    strcpy(of->name, name);
    TAILQ_INIT(&of->places);
    of->next = all->first;
    all->first = of;
    return of;
}

static void
unref(struct places *all, struct places_of *of)
{
    struct places_of **at = &all->first;
    if (--of->references)
        return;
    while (*at != of)
        at = &(*at)->next;
    *at = of->next;
    free(of);
}

static void
add(struct places_of *of, struct place *place, const struct peer *peer, bool waits)
{
    *place = (struct place){.of = of, .peer = *peer, .waits = waits};
    TAILQ_INSERT_TAIL(&of->places, place, next);
    of->references++;
    of->taken += !waits;
}

int
place_take(struct places *all, struct place *place, const char *name, const struct peer *peer, uint64_t most)
{
    struct places_of *of = find(all, name);
    if (!of)
        return -ENOMEM;
    if (!is_free(of, peer, most)) /* so there are others, that hold on to it */
        return EBUSY;
    add(of, place, peer, false);
    return 0;
}

int
place_await(struct places *all, struct place *place, const char *name, const struct peer *peer, void (*turn)(void *ctx),
            void *ctx)
{
    struct places_of *of = find(all, name);
    if (!of)
        return -ENOMEM;
    add(of, place, peer, !is_free(of, peer, all->most));
    place->turn = turn;
    place->ctx = ctx;
    return place->waits ? EAGAIN : 0;
}

void
place_move(struct place *to, struct place *from)
{
    *to = *from;
    TAILQ_INSERT_BEFORE(from, to, next);
    TAILQ_REMOVE(&to->of->places, from, next);
    from->of = NULL;
}

/* Gives places to those that wait, as far as there are any. */
static void
give_turns(struct places *all, struct places_of *of)
{
    struct place *p = TAILQ_FIRST(&of->places);
    while (p) {
        if (!p->waits || !is_free(of, &p->peer, all->most)) {
            p = TAILQ_NEXT(p, next);
            continue;
        }
        p->waits = false;
        of->taken++;
        p->turn(p->ctx); /* it may leave, and others with it */
        p = TAILQ_FIRST(&of->places);
    }
}

void
place_leave(struct places *all, struct place *place)
{
    struct places_of *of = place->of;
    bool waited = place->waits;
    if (!of)
        return;
    TAILQ_REMOVE(&of->places, place, next);
    place->of = NULL;
    place->waits = false;
    if (!waited) {
        of->taken--;
        give_turns(all, of);
    }
    unref(all, of);
}

void
places_set_most(struct places *all, uint64_t most)
{
    struct places_of *of = all->first;
    all->most = most;
    while (of) {
        of->references++;
        give_turns(all, of);
        struct places_of *next = of->next;
        unref(all, of);
        of = next;
    }
}
