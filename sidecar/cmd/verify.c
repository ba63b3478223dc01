/* SPDX-License-Identifier: Apache-2.0 */
/* Asks a running sidecar for the whole and for every shard, and proves that they are the same. */
#include "verify.h"

#include "cmd.h"
#include "source.h"
#include "terminal.h"

#include "core/base/buffer.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "scrapeshard verify --shard-count=N [flags] URL\n"
    "\n"
    "Asks a running sidecar (http://, https:// or unix:/SOCKET:/PATH) for the whole, for each of N shards, and\n"
    "for the whole again, and proves that the shards are the whole and disjoint, by names and labels; that\n"
    "families are whole, and metadata where their samples are. What is in only one of the wholes came or went\n"
    "meanwhile; what looks wrong is asked for again, up to five times, for it may come and go as well. With a\n"
    "configuration it also proves that each series is in the very shard it ought to be.\n"
    "Exits 0 if all is right; 1 if not, with the first 20 things that are wrong, or if most of the series came or\n"
    "went, so that nothing is proved; 2 if the command line is wrong.\n";

enum { WHOLE = CLI_OWN_HTTP };

/* The most rounds of asking. */
enum { ROUNDS = 5 };

static const struct flag flags[] = {
    CLI_COMMON_FLAGS,
    CLI_HTTP_FLAGS("text/plain;version=0.0.4"),
    [WHOLE] = {"whole", "URL", "ask this, the service itself, for the whole", cli_take},
    [WHOLE + 1] = {NULL, NULL, NULL, NULL},
};

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

/* Reads one answer into the evidence. 0, or an exit status and why. *indexp, unless NULL, gets the body. */
static int
read_answer(struct verify *v, struct http_client *client, const char *query, enum role role, uint32_t shard,
            struct ss_index **indexp, char *why)
{
    struct ss_filter_settings settings = settings_of(v);
    struct ss_index *index = NULL;

    int status = source_read_url(&index, client, query, &settings, why);
    if (!status && !v->format)
        v->format = ss_index_format(index);
    if (!status && strcmp(v->format, ss_index_format(index)) != 0) {
        snprintf(why, SOURCE_REASON, "it is %s, where the whole is %s", ss_index_format(index), v->format);
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
fail_whole(const struct verify *v, const char *why)
{
    char name[SOURCE_REASON], *shown = url_shown(v->whole ? v->whole : v->url);
    snprintf(name, sizeof(name), "%s: the whole", shown ? shown : "");
    cli_fail(name, why);
    free(shown);
}

static int
read_whole(struct verify *v, struct http_client *client, enum role role, struct ss_index **indexp)
{
    char why[SOURCE_REASON];
    int status = read_answer(v, client, NULL, role, 0, indexp, why);
    if (status)
        fail_whole(v, why);
    return status;
}

/* Asks for the whole and looks at none of it: services that change with each request, in turns, are then met at another
   one of their turns than in the last round. */
static int
skip_wholes(const struct verify *v, struct http_client *client, unsigned n)
{
    struct ss_filter_settings settings = settings_of(v);
    int status = 0;
    for (; n && !status; n--) {
        char why[SOURCE_REASON];
        struct ss_index *index = NULL;
        status = source_read_url(&index, client, NULL, &settings, why);
        ss_index_free(index);
        if (status)
            fail_whole(v, why);
    }
    return status;
}

/* Reads every shard. One that cannot be had is a finding, and after many of them no more are asked for. */
static int
read_shards(struct verify *v, struct http_client *client)
{
    const struct config *c = v->cli.config;
    struct progress progress = progress_start("shards asked");
    uint32_t count = v->cli.count;
    int r = 0;

    for (uint32_t i = 0; i < count && !r && v->result.n < VIOLATIONS_SHOWN; i++) {
        uint32_t shard = (i + v->rounds) % count;
        char why[SOURCE_REASON], *query;
        if (asprintf(&query, "%s=%u&%s=%u", c->shard_param, shard, c->shard_count_param, count) < 0) {
            r = -ENOMEM;
            break;
        }
        if (read_answer(v, client, query, ROLE_SHARD, shard, NULL, why))
            verify_result_add(&v->result, (struct violation){VIOLATION_SHARD, 0, shard, 0, strdup(why)});
        free(query);
        progress_update(&progress, i + 1, count);
    }
    progress_end(&progress);
    return r;
}

/* What the configuration says. */

static int
keep_spans(void *ctx, const struct ss_span *spans, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n && !r; i++)
        r = buffer_add(ctx, spans[i]);
    return r;
}

/* Takes each shard from the whole as the sidecar ought to. 0, or an exit status, after saying why. */
static int
expect_shards(struct verify *v, const struct ss_index *whole)
{
    uint32_t count = v->cli.count;
    struct buffer body = {.len = 0};
    struct ss_sink sink = {keep_spans, &body};
    char why[SOURCE_REASON] = "there is no memory";
    int r = 0;

    for (uint32_t shard = 0; shard < count && !r; shard++) {
        struct ss_filter_counts counts;
        struct ss_shards *shards = NULL;
        struct ss_shards_error error;
        char text[16];
        int n = snprintf(text, sizeof(text), "%u", shard);
        body.len = 0;
        r = ss_shards_parse(&shards, (struct ss_span){text, (size_t)n}, count, &error);
        if (!r)
            r = ss_index_select(whole, shards, &sink, &counts);
        if (!r)
            r = observations_read(&v->observations, (struct ss_span){body.ptr, body.len}, v->format, ROLE_EXPECTED,
                                  shard, why);
        ss_shards_free(shards);
    }
    buffer_deinit(&body);
    if (r)
        fprintf(stderr, "scrapeshard: what the configuration says of the whole cannot be told: %s\n", why);
    return r ? EXIT_FAILED : 0;
}

/* The proof. */

/* One round. */
static int
gather(struct verify *v, struct http_client *shards, struct http_client *whole)
{
    struct ss_index *before = NULL;
    bool expected = cli_has_config(&v->cli);

    int status = skip_wholes(v, whole, v->rounds);
    if (!status)
        status = read_whole(v, whole, ROLE_BEFORE, &before);
    if (!status && read_shards(v, shards))
        status = EXIT_FAILED;
    if (!status)
        status = read_whole(v, whole, ROLE_AFTER, NULL);
    if (!status && expected)
        status = expect_shards(v, before);
    ss_index_free(before);
    v->result.is_final |= v->result.n > 0;
    if (status || v->result.n) /* without all shards nothing can be said of the rest */
        return status;
    if (!verify_result_check(&v->result, &v->observations, v->rounds, expected))
        return 0;
    fputs("scrapeshard: there is no memory to judge\n", stderr);
    return EXIT_FAILED;
}

/* Asks until it is clear what is wrong, and what only comes and goes. */
static int
gather_all(struct verify *v, struct http_client *shards, struct http_client *whole)
{
    int status = gather(v, shards, whole);
    for (v->rounds = 1; v->rounds < ROUNDS && !status && !v->result.is_final; v->rounds++) {
        verify_result_deinit(&v->result);
        evidence_begin_round(&v->observations);
        status = gather(v, shards, whole);
    }
    return status;
}

static int
verify(struct verify *v)
{
    static const char accept[] = "text/plain;version=0.0.4";
    struct http_client *shards = NULL, *whole = NULL;
    int status = cli_open_url(&shards, &v->cli, v->url, accept);
    if (!status && v->whole)
        status = cli_open_url(&whole, &v->cli, v->whole, accept);
    if (!status)
        status = gather_all(v, shards, v->whole ? whole : shards);
    http_client_free(whole);
    http_client_free(shards);
    if (status)
        return status;
    if (v->cli.values[CLI_JSON])
        verify_print_json(v);
    else
        verify_print(v);
    return v->result.n ? EXIT_FAILED : 0;
}

int
cmd_verify(int argc, char **argv)
{
    struct verify v = {.cli = {.flags = flags}};
    int at = cli_read(&v.cli, argc, argv, usage), status;

    if (at < 0) {
        status = -at;
    } else if (at != argc - 1) {
        status = flags_refuse("verify takes one URL, behind the flags");
    } else {
        v.url = argv[at];
        v.shown = url_shown(v.url);
        v.whole = v.cli.values[WHOLE];
        v.observations.count = v.cli.count;
        status = cli_end(verify(&v));
    }
    observations_deinit(&v.observations);
    verify_result_deinit(&v.result);
    free(v.shown);
    cli_deinit(&v.cli);
    return status;
}
