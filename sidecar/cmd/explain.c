/* SPDX-License-Identifier: Apache-2.0 */
/* Where a series goes, and why. */
#include "cmd.h"
#include "terminal.h"
#include "cli_common.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char usage[] =
    "scrapeshard explain --shard-count=N [flags] NAME...\n"
    "\n"
    "Tells how each series, a name perhaps with labels ('http_requests_total{code=\"200\"}'), comes to its\n"
    "shard: the family, the key, its hash, the shard, and the rule that decided. Exits 0; 1 if it cannot be\n"
    "told, 2 if the command line is wrong.\n";

static const struct flag flags[] = {
    TOOL_COMMON_FLAGS,
    [TOOL_OWN] = {NULL, NULL, NULL, NULL},
};

/* What becomes of a series. */
enum fate { ONE_SHARD, EVERY_SHARD, NO_SHARD };

static enum fate
fate_of(const struct ss_explanation *e)
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

/* Begins a line of one fact. */
static void
print_name(const struct terminal *t, const char *name)
{
    printf("  %s%-8s%s", terminal_colour(t, COLOUR_DIM), name, terminal_colour(t, COLOUR_NONE));
}

static void
print_text(const struct terminal *t, const char *name, struct ss_span value)
{
    print_name(t, name);
    text_print(stdout, value);
    putchar('\n');
}

static void
print_rule(const struct tool *tool, const struct terminal *t, const struct ss_explanation *e)
{
    print_name(t, "rule");
    if (!e->action)
        printf("none: key = %s decides", tool_key_name(tool->config));
    else if (!e->pattern.len)
        printf("%s, which nothing of it matches", e->action);
    else
        printf("%s = %.*s", e->action, (int)e->pattern.len, e->pattern.ptr);
    putchar('\n');
}

static void
print_explanation(const struct tool *tool, const struct terminal *t, const char *series, const struct ss_explanation *e)
{
    enum fate fate = fate_of(e);
    const struct config *c = tool->config;

    printf("%s", terminal_colour(t, COLOUR_BOLD));
    text_print_escaped(stdout, span_of(series));
    printf("%s\n", terminal_colour(t, COLOUR_NONE));
    print_text(t, "name", e->name);
    print_text(t, "family", e->family);
    if (fate == ONE_SHARD) {
        print_text(t, "key", e->key);
        print_name(t, "hash");
        printf("%016" PRIx64 " (%s)\n", e->hash, tool_hash_name(c));
    }
    print_name(t, "shard");
    if (fate == ONE_SHARD)
        printf("%s%u%s of %u (%s)\n", terminal_colour(t, COLOUR_GOOD),
               ss_sharding_place(c->sharding, e->hash, tool->count), terminal_colour(t, COLOUR_NONE), tool->count,
               tool_placement_name(c));
    else
        printf(fate == EVERY_SHARD ? "every one of %u\n" : "none of %u\n", tool->count);
    print_rule(tool, t, e);
}

static void
json_explanation(const struct tool *tool, struct json *j, const char *series, const struct ss_explanation *e)
{
    static const char *const fates[] = {[ONE_SHARD] = "one", [EVERY_SHARD] = "every", [NO_SHARD] = "none"};
    enum fate fate = fate_of(e);
    char hash[20];

    json_open_object(j, NULL);
    json_text(j, "series", span_of(series));
    json_text(j, "name", e->name);
    json_text(j, "family", e->family);
    json_word(j, "shards", fates[fate]);
    if (fate == ONE_SHARD) {
        snprintf(hash, sizeof(hash), "%016" PRIx64, e->hash);
        json_text(j, "key", e->key);
        json_word(j, "hash", hash);
        json_count(j, "shard", ss_sharding_place(tool->config->sharding, e->hash, tool->count));
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

/* Explains one series, by json if there is one. */
static int
explain(const struct tool *tool, struct json *j, const char *series, bool first)
{
    struct terminal t = terminal_of(stdout);
    struct ss_explanation e;
    int r = ss_explain(tool->config->sharding, span_of(series), &e);

    if (r) {
        fprintf(stderr, "scrapeshard: ");
        text_print_escaped(stderr, span_of(series));
        fprintf(stderr, ": %s\n", r > 0 ? e.reason : strerror(-r));
        return EXIT_FAILED;
    }
    if (j) {
        json_explanation(tool, j, series, &e);
        return 0;
    }
    if (!first)
        putchar('\n');
    print_explanation(tool, &t, series, &e);
    return 0;
}

static int
explain_all(const struct tool *tool, char **names, int n)
{
    struct json json = {.out = stdout}, *j = tool->values[TOOL_JSON] ? &json : NULL;
    int status = 0;

    if (j) {
        json_open_object(j, NULL);
        tool_json_sharding(tool, j);
        json_open_array(j, "series");
    }
    for (int i = 0; i < n; i++)
        status |= explain(tool, j, names[i], i == 0);
    if (j) {
        json_close_array(j);
        json_close_object(j);
    }
    return status;
}

int
cmd_explain(int argc, char **argv)
{
    struct tool tool = {.flags = flags};
    int at = tool_read(&tool, argc, argv, usage), status;

    if (at < 0)
        status = -at;
    else if (at == argc)
        status = flags_refuse("explain takes the name of a series, or several");
    else
        status = tool_end(explain_all(&tool, argv + at, argc - at));
    tool_deinit(&tool);
    return status;
}
