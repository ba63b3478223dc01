/* SPDX-License-Identifier: Apache-2.0 */
/* The bodies that the rules apply to: their families, and the load that they put on the shards. */
#include "cmd.h"
#include "rules.h"
#include "source.h"

#include "core/base/buffer.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Adds a family of a body. */
static void
add_family(void *ctx, const struct ss_family_count *family)
{
    struct rules_run *run = ctx;
    if (run->n_families == run->family_room) {
        size_t room = 2 * run->family_room + 64;
        struct body_family *families = realloc(run->families, room * sizeof(*families));
        if (!families) {
            run->out_of_memory = true;
            return;
        }
        run->families = families;
        run->family_room = room;
    }
    run->families[run->n_families++] = (struct body_family){family->name, family->series};
}

static int
order_families(const void *left, const void *right)
{
    const struct body_family *l = left, *r = right;
    return spans_order(l->name, r->name);
}

static int
read_body(struct rules_run *run, const char *where, const char *type, struct ss_index **indexp)
{
    struct ss_filter_settings settings = plan_settings(run->cli.config, type ? type : "text/plain; version=0.0.4");
    char why[SOURCE_REASON];
    struct http_client *client;

    if (http_client_is_url(where)) {
        int status = cli_open_url(&client, &run->cli, where);
        if (status)
            return status == EXIT_USAGE ? status : EXIT_UNREAD;
        status = source_read_url(indexp, client, NULL, &settings, why);
        http_client_free(client);
        if (!status)
            return 0;
    } else if (!source_read_file(indexp, strcmp(where, "-") != 0 ? where : NULL, &settings, why)) {
        return 0;
    }
    char *shown = http_client_is_url(where) ? url_shown(where) : NULL;
    cli_fail(shown ? shown : http_client_is_url(where) ? "the body" : where, why);
    free(shown);
    return EXIT_UNREAD;
}

int
rules_read_bodies(struct rules_run *run)
{
    const char *type = run->content_type;
    run->bodies = calloc(run->n_bodies + 1, sizeof(*run->bodies));
    if (!run->bodies) {
        fputs("scrapeshard: out of memory\n", stderr);
        return EXIT_UNREAD;
    }
    for (size_t i = 0; i < run->n_bodies; i++) {
        struct rules_body *b = &run->bodies[i];
        b->name = run->body_names[i];
        int status = read_body(run, b->name, type, &b->index);
        if (status)
            return status;
        ss_index_families(b->index, add_family, run);
    }
    if (run->out_of_memory) {
        cli_fail(run->body_names[0], strerror(ENOMEM));
        return EXIT_UNREAD;
    }
    /* The order of the index is not defined. */
    if (run->n_families)
        qsort(run->families, run->n_families, sizeof(*run->families), order_families);
    return 0;
}

/* Adds the load that a body puts on each shard. */
static int
add_loads(const struct rules_run *run, const struct config *config, const struct ss_index *index,
          struct shard_load *loads)
{
    uint32_t count = run->cli.count;
    struct shard_load *own = calloc(count, sizeof(*own));
    struct plan_distribution distribution = {.parts = NULL};

    int r = own ? plan_distribution_init(&distribution, index, config) : -ENOMEM;
    if (!r)
        r = plan_distribution_loads(&distribution, count, own);
    for (uint32_t i = 0; !r && i < count; i++) {
        loads[i].series += own[i].series;
        loads[i].bytes += own[i].bytes;
        loads[i].families += own[i].families;
    }
    plan_distribution_deinit(&distribution);
    free(own);
    return r;
}

/* Indexes the body under the configuration. 0 or an exit status, after reporting the error. */
static int
index_again(const struct config *config, const struct rules_body *body, struct ss_index **againp)
{
    struct ss_filter_settings settings = plan_settings(config, plan_content_type(body->index));
    char why[SOURCE_REASON];
    return source_read_bytes(againp, ss_index_body(body->index), &settings, why) ? cli_fail("the body", why) : 0;
}

int
rules_compute_balance(struct rules_run *run, struct rules_state *state)
{
    bool same = state->config == run->cli.config;
    int status = 0;

    if (!run->n_bodies || !run->cli.count)
        return 0;
    struct shard_load *loads = calloc(run->cli.count, sizeof(*loads));
    if (!loads) {
        cli_fail("the body", strerror(ENOMEM));
        return EXIT_UNREAD;
    }
    for (size_t i = 0; !status && i < run->n_bodies; i++) {
        struct ss_index *again = NULL;
        status = same ? 0 : index_again(state->config, &run->bodies[i], &again);
        if (!status && add_loads(run, state->config, same ? run->bodies[i].index : again, loads))
            status = cli_fail("the body", strerror(ENOMEM));
        ss_index_free(again);
    }
    state->balance = balance_of(loads, run->cli.count);
    state->has_balance = true;
    free(loads);
    return status ? EXIT_UNREAD : 0;
}

/* Which bodies have a family. */

struct search {
    struct ss_span name;
    bool found;
};

static void
compare(void *ctx, const struct ss_family_count *family)
{
    struct search *s = ctx;
    s->found |= spans_equal(family->name, s->name);
}

bool
rules_group_spans_bodies(const struct rules_run *run, const struct rule_group *group)
{
    size_t n;
    const struct needed_family *families = analysis_families(run->before.analysis, &n);

    for (size_t b = 0; run->n_bodies > 1 && b < run->n_bodies; b++) {
        size_t found = 0;
        for (size_t i = 0; i < group->n_families; i++) {
            struct search s = {families[group->families[i]].body_name, false};
            ss_index_families(run->bodies[b].index, compare, &s);
            found += s.found;
        }
        if (found == group->n_families)
            return false;
    }
    return run->n_bodies > 1;
}

void
rules_free_bodies(struct rules_run *run)
{
    for (size_t i = 0; run->bodies && i < run->n_bodies; i++)
        ss_index_free(run->bodies[i].index);
    free(run->bodies);
    free(run->families);
}
