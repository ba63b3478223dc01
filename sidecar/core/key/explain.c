/* SPDX-License-Identifier: Apache-2.0 */
/* Explains how a series is assigned to its shard. */
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

/* Appends " 0" to parse the series as a sample; the scratch space for the unescaped name follows. */
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
        return refuse(out, "expected a single line with closed quotes");
    const char *wrong = spans_lines(*line) ? strict_sample(*line, SYNTAX_TEXT) : NULL;
    if (!wrong)
        wrong = sample_read(*line, SYNTAX_TEXT, sample);
    if (wrong)
        return refuse(out, wrong);
    out->name = name_unescape(&sample->name, s->explained.ptr + line->len);
    return 0;
}

/* A series that is explained: its line, and how it is read. */
struct explained {
    struct ss_span line;
    const struct sample *sample;
};

static void
set_rule(struct ss_explanation *out, const struct rule_match *match)
{
    if (match->not_kept)
        out->action = ss_action_name(SS_ACTION_KEEP);
    if (!match->rule)
        return;
    out->action = ss_action_name(match->rule->action);
    out->pattern = match->rule->pattern;
}

/* Asks the selectors. *match: of the name, then of the series; e is NULL for that of the name. */
static int
explain_selectors(const struct ss_sharding *s, struct key_resolver *k, const struct explained *e,
                  struct rule_match *match, struct ss_explanation *out)
{
    const struct ss_rules *rules = s->settings.rules;
    const struct rule *first = rules_first(rules, match->selectors);
    struct route route = {.selectors = match->selectors}, own;

    out->label_action = ss_action_name(first->action);
    out->label_pattern = first->pattern;
    if (!e)
        return 0;
    int r = key_resolver_select_text(k, &route, e->line, e->sample->labels, &own);
    struct series_match series = {NULL, false};
    if (!r)
        r = rules_match_series(rules, &k->selected, &series, out->reason, sizeof(out->reason));
    if (!r && (series.rule || series.not_kept)) {
        match->rule = series.rule;
        match->not_kept = series.not_kept;
    }
    return r;
}

/* Finds the rule that applies and, for a colocate rule, the key. */
static int
explain_rule(struct ss_sharding *s, struct key_resolver *k, const struct explained *e, struct ss_explanation *out)
{
    struct ss_span names[] = {out->family, out->name};
    struct rule_match match;
    if (!s->has_rules)
        return 0;
    int r = rules_match(s->settings.rules, names, 2, &match, out->reason, sizeof(out->reason));
    if (!r && match.selectors)
        r = explain_selectors(s, k, e, &match, out);
    set_rule(out, &match);
    if (r)
        return r;
    return match.rule && match.rule->action == SS_ACTION_COLOCATE
               ? sharding_join(s, match.groups, match.n_groups, &s->explained_key)
               : 0;
}

/* The key and its hash. */
static int
explain_key(struct ss_sharding *s, struct key_resolver *k, const struct explained *e, struct ss_explanation *out)
{
    struct route route = {.selectors = 0};
    size_t labels = e->sample->labels;
    int r = key_resolver_sample(k, out->name, &route);
    const struct route of_name = route;
    route.selectors = 0;
    if (!r && of_name.selectors)
        r = key_resolver_select_text(k, &of_name, e->line, labels, &route);
    if (r)
        return r;
    out->hash = route.hash;
    if (route.kind == ROUTE_ALL || route.kind == ROUTE_NONE)
        return 0;
    const struct line_names names = {out->name, out->family, ""};
    struct ss_span key = sharding_key(s, &names);
    if (route_is_by_series(&route)) {
        r = key_resolver_key_text(k, &route, out->name, e->line, labels, &key);
        if (!r)
            r = ss_hasher_hash(s->hasher, key, &out->hash);
    }
    /* Where a colocate rule decided, explain_rule() has found the key. */
    if (!r && !(route.kind == ROUTE_BY_HASH && out->action)) {
        s->explained_key.len = 0;
        r = buffer_add(&s->explained_key, key);
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
    const struct explained e = {line, &sample};
    r = key_resolver_init(&k, &settings, SYNTAX_TEXT);
    if (!r)
        r = explain_rule(s, &k, &e, out);
    if (!r)
        r = explain_key(s, &k, &e, out);
    if (r > 0 && !*out->reason)
        refuse(out, k.reason);
    key_resolver_deinit(&k);
    return r > 0 ? EINVAL : r;
}

int
sharding_explain_name(struct ss_sharding *s, const struct line_names *names, struct ss_explanation *out)
{
    struct name_route route;

    *out = (struct ss_explanation){.name = names->name, .family = names->family};
    int r = explain_rule(s, NULL, NULL, out);
    if (!r)
        r = sharding_route(s, names, &route, out->reason, sizeof(out->reason));
    if (r)
        return r > 0 ? EINVAL : r;
    out->hash = route.hash;
    out->key = route.kind == NAME_ROUTE_COLOCATED ? buffer_span(&s->explained_key) : sharding_key(s, names);
    return 0;
}
