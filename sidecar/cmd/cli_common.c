/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_common.h"

#include "cmd.h"
#include "escape.h"
#include "http_client.h"

#include "proxy/negotiate.h"
#include "service/access/secrets.h"
#include "service/access/tls.h"
#include "service/config/config_value.h"
#include "service/config/upstream_url.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_DEFAULT = 10000 /* milliseconds */ };

/* The command line. */

int
cli_store_count(void *target, const struct flag *flag, const char *value)
{
    struct ss_shards_error error;
    if (ss_shard_count_parse(target, (struct ss_span){value, strlen(value)}, &error))
        return flags_refuse("--%s: %s", flag->name, error.reason);
    return 0;
}

int
cli_store_duration(void *target, const struct flag *flag, const char *value)
{
    int64_t *duration = target;
    const char *error = value_read_duration(duration, value);
    if (!error && *duration < 1)
        error = "is not a positive duration (expected e.g. 10s)";
    return error ? flags_refuse("--%s: \"%s\" %s", flag->name, value, error) : 0;
}

int
cli_store_header(void *target, const struct flag *flag, const char *value)
{
    if (strpbrk(value, "\r\n"))
        return flags_refuse("--%s: expected a header of one line", flag->name);
    return flag_store_text(target, flag, value);
}

int
cli_read(struct cli *cli, const struct flag *flags, int argc, char **argv, const char *usage)
{
    int at = flags_read(argc, argv, flags, usage);
    if (at < 0)
        return at;
    if (!cli->count && !cli->count_is_optional)
        return -flags_refuse("--shard-count is required");
    cli->settings.sharding_only = true;
    int status = settings_read(&cli->settings, &cli->config);
    return status ? -status : at;
}

/* Split rules. */

/* A value in the form that a flag takes, whatever bytes it has. NULL: out of memory. */
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
cli_read_rules(const struct cli *cli, const struct cli_rule *rules, size_t n, struct config **configp)
{
    const struct config *c = cli->config;
    struct config_flags flags = cli->settings;

    /* Flags replace the rules of the file, so all rules in force are given again. */
    flags.values = calloc(flags.n + c->replicate.n + c->colocate.n + c->split.n + n, sizeof(*flags.values));
    flags.n = 0;
    bool enough = flags.values;
    for (size_t i = 0; enough && i < cli->settings.n; i++)
        if (!is_of_rules(cli->settings.values[i].setting))
            flags.values[flags.n++] = cli->settings.values[i];
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
        status = settings_read(&flags, configp) ? EXIT_FAILED : 0;
    else
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
    free_added(&flags, own);
    return status;
}

int
cli_read_split(const struct cli *cli, char *const *patterns, size_t n, struct config **configp)
{
    struct cli_rule *rules = calloc(n + 1, sizeof(*rules));
    if (!rules) {
        fputs("scrapeshard: out of memory while trying a rule\n", stderr);
        return EXIT_FAILED;
    }
    for (size_t i = 0; i < n; i++)
        rules[i] = (struct cli_rule){"split", patterns[i]};
    int status = cli_read_rules(cli, rules, n, configp);
    free(rules);
    return status;
}

/* Requests. */

int
cli_fail(const char *name, const char *why)
{
    fputs("scrapeshard: ", stderr);
    print_escaped_controls(stderr, (struct ss_span){name, strlen(name)});
    fputs(": ", stderr);
    print_escaped_controls(stderr, (struct ss_span){why, strlen(why)});
    putc('\n', stderr);
    return EXIT_FAILED;
}

/* Reads the TLS files, once. 0, or an exit status after printing the error. */
static int
read_tls_files(struct cli *cli)
{
    const struct cli_http *http = &cli->http;
    /* The key may be in the certificate's file. */
    const struct tls_settings files = {http->tls_certificate, http->tls_key ? http->tls_key : http->tls_certificate,
                                       http->tls_ca, false};
    const char *names[] = {
        [TLS_CERTIFICATE] = files.certificate, [TLS_KEY] = files.key, [TLS_CLIENT_CA] = files.client_ca};
    struct tls_error error;
    if (cli->tls || (!files.certificate && !files.client_ca))
        return 0;
    return tls_client_new(&cli->tls, &files, &error) ? cli_fail(names[error.part], error.reason) : 0;
}

/* The default of scrape/scrape.go in Prometheus 3.4 to 3.14 (acceptHeader()). */
static const char prometheus_accept[] =
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

int
cli_open_url(struct http_client **clientp, struct cli *cli, const char *url)
{
    const struct cli_http *http = &cli->http;
    const char *file = http->authorization_file, *error;

    int status = read_tls_files(cli);
    if (status)
        return status;
    if (file && !cli->authorization && secret_read_line(&cli->authorization, file, &error))
        return cli_fail(file, error);
    if (!cli->accept && negotiate_accept(http->accept ? http->accept : prometheus_accept,
                                         ss_sharding_takes_protobuf(cli->config->sharding), &cli->accept))
        return cli_fail("the Accept header", strerror(ENOMEM));
    struct http_client_settings settings = {
        .url = url,
        .accept = cli->accept,
        .authorization = cli->authorization,
        .timeout = http->timeout ? http->timeout : TIMEOUT_DEFAULT,
        .tls = {cli->tls, http->tls_insecure, false},
    };
    int r = http_client_new(clientp, &settings, &error);
    if (!r)
        return 0;
    char *shown = url_shown(url);
    r = r > 0 ? flags_refuse("\"%s\" %s", shown ? shown : "", error) : cli_fail(shown ? shown : "", strerror(-r));
    free(shown);
    return r;
}

/* The configuration. */

bool
cli_has_config(const struct cli *cli)
{
    return cli->settings.file || cli->settings.n;
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
cli_json_sharding(const struct cli *cli, struct json *j)
{
    json_open_object(j, "sharding");
    json_word(j, "key", cli_key_name(cli->config));
    json_word(j, "hash", cli_hash_name(cli->config));
    json_word(j, "placement", cli_placement_name(cli->config));
    json_close_object(j);
    json_count(j, "shard_count", cli->count);
}

void
cli_deinit(struct cli *cli)
{
    config_unref(cli->config);
    free(cli->accept);
    secret_free(cli->authorization);
    SSL_CTX_free(cli->tls);
    settings_deinit(&cli->settings);
    libevent_global_shutdown();
}
