/* SPDX-License-Identifier: Apache-2.0 */
/* The report as text. */
#include "escape.h"
#include "rules.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Names shown of a list; the rest is only counted. */
enum { NAMES_SHOWN = 10 };

static void
print_heading(const struct terminal *t, const char *text)
{
    printf("\n%s%s%s\n", terminal_colour(t, COLOUR_BOLD), text, terminal_colour(t, COLOUR_NONE));
}

/* Such as "12 right, 3 silent". */
static void
print_totals(const struct rules_state *s)
{
    bool first = true;
    for (enum rule_verdict v = 0; v < RULE_VERDICTS; v++) {
        if (!s->totals[v])
            continue;
        printf("%s%" PRIu64 " %s", first ? "" : ", ", s->totals[v], rule_verdict_name(v));
        first = false;
    }
}

static void
print_place(const struct rules_run *run, const struct rules_state *s, const struct needed_family *f)
{
    const struct metric_place *p = &f->place;
    print_escaped_controls(stdout, f->name);
    if (run->n_bodies && !f->in_body)
        fputs(" (not in the body)", stdout);
    else if (p->spread != SPREAD_ONE)
        printf(" (%s)", p->spread == SPREAD_ALL       ? "all shards"
                        : p->spread == SPREAD_NONE    ? "no shard"
                        : p->spread == SPREAD_DIFFERS ? "by labels"
                        : p->spread == SPREAD_FAILS   ? "fails"
                                                      : "split");
    else if (run->cli.count)
        printf(" (shard %u)", ss_sharding_place(s->config->sharding, p->hash, run->cli.count));
}

static void
print_places(const struct rules_run *run, const struct rule_result *r)
{
    size_t n;
    const struct needed_family *families = analysis_families(run->before.analysis, &n);
    for (size_t i = 0; i < r->n_families + r->n_queried; i++) {
        uint32_t family = i < r->n_families ? r->families[i] : r->queried[i - r->n_families];
        fputs(i ? ", " : "    needs ", stdout);
        print_place(run, &run->before, &families[family]);
    }
    if (r->n_families + r->n_queried)
        putchar('\n');
}

static void
print_rule_name(const struct terminal *t, const struct prom_rule *p)
{
    print_escaped(stdout, p->name);
    printf("  %s", terminal_colour(t, COLOUR_DIM));
    print_escaped(stdout, p->file);
    printf(":%u%s\n", p->line, terminal_colour(t, COLOUR_NONE));
}

static void
print_rule(const struct rules_run *run, const struct terminal *t, size_t i)
{
    const struct prom_rule *p = &run->rules.items[i];
    const struct rule_result *r = &analysis_results(run->before.analysis)[i];

    printf("%s%-15s%s ", terminal_colour(t, rule_verdict_is_good(r->verdict) ? COLOUR_GOOD : COLOUR_BAD),
           rule_verdict_name(r->verdict), terminal_colour(t, COLOUR_NONE));
    print_rule_name(t, p);
    fputs("    ", stdout);
    print_escaped(stdout, (struct ss_span){r->why, strlen(r->why)});
    putchar('\n');
    print_places(run, r);
    if (r->by_chance)
        printf("    right with %u shards only by chance: another shard count breaks it\n", run->cli.count);
}

static void
print_wrong(const struct rules_run *run, const struct terminal *t)
{
    const struct rule_result *results = analysis_results(run->before.analysis);
    bool first = true;
    for (size_t i = 0; i < run->rules.n; i++) {
        if (rule_verdict_is_good(results[i].verdict) && !results[i].is_incomplete)
            continue;
        if (first)
            print_heading(t, "Not right:");
        first = false;
        print_rule(run, t, i);
    }
}

/* Configured splits, each with the rules that it breaks. */
static void
print_splits(const struct rules_run *run, const struct terminal *t)
{
    const struct rule_result *results = analysis_results(run->before.analysis);
    size_t n, printed = 0;
    const struct needed_family *families = analysis_families(run->before.analysis, &n);

    for (size_t f = 0; f < n; f++) {
        if (families[f].place.spread != SPREAD_SPLIT || !families[f].needs_whole)
            continue;
        if (!printed++)
            print_heading(t, "Split, but rules need them unsplit:");
        fputs("    ", stdout);
        print_escaped(stdout, families[f].name);
        if (families[f].place.action)
            printf(" (split = %.*s)", (int)families[f].place.pattern.len, families[f].place.pattern.ptr);
        size_t shown = 0;
        for (size_t i = 0; i < run->rules.n; i++)
            for (size_t k = 0; k < results[i].n_families; k++) {
                if (results[i].families[k] != f || rule_verdict_is_good(results[i].verdict))
                    continue;
                if (shown++ < NAMES_SHOWN) {
                    fputs(shown == 1 ? ": " : ", ", stdout);
                    print_escaped(stdout, run->rules.items[i].name);
                }
            }
        if (shown > NAMES_SHOWN)
            printf(" and %zu more", shown - NAMES_SHOWN);
        putchar('\n');
    }
}

/* Lines. */

static void
print_balance(const char *what, const struct shard_balance *b)
{
    printf("%-14s %9" PRIu64 " %9.2f %9.2f\n", what, b->most_series, b->by_series, b->by_bytes);
}

static void
print_cost(const struct rules_run *run, const struct terminal *t)
{
    const struct derivation *d = run->derivation;

    if (run->before.has_balance) {
        printf("%sShards           fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
               terminal_colour(t, COLOUR_NONE));
        print_balance("as configured", &run->before.balance);
        print_balance("with the lines", &run->after.balance);
    }
    if (d->replicated && run->cli.count)
        printf("Replication adds %" PRIu64 " series: %" PRIu64 " on each of the other %u shards.\n",
               d->replicated * (run->cli.count - 1), d->replicated, run->cli.count - 1);
    for (size_t i = 0; i < d->n_groups; i++)
        if (rules_group_spans_bodies(run, &d->groups[i]))
            printf("%s has families of several bodies: the sidecars of all of them need the same lines.\n",
                   d->groups[i].name);
}

static void
print_lines(const struct rules_run *run, const struct terminal *t)
{
    const struct derivation *d = run->derivation;
    char heading[120];

    if (!d->n_lines)
        return;
    snprintf(heading, sizeof(heading), "These lines make %" PRIu64 " of %zu rules right:", rules_good(&run->after),
             run->rules.n);
    print_heading(t, heading);
    puts("    [rules]");
    for (size_t i = 0; i < d->n_lines; i++)
        printf("    %s\n", d->lines[i].text);
    fputs("With these lines: ", stdout);
    print_totals(&run->after);
    putchar('\n');
    print_cost(run, t);
}

static void
print_ruler(const struct rules_run *run, const struct terminal *t)
{
    const struct rule_result *results = analysis_results(rules_after(run)->analysis);
    bool first = true;
    for (size_t i = 0; i < run->rules.n; i++) {
        const struct prom_rule *p = &run->rules.items[i];
        if (!rule_result_needs_ruler(&results[i]))
            continue;
        if (first)
            print_heading(t, "Must be evaluated over all servers, by a ruler (Thanos Ruler, vmalert, Mimir):");
        first = false;
        fputs("    ", stdout);
        print_rule_name(t, p);
        fputs("        ", stdout);
        print_escaped(stdout, (struct ss_span){results[i].why, strlen(results[i].why)});
        putchar('\n');
    }
}

static void
print_missing(const struct rules_run *run, const struct terminal *t)
{
    size_t n, printed = 0;
    const struct needed_family *families = analysis_families(run->before.analysis, &n);
    for (size_t i = 0; run->n_bodies && i < n; i++) {
        if (families[i].in_body)
            continue;
        if (!printed++)
            print_heading(t, run->n_bodies > 1 ? "In none of the bodies:" : "Not in the body:");
        fputs("    ", stdout);
        print_escaped(stdout, families[i].name);
        putchar('\n');
    }
}

static void
print_unreadable(const struct rules_run *run, const struct terminal *t)
{
    size_t printed = 0;
    for (size_t i = 0; i < run->rules.n; i++) {
        const struct prom_rule *p = &run->rules.items[i];
        if (!p->has_unreadable_query)
            continue;
        if (!printed++)
            print_heading(t, "Templates with queries that are built at run time or not valid, and were not evaluated:");
        fputs("    ", stdout);
        print_rule_name(t, p);
    }
}

void
rules_print(const struct rules_run *run)
{
    struct terminal t = terminal_of(stdout);
    const struct config *c = run->cli.config;

    printf("%s%zu rules:%s ", terminal_colour(&t, COLOUR_BOLD), run->rules.n, terminal_colour(&t, COLOUR_NONE));
    print_totals(&run->before);
    printf("\nkey = %s, hash = %s, placement = %s\n", cli_key_name(c), cli_hash_name(c), cli_placement_name(c));
    if (c->key == SS_KEY_DECLARED && !run->n_bodies)
        puts("Without --body the declared families are guessed from the names, as in the text format.");
    print_wrong(run, &t);
    print_splits(run, &t);
    print_lines(run, &t);
    print_ruler(run, &t);
    print_missing(run, &t);
    print_unreadable(run, &t);
}
