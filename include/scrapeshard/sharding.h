/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCRAPESHARD_SHARDING_H
#define SCRAPESHARD_SHARDING_H
/*
 * How bodies fall into shards: which bytes are the key, how they are hashed and placed, and the rules before that.
 *
 * Built once, and used by any number of filters and indexes of one thread.
 */
#include <scrapeshard/rules.h>
#include <scrapeshard/shard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which bytes decide. */
enum ss_key {
    SS_KEY_FAMILY,   /* ss_key_family() of the name: families stay whole, in every format */
    SS_KEY_DECLARED, /* the family's name as TYPE declares it (protobuf: name), else the sample's */
    SS_KEY_NAME,     /* the sample's own name */
    SS_KEY_LABELS,   /* values of labels */
};

struct ss_sharding_settings {
    enum ss_key key;
    enum ss_hash hash;
    enum ss_placement placement;
    /* Under SS_KEY_LABELS: their values, joined by the separator, are the key. A missing one is empty; __name__ is the
       sample's name. */
    const struct ss_span *source_labels;
    size_t n_source_labels;
    struct ss_span separator; /* between the groups of a colocate rule, too */
    struct ss_rules *rules;   /* NULL: none. Borrowed while the sharding lives; for it alone. */
};

/* Family, XXH64, modulo, no labels, ";", no rules. */
struct ss_sharding_settings ss_sharding_settings_default(void);

struct ss_sharding;

/* 0: *shardingp is the caller's; all of *settings but the rules was copied. ENOTSUP (positive): the hash cannot be had,
   see ss_hasher_new(). -ENOMEM. */
int ss_sharding_new(struct ss_sharding **shardingp, const struct ss_sharding_settings *settings);

/* The shard of a hash among count (>= 1). */
uint32_t ss_sharding_place(const struct ss_sharding *sharding, uint64_t hash, uint32_t count);

/*
 * Whether the key can be honoured in protobuf. There a histogram is one metric, whose samples have no names and no le
 * of their own: not under SS_KEY_NAME, nor with __name__, le or quantile among the source labels.
 */
bool ss_sharding_takes_protobuf(const struct ss_sharding *sharding);

/* NULL is fine. */
void ss_sharding_free(struct ss_sharding *sharding);

/* How a series comes to its shard. */
struct ss_explanation {
    struct ss_span name;    /* of the sample, unescaped */
    struct ss_span family;  /* of the name */
    struct ss_span key;     /* empty where there is none */
    uint64_t hash;          /* of the key */
    const char *action;     /* "drop", "keep" (what no keep rule matched), "replicate"...; NULL: no rule decided */
    struct ss_span pattern; /* of the rule; empty under "keep" */
    char reason[240];       /* why it cannot be told */
};

/*
 * Explains a series as it is written in text: a name, perhaps with labels in braces, without a value. No TYPE is known,
 * so that under SS_KEY_DECLARED the name stands for itself. Whether the series has a shard of its own tells action:
 * none under "drop" and "keep", all under "replicate".
 *
 * 0: *explanation's spans are borrowed from the sharding until the next call. EINVAL (positive): reason is filled.
 * -ENOMEM.
 */
int ss_explain(struct ss_sharding *sharding, struct ss_span series, struct ss_explanation *explanation);

#ifdef __cplusplus
}
#endif
#endif
