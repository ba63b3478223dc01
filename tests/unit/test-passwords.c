/* SPDX-License-Identifier: Apache-2.0 */
/* Password and secret files, and the credentials of requests. */
#include "service/access/passwords.h"
#include "service/access/secrets.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Of "correct horse", made by htpasswd -B -C 4. */
#define HASH "$2y$04$hVcyTT3U/SIrhHTnb3di4un.bJzTBfcGmicgm3wNU50cTq7lRvJsy"
/* The hash of no known password. */
#define SLOWER "$2y$05$hVcyTT3U/SIrhHTnb3di4un.bJzTBfcGmicgm3wNU50cTq7lRvJsy"

/* Some editors write a byte order mark. */
#define BOM "\xef\xbb\xbf"

static char path[] = "/tmp/test-passwords-XXXXXX";

static void
put(const void *bytes, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static struct passwords *
table(const char *text)
{
    struct passwords *p = NULL;
    struct passwords_error error;
    put(text, strlen(text));
    if (passwords_read(&p, path, &error))
        fail_msg("%d: %s", error.line, error.reason);
    return p;
}

static void
test_credentials(void **state)
{
    /* a:b, prometheus:correct horse, prometheus:x:y, prometheus: */
    static const struct {
        const char *base64, *password;
        bool known;
    } rows[] = {
        {"YTpi", "b", false},
        {"cHJvbWV0aGV1czpjb3JyZWN0IGhvcnNl", "correct horse", true},
        {"cHJvbWV0aGV1czp4Onk=", "x:y", true},
        {"cHJvbWV0aGV1czo=", "", true},
    };
    struct passwords *p = table("# users\nother:" HASH "\r\nprometheus:" HASH "\n");
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct credential c;
        assert_int_equal(passwords_decode(p, &c, rows[i].base64), 0);
        assert_string_equal(c.password, rows[i].password);
        assert_int_equal(c.known, rows[i].known);
        assert_string_equal(c.hash, HASH);
        assert_false(passwords_is_cached(p, &c));
        passwords_cache(p, &c);
        assert_int_equal(passwords_is_cached(p, &c), rows[i].known);
        credential_deinit(&c);
    }
    passwords_unref(p);
}

static void
test_byte_order_mark(void **state)
{
    static const char *const texts[] = {BOM "prometheus:" HASH "\r\n", BOM "# users\nprometheus:" HASH "\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct passwords *p = table(texts[i]);
        struct credential c;
        assert_int_equal(passwords_decode(p, &c, "cHJvbWV0aGV1czp4Onk="), 0);
        assert_true(c.known);
        credential_deinit(&c);
        passwords_unref(p);
    }
}

static void
decode_credential(const struct passwords *p, struct credential *c, int user, const char *password)
{
    char text[64];
    unsigned char base64[128];
    int len = sprintf(text, "user%d:%s", user, password);
    EVP_EncodeBlock(base64, (const unsigned char *)text, len);
    assert_int_equal(passwords_decode(p, c, (const char *)base64), 0);
}

/* The last credential of each user, however many there are, and none of somebody who is no user. */
static void
test_cache(void **state)
{
    enum { USERS = 300 };
    char text[USERS * 80] = "", *end = text;
    (void)state;
    for (int i = 0; i < USERS; i++)
        end += sprintf(end, "user%d:" HASH "\n", i);
    struct passwords *p = table(text);
    struct credential users[USERS], other, nobody;
    for (int i = 0; i < USERS; i++) {
        decode_credential(p, &users[i], i, "one");
        passwords_cache(p, &users[i]);
    }
    decode_credential(p, &other, 7, "two");
    decode_credential(p, &nobody, USERS, "one");
    passwords_cache(p, &nobody);
    assert_false(passwords_is_cached(p, &nobody));
    for (int i = 0; i < USERS; i++)
        assert_true(passwords_is_cached(p, &users[i]));
    passwords_cache(p, &other);
    assert_true(passwords_is_cached(p, &other));
    assert_false(passwords_is_cached(p, &users[7]));
    for (int i = 0; i < USERS; i++)
        credential_deinit(&users[i]);
    credential_deinit(&other);
    credential_deinit(&nobody);
    passwords_unref(p);
}

static void
test_no_credentials(void **state)
{
    /* Empty, no colon, a NUL, padding inside, not base64. */
    static const char *const none[] = {
        "", "=", "====", "YQ==", "YTpiAA==", "YT=pi", "YTp", "YTpi\xc3", "YTpi YTpi", "!!!!"};
    struct passwords *p = table("prometheus:" HASH "\n");
    (void)state;
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        struct credential c;
        if (!passwords_decode(p, &c, none[i]))
            fail_msg("%s is taken for a credential", none[i]);
    }
    passwords_unref(p);
}

static struct credential
credential(const struct passwords *p, const char *text)
{
    struct credential c;
    char base64[128];
    EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)text, (int)strlen(text));
    assert_int_equal(passwords_decode(p, &c, base64), 0);
    return c;
}

static bool
matches(const struct passwords *p, const char *text)
{
    struct credential c = credential(p, text);
    bool good = credential_matches(&c);
    credential_deinit(&c);
    return good;
}

static void
test_matches(void **state)
{
    struct passwords *p = table("prometheus:" HASH "\n");
    (void)state;
    assert_true(matches(p, "prometheus:correct horse"));
    assert_false(matches(p, "prometheus:correct horse "));
    assert_false(matches(p, "prometheus:"));
    assert_false(matches(p, "nobody:correct horse"));
    passwords_unref(p);
}

/* An unknown user is as slow as a known one, always the same. */
static void
test_strangers(void **state)
{
    struct passwords *p = table("prometheus:" HASH "\nother:" SLOWER "\n");
    int slower = 0;
    (void)state;
    for (int i = 0; i < 100; i++) {
        char text[32];
        snprintf(text, sizeof(text), "nobody%d:a", i);
        struct credential a = credential(p, text);
        text[strlen(text) - 1] = 'b';
        struct credential b = credential(p, text);
        assert_false(a.known);
        assert_ptr_equal(a.hash, b.hash);
        slower += !strcmp(a.hash, SLOWER);
        credential_deinit(&a);
        credential_deinit(&b);
    }
    assert_in_range(slower, 10, 90);
    passwords_unref(p);
}

static void
test_secret_lines(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *text; /* NULL: not a secret */
    } rows[] = {
        {"a", 1, "a"},
        {" \r\n a b \r\n\n", 10, "a b"},
        {"a\0b", 3, NULL},
        {"a\0", 2, NULL},
        {"", 0, NULL},
        {" \n", 2, NULL},
        {"a\nb", 3, NULL},
        {"a\x7f", 2, NULL},
        {"\xc3\xa9", 2, "\xc3\xa9"},
        {BOM "a\r\n", 6, "a"},
        {BOM, 3, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text;
        const char *wrong = NULL;
        put(rows[i].bytes, rows[i].len);
        int r = secret_read_line(&text, path, &wrong);
        assert_int_equal(r, rows[i].text ? 0 : -1);
        if (rows[i].text)
            assert_string_equal(text, rows[i].text);
        else
            assert_non_null(wrong);
        secret_free(text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credentials),    cmocka_unit_test(test_byte_order_mark), cmocka_unit_test(test_cache),
        cmocka_unit_test(test_no_credentials), cmocka_unit_test(test_matches),         cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_secret_lines),
    };
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
