/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the library's rules and sharding from [sharding] and [rules]. */
#include "config_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* What each endpoint remembers of its series when labels are the key: 90,000 of them, of 75 bytes. Others are
       hashed each time. */
    KEY_CACHE_BYTES = 8 * 1024 * 1024,
};

static struct ss_span
span_of(const char *text)
{
    return (struct ss_span){text, strlen(text)};
}

/* Rules. */

static const struct {
    int setting;
    enum ss_action action;
} actions[] = {
    {SETTING_keep, SS_ACTION_KEEP},         {SETTING_drop, SS_ACTION_DROP},   {SETTING_replicate, SS_ACTION_REPLICATE},
    {SETTING_colocate, SS_ACTION_COLOCATE}, {SETTING_split, SS_ACTION_SPLIT},
};

/* Adds the patterns of one key; an error's caret points into the pattern. */
static void
add_rules(struct builder *b, int setting, enum ss_action action)
{
    const struct string_list *patterns = (const void *)((const char *)b->config + settings[setting].offset);
    for (size_t i = 0; i < patterns->n; i++) {
        struct ss_rule_error error;
        int r = ss_rules_add(b->config->rules, action, span_of(patterns->items[i]), &error);
        b->out_of_memory |= r < 0;
        if (r <= 0)
            continue;
        builder_at_value(b, setting, i, error.offset);
        builder_error(b, "%s: %s", settings[setting].name, error.reason);
    }
}

static void
make_rules(struct builder *b)
{
    if (ss_rules_new(&b->config->rules)) {
        b->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        add_rules(b, actions[i].setting, actions[i].action);
}

/* Warns of patterns for samples that have no names of their own in some formats. */
static void
warn_of_suffixes(struct builder *b, int setting)
{
    const struct string_list *patterns = (const void *)((const char *)b->config + settings[setting].offset);
    for (size_t i = 0; i < patterns->n; i++) {
        if (!pattern_needs_suffix(patterns->items[i]))
            continue;
        builder_at_value(b, setting, i, 0);
        builder_warning(
            b,
            "%s: matches only _bucket, _sum and _count, and no histogram or summary of protobuf and OpenMetrics "
            "2.0, where these are one metric (expected its name too)",
            settings[setting].name);
    }
}

/* The sharding. */

static void
make_sharding(struct builder *b)
{
    struct config *c = b->config;
    struct ss_sharding_settings s = ss_sharding_settings_default();
    struct ss_span *labels = calloc(c->source_labels.n + 1, sizeof(*labels));

    for (size_t i = 0; labels && i < c->source_labels.n; i++)
        labels[i] = span_of(c->source_labels.items[i]);
    s.key = (enum ss_key)c->key;
    s.hash = (enum ss_hash)c->hash;
    s.placement = (enum ss_placement)c->placement;
    s.source_labels = labels;
    s.n_source_labels = c->source_labels.n;
    s.separator = span_of(c->separator);
    s.rules = c->rules;
    int r = labels ? ss_sharding_new(&c->sharding, &s) : -ENOMEM;
    free(labels);
    b->out_of_memory |= r < 0;
    if (r > 0) {
        builder_at(b, NULL, SETTING_hash);
        builder_error(b, "hash = md5 is not supported by this system's OpenSSL (expected xxh64)");
    }
}

/* A snapshot is read once for all shards, so that remembering its keys would save little. */
static void
make_key_caches(struct builder *b)
{
    struct config *c = b->config;
    for (size_t i = 0; i < c->n_endpoints && c->key == SS_KEY_LABELS; i++)
        if (!c->endpoints[i].max_age && ss_key_cache_new(&c->endpoints[i].key_cache, KEY_CACHE_BYTES))
            b->out_of_memory = true;
}

void
check_sharding(struct builder *b)
{
    const struct config *c = b->config;

    builder_at(b, NULL, SETTING_key);
    if (c->key == SS_KEY_LABELS && !c->source_labels.n)
        builder_error(b, "key = labels needs source_labels (expected source_labels = NAME, NAME)");
    if (!strcmp(c->shard_param, c->shard_count_param)) {
        builder_at_either(b, NULL, SETTING_shard_param, SETTING_shard_count_param);
        builder_error(b, "shard_param and shard_count_param must differ");
    }
    builder_at(b, NULL, SETTING_reshard_to);
    if (c->reshard_to && !c->shard_count)
        builder_error(b, "reshard_to needs shard_count, the number of shards in use (expected e.g. shard_count = 3)");
    else if (c->reshard_to && c->reshard_to == c->shard_count)
        builder_error(b, "reshard_to is shard_count already (expected another number, or off)");
    make_rules(b);
    if (!b->out_of_memory)
        make_sharding(b);
    make_key_caches(b);
    /* With other keys these formats are not asked for. */
    bool warns = b->warnings && c->sharding && ss_sharding_takes_protobuf(c->sharding);
    for (size_t i = 0; warns && i < sizeof(actions) / sizeof(actions[0]); i++)
        warn_of_suffixes(b, actions[i].setting);
}
