/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SLOTS_H
#define PROXY_SLOTS_H
/*
 * Places of which there are only so many at once: those of an endpoint, for its scrapes in flight, and those of a
 * service, for whoever asks it.
 *
 * There is always one that no single address can take: the last eighth, one at the least where there are several, is
 * for addresses that have less than that. So who scrapes much and reads slowly does not keep the others out.
 *
 * An endpoint is known by its name here, and a service by where it is: a reload makes others of them, and takes
 * nobody's place.
 */
#include "service/base/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct slot {
    TAILQ_ENTRY(slot) next;
    struct slot_group *group; /* NULL: none was taken */
    struct peer peer;
    bool waits;
    void (*on_slot)(void *ctx); /* of one that waits */
    void *ctx;
};

/* Of all endpoints, or of all services; zeroed there is none. */
struct slot_pool {
    struct slot_group *first;
    uint64_t max; /* of each that is waited for; 0: any number */
};

/* Takes one of a name's places, of which there are most (0: any number). 0: place is taken, and its memory borrowed,
   until slot_release(). EBUSY (positive): there is none. -ENOMEM. */
int slot_try_acquire(struct slot_pool *all, struct slot *slot, const char *name, const struct peer *peer, uint64_t max);

/* Takes one of those that are waited for. 0: it is had; EAGAIN (positive): turn() is called, once, when it is. Its
   memory is borrowed until slot_release(). -ENOMEM. */
int slot_acquire(struct slot_pool *all, struct slot *slot, const char *name, const struct peer *peer,
                 void (*on_slot)(void *ctx), void *ctx);

/* Makes one that was had another's; from is as if zeroed. */
void slot_transfer(struct slot *to, struct slot *from);

/* Gives the place up, or waits no more. turn() of others may be called from in there. A zeroed one is fine. */
void slot_release(struct slot_pool *all, struct slot *slot);

/* So many may be had of each that is waited for. turn() may be called from in there. */
void slot_pool_set_max(struct slot_pool *all, uint64_t max);

#endif
