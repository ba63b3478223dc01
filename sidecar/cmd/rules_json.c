/* SPDX-License-Identifier: Apache-2.0 */
/* The report as JSON. */
#include "rules.h"

#include "core/base/buffer.h"

#include <string.h>

static void
write_totals(struct json *j, const char *key, const struct rules_run *run, const struct rules_state *s)
{
    json_open_object(j, key);
    json_count(j, "rules", run->rules.n);
    for (enum rule_verdict v = 0; v < RULE_VERDICTS; v++)
        json_count(j, rule_verdict_name(v), s->totals[v]);
    json_close_object(j);
}

/* A family whose metrics are placed differently is listed once. */
static void
write_families(struct json *j, const char *key, const struct rules_state *s, const uint32_t *items, size_t n)
{
    size_t all;
    const struct needed_family *families = analysis_families(s->analysis, &all);
    json_open_array(j, key);
    for (size_t i = 0; i < n; i++)
        if (!i || !spans_equal(families[items[i]].name, families[items[i - 1]].name))
            json_text(j, NULL, families[items[i]].name);
    json_close_array(j);
}

/* The metrics that an expression selects, as it names them and in its order; null where it names none. */
static void
write_selectors(struct json *j, const struct expression *e)
{
    json_open_array(j, "selectors");
    for (size_t i = 0; i < e->n_selectors; i++) {
        struct ss_span name = e->selectors[i]->name;
        if (e->selectors[i]->is_implied)
            continue;
        if (name.ptr)
            json_text(j, NULL, name);
        else
            json_null(j, NULL);
    }
    json_close_array(j);
}

static void
write_rules(struct json *j, const struct rules_run *run)
{
    const struct rule_result *results = analysis_results(run->before.analysis);

    json_open_array(j, "rules");
    for (size_t i = 0; i < run->rules.n; i++) {
        const struct prom_rule *p = &run->rules.items[i];
        json_open_object(j, NULL);
        json_text(j, "file", p->file);
        json_count(j, "line", p->line);
        json_text(j, "group", p->group);
        json_word(j, "kind", p->is_record ? "record" : "alert");
        json_text(j, "name", p->name);
        json_word(j, "verdict", rule_verdict_name(results[i].verdict));
        if (run->cli.count)
            json_flag(j, "by_chance", results[i].by_chance);
        write_selectors(j, &p->expression);
        write_families(j, "families", &run->before, results[i].families, results[i].n_families);
        if (results[i].n_queried)
            write_families(j, "queried_families", &run->before, results[i].queried, results[i].n_queried);
        if (p->has_unreadable_query)
            json_flag(j, "has_unreadable_query", true);
        json_word(j, "why", results[i].why);
        json_close_object(j);
    }
    json_close_array(j);
}

static void
write_lines(struct json *j, const struct derivation *d)
{
    json_open_array(j, "lines");
    for (size_t i = 0; i < d->n_lines; i++)
        json_word(j, NULL, d->lines[i].text);
    json_close_array(j);
}

static void
write_ruler(struct json *j, const struct rules_run *run)
{
    const struct rule_result *results = analysis_results(rules_after(run)->analysis);

    json_open_array(j, "ruler");
    for (size_t i = 0; i < run->rules.n; i++) {
        const struct prom_rule *p = &run->rules.items[i];
        if (!rule_result_needs_ruler(&results[i]))
            continue;
        json_open_object(j, NULL);
        json_text(j, "file", p->file);
        json_count(j, "line", p->line);
        json_text(j, "name", p->name);
        json_word(j, "why", results[i].why);
        json_close_object(j);
    }
    json_close_array(j);
}

/* Families that rules need but no body has. */
static void
write_missing(struct json *j, const struct rules_run *run)
{
    size_t n;
    const struct needed_family *families = analysis_families(run->before.analysis, &n);

    json_open_array(j, "missing_families");
    for (size_t i = 0; run->n_bodies && i < n; i++)
        if (!families[i].in_body)
            json_text(j, NULL, families[i].name);
    json_close_array(j);
}

static void
write_balance(struct json *j, const char *key, const struct rules_state *s)
{
    json_open_object(j, key);
    json_count(j, "fullest_shard", s->balance.fullest);
    json_count(j, "most_series", s->balance.most_series);
    json_number(j, "mean_series", s->balance.mean_series);
    json_number(j, "skew_series", s->balance.by_series);
    json_number(j, "skew_bytes", s->balance.by_bytes);
    json_close_object(j);
}

void
rules_print_json(const struct rules_run *run)
{
    struct json j = {.out = stdout};

    json_open_object(&j, NULL);
    write_totals(&j, "totals", run, &run->before);
    write_rules(&j, run);
    write_lines(&j, run->derivation);
    write_totals(&j, "after", run, rules_after(run));
    write_ruler(&j, run);
    if (run->n_bodies)
        write_missing(&j, run);
    if (run->before.has_balance) {
        json_open_object(&j, "balance");
        json_count(&j, "shard_count", run->cli.count);
        write_balance(&j, "before", &run->before);
        write_balance(&j, "after", rules_after(run));
        json_count(&j, "replicated_series", run->derivation->replicated * (run->cli.count - 1));
        json_close_object(&j);
    }
    json_close_object(&j);
}
