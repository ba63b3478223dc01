/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule files: whatever the bytes are, they have a mistake with a place, or rules of which each gets a verdict and a
 * sentence, and lines that [rules] takes; the same rules get the same lines.
 */
#include "require.h"

#include "promql/analysis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The lines as one text, which is the caller's. */
static char *
lines_of(const struct ruleset *rules, struct ss_sharding *sharding)
{
    const struct analysis_settings settings = {.placement = placement_of(sharding), .shard_count = 3};
    struct analysis *analysis;
    struct derivation *d;
    struct ss_rules *taken;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    REQUIRE(out && !ss_rules_new(&taken) && !analysis_new(&analysis, rules, &settings));
    REQUIRE(!derivation_new(&d, analysis));
    for (size_t i = 0; i < rules->n; i++)
        REQUIRE(analysis_results(analysis)[i].why && d->after[i].why);
    for (size_t i = 0; i < d->n_lines; i++) {
        struct ss_rule_error error;
        struct ss_span value = {d->lines[i].value, strlen(d->lines[i].value)};
        REQUIRE(!ss_rules_add(taken, d->lines[i].action, value, &error));
        fprintf(out, "%s\n", d->lines[i].value);
    }
    fclose(out);
    derivation_free(d);
    analysis_free(analysis);
    ss_rules_free(taken);
    return text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ss_sharding *sharding;
    const struct ss_sharding_settings settings = ss_sharding_settings_default();
    struct promql_error error = {.line = 0};
    struct ruleset rules = {.n = 0};

    REQUIRE(sharding || !ss_sharding_new(&sharding, &settings));
    int r = ruleset_add_file(&rules, "x", (struct ss_span){(const char *)data, size}, &error);
    REQUIRE(r >= 0 && (!r || (error.line && error.column && *error.reason)));
    char *lines = lines_of(&rules, sharding), *again = lines_of(&rules, sharding);
    REQUIRE(!strcmp(lines, again));
    free(lines);
    free(again);
    ruleset_deinit(&rules);
    return 0;
}
