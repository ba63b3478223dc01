/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_common.h"

#include "cmd.h"
#include "http_client.h"
#include "terminal.h"

#include "service/access/secrets.h"
#include "service/config/config_value.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

int
cli_take(void *ctx, const struct flag *flag, const char *value)
{
    struct cli *t = ctx;
    t->values[flag - t->flags] = value ? value : "";
    return 0;
}

int
cli_read_config(const struct config_flags *flags, struct config **configp)
{
    int r = config_read(configp, flags, stderr);
    if (r < 0)
        fputs("scrapeshard: there is no memory to read the configuration\n", stderr);
    return !r ? 0 : r == 2 ? EXIT_USAGE : EXIT_FAILED;
}

int
cli_read_count(const struct cli *t, int flag, uint32_t *countp)
{
    struct ss_shards_error error;
    const char *text = t->values[flag];
    if (ss_shard_count_parse(countp, (struct ss_span){text, strlen(text)}, &error))
        return flags_refuse("--%s: %s", t->flags[flag].name, error.reason);
    return 0;
}

int
cli_read(struct cli *t, int argc, char **argv, const char *usage)
{
    int at = flags_read(argc, argv, t->flags, usage, t);
    if (at < 0)
        return at;
    if (!t->values[CLI_COUNT] && !t->count_is_optional)
        return -flags_refuse("--shard-count is needed");
    int status = t->values[CLI_COUNT] ? cli_read_count(t, CLI_COUNT, &t->count) : 0;
    t->settings.flags.sharding_only = true;
    if (!status)
        status = cli_read_config(&t->settings.flags, &t->config);
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

static const char *const added_actions[] = {"replicate", "colocate", "split"};
enum { ADDED_ACTIONS = sizeof(added_actions) / sizeof(added_actions[0]) };

/* Whether a setting is one of those to which rules are added. */
static bool
is_of_rules(const char *setting)
{
    static const char section[] = "rules.";
    for (size_t i = 0; i < ADDED_ACTIONS; i++)
        if (!strncmp(setting, section, strlen(section)) && !strcmp(setting + strlen(section), added_actions[i]))
            return true;
    return false;
}

/* The patterns that an action has in the configuration. */
static const struct string_list *
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
cli_read_rules(struct cli *t, const struct cli_rule *rules, size_t n, struct config **configp)
{
    const struct config *c = t->config;
    struct config_flags flags = t->settings.flags;

    /* Flags replace what the file says: all that is in force is said again. */
    flags.values = calloc(flags.n + c->replicate.n + c->colocate.n + c->split.n + n, sizeof(*flags.values));
    flags.n = 0;
    bool enough = flags.values;
    for (size_t i = 0; enough && i < t->settings.flags.n; i++)
        if (!is_of_rules(t->settings.flags.values[i].setting))
            flags.values[flags.n++] = t->settings.flags.values[i];
    size_t own = flags.n;
    for (size_t a = 0; a < ADDED_ACTIONS; a++) {
        const struct string_list *before = patterns_of(c, added_actions[a]);
        for (size_t i = 0; enough && i < before->n; i++)
            enough = add_value(&flags, added_actions[a], before->items[i]);
        for (size_t i = 0; enough && i < n; i++)
            if (!strcmp(rules[i].action, added_actions[a]))
                enough = add_value(&flags, added_actions[a], rules[i].pattern);
    }
    int status = EXIT_FAILED;
    if (enough)
        status = cli_read_config(&flags, configp) ? EXIT_FAILED : 0;
    else
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
    free_added(&flags, own);
    return status;
}

int
cli_read_split(struct cli *t, char *const *patterns, size_t n, struct config **configp)
{
    struct cli_rule *rules = calloc(n + 1, sizeof(*rules));
    if (!rules) {
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < n; i++)
        rules[i] = (struct cli_rule){"split", patterns[i]};
    int status = cli_read_rules(t, rules, n, configp);
    free(rules);
    return status;
}

int
cli_fail(const char *name, const char *why)
{
    fprintf(stderr, "scrapeshard: %s: ", name);
    log_escape_text(stderr, (struct ss_span){why, strlen(why)});
    putc('\n', stderr);
    return EXIT_FAILED;
}

/* 0, or an exit status, after saying why. */
static int
read_timeout(const struct cli *t, int64_t *timeout)
{
    const char *text = t->values[CLI_TIMEOUT], *wrong = text ? value_read_duration(timeout, text) : NULL;
    if (wrong || *timeout < 1)
        return flags_refuse("--timeout: \"%s\" %s", text, wrong ? wrong : "leaves no time; 10s is usual");
    return 0;
}

int
cli_check_asking(const struct cli *t)
{
    const char *accept = t->values[CLI_ACCEPT];
    int64_t timeout = 1;
    if (accept && strpbrk(accept, "\r\n"))
        return flags_refuse("--accept: a header is one line");
    return read_timeout(t, &timeout);
}

/* Reads what flags say of services. 0, or an exit status, after saying why. */
static int
read_asking(struct cli *t, struct http_client_settings *get)
{
    const char *file = t->values[CLI_AUTHORIZATION], *wrong;

    int status = cli_check_asking(t);
    if (!status)
        status = read_timeout(t, &get->timeout);
    if (status)
        return status;
    if (file && !t->authorization && secret_read_line(&t->authorization, file, &wrong))
        return cli_fail(file, wrong);
    get->authorization = t->authorization;
    get->tls = (struct fetch_tls){t->values[CLI_TLS_CA], t->values[CLI_TLS_CERTIFICATE], t->values[CLI_TLS_KEY],
                                  t->values[CLI_TLS_INSECURE], false};
    return 0;
}

int
cli_open_url(struct http_client **clientp, struct cli *t, const char *url, const char *fallback)
{
    const char *accept = t->values[CLI_ACCEPT], *wrong;
    struct http_client_settings get = {.url = url, .accept = accept ? accept : fallback, .timeout = 10000};

    int r = read_asking(t, &get);
    if (r)
        return r;
    r = http_client_new(clientp, &get, &wrong);
    if (!r)
        return 0;
    char *shown = url_shown(url);
    r = r > 0 ? flags_refuse("\"%s\" %s", shown ? shown : "", wrong) : cli_fail(shown ? shown : "", strerror(-r));
    free(shown);
    return r;
}

bool
cli_has_config(const struct cli *t)
{
    return t->settings.flags.file || t->settings.flags.n;
}

const char *
cli_key_name(const struct config *config)
{
    static const char *const names[] = {"family", "declared", "name", "labels"};
    return names[config->key];
}

const char *
cli_hash_name(const struct config *config)
{
    return config->hash == SS_HASH_MD5 ? "md5" : "xxh64";
}

const char *
cli_placement_name(const struct config *config)
{
    return config->placement == SS_PLACE_JUMP ? "jump" : "modulo";
}

void
cli_json_sharding(const struct cli *t, struct json *j)
{
    json_open_object(j, "sharding");
    json_word(j, "key", cli_key_name(t->config));
    json_word(j, "hash", cli_hash_name(t->config));
    json_word(j, "placement", cli_placement_name(t->config));
    json_close_object(j);
    json_count(j, "shard_count", t->count);
}

int
cli_end(int status)
{
    if (!fflush(stdout) && !ferror(stdout))
        return status;
    fprintf(stderr, "scrapeshard: standard output: %s\n", strerror(errno));
    return EXIT_FAILED;
}

void
cli_deinit(struct cli *t)
{
    config_unref(t->config);
    secret_free(t->authorization);
    settings_deinit(&t->settings);
    libevent_global_shutdown();
}
