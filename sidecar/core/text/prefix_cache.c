/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix_cache.h"

const struct name_prefix *
prefix_cache_insert(struct prefix_cache *prefixes, struct ss_span prefix_bytes, struct ss_span name,
                    const struct route *route)
{
    if (prefix_bytes.len > CORE_MAX_PREFIX)
        return NULL;
    struct name_prefix *prefix = &prefixes->items[prefixes->oldest];
    prefixes->oldest = (prefixes->oldest + 1) % CORE_MAX_PREFIXES;
    prefix->len = prefix_bytes.len;
    prefix->route = *route;
    memcpy(prefix->bytes, prefix_bytes.ptr, prefix_bytes.len);
    prefix->name = (struct ss_span){prefix->bytes + (name.ptr - prefix_bytes.ptr), name.len};
    char last = prefix_bytes.ptr[prefix_bytes.len - 1];
    prefix->labels = last == '{' || last == ',' ? prefix_bytes.len : 0;
    if (prefix_bytes.len < PREFIX_WORD)
        return prefix;
    size_t half = prefix_bytes.len < 16 ? 0 : 8;
    size_t offsets[4] = {0, half, prefix_bytes.len - 8 - half, prefix_bytes.len - 8};
    for (size_t i = 0; i < 4; i++) {
        prefix->offsets[i] = offsets[i];
        memcpy(&prefix->words[i], prefix->bytes + offsets[i], sizeof(uint64_t));
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
