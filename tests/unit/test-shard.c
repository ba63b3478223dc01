/* SPDX-License-Identifier: Apache-2.0 */
/* The contract: keys, hashes and placements compared with tests/vectors, and the syntax of shard sets. */
#include "feed.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Resolves \n and \\ in place. */
static struct ss_span
unescape(char *field)
{
    char *out = field;
    for (char *p = field; *p; p++)
        *out++ = *p != '\\' ? *p : *++p == 'n' ? '\n' : *p;
    return (struct ss_span){field, (size_t)(out - field)};
}

static FILE *
open_vectors(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", getenv("VECTORS"), name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot read %s", path);
    return f;
}

/* Checks a table of keys, hashes and placements. */
static void
check_vectors(const char *name, enum ss_hash function, enum ss_placement placement, int min_rows)
{
    char line[1024];
    int rows = 0;
    FILE *f = open_vectors(name);
    struct ss_hasher *hasher;

    assert_int_equal(ss_hasher_new(&hasher, function), 0);
    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            continue;
        line[strcspn(line, "\n")] = 0;
        char *rest = line;
        struct ss_span key = unescape(strsep(&rest, "\t"));
        uint64_t hash;
        assert_int_equal(ss_hasher_hash(hasher, key, &hash), 0);
        assert_int_equal(hash, strtoull(strsep(&rest, "\t"), NULL, 16));
        while (rest) {
            uint32_t count = (uint32_t)strtoul(strsep(&rest, ":"), NULL, 10);
            assert_int_equal(ss_place(function, placement, hash, count), strtoul(strsep(&rest, "\t"), NULL, 10));
        }
        rows++;
    }
    fclose(f);
    ss_hasher_free(hasher);
    assert_true(rows >= min_rows);
}

static void
test_placement_vectors(void **state)
{
    (void)state;
    check_vectors("xxh64-modulo.tsv", SS_HASH_XXH64, SS_PLACE_MODULO, 100);
    check_vectors("xxh64-jump.tsv", SS_HASH_XXH64, SS_PLACE_JUMP, 100);
    check_vectors("md5-modulo.tsv", SS_HASH_MD5, SS_PLACE_MODULO, 100);
    check_vectors("md5-jump.tsv", SS_HASH_MD5, SS_PLACE_JUMP, 100);
}

/* From N to N+1 shards, jump moves about 1/(N+1) of the keys, and only to the new shard. */
static void
test_jump_moves_little(void **state)
{
    (void)state;
    enum { KEYS = 100000 };
    struct ss_hasher *hasher;
    int moved = 0;

    assert_int_equal(ss_hasher_new(&hasher, SS_HASH_XXH64), 0);
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        uint64_t hash;
        snprintf(key, sizeof(key), "family_%d", i);
        assert_int_equal(ss_hasher_hash(hasher, (struct ss_span){key, strlen(key)}, &hash), 0);
        uint32_t before = ss_place(SS_HASH_XXH64, SS_PLACE_JUMP, hash, 80);
        uint32_t after = ss_place(SS_HASH_XXH64, SS_PLACE_JUMP, hash, 81);
        moved += before != after;
        assert_true(before == after || after == 80);
    }
    ss_hasher_free(hasher);
    /* 1/81 of them are 1235; five standard deviations of the binomial distribution, sqrt(1235) each, are 176. */
    assert_in_range(moved, 1235 - 176, 1235 + 176);
}

static void
test_family_vectors(void **state)
{
    (void)state;
    char line[512];
    int rows = 0;
    FILE *f = open_vectors("family.tsv");

    while (fgets(line, sizeof(line), f)) {
        if (line[0] == '#')
            continue;
        char *rest = line, *name = strsep(&rest, "\t"), *wanted = strsep(&rest, "\n");
        struct ss_span family = ss_key_family((struct ss_span){name, strlen(name)});
        assert_int_equal(family.len, strlen(wanted));
        assert_memory_equal(family.ptr, wanted, family.len);
        rows++;
    }
    fclose(f);
    assert_true(rows > 20);
}

static void
test_shards(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t count;
        const char *members; /* "": rejected */
        const char *reason;
    } cases[] = {
        {"3", 80, "3", NULL},
        {"0", 1, "0", NULL},
        {"0,4,8", 9, "0 4 8", NULL},
        {"0-2", 3, "0 1 2", NULL},
        {"5,0-2,7-7", 8, "0 1 2 5 7", NULL},
        {"007", 8, "7", NULL},
        {"", 8, "", "\"\" is not a valid set of shards, expected a number (3), a list (0,4,8) or a range (0-15)"},
        {"x", 8, "", "\"x\" is not a valid set of shards, expected a number (3), a list (0,4,8) or a range (0-15)"},
        {"8", 8, "", "shard 8 is out of range for 8 shards, expected 0 to 7"},
        {"4-8", 8, "", "shard 8 is out of range for 8 shards, expected 0 to 7"},
        {"5-4", 8, "", "invalid range 5-4, expected 4-5"},
        {"1,2,1", 8, "", "shard 1 is listed twice, expected once"},
        {"0-3,2", 8, "", "shard 2 is listed twice, expected once"},
        {"99999999999999999999999999", 8, "", "shard 4294967295 is out of range for 8 shards, expected 0 to 7"},
        {"1,", 8, "", NULL},
        {",1", 8, "", NULL},
        {"1,,2", 8, "", NULL},
        {"1-", 8, "", NULL},
        {"-1", 8, "", NULL},
        {"+1", 8, "", NULL},
        {" 1", 8, "", NULL},
        {"1 ", 8, "", NULL},
        {"1.0", 8, "", NULL},
        {"1e0", 8, "", NULL},
        {"0x1", 8, "", NULL},
        {"1-2-3", 8, "", NULL},
        {"\xd9\xa1", 8, "", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ss_shards *shards = NULL;
        struct ss_shards_error error = {""};
        char members[64] = "";
        int r =
            ss_shards_parse(&shards, (struct ss_span){cases[i].text, strlen(cases[i].text)}, cases[i].count, &error);
        assert_int_equal(r, *cases[i].members ? 0 : EINVAL);
        for (uint32_t s = 0; shards && s < cases[i].count; s++)
            if (ss_shards_has(shards, s))
                snprintf(members + strlen(members), sizeof(members) - strlen(members), "%s%u", *members ? " " : "", s);
        assert_string_equal(members, cases[i].members);
        if (cases[i].reason)
            assert_string_equal(error.reason, cases[i].reason);
        assert_int_equal(!*error.reason, r == 0);
        ss_shards_free(shards);
    }
    struct ss_shards_error error;
    struct ss_shards *shards;
    assert_int_equal(ss_shards_parse(&shards, (struct ss_span){"1\0", 2}, 8, &error), EINVAL);
}

static void
test_shard_count(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "0", "65537", "-1", "1.5", "80 ", "x", "4294967297", "99999999999999999999"};
    struct ss_shards_error error;
    uint32_t count = 7;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(ss_shard_count_parse(&count, (struct ss_span){wrong[i], strlen(wrong[i])}, &error), EINVAL);
    assert_int_equal(count, 7);
    assert_string_equal(error.reason, "99999999999999999999 is out of range, expected a number from 1 to 65536");
    assert_int_equal(ss_shard_count_parse(&count, SPAN("65536"), &error), 0);
    assert_int_equal(count, 65536);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placement_vectors), cmocka_unit_test(test_jump_moves_little),
        cmocka_unit_test(test_family_vectors),    cmocka_unit_test(test_shards),
        cmocka_unit_test(test_shard_count),
    };
    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}
