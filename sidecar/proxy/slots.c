/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct slot_group {
    struct slot_group *next;
    TAILQ_HEAD(, slot) slots; /* in the order of time, those that wait among them */
    size_t references;        /* of the places, and of whoever goes through them */
    size_t taken;
    char name[];
};

/* How many of the last are not for whoever comes first. */
static uint64_t
reserved(uint64_t max)
{
    return max >= 8 ? max / 8 : max > 1;
}

static uint64_t
count_of_peer(const struct slot_group *group, const struct peer *peer)
{
    const struct slot *p;
    uint64_t n = 0;
    TAILQ_FOREACH (p, &group->slots, next)
        n += !p->waits && peer_is_same(&p->peer, peer);
    return n;
}

/* Whether there is one for a peer. */
static bool
is_free(const struct slot_group *group, const struct peer *peer, uint64_t max)
{
    return !max || group->taken < max - reserved(max) ||
           (group->taken < max && count_of_peer(group, peer) < reserved(max));
}

static struct slot_group *
find(struct slot_pool *all, const char *name)
{
    struct slot_group *group = all->first;
    while (group && strcmp(group->name, name) != 0)
        group = group->next;
    if (group || !(group = calloc(1, sizeof(*group) + strlen(name) + 1)))
        return group;
    strcpy(group->name, name);
    TAILQ_INIT(&group->slots);
    group->next = all->first;
    all->first = group;
    return group;
}

static void
unref(struct slot_pool *all, struct slot_group *group)
{
    struct slot_group **at = &all->first;
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
    group->taken += !waits;
}

int
slot_try_acquire(struct slot_pool *all, struct slot *slot, const char *name, const struct peer *peer, uint64_t max)
{
    struct slot_group *group = find(all, name);
    if (!group)
        return -ENOMEM;
    if (!is_free(group, peer, max)) /* so there are others, that hold on to it */
        return EBUSY;
    add(group, slot, peer, false);
    return 0;
}

int
slot_acquire(struct slot_pool *all, struct slot *slot, const char *name, const struct peer *peer,
             void (*on_slot)(void *ctx), void *ctx)
{
    struct slot_group *group = find(all, name);
    if (!group)
        return -ENOMEM;
    add(group, slot, peer, !is_free(group, peer, all->max));
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

/* Gives places to those that wait, as far as there are any. */
static void
grant_waiting(struct slot_pool *all, struct slot_group *group)
{
    struct slot *p = TAILQ_FIRST(&group->slots);
    while (p) {
        if (!p->waits || !is_free(group, &p->peer, all->max)) {
            p = TAILQ_NEXT(p, next);
            continue;
        }
        p->waits = false;
        group->taken++;
        p->on_slot(p->ctx); /* it may leave, and others with it */
        p = TAILQ_FIRST(&group->slots);
    }
}

void
slot_release(struct slot_pool *all, struct slot *slot)
{
    struct slot_group *group = slot->group;
    bool waited = slot->waits;
    if (!group)
        return;
    TAILQ_REMOVE(&group->slots, slot, next);
    slot->group = NULL;
    slot->waits = false;
    if (!waited) {
        group->taken--;
        grant_waiting(all, group);
    }
    unref(all, group);
}

void
slot_pool_set_max(struct slot_pool *all, uint64_t max)
{
    struct slot_group *group = all->first;
    all->max = max;
    while (group) {
        group->references++;
        grant_waiting(all, group);
        struct slot_group *next = group->next;
        unref(all, group);
        group = next;
    }
}
