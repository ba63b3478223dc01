/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_PREFIX_CACHE_H
#define CORE_PREFIX_CACHE_H
/* A cache of how the samples of one name start, so that the following ones need not be parsed. */
#include "core/key/key_resolver.h"
#include "core/text/prefix.h"

struct name_prefix {
    struct prefix prefix;
    struct route route;
    struct ss_span name; /* points into the prefix */
    size_t labels;       /* where the labels of the lines start; 0: unknown */
};

/* The most recent ones. Zeroed is empty. */
struct prefix_cache {
    struct name_prefix items[CORE_MAX_PREFIXES];
    size_t oldest; /* the one to replace next */
};

/* The prefix that a line starts with, or NULL. Borrowed until it is replaced. */
const struct name_prefix *prefix_cache_lookup(const struct prefix_cache *cache, struct ss_span line);

/* Adds a prefix, given the position of the name in its bytes and its route, and drops the oldest. NULL if it is too
   long: its lines are parsed one by one. */
const struct name_prefix *prefix_cache_insert(struct prefix_cache *cache, struct ss_span bytes, struct ss_span name,
                                              const struct route *route);

/* Removes all. */
void prefix_cache_clear(struct prefix_cache *cache);

#endif
