/* SPDX-License-Identifier: Apache-2.0 */
/* How one series comes to its shard, in the words of whoever asks. */
#include "core/text/line_splitter.h"
#include "core/text/sample.h"
#include "core/text/strict.h"
#include "key_resolver.h"
#include "route.h"
#include "sharding.h"

#include <scrapeshard/filter.h>

#include <errno.h>
#include <stdio.h>

static int
refuse(struct ss_explanation *out, const char *reason)
{
    snprintf(out->reason, sizeof(out->reason), "%s", reason);
    return EINVAL;
}

/* Reads the series as a sample, to which only the value is missing; behind it is room for the name without escapes. */
static int
read_series(struct ss_sharding *s, struct ss_span series, struct ss_span *line, struct sample *sample,
            struct ss_explanation *out)
{
    s->explained.len = 0;
    if (buffer_add(&s->explained, series) || buffer_add(&s->explained, (struct ss_span){" 0", 2}) ||
        buffer_add(&s->explained, series))
        return -ENOMEM;
    *line = (struct ss_span){s->explained.ptr, series.len + 2};
    struct line_splitter splitter = {.openmetrics = false};
    if (line_splitter_feed(&splitter, *line) || line_splitter_is_quoted(&splitter))
        return refuse(out, "not one line, with its quotes closed");
    const char *wrong = spans_lines(*line) ? strict_sample(*line, false) : NULL;
    if (!wrong)
        wrong = sample_read(*line, false, sample);
    if (wrong)
        return refuse(out, wrong);
    out->name = name_bytes(&sample->name, s->explained.ptr + line->len);
    return 0;
}

/* Which rule decides; and of a colocate rule, the key. */
static int
explain_rule(struct ss_sharding *s, struct ss_explanation *out)
{
    struct ss_span names[] = {out->family, out->name};
    struct rule_match v;
    int r = s->has_rules ? rules_match(s->settings.rules, names, 2, &v, out->reason, sizeof(out->reason)) : 0;
    if (r || !s->has_rules)
        return r;
    if (v.unkept)
        out->action = ss_action_name(SS_ACTION_KEEP);
    if (!v.rule)
        return 0;
    out->action = ss_action_name(v.rule->action);
    out->pattern = v.rule->pattern;
    return v.rule->action == SS_ACTION_COLOCATE ? sharding_join(s, v.groups, v.n_groups, &s->explained_key) : 0;
}

/* The key and its hash. */
static int
explain_key(struct ss_sharding *s, struct key_resolver *k, struct ss_span line, const struct sample *sample,
            struct ss_explanation *out)
{
    struct route route;
    int r = key_resolver_sample(k, out->name, &route);
    if (r)
        return r;
    out->hash = route.hash;
    if (route_is_by_series(&route))
        r = key_resolver_hash_text(k, &route, out->name, line, sample->labels, &out->hash);
    if (route.kind == ROUTE_ALL || route.kind == ROUTE_NONE)
        return r;
    if (!r && !(route.kind == ROUTE_BY_HASH && out->action)) {
        const struct line_names names = {out->name, out->family, ""};
        s->explained_key.len = 0;
        r = buffer_add(&s->explained_key, route_is_by_series(&route) ? k->last_key : sharding_key(s, &names));
    }
    out->key = (struct ss_span){s->explained_key.ptr, s->explained_key.len};
    return r;
}

int
ss_explain(struct ss_sharding *s, struct ss_span series, struct ss_explanation *out)
{
    struct ss_filter_settings settings = ss_filter_settings_default();
    struct sample sample;
    struct ss_span line;
    struct key_resolver k;

    *out = (struct ss_explanation){.action = NULL};
    int r = read_series(s, series, &line, &sample, out);
    if (r)
        return r;
    out->family = s->settings.key == SS_KEY_DECLARED ? out->name : ss_key_family(out->name);
    settings.sharding = s;
    r = key_resolver_init(&k, &settings, false);
    if (!r)
        r = explain_rule(s, out);
    if (!r)
        r = explain_key(s, &k, line, &sample, out);
    if (r > 0 && !*out->reason)
        refuse(out, k.reason);
    key_resolver_deinit(&k);
    return r > 0 ? EINVAL : r;
}
