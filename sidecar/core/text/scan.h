/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCAN_H
#define CORE_SCAN_H
/*
 * The loops that see every byte and every line of a body: where do samples end, and how many start with the same
 * prefix?
 *
 * A sample ends at the first LF outside double quotes; a quote after an odd run of backslashes is escaped. There is one
 * scanner for each kind of processor, and all give the same results: tests compare them.
 */
#include "prefix.h"

#include <scrapeshard/span.h>

#include <stdint.h>

enum {
    /* Maximum bytes scanned at once: they are still in the L1 cache when their lines are examined. */
    SCAN_BATCH = 16 * 1024,
    /* Room for the ends of a batch; a scanner may write a few entries beyond those it counts. */
    SCAN_ENDS = SCAN_BATCH + 8,
};

/* State carried to the next bytes. Zeroed at the start of a line; rest may be kept. */
struct scan_carry {
    uint64_t quoted;    /* 1 inside quotes */
    uint64_t escaped;   /* 1 if the next byte follows an odd run of backslashes */
    uint64_t inside_lf; /* not 0 once there was an LF inside quotes */
    unsigned rest;      /* scan_avx512.c's own */
};

struct scanner {
    const char *name;
    /* Finds the ends of samples in at most SCAN_BATCH bytes: offsets after their LFs. Returns their number. */
    size_t (*ends)(struct ss_span in, struct scan_carry *carry, uint32_t *ends);
    /* Counts the lines that start with the prefix, up to the first that does not. The first of the n starts at line,
       each ends at its offset from base. limit is the end of the readable bytes. */
    size_t (*count_same_prefix)(const struct prefix *prefix, const char *line, const char *base, const uint32_t *ends,
                                size_t n, const char *limit);
};

extern const struct scanner scanner_portable;
#ifdef __x86_64__
extern const struct scanner scanner_avx2;
extern const struct scanner scanner_avx512;
#endif
#ifdef __aarch64__
extern const struct scanner scanner_neon;
#endif

/* The bytes escaped by backslashes, which are rare, so one by one. */
static inline uint64_t
scan_escaped(uint64_t backslashes, uint64_t *carry)
{
    uint64_t escaped = *carry;
    backslashes &= ~escaped;
    *carry = 0;
    while (backslashes) {
        uint64_t slash = backslashes & (~backslashes + 1);
        uint64_t next = slash << 1;
        if (!next)
            *carry = 1;
        escaped |= next;
        backslashes &= ~(slash | next);
    }
    return escaped;
}

/* The portable implementation, also for the last lines of the others. */
size_t scan_same_prefix(const struct prefix *prefix, const char *line, const char *base, const uint32_t *ends, size_t n,
                        const char *limit);

/* Whether this processor can run a scanner. */
bool scanner_runs(const struct scanner *scanner);

/* The fastest scanner that this processor can run. */
const struct scanner *scanner_best(void);

#endif
