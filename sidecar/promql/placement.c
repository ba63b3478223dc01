/* SPDX-License-Identifier: Apache-2.0 */
#include "placement.h"

#include "core/key/sharding.h"

#include <errno.h>
#include <string.h>

static enum spread
spread_of(const struct ss_sharding *s, const struct ss_explanation *e)
{
    static const struct {
        enum ss_action action;
        enum spread spread;
    } spreads[] = {
        {SS_ACTION_DROP, SPREAD_NONE},    {SS_ACTION_KEEP, SPREAD_NONE},   {SS_ACTION_REPLICATE, SPREAD_ALL},
        {SS_ACTION_COLOCATE, SPREAD_ONE}, {SS_ACTION_SPLIT, SPREAD_SPLIT},
    };
    for (size_t i = 0; e->action && i < sizeof(spreads) / sizeof(spreads[0]); i++)
        if (!strcmp(e->action, ss_action_name(spreads[i].action)))
            return spreads[i].spread;
    return s->settings.key == SS_KEY_LABELS ? SPREAD_SPLIT : SPREAD_ONE;
}

static bool
takes_suffix(struct ss_span *name, const char *suffix)
{
    size_t len = strlen(suffix);
    if (name->len <= len || memcmp(name->ptr + name->len - len, suffix, len) != 0)
        return false;
    name->len -= len;
    return true;
}

/* The family of a name. Under key = declared it is a guess: histograms and summaries have these suffixes. */
static struct ss_span
family_of(const struct ss_sharding *s, struct ss_span name)
{
    if (s->settings.key == SS_KEY_NAME)
        return name;
    if (s->settings.key != SS_KEY_DECLARED)
        return ss_key_family(name);
    if (!takes_suffix(&name, "_bucket") && !takes_suffix(&name, "_sum"))
        takes_suffix(&name, "_count");
    return name;
}

static int
place(void *ctx, struct ss_span name, struct metric_place *out)
{
    struct ss_sharding *s = ctx;
    struct ss_explanation e;
    struct ss_span family = family_of(s, name);

    *out = (struct metric_place){.spread = SPREAD_NONE, .family = family};
    /* Under key = declared the key is the name of the family, otherwise derived from the name of the metric. */
    int r = ss_explain(s, s->settings.key == SS_KEY_DECLARED ? family : name, &e);
    if (r)
        return r < 0 ? r : 0; /* not a valid metric name */
    out->spread = spread_of(s, &e);
    out->key = e.key;
    out->hash = e.hash;
    out->action = e.action;
    out->pattern = e.pattern;
    return 0;
}

static uint32_t
shard(void *ctx, uint64_t hash, uint32_t count)
{
    return ss_sharding_place(ctx, hash, count);
}

struct placement
placement_of(struct ss_sharding *sharding)
{
    return (struct placement){place, shard, sharding};
}
