/* SPDX-License-Identifier: Apache-2.0 */
/* Reports which recording and alerting rules the configured sharding breaks, and the lines that fix them. */
#include "rules.h"

#include "cmd.h"
#include "output.h"

#include "promql/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard rules [flags] FILE...\n"
    "\n"
    "Reads recording and alerting rules (rule files of Prometheus, PrometheusRule, VMRule, List; - is standard\n"
    "input) and reports which of them are right when each server evaluates them over its own shard, why the others\n"
    "are not, and the [rules] lines that fix them. Exits 0 if all are right, 1 if not, 2 if the command line\n"
    "is invalid, 3 if a file or an expression cannot be read.\n";

/* Adds a body. target: the run. */
static int
store_body(void *target, const struct flag *flag, const char *value)
{
    struct rules_run *run = target;
    (void)flag;
    const char **names = realloc(run->body_names, (run->n_bodies + 1) * sizeof(*names));
    if (!names) {
        fputs("scrapeshard: out of memory\n", stderr);
        return EXIT_FAILED;
    }
    run->body_names = names;
    run->body_names[run->n_bodies++] = value;
    return 0;
}

/* The analysis. */

static int
fail(int r)
{
    if (r == -E2BIG)
        fprintf(stderr, "scrapeshard: the rules need more than %d families, added up over all rules\n", LIMIT_NEEDS);
    else
        fprintf(stderr, "scrapeshard: cannot evaluate the rules: %s\n", strerror(-r));
    return EXIT_UNREAD;
}

static int
analyse(struct rules_run *run, const struct config *config, struct rules_state *state)
{
    const struct analysis_settings settings = {.placement = placement_of(config->sharding),
                                               .has_body = run->n_bodies,
                                               .families = run->families,
                                               .n_families = run->n_families,
                                               .shard_count = run->cli.count};
    state->config = config;
    int r = analysis_new(&state->analysis, &run->rules, &settings);
    if (r)
        return fail(r);
    analysis_totals(state->analysis, state->totals);
    return rules_compute_balance(run, state);
}

/* Reloads the configuration with the lines added and evaluates all rules under it. */
static int
evaluate_with_lines(struct rules_run *run)
{
    const struct derivation *d = run->derivation;
    struct cli_rule *lines = calloc(d->n_lines + 1, sizeof(*lines));

    if (!lines)
        return fail(-ENOMEM);
    for (size_t i = 0; i < d->n_lines; i++)
        lines[i] = (struct cli_rule){ss_action_name(d->lines[i].action), d->lines[i].value};
    int status = cli_read_rules(&run->cli, lines, d->n_lines, &run->config_after) ? EXIT_UNREAD : 0;
    free(lines);
    return status ? status : analyse(run, run->config_after, &run->after);
}

uint64_t
rules_good(const struct rules_state *s)
{
    return s->totals[RULE_RIGHT] + s->totals[RULE_EVERYWHERE];
}

const struct rules_state *
rules_after(const struct rules_run *run)
{
    return run->derivation->n_lines ? &run->after : &run->before;
}

static int
check_readers(const struct rules_run *run, char **paths, int n)
{
    const char *reader = NULL;
    int status = 0;
    for (size_t i = 0; !status && i < run->n_bodies; i++)
        status = flags_note_reader(&reader, run->body_names[i], "--body=-");
    for (int i = 0; !status && i < n; i++)
        status = flags_note_reader(&reader, paths[i], "the rule file -");
    return status;
}

static int
run_all(struct rules_run *run, char **paths, int n)
{
    int status = rules_read_bodies(run);
    for (int i = 0; i < n; i++)
        status |= rules_read_file(&run->rules, paths[i]);
    if (!status)
        status = analyse(run, run->cli.config, &run->before);
    if (status)
        return status;
    int r = derivation_new(&run->derivation, run->before.analysis);
    status = r ? fail(r) : run->derivation->n_lines ? evaluate_with_lines(run) : 0;
    if (status)
        return status;
    if (run->cli.json)
        rules_print_json(run);
    else
        rules_print(run);
    return output_end(0) ? EXIT_UNREAD : rules_good(&run->before) == run->rules.n ? 0 : EXIT_FAILED;
}

int
cmd_rules(int argc, char **argv)
{
    struct rules_run run = {.cli = {.count_is_optional = true}, .content_type = "text/plain; version=0.0.4"};
    const struct flag flags[] = {
        CLI_COMMON_FLAGS(&run.cli),
        CLI_HTTP_FLAGS(&run.cli),
        {"body", "FILE", "exposition that the rules apply to, a file or URL; repeatable", store_body, &run},
        {"content-type", "CT", "content type of bodies without one (text/plain; version=0.0.4)", flag_store_text,
         &run.content_type},
        FLAGS_END,
    };
    int at = cli_read(&run.cli, flags, argc, argv, usage), status;

    if (at < 0)
        status = at == -EXIT_USAGE ? EXIT_USAGE : EXIT_UNREAD;
    else if (at == argc)
        status = flags_refuse("rules expects one or more rule files");
    else
        status = check_readers(&run, argv + at, argc - at);
    if (!status)
        status = run_all(&run, argv + at, argc - at);
    derivation_free(run.derivation);
    analysis_free(run.before.analysis);
    analysis_free(run.after.analysis);
    config_unref(run.config_after);
    ruleset_deinit(&run.rules);
    rules_free_bodies(&run);
    free(run.body_names);
    cli_deinit(&run.cli);
    return status;
}
