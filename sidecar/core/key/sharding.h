/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SHARDING_H
#define CORE_SHARDING_H
/* What a sharding is made of, and what its rules say of a name: remembered, for they say the same every scrape. */
#include "core/base/buffer.h"
#include "core/base/name_table.h"

#include <scrapeshard/sharding.h>

struct ss_sharding {
    struct ss_sharding_settings settings; /* with copies of its own */
    struct ss_hasher *hasher;
    struct arena arena;
    bool has_rules, splits;
    bool has_name_label; /* __name__ is one of the source labels */
    struct name_table routed_names;
    struct name_route *route_cache;         /* by the name's number in ruled; NULL: there are no rules */
    struct buffer explained, explained_key; /* what ss_explain() lends out */
};

/* What the rules say of a name. */
enum name_route_kind {
    NAME_ROUTE_BY_KEY, /* the key decides */
    NAME_ROUTE_NONE,
    NAME_ROUTE_ALL,
    NAME_ROUTE_COLOCATED,
    NAME_ROUTE_BY_SERIES,
};

struct name_route {
    enum name_route_kind kind;
    uint64_t asked; /* the lengths of family and suffix, by which it was asked for */
    uint64_t hash; /* of the key: of what the groups caught, NAME_ROUTE_COLOCATED; else of the names' own. Where neither
                      decides  it still tells one family from the next, for those who count. */
};

/* A line's names, as rules see them. */
struct line_names {
    struct ss_span name;   /* of a sample or of metadata */
    struct ss_span family; /* a beginning of name */
    const char *suffix;    /* of metadata: what its samples have behind the name, or "" */
};

/* Joins the parts of a key with the separator. 0 or -ENOMEM. */
int sharding_join(const struct ss_sharding *sharding, const struct ss_span *parts, size_t n, struct buffer *key);

/* The names' own key: the family, or, under SS_KEY_NAME, the name. */
struct ss_span sharding_key(const struct ss_sharding *sharding, const struct line_names *names);

/* 0; SS_RULE_FAILED, and reason, of size bytes, says why; -ENOMEM. */
int sharding_route(struct ss_sharding *sharding, const struct line_names *names, struct name_route *route, char *reason,
                   size_t size);

#endif
