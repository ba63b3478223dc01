/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SCAN_H
#define CORE_SCAN_H
/*
 * Where do samples end, and how many of them begin alike? The loops that see every byte and every line of a body.
 *
 * A sample ends at the first LF outside double quotes; a quote behind an odd run of backslashes is no quote. There is
 * one scanner for each kind of processor, all with the same answers: tests hold them against each other.
 */
#include "prefix_cache.h"

#include <scrapeshard/span.h>

#include <stdint.h>

enum {
    /* The most bytes scanned at once: as many as are still in the first cache when their lines are looked at. */
    SCAN_BATCH = 16 * 1024,
    /* Room for the ends of a batch; a scanner may write some too many behind those it counts. */
    SCAN_ENDS = SCAN_BATCH + 8,
};

/* What the bytes so far leave behind for the next. Zeroed at the beginning of a line. */
struct scan_carry {
    uint64_t quoted;    /* 1 inside quotes */
    uint64_t escaped;   /* 1 if the next byte stands behind an odd run of backslashes */
    uint64_t inside_lf; /* not 0 once a LF stood inside quotes */
};

struct scanner {
    const char *name;
    /* Finds the ends of samples in at most SCAN_BATCH bytes: offsets behind their LFs. Returns how many. */
    size_t (*ends)(struct ss_span in, struct scan_carry *carry, uint32_t *ends);
    /* Counts the lines that begin like a head, up to the first that does not. The first of the n begins at line, each
       ends where its offset from base says. limit is where the bytes end that may be read. */
    size_t (*count_same_prefix)(const struct name_prefix *prefix, const char *line, const char *base,
                                const uint32_t *ends, size_t n, const char *limit);
};

extern const struct scanner scanner_portable;
#ifdef __x86_64__
extern const struct scanner scanner_avx2;
extern const struct scanner scanner_avx512;
#endif
#ifdef __aarch64__
extern const struct scanner scanner_neon;
#endif

/* The bytes that a backslash takes the meaning from; backslashes are rare, so one by one. */
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

/* The portable way to count, for where others end. */
size_t scan_same_prefix(const struct name_prefix *prefix, const char *line, const char *base, const uint32_t *ends,
                        size_t n, const char *limit);

/* Whether this processor can run a scanner. */
bool scanner_runs(const struct scanner *scanner);

/* The fastest scanner that this processor can run. */
const struct scanner *scanner_best(void);

#endif
