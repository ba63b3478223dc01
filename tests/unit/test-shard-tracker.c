/* SPDX-License-Identifier: Apache-2.0 */
/* The shard tracker, on the test's own clock: present, missing and unknown shards, learnt intervals, bounds. */
#include "service/telemetry/shard_tracker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const struct tracked_scrape good = {.peer = "10.0.0.1", .ok = true, .outcome = "ok", .series = 7, .bytes = 70};

/* A tracker that starts at 5 s, with an interval of a minute. */
static int
setup(void **state)
{
    static struct shard_tracker tracker;
    shard_tracker_init(&tracker, 5 * SECOND, MINUTE);
    *state = &tracker;
    return 0;
}

static int
teardown(void **state)
{
    shard_tracker_deinit(*state);
    return 0;
}

static void
scrape(struct shard_tracker *tracker, const char *shard, uint32_t count, int64_t now)
{
    struct tracked_scrape s = good;
    s.shard = shard;
    s.count = count;
    shard_tracker_record_scrape(tracker, &s, now);
}

static void
scrape_all(struct shard_tracker *tracker, uint32_t count, uint32_t but, int64_t now)
{
    for (uint32_t i = 0; i < count; i++) {
        char shard[16];
        snprintf(shard, sizeof(shard), "%u", i);
        if (i != but)
            scrape(tracker, shard, count, now);
    }
}

static struct tracked_count *
get_count(struct shard_tracker *tracker, uint32_t count)
{
    for (int i = 0; i < TRACKED_COUNTS; i++)
        if (tracker->counts[i].count == count)
            return &tracker->counts[i];
    return NULL;
}

static void
assert_states(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now, uint32_t present,
              uint32_t missing, uint32_t unknown)
{
    struct shard_state_counts s = shard_tracker_count_states(tracker, c, now);
    assert_int_equal(s.n[SHARD_PRESENT], present);
    assert_int_equal(s.n[SHARD_MISSING], missing);
    assert_int_equal(s.n[SHARD_UNKNOWN], unknown);
}

static void
test_last_scrape(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape(tracker, "3", 80, 10 * SECOND);
    struct tracked_scrape bad = {.shard = "3", .count = 80, .peer = "10.0.0.2", .outcome = "timeout", .reason = "late"};
    shard_tracker_record_scrape(tracker, &bad, 12 * SECOND);

    /* A failed scrape is not the last successful one, but the last that was tried. */
    struct tracked_count *c = get_count(tracker, 80);
    assert_int_equal(c->n_sets, 1);
    assert_string_equal(c->sets[0].name, "3");
    assert_int_equal(c->sets[0].last, 10 * SECOND);
    assert_string_equal(c->sets[0].peer, "10.0.0.1");
    assert_int_equal(c->sets[0].series, 7);
    assert_int_equal(c->sets[0].bytes, 70);
    assert_int_equal(c->sets[0].tried, 12 * SECOND);
    assert_string_equal(c->sets[0].outcome, "timeout");
    assert_int_equal(tracker->last, 10 * SECOND);
    assert_int_equal(tracker->by_other.when, 12 * SECOND);
    assert_string_equal(tracker->by_other.reason, "late");
    assert_string_equal(tracker->by_other.peer, "10.0.0.2");
    assert_int_equal(tracker->by_upstream.when, NEVER_SCRAPED);
    assert_int_equal(tracker->whole.tried, NEVER_SCRAPED);
}

static void
test_whole_body(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape(tracker, NULL, 0, 10 * SECOND);
    assert_int_equal(tracker->whole.last, 10 * SECOND);
    assert_int_equal(tracker->whole.series, 7);
    for (int i = 0; i < TRACKED_COUNTS; i++)
        assert_int_equal(tracker->counts[i].count, 0);
}

static void
test_never_seen_is_unknown_first(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape_all(tracker, 4, 2, 10 * SECOND);
    const struct tracked_count *c = get_count(tracker, 4);
    assert_states(tracker, c, 10 * SECOND, 3, 0, 1);
    assert_states(tracker, c, 10 * SECOND + 3 * MINUTE, 3, 0, 1);
    assert_states(tracker, c, 11 * SECOND + 3 * MINUTE, 0, 4, 0);
    for (int64_t now = 70 * SECOND; now < HOUR; now += MINUTE)
        scrape_all(tracker, 4, 2, now);
    assert_states(tracker, c, HOUR, 3, 1, 0);
    scrape(tracker, "2", 4, HOUR);
    assert_states(tracker, c, HOUR, 4, 0, 0);
}

static void
test_failed_scrapes_do_not_count(void **state)
{
    struct shard_tracker *tracker = *state;
    struct tracked_scrape bad = {.shard = "0", .count = 2, .peer = "p", .outcome = "timeout", .reason = "r"};
    for (int64_t now = 10 * SECOND; now < HOUR; now += MINUTE)
        shard_tracker_record_scrape(tracker, &bad, now);
    assert_states(tracker, get_count(tracker, 2), HOUR, 0, 2, 0);
    assert_false(shard_tracker_count_is_in_use(tracker, get_count(tracker, 2), HOUR));
    /* The last count that was requested is still expected. */
    assert_true(shard_tracker_count_is_expected(tracker, get_count(tracker, 2), HOUR));
}

/* Scrapes shard 0 of 1 every interval for a duration; returns the end. */
static int64_t
scrape_every(struct shard_tracker *tracker, int64_t now, int64_t interval, int64_t duration)
{
    for (int64_t end = now + duration; now < end; now += interval)
        scrape(tracker, "0", 1, now);
    return now;
}

static uint32_t
interval(const struct shard_tracker *tracker)
{
    assert_int_equal(tracker->counts[0].count, 1);
    return shard_tracker_interval(tracker, &tracker->counts[0]);
}

static void
test_interval_is_learnt(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape(tracker, "0", 1, 10 * SECOND);
    assert_int_equal(interval(tracker), MINUTE);
    int64_t now = scrape_every(tracker, 25 * SECOND, 15 * SECOND, 20 * MINUTE);
    assert_in_range(interval(tracker), 15 * SECOND, 18 * SECOND);
    /* A longer one is learnt almost at once. */
    now = scrape_every(tracker, now - 15 * SECOND + 2 * MINUTE, 2 * MINUTE, 6 * MINUTE);
    assert_in_range(interval(tracker), 110 * SECOND, 120 * SECOND);
}

static void
test_a_shard_that_comes_back_is_missed_again(void **state)
{
    struct shard_tracker *tracker = *state;
    int64_t now = scrape_every(tracker, 10 * SECOND, MINUTE, 10 * MINUTE) + 5 * HOUR;
    scrape(tracker, "0", 1, now);
    assert_int_equal(interval(tracker), 2 * MINUTE);
    assert_states(tracker, &tracker->counts[0], now + 6 * MINUTE + SECOND, 0, 1, 0);
}

static void
test_a_burst_changes_little(void **state)
{
    struct shard_tracker *tracker = *state;
    int64_t now = scrape_every(tracker, 10 * SECOND, MINUTE, 10 * MINUTE);
    now = scrape_every(tracker, now, 10, 10 * SECOND);
    assert_in_range(interval(tracker), 50 * SECOND, MINUTE);
}

static void
test_two_servers_in_turn(void **state)
{
    struct shard_tracker *tracker = *state;
    for (int64_t now = 10 * SECOND; now < HOUR; now += MINUTE) {
        scrape(tracker, "0", 1, now);
        scrape(tracker, "0", 1, now + 10 * SECOND);
    }
    assert_in_range(interval(tracker), 45 * SECOND, MINUTE);
}

static void
test_sets(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape(tracker, "8,0,4", 16, 10 * SECOND);
    scrape(tracker, "9-11,15", 16, 10 * SECOND);
    scrape(tracker, "007", 16, 10 * SECOND);
    const struct tracked_count *c = get_count(tracker, 16);
    assert_int_equal(c->n_sets, 3);
    assert_string_equal(c->sets[0].name, "8,0,4");
    assert_int_equal(c->sets[0].n, 3);
    assert_string_equal(c->sets[1].name, "7");
    assert_string_equal(c->sets[2].name, "9-11,15");
    assert_int_equal(c->sets[2].n, 4);
    assert_states(tracker, c, 10 * SECOND, 8, 0, 8);
    assert_int_equal(shard_tracker_state(tracker, c, 10, MINUTE, 10 * SECOND), SHARD_PRESENT);
    assert_int_equal(shard_tracker_state(tracker, c, 12, MINUTE, 10 * SECOND), SHARD_UNKNOWN);
}

static void
test_a_set_that_was_replaced_is_past(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape(tracker, "0-3", 8, 10 * SECOND);
    scrape(tracker, "4-7", 8, 10 * SECOND);
    for (int64_t now = 70 * SECOND; now < HOUR; now += MINUTE)
        scrape(tracker, "0-4", 8, now);
    const struct tracked_count *c = get_count(tracker, 8);
    assert_true(shard_tracker_set_is_past(tracker, c, &c->sets[0], HOUR));
    assert_string_equal(c->sets[0].name, "0-3");
    assert_false(shard_tracker_set_is_past(tracker, c, &c->sets[1], HOUR));
    /* Shards 5 to 7 are missing. 4 is scraped in another set by now, so the set that had it is past. */
    assert_true(shard_tracker_set_is_past(tracker, c, &c->sets[2], HOUR));
    assert_states(tracker, c, HOUR, 5, 3, 0);
}

static void
test_long_names_differ(void **state)
{
    struct shard_tracker *tracker = *state;
    char a[400] = "0", b[400];
    for (int i = 1; i < 60; i++)
        sprintf(a + strlen(a), ",%d", i);
    snprintf(b, sizeof(b), "%s,61", a);
    scrape(tracker, a, 80, 10 * SECOND);
    scrape(tracker, b, 80, 10 * SECOND);
    scrape(tracker, a, 80, 70 * SECOND);
    const struct tracked_count *c = get_count(tracker, 80);
    assert_int_equal(c->n_sets, 2);
    assert_string_not_equal(c->sets[0].name, c->sets[1].name);
    assert_int_equal(c->sets[0].n + c->sets[1].n, 60 + 61);
    assert_states(tracker, c, 70 * SECOND, 61, 0, 19);
}

static void
test_counts_in_use(void **state)
{
    struct shard_tracker *tracker = *state;
    for (int64_t now = 10 * SECOND; now < 10 * MINUTE; now += MINUTE)
        scrape_all(tracker, 2, 2, now);
    scrape(tracker, "0", 3, 10 * MINUTE);
    assert_true(shard_tracker_count_is_in_use(tracker, get_count(tracker, 2), 10 * MINUTE));
    assert_true(shard_tracker_count_is_in_use(tracker, get_count(tracker, 3), 10 * MINUTE));
    /* All scrapers have moved: the old count is no longer expected. */
    for (int64_t now = 10 * MINUTE; now < 20 * MINUTE; now += MINUTE)
        scrape_all(tracker, 3, 3, now);
    assert_false(shard_tracker_count_is_in_use(tracker, get_count(tracker, 2), 20 * MINUTE));
    assert_false(shard_tracker_count_is_expected(tracker, get_count(tracker, 2), 20 * MINUTE));
    assert_true(shard_tracker_count_is_expected(tracker, get_count(tracker, 3), 20 * MINUTE));
    /* All scrapers are gone: the last count is still expected. */
    assert_false(shard_tracker_count_is_in_use(tracker, get_count(tracker, 3), HOUR));
    assert_true(shard_tracker_count_is_expected(tracker, get_count(tracker, 3), HOUR));
    assert_false(shard_tracker_count_is_expected(tracker, get_count(tracker, 2), HOUR));
    assert_states(tracker, get_count(tracker, 3), HOUR, 0, 3, 0);
}

static void
test_counts_are_bounded_and_strangers_evict_no_scraper(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape_all(tracker, 80, 80, 10 * SECOND);
    for (uint32_t count = 100; count < 10100; count++)
        scrape(tracker, "0", count, 11 * SECOND);
    assert_states(tracker, get_count(tracker, 80), 12 * SECOND, 80, 0, 0);
    assert_non_null(get_count(tracker, 10099));
    assert_int_equal(tracker->counts_dropped, 10000 - TRACKED_COUNTS + 1);
    /* But an idle count makes room, however many scrapes it had. */
    scrape_all(tracker, 3, 3, HOUR);
    scrape_all(tracker, 5, 5, HOUR);
    scrape_all(tracker, 7, 7, HOUR);
    scrape_all(tracker, 9, 9, HOUR);
    assert_null(get_count(tracker, 80));
}

static void
test_shards_are_bounded(void **state)
{
    struct shard_tracker *tracker = *state;
    uint32_t shards = 0;
    for (uint32_t count = 65536; count > 65530; count--)
        scrape(tracker, "0-65529", count, 10 * SECOND);
    for (int i = 0; i < TRACKED_COUNTS; i++)
        shards += tracker->counts[i].count;
    assert_in_range(shards, 65531, TRACKED_SHARDS);
    assert_states(tracker, get_count(tracker, 65531), 10 * SECOND, 65530, 0, 1);
}

static void
test_sets_are_bounded(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape_all(tracker, 2000, 2000, 10 * SECOND);
    const struct tracked_count *c = get_count(tracker, 2000);
    assert_int_equal(c->n_sets, TRACKED_SETS);
    assert_int_equal(tracker->sets_dropped, 2000 - TRACKED_SETS);
    /* All shards count as scraped nevertheless. */
    assert_states(tracker, c, 10 * SECOND, 2000, 0, 0);
}

static void
test_past_sets_make_room(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape_all(tracker, 2000, 2000, 10 * SECOND);
    scrape(tracker, "0-1999", 2000, HOUR);
    const struct tracked_count *c = get_count(tracker, 2000);
    assert_int_equal(tracker->sets_dropped, 2000 - TRACKED_SETS);
    assert_int_equal(c->n_sets, 1);
    assert_string_equal(c->sets[0].name, "0-1999");
}

static void
test_families(void **state)
{
    struct shard_tracker *tracker = *state;
    char longest[300];
    memset(longest, 'x', sizeof(longest));
    struct ss_family_count families[TRACKED_FAMILIES + 2] = {
        {.name = {"ab", 1}, .series = 3, .bytes = 30},
        {.name = {longest, sizeof(longest)}, .series = 2, .bytes = 20},
    };
    shard_tracker_record_families(tracker, families, TRACKED_FAMILIES + 2);
    assert_int_equal(tracker->n_families, TRACKED_FAMILIES);
    assert_string_equal(tracker->families[0].name, "a");
    assert_int_equal(tracker->families[0].bytes, 30);
    assert_int_equal(strlen(tracker->families[1].name), sizeof(tracker->families[1].name) - 1);
    shard_tracker_record_families(tracker, families, 1);
    assert_int_equal(tracker->n_families, 1);
}

/* Reshards. */

/* A scrape while a reshard is announced: the count in force decides. */
static void
scrape_in_reshard(struct shard_tracker *tracker, const char *shard, uint32_t count, int64_t now)
{
    struct tracked_scrape s = good;
    s.shard = shard;
    s.count = count;
    s.in_force = shard_tracker_count_in_force(tracker, count);
    shard_tracker_record_scrape(tracker, &s, now);
}

/* The servers first to last scrape. */
static void
servers_scrape(struct shard_tracker *tracker, uint32_t first, uint32_t last, uint32_t count, int64_t now)
{
    for (uint32_t i = first; i <= last; i++) {
        char shard[16];
        snprintf(shard, sizeof(shard), "%u", i);
        scrape_in_reshard(tracker, shard, count, now);
    }
}

static void
test_no_reshard(void **state)
{
    struct shard_tracker *tracker = *state;
    scrape_all(tracker, 3, 3, 10 * SECOND);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 3);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 5);
    assert_true(shard_tracker_is_in_force(tracker, get_count(tracker, 3)));
}

static void
test_reshard_to_more(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_scrape(tracker, 0, 2, 3, 10 * SECOND);
    shard_tracker_announce(tracker, 3, 5);
    servers_scrape(tracker, 0, 2, 3, MINUTE);
    servers_scrape(tracker, 3, 4, 5, MINUTE);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 3);
    /* One by one; nothing of the old count is missing meanwhile, and nothing of the new one. */
    for (uint32_t i = 0; i < 3; i++) {
        int64_t now = (2 + i) * MINUTE;
        servers_scrape(tracker, 0, i, 5, now);
        if (i < 2)
            servers_scrape(tracker, i + 1, 2, 3, now);
        servers_scrape(tracker, 3, 4, 5, now);
        assert_false(tracker->reshard.switched);
        assert_states(tracker, get_count(tracker, 3), now, 3, 0, 0);
        assert_int_equal(shard_tracker_count_states(tracker, get_count(tracker, 5), now).n[SHARD_MISSING], 0);
        assert_false(shard_tracker_is_in_force(tracker, get_count(tracker, 5)));
    }
    /* The last server's second scrape with the new count. */
    servers_scrape(tracker, 0, 1, 5, 5 * MINUTE);
    assert_false(tracker->reshard.switched);
    servers_scrape(tracker, 2, 4, 5, 5 * MINUTE);
    assert_true(tracker->reshard.switched);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 5);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 5);
    servers_scrape(tracker, 0, 4, 5, 6 * MINUTE);
    assert_states(tracker, get_count(tracker, 5), 6 * MINUTE, 5, 0, 0);
    /* A new server that dies is missing; the old count does not come back. */
    for (int64_t now = 7 * MINUTE; now < 12 * MINUTE; now += MINUTE)
        servers_scrape(tracker, 0, 3, 5, now);
    assert_true(tracker->reshard.switched);
    assert_states(tracker, get_count(tracker, 5), 11 * MINUTE, 4, 1, 0);
    assert_null(get_count(tracker, 3));
    /* The same announcement again, as by another reload, changes nothing; its end does. */
    shard_tracker_announce(tracker, 3, 5);
    assert_true(tracker->reshard.switched);
    shard_tracker_announce(tracker, 5, 0);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 3);
}

/* It was requested before the switch, and ends after it. */
static void
test_scrape_in_flight_at_the_switch(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_scrape(tracker, 0, 1, 2, 10 * SECOND);
    shard_tracker_announce(tracker, 2, 3);
    struct tracked_scrape late = good;
    late.shard = "0";
    late.count = 3;
    late.in_force = shard_tracker_count_in_force(tracker, 3);
    assert_int_equal(late.in_force, 2);
    servers_scrape(tracker, 0, 2, 3, MINUTE);
    servers_scrape(tracker, 0, 2, 3, 2 * MINUTE);
    assert_true(tracker->reshard.switched);
    shard_tracker_record_scrape(tracker, &late, 2 * MINUTE + SECOND);
    assert_null(get_count(tracker, 2));
}

static void
test_reshard_to_fewer(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_scrape(tracker, 0, 4, 5, 10 * SECOND);
    shard_tracker_announce(tracker, 5, 3);
    /* The servers that are to go may name either count, and get their shard until all others have changed. */
    servers_scrape(tracker, 3, 3, 5, MINUTE);
    servers_scrape(tracker, 4, 4, 3, MINUTE);
    servers_scrape(tracker, 0, 2, 3, MINUTE);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 5);
    assert_states(tracker, get_count(tracker, 5), MINUTE, 5, 0, 0);
    servers_scrape(tracker, 0, 4, 3, 2 * MINUTE);
    assert_true(tracker->reshard.switched);
    servers_scrape(tracker, 0, 4, 3, 3 * MINUTE);
    assert_states(tracker, get_count(tracker, 3), 3 * MINUTE, 3, 0, 0);
    assert_int_equal(get_count(tracker, 3)->n_sets, 3); /* servers 3 and 4 have nothing any more */
}

/* All shards requested once, by hand, is no fleet of servers. */
static void
test_one_round_moves_nothing(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_scrape(tracker, 0, 2, 3, 10 * SECOND);
    shard_tracker_announce(tracker, 3, 5);
    servers_scrape(tracker, 0, 4, 5, 20 * SECOND);
    assert_false(tracker->reshard.switched);
    /* Nor are rounds within half of an interval, or much later. */
    servers_scrape(tracker, 0, 4, 5, 21 * SECOND);
    servers_scrape(tracker, 0, 4, 5, 50 * SECOND - 100);
    assert_false(tracker->reshard.switched);
    servers_scrape(tracker, 0, 4, 5, 10 * MINUTE);
    servers_scrape(tracker, 0, 4, 5, 30 * MINUTE);
    assert_false(tracker->reshard.switched);
    /* Half of an interval later they are, but the servers bring their count back. */
    servers_scrape(tracker, 0, 4, 5, 30 * MINUTE + 30 * SECOND);
    assert_true(tracker->reshard.switched);
    for (int64_t now = 31 * MINUTE; now < 45 * MINUTE; now += MINUTE)
        servers_scrape(tracker, 0, 2, 3, now);
    assert_false(tracker->reshard.switched);
    servers_scrape(tracker, 0, 4, 5, 46 * MINUTE);
    assert_false(tracker->reshard.switched);
}

/* Servers with another interval than the assumed one switch too. */
static void
test_reshard_of_other_intervals(void **state)
{
    struct shard_tracker *tracker = *state;
    static const struct {
        int64_t interval;
        int rounds; /* until the switch */
    } cases[] = {{SECOND, 31}, {20 * SECOND, 3}, {29 * SECOND, 3}, {30 * SECOND, 2}, {3 * MINUTE, 2}, {5 * MINUTE, 3}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        shard_tracker_deinit(tracker);
        shard_tracker_init(tracker, 5 * SECOND, MINUTE);
        shard_tracker_announce(tracker, 3, 5);
        for (int round = 1; round <= cases[i].rounds; round++) {
            assert_false(tracker->reshard.switched);
            servers_scrape(tracker, 0, 4, 5, round * cases[i].interval + 5 * SECOND);
        }
        assert_true(tracker->reshard.switched);
    }
}

/* One round with the old count, while a new server is away, does not bring it back. */
static void
test_one_round_brings_nothing_back(void **state)
{
    struct shard_tracker *tracker = *state;
    shard_tracker_announce(tracker, 3, 5);
    for (int64_t now = MINUTE; now < 3 * MINUTE; now += MINUTE)
        servers_scrape(tracker, 0, 4, 5, now);
    for (int64_t now = 3 * MINUTE; now < 9 * MINUTE; now += MINUTE)
        servers_scrape(tracker, 0, 3, 5, now);
    assert_true(tracker->reshard.switched);
    servers_scrape(tracker, 0, 2, 3, 9 * MINUTE);
    servers_scrape(tracker, 0, 2, 3, 9 * MINUTE + SECOND);
    assert_true(tracker->reshard.switched);
    servers_scrape(tracker, 0, 2, 3, 10 * MINUTE);
    assert_false(tracker->reshard.switched);
}

/* A fresh tracker does not know how far the servers are: the smaller count is whole in any case. */
static void
test_reshard_after_a_restart(void **state)
{
    struct shard_tracker *tracker = *state;
    shard_tracker_announce(tracker, 3, 5);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 3);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 3);
    shard_tracker_announce(tracker, 5, 3);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 3);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 5);
    servers_scrape(tracker, 4, 4, 5, 10 * SECOND);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 5);
}

/* All servers name the new count, but those that it needs besides have not come. */
static void
servers_wait_for_5(struct shard_tracker *tracker)
{
    servers_scrape(tracker, 0, 2, 3, 10 * SECOND);
    shard_tracker_announce(tracker, 3, 5);
    servers_scrape(tracker, 0, 2, 5, MINUTE);
    servers_scrape(tracker, 0, 2, 5, 2 * MINUTE);
    assert_false(tracker->reshard.switched);
}

static void
test_a_reshard_is_taken_back_before_the_switch(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_wait_for_5(tracker);
    shard_tracker_announce(tracker, 5, 3);
    for (int64_t now = 3 * MINUTE; now < 10 * MINUTE; now += MINUTE) {
        assert_int_equal(shard_tracker_count_in_force(tracker, 3), 3);
        assert_int_equal(shard_tracker_count_in_force(tracker, 5), 3);
        servers_scrape(tracker, 0, 2, now < 6 * MINUTE ? 5 : 3, now);
        assert_states(tracker, get_count(tracker, 3), now, 3, 0, 0);
    }
    assert_true(tracker->reshard.switched);
}

static void
test_a_reshard_is_taken_back_after_the_switch(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_wait_for_5(tracker);
    servers_scrape(tracker, 0, 4, 5, 3 * MINUTE);
    servers_scrape(tracker, 0, 4, 5, 4 * MINUTE);
    assert_true(tracker->reshard.switched);
    shard_tracker_announce(tracker, 5, 3);
    servers_scrape(tracker, 0, 2, 3, 5 * MINUTE);
    servers_scrape(tracker, 3, 4, 5, 5 * MINUTE);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 5);
    servers_scrape(tracker, 0, 2, 3, 6 * MINUTE);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 3);
}

/* An announcement moves nothing, unless the count in force is none of its two. */
static void
test_the_next_announcement(void **state)
{
    static const struct {
        uint32_t from, to, in_force, left;
    } next[] = {{3, 5, 3, 0}, {3, 0, 3, 0}, {3, 7, 3, 0}, {7, 3, 3, 0}, {5, 3, 3, 0}, {5, 7, 5, 3}, {5, 0, 5, 3}};
    for (size_t i = 0; i < sizeof(next) / sizeof(next[0]); i++) {
        setup(state);
        struct shard_tracker *tracker = *state;
        servers_wait_for_5(tracker);
        assert_int_equal(shard_tracker_announce(tracker, next[i].from, next[i].to), next[i].left);
        assert_int_equal(shard_tracker_count_in_force(tracker, next[i].from), next[i].in_force);
        teardown(state);
    }
}

/* 5 was known once; 3 has been the only count since. */
static void
test_announced_the_wrong_way_round(void **state)
{
    struct shard_tracker *tracker = *state;
    servers_wait_for_5(tracker);
    shard_tracker_announce(tracker, 3, 0);
    servers_scrape(tracker, 0, 2, 3, 3 * MINUTE);
    shard_tracker_announce(tracker, 5, 3);
    assert_int_equal(shard_tracker_count_in_force(tracker, 3), 3);
    assert_int_equal(shard_tracker_count_in_force(tracker, 5), 3);
    servers_scrape(tracker, 0, 2, 3, 4 * MINUTE);
    assert_states(tracker, get_count(tracker, 3), 4 * MINUTE, 3, 0, 0);
}

static void
test_sets_in_a_reshard(void **state)
{
    struct shard_tracker *tracker = *state;
    shard_tracker_announce(tracker, 4, 8);
    scrape_in_reshard(tracker, "6,0-1,4-7", 8, 10 * SECOND);
    assert_states(tracker, get_count(tracker, 4), 10 * SECOND, 2, 0, 2);
    assert_states(tracker, get_count(tracker, 8), 10 * SECOND, 6, 0, 2);
    scrape_in_reshard(tracker, "4-7", 8, 10 * SECOND);
    scrape_in_reshard(tracker, "2-7", 8, 10 * SECOND);
    assert_states(tracker, get_count(tracker, 4), 10 * SECOND, 4, 0, 0);
    assert_int_equal(get_count(tracker, 4)->n_sets, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(last_scrape),
        TEST(whole_body),
        TEST(never_seen_is_unknown_first),
        TEST(failed_scrapes_do_not_count),
        TEST(interval_is_learnt),
        TEST(a_shard_that_comes_back_is_missed_again),
        TEST(a_burst_changes_little),
        TEST(two_servers_in_turn),
        TEST(sets),
        TEST(a_set_that_was_replaced_is_past),
        TEST(long_names_differ),
        TEST(counts_in_use),
        TEST(counts_are_bounded_and_strangers_evict_no_scraper),
        TEST(shards_are_bounded),
        TEST(sets_are_bounded),
        TEST(past_sets_make_room),
        TEST(families),
        TEST(no_reshard),
        TEST(reshard_to_more),
        TEST(scrape_in_flight_at_the_switch),
        TEST(reshard_to_fewer),
        TEST(one_round_moves_nothing),
        TEST(reshard_of_other_intervals),
        TEST(one_round_brings_nothing_back),
        TEST(reshard_after_a_restart),
        TEST(a_reshard_is_taken_back_before_the_switch),
        TEST(a_reshard_is_taken_back_after_the_switch),
        TEST(the_next_announcement),
        TEST(announced_the_wrong_way_round),
        TEST(sets_in_a_reshard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
