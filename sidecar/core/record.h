/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H
/*
 * The waist of the library. Left of it, a format cuts a body into records and gives each its key's hash: that depends
 * on the body alone. Right of it, a selection keeps the records of some shards: that depends on the question alone.
 *
 * A record is one line, one run of neighbouring lines with the same fate, or a piece of them; what the pieces say in
 * order is the body, without a gap.
 */
#include <scrapeshard/span.h>

#include <stdint.h>

enum record_flags {
    RECORD_LOOSE = 1, /* has no key: comments and blank lines, which go to shard 0 */
    RECORD_EVERY = 2, /* goes to every shard: the end marker */
};

struct record {
    struct ss_span bytes;
    uint64_t hash;   /* of the key; nothing under RECORD_LOOSE and RECORD_EVERY */
    uint32_t flags;  /* enum record_flags */
    uint64_t series; /* samples in it */
};

/*
 * Where a format puts its records. Their bytes live until settle() or until the format's feed() or end() returns;
 * a format that re-uses its own memory settles first. Both answer 0 or a negative errno value.
 */
struct records {
    int (*take)(void *ctx, const struct record *record);
    int (*settle)(void *ctx);
    void *ctx;
};

#endif
