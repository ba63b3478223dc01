/* SPDX-License-Identifier: Apache-2.0 */
/* Lists in headers, as clients write them, well or badly. */
#include "service/base/http_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The elements' names and weights, as in "a:1000 b:500". */
static void
check(const char *list, const char *expected)
{
    struct http_list_element e;
    char got[200] = "";
    for (size_t len = 0; http_list_next(&list, &e); len = strlen(got))
        snprintf(got + len, sizeof(got) - len, "%s%.*s:%d", len ? " " : "", (int)e.name.len, e.name.ptr,
                 http_list_weight(&e));
    assert_string_equal(got, expected);
}

static void
test_elements(void **state)
{
    (void)state;
    check(NULL, "");
    check("", ":1000");
    check("a", "a:1000");
    check(" a , b\t,c", "a:1000 b:1000 c:1000");
    check(",a,,", ":1000 a:1000 :1000 :1000");
    check("a;x=\"b,c\\\"d,\",e", "a:1000 e:1000");
    check("a;x=\"never closed, b", "a:1000");
    check("a;x=\"\\", "a:1000");
}

static void
test_weights(void **state)
{
    (void)state;
    check("a;q=0", "a:0");
    check("a;q=0.5,b; q=1 , c ;\tQ=0.001", "a:500 b:1000 c:1");
    check("a;q=0.,b;q=1.000", "a:0 b:1000");
    check("a;x=1;q=0.3;y=2", "a:300");
    check("a;x=\";q=0.1\";q=0.2", "a:200");
    check("a;q=,b;q=x,c;q=-1,d;q=1.1,e;q=2,f;q=0.5x,g;q=0x1,h;q=.,i;q=1e-1,j;q=nan",
          "a:-1 b:-1 c:-1 d:-1 e:-1 f:-1 g:-1 h:-1 i:-1 j:-1");
    check("a;q=0.00000000000000000000001", "a:-1");
    check("a;q,b;qq=0,c;", "a:1000 b:1000 c:1000");
}

static void
check_param(const char *list, const char *name, const char *expected)
{
    struct http_list_element e;
    struct ss_span value;
    assert_true(http_list_next(&list, &e));
    assert_int_equal(http_list_param(&e, name, &value), expected != NULL);
    if (expected)
        assert_true(value.len == strlen(expected) && !memcmp(value.ptr, expected, value.len));
}

static void
test_params(void **state)
{
    (void)state;
    check_param("text/plain; version=0.0.4 ;q=0.5", "version", "0.0.4");
    check_param("text/plain;VERSION=1", "version", "1");
    check_param("text/plain;version=", "version", "");
    check_param("text/plain;version=\"a;b\"", "version", "\"a;b\"");
    check_param("text/plain;versions=1;version", "version", NULL);
    check_param("text/plain,version=1", "version", NULL);
    check_param("version=1", "version", NULL);
}

static void
test_has(void **state)
{
    (void)state;
    assert_true(http_list_has("Accept, accept-encoding", "Accept-Encoding"));
    assert_true(http_list_has("*", "*"));
    assert_false(http_list_has("Accept-Encodings", "Accept-Encoding"));
    assert_false(http_list_has(NULL, "a"));
}

/* What lies between commas is left as it is. */
static void
test_raw(void **state)
{
    const char *list = " a;b , ,c";
    struct http_list_element e;
    (void)state;
    assert_true(http_list_next(&list, &e));
    assert_true(e.raw.len == 5 && !memcmp(e.raw.ptr, " a;b ", 5));
    assert_true(e.value.len == 3 && !memcmp(e.value.ptr, "a;b", 3));
    assert_true(http_list_next(&list, &e));
    assert_true(e.raw.len == 1 && !e.value.len);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements), cmocka_unit_test(test_weights), cmocka_unit_test(test_params),
        cmocka_unit_test(test_has),      cmocka_unit_test(test_raw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
