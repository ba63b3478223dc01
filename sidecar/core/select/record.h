/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H
/*
 * The waist of the library. Left of it, a format cuts a body into records and gives each its key's hash: that depends
 * on the body alone. Right of it, a selection keeps the records of some shards: that depends on the question alone.
 *
 * A record is one line, one run of neighbouring lines with the same fate, or a piece of them; what the records say in
 * order is the body, without a gap. Only in RECORD_REPEATED stand bytes twice.
 */
#include <scrapeshard/span.h>

#include <stdint.h>

enum record_flags {
    RECORD_UNKEYED = 1,  /* has no key: comments and blank lines, which go to shard 0 */
    RECORD_ALL = 2,      /* goes to every shard: the end marker, and what is replicated */
    RECORD_DROPPED = 4,  /* goes to none */
    RECORD_METADATA = 8, /* metadata of a family that parts: before its first sample in each shard that has one */

    /* A protobuf family whose metrics part, a frame, is several records: */
    RECORD_FAMILY_BEGIN = 16, /* it begins here; the bytes are its length, or nothing */
    RECORD_FAMILY_FIELD = 32, /* goes to where its metrics go; the metrics are records as any other */
    RECORD_REPEATED = 64,     /* with RECORD_FAMILY_FIELD: said before; these bytes are no part of the body */
    RECORD_FAMILY_END = 128   /* it has come to its end; no bytes */
};

struct record {
    struct ss_span bytes;
    uint64_t hash;   /* of the key; nothing under a flag */
    uint32_t flags;  /* enum record_flags */
    uint32_t family; /* number of its family in the census, or 0 */
    uint32_t meta;   /* number of its family, if that parts, by which its metadata are found; or 0 */
    uint64_t series; /* samples in it */
};

/*
 * Where a format puts its records. Their bytes live until settle() or until the format's feed() or end() returns;
 * a format that re-uses its own memory settles first. Both answer 0 or a negative errno value.
 */
struct records {
    int (*take)(void *ctx, const struct record *record);
    int (*flush)(void *ctx);
    void *ctx;
};

#endif
