/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches the unsharded body and every shard from a running sidecar, and proves that they match. */
#include "verify.h"

#include "cmd.h"
#include "output.h"
#include "progress.h"
#include "source.h"

#include "core/base/buffer.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard verify --shard-count=N [flags] URL\n"
    "\n"
    "Fetches the unsharded body from a running sidecar (http://, https:// or unix:/SOCKET:/PATH), then each of N\n"
    "shards, then the unsharded body again. Proves, by names and labels, that the shards are complete and\n"
    "disjoint, that no family is split, and that metadata are where their samples are. A series in only one of\n"
    "the unsharded bodies is churn; what looks wrong is fetched again, in up to five rounds, since it may be churn\n"
    "too. With a configuration, also proves that each series is in the shard that the configuration expects.\n"
    "Exits 0 if there are no violations; 1 if there are, listing the first 20, or if most series are churn, so that\n"
    "nothing is proved; 2 if the command line is invalid.\n";

enum { ROUNDS_MAX = 5 };

/* Bodies. */

static struct ss_filter_settings
settings_of(const struct verify *v)
{
    struct ss_filter_settings s = ss_filter_settings_default();
    s.content_type = "text/plain; version=0.0.4";
    s.sharding = v->cli.config->sharding;
    s.max_line = SIZE_MAX;
    return s;
}

/* Reads one response into the observations. 0, or an exit status and why. *indexp, unless NULL, gets the body. */
static int
read_response(struct verify *v, struct http_client *client, const char *query, enum role role, uint32_t shard,
              struct ss_index **indexp, char *why)
{
    struct ss_filter_settings settings = settings_of(v);
    struct ss_index *index = NULL;

    int status = source_read_url(&index, client, query, &settings, why);
    if (!status && !v->format)
        v->format = ss_index_format(index);
    if (!status && strcmp(v->format, ss_index_format(index)) != 0) {
        snprintf(why, SOURCE_REASON, "its format is %s, that of the unsharded body %s", ss_index_format(index),
                 v->format);
        status = EXIT_FAILED;
    }
    if (!status)
        status = observations_read(&v->observations, ss_index_body(index), v->format, role, shard, why);
    if (status || !indexp)
        ss_index_free(index);
    else
        *indexp = index;
    return status;
}

static void
print_unsharded_error(const struct verify *v, const char *why)
{
    char name[SOURCE_REASON], *shown = url_shown(v->unsharded_url ? v->unsharded_url : v->url);
    snprintf(name, sizeof(name), "%s: unsharded body", shown ? shown : "");
    cli_fail(name, why);
    free(shown);
}

static int
read_unsharded(struct verify *v, struct http_client *client, enum role role, struct ss_index **indexp)
{
    char why[SOURCE_REASON];
    int status = read_response(v, client, NULL, role, 0, indexp, why);
    if (status)
        print_unsharded_error(v, why);
    return status;
}

/* Fetches the unsharded body and ignores it: upstreams whose body alternates between requests are then observed in
   another phase than in the last round. */
static int
skip_unsharded(const struct verify *v, struct http_client *client, unsigned n)
{
    struct ss_filter_settings settings = settings_of(v);
    int status = 0;
    for (; n && !status; n--) {
        char why[SOURCE_REASON];
        struct ss_index *index = NULL;
        status = source_read_url(&index, client, NULL, &settings, why);
        ss_index_free(index);
        if (status)
            print_unsharded_error(v, why);
    }
    return status;
}

/* Reads every shard. One that cannot be read is a violation; after many of them no more are fetched. */
static int
read_shards(struct verify *v, struct http_client *client)
{
    const struct config *c = v->cli.config;
    struct progress progress = progress_start("shards fetched");
    uint32_t count = v->cli.count;
    int r = 0;

    for (uint32_t i = 0; i < count && !r && v->result.n < VIOLATIONS_SHOWN; i++) {
        uint32_t shard = (i + v->rounds) % count;
        char why[SOURCE_REASON], *query;
        if (asprintf(&query, "%s=%u&%s=%u", c->shard_param, shard, c->shard_count_param, count) < 0) {
            r = -ENOMEM;
            break;
        }
        if (read_response(v, client, query, ROLE_SHARD, shard, NULL, why))
            verify_result_add(&v->result, (struct violation){VIOLATION_SHARD, 0, shard, 0, strdup(why)});
        free(query);
        progress_update(&progress, i + 1, count);
    }
    progress_end(&progress);
    return r;
}

/* What the configuration expects. */

static int
keep_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = buffer_add(ctx, spans[i]);
    return r;
}

/* A shard of the count on the command line, as a sidecar serves it while another count is in force. 0 or an error. */
static int
expected_shard(struct ss_shards **shardsp, const struct verify *v, uint32_t shard, uint32_t in_force)
{
    struct ss_shards_error error;
    struct ss_shards *requested = NULL;
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", shard);
    int r = ss_shards_parse(&requested, (struct ss_span){text, (size_t)n}, v->cli.count, &error);
    if (!r)
        r = ss_shards_with_count(shardsp, requested, in_force);
    ss_shards_free(requested);
    return r;
}

/* Selects each shard from the unsharded body as the sidecar should. 0, or an exit status after printing the error. */
static int
expect_shards(struct verify *v, const struct ss_index *unsharded, uint32_t in_force)
{
    uint32_t count = v->cli.count;
    struct buffer body = {.len = 0};
    struct ss_sink sink = {keep_spans, &body};
    char why[SOURCE_REASON] = "out of memory";
    int r = 0;

    for (uint32_t shard = 0; shard < count && !r; shard++) {
        struct ss_filter_counts counts;
        struct ss_shards *shards = NULL;
        body.len = 0;
        r = expected_shard(&shards, v, shard, in_force);
        if (!r)
            r = ss_index_select(unsharded, shards, &sink, &counts);
        if (!r)
            r = observations_read(&v->observations, (struct ss_span){body.ptr, body.len}, v->format, ROLE_EXPECTED,
                                  shard, why);
        ss_shards_free(shards);
    }
    buffer_deinit(&body);
    if (r)
        fprintf(stderr, "scrapeshard: cannot compute the expected shards: %s\n", why);
    return r ? EXIT_FAILED : 0;
}

uint32_t
verify_other_count(const struct verify *v)
{
    const struct config *c = v->cli.config;
    if (!c->reshard_to || (v->cli.count != c->shard_count && v->cli.count != c->reshard_to))
        return 0;
    return v->cli.count == c->shard_count ? c->reshard_to : c->shard_count;
}

/* While a reshard is announced, either count may be in force: the smaller one is, if that explains where every series
   is. The shards of the larger one are not all among those of the smaller. */
static int
expect_count_in_force(struct verify *v, const struct ss_index *unsharded)
{
    uint32_t other = verify_other_count(v);
    if (other && other < v->cli.count) {
        int status = expect_shards(v, unsharded, other);
        if (status || !observations_have_misplaced(&v->observations))
            return status;
        observations_forget_expected(&v->observations);
    }
    return expect_shards(v, unsharded, v->cli.count);
}

/* The proof. */

static int
run_round(struct verify *v, struct http_client *shards, struct http_client *unsharded)
{
    struct ss_index *before = NULL;
    bool expected = cli_has_config(&v->cli);

    int status = skip_unsharded(v, unsharded, v->rounds);
    if (!status)
        status = read_unsharded(v, unsharded, ROLE_BEFORE, &before);
    if (!status && read_shards(v, shards))
        status = EXIT_FAILED;
    if (!status)
        status = read_unsharded(v, unsharded, ROLE_AFTER, NULL);
    if (!status && expected)
        status = expect_count_in_force(v, before);
    ss_index_free(before);
    v->result.is_final |= v->result.n > 0;
    if (status || v->result.n) /* the rest needs all shards */
        return status;
    if (!verify_result_check(&v->result, &v->observations, v->rounds, expected))
        return 0;
    fputs("scrapeshard: out of memory while checking\n", stderr);
    return EXIT_FAILED;
}

/* Runs rounds until it is clear what is a violation and what is churn. */
static int
run_rounds(struct verify *v, struct http_client *shards, struct http_client *unsharded)
{
    int status = run_round(v, shards, unsharded);
    for (v->rounds = 1; v->rounds < ROUNDS_MAX && !status && !v->result.is_final; v->rounds++) {
        verify_result_deinit(&v->result);
        observations_begin_round(&v->observations);
        status = run_round(v, shards, unsharded);
    }
    return status;
}

static int
verify(struct verify *v)
{
    struct http_client *shards = NULL, *unsharded = NULL;
    int status = cli_open_url(&shards, &v->cli, v->url);
    if (!status && v->unsharded_url)
        status = cli_open_url(&unsharded, &v->cli, v->unsharded_url);
    if (!status)
        status = run_rounds(v, shards, v->unsharded_url ? unsharded : shards);
    http_client_free(unsharded);
    http_client_free(shards);
    if (status)
        return status;
    if (v->cli.json)
        verify_print_json(v);
    else
        verify_print(v);
    return v->result.n ? EXIT_FAILED : 0;
}

int
cmd_verify(int argc, char **argv)
{
    struct verify v = {.url = NULL};
    const struct flag flags[] = {
        CLI_COMMON_FLAGS(&v.cli),
        CLI_HTTP_FLAGS(&v.cli),
        {"whole", "URL", "fetch the unsharded body from here, e.g. from the upstream itself", flag_store_text,
         &v.unsharded_url},
        FLAGS_END,
    };
    int at = cli_read(&v.cli, flags, argc, argv, usage), status;

    if (at < 0) {
        status = -at;
    } else if (at != argc - 1) {
        status = flags_refuse("verify expects one URL after the flags");
    } else {
        v.url = argv[at];
        v.shown = url_shown(v.url);
        v.observations.count = v.cli.count;
        status = output_end(verify(&v));
    }
    observations_deinit(&v.observations);
    verify_result_deinit(&v.result);
    free(v.shown);
    cli_deinit(&v.cli);
    return status;
}
