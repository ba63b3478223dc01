/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in a log line: as printf() writes them, except for the last digit of a value halfway between two. */
#include "service/base/log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A number as a line has it; borrowed until the next call. */
static const char *
written(double number)
{
    static const struct log log = {LOG_INFO, LOG_LOGFMT, NULL};
    static char line[256];
    FILE *file = tmpfile();
    int kept = dup(STDERR_FILENO);

    assert_non_null(file);
    assert_int_equal(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
    log_info(&log, "number", log_number("n", number));
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    size_t len = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    assert_true(len > 0 && line[len - 1] == '\n');
    line[len - 1] = 0;
    char *field = strstr(line, " n=");
    assert_non_null(field);
    return field + 3;
}

static void
test_as_printf(void **state)
{
    static const double numbers[] = {
        0,        1,         9,   10,  999999,   1000000,   9007199254740992, 999999999999999, 1e15,
        1e18,     -1,        -42, 0.5, 0.000001, 0.0000004, 0.047430,         0.9999999,       1.000001,
        10.25,    99.999999, 0.1, 0.3, 123456.7, 999999.5,  999999.9999999,   1000000.25,      -0.25,
        INFINITY, NAN,
    };
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), numbers[i] == floor(numbers[i]) ? "%.0f" : "%.6f", numbers[i]);
        assert_string_equal(written(numbers[i]), wanted);
    }
}

static void
test_any(void **state)
{
    uint64_t random = 1;
    (void)state;
    for (int i = 0; i < 2000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        double number = (double)(random >> 11) / (double)(UINT64_C(1) << (34 + random % 20));
        const char *text = written(number);
        char *end;
        double read = strtod(text, &end);
        assert_int_equal(*end, 0);
        assert_true(fabs(read - number) <= 0.51e-6);
        if (number != floor(number))
            assert_int_equal(strlen(strchr(text, '.')), 7);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_printf), cmocka_unit_test(test_any)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
