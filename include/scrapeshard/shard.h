/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_SHARD_H
#define SCRAPESHARD_SHARD_H
/*
 * From a key to its shard, and the set of shards that a scrape requests.
 *
 * What these functions return is a contract across releases, hosts and formats; tests/vectors pins it.
 */
#include <scrapeshard/span.h>

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The largest shard count. */
#define SS_SHARD_COUNT_MAX 65536u

/*
 * The family key of a metric name: every conventional suffix (_bucket _sum _count _total _created _info _gsum
 * _gcount) stripped until none is left, but never to nothing. Borrows from name.
 */
struct ss_span ss_key_family(struct ss_span name);

/* How a key is hashed. */
enum ss_hash {
    SS_HASH_XXH64, /* XXH64, seed 0 */
    SS_HASH_MD5,   /* the last 8 bytes of the MD5, big endian, as in Prometheus' hashmod */
};

/* How a hash becomes a shard. */
enum ss_placement {
    SS_PLACE_MODULO, /* SS_HASH_XXH64: the low 32 bits modulo the count; SS_HASH_MD5: all 64 bits */
    SS_PLACE_JUMP,   /* jump consistent hash of the 64 bits: going from N to N+1 shards moves 1/(N+1) of the keys */
};

/* A hash function and its state. */
struct ss_hasher;

/* 0: the caller owns *hasherp. ENOTSUP (positive): the system's OpenSSL does not provide MD5. -ENOMEM. */
int ss_hasher_new(struct ss_hasher **hasherp, enum ss_hash hash);

/* Hashes the bytes of a key. 0 or -ENOMEM. */
int ss_hasher_hash(struct ss_hasher *hasher, struct ss_span key, uint64_t *hashp);

/* NULL is fine. */
void ss_hasher_free(struct ss_hasher *hasher);

/* The shard of a hash made by function, out of count shards (count >= 1). */
uint32_t ss_place(enum ss_hash function, enum ss_placement placement, uint64_t hash, uint32_t count);

/* A set of shards out of a count. */
struct ss_shards;

/* Why a text is not a valid set of shards, for the person who wrote it. */
struct ss_shards_error {
    char reason[160];
};

/*
 * Reads a set of shards: one number ("3"), a list ("0,4,8"), a range ("0-15"), or a list of both; each shard at most
 * once and below count.
 *
 * 0: the caller owns *outp and frees it with ss_shards_free(). EINVAL (positive): *error says what is wrong and what
 * was expected; *outp is unchanged. -ENOMEM likewise.
 */
int ss_shards_parse(struct ss_shards **outp, struct ss_span text, uint32_t count, struct ss_shards_error *error);

/* Reads a shard count: a decimal number from 1 to SS_SHARD_COUNT_MAX. 0, or EINVAL with *error filled. */
int ss_shard_count_parse(uint32_t *countp, struct ss_span text, struct ss_shards_error *error);

uint32_t ss_shards_count(const struct ss_shards *shards);

/* Whether shard (below the count) is in the set. */
bool ss_shards_has(const struct ss_shards *shards, uint32_t shard);

/* Whether the set is a single shard; *shardp, which is always written, is it. */
bool ss_shards_is_one(const struct ss_shards *shards, uint32_t *shardp);

/*
 * The same shards out of another count. Those that it does not have are left out, so that the set may be empty: such a
 * set selects only what every shard gets. 0: the caller owns *outp. -ENOMEM.
 */
int ss_shards_with_count(struct ss_shards **outp, const struct ss_shards *shards, uint32_t count);

/* NULL is fine. */
void ss_shards_free(struct ss_shards *shards);

#ifdef __cplusplus
}
#endif
#endif
