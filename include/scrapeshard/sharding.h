/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_SHARDING_H
#define SCRAPESHARD_SHARDING_H
/*
 * How bodies are sharded: which bytes are the key, how they are hashed and placed, and the rules that come first.
 *
 * Created once and used by any number of filters and indexes of one thread.
 */
#include <scrapeshard/rules.h>
#include <scrapeshard/shard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which bytes are the key. */
enum ss_key {
    SS_KEY_FAMILY,   /* ss_key_family() of the name: families stay whole in every format */
    SS_KEY_DECLARED, /* the family name as declared by TYPE (protobuf: name), else the sample's. In OpenMetrics 2.0
                        without the _total of a counter and the _info of an info: as 1.0 declares it. */
    SS_KEY_NAME,     /* the sample's own name */
    SS_KEY_LABELS,   /* values of labels */
};

struct ss_sharding_settings {
    enum ss_key key;
    enum ss_hash hash;
    enum ss_placement placement;
    /* SS_KEY_LABELS: their values, joined by the separator, are the key. A missing label is empty; __name__ is the
       sample's name. */
    const struct ss_span *source_labels;
    size_t n_source_labels;
    struct ss_span separator; /* also between the groups of a colocate rule */
    struct ss_rules *rules;   /* NULL: none. Borrowed while the sharding lives, by it alone. */
};

/* Defaults: family, XXH64, modulo, no labels, ";", no rules. */
struct ss_sharding_settings ss_sharding_settings_default(void);

struct ss_sharding;

/* 0: the caller owns *shardingp; everything in *settings but the rules was copied. ENOTSUP (positive): the hash is
   not available, see ss_hasher_new(). -ENOMEM. */
int ss_sharding_new(struct ss_sharding **shardingp, const struct ss_sharding_settings *settings);

/* The shard of a hash out of count (>= 1). */
uint32_t ss_sharding_place(const struct ss_sharding *sharding, uint64_t hash, uint32_t count);

/*
 * Whether the key works in protobuf and OpenMetrics 2.0. There a histogram is one metric whose samples have no names
 * and no le label of their own: SS_KEY_NAME does not work, nor do __name__, le or quantile as source labels.
 */
bool ss_sharding_takes_protobuf(const struct ss_sharding *sharding);

/* A group of families that colocate rules name: NAME: PATTERN. */
struct ss_group {
    struct ss_span name; /* the key; borrowed from the sharding's rules */
    uint64_t hash;       /* of the key */
};

/* The named groups, each once, in the order of their rules. Writes at most n of them; *np is how many there are. 0 or
   -ENOMEM. */
int ss_sharding_groups(struct ss_sharding *sharding, struct ss_group *out, size_t n, size_t *np);

/* NULL is fine. */
void ss_sharding_free(struct ss_sharding *sharding);

/* How a series is assigned to its shard. */
struct ss_explanation {
    struct ss_span name;    /* of the sample, unescaped */
    struct ss_span family;  /* of the name */
    struct ss_span key;     /* empty if there is none */
    uint64_t hash;          /* of the key */
    const char *action;     /* "drop", "keep" (no keep rule matched), "replicate"...; NULL: no rule applied */
    struct ss_span pattern; /* the rule's; empty under "keep" */
    /* The first rule whose selector decides about series of this name, by their labels, whether or not it applies to
       this one; NULL and empty: none. */
    const char *label_action;
    struct ss_span label_pattern;
    char reason[240]; /* why the series cannot be explained */
};

/*
 * Explains a series as written in the text format: a name, perhaps with labels in braces, without a value. No TYPE is
 * known, so SS_KEY_DECLARED uses the name as it is. action says whether the series has a single shard: under "drop" and
 * "keep" it has none, under "replicate" all.
 *
 * 0: the spans of *explanation are borrowed from the sharding until the next call. EINVAL (positive): reason is filled.
 * -ENOMEM.
 */
int ss_explain(struct ss_sharding *sharding, struct ss_span series, struct ss_explanation *explanation);

#ifdef __cplusplus
}
#endif
#endif
