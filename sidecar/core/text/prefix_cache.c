/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix_cache.h"

const struct name_prefix *
prefix_cache_insert(struct prefix_cache *prefixes, struct ss_span beginning, struct ss_span name,
                    const struct route *route)
{
    if (beginning.len > CORE_MAX_PREFIX)
        return NULL;
    struct name_prefix *prefix = &prefixes->items[prefixes->oldest];
    prefixes->oldest = (prefixes->oldest + 1) % CORE_MAX_PREFIXES;
    prefix->len = beginning.len;
    prefix->route = *route;
    memcpy(prefix->bytes, beginning.ptr, beginning.len);
    prefix->name = (struct ss_span){prefix->bytes + (name.ptr - beginning.ptr), name.len};
    char last = beginning.ptr[beginning.len - 1];
    prefix->labels = last == '{' || last == ',' ? beginning.len : 0;
    if (beginning.len < PREFIX_WORD)
        return prefix;
    size_t half = beginning.len < 16 ? 0 : 8;
    size_t places[4] = {0, half, beginning.len - 8 - half, beginning.len - 8};
    for (size_t i = 0; i < 4; i++) {
        prefix->places[i] = places[i];
        memcpy(&prefix->words[i], prefix->bytes + places[i], sizeof(uint64_t));
    }
    return prefix;
}

const struct name_prefix *
prefix_cache_lookup(const struct prefix_cache *prefixes, struct ss_span line)
{
    for (size_t i = 0; i < CORE_MAX_PREFIXES; i++)
        if (prefix_matches(line, &prefixes->items[i]))
            return &prefixes->items[i];
    return NULL;
}

void
prefix_cache_clear(struct prefix_cache *prefixes)
{
    for (size_t i = 0; i < CORE_MAX_PREFIXES; i++)
        prefixes->items[i].len = 0;
}
