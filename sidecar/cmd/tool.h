/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_TOOL_H
#define CMD_TOOL_H
/* What the operator's tools have in common: explain, plan and verify. */
#include "json.h"
#include "settings.h"

#include <stdint.h>

/* The flags of each tool's table; its own come behind them, and behind those of a tool that asks services. */
enum {
    TOOL_COUNT,
    TOOL_JSON,
    TOOL_FILE,
    TOOL_SET,
    TOOL_OWN,
    TOOL_ACCEPT = TOOL_OWN,
    TOOL_TIMEOUT,
    TOOL_AUTHORIZATION,
    TOOL_TLS_CA,
    TOOL_TLS_CERTIFICATE,
    TOOL_TLS_KEY,
    TOOL_TLS_INSECURE,
    TOOL_OWN_OF_ASKER,
    TOOL_FLAGS = 20
};

#define TOOL_COMMON_FLAGS                                                                                              \
    [TOOL_COUNT] = {"shard-count", "N", "how many shards there are", tool_take},                                       \
    [TOOL_JSON] = {"json", NULL, "for machines", tool_take},                                                           \
    [TOOL_FILE] = {"config.file", "FILE", "take [sharding] and [rules] from a configuration", settings_take_file},     \
    [TOOL_SET] = {"set", "SECTION.KEY=VALUE", "any of its settings, as in sharding.key=name", settings_take_set}

struct tool {
    struct settings settings;       /* must be first: the flags of settings.h take it for all there is */
    const struct flag *flags;       /* the table */
    const char *values[TOOL_FLAGS]; /* by the flag's place in it; NULL: not given; "" of a flag without a value */
    struct config *config;
    uint32_t count; /* 0: not given, where it need not be */
    bool count_is_optional;
    char *authorization; /* what its file says */
};

#define TOOL_ASKER_FLAGS(fallback)                                                                                     \
    [TOOL_ACCEPT] = {"accept", "ACCEPT", "what a service is asked for (" fallback ")", tool_take},                     \
    [TOOL_TIMEOUT] = {"timeout", "DURATION", "how long each answer may take (10s)", tool_take},                        \
    [TOOL_AUTHORIZATION] = {"authorization-file", "FILE", "a file with the Authorization header to send", tool_take},  \
    [TOOL_TLS_CA] = {"tls-ca", "FILE", "who vouches for an https service (the system's)", tool_take},                  \
    [TOOL_TLS_CERTIFICATE] = {"tls-certificate", "FILE", "a certificate to show to it", tool_take},                    \
    [TOOL_TLS_KEY] = {"tls-key", "FILE", "its private key", tool_take},                                                \
    [TOOL_TLS_INSECURE] = {"tls-insecure", NULL, "any certificate of it will do", tool_take}

/* Takes a flag into values. ctx is a struct tool. */
int tool_take(void *ctx, const struct flag *flag, const char *value);

/* Reads a configuration. 0, or an exit status, after saying why: EXIT_USAGE if the flags have all the mistakes. */
int tool_read_config(const struct config_flags *flags, struct config **configp);

/*
 * Reads the command line and the configuration; without one the defaults are. Returns the index of the first word that
 * is no flag, or minus an exit status, after saying why. To be freed with tool_deinit() in both cases.
 */
int tool_read(struct tool *tool, int argc, char **argv, const char *usage);

/* A line of [rules]. */
struct tool_rule {
    const char *action, *pattern; /* "split" */
};

/* The configuration again, with n lines more. 0: *configp is the caller's. Else an exit status, after saying why. */
int tool_read_rules(struct tool *tool, const struct tool_rule *rules, size_t n, struct config **configp);

/* The same for split rules. */
int tool_read_split(struct tool *tool, char *const *patterns, size_t n, struct config **configp);

/* Reads a number from 1 to SS_SHARD_COUNT_MAX of a flag. 0, or an exit status, after saying why. */
int tool_read_count(const struct tool *tool, int flag, uint32_t *countp);

struct getter;

/* Makes ready to ask a service, for fallback if no --accept was given. 0, or an exit status, after saying why. */
int tool_open_url(struct getter **getterp, struct tool *tool, const char *url, const char *fallback);

/* Says that something of a service or file is wrong; why may have any bytes. Returns EXIT_FAILED. */
int tool_fail(const char *name, const char *why);

/* Whether a configuration was named, or a part of it. */
bool tool_has_config(const struct tool *tool);

/* What [sharding] says of keys, hashes and places: "family". Static. */
const char *tool_key_name(const struct config *config);
const char *tool_hash_name(const struct config *config);
const char *tool_placement_name(const struct config *config);

/* The same, and the count, as members of the object that is open. */
void tool_json_sharding(const struct tool *tool, struct json *json);

/* What has been printed is out. Returns status, or EXIT_FAILED if it is not. */
int tool_end(int status);

void tool_deinit(struct tool *tool);

#endif
