/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct slot_group {
    struct slot_group *next;
    TAILQ_HEAD(, slot) slots; /* in the order of arrival, acquired and waiting ones */
    size_t references;        /* one per slot, and one per loop over the slots */
    size_t acquired;
    char name[];
};

/* How many slots are kept for peers that hold fewer than that. */
static uint64_t
reserved(uint64_t max)
{
    return max >= 8 ? max / 8 : max > 1;
}

static uint64_t
count_acquired_by(const struct slot_group *group, const struct peer *peer)
{
    const struct slot *slot;
    uint64_t n = 0;
    TAILQ_FOREACH (slot, &group->slots, next)
        n += !slot->waits && peer_is_same(&slot->peer, peer);
    return n;
}

static bool
has_slot_for(const struct slot_group *group, const struct peer *peer, uint64_t max)
{
    return !max || group->acquired < max - reserved(max) ||
           (group->acquired < max && count_acquired_by(group, peer) < reserved(max));
}

static struct slot_group *
find_or_create(struct slot_pool *pool, const char *name)
{
    struct slot_group *group = pool->first;
    while (group && strcmp(group->name, name) != 0)
        group = group->next;
    if (group || !(group = calloc(1, sizeof(*group) + strlen(name) + 1)))
        return group;
    strcpy(group->name, name);
    TAILQ_INIT(&group->slots);
    group->next = pool->first;
    pool->first = group;
    return group;
}

static void
unref(struct slot_pool *pool, struct slot_group *group)
{
    struct slot_group **at = &pool->first;
    if (--group->references)
        return;
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    free(group);
}

static void
add(struct slot_group *group, struct slot *slot, const struct peer *peer, bool waits)
{
    *slot = (struct slot){.group = group, .peer = *peer, .waits = waits};
    TAILQ_INSERT_TAIL(&group->slots, slot, next);
    group->references++;
    group->acquired += !waits;
}

int
slot_try_acquire(struct slot_pool *pool, struct slot *slot, const char *name, const struct peer *peer, uint64_t max)
{
    struct slot_group *group = find_or_create(pool, name);
    if (!group)
        return -ENOMEM;
    if (!has_slot_for(group, peer, max)) /* a new group has one: so this one is referenced by its slots */
        return EBUSY;
    add(group, slot, peer, false);
    return 0;
}

int
slot_acquire(struct slot_pool *pool, struct slot *slot, const char *name, const struct peer *peer,
             void (*on_slot)(void *ctx), void *ctx)
{
    struct slot_group *group = find_or_create(pool, name);
    if (!group)
        return -ENOMEM;
    add(group, slot, peer, !has_slot_for(group, peer, pool->max));
    slot->on_slot = on_slot;
    slot->ctx = ctx;
    return slot->waits ? EAGAIN : 0;
}

void
slot_transfer(struct slot *to, struct slot *from)
{
    *to = *from;
    TAILQ_INSERT_BEFORE(from, to, next);
    TAILQ_REMOVE(&to->group->slots, from, next);
    from->group = NULL;
}

static void
grant_waiting(struct slot_pool *pool, struct slot_group *group)
{
    struct slot *slot = TAILQ_FIRST(&group->slots);
    while (slot) {
        if (!slot->waits || !has_slot_for(group, &slot->peer, pool->max)) {
            slot = TAILQ_NEXT(slot, next);
            continue;
        }
        slot->waits = false;
        group->acquired++;
        slot->on_slot(slot->ctx);          /* may release this slot and others: */
        slot = TAILQ_FIRST(&group->slots); /* so start again */
    }
}

void
slot_release(struct slot_pool *pool, struct slot *slot)
{
    struct slot_group *group = slot->group;
    bool waited = slot->waits;
    if (!group)
        return;
    TAILQ_REMOVE(&group->slots, slot, next);
    slot->group = NULL;
    slot->waits = false;
    if (!waited) {
        group->acquired--;
        grant_waiting(pool, group);
    }
    unref(pool, group);
}

void
slot_pool_set_max(struct slot_pool *pool, uint64_t max)
{
    struct slot_group *group = pool->first;
    pool->max = max;
    while (group) {
        group->references++; /* on_slot() may release the last slot */
        grant_waiting(pool, group);
        struct slot_group *next = group->next;
        unref(pool, group);
        group = next;
    }
}
