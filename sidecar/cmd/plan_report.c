/* SPDX-License-Identifier: Apache-2.0 */
/* The report of plan. */
#include "escape.h"
#include "plan.h"
#include "terminal.h"

#include "core/parse/format.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Lines of the chart: by default, at least, and what the terminal shows besides it. */
enum { LINES = 40, LINES_MIN = 8, LINES_BESIDE = 6 };

enum { LABELS_SHOWN = 5 /* of a family */ };

/* Shards above this multiple of the mean are red. */
#define OVERLOADED 1.5

/* "12.3 M": at most three digits before the point, and a decimal prefix. */
struct scaled {
    char text[24];
};

static struct scaled
scale(double value, const char *unit)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P"};
    struct scaled s;
    size_t i = 0;
    for (; value >= 999.5 && i < sizeof(prefixes) / sizeof(prefixes[0]) - 1; i++)
        value /= 1000;
    snprintf(s.text, sizeof(s.text), i ? "%.1f %s%s" : "%.0f %s%s", value, prefixes[i], unit);
    return s;
}

static void
print_heading(const struct terminal *t, const char *text)
{
    printf("\n%s%s%s\n", terminal_colour(t, COLOUR_BOLD), text, terminal_colour(t, COLOUR_NONE));
}

static double
percent(uint64_t part, uint64_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

static void
print_body(const struct plan *p, const struct terminal *t)
{
    const struct plan_distribution *f = &p->distribution;
    printf("%s", terminal_colour(t, COLOUR_BOLD));
    print_escaped(stdout, (struct ss_span){p->name, strlen(p->name)});
    printf("%s: %" PRIu64 " series in %" PRIu64 " families, %s of %s\n", terminal_colour(t, COLOUR_NONE), f->series,
           f->families, scale((double)f->bytes, "B").text, ss_index_format(f->index));
    if (format_named(ss_index_format(f->index))->has_composites)
        printf("A histogram or summary counts as one series in %s.\n", ss_index_format(f->index));
    printf("key = %s, hash = %s, placement = %s\n", cli_key_name(f->config), cli_hash_name(f->config),
           cli_placement_name(f->config));
    if (f->replicated)
        printf("%" PRIu64 " series are replicated to every shard\n", f->replicated);
    if (f->dropped)
        printf("%" PRIu64 " series are dropped\n", f->dropped);
}

/* One line: a shard, or the fullest of several. */
static void
print_shard(const struct plan *p, const struct terminal *t, uint32_t first, uint32_t last)
{
    uint32_t fullest = first;
    char name[32];
    for (uint32_t i = first; i <= last; i++)
        if (p->loads[i].series > p->loads[fullest].series)
            fullest = i;
    const struct shard_load *l = &p->loads[fullest];
    snprintf(name, sizeof(name), first == last ? "%u" : "%u-%u", first, last);
    int used =
        printf("%11s %10" PRIu64 " %9" PRIu64 " %9s", name, l->series, l->families, scale((double)l->bytes, "B").text);
    bool bad = (double)l->series > OVERLOADED * p->balance.mean_series;
    fputs(terminal_colour(t, bad ? COLOUR_BAD : COLOUR_GOOD), stdout);
    terminal_bar(t, stdout, (double)l->series, (double)p->balance.most_series, used);
    printf("%s\n", terminal_colour(t, COLOUR_NONE));
}

static void
print_chart(const struct plan *p, const struct terminal *t)
{
    uint32_t count = p->cli.count;
    uint32_t lines = !t->rows ? LINES : t->rows < LINES_MIN + LINES_BESIDE ? LINES_MIN : t->rows - LINES_BESIDE;
    uint32_t step = (count + lines - 1) / lines;

    char heading[80];
    snprintf(heading, sizeof(heading), "%11s %10s %9s %9s", "shard", "series", "families", "bytes");
    print_heading(t, heading);
    for (uint32_t first = 0; first < count; first += step)
        print_shard(p, t, first, first + step - 1 < count ? first + step - 1 : count - 1);
    if (step > 1)
        printf("Each line is the fullest of %u shards.\n", step);
    printf(
        "The mean is %.1f series and %s.\nThe fullest shard has %.2f times the mean in series, %.2f times in bytes.\n",
        p->balance.mean_series, scale(p->balance.mean_bytes, "B").text, p->balance.by_series, p->balance.by_bytes);
}

static void
print_largest_families(const struct plan *p, const struct terminal *t)
{
    char heading[80];
    snprintf(heading, sizeof(heading), "Shard %u is the fullest. Its largest families:", p->balance.fullest);
    print_heading(t, heading);
    for (size_t i = 0; i < p->n_largest; i++) {
        const struct family_load *l = &p->largest[i];
        printf("%11" PRIu64 " series %9s %4.0f %%  ", l->series, scale((double)l->bytes, "B").text,
               percent(l->series, p->balance.most_series));
        print_escaped(stdout, l->family);
        putchar('\n');
    }
}

/* "path 812, code at least 100000, and 3 more labels". */
static void
print_label_values(const struct labelled_family *f)
{
    for (size_t i = 0; i < f->n_labels && i < LABELS_SHOWN; i++) {
        fputs(i ? ", " : "  ", stdout);
        print_escaped(stdout, f->labels[i].name);
        printf(f->labels[i].has_more ? " at least %zu" : " %zu", f->labels[i].n);
    }
    if (f->n_labels > LABELS_SHOWN)
        printf(f->has_more_labels ? ", and more than %zu other labels" : ", and %zu more labels",
               f->n_labels - LABELS_SHOWN);
}

static void
print_labels(const struct plan *p, const struct terminal *t)
{
    bool any = false;
    for (size_t i = 0; i < p->labels.n; i++)
        any |= p->labels.families[i].n_labels > 0;
    if (!any)
        return;
    print_heading(t, "The largest families of the body, and how many values their labels have:");
    for (size_t i = 0; i < p->labels.n; i++) {
        const struct labelled_family *f = &p->labels.families[i];
        printf("%11" PRIu64 " series  ", f->series);
        print_escaped(stdout, f->family);
        print_label_values(f);
        putchar('\n');
    }
}

static void
print_tried(const char *what, const struct shard_balance *b)
{
    printf("%-14s %9" PRIu64 " %9.2f %9.2f\n", what, b->most_series, b->by_series, b->by_bytes);
}

/* The balance with everything split, and its price. */
static void
print_all(const struct plan *p, const struct terminal *t)
{
    const struct split_advice *a = &p->advice;
    if (!a->tried_all)
        return;
    if (!a->n)
        printf("%s                 fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
               terminal_colour(t, COLOUR_NONE));
    print_tried("split = .*", &a->all_balance);
    if (p->rules.whole)
        printf("split = .* keeps whole what rules need, with:\n    colocate = %s\n", p->rules.whole);
    else if (!p->rules.n_paths)
        puts("With split = .* every sum or join of a family needs all servers; --rules=FILE keeps rules right.");
}

/* The lines that rules need; the whole report assumes them. */
static void
print_rules(const struct plan *p, const struct terminal *t)
{
    const struct plan_rules *r = &p->rules;
    char heading[120];

    if (!r->n_paths)
        return;
    snprintf(heading, sizeof(heading), "%" PRIu64 " of %zu rules are right.%s", r->good, r->rules.n,
             r->derivation->n_lines ? " This report assumes these lines:" : "");
    print_heading(t, heading);
    if (!r->derivation->n_lines)
        return;
    puts("    [rules]");
    for (size_t i = 0; i < r->derivation->n_lines; i++)
        printf("    %s\n", r->derivation->lines[i].text);
    printf("They make %" PRIu64 " right; see scrapeshard rules.\n", r->good_after);
}

static void
print_split_advice(const struct plan *p, const struct terminal *t)
{
    const struct split_advice *a = &p->advice;
    if (!a->needed || p->cli.count == 1)
        return;
    if (!a->n) {
        print_heading(t, "Splitting families would not reduce the skew; using fewer shards would.");
        print_all(p, t);
        return;
    }
    print_heading(t, "Splitting the largest families reduces the skew:");
    printf("    [rules]\n");
    for (size_t i = 0; i < a->n; i++)
        printf("    split = %s\n", a->patterns[i]);
    printf("%s                 fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
           terminal_colour(t, COLOUR_NONE));
    print_tried("as configured", &p->balance);
    print_tried("with the rules", &a->balance);
    if (a->few) {
        char what[40];
        snprintf(what, sizeof(what), "the first %zu", a->few);
        print_tried(what, &a->few_balance);
    }
    print_all(p, t);
}

static void
print_counts(const struct plan *p, const struct terminal *t)
{
    static const uint32_t shown[] = {2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128};

    print_heading(t, "Other shard counts:");
    printf("%s      shards   fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
           terminal_colour(t, COLOUR_NONE));
    double max = 1;
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (p->counts[shown[i]].by_series > max)
            max = p->counts[shown[i]].by_series;
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        const struct shard_balance *b = &p->counts[shown[i]];
        int used = printf("%12u %9" PRIu64 " %9.2f %9.2f", b->count, b->most_series, b->by_series, b->by_bytes);
        terminal_bar(t, stdout, b->by_series, max, used);
        putchar('\n');
    }
}

static void
print_move(const struct plan *p, const struct terminal *t)
{
    char heading[80];
    snprintf(heading, sizeof(heading), "Series that change shard between %u and %u shards:", p->cli.count, p->to);
    print_heading(t, heading);
    for (enum ss_placement placement = SS_PLACE_MODULO; placement <= SS_PLACE_JUMP; placement++)
        printf("%12s %9" PRIu64 " %8.1f %%\n", placement == SS_PLACE_JUMP ? "jump" : "modulo", p->moved[placement],
               percent(p->moved[placement], p->distribution.series));
}

static void
print_cost(const char *what, const char *unit, struct cost before, struct cost after)
{
    printf("%-16s before %12s %12s\n", what, scale(before.fleet, unit).text, scale(before.server, unit).text);
    printf("%-16s after  %12s %12s %12s\n", "", scale(after.fleet, unit).text, scale(after.server, unit).text,
           scale(after.fullest, unit).text);
}

static void
print_fleet(const struct plan *p, const struct terminal *t)
{
    uint32_t count = p->cli.count;
    char heading[120];
    if (!p->targets)
        return;
    snprintf(heading, sizeof(heading), "%" PRIu64 " such targets, scraped every %.6g s by %u servers:", p->targets,
             (double)p->interval / 1000, count);
    print_heading(t, heading);
    printf("%s%-23s %12s %12s %12s%s\n", terminal_colour(t, COLOUR_DIM), "", "all servers", "one server", "the fullest",
           terminal_colour(t, COLOUR_NONE));
    print_cost("samples parsed", "/s", plan_cost_before(p, p->distribution.series),
               plan_cost_after(p, p->balance.mean_series, p->balance.most_series));
    print_cost("bytes received", "B/s", plan_cost_before(p, p->distribution.bytes),
               plan_cost_after(p, p->balance.mean_bytes, p->balance.most_bytes));
    printf("Before, each server parses every body and drops %u/%u of it.\n", count - 1, count);
}

void
plan_print(const struct plan *p)
{
    struct terminal t = terminal_of(stdout);
    print_body(p, &t);
    print_chart(p, &t);
    if (p->n_largest)
        print_largest_families(p, &t);
    print_labels(p, &t);
    print_rules(p, &t);
    print_split_advice(p, &t);
    print_counts(p, &t);
    print_move(p, &t);
    print_fleet(p, &t);
}
