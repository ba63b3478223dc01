/* SPDX-License-Identifier: Apache-2.0 */
/* How a body falls into shards, and what would be better. */
#include "plan.h"

#include "cmd.h"
#include "source.h"
#include "terminal.h"

#include "service/config/upstream_url.h"
#include "service/config/config_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard plan --shard-count=N [flags] [FILE|URL]\n"
    "\n"
    "Tells how a body (FILE, standard input or -, http://, https:// or unix:/SOCKET:/PATH) falls into N shards:\n"
    "series, families and bytes of each, the skew, what causes it and which split rules would cure it, what\n"
    "other counts would give, and what a change of the count would move. Exits 0; 1 if the body cannot be had\n"
    "or is no exposition, 2 if the command line is wrong.\n";

enum { CONTENT_TYPE = TOOL_OWN_OF_ASKER, TO, TARGETS, INTERVAL };

static const struct flag flags[] = {
    TOOL_COMMON_FLAGS,
    TOOL_ASKER_FLAGS("as Prometheus 2.42 asks"),
    [CONTENT_TYPE] = {"content-type", "CT", "of a body that does not come with one (text/plain; version=0.0.4)",
                      tool_take},
    [TO] = {"to", "M", "tell what a change from N to M shards moves (N+1)", tool_take},
    [TARGETS] = {"targets", "T", "tell what a fleet of T such targets costs its N servers", tool_take},
    [INTERVAL] = {"interval", "DURATION", "between two scrapes of a target (60s)", tool_take},
    [INTERVAL + 1] = {NULL, NULL, NULL, NULL},
};

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

/* The command line. */

/* Reads what counts of the fleet. 0 or an exit status. */
static int
read_fleet(struct plan *p)
{
    const char *targets = p->tool.values[TARGETS], *interval = p->tool.values[INTERVAL], *wrong;
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
    p->to = p->tool.count < SS_SHARD_COUNT_MAX ? p->tool.count + 1 : p->tool.count;
    int status = p->tool.values[TO] ? tool_read_count(&p->tool, TO, &p->to) : 0;
    if (!status)
        status = tool_check_asking(&p->tool);
    return status ? status : read_fleet(p);
}

/* The body. */

static int
read_url(struct plan *p, const char *url, const struct ss_filter_settings *settings, struct ss_index **indexp)
{
    char why[SOURCE_REASON];
    struct getter *getter;
    int status = tool_open_url(&getter, &p->tool, url, prometheus_accept);
    if (status)
        return status;
    status = source_read_url(indexp, getter, NULL, settings, why);
    getter_free(getter);
    return status ? tool_fail(p->name, why) : 0;
}

static int
read_body(struct plan *p, const char *where, const struct ss_filter_settings *settings, struct ss_index **indexp)
{
    char why[SOURCE_REASON];

    if (where && get_is_url(where)) {
        p->url = url_shown(where);
        p->name = p->url ? p->url : "";
        return read_url(p, where, settings, indexp);
    }
    const char *path = where && strcmp(where, "-") != 0 ? where : NULL;
    p->name = path ? path : "standard input";
    return source_read_file(indexp, path, settings, why) ? tool_fail(p->name, why) : 0;
}

/* The plan. */

/* What each of the usual counts gives. */
static int
weigh_counts(struct plan *p)
{
    struct progress progress = progress_begin("counts weighed");
    struct load loads[COUNTS_MOST];
    int r = 0;

    for (uint32_t n = COUNTS_LEAST; n <= COUNTS_MOST && !r; n++) {
        r = fall_loads(&p->fall, n, loads);
        p->counts[n] = balance_of(loads, n);
        progress_tell(&progress, n, COUNTS_MOST);
    }
    progress_end(&progress);
    return r;
}

static int
make_plan(struct plan *p, const struct ss_index *index)
{
    int r = fall_init(&p->fall, index, p->tool.config);
    p->loads = calloc(p->tool.count, sizeof(*p->loads));
    if (!r)
        r = p->loads ? fall_loads_exactly(&p->fall, p->tool.count, p->loads) : -ENOMEM;
    if (!r)
        r = weigh_counts(p);
    if (r)
        return tool_fail(p->name, strerror(-r));
    p->balance = balance_of(p->loads, p->tool.count);
    p->n_shares = fall_largest(&p->fall, p->tool.count, p->balance.fullest, p->shares, SHARES);
    for (enum ss_placement placement = SS_PLACE_MODULO; placement <= SS_PLACE_JUMP; placement++)
        p->moved[placement] = fall_moved(&p->fall, placement, p->tool.count, p->to);
    return 0;
}

struct cost
plan_cost_before(const struct plan *p, uint64_t body)
{
    double one = (double)p->targets * (double)body / p->interval;
    return (struct cost){one * p->tool.count, one, one};
}

struct cost
plan_cost_after(const struct plan *p, double mean, uint64_t most)
{
    double one = (double)p->targets * mean / p->interval;
    return (struct cost){one * p->tool.count, one, (double)p->targets * (double)most / p->interval};
}

static int
plan_body(struct plan *p, const char *where)
{
    const char *type = p->tool.values[CONTENT_TYPE];
    struct ss_filter_settings settings = plan_settings(p->tool.config, type ? type : "text/plain; version=0.0.4");
    struct ss_index *index = NULL;

    int status = read_body(p, where, &settings, &index);
    if (!status)
        status = make_plan(p, index);
    if (!status)
        status = cure_find(&p->cure, &p->tool, &p->fall, &p->balance);
    if (!status && p->tool.values[TOOL_JSON])
        plan_print_json(p);
    else if (!status)
        plan_print(p);
    ss_index_free(index);
    return status;
}

int
cmd_plan(int argc, char **argv)
{
    struct plan plan = {.tool = {.flags = flags}};
    int at = tool_read(&plan.tool, argc, argv, usage), status;

    if (at < 0)
        status = -at;
    else if (at < argc - 1)
        status = flags_refuse("plan takes one body, behind the flags");
    else
        status = read_flags(&plan);
    if (!status)
        status = tool_end(plan_body(&plan, argv[at]));
    fall_deinit(&plan.fall);
    cure_deinit(&plan.cure);
    free(plan.loads);
    free(plan.url);
    tool_deinit(&plan.tool);
    return status;
}
