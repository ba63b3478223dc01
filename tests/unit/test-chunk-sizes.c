/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes of chunks, at every cut. */
#include "proxy/chunk_sizes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct row {
    const char *body;
    enum chunk_place place;
};

static const struct row rows[] = {
    {"", CHUNK_SIZE},
    {"1f", CHUNK_SIZE},
    {"1f\r\n", CHUNK_DATA},
    {"4\r\na 1\n", CHUNK_END},
    {"4\r\na 1\n\r", CHUNK_END},
    {"4\r\na 1\n\r\n", CHUNK_SIZE},
    {"4\r\na 1\n\r\n0\r\n\r\n", CHUNKS_OVER},
    {"4\na 1\n\n0\n\n", CHUNKS_OVER},
    {"a\r\n0123456789\r\nA\r\n0123456789\r\n00B\r\n\r\n;x\n\n0x1f\r\n0\r\n", CHUNKS_OVER},
    {"10\r\n0123456789abcdef\r\n000\r\n", CHUNKS_OVER},
    {"4;a=b;c=\"d\"\r\na 1\n\r\n0;0x\r\n", CHUNKS_OVER},
    {"4 \t \r\na 1\n\r\n0 ;a\r\n", CHUNKS_OVER},
    {"0\r\n0x1f\r\n: \r\n", CHUNKS_OVER},
    {"4 ", CHUNK_BLANKS},
    {"4;", CHUNK_EXTENSION},
    {"7fffffffffffffff\r\na 1\n", CHUNK_DATA},
    {"0x", CHUNKS_INVALID},
    {"0x4\r\na 1\n\r\n0\r\n\r\n", CHUNKS_INVALID},
    {"4\r\na 1\n\r\n0x4\r\na:1\n\r\n0\r\n\r\n", CHUNKS_INVALID},
    {"4g\r\n", CHUNKS_INVALID},
    {"4 g\r\n", CHUNKS_INVALID},
    {"4 4\r\n", CHUNKS_INVALID},
    {"4\rg\r\n", CHUNKS_INVALID},
    {"4.0\r\n", CHUNKS_INVALID},
    {"\r\n", CHUNKS_INVALID},
    {"\n", CHUNKS_INVALID},
    {" 4\r\n", CHUNKS_INVALID},
    {";a\r\n", CHUNKS_INVALID},
    {"-1\r\n", CHUNKS_INVALID},
    {"4\r\na 1\n\r\n\r\n", CHUNKS_INVALID},
};

static void
check(const struct row *row, size_t first, size_t step)
{
    size_t len = strlen(row->body);
    struct chunk_sizes sizes = {.place = CHUNK_SIZE};
    for (size_t at = 0, n; at < len; at += n) {
        n = at ? step : first;
        n = n < len - at ? n : len - at;
        chunk_sizes_take(&sizes, (struct ss_span){row->body + at, n});
    }
    if (sizes.place != row->place)
        fail_msg("\"%s\", cut after %zu and every %zu bytes: place %d, expected %d", row->body, first, step,
                 (int)sizes.place, (int)row->place);
}

static void
test_any_cut(void **state)
{
    (void)state;
    for (const struct row *row = rows; row < rows + sizeof(rows) / sizeof(rows[0]); row++)
        for (size_t first = 1; first <= strlen(row->body) + 1; first++)
            for (size_t step = 1; step <= strlen(row->body) + 1; step++)
                check(row, first, step);
}

static void
test_a_size_of_nul(void **state)
{
    struct chunk_sizes sizes = {.place = CHUNK_SIZE};
    (void)state;
    chunk_sizes_take(&sizes, (struct ss_span){"4\0\n", 3});
    assert_int_equal(sizes.place, CHUNKS_INVALID);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_cut),
        cmocka_unit_test(test_a_size_of_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
