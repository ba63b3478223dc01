/* SPDX-License-Identifier: Apache-2.0 */
/* Resolves selectors: to scraped families, recorded names, or series that each server generates itself. */
#include "analysis_state.h"
#include "pattern.h"

#include "core/base/buffer.h"

#include <errno.h>

static struct ss_span
span_of(const char *text)
{
    return (struct ss_span){text, strlen(text)};
}

/* Short lists in the arena. */

static int
append(struct analysis *a, uint32_t **items, size_t *n, uint32_t item)
{
    /* The capacity doubles at each power of two. */
    if (!(*n & (*n - 1))) {
        uint32_t *larger = arena_alloc(&a->arena, (*n ? 2 * *n : 1) * sizeof(*larger));
        if (!larger)
            return -ENOMEM;
        if (*n)
            memcpy(larger, *items, *n * sizeof(*larger));
        *items = larger;
    }
    (*items)[(*n)++] = item;
    return 0;
}

/* Rules by name. */

static int
index_rule(struct analysis *a, struct name_table *names, struct rule_list **lists, size_t *room, uint32_t rule)
{
    uint32_t number;
    if (name_table_add(names, a->rules->items[rule].name, &number))
        return -ENOMEM;
    struct rule_list *larger = analysis_reserve(*lists, room, number, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    *lists = larger;
    return append(a, &(*lists)[number].items, &(*lists)[number].n, rule);
}

static int
index_rules(struct analysis *a)
{
    int r = 0;
    for (uint32_t i = 0; !r && i < a->rules->n; i++)
        r = a->rules->items[i].is_record ? index_rule(a, &a->recorded, &a->recorded_by, &a->recorded_room, i)
                                         : index_rule(a, &a->alerts, &a->alerts_by, &a->alerts_room, i);
    return r;
}

/* Selectors. */

/* What each server generates for each of its targets. */
static const char *const generated_names[] = {"up",
                                              "scrape_duration_seconds",
                                              "scrape_samples_scraped",
                                              "scrape_samples_post_metric_relabeling",
                                              "scrape_series_added",
                                              "scrape_timeout_seconds",
                                              "scrape_sample_limit",
                                              "scrape_body_size_bytes"};
enum { GENERATED_NAMES = sizeof(generated_names) / sizeof(generated_names[0]) };

static const char *const alerts_names[] = {"ALERTS", "ALERTS_FOR_STATE"};

static bool
is_always_generated(struct ss_span name)
{
    bool found = false;
    for (size_t i = 0; i < GENERATED_NAMES && !found; i++)
        found = spans_equal(name, span_of(generated_names[i]));
    return found;
}

/* Later versions may generate more names with the prefix. */
static bool
is_generated(struct ss_span name)
{
    static const char prefix[] = "scrape_";
    return spans_equal(name, span_of("up")) ||
           (name.len >= strlen(prefix) && !memcmp(name.ptr, prefix, strlen(prefix)));
}

static bool
is_alerts_metric(struct ss_span name)
{
    return spans_equal(name, span_of(alerts_names[0])) || spans_equal(name, span_of(alerts_names[1]));
}

static void
set_producers(struct binding *b, const struct rule_list *list)
{
    b->producers = list->items;
    b->n_producers = list->n;
}

static void
set_unknown(struct binding *b, const char *why)
{
    *b = (struct binding){.kind = BINDING_UNKNOWN, .why = why};
}

/* The alerts whose state it reads. NULL, with a reason: they are not known. */
static const struct rule_list *
find_alerts(const struct analysis *a, const struct selector *s, const char **whyp)
{
    for (size_t i = 0; i < s->n_matchers; i++) {
        const struct matcher *m = &s->matchers[i];
        if (m->op != TOKEN_ASSIGN || !spans_equal(m->label, span_of("alertname")))
            continue;
        uint32_t number = name_table_find(&a->alerts, m->value);
        *whyp = "it reads the state of an alert that is not in these files";
        return number ? &a->alerts_by[number] : NULL;
    }
    *whyp = "it reads ALERTS without alertname=\"...\", but each server has only its own alerts";
    return NULL;
}

static void
bind_alerts(const struct analysis *a, const struct selector *s, struct binding *b)
{
    const char *why;
    const struct rule_list *alerts = find_alerts(a, s, &why);
    if (alerts)
        set_producers(b, alerts);
    else
        set_unknown(b, why);
}

/* The matchers of __name__. */
struct name_patterns {
    const struct matcher *matchers[8];
    struct pattern *patterns[8];
    size_t n;
};

/* 1, 0 or -ENOMEM. */
static int
matches_name(const struct name_patterns *p, struct ss_span name)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct matcher *m = p->matchers[i];
        int same = p->patterns[i] ? pattern_matches(p->patterns[i], name) : spans_equal(m->value, name);
        if (same < 0 || same != (m->op == TOKEN_ASSIGN || m->op == TOKEN_MATCH))
            return same < 0 ? same : 0;
    }
    return 1;
}

/* Appends the family of a metric, unless the metric before it is in the same one. */
static int
append_metric(struct analysis *a, const struct selector *s, struct ss_span name, struct binding *b)
{
    uint32_t family;
    int r = analysis_family(a, name, s, &family);
    if (r || (b->n_families && b->families[b->n_families - 1] == family))
        return r;
    b->differs |= a->places[family] == PLACE_DIFFERS;
    return append(a, &b->families, &b->n_families, family);
}

/* A selector, and a family of the bodies that may have samples for it. */
struct candidate {
    struct analysis *analysis;
    const struct selector *selector;
    const struct name_patterns *patterns;
    struct ss_span family;
    struct binding *binding;
};

/* Appends the sample with these suffixes if its name matches. 1, 0 or a negative errno value. */
static int
bind_sample(const struct candidate *c, const char *first, const char *second)
{
    char name[300];
    size_t len = strlen(first), more = strlen(second);
    struct ss_span sample = {name, c->family.len + len + more};

    if (sample.len > sizeof(name))
        return 0;
    memcpy(name, c->family.ptr, c->family.len);
    memcpy(name + c->family.len, first, len);
    memcpy(name + c->family.len + len, second, more);
    int r = matches_name(c->patterns, sample);
    if (r <= 0)
        return r;
    r = append_metric(c->analysis, c->selector, sample, c->binding);
    return r ? r : 1;
}

/* The samples that the family may have: the key or a sharding rule may place each of them differently. Two suffixes
   (x_count_total) are rare, and tried only if nothing else matches. */
static int
bind_samples(const struct candidate *c)
{
    bool found = false;
    int r = 0;

    for (size_t i = 0; r >= 0 && i < SAMPLE_SUFFIXES; i++) {
        r = bind_sample(c, sample_suffixes[i], "");
        found |= r > 0;
    }
    for (size_t i = 1; r >= 0 && !found && i < SAMPLE_SUFFIXES; i++)
        for (size_t k = 1; r >= 0 && k < SAMPLE_SUFFIXES; k++)
            r = bind_sample(c, sample_suffixes[i], sample_suffixes[k]);
    return r < 0 ? r : 0;
}

static int
append_producers(struct analysis *a, struct binding *b, const struct rule_list *list)
{
    int r = 0;
    for (size_t i = 0; !r && i < list->n; i++)
        r = append(a, &b->producers, &b->n_producers, list->items[i]);
    return r;
}

static int
bind_matching(struct analysis *a, const struct selector *s, const struct name_patterns *p, struct binding *b)
{
    int r = 0;
    for (size_t i = 0; !r && i < a->settings.n_families; i++) {
        const struct candidate c = {a, s, p, a->settings.families[i].name, b};
        r = bind_samples(&c);
    }
    for (uint32_t number = 1; r >= 0 && number <= a->recorded.n; number++) {
        r = matches_name(p, a->recorded.items[number].name);
        if (r > 0)
            r = append_producers(a, b, &a->recorded_by[number]);
    }
    return r < 0 ? r : 0;
}

/* What servers generate themselves. */
static int
bind_matching_generated(struct analysis *a, const struct selector *s, const struct name_patterns *p, struct binding *b)
{
    int r = 0;
    bool alerts = false;

    for (size_t i = 0; r >= 0 && i < GENERATED_NAMES && !b->is_generated; i++) {
        r = matches_name(p, span_of(generated_names[i]));
        b->is_generated = r > 0;
    }
    for (size_t i = 0; r >= 0 && i < 2 && !alerts; i++) {
        r = matches_name(p, span_of(alerts_names[i]));
        alerts = r > 0;
    }
    if (r < 0 || !alerts)
        return r < 0 ? r : 0;
    const struct rule_list *list = find_alerts(a, s, &b->why);
    b->reads_alerts = !list;
    return list ? append_producers(a, b, list) : 0;
}

static int
bind_nameless(struct analysis *a, const struct selector *s, struct binding *b)
{
    static const char why[] = "it selects series without a metric name; their families are known only from a body";
    struct name_patterns patterns = {.n = 0};
    int r = 0;

    if (!a->settings.has_body && !a->settings.n_families) {
        set_unknown(b, why);
        return 0;
    }
    for (size_t i = 0; !r && i < s->n_matchers; i++) {
        const struct matcher *m = &s->matchers[i];
        char reason[160];
        if (!spans_equal(m->label, span_of("__name__")) || patterns.n == 8)
            continue;
        if (m->op == TOKEN_MATCH || m->op == TOKEN_NOT_MATCH)
            r = pattern_new(&patterns.patterns[patterns.n], m->value, reason, sizeof(reason));
        patterns.matchers[patterns.n++] = m;
    }
    b->is_several = true;
    if (!r)
        r = bind_matching(a, s, &patterns, b);
    if (!r)
        r = bind_matching_generated(a, s, &patterns, b);
    if (!a->settings.has_body && !b->n_families)
        set_unknown(b, why);
    for (size_t i = 0; i < patterns.n; i++)
        pattern_free(patterns.patterns[i]);
    return r;
}

static bool
has_name_matcher(const struct selector *s)
{
    for (size_t i = 0; i < s->n_matchers; i++)
        if (spans_equal(s->matchers[i].label, span_of("__name__")))
            return true;
    return false;
}

static int
bind_selector(struct analysis *a, const struct selector *s, struct binding *b)
{
    struct ss_span name = s->name;
    uint32_t number;

    *b = (struct binding){.kind = BINDING_SERIES};
    if (s->is_info && !name.ptr && !has_name_matcher(s))
        name = span_of("target_info");
    if (!name.ptr)
        return bind_nameless(a, s, b);
    if ((number = name_table_find(&a->recorded, name)) != 0) {
        set_producers(b, &a->recorded_by[number]);
        return 0;
    }
    if (is_alerts_metric(name)) {
        bind_alerts(a, s, b);
        return 0;
    }
    /* A service may expose such a name: one of its own, or what it federates. */
    bool in_body = analysis_declared_family(a, name).ptr;
    b->is_generated = is_generated(name) && (!in_body || is_always_generated(name));
    if (b->is_generated && !in_body)
        return 0;
    return append_metric(a, s, name, b);
}

static int
bind_expression(struct analysis *a, const struct expression *e, struct binding **bindingsp)
{
    struct binding *bindings = arena_alloc(&a->arena, (e->n_selectors + 1) * sizeof(*bindings));
    int r = bindings ? 0 : -ENOMEM;
    for (size_t i = 0; !r && i < e->n_selectors; i++)
        r = bind_selector(a, e->selectors[i], &bindings[i]);
    *bindingsp = bindings;
    return r;
}

static int
bind_rule(struct analysis *a, uint32_t rule)
{
    const struct prom_rule *r = &a->rules->items[rule];
    struct rule_state *s = &a->states[rule];

    int result = bind_expression(a, &r->expression, &s->bindings);
    s->query_bindings = arena_alloc(&a->arena, (r->n_queries + 1) * sizeof(*s->query_bindings));
    if (!s->query_bindings)
        return -ENOMEM;
    for (size_t i = 0; !result && i < r->n_queries; i++)
        result = bind_expression(a, &r->queries[i], &s->query_bindings[i]);
    return result;
}

int
analysis_bind(struct analysis *a)
{
    int r = index_rules(a);
    for (uint32_t i = 0; !r && i < a->rules->n; i++)
        r = bind_rule(a, i);
    return r;
}
