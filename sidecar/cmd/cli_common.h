/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CLI_COMMON_H
#define CMD_CLI_COMMON_H
/* What the operator's tools have in common: explain, plan and verify. */
#include "json.h"
#include "settings.h"

#include <stdint.h>

/* The flags of each tool's table; its own come behind them, and behind those of a tool that asks services. */
enum {
    CLI_COUNT,
    CLI_JSON,
    CLI_FILE,
    CLI_SET,
    CLI_OWN,
    CLI_ACCEPT = CLI_OWN,
    CLI_TIMEOUT,
    CLI_AUTHORIZATION,
    CLI_TLS_CA,
    CLI_TLS_CERTIFICATE,
    CLI_TLS_KEY,
    CLI_TLS_INSECURE,
    CLI_OWN_HTTP,
    CLI_FLAGS = 20
};

#define CLI_COMMON_FLAGS                                                                                               \
    [CLI_COUNT] = {"shard-count", "N", "how many shards there are", cli_take},                                         \
    [CLI_JSON] = {"json", NULL, "for machines", cli_take},                                                             \
    [CLI_FILE] = {"config.file", "FILE", "take [sharding] and [rules] from a configuration", settings_take_file},      \
    [CLI_SET] = {"set", "SECTION.KEY=VALUE", "any of its settings, as in sharding.key=name", settings_take_set}

struct cli {
    struct cli_settings settings;  /* must be first: the flags of settings.h take it for all there is */
    const struct flag *flags;      /* the table */
    const char *values[CLI_FLAGS]; /* by the flag's place in it; NULL: not given; "" of a flag without a value */
    struct config *config;
    uint32_t count; /* 0: not given, where it need not be */
    bool count_is_optional;
    char *authorization; /* what its file says */
};

#define CLI_HTTP_FLAGS(fallback)                                                                                       \
    [CLI_ACCEPT] = {"accept", "ACCEPT", "what a service is asked for (" fallback ")", cli_take},                       \
    [CLI_TIMEOUT] = {"timeout", "DURATION", "how long each answer may take (10s)", cli_take},                          \
    [CLI_AUTHORIZATION] = {"authorization-file", "FILE", "a file with the Authorization header to send", cli_take},    \
    [CLI_TLS_CA] = {"tls-ca", "FILE", "who vouches for an https service (the system's)", cli_take},                    \
    [CLI_TLS_CERTIFICATE] = {"tls-certificate", "FILE", "a certificate to show to it", cli_take},                      \
    [CLI_TLS_KEY] = {"tls-key", "FILE", "its private key", cli_take},                                                  \
    [CLI_TLS_INSECURE] = {"tls-insecure", NULL, "any certificate of it will do", cli_take}

/* Takes a flag into values. ctx is a struct cli. */
int cli_take(void *ctx, const struct flag *flag, const char *value);

/* Reads a configuration. 0, or an exit status, after saying why: EXIT_USAGE if the flags have all the mistakes. */
int cli_read_config(const struct config_flags *flags, struct config **configp);

/*
 * Reads the command line and the configuration; without one the defaults are. Returns the index of the first word that
 * is no flag, or minus an exit status, after saying why. To be freed with cli_deinit() in both cases.
 */
int cli_read(struct cli *cli, int argc, char **argv, const char *usage);

/* A line of [rules]. */
struct cli_rule {
    const char *action, *pattern; /* "split" */
};

/* The configuration in force again, with n lines more. 0: *configp is the caller's. Else an exit status, after saying
 * why. */
int cli_read_rules(struct cli *cli, const struct cli_rule *rules, size_t n, struct config **configp);

/* The same for split rules. */
int cli_read_split(struct cli *cli, char *const *patterns, size_t n, struct config **configp);

/* Reads a number from 1 to SS_SHARD_COUNT_MAX of a flag. 0, or an exit status, after saying why. */
int cli_read_count(const struct cli *cli, int flag, uint32_t *countp);

/* Looks at the flags of how services are asked, whether or not one is. 0, or an exit status, after saying why. */
int cli_check_asking(const struct cli *cli);

struct http_client;

/* Makes ready to ask a service, for fallback if no --accept was given. 0, or an exit status, after saying why. */
int cli_open_url(struct http_client **clientp, struct cli *cli, const char *url, const char *fallback);

/* Says that something of a service or file is wrong; why may have any bytes. Returns EXIT_FAILED. */
int cli_fail(const char *name, const char *why);

/* Whether a configuration was named, or a part of it. */
bool cli_has_config(const struct cli *cli);

/* What [sharding] says of keys, hashes and places: "family". Static. */
const char *cli_key_name(const struct config *config);
const char *cli_hash_name(const struct config *config);
const char *cli_placement_name(const struct config *config);

/* The same, and the count, as members of the object that is open. */
void cli_json_sharding(const struct cli *cli, struct json *json);

/* What has been printed is out. Returns status, or EXIT_FAILED if it is not. */
int cli_end(int status);

void cli_deinit(struct cli *cli);

#endif
