/* SPDX-License-Identifier: Apache-2.0 */
#include "balance.h"

struct shard_balance
balance_of(const struct shard_load *loads, uint32_t count)
{
    struct shard_balance b = {.count = count};
    double series = 0, bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        series += (double)loads[i].series;
        bytes += (double)loads[i].bytes;
        if (loads[i].series > b.most_series) {
            b.most_series = loads[i].series;
            b.fullest = i;
        }
        if (loads[i].bytes > b.most_bytes)
            b.most_bytes = loads[i].bytes;
    }
    b.mean_series = series / count;
    b.mean_bytes = bytes / count;
    b.by_series = series > 0 ? (double)b.most_series / b.mean_series : 1;
    b.by_bytes = bytes > 0 ? (double)b.most_bytes / b.mean_bytes : 1;
    return b;
}
