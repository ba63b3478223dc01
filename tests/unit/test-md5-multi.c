/* SPDX-License-Identifier: Apache-2.0 */
/* MD5 of several keys at once compared with OpenSSL's, in every length and lane, and in bodies. */
#include "core/key/md5_multi.h"
#include "feed.h"

#include <scrapeshard/sharding.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t
openssl_hash(struct ss_span key)
{
    struct ss_hasher *hasher;
    uint64_t hash;
    assert_int_equal(ss_hasher_new(&hasher, SS_HASH_MD5), 0);
    assert_int_equal(ss_hasher_hash(hasher, key, &hash), 0);
    ss_hasher_free(hasher);
    return hash;
}

/* Every kind that this processor can run, with every length in every lane, and with any number of keys. */
static void
check_kind(const struct md5_kind *kind)
{
    char bytes[MD5_LANES][MD5_MULTI_MAX_KEY];
    struct md5_multi multi;
    int rounds = 0;

    md5_multi_init(&multi);
    multi.kind = kind;
    for (size_t n = 1; n <= MD5_LANES; n++) {
        for (size_t first = 0; first <= MD5_MULTI_MAX_KEY; first++, rounds++) {
            uint64_t hashes[MD5_LANES];
            struct ss_span keys[MD5_LANES];
            for (size_t i = 0; i < n; i++) {
                keys[i] = (struct ss_span){bytes[i], (first + i) % (MD5_MULTI_MAX_KEY + 1)};
                for (size_t b = 0; b < keys[i].len; b++)
                    bytes[i][b] = (char)rand();
                md5_multi_add(&multi, keys[i], &hashes[i]);
            }
            md5_multi_finish(&multi);
            assert_int_equal(multi.n, 0);
            for (size_t i = 0; i < n; i++)
                if (hashes[i] != openssl_hash(keys[i]))
                    fail_msg("%s: key %zu of %zu, %zu bytes", kind->name, i, n, keys[i].len);
        }
    }
    assert_int_equal(rounds, MD5_LANES * (MD5_MULTI_MAX_KEY + 1));
}

static void
test_kinds(void **state)
{
    (void)state;
    check_kind(&md5_portable);
#ifdef __x86_64__
    if (md5_kind_runs(&md5_avx2))
        check_kind(&md5_avx2);
#endif
}

/* RFC 1321, A.5: without OpenSSL. */
static void
test_rfc(void **state)
{
    static const struct {
        struct ss_span key;
        uint64_t hash;
    } vectors[] = {
        {{"", 0}, 0xe9800998ecf8427e},
        {{"a", 1}, 0x31c399e269772661},
        {{"abc", 3}, 0xd6963f7d28e17f72},
        {{"message digest", 14}, 0x525a2f31aaf161d0},
        {{"abcdefghijklmnopqrstuvwxyz", 26}, 0x7dfb496cca67e13b},
    };
    enum { VECTORS = sizeof(vectors) / sizeof(vectors[0]) };
    struct md5_multi multi;
    uint64_t hashes[VECTORS];
    (void)state;

    md5_multi_init(&multi);
    for (size_t i = 0; i < VECTORS; i++)
        md5_multi_add(&multi, vectors[i].key, &hashes[i]);
    md5_multi_finish(&multi);
    md5_multi_finish(&multi); /* of none */
    for (size_t i = 0; i < VECTORS; i++)
        assert_int_equal(hashes[i], vectors[i].hash);
}

enum { SERIES = 150, COUNT = 7 };

/* A text that grows. */
struct text {
    char bytes[SERIES * 200];
    size_t len;
};

static void
append(struct text *t, const char *bytes, size_t len)
{
    assert_true(len <= sizeof(t->bytes) - t->len);
    memcpy(t->bytes + t->len, bytes, len);
    t->len += len;
}

/* A line, with the key that it has: of any length about that of a block, and sometimes escaped, which is read in
   another way. */
static struct ss_span
make_line(int i, char line[200], char value[128])
{
    if (i % 9 == 4) {
        sprintf(line, "s%d{b=\"1\",a=\"%d\\\"\\n\\\\\"} %d\n", i / 8, i, i);
        return (struct ss_span){value, (size_t)sprintf(value, "%d\"\n\\", i)};
    }
    struct ss_span key = {value, (size_t)(i % 70)};
    memset(value, 'a' + i % 26, key.len);
    sprintf(line, "s%d{b=\"1\",a=\"%.*s\"} %d\n", i / 8, (int)key.len, value, i);
    return key;
}

/* Lines of other kinds are in between, so that any number of keys is hashed at once; they are in shard 0. */
static void
make_body(struct text *body, struct text *wanted, uint32_t shard)
{
    static const char comment[] = "# A comment.\n\n";
    body->len = wanted->len = 0;
    for (int i = 0; i < SERIES; i++) {
        char line[200], value[128];
        struct ss_span key = make_line(i, line, value);
        append(body, line, strlen(line));
        if (ss_place(SS_HASH_MD5, SS_PLACE_MODULO, openssl_hash(key), COUNT) == shard)
            append(wanted, line, strlen(line));
        if (i * i % 23 > 2)
            continue;
        append(body, comment, strlen(comment));
        if (!shard)
            append(wanted, comment, strlen(comment));
    }
}

static struct ss_sharding *
sharding_by_a(void)
{
    const struct ss_span label = SPAN("a");
    struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct ss_sharding *sharding;

    settings.key = SS_KEY_LABELS;
    settings.hash = SS_HASH_MD5;
    settings.source_labels = &label;
    settings.n_source_labels = 1;
    assert_int_equal(ss_sharding_new(&sharding, &settings), 0);
    return sharding;
}

static void
test_bodies(void **state)
{
    static struct text body, wanted;
    struct ss_sharding *sharding = sharding_by_a();
    (void)state;

    for (uint32_t shard = 0; shard < COUNT; shard++) {
        char name[2] = {(char)('0' + shard), 0};
        make_body(&body, &wanted, shard);
        struct outcome o = feed_all_ways((struct ss_span){body.bytes, body.len},
                                         &(struct question){"text/plain", name, COUNT, .sharding = sharding});
        assert_int_equal(o.result, 0);
        assert_int_equal(o.len, wanted.len);
        assert_memory_equal(o.bytes, wanted.bytes, wanted.len);
        assert_int_equal(o.counts.series_seen, SERIES);
        outcome_free(&o);
    }
    ss_sharding_free(sharding);
}

/* The error of a malformed line is at its place, although those before it still wait for their hashes. */
static void
test_an_error_after_pending_series(void **state)
{
    const struct ss_span body = SPAN("s{a=\"1\"} 1\ns{a=\"2\"} 1\ns{b=\"3\",x} 1\n");
    struct ss_sharding *sharding = sharding_by_a();
    (void)state;

    struct outcome o = feed_all_ways(body, &(struct question){"text/plain", "1", COUNT, .sharding = sharding});
    assert_int_equal(o.result, SS_NO_EXPOSITION);
    assert_int_equal(o.error.line, 3);
    assert_int_equal(o.error.offset, 22);
    outcome_free(&o);
    ss_sharding_free(sharding);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_rfc),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_an_error_after_pending_series),
    };
    return cmocka_run_group_tests_name("md5-multi", tests, NULL, NULL);
}
