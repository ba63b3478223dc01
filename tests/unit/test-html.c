/* SPDX-License-Identifier: Apache-2.0 */
/* Templates escape what fills them. Numbers in readable form. */
#include "service/admin/html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
assert_text(const char *text, const char *html)
{
    char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);
    html_text(f, text);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(out, html);
    free(out);
}

static void
test_text(void **state)
{
    (void)state;
    assert_text("", "");
    assert_text("up", "up");
    assert_text("<b>&\"'</b>", "&lt;b&gt;&amp;&quot;&#39;&lt;/b&gt;");
    assert_text("&lt;", "&amp;lt;");
    assert_text("métrique €\U0001f600\n\t", "métrique €\U0001f600\n\t");
    assert_text("a\x01\x1b\x7f", "a\ufffd\ufffd\ufffd");
    /* Invalid UTF-8: a stray byte, a truncated character, an overlong one, a surrogate. */
    assert_text("\xff<", "\ufffd&lt;");
    assert_text("\xe2\x82", "\ufffd\ufffd");
    assert_text("\xc0\xbc", "\ufffd\ufffd");
    assert_text("\xed\xa0\x80", "\ufffd\ufffd\ufffd");
    assert_text("\xe2<img>", "\ufffd&lt;img&gt;");
}

static void
test_fill(void **state)
{
    char *out = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&out, &len);
    (void)state;
    HTML(f, "<td title=\"{}\">{}</td>", "\"><script>", "{}");
    HTML(f, "{}|{}", "one alone");
    HTML(f, "none");
    assert_int_equal(fclose(f), 0);
    assert_string_equal(out, "<td title=\"&quot;&gt;&lt;script&gt;\">{}</td>one alone|none");
    free(out);
}

static void
test_numbers(void **state)
{
    (void)state;
    assert_string_equal(html_count(0).text, "0");
    assert_string_equal(html_count(999).text, "999");
    assert_string_equal(html_count(1000).text, "1,000");
    assert_string_equal(html_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
    assert_string_equal(html_bytes(1023).text, "1023 B");
    assert_string_equal(html_bytes(1024).text, "1.0 KiB");
    assert_string_equal(html_bytes(3800000).text, "3.6 MiB");
    assert_string_equal(html_bytes(UINT64_MAX).text, "16777216 TiB");
    assert_string_equal(html_duration(0).text, "0 s");
    assert_string_equal(html_duration(119999).text, "119 s");
    assert_string_equal(html_duration(120000).text, "2 min");
    assert_string_equal(html_duration(7200000).text, "2 h");
    assert_string_equal(html_duration(INT64_C(172800000)).text, "2 d");
    assert_string_equal(html_time(0).text, "1970-01-01T00:00:00Z");
    assert_string_equal(html_hash(1).text, "0x0000000000000001");
    assert_string_equal(html_ratio(2.5).text, "2.50");
    assert_string_equal(html_percent(1, 3).text, "33.33");
    assert_string_equal(html_percent(1, 0).text, "0.00");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
