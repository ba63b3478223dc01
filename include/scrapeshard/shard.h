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

/* XXH64 of the key bytes, seed 0. */
uint64_t ss_hash_xxh64(struct ss_span key);

/* The shard of a hash among count shards (count >= 1): its low 32 bits modulo count. */
uint32_t ss_place_modulo(uint64_t hash, uint32_t count);

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

/* NULL is fine. */
void ss_shards_free(struct ss_shards *shards);

#ifdef __cplusplus
}
#endif
#endif
