/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_SHARDING_H
#define CORE_SHARDING_H
/* The parts of a sharding, and the routes that its rules give to names: cached, since they are the same in every
   scrape. */
#include "core/base/buffer.h"
#include "core/base/name_table.h"

#include <scrapeshard/sharding.h>

struct ss_sharding {
    struct ss_sharding_settings settings; /* with its own copies */
    struct ss_hasher *hasher;
    struct arena arena;
    bool has_rules, splits;
    bool has_name_label; /* __name__ is one of the source labels */
    struct name_table routed_names;
    struct name_route *route_cache;         /* by the name's number in routed_names; NULL: there are no rules */
    struct buffer explained, explained_key; /* borrowed by ss_explain() */
};

/* The route that the rules give to a name. */
enum name_route_kind {
    NAME_ROUTE_BY_KEY, /* no rule applies: by the key */
    NAME_ROUTE_NONE,
    NAME_ROUTE_ALL,
    NAME_ROUTE_COLOCATED,
    NAME_ROUTE_BY_SERIES,
};

struct name_route {
    enum name_route_kind kind;
    uint64_t lengths;   /* the lengths of family and suffix that it was looked up with */
    uint64_t selectors; /* as in struct rule_match: kind is for series that none of these decides about */
    uint64_t hash;      /* NAME_ROUTE_COLOCATED: of the captured groups, else of the name's own key. Where it does not
                           decide, it still tells families apart for the counts. */
};

/* The names of a line, as matched by rules. */
struct line_names {
    struct ss_span name;   /* of a sample or metadata */
    struct ss_span family; /* a prefix of name */
    const char *suffix;    /* the suffix that its samples have and metadata omit, or "" */
};

/* Joins the parts of a key with the separator. 0 or -ENOMEM. */
int sharding_join(const struct ss_sharding *sharding, const struct ss_span *parts, size_t n, struct buffer *key);

/* The key without rules: the family or, under SS_KEY_NAME, the name. */
struct ss_span sharding_key(const struct ss_sharding *sharding, const struct line_names *names);

/* 0; SS_RULE_FAILED with reason, of size bytes; -ENOMEM. */
int sharding_route(struct ss_sharding *sharding, const struct line_names *names, struct name_route *route, char *reason,
                   size_t size);

/* Explains the series of a name that no selector decides about and no labels are the key of. Returns as ss_explain();
   after EINVAL action and pattern are those of the rule that failed. */
int sharding_explain_name(struct ss_sharding *sharding, const struct line_names *names,
                          struct ss_explanation *explanation);

#endif
