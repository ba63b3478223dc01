/* SPDX-License-Identifier: Apache-2.0 */
/* Which families to split: tries the hottest ones. */
#include "cmd.h"
#include "plan.h"
#include "progress.h"
#include "source.h"

#include "core/parse/format.h"
#include "promql/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How many of the hottest families are split, one number after the other: if the last does not help, splitting does
   not. */
static const size_t steps[] = {1, 2, 3, 5, 8, 13, 21, 34, SPLIT_ADVICE_MAX};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

/* Splitting more families must reduce the skew by more than this factor. */
#define MIN_IMPROVEMENT 1.05

/* A few families remove most of the skew if they remove this part of it. */
#define MOST_OF_IT 0.75

/* Lines of a configuration file are limited; from this length on a further pattern is started. */
enum { PATTERN_WRAP = 120 };

/* The families with the most series under one hash, which only splitting can separate. */
static size_t
find_hot_families(const struct plan_distribution *f, const struct plan_rules *rules, struct family_load *out)
{
    size_t found = 0;
    for (size_t i = 0; i < f->n;) {
        struct family_load hottest = {f->parts[i].family, 1, 0};
        for (; i < f->n && f->parts[i].family.ptr == hottest.family.ptr; i++)
            if (hottest.family.len && f->parts[i].route == SS_INDEX_BY_HASH && f->parts[i].series > hottest.series)
                hottest.series = f->parts[i].series;
        size_t at = found;
        while (at && out[at - 1].series < hottest.series)
            at--;
        if (hottest.series < 2 || at == SPLIT_ADVICE_MAX || !plan_rules_may_split(rules, hottest.family))
            continue;
        found += found < SPLIT_ADVICE_MAX;
        memmove(out + at + 1, out + at, (found - 1 - at) * sizeof(*out));
        out[at] = hottest;
    }
    return found;
}

/* The patterns of n families. 0 or -ENOMEM. */
static int
write_patterns(struct split_advice *a, const struct family_load *hot_families, size_t n)
{
    for (size_t i = 0; i < n;) {
        char **pattern = &a->patterns[a->n];
        size_t len = 0;
        FILE *out = open_memstream(pattern, &len);
        if (!out)
            return -ENOMEM;
        a->n++;
        do {
            if (len)
                putc('|', out);
            pattern_print_name(out, hot_families[i++].family);
            fflush(out);
        } while (i < n && len + hot_families[i].family.len < PATTERN_WRAP);
        if (fclose(out) || !*pattern)
            return -ENOMEM;
    }
    a->families = n;
    return 0;
}

const char *
plan_content_type(const struct ss_index *index)
{
    return format_named(ss_index_format(index))->media_type;
}

/* Reads the body again with the rules and measures the balance. */
static int
measure(struct shard_balance *balance, const struct plan_distribution *f, const struct config *config, uint32_t count)
{
    struct ss_filter_settings settings = plan_settings(config, plan_content_type(f->index));
    char why[SOURCE_REASON] = "out of memory";
    struct ss_index *index = NULL;
    struct plan_distribution distribution = {.parts = NULL};
    struct shard_load *loads = calloc(count, sizeof(*loads));

    int status = loads ? source_read_bytes(&index, ss_index_body(f->index), &settings, why) : EXIT_FAILED;
    if (!status && (plan_distribution_init(&distribution, index, config) ||
                    plan_distribution_loads_exact(&distribution, count, loads)))
        status = EXIT_FAILED;
    if (status)
        fprintf(stderr, "scrapeshard: cannot try a split rule: %s\n", why);
    else
        *balance = balance_of(loads, count);
    plan_distribution_deinit(&distribution);
    ss_index_free(index);
    free(loads);
    return status;
}

/* Tries splitting the n hottest families. */
static int
try_split(struct split_advice *a, struct cli *cli, const struct plan_distribution *f,
          const struct family_load *hot_families, size_t n)
{
    struct config *config = NULL;
    int status = EXIT_FAILED;

    *a = (struct split_advice){.needed = true};
    if (write_patterns(a, hot_families, n))
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
    else
        status = cli_read_split(cli, a->patterns, a->n, &config);
    if (!status)
        status = measure(&a->balance, f, config, cli->count);
    config_unref(config);
    return status;
}

/* Splits everything that no rule needs whole. */
static int
try_all(struct split_advice *a, const struct cli *cli, const struct plan_distribution *f,
        const struct plan_rules *rules)
{
    const struct cli_rule lines[] = {{"split", ".*"}, {"colocate", rules->whole}};
    struct config *config = NULL;

    int status = cli_read_rules(cli, lines, rules->whole ? 2 : 1, &config);
    if (!status)
        status = measure(&a->all_balance, f, config, cli->count);
    a->tried_all = !status;
    config_unref(config);
    return status;
}

/* Tries one step after the other. after gets the balance of each of the *triedp steps. */
static int
try_steps(struct split_advice *a, struct cli *cli, const struct plan_distribution *f,
          const struct family_load *hot_families, size_t max, struct shard_balance *after, size_t *triedp)
{
    struct progress progress = progress_start("split rules tried");
    struct split_advice tried;
    size_t n = 0, i = 0;
    int status = 0;

    for (; i < STEPS && n < max && !status && a->balance.by_series > SKEW_ACCEPTABLE; i++) {
        n = steps[i] < max ? steps[i] : max;
        status = try_split(&tried, cli, f, hot_families, n);
        after[i] = tried.balance;
        if (status || tried.balance.by_series * MIN_IMPROVEMENT >= a->balance.by_series) {
            split_advice_deinit(&tried);
        } else {
            split_advice_deinit(a);
            *a = tried;
        }
        progress_update(&progress, i + 1, STEPS);
    }
    progress_end(&progress);
    *triedp = i;
    return status;
}

/* Finds the first step that removes most of the skew. */
static void
find_few(struct split_advice *a, const struct shard_balance *before, const struct shard_balance *after, size_t n)
{
    double enough = a->balance.by_series + (before->by_series - a->balance.by_series) * (1 - MOST_OF_IT);
    for (size_t i = 0; i < n && steps[i] < a->families; i++)
        if (after[i].by_series <= enough) {
            a->few = steps[i];
            a->few_balance = after[i];
            return;
        }
}

int
split_advice_find(struct split_advice *a, struct cli *cli, const struct plan_distribution *f,
                  const struct shard_balance *before, const struct plan_rules *rules)
{
    struct family_load hot_families[SPLIT_ADVICE_MAX + 1];
    struct shard_balance after[STEPS];
    size_t tried;

    *a = (struct split_advice){.needed = before->by_series > SKEW_ACCEPTABLE, .balance = *before};
    if (!a->needed)
        return 0;
    size_t max = find_hot_families(f, rules, hot_families);
    int status = try_steps(a, cli, f, hot_families, max, after, &tried);
    if (!status)
        find_few(a, before, after, tried);
    return status ? status : try_all(a, cli, f, rules);
}

void
split_advice_deinit(struct split_advice *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->patterns[i]);
    a->n = 0;
}
