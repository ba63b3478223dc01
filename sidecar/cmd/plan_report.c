/* SPDX-License-Identifier: Apache-2.0 */
/* The plan for a person. */
#include "plan.h"
#include "terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Lines of shards where no terminal says how many fit. */
enum { LINES = 40, LINES_MIN = 8, LINES_BESIDE = 6 };

/* A shard is drawn as too full from so many times the mean on. */
#define TOO_FULL 1.5

/* "12.3 M": with at most three digits before the point, and a decimal prefix. */
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
    text_print(stdout, (struct ss_span){p->name, strlen(p->name)});
    printf("%s: %" PRIu64 " series in %" PRIu64 " families, %s of %s\n", terminal_colour(t, COLOUR_NONE), f->series,
           f->families, scale((double)f->bytes, "B").text, ss_index_format(f->index));
    printf("key = %s, hash = %s, placement = %s\n", cli_key_name(f->config), cli_hash_name(f->config),
           cli_placement_name(f->config));
    if (f->every)
        printf("%" PRIu64 " series are replicated: every shard has them\n", f->every);
    if (f->dropped)
        printf("%" PRIu64 " series are dropped: no shard has them\n", f->dropped);
}

/* One line, for one shard or the fullest of several. */
static void
print_shards(const struct plan *p, const struct terminal *t, uint32_t first, uint32_t last)
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
    bool bad = (double)l->series > TOO_FULL * p->balance.mean_series;
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

    print_heading(t, "      shard     series  families      bytes");
    for (uint32_t first = 0; first < count; first += step)
        print_shards(p, t, first, first + step - 1 < count ? first + step - 1 : count - 1);
    if (step > 1)
        printf("A line stands for %u shards and shows the fullest of them.\n", step);
    printf("The mean is %.1f series and %s.\nThe fullest has %.2f times the mean by series, %.2f times by bytes.\n",
           p->balance.mean_series, scale(p->balance.mean_bytes, "B").text, p->balance.by_series, p->balance.by_bytes);
}

static void
print_causes(const struct plan *p, const struct terminal *t)
{
    char heading[80];
    snprintf(heading, sizeof(heading), "Shard %u is the fullest. Its largest families:", p->balance.fullest);
    print_heading(t, heading);
    for (size_t i = 0; i < p->n_shares; i++) {
        const struct family_share *s = &p->shares[i];
        printf("%11" PRIu64 " series %9s %4.0f %%  ", s->series, scale((double)s->bytes, "B").text,
               percent(s->series, p->balance.most_series));
        text_print(stdout, s->family);
        putchar('\n');
    }
}

static void
print_tried(const char *what, const struct shard_balance *b)
{
    printf("%-14s %9" PRIu64 " %9.2f %9.2f\n", what, b->most_series, b->by_series, b->by_bytes);
}

/* What it costs to split everything, or what it gives where rules are known. */
static void
print_all(const struct plan *p, const struct terminal *t)
{
    const struct split_advice *c = &p->advice;
    if (!c->tried_all)
        return;
    if (!c->n)
        printf("%sTried            fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
               terminal_colour(t, COLOUR_NONE));
    print_tried("split = .*", &c->all_balance);
    if (p->rules.whole)
        printf("That is with all whole that rules need:\n    colocate = %s\n", p->rules.whole);
    else if (!p->rules.n_paths)
        puts("With split = .* every sum, rate or join of a family needs all servers; --rules=FILE keeps rules right.");
}

/* The lines that rules need, which all that follows takes for granted. */
static void
print_rules(const struct plan *p, const struct terminal *t)
{
    const struct plan_rules *r = &p->rules;
    char heading[120];

    if (!r->n_paths)
        return;
    snprintf(heading, sizeof(heading), "%" PRIu64 " of %zu rules are right.%s", r->good, r->rules.n,
             r->derivation->n_lines ? " All of the above is with these lines:" : "");
    print_heading(t, heading);
    if (!r->derivation->n_lines)
        return;
    puts("    [rules]");
    for (size_t i = 0; i < r->derivation->n_lines; i++)
        printf("    %s = %s\n", ss_action_name(r->derivation->lines[i].action), r->derivation->lines[i].value);
    printf("They make %" PRIu64 " right; scrapeshard rules says more.\n", r->good_after);
}

static void
print_split_advice(const struct plan *p, const struct terminal *t)
{
    const struct split_advice *c = &p->advice;
    if (!c->needed || p->cli.count == 1)
        return;
    if (!c->n) {
        print_heading(t, "To split families would not make it more even: fewer shards would.");
        print_all(p, t);
        return;
    }
    print_heading(t, "To split the largest families makes it more even:");
    printf("    [rules]\n");
    for (size_t i = 0; i < c->n; i++)
        printf("    split = %s\n", c->patterns[i]);
    printf("%sTried            fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
           terminal_colour(t, COLOUR_NONE));
    print_tried("as it is", &p->balance);
    print_tried("with the rules", &c->balance);
    if (c->few) {
        char what[40];
        snprintf(what, sizeof(what), "the first %zu", c->few);
        print_tried(what, &c->few_balance);
    }
    print_all(p, t);
}

static void
print_counts(const struct plan *p, const struct terminal *t)
{
    static const uint32_t shown[] = {2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128};

    print_heading(t, "Other counts:");
    printf("%s      shards   fullest by series  by bytes%s\n", terminal_colour(t, COLOUR_DIM),
           terminal_colour(t, COLOUR_NONE));
    double most = 1;
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        if (p->counts[shown[i]].by_series > most)
            most = p->counts[shown[i]].by_series;
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        const struct shard_balance *b = &p->counts[shown[i]];
        int used = printf("%12u %9" PRIu64 " %9.2f %9.2f", b->count, b->most_series, b->by_series, b->by_bytes);
        terminal_bar(t, stdout, b->by_series, most, used);
        putchar('\n');
    }
}

static void
print_move(const struct plan *p, const struct terminal *t)
{
    char heading[80];
    snprintf(heading, sizeof(heading), "From %u to %u shards, series that change their shard:", p->cli.count, p->to);
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
             p->interval, count);
    print_heading(t, heading);
    printf("%s%-23s %12s %12s %12s%s\n", terminal_colour(t, COLOUR_DIM), "", "all servers", "one server", "the fullest",
           terminal_colour(t, COLOUR_NONE));
    print_cost("samples parsed", "/s", plan_cost_before(p, p->distribution.series),
               plan_cost_after(p, p->balance.mean_series, p->balance.most_series));
    print_cost("bytes received", "B/s", plan_cost_before(p, p->distribution.bytes),
               plan_cost_after(p, p->balance.mean_bytes, p->balance.most_bytes));
    printf("Before, each server parses every body and throws %u/%u of it away.\n", count - 1, count);
    if (!strcmp(ss_index_format(p->distribution.index), "protobuf"))
        puts("A histogram or summary counts as one series in protobuf.");
}

void
plan_print(const struct plan *p)
{
    struct terminal t = terminal_of(stdout);
    print_body(p, &t);
    print_chart(p, &t);
    if (p->n_shares)
        print_causes(p, &t);
    print_rules(p, &t);
    print_split_advice(p, &t);
    print_counts(p, &t);
    print_move(p, &t);
    print_fleet(p, &t);
}
