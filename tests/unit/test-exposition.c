/* SPDX-License-Identifier: Apache-2.0 */
/* Escaping in our own metrics: it differs between help and label values, and between the help of the two formats. */
#include "service/telemetry/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT "a \"b\" \\ c\nd"

static void
assert_written(bool openmetrics, const char *wanted)
{
    char *text = NULL;
    size_t len;
    struct exposition e = {open_memstream(&text, &len), openmetrics};
    struct metric_label label = {"l", TEXT};

    assert_non_null(e.out);
    exposition_family(&e, "a", METRIC_GAUGE, TEXT);
    exposition_sample(&e, "a", &label, 1, 1);
    assert_int_equal(fclose(e.out), 0);
    assert_string_equal(text, wanted);
    free(text);
}

#define SAMPLE "\n# TYPE a gauge\na{l=\"a \\\"b\\\" \\\\ c\\nd\"} 1\n"

static void
test_text(void **state)
{
    (void)state;
    assert_written(false, "# HELP a a \"b\" \\\\ c\\nd" SAMPLE);
}

static void
test_openmetrics(void **state)
{
    (void)state;
    assert_written(true, "# HELP a a \\\"b\\\" \\\\ c\\nd" SAMPLE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_openmetrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
