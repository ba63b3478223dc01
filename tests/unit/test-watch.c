/* SPDX-License-Identifier: Apache-2.0 */
/* The shard watch, on a clock of the test's own: what is present, missing and unknown, what is learnt, what is bounded.
 */
#include "service/telemetry/shard_tracker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const struct tracked_scrape good = {.peer = "10.0.0.1", .ok = true, .outcome = "ok", .series = 7, .bytes = 70};

/* A watch that begins at 5 s, with an interval of a minute. */
static int
setup(void **state)
{
    static struct shard_tracker w;
    shard_tracker_init(&w, 5 * SECOND, MINUTE);
    *state = &w;
    return 0;
}

static int
teardown(void **state)
{
    shard_tracker_deinit(*state);
    return 0;
}

static void
scrape(struct shard_tracker *w, const char *shard, uint32_t count, int64_t now)
{
    struct tracked_scrape s = good;
    s.shard = shard;
    s.count = count;
    shard_tracker_record_scrape(w, &s, now);
}

static void
scrape_all(struct shard_tracker *w, uint32_t count, uint32_t but, int64_t now)
{
    for (uint32_t i = 0; i < count; i++) {
        char shard[16];
        snprintf(shard, sizeof(shard), "%u", i);
        if (i != but)
            scrape(w, shard, count, now);
    }
}

static struct tracked_count *
get_count(struct shard_tracker *w, uint32_t count)
{
    for (int i = 0; i < TRACKED_COUNTS; i++)
        if (w->counts[i].count == count)
            return &w->counts[i];
    return NULL;
}

static void
assert_states(const struct shard_tracker *w, const struct tracked_count *c, int64_t now, uint32_t present,
              uint32_t missing, uint32_t unknown)
{
    struct shard_state_counts s = shard_tracker_count_states(w, c, now);
    assert_int_equal(s.n[SHARD_PRESENT], present);
    assert_int_equal(s.n[SHARD_MISSING], missing);
    assert_int_equal(s.n[SHARD_UNKNOWN], unknown);
}

static void
test_last_scrape(void **state)
{
    struct shard_tracker *w = *state;
    scrape(w, "3", 80, 10 * SECOND);
    struct tracked_scrape bad = {.shard = "3", .count = 80, .peer = "10.0.0.2", .outcome = "timeout", .reason = "late"};
    shard_tracker_record_scrape(w, &bad, 12 * SECOND);

    /* What failed is no last scrape, but it is the last that was tried. */
    struct tracked_count *c = get_count(w, 80);
    assert_int_equal(c->n_sets, 1);
    assert_string_equal(c->sets[0].name, "3");
    assert_int_equal(c->sets[0].last, 10 * SECOND);
    assert_string_equal(c->sets[0].peer, "10.0.0.1");
    assert_int_equal(c->sets[0].series, 7);
    assert_int_equal(c->sets[0].bytes, 70);
    assert_int_equal(c->sets[0].tried, 12 * SECOND);
    assert_string_equal(c->sets[0].outcome, "timeout");
    assert_int_equal(w->last, 10 * SECOND);
    assert_int_equal(w->by_others.when, 12 * SECOND);
    assert_string_equal(w->by_others.reason, "late");
    assert_string_equal(w->by_others.peer, "10.0.0.2");
    assert_int_equal(w->by_service.when, NEVER_SCRAPED);
    assert_int_equal(w->whole.tried, NEVER_SCRAPED);
}

static void
test_whole_body(void **state)
{
    struct shard_tracker *w = *state;
    scrape(w, NULL, 0, 10 * SECOND);
    assert_int_equal(w->whole.last, 10 * SECOND);
    assert_int_equal(w->whole.series, 7);
    for (int i = 0; i < TRACKED_COUNTS; i++)
        assert_int_equal(w->counts[i].count, 0);
}

static void
test_never_seen_is_unknown_first(void **state)
{
    struct shard_tracker *w = *state;
    scrape_all(w, 4, 2, 10 * SECOND);
    const struct tracked_count *c = get_count(w, 4);
    assert_states(w, c, 10 * SECOND, 3, 0, 1);
    assert_states(w, c, 10 * SECOND + 3 * MINUTE, 3, 0, 1);
    assert_states(w, c, 11 * SECOND + 3 * MINUTE, 0, 4, 0);
    for (int64_t now = 70 * SECOND; now < HOUR; now += MINUTE)
        scrape_all(w, 4, 2, now);
    assert_states(w, c, HOUR, 3, 1, 0);
    scrape(w, "2", 4, HOUR);
    assert_states(w, c, HOUR, 4, 0, 0);
}

static void
test_failed_scrapes_are_none(void **state)
{
    struct shard_tracker *w = *state;
    struct tracked_scrape bad = {.shard = "0", .count = 2, .peer = "p", .outcome = "timeout", .reason = "r"};
    for (int64_t now = 10 * SECOND; now < HOUR; now += MINUTE)
        shard_tracker_record_scrape(w, &bad, now);
    assert_states(w, get_count(w, 2), HOUR, 0, 2, 0);
    assert_false(shard_tracker_count_is_in_use(w, get_count(w, 2), HOUR));
    /* The last count that was asked for is what should be there. */
    assert_true(shard_tracker_count_is_expected(w, get_count(w, 2), HOUR));
}

/* Scrapes shard 0 of 1 every interval for that long; returns the end. */
static int64_t
scrape_every(struct shard_tracker *w, int64_t now, int64_t interval, int64_t duration)
{
    for (int64_t end = now + duration; now < end; now += interval)
        scrape(w, "0", 1, now);
    return now;
}

static uint32_t
interval(const struct shard_tracker *w)
{
    assert_int_equal(w->counts[0].count, 1);
    return shard_tracker_interval(w, &w->counts[0]);
}

static void
test_interval_is_learnt(void **state)
{
    struct shard_tracker *w = *state;
    scrape(w, "0", 1, 10 * SECOND);
    assert_int_equal(interval(w), MINUTE);
    int64_t now = scrape_every(w, 25 * SECOND, 15 * SECOND, 20 * MINUTE);
    assert_in_range(interval(w), 15 * SECOND, 18 * SECOND);
    /* A longer one is believed at once, or nearly. */
    now = scrape_every(w, now - 15 * SECOND + 2 * MINUTE, 2 * MINUTE, 6 * MINUTE);
    assert_in_range(interval(w), 110 * SECOND, 120 * SECOND);
}

static void
test_a_shard_that_comes_back_is_missed_again(void **state)
{
    struct shard_tracker *w = *state;
    int64_t now = scrape_every(w, 10 * SECOND, MINUTE, 10 * MINUTE) + 5 * HOUR;
    scrape(w, "0", 1, now);
    assert_int_equal(interval(w), 2 * MINUTE);
    assert_states(w, &w->counts[0], now + 6 * MINUTE + SECOND, 0, 1, 0);
}

static void
test_a_burst_changes_little(void **state)
{
    struct shard_tracker *w = *state;
    int64_t now = scrape_every(w, 10 * SECOND, MINUTE, 10 * MINUTE);
    now = scrape_every(w, now, 10, 10 * SECOND);
    assert_in_range(interval(w), 50 * SECOND, MINUTE);
}

static void
test_two_servers_in_turn(void **state)
{
    struct shard_tracker *w = *state;
    for (int64_t now = 10 * SECOND; now < HOUR; now += MINUTE) {
        scrape(w, "0", 1, now);
        scrape(w, "0", 1, now + 10 * SECOND);
    }
    assert_in_range(interval(w), 45 * SECOND, MINUTE);
}

static void
test_sets(void **state)
{
    struct shard_tracker *w = *state;
    scrape(w, "8,0,4", 16, 10 * SECOND);
    scrape(w, "9-11,15", 16, 10 * SECOND);
    scrape(w, "007", 16, 10 * SECOND);
    const struct tracked_count *c = get_count(w, 16);
    assert_int_equal(c->n_sets, 3);
    assert_string_equal(c->sets[0].name, "8,0,4");
    assert_int_equal(c->sets[0].n, 3);
    assert_string_equal(c->sets[1].name, "7");
    assert_string_equal(c->sets[2].name, "9-11,15");
    assert_int_equal(c->sets[2].n, 4);
    assert_states(w, c, 10 * SECOND, 8, 0, 8);
    assert_int_equal(shard_tracker_state(w, c, 10, MINUTE, 10 * SECOND), SHARD_PRESENT);
    assert_int_equal(shard_tracker_state(w, c, 12, MINUTE, 10 * SECOND), SHARD_UNKNOWN);
}

static void
test_a_set_that_was_cut_anew_is_past(void **state)
{
    struct shard_tracker *w = *state;
    scrape(w, "0-3", 8, 10 * SECOND);
    scrape(w, "4-7", 8, 10 * SECOND);
    for (int64_t now = 70 * SECOND; now < HOUR; now += MINUTE)
        scrape(w, "0-4", 8, now);
    const struct tracked_count *c = get_count(w, 8);
    assert_true(shard_tracker_set_is_past(w, c, &c->sets[0], HOUR));
    assert_string_equal(c->sets[0].name, "0-3");
    assert_false(shard_tracker_set_is_past(w, c, &c->sets[1], HOUR));
    /* Shards 5 to 7 are missing: who had them stays in view. 4 has a new owner, so the set is past. */
    assert_true(shard_tracker_set_is_past(w, c, &c->sets[2], HOUR));
    assert_states(w, c, HOUR, 5, 3, 0);
}

static void
test_long_names_differ(void **state)
{
    struct shard_tracker *w = *state;
    char a[400] = "0", b[400];
    for (int i = 1; i < 60; i++)
        sprintf(a + strlen(a), ",%d", i);
    snprintf(b, sizeof(b), "%s,61", a);
    scrape(w, a, 80, 10 * SECOND);
    scrape(w, b, 80, 10 * SECOND);
    scrape(w, a, 80, 70 * SECOND);
    const struct tracked_count *c = get_count(w, 80);
    assert_int_equal(c->n_sets, 2);
    assert_string_not_equal(c->sets[0].name, c->sets[1].name);
    assert_int_equal(c->sets[0].n + c->sets[1].n, 60 + 61);
    assert_states(w, c, 70 * SECOND, 61, 0, 19);
}

static void
test_counts_in_use(void **state)
{
    struct shard_tracker *w = *state;
    for (int64_t now = 10 * SECOND; now < 10 * MINUTE; now += MINUTE)
        scrape_all(w, 2, 2, now);
    scrape(w, "0", 3, 10 * MINUTE);
    assert_true(shard_tracker_count_is_in_use(w, get_count(w, 2), 10 * MINUTE));
    assert_true(shard_tracker_count_is_in_use(w, get_count(w, 3), 10 * MINUTE));
    /* Everybody has moved: the old count is no longer to be there. */
    for (int64_t now = 10 * MINUTE; now < 20 * MINUTE; now += MINUTE)
        scrape_all(w, 3, 3, now);
    assert_false(shard_tracker_count_is_in_use(w, get_count(w, 2), 20 * MINUTE));
    assert_false(shard_tracker_count_is_expected(w, get_count(w, 2), 20 * MINUTE));
    assert_true(shard_tracker_count_is_expected(w, get_count(w, 3), 20 * MINUTE));
    /* Everybody has gone: the last one is still to be there. */
    assert_false(shard_tracker_count_is_in_use(w, get_count(w, 3), HOUR));
    assert_true(shard_tracker_count_is_expected(w, get_count(w, 3), HOUR));
    assert_false(shard_tracker_count_is_expected(w, get_count(w, 2), HOUR));
    assert_states(w, get_count(w, 3), HOUR, 0, 3, 0);
}

static void
test_counts_are_bounded_and_strangers_push_out_nobody(void **state)
{
    struct shard_tracker *w = *state;
    scrape_all(w, 80, 80, 10 * SECOND);
    for (uint32_t count = 100; count < 10100; count++)
        scrape(w, "0", count, 11 * SECOND);
    assert_states(w, get_count(w, 80), 12 * SECOND, 80, 0, 0);
    assert_non_null(get_count(w, 10099));
    assert_int_equal(w->counts_left_out, 10000 - TRACKED_COUNTS + 1);
    /* But who is idle makes room, however often he came. */
    scrape_all(w, 3, 3, HOUR);
    scrape_all(w, 5, 5, HOUR);
    scrape_all(w, 7, 7, HOUR);
    scrape_all(w, 9, 9, HOUR);
    assert_null(get_count(w, 80));
}

static void
test_shards_are_bounded(void **state)
{
    struct shard_tracker *w = *state;
    uint32_t shards = 0;
    for (uint32_t count = 65536; count > 65530; count--)
        scrape(w, "0-65529", count, 10 * SECOND);
    for (int i = 0; i < TRACKED_COUNTS; i++)
        shards += w->counts[i].count;
    assert_in_range(shards, 65531, TRACKED_SHARDS);
    assert_states(w, get_count(w, 65531), 10 * SECOND, 65530, 0, 1);
}

static void
test_sets_are_bounded(void **state)
{
    struct shard_tracker *w = *state;
    scrape_all(w, 2000, 2000, 10 * SECOND);
    const struct tracked_count *c = get_count(w, 2000);
    assert_int_equal(c->n_sets, TRACKED_SETS);
    assert_int_equal(w->sets_left_out, 2000 - TRACKED_SETS);
    /* The shards are all seen nevertheless. */
    assert_states(w, c, 10 * SECOND, 2000, 0, 0);
}

static void
test_past_sets_make_room(void **state)
{
    struct shard_tracker *w = *state;
    scrape_all(w, 2000, 2000, 10 * SECOND);
    scrape(w, "0-1999", 2000, HOUR);
    const struct tracked_count *c = get_count(w, 2000);
    assert_int_equal(w->sets_left_out, 2000 - TRACKED_SETS);
    assert_int_equal(c->n_sets, 1);
    assert_string_equal(c->sets[0].name, "0-1999");
}

static void
test_families(void **state)
{
    struct shard_tracker *w = *state;
    char longest[300];
    memset(longest, 'x', sizeof(longest));
    struct ss_family_count families[TRACKED_FAMILIES + 2] = {
        {.name = {"ab", 1}, .series = 3, .bytes = 30},
        {.name = {longest, sizeof(longest)}, .series = 2, .bytes = 20},
    };
    shard_tracker_record_families(w, families, TRACKED_FAMILIES + 2);
    assert_int_equal(w->n_families, TRACKED_FAMILIES);
    assert_string_equal(w->families[0].name, "a");
    assert_int_equal(w->families[0].bytes, 30);
    assert_int_equal(strlen(w->families[1].name), sizeof(w->families[1].name) - 1);
    shard_tracker_record_families(w, families, 1);
    assert_int_equal(w->n_families, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(last_scrape),
        TEST(whole_body),
        TEST(never_seen_is_unknown_first),
        TEST(failed_scrapes_are_none),
        TEST(interval_is_learnt),
        TEST(a_shard_that_comes_back_is_missed_again),
        TEST(a_burst_changes_little),
        TEST(two_servers_in_turn),
        TEST(sets),
        TEST(a_set_that_was_cut_anew_is_past),
        TEST(long_names_differ),
        TEST(counts_in_use),
        TEST(counts_are_bounded_and_strangers_push_out_nobody),
        TEST(shards_are_bounded),
        TEST(sets_are_bounded),
        TEST(past_sets_make_room),
        TEST(families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
