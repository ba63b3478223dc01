/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CORE_KEY_RESOLVER_H
#define CORE_KEY_RESOLVER_H
/*
 * Which bytes of a record decide, and what the rules say before that.
 *
 * For one body. A format asks once for each name, whose fate holds for all lines of that name; only where labels decide
 * is each line asked for.
 */
#include "core/base/buffer.h"
#include "core/base/limits.h"
#include "core/select/record.h"
#include "core/text/labels.h"
#include "families.h"

#include <scrapeshard/sharding.h>

#include <stdbool.h>
#include <stdint.h>

enum route_kind {
    ROUTE_BY_HASH,   /* by its hash */
    ROUTE_ALL,       /* to every shard */
    ROUTE_NONE,      /* to none */
    ROUTE_BY_LABELS, /* each series by its source labels: key_resolver_hash_text() or key_resolver_hash_metric() */
    ROUTE_BY_SERIES, /* each series by all its labels: likewise */
    ROUTE_METADATA,  /* metadata of a family that parts: to where its samples are */
};

struct route {
    enum route_kind kind;
    bool is_split;   /* its family is not in one shard */
    uint32_t family; /* its number in the census, or 0 */
    uint32_t meta;   /* the number of a family that parts, as its metadata name it, or 0 */
    uint64_t hash;   /* ROUTE_BY_HASH */
};

struct key_label {
    struct ss_span name, value;
};

struct key_resolver {
    struct ss_sharding *sharding;
    struct families families;
    bool openmetrics;
    bool has_split_families; /* families may part, or TYPE decides: what is declared is to be remembered */
    bool may_split;          /* families may */
    bool counts_families;    /* families are counted */
    uint64_t max_families;
    struct buffer key, scratch;
    struct ss_span last_key;  /* what was hashed last; for those who explain, and borrowed from all over the place */
    struct ss_span *found;    /* of a series in hand: the source labels' values */
    struct key_label *labels; /* of one that is split: all that count */
    size_t labels_capacity;
    struct {
        struct route route;
        size_t len, family_len; /* len 0: there is none */
        const char *suffix;     /* compared by its address */
        char bytes[CORE_MAX_PREFIX];
    } last;           /* what was asked for last, and its answer */
    char reason[240]; /* of a condition */
};

/* Hashes a key. 0 or -ENOMEM. */
int key_resolver_hash(struct key_resolver *resolver, struct ss_span key, uint64_t *hashp);

/* settings as of the filter, with a sharding. 0 or -ENOMEM. */
int key_resolver_init(struct key_resolver *resolver, const struct ss_filter_settings *settings, bool openmetrics);

/*
 * The functions answer 0; a condition of filter.h, and keyer->reason tells why; or -ENOMEM. Names are given as what
 * they mean, without escapes.
 */

/* The fate of the samples of a name. In protobuf that is the message's name. */
int key_resolver_sample(struct key_resolver *resolver, struct ss_span name, struct route *route);

/* The fate of metadata for a name; type is what TYPE says of it, or empty where that is not known. */
int key_resolver_meta(struct key_resolver *resolver, struct ss_span name, struct ss_span type, struct route *route);

/* Whether names may have rules of their own. */
bool key_resolver_has_rules(const struct key_resolver *resolver);

/* Whether the fate of a name depends on metadata that came before, so that those remembered are to be forgotten when
   some come. */
bool key_resolver_depends_on_meta(const struct key_resolver *resolver);

/* Whether series of one name may have fates of their own. */
static inline bool
route_is_by_series(const struct route *route)
{
    return route->kind == ROUTE_BY_LABELS || route->kind == ROUTE_BY_SERIES;
}

/* Whether neighbours of these fates go the same way. */
static inline bool
routes_are_equal(const struct route *a, const struct route *b)
{
    return a->kind == b->kind && !route_is_by_series(a) && a->hash == b->hash && a->family == b->family &&
           a->meta == b->meta;
}

/* The hash of one series of a line of text, whose labels begin at an offset (0: it has none). */
int key_resolver_hash_text(struct key_resolver *resolver, const struct route *route, struct ss_span name,
                           struct ss_span line, size_t labels, uint64_t *hashp);

/* The hash of one series in protobuf, given the fields of its Metric. */
int key_resolver_hash_metric(struct key_resolver *resolver, const struct route *route, struct ss_span name,
                             struct ss_span metric, uint64_t *hashp);

/* Counts a record that is given out. */
void key_resolver_count(struct key_resolver *resolver, const struct record *record);

void key_resolver_deinit(struct key_resolver *resolver);

#endif
