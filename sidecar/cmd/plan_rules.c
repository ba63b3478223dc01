/* SPDX-License-Identifier: Apache-2.0 */
/* Recording and alerting rules in a plan: it assumes the lines that fix them, and does not split the families that they
   need unsplit. */
#include "cmd.h"
#include "rules.h"
#include "source.h"

#include "core/base/buffer.h"
#include "promql/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Adds a family of the body. If memory runs out, only its series count is lost. */
static void
add_family(void *ctx, const struct ss_family_count *family)
{
    struct plan_rules *r = ctx;
    if (r->n_families == r->family_room) {
        size_t room = 2 * r->family_room + 64;
        struct body_family *families = realloc(r->families, room * sizeof(*families));
        if (!families)
            return;
        r->families = families;
        r->family_room = room;
    }
    r->families[r->n_families++] = (struct body_family){family->name, family->series};
}

static int
order_families(const void *left, const void *right)
{
    const struct body_family *l = left, *r = right;
    return spans_order(l->name, r->name);
}

/* Without has_body: the rules may need families of other services. */
static int
analyse(struct plan *p)
{
    struct plan_rules *r = &p->rules;
    const struct analysis_settings settings = {.placement = placement_of(p->cli.config->sharding),
                                               .families = r->families,
                                               .n_families = r->n_families,
                                               .shard_count = p->cli.count};
    uint64_t totals[RULE_VERDICTS];
    int result = analysis_new(&r->analysis, &r->rules, &settings);
    if (!result)
        result = derivation_new(&r->derivation, r->analysis);
    if (result)
        return cli_fail("the rules", strerror(-result));
    analysis_totals(r->analysis, totals);
    r->good = totals[RULE_RIGHT] + totals[RULE_EVERYWHERE];
    for (size_t i = 0; i < r->rules.n; i++)
        r->good_after += rule_verdict_is_good(r->derivation->after[i].verdict);
    return 0;
}

/* Reloads the configuration with the lines added. */
static int
read_config(struct plan *p)
{
    const struct derivation *d = p->rules.derivation;
    struct cli_rule *lines = calloc(d->n_lines + 1, sizeof(*lines));

    if (!lines)
        return cli_fail("the rules", strerror(ENOMEM));
    for (size_t i = 0; i < d->n_lines; i++)
        lines[i] = (struct cli_rule){ss_action_name(d->lines[i].action), d->lines[i].value};
    int status = cli_read_rules(&p->cli, lines, d->n_lines, &p->rules.config);
    free(lines);
    return status;
}

/* Whether a line puts the family in a group. */
static bool
is_in_lines(const struct plan_rules *r, uint32_t family)
{
    for (size_t i = 0; i < r->derivation->n_groups; i++)
        for (size_t k = 0; k < r->derivation->groups[i].n_families; k++)
            if (r->derivation->groups[i].families[k] == family)
                return true;
    return false;
}

/* Writes a pattern for the families that must stay unsplit: each is its own key, as before. 0 or -ENOMEM. */
static int
write_whole(struct plan_rules *r)
{
    size_t n, len = 0;
    const struct needed_family *families = analysis_families(r->analysis, &n);
    FILE *out = open_memstream(&r->whole, &len);
    size_t written = 0;

    if (!out)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        if (!families[i].needs_whole || families[i].place.spread != SPREAD_ONE || is_in_lines(r, i) ||
            families[i].place.action)
            continue;
        fputs(written++ ? "|" : "(", out);
        pattern_print_name(out, families[i].name);
    }
    fputs(written ? ")" : "", out);
    if (fclose(out) || !r->whole)
        return -ENOMEM;
    if (!written) {
        free(r->whole);
        r->whole = NULL;
    }
    return 0;
}

int
plan_rules_apply(struct plan *p, struct ss_index **indexp)
{
    struct plan_rules *r = &p->rules;
    char why[SOURCE_REASON];
    struct ss_index *again = NULL;

    for (size_t i = 0; i < r->n_paths; i++)
        if (rules_read_file(&r->rules, r->paths[i]))
            return EXIT_UNREAD;
    ss_index_families(*indexp, add_family, r);
    if (r->n_families)
        qsort(r->families, r->n_families, sizeof(*r->families), order_families);
    int status = analyse(p);
    if (!status)
        status = read_config(p);
    if (!status && write_whole(r))
        status = cli_fail("the rules", strerror(ENOMEM));
    if (status)
        return status;
    struct ss_filter_settings settings = plan_settings(r->config, plan_content_type(*indexp));
    if (source_read_bytes(&again, ss_index_body(*indexp), &settings, why))
        return cli_fail(p->name, why);
    ss_index_free(*indexp);
    *indexp = again;
    p->config_before = p->cli.config;
    p->cli.config = r->config;
    r->config = NULL;
    return 0;
}

bool
plan_rules_may_split(const struct plan_rules *r, struct ss_span family)
{
    size_t n;
    const struct needed_family *families = r->analysis ? analysis_families(r->analysis, &n) : NULL;
    for (uint32_t i = 0; families && i < n; i++)
        if (spans_equal(families[i].body_name, family) && (families[i].needs_whole || is_in_lines(r, i)))
            return false;
    return true;
}

void
plan_rules_deinit(struct plan_rules *r)
{
    derivation_free(r->derivation);
    analysis_free(r->analysis);
    config_unref(r->config);
    ruleset_deinit(&r->rules);
    free(r->families);
    free(r->paths);
    free(r->whole);
}
