/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner for ARM against the portable one, in a program that needs nothing but libc: see run. */
#include "core/text/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20000 };

int
main(void)
{
    static const char letters[] = "\"\"\\\\\n\nab{}=,# ";
    static char bytes[SCAN_BATCH];
    static uint32_t ends[SCAN_ENDS], wanted[SCAN_ENDS];

    srand(1);
    for (int round = 0; round < ROUNDS; round++) {
        struct scan_carry carry = {0}, wanted_carry = {0};
        size_t len = (size_t)rand() % (round % 100 ? 300 : SCAN_BATCH);
        size_t kinds = 1 + (size_t)rand() % (sizeof(letters) - 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = letters[(size_t)rand() % kinds];
        for (size_t at = 0, n; at < len; at += n) {
            n = 1 + (size_t)rand() % (len - at);
            struct ss_span in = {bytes + at, n};
            size_t found = scanner_neon.ends(in, &carry, ends);
            size_t right = scanner_portable.ends(in, &wanted_carry, wanted);
            if (found != right || memcmp(ends, wanted, found * sizeof(*ends)) != 0 ||
                carry.quoted != wanted_carry.quoted || carry.escaped != wanted_carry.escaped ||
                !carry.inside_lf != !wanted_carry.inside_lf) {
                printf("round %d: bytes %zu to %zu: %zu ends instead of %zu\n", round, at, at + n, found, right);
                return 1;
            }
        }
    }
    printf("%d rounds agree\n", ROUNDS);
    return 0;
}
