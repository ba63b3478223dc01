/* SPDX-License-Identifier: Apache-2.0 */
/* How a body falls into shards, and what would be better. */
#include "plan.h"

#include "cmd.h"
#include "source.h"
#include "terminal.h"

#include "service/config/config_value.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard plan --shard-count=N [flags] [FILE|URL]\n"
    "\n"
    "Tells how a body (FILE, standard input or -, http://, https:// or unix:/SOCKET:/PATH) falls into N shards:\n"
    "series, families and bytes of each, the skew, what causes it and which split rules would cure it, what\n"
    "other counts would give, and what a change of the count would move. With --rules it takes the lines for\n"
    "granted that make recording and alerting rules right, and splits nothing that they need whole. Exits 0; 1 if the "
    "body cannot be had\n"
    "or is no exposition, 2 if the command line is wrong.\n";

enum { CONTENT_TYPE = CLI_OWN_HTTP, TO, TARGETS, INTERVAL, RULES };

static int take_rules(void *ctx, const struct flag *flag, const char *value);

static const struct flag flags[] = {
    CLI_COMMON_FLAGS,
    CLI_HTTP_FLAGS("as Prometheus 2.42 asks"),
    [CONTENT_TYPE] = {"content-type", "CT", "of a body that does not come with one (text/plain; version=0.0.4)",
                      cli_take},
    [TO] = {"to", "M", "tell what a change from N to M shards moves (N+1)", cli_take},
    [TARGETS] = {"targets", "T", "tell what a fleet of T such targets costs its N servers", cli_take},
    [INTERVAL] = {"interval", "DURATION", "between two scrapes of a target (60s)", cli_take},
    [RULES] = {"rules", "FILE", "recording and alerting rules that have to stay right; may be repeated", take_rules},
    [RULES + 1] = {NULL, NULL, NULL, NULL},
};

static int
take_rules(void *ctx, const struct flag *flag, const char *value)
{
    struct plan *p = ctx;
    (void)flag;
    const char **paths = realloc(p->rules.paths, (p->rules.n_paths + 1) * sizeof(*paths));
    if (!paths) {
        fputs("scrapeshard: out of memory for the flags\n", stderr);
        return EXIT_FAILED;
    }
    p->rules.paths = paths;
    p->rules.paths[p->rules.n_paths++] = value;
    return 0;
}

/* scrape/scrape.go of Prometheus 2.42. */
static const char prometheus_accept[] = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
                                        "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

struct ss_filter_settings
plan_settings(const struct config *config, const char *content_type)
{
    struct ss_filter_settings s = ss_filter_settings_default();
    s.content_type = content_type;
    s.sharding = config->sharding;
    s.census = true;
    s.max_line = SIZE_MAX;
    s.max_families = UINT64_MAX; /* so that each is counted by name */
    return s;
}

const char *
plan_content_type(const struct ss_index *index)
{
    const char *format = ss_index_format(index);
    return !strcmp(format, "openmetrics") ? "application/openmetrics-text"
           : !strcmp(format, "protobuf")  ? "application/vnd.google.protobuf"
                                          : "text/plain";
}

/* The command line. */

/* Reads what counts of the fleet. 0 or an exit status. */
static int
read_fleet(struct plan *p)
{
    const char *targets = p->cli.values[TARGETS], *interval = p->cli.values[INTERVAL], *wrong;
    int64_t ms = 60000;

    if (interval && !targets)
        return flags_refuse("--interval needs --targets: how many of them are scraped");
    wrong = targets ? value_read_count(&p->targets, targets) : NULL;
    if (wrong || (targets && !p->targets))
        return flags_refuse("--targets: \"%s\" %s", targets, wrong ? wrong : "is no fleet; a number above 0 is right");
    wrong = interval ? value_read_duration(&ms, interval) : NULL;
    if (wrong || ms < 1)
        return flags_refuse("--interval: \"%s\" %s", interval, wrong ? wrong : "is none; 60s is usual");
    p->interval = (double)ms / 1000;
    return 0;
}

static int
read_flags(struct plan *p)
{
    p->to = p->cli.count < SS_SHARD_COUNT_MAX ? p->cli.count + 1 : p->cli.count;
    int status = p->cli.values[TO] ? cli_read_count(&p->cli, TO, &p->to) : 0;
    if (!status)
        status = cli_check_asking(&p->cli);
    return status ? status : read_fleet(p);
}

/* The body. */

static int
read_url(struct plan *p, const char *url, const struct ss_filter_settings *settings, struct ss_index **indexp)
{
    char why[SOURCE_REASON];
    struct http_client *client;
    int status = cli_open_url(&client, &p->cli, url, prometheus_accept);
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

/* What each of the usual counts gives. */
static int
evaluate_counts(struct plan *p)
{
    struct progress progress = progress_start("counts weighed");
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
        r = p->loads ? plan_distribution_loads_exactly(&p->distribution, p->cli.count, p->loads) : -ENOMEM;
    if (!r)
        r = evaluate_counts(p);
    if (r)
        return cli_fail(p->name, strerror(-r));
    p->balance = balance_of(p->loads, p->cli.count);
    p->n_shares = plan_distribution_largest(&p->distribution, p->cli.count, p->balance.fullest, p->shares, SHARES_MAX);
    for (enum ss_placement placement = SS_PLACE_MODULO; placement <= SS_PLACE_JUMP; placement++)
        p->moved[placement] = plan_distribution_moved(&p->distribution, placement, p->cli.count, p->to);
    return 0;
}

struct cost
plan_cost_before(const struct plan *p, uint64_t body)
{
    double one = (double)p->targets * (double)body / p->interval;
    return (struct cost){one * p->cli.count, one, one};
}

struct cost
plan_cost_after(const struct plan *p, double mean, uint64_t most)
{
    double one = (double)p->targets * mean / p->interval;
    return (struct cost){one * p->cli.count, one, (double)p->targets * (double)most / p->interval};
}

static int
plan_body(struct plan *p, const char *where)
{
    const char *type = p->cli.values[CONTENT_TYPE];
    struct ss_filter_settings settings = plan_settings(p->cli.config, type ? type : "text/plain; version=0.0.4");
    struct ss_index *index = NULL;

    int status = read_body(p, where, &settings, &index);
    if (!status && p->rules.n_paths)
        status = plan_rules_apply(p, &index);
    if (!status)
        status = make_plan(p, index);
    if (!status)
        status = split_advice_find(&p->advice, &p->cli, &p->distribution, &p->balance, &p->rules);
    if (!status && p->cli.values[CLI_JSON])
        plan_print_json(p);
    else if (!status)
        plan_print(p);
    ss_index_free(index);
    return status;
}

int
cmd_plan(int argc, char **argv)
{
    struct plan plan = {.cli = {.flags = flags}};
    int at = cli_read(&plan.cli, argc, argv, usage), status;

    if (at < 0)
        status = -at;
    else if (at < argc - 1)
        status = flags_refuse("plan takes one body, behind the flags");
    else
        status = read_flags(&plan);
    if (!status)
        status = cli_end(plan_body(&plan, argv[at]));
    plan_distribution_deinit(&plan.distribution);
    split_advice_deinit(&plan.advice);
    plan_rules_deinit(&plan.rules);
    config_unref(plan.config_before);
    free(plan.loads);
    free(plan.url);
    cli_deinit(&plan.cli);
    return status;
}
