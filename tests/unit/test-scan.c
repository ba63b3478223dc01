/* SPDX-License-Identifier: Apache-2.0 */
/* Compares all scanners with each other, and with the line splitter. */
#include "core/text/line_splitter.h"
#include "core/text/scan.h"
#include "feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 20000 };

/* Bytes rich in special characters, in realistic runs and in worse ones. */
static size_t
random_bytes(char *out, size_t max)
{
    static const char letters[] = "\"\"\\\\\n\nab{}=,# ";
    size_t len = (size_t)rand() % max, kinds = 1 + (size_t)rand() % (sizeof(letters) - 1);
    for (size_t i = 0; i < len; i++)
        out[i] = letters[(size_t)rand() % kinds];
    return len;
}

/* Lines as in an exposition, of which few are odd: an LF inside quotes, a backslash, a short line. */
static size_t
random_lines(char *out, size_t max)
{
    size_t len = (size_t)rand() % max, longest = 20 + (size_t)rand() % 300, oddness = 1 + (size_t)rand() % 1000;
    memset(out, 'x', len);
    for (size_t at = 0; at < len; at += 1 + (size_t)rand() % longest) {
        for (size_t quotes = 2 * ((size_t)rand() % 8); quotes; quotes--)
            if ((at += 1 + (size_t)rand() % 12) < len)
                out[at] = '"';
        if (at + 2 < len && (size_t)rand() % oddness == 0) {
            memcpy(out + at + 1, &"\\\"\"\n"[rand() % 3], 2);
            at += 2;
        }
        if (++at < len)
            out[at] = '\n';
    }
    return len;
}

/* All scanners that this processor can run, except the portable one. */
static const struct scanner *
next_scanner(size_t *i)
{
    static const struct scanner *const scanners[] = {
#ifdef __x86_64__
        &scanner_avx2,
        &scanner_avx512,
#endif
#ifdef __aarch64__
        &scanner_neon,
#endif
        NULL,
    };
    while (scanners[*i] && !scanner_runs(scanners[*i]))
        ++*i;
    return scanners[*i] ? scanners[(*i)++] : NULL;
}

static void
check_ends(const struct scanner *scanner)
{
    static char bytes[SCAN_BATCH];
    static uint32_t ends[SCAN_ENDS], wanted[SCAN_ENDS];

    for (int round = 0; round < ROUNDS; round++) {
        struct scan_carry carry = {0}, wanted_carry = {0};
        size_t len = round % 10 == 0 ? random_lines(bytes, SCAN_BATCH)
                                     : random_bytes(bytes, round % 100 == 1 ? SCAN_BATCH : 300);
        for (size_t at = 0, n; at < len; at += n) {
            n = 1 + (size_t)rand() % (len - at);
            const char *slash = rand() % 2 ? memchr(bytes + at, '\\', n) : NULL;
            if (slash)
                n = (size_t)(slash - bytes) - at + 1;
            struct ss_span in = {bytes + at, n};
            carry.rest = 0; /* reads in groups even where it does not pay */
            size_t found = scanner->ends(in, &carry, ends);
            size_t expected = scanner_portable.ends(in, &wanted_carry, wanted);
            assert_int_equal(found, expected);
            assert_memory_equal(ends, wanted, found * sizeof(*ends));
            assert_int_equal(carry.quoted, wanted_carry.quoted);
            assert_int_equal(carry.escaped, wanted_carry.escaped);
            assert_int_equal(!carry.inside_lf, !wanted_carry.inside_lf);
        }
    }
}

static void
test_scanners_agree(void **state)
{
    size_t i = 0;
    (void)state;
    for (const struct scanner *s; (s = next_scanner(&i)) != NULL;)
        check_ends(s);
}

/* Prefixes of every length, and lines some of which start like them, some with one byte changed, up to the last
   readable byte. */
static void
check_same_prefix(const struct scanner *scanner)
{
    static char bytes[4 * CORE_MAX_PREFIX];
    static uint32_t ends[SCAN_ENDS];

    for (size_t len = 2; len <= CORE_MAX_PREFIX; len++) {
        struct prefix prefix;
        char name[CORE_MAX_PREFIX];
        memset(name, 'n', len);
        name[len - 1] = '{';
        prefix_set(&prefix, (struct ss_span){name, len});
        for (int round = 0; round < 40; round++) {
            size_t size = 0, n = 0, lines = 1 + (size_t)rand() % 3;
            while (n < lines && size + len + 8 < sizeof(bytes)) {
                memcpy(bytes + size, name, len);
                if (rand() % 4 == 0)
                    bytes[size + (size_t)rand() % len] = 'x';
                size += len;
                size_t more = (size_t)rand() % 7;
                memset(bytes + size, '1', more);
                size += more;
                bytes[size++] = '\n';
                ends[n++] = (uint32_t)size;
            }
            struct guarded memory = guarded_new(size);
            const char *base = guarded_put(&memory, (struct ss_span){bytes, size}).ptr;
            assert_int_equal(scanner->count_same_prefix(&prefix, base, base, ends, n, base + size),
                             scanner_portable.count_same_prefix(&prefix, base, base, ends, n, base + size));
            guarded_free(&memory);
        }
    }
}

static void
test_scanners_count_same_prefix(void **state)
{
    size_t i = 0;
    (void)state;
    for (const struct scanner *s; (s = next_scanner(&i)) != NULL;)
        check_same_prefix(s);
}

/* For a sample, the line splitter agrees with the scanner. */
static void
test_line_splitter_agrees(void **state)
{
    (void)state;
    static char bytes[300];
    static uint32_t ends[SCAN_ENDS];

    for (int round = 0; round < ROUNDS; round++) {
        struct scan_carry carry = {0};
        struct ss_span in = {bytes, random_bytes(bytes, sizeof(bytes))};
        if (!in.len || bytes[0] == '#' || bytes[0] == ' ')
            continue;
        struct line_splitter splitter = {0};
        size_t found = scanner_best()->ends(in, &carry, ends);
        assert_int_equal(line_splitter_feed(&splitter, in), found ? ends[0] : 0);
        if (!found) {
            assert_int_equal(line_splitter_is_quoted(&splitter), carry.quoted != 0);
            assert_int_equal(splitter.escaped, carry.escaped);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scanners_agree),
        cmocka_unit_test(test_scanners_count_same_prefix),
        cmocka_unit_test(test_line_splitter_agrees),
    };
    srand(1);
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
