/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix_cache.h"

const struct name_prefix *
prefix_cache_insert(struct prefix_cache *cache, struct ss_span bytes, struct ss_span name, const struct route *route)
{
    if (bytes.len > CORE_MAX_PREFIX)
        return NULL;
    struct name_prefix *item = &cache->items[cache->oldest];
    cache->oldest = (cache->oldest + 1) % CORE_MAX_PREFIXES;
    prefix_set(&item->prefix, bytes);
    item->route = *route;
    item->name = (struct ss_span){item->prefix.bytes + (name.ptr - bytes.ptr), name.len};
    char last = bytes.ptr[bytes.len - 1];
    item->labels = last == '{' || last == ',' ? bytes.len : 0;
    return item;
}

const struct name_prefix *
prefix_cache_lookup(const struct prefix_cache *cache, struct ss_span line)
{
    for (size_t i = 0; i < CORE_MAX_PREFIXES; i++)
        if (prefix_matches(line, &cache->items[i].prefix))
            return &cache->items[i];
    return NULL;
}

void
prefix_cache_clear(struct prefix_cache *cache)
{
    for (size_t i = 0; i < CORE_MAX_PREFIXES; i++)
        cache->items[i].prefix.len = 0;
}
