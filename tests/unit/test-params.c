/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a scrape: what of it is ours, what is passed on byte for byte, and what is rejected, with the reason. */
#include "proxy/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#define ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct params_names names = {"shard", "shard_count", false, 0, 0};

static void
test_shards(void **state)
{
    static const struct {
        const char *query, *shard, *rest;
        uint32_t count;
    } rows[] = {
        {"shard=3&shard_count=80", "3", NULL, 80},
        {"shard_count=80&shard=3", "3", NULL, 80},
        {"shard=0%2C4&shard_count=8", "0,4", NULL, 8},
        {"sh%61rd=0-3&shard%5Fcount=%38", "0-3", NULL, 8},
        {"a=1&shard=3&b=%32&shard_count=80&c", "3", "a=1&b=%32&c", 80},
        {"shards=1&shard=3&shard_count=80&Shard=2", "3", "shards=1&Shard=2", 80},
        {"&shard=3&&shard_count=80&", "3", NULL, 80},
        {"a=%zz&%=1&shard=3&shard_count=80", "3", "a=%zz&%=1", 80},
        {"a+b=c+d&shard=3&shard_count=80", "3", "a+b=c+d", 80},
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct params params;
        struct params_error error;
        assert_int_equal(params_parse(&params, rows[i].query, &names, &error), 0);
        assert_non_null(params.shards);
        assert_int_equal(ss_shards_count(params.shards), rows[i].count);
        assert_string_equal(params.shard, rows[i].shard);
        assert_string_equal(params.query ? params.query : "none", rows[i].rest ? rows[i].rest : "none");
        params_deinit(&params);
    }
}

static void
test_whole_body(void **state)
{
    static const struct {
        const char *query, *rest;
    } rows[] = {
        {NULL, NULL}, {"", NULL}, {"&&", NULL}, {"a=b", "a=b"}, {"SHARD=1", "SHARD=1"}, {"sha%72=1", "sha%72=1"}};
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct params params;
        struct params_error error;
        assert_int_equal(params_parse(&params, rows[i].query, &names, &error), 0);
        assert_null(params.shards);
        assert_null(params.shard);
        assert_string_equal(params.query ? params.query : "none", rows[i].rest ? rows[i].rest : "none");
        params_deinit(&params);
    }
}

static void
test_reasons(void **state)
{
    static const struct {
        const char *query, *reason;
    } rows[] = {
        {"shard=3", "shard is set without shard_count; expected both or neither, such as shard=3&shard_count=80"},
        {"shard_count=8", "shard_count is set without shard; expected both or neither, such as shard=3&shard_count=80"},
        {"shard=1&shard=1&shard_count=8", "duplicate parameter shard; expected it once, such as shard=0,4,8"},
        {"shard=1&shard_count=8&shard%5fcount=8",
         "duplicate parameter shard_count; expected it once, such as shard_count=80"},
        {"shard=%zz&shard_count=8", "shard has an invalid percent-encoding; expected %XX, such as %2C for a comma"},
        {"shard=1&shard_count=8%",
         "shard_count has an invalid percent-encoding; expected %XX, such as %2C for a comma"},
        {"a=b c", "the query contains a space or control character; percent-encode it"},
        {"a=\x7f", "the query contains a space or control character; percent-encode it"},
    };
    /* The rest of the reason is the core's. */
    static const struct {
        const char *query, *prefix;
    } values[] = {{"shard=8&shard_count=8", "shard: "},
                  {"shard=1%00&shard_count=8", "shard: "},
                  {"shard&shard_count=8", "shard: "},
                  {"shard=1&shard_count=0", "shard_count: "},
                  {"shard=1&shard_count=+8", "shard_count: "}};
    struct params params;
    struct params_error error;
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        assert_int_equal(params_parse(&params, rows[i].query, &names, &error), EINVAL);
        assert_string_equal(error.reason, rows[i].reason);
    }
    for (size_t i = 0; i < ROWS(values); i++) {
        assert_int_equal(params_parse(&params, values[i].query, &names, &error), EINVAL);
        assert_memory_equal(error.reason, values[i].prefix, strlen(values[i].prefix));
        assert_true(strlen(error.reason) > strlen(values[i].prefix));
    }
}

static void
test_own_names_and_required(void **state)
{
    static const struct params_names own = {"s", "of", true, 0, 0};
    struct params params;
    struct params_error error;
    (void)state;
    assert_int_equal(params_parse(&params, "s=1&of=2&shard=7&shard_count=3", &own, &error), 0);
    assert_int_equal(ss_shards_count(params.shards), 2);
    assert_string_equal(params.query, "shard=7&shard_count=3");
    params_deinit(&params);
    assert_int_equal(params_parse(&params, "shard=1&shard_count=2", &own, &error), EINVAL);
    assert_string_equal(error.reason, "s and of are required (require_shard is on); expected e.g. s=3&of=80");
}

/* The shards of a set, as text. */
static const char *
listed(const struct ss_shards *shards)
{
    static char text[64];
    size_t n = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < ss_shards_count(shards); i++)
        if (ss_shards_has(shards, i))
            n += (size_t)snprintf(text + n, sizeof(text) - n, n ? ",%u" : "%u", i);
    return text;
}

static void
test_accepted_counts(void **state)
{
    static const struct params_names one = {"shard", "shard_count", false, 3, 0},
                                     two = {"shard", "shard_count", false, 3, 5};
    struct params params;
    struct params_error error;
    (void)state;
    assert_int_equal(params_parse(&params, "shard=1&shard_count=5", &one, &error), EINVAL);
    assert_string_equal(error.reason, "shard_count is 5, expected 3 (shard_count of this sidecar)");
    assert_int_equal(params_parse(&params, "shard=1&shard_count=4", &two, &error), EINVAL);
    assert_string_equal(error.reason, "shard_count is 4, expected 3 or 5 (shard_count and reshard_to of this sidecar)");
    assert_int_equal(params_parse(&params, "shard=3&shard_count=3", &one, &error), EINVAL);
    assert_int_equal(params_parse(&params, "shard=5&shard_count=5", &two, &error), EINVAL);
    assert_int_equal(params_parse(&params, "shard=2&shard_count=3", &one, &error), 0);
    params_deinit(&params);
    assert_int_equal(params_parse(&params, NULL, &one, &error), 0);
    params_deinit(&params);
}

static void
test_count_in_force(void **state)
{
    static const struct params_names names_of_both = {"shard", "shard_count", false, 3, 5};
    static const struct {
        const char *query, *of_3, *of_5;
    } rows[] = {
        {"shard=2&shard_count=3", "2", "2"},         {"shard=2&shard_count=5", "2", "2"},
        {"shard=4&shard_count=5", "", "4"},          {"shard=4&shard_count=3", "", "4"},
        {"shard=3-4,1&shard_count=5", "1", "1,3,4"},
    };
    (void)state;
    for (size_t i = 0; i < ROWS(rows); i++) {
        struct params params;
        struct params_error error;
        uint32_t shard;
        assert_int_equal(params_parse(&params, rows[i].query, &names_of_both, &error), 0);
        assert_int_equal(params.count, rows[i].query[strlen(rows[i].query) - 1] - '0');
        assert_int_equal(params_use_count(&params, 5), 0);
        assert_int_equal(ss_shards_count(params.shards), 5);
        assert_string_equal(listed(params.shards), rows[i].of_5);
        assert_int_equal(ss_shards_is_one(params.shards, &shard), strlen(rows[i].of_5) == 1);
        assert_int_equal(params_use_count(&params, 3), 0);
        assert_int_equal(ss_shards_count(params.shards), 3);
        assert_string_equal(listed(params.shards), rows[i].of_3);
        assert_int_equal(ss_shards_is_one(params.shards, &shard), strlen(rows[i].of_3) == 1);
        params_deinit(&params);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards),          cmocka_unit_test(test_whole_body),
        cmocka_unit_test(test_reasons),         cmocka_unit_test(test_own_names_and_required),
        cmocka_unit_test(test_accepted_counts), cmocka_unit_test(test_count_in_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
