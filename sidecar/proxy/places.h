/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_PLACES_H
#define PROXY_PLACES_H
/*
 * The places that scrapes in flight take: of an endpoint, and of those of them that may ask the service.
 *
 * There is always one that no single address can take: the last eighth, one at the least where there are several, is
 * for addresses that have less than that. So who scrapes much and reads slowly does not keep the others out.
 *
 * An endpoint is known by its name here: a reload makes another one of it, and takes no scrape's place.
 */
#include "../service/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct place {
    TAILQ_ENTRY(place) next;
    struct endpoint_places *of; /* NULL: none was taken */
    struct peer peer;
    bool asks, waits;
    void (*turn)(void *ctx); /* of one that waits */
    void *ctx;
};

/* Of all endpoints; zeroed there is none. */
struct places {
    struct endpoint_places *first;
};

/* Takes one of an endpoint's places, of which there are most (0: any number). 0: place is taken, and its memory
   borrowed, until place_leave(). EBUSY (positive): there is none. -ENOMEM. */
int place_take(struct places *all, struct place *place, const char *endpoint, const struct peer *peer, uint64_t most);

/* Whether the service may be asked now, by most at once (0: any number). If not, turn() is called, once, when it may.
 */
bool place_ask(struct place *place, uint64_t most, void (*turn)(void *ctx), void *ctx);

/* The service is asked no more, or not after all. turn() of others may be called from in there. */
void place_asked(struct place *place);

/* Gives the place up. A zeroed one is fine. */
void place_leave(struct places *all, struct place *place);

#endif
