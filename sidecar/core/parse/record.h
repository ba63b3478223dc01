/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H
/*
 * The record stream. On its producer side, a format cuts a body into records and finds the hash of each one's key: that
 * depends on the body alone. On its consumer side, a selection keeps the records of some shards: that depends on the
 * request alone.
 *
 * A record is one line, a run of neighbouring lines with the same route, or a piece of them; the records in their order
 * are the body without gaps. Only RECORD_REPEATED bytes occur twice.
 */
#include <scrapeshard/span.h>

#include <stdint.h>

enum record_flags {
    RECORD_UNKEYED = 1,  /* has no key: comments and blank lines, which go to shard 0 */
    RECORD_ALL = 2,      /* goes to every shard: the end marker, and replicated series */
    RECORD_DROPPED = 4,  /* goes to no shard */
    RECORD_METADATA = 8, /* metadata of a split family: goes before its first sample in each shard that has one */

    /* A protobuf family that is split is several records, in one or more parts: */
    RECORD_FAMILY_BEGIN = 16, /* a part starts; the bytes are the length of the family, or empty */
    RECORD_FAMILY_FIELD = 32, /* goes where the metrics of its part go; those are ordinary records */
    RECORD_REPEATED = 64,     /* with RECORD_FAMILY_FIELD: repeated from an earlier part; not part of the body */
    RECORD_FAMILY_END = 128,  /* a part ends; no bytes */

    /* With RECORD_METADATA or RECORD_FAMILY_BEGIN: goes to the shard of the hash in any case, even without samples. */
    RECORD_AT_HASH = 256,
    /* With RECORD_FAMILY_BEGIN: some metrics of the part may be dropped, so that its length may change for everyone. */
    RECORD_PARTIAL = 512,
};

struct record {
    struct ss_span bytes;
    uint64_t hash;   /* of the key; unused under a flag */
    uint32_t flags;  /* enum record_flags */
    uint32_t family; /* number of its family among the counted ones, or 0 */
    uint32_t meta;   /* number of its family if that is split, by which its metadata are found; or 0 */
    uint64_t series; /* number of samples */
};

/*
 * Receives the records of a format. Their bytes live until flush() or until the feed() or end() of the format returns;
 * a format that reuses its own memory flushes first. Both return 0 or a negative errno value.
 */
struct records {
    int (*take)(void *ctx, const struct record *record);
    int (*flush)(void *ctx);
    void *ctx;
};

#endif
