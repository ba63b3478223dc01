/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution of a body's families over any number of shards, and its balance. */
#include "service/telemetry/distribution.h"

#include <scrapeshard/sharding.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* By modulo, a family's shard is its hash modulo the count. */
static int
setup(void **state)
{
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    return ss_sharding_new((struct ss_sharding **)state, &settings);
}

static int
teardown(void **state)
{
    ss_sharding_free(*state);
    return 0;
}

static void
add(struct distribution *d, enum ss_family_route route, uint64_t hash, uint64_t series)
{
    distribution_add_family(d, &(struct ss_family_count){.route = route, .hash = hash, .series = series});
}

/* 10 and 30 series that stay whole, 2 in every shard, 4 and 5 of two split families, 6 in none. */
static struct distribution
example(void)
{
    struct distribution d = {0};
    distribution_start(&d, 1);
    add(&d, SS_FAMILY_BY_HASH, 4, 10);
    add(&d, SS_FAMILY_BY_HASH, 5, 30);
    add(&d, SS_FAMILY_ALL, 0, 2);
    add(&d, SS_FAMILY_SPLIT, 0, 4);
    add(&d, SS_FAMILY_SPLIT, 0, 5);
    add(&d, SS_FAMILY_NONE, 0, 6);
    distribution_finish(&d, 60);
    return d;
}

static void
test_totals(void **state)
{
    struct distribution d = example();
    (void)state;
    assert_int_equal(d.n, 2);
    assert_int_equal(d.in_all, 2);
    assert_int_equal(d.split, 9);
    assert_int_equal(d.split_families, 2);
    assert_int_equal(d.dropped, 6);
    assert_int_equal(d.uncounted, 60 - 10 - 30 - 2 - 9 - 6);
    distribution_start(&d, 2);
    distribution_finish(&d, 0);
    assert_int_equal(d.n + d.in_all + d.split + d.dropped + d.uncounted, 0);
    distribution_deinit(&d);
}

static void
test_loads(void **state)
{
    struct distribution d = example();
    struct shard_load loads[3] = {{0}};
    distribution_shard_loads(&d, *state, 3, loads);
    assert_int_equal(loads[0].series, 2);
    assert_int_equal(loads[1].series, 2 + 10);
    assert_int_equal(loads[2].series, 2 + 30);
    distribution_deinit(&d);
}

static void
test_moved(void **state)
{
    struct distribution d = example();
    assert_int_equal(distribution_moved_series(&d, *state, 3, 3), 0);
    assert_int_equal(distribution_moved_series(&d, *state, 3, 4), 10 + 30); /* 1, 2 to 0, 1 */
    assert_int_equal(distribution_moved_series(&d, *state, 2, 4), 0);       /* 0, 1 both times */
    assert_int_equal(distribution_moved_series(&d, *state, 4, 5), 10 + 30); /* 0, 1 to 4, 0 */
    assert_int_equal(distribution_moved_series(&d, *state, 1, 2), 30);      /* 0, 0 to 0, 1 */
    distribution_deinit(&d);
}

static void
test_families_are_bounded(void **state)
{
    struct distribution d = {0};
    (void)state;
    distribution_start(&d, 1);
    for (uint64_t i = 0; i < DISTRIBUTION_FAMILIES_MAX + 10; i++)
        add(&d, SS_FAMILY_BY_HASH, i, 1);
    distribution_finish(&d, DISTRIBUTION_FAMILIES_MAX + 10);
    assert_int_equal(d.n, DISTRIBUTION_FAMILIES_MAX);
    assert_int_equal(d.uncounted, 10);
    distribution_deinit(&d);
}

static void
test_balance(void **state)
{
    const struct shard_load loads[4] = {{2, 90, 0}, {6, 10, 0}, {6, 0, 0}, {2, 20, 0}}, none[2] = {{0}};
    struct shard_balance b = balance_of(loads, 4);
    (void)state;
    assert_int_equal(b.count, 4);
    assert_int_equal(b.fullest, 1);
    assert_int_equal(b.most_series, 6);
    assert_int_equal(b.most_bytes, 90);
    assert_true(b.mean_series == 4 && b.by_series == 1.5);
    assert_true(b.mean_bytes == 30 && b.by_bytes == 3);
    b = balance_of(none, 2);
    assert_true(b.by_series == 1 && b.by_bytes == 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(totals), TEST(loads), TEST(moved), TEST(families_are_bounded), TEST(balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
