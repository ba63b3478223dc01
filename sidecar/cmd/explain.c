/* SPDX-License-Identifier: Apache-2.0 */
/* The shard of a series, and why. */
#include "cli_common.h"
#include "cmd.h"
#include "escape.h"
#include "output.h"
#include "terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char usage[] =
    "scrapeshard explain --shard-count=N [flags] NAME...\n"
    "\n"
    "Shows why each series, a name with optional labels ('http_requests_total{code=\"200\"}'), is in its shard:\n"
    "its family, key and hash, and the rule that decided. Exits 0; 1 if a series or the configuration is invalid,\n"
    "2 if the command line is invalid.\n";

enum destination { ONE_SHARD, EVERY_SHARD, NO_SHARD };

static enum destination
destination_of(const struct ss_explanation *e)
{
    if (e->action && !strcmp(e->action, ss_action_name(SS_ACTION_REPLICATE)))
        return EVERY_SHARD;
    return e->action && (!strcmp(e->action, ss_action_name(SS_ACTION_DROP)) ||
                         !strcmp(e->action, ss_action_name(SS_ACTION_KEEP)))
               ? NO_SHARD
               : ONE_SHARD;
}

static struct ss_span
span_of(const char *text)
{
    return (struct ss_span){text, strlen(text)};
}

static void
print_name(const struct terminal *t, const char *name)
{
    printf("  %s%-8s%s", terminal_colour(t, COLOUR_DIM), name, terminal_colour(t, COLOUR_NONE));
}

static void
print_text(const struct terminal *t, const char *name, struct ss_span value)
{
    print_name(t, name);
    print_escaped(stdout, value);
    putchar('\n');
}

static void
print_rule(const struct cli *cli, const struct terminal *t, const struct ss_explanation *e)
{
    print_name(t, "rule");
    if (!e->action)
        printf("none: key = %s decides", cli_key_name(cli->config));
    else if (!e->pattern.len)
        printf("no %s rule matches", e->action);
    else
        printf("%s = %.*s", e->action, (int)e->pattern.len, e->pattern.ptr);
    putchar('\n');
    bool is_same = e->action && e->label_pattern.ptr == e->pattern.ptr;
    if (e->label_action && !is_same)
        printf("          by its labels: %s = %.*s\n", e->label_action, (int)e->label_pattern.len,
               e->label_pattern.ptr);
}

static void
print_explanation(const struct cli *cli, const struct terminal *t, const char *series, const struct ss_explanation *e)
{
    enum destination to = destination_of(e);
    const struct config *c = cli->config;

    printf("%s", terminal_colour(t, COLOUR_BOLD));
    print_escaped_controls(stdout, span_of(series));
    printf("%s\n", terminal_colour(t, COLOUR_NONE));
    print_text(t, "name", e->name);
    print_text(t, "family", e->family);
    if (to == ONE_SHARD) {
        print_text(t, "key", e->key);
        print_name(t, "hash");
        printf("%016" PRIx64 " (%s)\n", e->hash, cli_hash_name(c));
    }
    print_name(t, "shard");
    if (to == ONE_SHARD)
        printf("%s%u%s of %u (%s)\n", terminal_colour(t, COLOUR_GOOD),
               ss_sharding_place(c->sharding, e->hash, cli->count), terminal_colour(t, COLOUR_NONE), cli->count,
               cli_placement_name(c));
    else
        printf(to == EVERY_SHARD ? "all %u\n" : "none of %u\n", cli->count);
    print_rule(cli, t, e);
}

static void
json_explanation(const struct cli *cli, struct json *j, const char *series, const struct ss_explanation *e)
{
    static const char *const words[] = {[ONE_SHARD] = "one", [EVERY_SHARD] = "every", [NO_SHARD] = "none"};
    enum destination to = destination_of(e);
    char hash[20];

    json_open_object(j, NULL);
    json_text(j, "series", span_of(series));
    json_text(j, "name", e->name);
    json_text(j, "family", e->family);
    json_word(j, "shards", words[to]);
    if (to == ONE_SHARD) {
        snprintf(hash, sizeof(hash), "%016" PRIx64, e->hash);
        json_text(j, "key", e->key);
        json_word(j, "hash", hash);
        json_count(j, "shard", ss_sharding_place(cli->config->sharding, e->hash, cli->count));
    } else {
        json_null(j, "key");
        json_null(j, "hash");
        json_null(j, "shard");
    }
    if (e->action) {
        json_open_object(j, "rule");
        json_word(j, "action", e->action);
        json_text(j, "pattern", e->pattern);
        json_close_object(j);
    } else {
        json_null(j, "rule");
    }
    json_close_object(j);
}

/* Explains one series, in JSON if j is not NULL. */
static int
explain(const struct cli *cli, struct json *j, const char *series, bool first)
{
    struct terminal t = terminal_of(stdout);
    struct ss_explanation e;
    int r = ss_explain(cli->config->sharding, span_of(series), &e);

    if (r) {
        fprintf(stderr, "scrapeshard: ");
        print_escaped_controls(stderr, span_of(series));
        fprintf(stderr, ": %s\n", r > 0 ? e.reason : strerror(-r));
        return EXIT_FAILED;
    }
    if (j) {
        json_explanation(cli, j, series, &e);
        return 0;
    }
    if (!first)
        putchar('\n');
    print_explanation(cli, &t, series, &e);
    return 0;
}

static int
explain_all(const struct cli *cli, char **names, int n)
{
    struct json json = {.out = stdout}, *j = cli->json ? &json : NULL;
    int status = 0;

    if (j) {
        json_open_object(j, NULL);
        cli_json_sharding(cli, j);
        json_open_array(j, "series");
    }
    for (int i = 0; i < n; i++)
        status |= explain(cli, j, names[i], i == 0);
    if (j) {
        json_close_array(j);
        json_close_object(j);
    }
    return status;
}

int
cmd_explain(int argc, char **argv)
{
    struct cli cli = {.count = 0};
    const struct flag flags[] = {CLI_COMMON_FLAGS(&cli), FLAGS_END};
    int at = cli_read(&cli, flags, argc, argv, usage), status;

    if (at < 0)
        status = -at;
    else if (at == argc)
        status = flags_refuse("explain expects one or more series after the flags");
    else
        status = output_end(explain_all(&cli, argv + at, argc - at));
    cli_deinit(&cli);
    return status;
}
