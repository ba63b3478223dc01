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
    struct names ruled;
    struct ruling *rulings;                /* by the name's number in ruled; NULL: there are no rules */
    struct bytes explained, explained_key; /* what ss_explain() lends out */
};

/* What the rules say of a name. */
enum ruling_kind {
    RULING_NONE, /* the key decides */
    RULING_DROPPED,
    RULING_EVERY,
    RULING_COLOCATED,
    RULING_SPLIT,
};

struct ruling {
    enum ruling_kind kind;
    uint64_t asked; /* the lengths of family and suffix, by which it was asked for */
    uint64_t hash;  /* of the key: of what the groups caught, RULING_COLOCATED; else of the names' own. Where neither
                       decides  it still tells one family from the next, for those who count. */
};

/* A line's names, as rules see them. */
struct ruled_names {
    struct ss_span name;   /* of a sample or of metadata */
    struct ss_span family; /* a beginning of name */
    const char *suffix;    /* of metadata: what its samples have behind the name, or "" */
};

/* Joins the parts of a key with the separator. 0 or -ENOMEM. */
int sharding_join(const struct ss_sharding *sharding, const struct ss_span *parts, size_t n, struct bytes *key);

/* The names' own key: the family, or, under SS_KEY_NAME, the name. */
struct ss_span sharding_key(const struct ss_sharding *sharding, const struct ruled_names *names);

/* 0; SS_RULE_FAILED, and reason, of size bytes, says why; -ENOMEM. */
int sharding_rule(struct ss_sharding *sharding, const struct ruled_names *names, struct ruling *ruling, char *reason,
                  size_t size);

#endif
