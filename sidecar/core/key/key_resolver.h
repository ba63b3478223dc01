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
#include "families.h"
#include "core/text/labels.h"
#include "core/base/limits.h"
#include "core/select/record.h"

#include <scrapeshard/sharding.h>

#include <stdbool.h>
#include <stdint.h>

enum fate_kind {
    FATE_HASHED,  /* by its hash */
    FATE_EVERY,   /* to every shard */
    FATE_DROPPED, /* to none */
    FATE_LABELS,  /* each series by its source labels: keyer_hash_text() or keyer_hash_metric() */
    FATE_SPLIT,   /* each series by all its labels: likewise */
    FATE_META,    /* metadata of a family that parts: to where its samples are */
};

struct fate {
    enum fate_kind kind;
    bool parts;      /* its family is not in one shard */
    uint32_t family; /* its number in the census, or 0 */
    uint32_t meta;   /* the number of a family that parts, as its metadata name it, or 0 */
    uint64_t hash;   /* FATE_HASHED */
};

struct key_label {
    struct ss_span name, value;
};

struct keyer {
    struct ss_sharding *sharding;
    struct families families;
    bool openmetrics;
    bool parts;    /* families may part, or TYPE decides: what is declared is to be remembered */
    bool may_part; /* families may */
    bool census;   /* families are counted */
    uint64_t max_families;
    struct bytes key, scratch;
    struct ss_span last_key;  /* what was hashed last; for those who explain, and borrowed from all over the place */
    struct ss_span *found;    /* of a series in hand: the source labels' values */
    struct key_label *labels; /* of one that is split: all that count */
    size_t labels_capacity;
    struct {
        struct fate fate;
        size_t len, family_len; /* len 0: there is none */
        const char *suffix;     /* compared by its address */
        char bytes[LIMIT_HEAD];
    } last;           /* what was asked for last, and its answer */
    char reason[240]; /* of a condition */
};

/* Hashes a key. 0 or -ENOMEM. */
int keyer_hash(struct keyer *keyer, struct ss_span key, uint64_t *hashp);

/* settings as of the filter, with a sharding. 0 or -ENOMEM. */
int keyer_init(struct keyer *keyer, const struct ss_filter_settings *settings, bool openmetrics);

/*
 * The functions answer 0; a condition of filter.h, and keyer->reason tells why; or -ENOMEM. Names are given as what
 * they mean, without escapes.
 */

/* The fate of the samples of a name. In protobuf that is the message's name. */
int keyer_sample(struct keyer *keyer, struct ss_span name, struct fate *fate);

/* The fate of metadata for a name; type is what TYPE says of it, or empty where that is not known. */
int keyer_meta(struct keyer *keyer, struct ss_span name, struct ss_span type, struct fate *fate);

/* Whether names may have rules of their own. */
bool keyer_has_rules(const struct keyer *keyer);

/* Whether the fate of a name depends on metadata that came before, so that those remembered are to be forgotten when
   some come. */
bool keyer_depends_on_meta(const struct keyer *keyer);

/* Whether series of one name may have fates of their own. */
static inline bool
fate_is_by_series(const struct fate *fate)
{
    return fate->kind == FATE_LABELS || fate->kind == FATE_SPLIT;
}

/* Whether neighbours of these fates go the same way. */
static inline bool
fates_are_one(const struct fate *a, const struct fate *b)
{
    return a->kind == b->kind && !fate_is_by_series(a) && a->hash == b->hash && a->family == b->family &&
           a->meta == b->meta;
}

/* The hash of one series of a line of text, whose labels begin at an offset (0: it has none). */
int keyer_hash_text(struct keyer *keyer, const struct fate *fate, struct ss_span name, struct ss_span line,
                    size_t labels, uint64_t *hashp);

/* The hash of one series in protobuf, given the fields of its Metric. */
int keyer_hash_metric(struct keyer *keyer, const struct fate *fate, struct ss_span name, struct ss_span metric,
                      uint64_t *hashp);

/* Counts a record that is given out. */
void keyer_count(struct keyer *keyer, const struct record *record);

void keyer_deinit(struct keyer *keyer);

#endif
