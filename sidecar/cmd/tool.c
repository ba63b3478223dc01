/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include "cmd.h"
#include "get.h"
#include "terminal.h"

#include "../service/secrets.h"
#include "../service/values.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

int
tool_take(void *ctx, const struct flag *flag, const char *value)
{
    struct tool *t = ctx;
    t->values[flag - t->flags] = value ? value : "";
    return 0;
}

int
tool_read_config(const struct config_flags *flags, struct config **configp)
{
    int r = config_read(configp, flags, stderr);
    if (r < 0)
        fputs("scrapeshard: there is no memory to read the configuration\n", stderr);
    return !r ? 0 : r == 2 ? EXIT_USAGE : EXIT_FAILED;
}

int
tool_read_count(const struct tool *t, int flag, uint32_t *countp)
{
    struct ss_shards_error error;
    const char *text = t->values[flag];
    if (ss_shard_count_parse(countp, (struct ss_span){text, strlen(text)}, &error))
        return flags_refuse("--%s: %s", t->flags[flag].name, error.reason);
    return 0;
}

int
tool_read(struct tool *t, int argc, char **argv, const char *usage)
{
    int at = flags_read(argc, argv, t->flags, usage, t);
    if (at < 0)
        return at;
    if (!t->values[TOOL_COUNT] && !t->count_is_optional)
        return -flags_refuse("--shard-count is needed");
    int status = t->values[TOOL_COUNT] ? tool_read_count(t, TOOL_COUNT, &t->count) : 0;
    t->settings.flags.for_bodies_only = true;
    if (!status)
        status = tool_read_config(&t->settings.flags, &t->config);
    return status ? -status : at;
}

/* A value as a flag takes it, whatever is in it. NULL: there is no memory. */
static char *
quote(const char *value)
{
    char *quoted = malloc(2 * strlen(value) + 3), *out = quoted;
    if (!quoted)
        return NULL;
    *out++ = '"';
    for (; *value; value++) {
        if (*value == '"')
            *out++ = '"';
        *out++ = *value;
    }
    *out++ = '"';
    *out = 0;
    return quoted;
}

/* Whether one of the rules is of the action that a setting sets. */
static bool
sets_one_of(const char *setting, const struct tool_rule *rules, size_t n)
{
    static const char section[] = "rules.";
    for (size_t i = 0; i < n; i++)
        if (!strncmp(setting, section, strlen(section)) && !strcmp(setting + strlen(section), rules[i].action))
            return true;
    return false;
}

/* The patterns that an action has in the configuration. */
static const struct texts *
patterns_of(const struct config *c, const char *action)
{
    return !strcmp(action, "split") ? &c->split : !strcmp(action, "colocate") ? &c->colocate : &c->replicate;
}

/* Adds a value of rules.ACTION. Its strings are freed with free_added(). */
static bool
add_value(struct config_flags *flags, const char *action, const char *pattern)
{
    static char name[] = "a proposed rule";
    struct config_flag_value *added = &flags->values[flags->n];
    char *setting;

    if (asprintf(&setting, "rules.%s", action) < 0)
        return false;
    *added = (struct config_flag_value){name, setting, quote(pattern)};
    flags->n++;
    return added->value;
}

static void
free_added(struct config_flags *flags, size_t from)
{
    for (size_t i = from; i < flags->n; i++) {
        free(flags->values[i].setting);
        free(flags->values[i].value);
    }
    free(flags->values);
}

int
tool_read_rules(struct tool *t, const struct tool_rule *rules, size_t n, struct config **configp)
{
    static const char *const actions[] = {"replicate", "colocate", "split"};
    const struct config *c = t->config;
    struct config_flags flags = t->settings.flags;

    /* Flags replace what the file says: all rules of an action are said again. */
    flags.values = calloc(flags.n + c->replicate.n + c->colocate.n + c->split.n + n, sizeof(*flags.values));
    flags.n = 0;
    bool enough = flags.values;
    for (size_t i = 0; enough && i < t->settings.flags.n; i++)
        if (!sets_one_of(t->settings.flags.values[i].setting, rules, n))
            flags.values[flags.n++] = t->settings.flags.values[i];
    size_t own = flags.n;
    for (size_t a = 0; a < sizeof(actions) / sizeof(actions[0]); a++) {
        const struct texts *before = patterns_of(c, actions[a]);
        bool more = false;
        for (size_t i = 0; i < n; i++)
            more |= !strcmp(rules[i].action, actions[a]);
        for (size_t i = 0; enough && more && i < before->n; i++)
            enough = add_value(&flags, actions[a], before->items[i]);
        for (size_t i = 0; enough && i < n; i++)
            if (!strcmp(rules[i].action, actions[a]))
                enough = add_value(&flags, actions[a], rules[i].pattern);
    }
    int status = EXIT_FAILED;
    if (enough)
        status = tool_read_config(&flags, configp) ? EXIT_FAILED : 0;
    else
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
    free_added(&flags, own);
    return status;
}

int
tool_read_split(struct tool *t, char *const *patterns, size_t n, struct config **configp)
{
    struct tool_rule *rules = calloc(n + 1, sizeof(*rules));
    if (!rules) {
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < n; i++)
        rules[i] = (struct tool_rule){"split", patterns[i]};
    int status = tool_read_rules(t, rules, n, configp);
    free(rules);
    return status;
}

int
tool_fail(const char *name, const char *why)
{
    fprintf(stderr, "scrapeshard: %s: ", name);
    text_print_escaped(stderr, (struct ss_span){why, strlen(why)});
    putc('\n', stderr);
    return EXIT_FAILED;
}

/* Reads what flags say of services. 0, or an exit status, after saying why. */
static int
read_asking(struct tool *t, struct get_settings *get)
{
    const char *timeout = t->values[TOOL_TIMEOUT], *file = t->values[TOOL_AUTHORIZATION];
    const char *wrong = timeout ? value_read_duration(&get->timeout, timeout) : NULL;

    if (wrong || get->timeout < 1)
        return flags_refuse("--timeout: \"%s\" %s", timeout, wrong ? wrong : "leaves no time; 10s is usual");
    if (strpbrk(get->accept, "\r\n"))
        return flags_refuse("--accept: a header is one line");
    if (file && !t->authorization && secret_read_line(&t->authorization, file, &wrong))
        return tool_fail(file, wrong);
    get->authorization = t->authorization;
    get->tls = (struct fetch_tls){t->values[TOOL_TLS_CA], t->values[TOOL_TLS_CERTIFICATE], t->values[TOOL_TLS_KEY],
                                  t->values[TOOL_TLS_INSECURE], false};
    return 0;
}

int
tool_open_url(struct getter **getterp, struct tool *t, const char *url, const char *fallback)
{
    const char *accept = t->values[TOOL_ACCEPT], *wrong;
    struct get_settings get = {.url = url, .accept = accept ? accept : fallback, .timeout = 10000};

    int r = read_asking(t, &get);
    if (r)
        return r;
    r = getter_new(getterp, &get, &wrong);
    if (r > 0)
        return flags_refuse("\"%s\" %s", url, wrong);
    return r ? tool_fail(url, strerror(-r)) : 0;
}

bool
tool_has_config(const struct tool *t)
{
    return t->settings.flags.file || t->settings.flags.n;
}

const char *
tool_key_name(const struct config *config)
{
    static const char *const names[] = {"family", "declared", "name", "labels"};
    return names[config->key];
}

const char *
tool_hash_name(const struct config *config)
{
    return config->hash == SS_HASH_MD5 ? "md5" : "xxh64";
}

const char *
tool_placement_name(const struct config *config)
{
    return config->placement == SS_PLACE_JUMP ? "jump" : "modulo";
}

void
tool_json_sharding(const struct tool *t, struct json *j)
{
    json_open_object(j, "sharding");
    json_word(j, "key", tool_key_name(t->config));
    json_word(j, "hash", tool_hash_name(t->config));
    json_word(j, "placement", tool_placement_name(t->config));
    json_close_object(j);
    json_count(j, "shard_count", t->count);
}

int
tool_end(int status)
{
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    fprintf(stderr, "scrapeshard: standard output: %s\n", strerror(errno));
    return EXIT_FAILED;
}

void
tool_deinit(struct tool *t)
{
    config_unref(t->config);
    secret_free(t->authorization);
    settings_deinit(&t->settings);
    libevent_global_shutdown();
}
