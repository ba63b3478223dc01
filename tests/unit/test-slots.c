/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: how many there are, which are for other peers, and who gets one next. */
#include "proxy/slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <errno.h>

enum { MANY = 64 };

static const struct peer a = {AF_INET, {10, 0, 0, 1}}, b = {AF_INET, {10, 0, 0, 2}}, c = {AF_INET, {10, 0, 0, 3}};
static const struct peer unix_peer = {.family = AF_UNIX};

/* The order in which slots were granted to those that waited. */
static char granted[MANY];

/* A scrape with a name; as soon as it has a slot it may end, and another with it. */
struct scrape {
    struct slot slot;
    struct slot_pool *pool;
    char name;
    struct slot *ends[2];
};

static void
on_slot(void *ctx)
{
    struct scrape *s = ctx;
    granted[strlen(granted)] = s->name;
    for (size_t i = 0; i < 2; i++) {
        struct slot *slot = s->ends[i];
        if (!slot)
            continue;
        slot_release(s->pool, slot);
        memset(slot, 0xff, sizeof(*slot)); /* as good as freed */
    }
}

static int
setup(void **state)
{
    (void)state;
    memset(granted, 0, sizeof(granted));
    return 0;
}

/* Acquires as many slots as the peer gets, and returns how many. */
static size_t
acquire_all(struct slot_pool *pool, struct slot slots[MANY], const struct peer *peer, uint64_t max)
{
    size_t n = 0;
    int r = 0;
    while (n < MANY && !(r = slot_try_acquire(pool, &slots[n], "a", peer, max)))
        n++;
    assert_true(r == EBUSY || n == MANY);
    return n;
}

static void
release_all(struct slot_pool *pool, struct slot slots[MANY])
{
    for (size_t i = 0; i < MANY; i++)
        slot_release(pool, &slots[i]);
}

static int
acquire(struct slot_pool *pool, struct scrape *s, char name, const char *group, const struct peer *peer)
{
    s->pool = pool;
    s->name = name;
    return slot_acquire(pool, &s->slot, group, peer, on_slot, s);
}

static void
test_last_eighth_is_for_other_peers(void **state)
{
    static const struct {
        uint64_t max;
        size_t first, second, third;
    } cases[] = {{1, 1, 0, 0}, {2, 1, 1, 0}, {7, 6, 1, 0}, {8, 7, 1, 0}, {16, 14, 2, 0}, {40, 35, 5, 0}};
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slot_pool pool = {NULL, 0};
        struct slot first[MANY] = {0}, second[MANY] = {0}, third[MANY] = {0};
        assert_int_equal(acquire_all(&pool, first, &a, cases[i].max), cases[i].first);
        assert_int_equal(acquire_all(&pool, second, &b, cases[i].max), cases[i].second);
        assert_int_equal(acquire_all(&pool, third, &c, cases[i].max), cases[i].third);
        release_all(&pool, first);
        release_all(&pool, second);
        release_all(&pool, third);
        assert_null(pool.first);
    }
}

/* Several peers can share the last eighth. */
static void
test_last_eighth_is_shared(void **state)
{
    struct slot_pool pool = {NULL, 0};
    struct slot first[MANY] = {0}, second = {0}, third = {0};
    (void)state;
    assert_int_equal(acquire_all(&pool, first, &a, 16), 14);
    assert_int_equal(slot_try_acquire(&pool, &second, "a", &b, 16), 0);
    assert_int_equal(slot_try_acquire(&pool, &third, "a", &c, 16), 0);
    release_all(&pool, first);
    slot_release(&pool, &second);
    slot_release(&pool, &third);
    assert_null(pool.first);
}

/* Unix sockets have no address: their peers are all different. */
static void
test_unix_sockets_use_all(void **state)
{
    struct slot_pool pool = {NULL, 0};
    struct slot slots[MANY] = {0};
    (void)state;
    assert_int_equal(acquire_all(&pool, slots, &unix_peer, 16), 16);
    release_all(&pool, slots);
    assert_null(pool.first);
}

static void
test_no_limit(void **state)
{
    struct slot_pool pool = {NULL, 0};
    struct slot slots[MANY] = {0};
    struct scrape waiting = {.name = 0};
    (void)state;
    assert_int_equal(acquire_all(&pool, slots, &a, 0), MANY);
    assert_int_equal(acquire(&pool, &waiting, '1', "a", &a), 0);
    assert_false(waiting.slot.waits);
    slot_release(&pool, &waiting.slot);
    release_all(&pool, slots);
    assert_null(pool.first);
}

static void
test_groups_are_apart(void **state)
{
    struct slot_pool pool = {NULL, 1};
    struct scrape s[4] = {0};
    (void)state;
    assert_int_equal(acquire(&pool, &s[0], '0', "a", &a), 0);
    assert_int_equal(acquire(&pool, &s[1], '1', "b", &a), 0);
    assert_int_equal(acquire(&pool, &s[2], '2', "a", &a), EAGAIN);
    assert_int_equal(acquire(&pool, &s[3], '3', "b", &a), EAGAIN);
    slot_release(&pool, &s[1].slot);
    assert_string_equal(granted, "3");
    for (size_t i = 0; i < 4; i++)
        slot_release(&pool, &s[i].slot);
    assert_string_equal(granted, "32");
    assert_null(pool.first);
}

static void
test_waiting_in_order(void **state)
{
    struct slot_pool pool = {NULL, 1};
    struct scrape s[5] = {0};
    (void)state;
    assert_int_equal(acquire(&pool, &s[0], '0', "a", &a), 0);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(acquire(&pool, &s[i], (char)('0' + i), "a", i % 2 ? &a : &b), EAGAIN);
    slot_release(&pool, &s[2].slot); /* leaves the queue: nothing is granted */
    assert_string_equal(granted, "");
    slot_release(&pool, &s[0].slot);
    assert_string_equal(granted, "1");
    slot_release(&pool, &s[1].slot);
    slot_release(&pool, &s[3].slot);
    assert_string_equal(granted, "134");
    slot_release(&pool, &s[4].slot);
    assert_string_equal(granted, "134");
    assert_null(pool.first);
}

/* A peer that waits for one of the first slots does not keep another from one of the last. */
static void
test_other_peers_overtake(void **state)
{
    struct slot_pool pool = {NULL, 2};
    struct scrape s[4] = {0};
    (void)state;
    assert_int_equal(acquire(&pool, &s[0], '0', "a", &a), 0);
    assert_int_equal(acquire(&pool, &s[1], '1', "a", &a), EAGAIN);
    assert_int_equal(acquire(&pool, &s[2], '2', "a", &b), 0);
    assert_int_equal(acquire(&pool, &s[3], '3', "a", &b), EAGAIN);
    slot_release(&pool, &s[2].slot); /* one is held by a, the other is for a peer that holds none: b */
    assert_string_equal(granted, "3");
    slot_release(&pool, &s[3].slot);
    assert_string_equal(granted, "3");
    slot_release(&pool, &s[0].slot);
    assert_string_equal(granted, "31");
    slot_release(&pool, &s[1].slot);
    assert_null(pool.first);
}

static void
test_transfer(void **state)
{
    struct slot_pool pool = {NULL, 1};
    struct scrape s[3] = {0};
    struct slot owner = {.group = NULL};
    (void)state;
    assert_int_equal(acquire(&pool, &s[0], '0', "a", &a), 0);
    assert_int_equal(acquire(&pool, &s[1], '1', "a", &a), EAGAIN);
    slot_transfer(&owner, &s[0].slot);
    slot_release(&pool, &s[0].slot); /* releases nothing */
    assert_string_equal(granted, "");
    assert_int_equal(acquire(&pool, &s[2], '2', "a", &a), EAGAIN);
    slot_release(&pool, &owner);
    assert_string_equal(granted, "1");
    slot_release(&pool, &s[1].slot);
    assert_string_equal(granted, "12");
    slot_release(&pool, &s[2].slot);
    assert_null(pool.first);
}

/* A higher limit lets waiting scrapes go on at once; a lower one takes no slot away. */
static void
test_max_changes_while_waiting(void **state)
{
    struct slot_pool pool = {NULL, 1};
    struct scrape s[6] = {0};
    (void)state;
    assert_int_equal(acquire(&pool, &s[0], '0', "a", &a), 0);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(acquire(&pool, &s[i], (char)('0' + i), "a", &a), EAGAIN);
    slot_pool_set_max(&pool, 3); /* the third is for another peer */
    assert_string_equal(granted, "1");
    assert_int_equal(acquire(&pool, &s[5], '5', "a", &b), 0);
    slot_pool_set_max(&pool, 1);
    slot_release(&pool, &s[0].slot);
    slot_release(&pool, &s[1].slot);
    assert_string_equal(granted, "1"); /* b still holds the only one */
    slot_pool_set_max(&pool, 0);
    assert_string_equal(granted, "1234");
    for (size_t i = 2; i < 6; i++)
        slot_release(&pool, &s[i].slot);
    assert_null(pool.first);
}

/* A scrape that fails at once releases its slot in on_slot(), and perhaps another's. */
static void
test_release_in_on_slot(void **state)
{
    struct slot_pool pool = {NULL, 1};
    struct scrape s[5] = {0};
    (void)state;
    assert_int_equal(acquire(&pool, &s[0], '0', "a", &a), 0);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(acquire(&pool, &s[i], (char)('0' + i), "a", &a), EAGAIN);
    s[1].ends[0] = &s[1].slot;
    s[2].ends[0] = &s[3].slot; /* which leaves the queue */
    slot_release(&pool, &s[0].slot);
    assert_string_equal(granted, "12");
    slot_release(&pool, &s[2].slot);
    assert_string_equal(granted, "124");
    slot_release(&pool, &s[4].slot);
    assert_null(pool.first);
}

/* All slots of a group, and with them the group, may be released while the limit changes; the next group follows. */
static void
test_group_ends_in_set_max(void **state)
{
    struct slot_pool pool = {NULL, 1};
    struct scrape s[4] = {0};
    (void)state;
    for (size_t i = 0; i < 4; i++) /* the last group is the first in the list */
        assert_int_equal(acquire(&pool, &s[i], (char)('0' + i), i < 2 ? "b" : "a", &a), i % 2 ? EAGAIN : 0);
    for (size_t i = 1; i < 4; i += 2) {
        s[i].ends[0] = &s[i - 1].slot;
        s[i].ends[1] = &s[i].slot;
    }
    slot_pool_set_max(&pool, 0);
    assert_string_equal(granted, "31");
    assert_null(pool.first);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_last_eighth_is_for_other_peers, setup),
        cmocka_unit_test_setup(test_last_eighth_is_shared, setup),
        cmocka_unit_test_setup(test_unix_sockets_use_all, setup),
        cmocka_unit_test_setup(test_no_limit, setup),
        cmocka_unit_test_setup(test_groups_are_apart, setup),
        cmocka_unit_test_setup(test_waiting_in_order, setup),
        cmocka_unit_test_setup(test_other_peers_overtake, setup),
        cmocka_unit_test_setup(test_transfer, setup),
        cmocka_unit_test_setup(test_max_changes_while_waiting, setup),
        cmocka_unit_test_setup(test_release_in_on_slot, setup),
        cmocka_unit_test_setup(test_group_ends_in_set_max, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
