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

/* Lines of a configuration file have an end; a pattern goes on in the next one from here. */
enum { PATTERN_LONG = 120 };

/* The families with the most series under one hash, which nothing but splitting takes apart. */
static size_t
find_hot_families(const struct plan_distribution *f, struct family_share *out)
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
        if (hot_family.series < 2 || at == SPLIT_ADVICE_MAX)
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

/* A content type by which a body is read as it was before. */
static const char *
content_type_of(const struct ss_index *index)
{
    const char *format = ss_index_format(index);
    return !strcmp(format, "openmetrics") ? "application/openmetrics-text"
           : !strcmp(format, "protobuf")  ? "application/vnd.google.protobuf"
                                          : "text/plain";
}

/* Reads the body again under a configuration with the rules, and sees what comes of it. */
static int
measure(struct split_advice *c, const struct plan_distribution *f, const struct config *config, uint32_t count)
{
    struct ss_filter_settings settings = plan_settings(config, content_type_of(f->index));
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
        c->balance = balance_of(loads, count);
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
        status = measure(c, f, config, cli->count);
    config_unref(config);
    return status;
}

int
split_advice_find(struct split_advice *c, struct cli *cli, const struct plan_distribution *f,
                  const struct shard_balance *before)
{
    struct progress progress = progress_start("split rules tried");
    struct family_share hot_families[SPLIT_ADVICE_MAX + 1];
    struct split_advice tried;
    int status = 0;

    *c = (struct split_advice){.needed = before->by_series > SKEW_FINE, .balance = *before};
    size_t most = c->needed ? find_hot_families(f, hot_families) : 0, n = 0;
    for (size_t i = 0; i < STEPS && n < most && !status && c->balance.by_series > SKEW_FINE; i++) {
        n = steps[i] < most ? steps[i] : most;
        status = try(&tried, cli, f, hot_families, n);
        if (status || tried.balance.by_series * WORTH_IT >= c->balance.by_series) {
            split_advice_deinit(&tried);
        } else {
            split_advice_deinit(c);
            *c = tried;
        }
        progress_update(&progress, i + 1, STEPS);
    }
    progress_end(&progress);
    return status;
}

void
split_advice_deinit(struct split_advice *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->patterns[i]);
    c->n = 0;
}
