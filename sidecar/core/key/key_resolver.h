/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_KEY_RESOLVER_H
#define CORE_KEY_RESOLVER_H
/*
 * Resolves names and labels to the key of a record, after applying the rules.
 *
 * For one body. A parser asks once per name, and the route holds for all lines of that name; only where labels are part
 * of the key is each line resolved.
 */
#include "core/base/buffer.h"
#include "core/base/limits.h"
#include "families.h"
#include "key_cache.h"
#include "md5_multi.h"
#include "selector.h"

#include <scrapeshard/sharding.h>

#include <stdbool.h>
#include <stdint.h>

enum route_kind {
    ROUTE_BY_HASH,   /* to the shard of its hash */
    ROUTE_ALL,       /* to every shard */
    ROUTE_NONE,      /* to none */
    ROUTE_BY_LABELS, /* each series by its source labels, with key_resolver_hash_text() or key_resolver_hash_metric() */
    ROUTE_BY_SERIES, /* each series by all its labels: likewise */
    ROUTE_METADATA,  /* metadata of a split family: where its samples are */
    ROUTE_METADATA_AT_HASH, /* likewise, and in any case in the shard of its hash */
};

struct route {
    enum route_kind kind;
    bool is_split;      /* its family is split across shards */
    uint32_t family;    /* its number among the counted families, or 0 */
    uint32_t meta;      /* the number of a split family, by which its metadata are found, or 0 */
    uint64_t hash;      /* ROUTE_BY_HASH */
    uint64_t selectors; /* not 0: each series has its own route, by key_resolver_select_text() or _metric(), which is
                           this one unless a selector drops or replicates it */
};

struct key_label {
    struct ss_span name, value;
};

struct key_resolver {
    struct ss_sharding *sharding;
    struct families families;
    enum text_syntax syntax; /* of the samples: which suffixes their names have */
    bool has_split_families; /* families may be split, or TYPE is part of the key: declarations must be remembered */
    bool may_split;          /* families may be split */
    bool counts_families;    /* families are counted individually */
    uint64_t max_families;
    struct buffer key, scratch;
    struct md5_multi *md5;           /* NULL: series are not keyed by MD5 of their labels */
    struct key_cursor cursor;        /* in the cache */
    struct selector_values selected; /* of the current series */
    struct ss_span *found;           /* the source label values of the current series */
    struct key_label *labels;        /* the labels that are the key of a split series */
    size_t labels_capacity;
    struct {
        struct route route;
        size_t len, family_len; /* len 0: none */
        const char *suffix;     /* compared by address */
        char bytes[CORE_MAX_PREFIX];
    } last;           /* the last lookup and its route */
    char reason[240]; /* of a condition */
};

/* settings as of the filter, with a sharding. 0 or -ENOMEM. */
int key_resolver_init(struct key_resolver *resolver, const struct ss_filter_settings *settings,
                      enum text_syntax syntax);

/*
 * The functions return 0; a condition of filter.h, with resolver->reason; or -ENOMEM. Names are passed unescaped.
 */

/* The route of the samples of a name. In protobuf that is the name of the message. */
int key_resolver_sample(struct key_resolver *resolver, struct ss_span name, struct route *route);

/* The route of metadata for a name; type is what TYPE declares, or empty if unknown. */
int key_resolver_meta(struct key_resolver *resolver, struct ss_span name, struct ss_span type, struct route *route);

/* Whether the route of metadata may depend on the type, which other lines of the family may declare. */
bool key_resolver_needs_type(const struct key_resolver *resolver);

/* Whether routes depend on preceding metadata, so that cached ones must be dropped when metadata come. */
bool key_resolver_depends_on_meta(const struct key_resolver *resolver);

/* Whether series of one name may have different routes. */
static inline bool
route_is_by_series(const struct route *route)
{
    return route->kind == ROUTE_BY_LABELS || route->kind == ROUTE_BY_SERIES || route->selectors;
}

/* Whether neighbouring records with these routes go the same way. */
static inline bool
routes_are_equal(const struct route *a, const struct route *b)
{
    return a->kind == b->kind && !route_is_by_series(a) && !b->selectors && a->hash == b->hash &&
           a->family == b->family && a->meta == b->meta;
}

/* The route of one series of a line of text, whose labels start at an offset (0: it has none), by the selectors of its
   name's route: a route without selectors. */
int key_resolver_select_text(struct key_resolver *resolver, const struct route *route, struct ss_span line,
                             size_t labels, struct route *own);

/* The same for one protobuf series, given the fields of its Metric. */
int key_resolver_select_metric(struct key_resolver *resolver, const struct route *route, struct ss_span metric,
                               struct route *own);

/* The key of one series of a line of text, whose labels start at an offset (0: it has none). Borrowed until the next
   key, from the line, the name or the resolver. */
int key_resolver_key_text(struct key_resolver *resolver, const struct route *route, struct ss_span name,
                          struct ss_span line, size_t labels, struct ss_span *keyp);

/* The hash of that key. */
int key_resolver_hash_text(struct key_resolver *resolver, const struct route *route, struct ss_span name,
                           struct ss_span line, size_t labels, uint64_t *hashp);

/* The source labels of a series. */
struct found_labels {
    struct ss_span *values; /* where they go, borrowed from the line and the name */
    struct ss_span bytes;   /* of the line, which decide the key; empty: not only they do */
    bool is_hashed;         /* by the cache, and there are no values */
    uint64_t hash;
};

/*
 * The same under ROUTE_BY_LABELS in two steps, for several series: MD5 is faster for many. labels is not 0.
 *
 * Looks in the cache, or finds the values. False: they are not written as usual, and only key_resolver_hash_text() can
 * read them.
 */
bool key_resolver_find_labels(struct key_resolver *resolver, struct ss_span name, struct ss_span line, size_t labels,
                              struct found_labels *found);

/* Whether hashing waits for other series: for their MD5, or so that this body is recorded. */
static inline bool
key_resolver_delays(const struct key_resolver *resolver, const struct found_labels *found)
{
    return key_cursor_records(&resolver->cursor) || (resolver->md5 && !found->is_hashed);
}

/* The hash; *hashp may be written only by key_resolver_finish_hashes(). */
int key_resolver_hash_found(struct key_resolver *resolver, const struct found_labels *found, uint64_t *hashp);
void key_resolver_finish_hashes(struct key_resolver *resolver);

/* The hash of one protobuf series, given the fields of its Metric. */
int key_resolver_hash_metric(struct key_resolver *resolver, const struct route *route, struct ss_span name,
                             struct ss_span metric, uint64_t *hashp);

/* Counts an emitted record of a numbered family, or of none (0). */
void key_resolver_count(struct key_resolver *resolver, uint32_t family, uint64_t series, size_t bytes);

/* And how many of its series go to no shard or to every shard. */
void key_resolver_count_others(struct key_resolver *resolver, uint32_t family, uint64_t dropped, uint64_t replicated);

void key_resolver_deinit(struct key_resolver *resolver);

#endif
