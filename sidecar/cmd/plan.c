/* SPDX-License-Identifier: Apache-2.0 */
/* The distribution of a body over shards, and how to improve it. */
#include "plan.h"

#include "cmd.h"
#include "output.h"
#include "progress.h"
#include "source.h"

#include "service/config/config_value.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard plan --shard-count=N [flags] [FILE|URL]\n"
    "\n"
    "Shows how a body (FILE, standard input or -, http://, https:// or unix:/SOCKET:/PATH) is distributed over N\n"
    "shards: series, families and bytes per shard, the skew, the families that cause it, the labels of the largest\n"
    "families by their number of values, the split rules that would reduce the skew, the balance of other shard\n"
    "counts, and what a change of the count would move. With --rules, the lines that make recording and alerting\n"
    "rules right are assumed, and nothing that they need whole is split. Exits 0; 1 if the body cannot be read or\n"
    "is not a valid exposition, 2 if the command line is invalid, 3 if a rule file cannot be read.\n";

enum { INTERVAL_DEFAULT = 60000 /* milliseconds */ };

/* The command line. */

/* Stores a number of targets above 0. */
static int
store_targets(void *target, const struct flag *flag, const char *value)
{
    uint64_t *targets = target;
    const char *error = value_read_count(targets, value);
    if (!error && !*targets)
        error = "is not a number above 0";
    return error ? flags_refuse("--%s: \"%s\" %s", flag->name, value, error) : 0;
}

/* Adds a rule file; target is the rules. */
static int
store_rules(void *target, const struct flag *flag, const char *value)
{
    struct plan_rules *rules = target;
    (void)flag;
    const char **paths = realloc(rules->paths, (rules->n_paths + 1) * sizeof(*paths));
    if (!paths) {
        fputs("scrapeshard: out of memory for the flags\n", stderr);
        return EXIT_FAILED;
    }
    rules->paths = paths;
    rules->paths[rules->n_paths++] = value;
    return 0;
}

/* Checks the flags that depend on each other, and sets defaults. */
static int
complete_flags(struct plan *p)
{
    if (p->interval && !p->targets)
        return flags_refuse("--interval needs --targets");
    if (!p->interval)
        p->interval = INTERVAL_DEFAULT;
    if (!p->to)
        p->to = p->cli.count < SS_SHARD_COUNT_MAX ? p->cli.count + 1 : p->cli.count;
    return 0;
}

static int
check_readers(const struct plan *p, const char *body)
{
    const char *reader = NULL;
    int status = 0;
    for (size_t i = 0; !status && i < p->rules.n_paths; i++)
        status = flags_note_reader(&reader, p->rules.paths[i], "--rules=-");
    return status ? status : flags_note_reader(&reader, body ? body : "-", "the body");
}

/* The body. */

static int
read_url(struct plan *p, const char *url, const struct ss_filter_settings *settings, struct ss_index **indexp)
{
    char why[SOURCE_REASON];
    struct http_client *client;
    int status = cli_open_url(&client, &p->cli, url);
    if (status)
        return status;
    status = source_read_url(indexp, client, NULL, settings, why);
    http_client_free(client);
    return status ? cli_fail(p->name, why) : 0;
}

static int
read_body(struct plan *p, const char *where, const struct ss_filter_settings *settings, struct ss_index **indexp)
{
    char why[SOURCE_REASON];

    if (where && http_client_is_url(where)) {
        p->url = url_shown(where);
        p->name = p->url ? p->url : "";
        return read_url(p, where, settings, indexp);
    }
    const char *path = where && strcmp(where, "-") != 0 ? where : NULL;
    p->name = path ? path : "standard input";
    return source_read_file(indexp, path, settings, why) ? cli_fail(p->name, why) : 0;
}

/* The plan. */

static int
evaluate_counts(struct plan *p)
{
    struct progress progress = progress_start("shard counts evaluated");
    struct shard_load loads[COUNTS_MAX];
    int r = 0;

    for (uint32_t n = COUNTS_MIN; n <= COUNTS_MAX && !r; n++) {
        r = plan_distribution_loads(&p->distribution, n, loads);
        p->counts[n] = balance_of(loads, n);
        progress_update(&progress, n, COUNTS_MAX);
    }
    progress_end(&progress);
    return r;
}

static int
make_plan(struct plan *p, const struct ss_index *index)
{
    int r = plan_distribution_init(&p->distribution, index, p->cli.config);
    p->loads = calloc(p->cli.count, sizeof(*p->loads));
    if (!r)
        r = p->loads ? plan_distribution_loads_exact(&p->distribution, p->cli.count, p->loads) : -ENOMEM;
    if (!r)
        r = evaluate_counts(p);
    if (r)
        return cli_fail(p->name, strerror(-r));
    p->balance = balance_of(p->loads, p->cli.count);
    p->n_largest =
        plan_distribution_largest(&p->distribution, p->cli.count, p->balance.fullest, p->largest, LARGEST_MAX);
    for (enum ss_placement placement = SS_PLACE_MODULO; placement <= SS_PLACE_JUMP; placement++)
        p->moved[placement] = plan_distribution_moved(&p->distribution, placement, p->cli.count, p->to);
    r = plan_labels_count(&p->labels, &p->distribution);
    return r ? cli_fail(p->name, strerror(-r)) : 0;
}

static int
plan_body(struct plan *p, const char *where)
{
    struct ss_filter_settings settings = plan_settings(p->cli.config, p->content_type);
    struct ss_index *index = NULL;

    int status = read_body(p, where, &settings, &index);
    if (!status && p->rules.n_paths)
        status = plan_rules_apply(p, &index);
    if (!status)
        status = make_plan(p, index);
    if (!status)
        status = split_advice_find(&p->advice, &p->cli, &p->distribution, &p->balance, &p->rules);
    if (!status && p->cli.json)
        plan_print_json(p);
    else if (!status)
        plan_print(p);
    ss_index_free(index);
    return status;
}

int
cmd_plan(int argc, char **argv)
{
    struct plan plan = {.content_type = "text/plain; version=0.0.4"};
    const struct flag flags[] = {
        CLI_COMMON_FLAGS(&plan.cli),
        CLI_HTTP_FLAGS(&plan.cli),
        {"content-type", "CT", "content type of a body without one (text/plain; version=0.0.4)", flag_store_text,
         &plan.content_type},
        {"to", "M", "show what a change from N to M shards moves (N+1)", cli_store_count, &plan.to},
        {"targets", "T", "show what T such targets cost N servers", store_targets, &plan.targets},
        {"interval", "DURATION", "scrape interval of these targets (60s)", cli_store_duration, &plan.interval},
        {"rules", "FILE", "recording and alerting rules that have to stay right; repeatable", store_rules, &plan.rules},
        FLAGS_END,
    };
    int at = cli_read(&plan.cli, flags, argc, argv, usage), status;

    if (at < 0)
        status = -at;
    else if (at < argc - 1)
        status = flags_refuse("plan expects one body after the flags");
    else
        status = complete_flags(&plan);
    if (!status)
        status = check_readers(&plan, argv[at]);
    if (!status)
        status = output_end(plan_body(&plan, argv[at]));
    plan_distribution_deinit(&plan.distribution);
    plan_labels_deinit(&plan.labels);
    split_advice_deinit(&plan.advice);
    plan_rules_deinit(&plan.rules);
    config_unref(plan.config_before);
    free(plan.loads);
    free(plan.url);
    cli_deinit(&plan.cli);
    return status;
}
