/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_BALANCE_H
#define SERVICE_BALANCE_H
/* How evenly a body is distributed over its shards. */
#include <stdint.h>

/* One shard. */
struct shard_load {
    uint64_t series, bytes, families;
};

/* The balance of a shard count. */
struct shard_balance {
    uint32_t count, fullest; /* fullest: the first shard with the most series */
    uint64_t most_series, most_bytes;
    double mean_series, mean_bytes; /* per shard */
    double by_series, by_bytes;     /* skew: the most / the mean; 1 for nothing at all */
};

struct shard_balance balance_of(const struct shard_load *loads, uint32_t count);

#endif
