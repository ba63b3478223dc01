/* SPDX-License-Identifier: Apache-2.0 */
#include "placement.h"

#include "core/base/buffer.h"
#include "core/key/route.h"
#include "core/key/sharding.h"
#include "core/text/strict.h"

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

/* The family that a metric is in for the key. One that no body declares is guessed as the text format has it:
   histograms and summaries have these suffixes. */
static struct ss_span
family_of(const struct ss_sharding *s, const struct placed_metric *m)
{
    struct ss_span name = m->name;
    if (s->settings.key == SS_KEY_NAME)
        return name;
    if (s->settings.key != SS_KEY_DECLARED)
        return ss_key_family(name);
    if (m->declared.ptr)
        return m->declared;
    if (!takes_suffix(&name, "_bucket") && !takes_suffix(&name, "_sum"))
        takes_suffix(&name, "_count");
    return name;
}

/* Sets the values that are known. Returns a bit for each of them. */
static uint64_t
set_known_values(struct selector_values *v, const struct placed_metric *m)
{
    uint64_t known = 0;
    for (size_t i = 0; i < v->n; i++) {
        for (size_t k = 0; k < m->n_labels && !(known >> i & 1); k++) {
            if (!spans_equal(m->labels[k].name, v->names[i]))
                continue;
            v->values[i] = m->labels[k].value;
            known |= UINT64_C(1) << i;
        }
    }
    return known;
}

/* What the selectors of sharding rules do to the series with these labels; *out is what happens to all others. */
static int
place_by_labels(struct ss_sharding *s, const struct line_names *names, const struct placed_metric *m,
                struct metric_place *out)
{
    struct selector_values values = {.selectors = 0};
    const struct rule *rule;
    struct name_route route;
    char reason[200];

    int r = sharding_route(s, names, &route, reason, sizeof(reason));
    if (r || !route.selectors)
        return r < 0 ? r : 0;
    rules_prepare_values(s->settings.rules, route.selectors, &values);
    uint64_t known = set_known_values(&values, m);
    enum known_match match = rules_match_known(s->settings.rules, &values, known, &rule);
    if (match == KNOWN_UNCHANGED)
        return 0;
    out->spread = match == KNOWN_DROPPED ? SPREAD_NONE : match == KNOWN_REPLICATED ? SPREAD_ALL : SPREAD_DIFFERS;
    out->action = ss_action_name(rule ? rule->action : SS_ACTION_KEEP);
    out->pattern = rule ? rule->pattern : (struct ss_span){"", 0};
    return 0;
}

static int
place(void *ctx, const struct placed_metric *m, struct metric_place *out)
{
    struct ss_sharding *s = ctx;
    struct ss_explanation e;
    struct ss_span family = family_of(s, m);

    *out = (struct metric_place){.spread = SPREAD_NONE, .family = family};
    /* No Prometheus takes such a name, and no pattern matches it. */
    if (!strict_is_utf8(m->name))
        return 0;
    /* Patterns are tried on the family even where the name is the key. */
    const struct line_names names = {m->name, s->settings.key == SS_KEY_NAME ? ss_key_family(m->name) : family, ""};
    int r = sharding_explain_name(s, &names, &e);
    out->action = e.action;
    out->pattern = e.pattern;
    out->spread = r ? SPREAD_FAILS : spread_of(s, &e);
    if (r)
        return r < 0 ? r : 0;
    out->key = e.key;
    out->hash = e.hash;
    return e.label_action ? place_by_labels(s, &names, m, out) : 0;
}

static uint32_t
shard(void *ctx, uint64_t hash, uint32_t count)
{
    return ss_sharding_place(ctx, hash, count);
}

/* Whether le is part of the key. */
static bool
tears_histograms(const struct ss_sharding_settings *settings)
{
    bool found = false;
    for (size_t i = 0; settings->key == SS_KEY_LABELS && i < settings->n_source_labels; i++)
        found |= spans_equal(settings->source_labels[i], (struct ss_span){"le", 2});
    return found;
}

struct placement
placement_of(struct ss_sharding *sharding)
{
    return (struct placement){place, shard, sharding, tears_histograms(&sharding->settings)};
}
