/* SPDX-License-Identifier: Apache-2.0 */
/* All scanners against each other, and against the cutter of single lines. */
#include "feed.h"
#include "line.h"
#include "scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 20000 };

/* Bytes rich in what matters, in runs as they come in life and in worse ones. */
static size_t
random_bytes(char *out, size_t max)
{
    static const char letters[] = "\"\"\\\\\n\nab{}=,# ";
    size_t len = (size_t)rand() % max, kinds = 1 + (size_t)rand() % (sizeof(letters) - 1);
    for (size_t i = 0; i < len; i++)
        out[i] = letters[(size_t)rand() % kinds];
    return len;
}

static void
test_scanners_agree(void **state)
{
    (void)state;
#ifdef __x86_64__
    if (scanner_best() == &scanner_portable)
        skip();
    static char bytes[SCAN_BATCH];
    static uint32_t ends[SCAN_ENDS], wanted[SCAN_ENDS];

    for (int round = 0; round < ROUNDS; round++) {
        struct scan_carry carry = {0}, wanted_carry = {0};
        size_t len = random_bytes(bytes, round % 100 ? 300 : SCAN_BATCH), at = 0;
        while (at < len) {
            size_t n = 1 + (size_t)rand() % (len - at);
            struct ss_span in = {bytes + at, n};
            size_t found = scanner_avx2.ends(in, &carry, ends);
            size_t right = scanner_portable.ends(in, &wanted_carry, wanted);
            assert_int_equal(found, right);
            assert_memory_equal(ends, wanted, found * sizeof(*ends));
            assert_int_equal(carry.quoted, wanted_carry.quoted);
            assert_int_equal(carry.escaped, wanted_carry.escaped);
            assert_int_equal(!carry.inside_lf, !wanted_carry.inside_lf);
            at += n;
        }
    }
#endif
}

/* Of a line that is a sample, the cutter of single lines says the same as the scanner. */
static void
test_cutter_agrees(void **state)
{
    (void)state;
    static char bytes[300];
    static uint32_t ends[SCAN_ENDS];

    for (int round = 0; round < ROUNDS; round++) {
        struct scan_carry carry = {0};
        struct ss_span in = {bytes, random_bytes(bytes, sizeof(bytes))};
        if (!in.len || bytes[0] == '#' || bytes[0] == ' ')
            continue;
        struct cut cut = {0};
        size_t found = scanner_best()->ends(in, &carry, ends);
        assert_int_equal(cut_feed(&cut, in), found ? ends[0] : 0);
        if (!found) {
            assert_int_equal(cut_is_quoted(&cut), carry.quoted != 0);
            assert_int_equal(cut.escaped, carry.escaped);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scanners_agree),
        cmocka_unit_test(test_cutter_agrees),
    };
    srand(1);
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
