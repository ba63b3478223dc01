/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PROXY_SLOTS_H
#define PROXY_SLOTS_H
/*
 * Counting semaphores with a wait queue, fair between peers: scrapes in flight per endpoint (max_in_flight),
 * connections per upstream (max_upstream_connections).
 *
 * The last eighth of a group's slots, at least one if there are several, is for peers that hold fewer than that. So a
 * single address that scrapes much and reads slowly cannot lock the others out.
 *
 * Groups are found by name, the endpoint's or the upstream's address: a reload replaces the endpoints, but the slots
 * that are held stay with their group.
 */
#include "service/base/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* Zeroed: not acquired. */
struct slot {
    TAILQ_ENTRY(slot) next;
    struct slot_group *group; /* NULL: not acquired */
    struct peer peer;
    bool waits;                 /* queued, not yet acquired */
    void (*on_slot)(void *ctx); /* if it waits */
    void *ctx;
};

/* The groups of one kind; zeroed there is none. */
struct slot_pool {
    struct slot_group *first;
    uint64_t max; /* slots of each group that slot_acquire() uses; 0: no limit */
};

/* Acquires one of max slots (0: no limit) in the named group, without waiting. 0: acquired; the caller keeps *slot
   alive until slot_release(). EBUSY (positive): none is free. -ENOMEM. */
int slot_try_acquire(struct slot_pool *pool, struct slot *slot, const char *name, const struct peer *peer,
                     uint64_t max);

/* Acquires one of pool->max slots in the named group. 0: acquired. EAGAIN (positive): queued; on_slot() is called once,
   when acquired. The caller keeps *slot alive until slot_release(). -ENOMEM. */
int slot_acquire(struct slot_pool *pool, struct slot *slot, const char *name, const struct peer *peer,
                 void (*on_slot)(void *ctx), void *ctx);

/* Moves an acquired slot to another owner; from is then as if zeroed. */
void slot_transfer(struct slot *to, struct slot *from);

/* Releases the slot, or leaves the queue. May call on_slot() of others. A zeroed one is fine. */
void slot_release(struct slot_pool *pool, struct slot *slot);

/* Changes pool->max. May call on_slot(). A lower limit takes no slot away. */
void slot_pool_set_max(struct slot_pool *pool, uint64_t max);

#endif
