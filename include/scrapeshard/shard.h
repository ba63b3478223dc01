/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_SHARD_H
#define SCRAPESHARD_SHARD_H
/*
 * From a key to its shard, and which shards a scrape asked for.
 *
 * What these functions answer is a contract across releases, hosts and formats: tests/vectors pins it.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most shards a body can be split into. */
#define SS_SHARD_COUNT_MAX 65536u

/*
 * The family key of a metric name: every conventional suffix (_bucket _sum _count _total _created _info _gsum
 * _gcount) stripped until none is left, but never to nothing. Borrows from name.
 */
struct ss_span ss_key_family(struct ss_span name);

/* How a key is hashed. */
enum ss_hash {
    SS_HASH_XXH64, /* XXH64, seed 0 */
    SS_HASH_MD5,   /* the last 8 bytes of the MD5, big endian, as Prometheus' hashmod takes them */
};

/* How a hash becomes a shard. */
enum ss_placement {
    SS_PLACE_MODULO, /* of SS_HASH_XXH64 the low 32 bits modulo the count, of SS_HASH_MD5 all 64 */
    SS_PLACE_JUMP,   /* jump consistent hash of the 64 bits: from N to N+1 shards, 1/(N+1) of the keys move */
};

/* A hash function with what it needs. */
struct ss_hasher;

/* 0: *hasherp is the caller's. ENOTSUP (positive): this system's library does without MD5. -ENOMEM. */
int ss_hasher_new(struct ss_hasher **hasherp, enum ss_hash hash);

/* The hash of the key bytes. 0 or -ENOMEM. */
int ss_hasher_hash(struct ss_hasher *hasher, struct ss_span key, uint64_t *hashp);

/* NULL is fine. */
void ss_hasher_free(struct ss_hasher *hasher);

/* The shard of a hash, which was made by that function, among count shards (count >= 1). */
uint32_t ss_place(enum ss_hash function, enum ss_placement placement, uint64_t hash, uint32_t count);

/* A set of shards out of a count. */
struct ss_shards;

/* Why a text is no set of shards, in words for the one who wrote it. */
struct ss_shards_error {
    char reason[160];
};

/*
 * Reads a set of shards: one number ("3"), a list ("0,4,8"), a range ("0-15"), or a list of both, each shard named
 * once and below count.
 *
 * 0: *outp is the caller's, to be freed with ss_shards_free(). EINVAL (positive): *error says what is wrong and what
 * would be right; *outp is untouched. -ENOMEM likewise.
 */
int ss_shards_parse(struct ss_shards **outp, struct ss_span text, uint32_t count, struct ss_shards_error *error);

/* Reads a shard count: a decimal number from 1 to SS_SHARD_COUNT_MAX. 0, or EINVAL with *error filled. */
int ss_shard_count_parse(uint32_t *countp, struct ss_span text, struct ss_shards_error *error);

uint32_t ss_shards_count(const struct ss_shards *shards);

/* Whether shard (below the count) is in the set. */
bool ss_shards_has(const struct ss_shards *shards, uint32_t shard);

/* Whether it is one shard alone: *shardp, which is filled in any case. */
bool ss_shards_is_one(const struct ss_shards *shards, uint32_t *shardp);

/* NULL is fine. */
void ss_shards_free(struct ss_shards *shards);

#ifdef __cplusplus
}
#endif
#endif
