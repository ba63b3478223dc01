/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_KEY_CACHE_H
#define SCRAPESHARD_KEY_CACHE_H
/*
 * The hashes of the series of one source under SS_KEY_LABELS, from body to body: a source writes the same series in the
 * same order each time, so each is compared with the one that followed last time, byte by byte up to its last source
 * label. Equal bytes have the same key. Anything else is read and hashed as without a cache.
 *
 * One cache is for one source and one sharding, and for filters of one thread.
 */
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ss_key_cache;

/* Uses at most max_bytes for what it remembers, and up to twice as much again while a changed body is recorded. Series
   beyond it are not remembered. 0: the caller owns *cachep. -ENOMEM. */
int ss_key_cache_new(struct ss_key_cache **cachep, size_t max_bytes);

/* The memory used, in bytes. */
size_t ss_key_cache_memory(const struct ss_key_cache *cache);

/* Only when no filter uses it. NULL is fine. */
void ss_key_cache_free(struct ss_key_cache *cache);

#ifdef __cplusplus
}
#endif
#endif
