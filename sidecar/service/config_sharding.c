/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration says of [sharding] and [rules], looked at as a whole. */
#include "config_build.h"

#include <string.h>

/* What is wrong with a rule's pattern, and at which byte of it; NULL if nothing is. */
static const char *
pattern_mistake(const char *pattern, size_t *offset)
{
    *offset = 0;
    return *pattern ? NULL : "the pattern is empty; a regular expression is right, as in http_.*";
}

/* Each pattern by itself; a mistake's caret stands in the pattern. */
static void
check_rules(struct builder *b)
{
    for (int setting = 0; setting < SETTINGS; setting++) {
        if (settings[setting].type != TYPE_patterns)
            continue;
        const struct texts *patterns = (const void *)((const char *)b->config + settings[setting].offset);
        for (size_t i = 0; i < patterns->n; i++) {
            size_t offset;
            const char *wrong = pattern_mistake(patterns->items[i], &offset);
            if (!wrong)
                continue;
            builder_place_in(b, setting, i, offset);
            builder_mistake(b, "%s: %s", settings[setting].name, wrong);
        }
    }
}

void
check_sharding(struct builder *b)
{
    const struct config *c = b->config;

    builder_place_at(b, NULL, SETTING_key);
    if (c->key != KEY_FAMILY)
        builder_mistake(b, "a key other than family cannot be had yet");
    if (c->key == KEY_LABELS && !c->source_labels.n)
        builder_mistake(b, "key = labels needs source_labels; source_labels = NAME, NAME is right");
    if (!strcmp(c->shard_param, c->shard_count_param)) {
        builder_place_at_either(b, NULL, SETTING_shard_param, SETTING_shard_count_param);
        builder_mistake(b, "shard_param and shard_count_param are the same; two different names are right");
    }
    check_rules(b);
}
