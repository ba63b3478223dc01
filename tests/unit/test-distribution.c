/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution of a body's families over any number of shards, and its balance. */
#include "service/telemetry/distribution.h"

#include <scrapeshard/sharding.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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
example(struct ss_sharding *sharding)
{
    struct distribution d = {0};
    distribution_start(&d, 1, sharding);
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
    struct distribution d = example(*state);
    assert_int_equal(d.n, 2);
    assert_int_equal(d.in_all, 2);
    assert_int_equal(d.split, 9);
    assert_int_equal(d.split_families, 2);
    assert_int_equal(d.dropped, 6);
    assert_int_equal(d.uncounted, 60 - 10 - 30 - 2 - 9 - 6);
    distribution_start(&d, 2, *state);
    distribution_finish(&d, 0);
    assert_int_equal(d.n + d.in_all + d.split + d.dropped + d.uncounted, 0);
    distribution_deinit(&d);
}

/* Of a family that stays whole, what selectors drop is in no shard, and what they replicate in every one. */
static void
test_selected_series(void **state)
{
    struct distribution d = {0};
    distribution_start(&d, 1, *state);
    distribution_add_family(&d, &(struct ss_family_count){.hash = 4, .series = 10, .dropped = 3, .replicated = 2});
    distribution_finish(&d, 10);
    assert_int_equal(d.n, 1);
    assert_int_equal(d.items[0].series, 5);
    assert_int_equal(d.in_all, 2);
    assert_int_equal(d.dropped, 3);
    assert_int_equal(d.uncounted, 0);
    distribution_deinit(&d);
}

static void
test_loads(void **state)
{
    struct distribution d = example(*state);
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
    struct distribution d = example(*state);
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
    distribution_start(&d, 1, *state);
    for (uint64_t i = 0; i < DISTRIBUTION_FAMILIES_MAX + 10; i++)
        add(&d, SS_FAMILY_BY_HASH, i, 1);
    distribution_finish(&d, DISTRIBUTION_FAMILIES_MAX + 10);
    assert_int_equal(d.n, DISTRIBUTION_FAMILIES_MAX);
    assert_int_equal(d.uncounted, 10);
    distribution_deinit(&d);
}

/* Groups. */

/* g has two lines; "(x)" is no named group. */
static struct ss_rules *
group_rules(const char *const *patterns)
{
    struct ss_rules *rules;
    struct ss_rule_error error;
    assert_int_equal(ss_rules_new(&rules), 0);
    for (; *patterns; patterns++)
        assert_int_equal(
            ss_rules_add(rules, SS_ACTION_COLOCATE, (struct ss_span){*patterns, strlen(*patterns)}, &error), 0);
    return rules;
}

static uint64_t
hash_of(const char *key)
{
    struct ss_hasher *hasher;
    uint64_t hash = 0;
    assert_int_equal(ss_hasher_new(&hasher, SS_HASH_XXH64), 0);
    assert_int_equal(ss_hasher_hash(hasher, (struct ss_span){key, strlen(key)}, &hash), 0);
    ss_hasher_free(hasher);
    return hash;
}

static void
add_named(struct distribution *d, const char *name, const char *key, uint64_t series)
{
    struct ss_family_count family = {.name = {name, strlen(name)}, .hash = hash_of(key), .series = series};
    distribution_add_family(d, &family);
}

static void
test_groups(void **state)
{
    struct ss_rules *rules = group_rules((const char *const[]){"g: a", "empty: e", "(x)", "g: b", NULL});
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_sharding *sharding;
    struct distribution d = {0};
    char name[200];
    (void)state;
    settings.rules = rules;
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);

    for (int body = 1; body <= 2; body++) { /* the second one starts from nothing */
        distribution_start(&d, body, sharding);
        assert_int_equal(d.n_groups, 2);
        for (uint64_t i = 0; i < GROUP_MEMBERS + 3; i++) {
            snprintf(name, sizeof(name), "%0*d", i == 5 ? 150 : 2, (int)i);
            add_named(&d, name, "g", 100 * (i * 7 % (GROUP_MEMBERS + 3)));
        }
        add_named(&d, "other", "other", 5000);
        distribution_finish(&d, 0);
    }
    const struct named_group *g = distribution_group(&d, hash_of("g")),
                             *empty = distribution_group(&d, hash_of("empty"));
    assert_string_equal(g->name, "g");
    assert_int_equal(g->families, GROUP_MEMBERS + 3);
    assert_int_equal(g->series, 100 * (GROUP_MEMBERS + 2) * (GROUP_MEMBERS + 3) / 2);
    assert_int_equal(named_group_members(g), GROUP_MEMBERS);
    for (size_t i = 0; i < GROUP_MEMBERS; i++)
        assert_int_equal(g->largest[i].series, 100 * (GROUP_MEMBERS + 2 - i));
    assert_string_equal(g->largest[0].name, "03"); /* 3 * 7 % 11 */
    assert_int_equal(empty->families + empty->series + named_group_members(empty), 0);
    assert_null(distribution_group(&d, hash_of("other")));

    /* A configuration without them, and one with too many. */
    d.when = 0;
    distribution_start(&d, 3, *state);
    assert_int_equal(d.n_groups + d.all_groups, 0);
    distribution_deinit(&d);
    ss_sharding_free(sharding);
    ss_rules_free(rules);
}

static void
test_groups_are_bounded(void **state)
{
    static char texts[DISTRIBUTION_GROUPS_MAX + 3][16];
    const char *patterns[DISTRIBUTION_GROUPS_MAX + 4] = {NULL};
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_sharding *sharding;
    struct distribution d = {0};
    (void)state;
    for (size_t i = 0; i < DISTRIBUTION_GROUPS_MAX + 3; i++) {
        snprintf(texts[i], sizeof(texts[i]), "g%zu: a", i);
        patterns[i] = texts[i];
    }
    struct ss_rules *rules = settings.rules = group_rules(patterns);
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);
    distribution_start(&d, 1, sharding);
    assert_int_equal(d.n_groups, DISTRIBUTION_GROUPS_MAX);
    assert_int_equal(d.all_groups, DISTRIBUTION_GROUPS_MAX + 3);
    assert_non_null(distribution_group(&d, hash_of("g255")));
    assert_null(distribution_group(&d, hash_of("g256")));
    distribution_deinit(&d);
    ss_sharding_free(sharding);
    ss_rules_free(rules);
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
        TEST(totals), TEST(selected_series),    TEST(loads),   TEST(moved), TEST(families_are_bounded),
        TEST(groups), TEST(groups_are_bounded), TEST(balance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
