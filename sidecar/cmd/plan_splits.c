/* SPDX-License-Identifier: Apache-2.0 */
/* Which families to split: the largest hot_families, tried. */
#include "cmd.h"
#include "plan.h"
#include "source.h"
#include "terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* As many of the largest families are split as one of these says, one after the other: what does not help by the last
   is not helped by splitting. */
static const size_t steps[] = {1, 2, 3, 5, 8, 13, 21, 34, SPLIT_ADVICE_MAX};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* To split more families is worth it only if the skew without that is more than so many times as large. */
#define WORTH_IT 1.05

/* A few families cure most of a skew when they cure so much of it. */
#define MOST_OF_IT 0.75

/* Lines of a configuration file have an end; a pattern goes on in the next one from here. */
enum { PATTERN_LONG = 120 };

/* The families with the most series under one hash, which nothing but splitting takes apart. */
static size_t
find_hot_families(const struct plan_distribution *f, const struct plan_rules *rules, struct family_share *out)
{
    size_t found = 0;
    for (size_t i = 0; i < f->n;) {
        struct family_share hot_family = {f->parts[i].family, 1, 0};
        for (; i < f->n && f->parts[i].family.ptr == hot_family.family.ptr; i++)
            if (hot_family.family.len && f->parts[i].route == SS_INDEX_BY_HASH &&
                f->parts[i].series > hot_family.series)
                hot_family.series = f->parts[i].series;
        size_t at = found;
        while (at && out[at - 1].series < hot_family.series)
            at--;
        if (hot_family.series < 2 || at == SPLIT_ADVICE_MAX || !plan_rules_may_split(rules, hot_family.family))
            continue;
        found += found < SPLIT_ADVICE_MAX;
        memmove(out + at + 1, out + at, (found - 1 - at) * sizeof(*out));
        out[at] = hot_family;
    }
    return found;
}

/* Writes a pattern that matches this name alone, and that a line of a file can hold. */
static void
write_pattern(FILE *out, struct ss_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool is_word =
            (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == ':' || c > 0x7f;
        fprintf(out, is_word ? "%c" : c <= ' ' || c == 0x7f ? "\\x%02x" : "\\%c", c);
    }
}

/* The patterns of n families. 0 or -ENOMEM. */
static int
write_patterns(struct split_advice *c, const struct family_share *hot_families, size_t n)
{
    for (size_t i = 0; i < n;) {
        char **pattern = &c->patterns[c->n];
        size_t len = 0;
        FILE *out = open_memstream(pattern, &len);
        if (!out)
            return -ENOMEM;
        c->n++;
        do {
            if (len)
                putc('|', out);
            write_pattern(out, hot_families[i++].family);
            fflush(out);
        } while (i < n && len + hot_families[i].family.len < PATTERN_LONG);
        if (fclose(out) || !*pattern)
            return -ENOMEM;
    }
    c->families = n;
    return 0;
}

/* Reads the body again under a configuration with the rules, and sees what comes of it. */
static int
measure(struct shard_balance *balance, const struct plan_distribution *f, const struct config *config, uint32_t count)
{
    struct ss_filter_settings settings = plan_settings(config, plan_content_type(f->index));
    char why[SOURCE_REASON] = "there is no memory";
    struct ss_index *index = NULL;
    struct plan_distribution distribution = {.parts = NULL};
    struct shard_load *loads = calloc(count, sizeof(*loads));

    int status = loads ? source_read_bytes(&index, ss_index_body(f->index), &settings, why) : EXIT_FAILED;
    if (!status && (plan_distribution_init(&distribution, index, config) ||
                    plan_distribution_loads_exactly(&distribution, count, loads)))
        status = EXIT_FAILED;
    if (status)
        fprintf(stderr, "scrapeshard: a split rule could not be tried: %s\n", why);
    else
        *balance = balance_of(loads, count);
    plan_distribution_deinit(&distribution);
    ss_index_free(index);
    free(loads);
    return status;
}

/* Tries to split the n largest. */
static int
try(struct split_advice *c, struct cli *cli, const struct plan_distribution *f, const struct family_share *hot_families,
    size_t n)
{
    struct config *config = NULL;
    int status = EXIT_FAILED;

    *c = (struct split_advice){.needed = true};
    if (write_patterns(c, hot_families, n))
        fputs("scrapeshard: there is no memory to try a rule\n", stderr);
    else
        status = cli_read_split(cli, c->patterns, c->n, &config);
    if (!status)
        status = measure(&c->balance, f, config, cli->count);
    config_unref(config);
    return status;
}

/* Splits everything that no rule needs whole. */
static int
try_all(struct split_advice *c, struct cli *cli, const struct plan_distribution *f, const struct plan_rules *rules)
{
    const struct cli_rule lines[] = {{"split", ".*"}, {"colocate", rules->whole}};
    struct config *config = NULL;

    int status = cli_read_rules(cli, lines, rules->whole ? 2 : 1, &config);
    if (!status)
        status = measure(&c->all_balance, f, config, cli->count);
    c->tried_all = !status;
    config_unref(config);
    return status;
}

/* Tries one step after the other. What each of them gave is in after, by the step; how many there were. */
static int
try_steps(struct split_advice *c, struct cli *cli, const struct plan_distribution *f,
          const struct family_share *hot_families, size_t most, struct shard_balance *after, size_t *triedp)
{
    struct progress progress = progress_start("split rules tried");
    struct split_advice tried;
    size_t n = 0, i = 0;
    int status = 0;

    for (; i < STEPS && n < most && !status && c->balance.by_series > SKEW_FINE; i++) {
        n = steps[i] < most ? steps[i] : most;
        status = try(&tried, cli, f, hot_families, n);
        after[i] = tried.balance;
        if (status || tried.balance.by_series * WORTH_IT >= c->balance.by_series) {
            split_advice_deinit(&tried);
        } else {
            split_advice_deinit(c);
            *c = tried;
        }
        progress_update(&progress, i + 1, STEPS);
    }
    progress_end(&progress);
    *triedp = i;
    return status;
}

/* Finds the first step that cures most of the skew. */
static void
find_few(struct split_advice *c, const struct shard_balance *before, const struct shard_balance *after, size_t n)
{
    double enough = c->balance.by_series + (before->by_series - c->balance.by_series) * (1 - MOST_OF_IT);
    for (size_t i = 0; i < n && steps[i] < c->families; i++)
        if (after[i].by_series <= enough) {
            c->few = steps[i];
            c->few_balance = after[i];
            return;
        }
}

int
split_advice_find(struct split_advice *c, struct cli *cli, const struct plan_distribution *f,
                  const struct shard_balance *before, const struct plan_rules *rules)
{
    struct family_share hot_families[SPLIT_ADVICE_MAX + 1];
    struct shard_balance after[STEPS];
    size_t tried;

    *c = (struct split_advice){.needed = before->by_series > SKEW_FINE, .balance = *before};
    if (!c->needed)
        return 0;
    size_t most = find_hot_families(f, rules, hot_families);
    int status = try_steps(c, cli, f, hot_families, most, after, &tried);
    if (!status)
        find_few(c, before, after, tried);
    return status ? status : try_all(c, cli, f, rules);
}

void
split_advice_deinit(struct split_advice *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->patterns[i]);
    c->n = 0;
}
