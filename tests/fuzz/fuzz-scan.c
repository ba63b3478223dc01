/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares every scanner that this processor can run with the portable one: the same ends of samples in the same
 * pieces, and as many lines with the same prefix. The first byte selects how the bytes are cut, the second the length
 * of the prefix, which is taken from the first line.
 */
#include "require.h"

#include "core/text/scan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct scanner *const scanners[] = {
#ifdef __x86_64__
    &scanner_avx2,
    &scanner_avx512,
#endif
#ifdef __aarch64__
    &scanner_neon,
#endif
    &scanner_portable,
};

enum { SCANNERS = sizeof(scanners) / sizeof(scanners[0]) };

/* A copy that ends with the bytes, so that a sanitizer detects reads beyond them. */
static char *
copy_exact(struct ss_span bytes)
{
    char *copy = malloc(bytes.len ? bytes.len : 1);
    REQUIRE(copy);
    memcpy(copy, bytes.ptr, bytes.len);
    return copy;
}

static void
check_piece(const struct scanner *scanner, struct ss_span piece, struct scan_carry *carry, struct scan_carry *wanted)
{
    static uint32_t ends[SCAN_ENDS], wanted_ends[SCAN_ENDS];
    char *bytes = copy_exact(piece);
    carry->rest = 0; /* reads in groups even where it does not pay */
    size_t n = scanner->ends((struct ss_span){bytes, piece.len}, carry, ends);

    REQUIRE(n == scanner_portable.ends(piece, wanted, wanted_ends));
    REQUIRE(!memcmp(ends, wanted_ends, n * sizeof(*ends)));
    REQUIRE(carry->quoted == wanted->quoted && carry->escaped == wanted->escaped);
    REQUIRE(!carry->inside_lf == !wanted->inside_lf);
    free(bytes);
}

/* In pieces of chosen lengths: many about as long as a block, some longer, the last what is left. */
static void
check_ends(const struct scanner *scanner, struct ss_span body, uint32_t choice)
{
    struct scan_carry carry = {0}, wanted = {0};

    while (body.len) {
        choice = choice * 1664525 + 1013904223;
        size_t len = 1 + (choice >> 8) % (choice >> 28 ? 140 : SCAN_BATCH);
        if (len > body.len)
            len = body.len;
        check_piece(scanner, (struct ss_span){body.ptr, len}, &carry, &wanted);
        body.ptr += len;
        body.len -= len;
    }
}

static void
check_same_prefix(const struct scanner *scanner, struct ss_span body, size_t prefix_len)
{
    static uint32_t ends[SCAN_ENDS];
    struct scan_carry carry = {0};
    struct prefix prefix;

    if (body.len > SCAN_BATCH)
        body.len = SCAN_BATCH;
    size_t n = scanner_portable.ends(body, &carry, ends);
    if (!n || ends[0] < 2)
        return;
    struct ss_span first = {body.ptr, 1 + prefix_len % (ends[0] - 1)};
    if (first.len > CORE_MAX_PREFIX)
        return;
    prefix_set(&prefix, first);
    char *base = copy_exact(body);
    /* From the first line, and from each after one that differs. */
    for (size_t i = 0; i < n; i++) {
        const char *line = base + (i ? ends[i - 1] : 0);
        size_t same = scanner->count_same_prefix(&prefix, line, base, ends + i, n - i, base + body.len);
        REQUIRE(same == scanner_portable.count_same_prefix(&prefix, line, base, ends + i, n - i, base + body.len));
        i += same;
    }
    free(base);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct ss_span body = {(const char *)data + 2, size - 2};
    for (size_t i = 0; i < SCANNERS; i++) {
        if (!scanner_runs(scanners[i]))
            continue;
        check_ends(scanners[i], body, data[0]);
        check_same_prefix(scanners[i], body, data[1]);
    }
    return 0;
}
