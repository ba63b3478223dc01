/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CMD_CLI_COMMON_H
#define CMD_CLI_COMMON_H
/* What explain, plan and verify share. */
#include "json.h"
#include "settings.h"

#include <openssl/types.h>
#include <stdint.h>

/* Flags of a command that sends requests. */
struct cli_http {
    const char *accept; /* NULL: that of Prometheus */
    int64_t timeout;    /* milliseconds; 0: the default */
    const char *authorization_file, *tls_ca, *tls_certificate, *tls_key;
    bool tls_insecure;
};

struct cli {
    struct config_flags settings;
    uint32_t count; /* of shards; 0: not given */
    bool json;
    struct cli_http http;
    struct config *config;
    char *accept;        /* what is sent of http.accept; NULL: nothing, or not known yet */
    char *authorization; /* read from its file */
    SSL_CTX *tls;        /* from the TLS files; NULL: none */
    bool count_is_optional;
};

/* Rows of a table of flags that are stored in a struct cli. */
#define CLI_FLAG(...)                                                                                                  \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

#define CLI_COMMON_FLAGS(cli)                                                                                          \
    CLI_FLAG("shard-count", "N", "number of shards", cli_store_count, &(cli)->count),                                  \
        CLI_FLAG("json", NULL, "print JSON", flag_store_switch, &(cli)->json),                                         \
        CLI_FLAG("config.file", "FILE", "read [sharding] and [rules] from a configuration", settings_store_file,       \
                 &(cli)->settings),                                                                                    \
        CLI_FLAG("set", "SECTION.KEY=VALUE", "any of their settings, e.g. sharding.key=name; repeatable",              \
                 settings_store_set, &(cli)->settings)

#define CLI_HTTP_FLAGS(cli)                                                                                            \
    CLI_FLAG("accept", "ACCEPT", "Accept header to send (that of Prometheus 3.14)", cli_store_header,                  \
             &(cli)->http.accept),                                                                                     \
        CLI_FLAG("timeout", "DURATION", "time limit of each request (10s)", cli_store_duration, &(cli)->http.timeout), \
        CLI_FLAG("authorization-file", "FILE", "file with the Authorization header to send", flag_store_text,          \
                 &(cli)->http.authorization_file),                                                                     \
        CLI_FLAG("tls-ca", "FILE", "CA bundle (PEM) to verify an https server (the system's)", flag_store_text,        \
                 &(cli)->http.tls_ca),                                                                                 \
        CLI_FLAG("tls-certificate", "FILE", "client certificate (PEM)", flag_store_text,                               \
                 &(cli)->http.tls_certificate),                                                                        \
        CLI_FLAG("tls-key", "FILE", "its private key", flag_store_text, &(cli)->http.tls_key),                         \
        CLI_FLAG("tls-insecure", NULL, "do not verify the server's certificate", flag_store_switch,                    \
                 &(cli)->http.tls_insecure)

/* Stores a number from 1 to SS_SHARD_COUNT_MAX; target is a uint32_t. */
int cli_store_count(void *target, const struct flag *flag, const char *value);

/* Stores a duration above 0 in milliseconds; target is an int64_t. */
int cli_store_duration(void *target, const struct flag *flag, const char *value);

/* Stores the value of a header; target is a const char *. */
int cli_store_header(void *target, const struct flag *flag, const char *value);

/*
 * Reads the command line and the configuration, by default one without settings. Returns the index of the first
 * argument that is not a flag, or minus an exit status after printing the error; to be freed with cli_deinit() in both
 * cases.
 */
int cli_read(struct cli *cli, const struct flag *flags, int argc, char **argv, const char *usage);

/* A line of [rules]. */
struct cli_rule {
    const char *action, *pattern; /* "split" */
};

/* Reads the configuration in force again, with n more rules. 0: *configp is the caller's. Else an exit status after
   printing the error. */
int cli_read_rules(const struct cli *cli, const struct cli_rule *rules, size_t n, struct config **configp);

/* The same for split rules. */
int cli_read_split(const struct cli *cli, char *const *patterns, size_t n, struct config **configp);

struct http_client;

/* Makes a client for a URL. It offers the formats that a sidecar with this configuration would offer if Prometheus
   scraped it. 0, or an exit status after printing the error. */
int cli_open_url(struct http_client **clientp, struct cli *cli, const char *url);

/* Prints an error of a URL or file; why may have any bytes. Returns EXIT_FAILED. */
int cli_fail(const char *name, const char *why);

/* Whether the command line names a configuration, or a setting of it. */
bool cli_has_config(const struct cli *cli);

/* The words of [sharding]: "family". Static. */
const char *cli_key_name(const struct config *config);
const char *cli_hash_name(const struct config *config);
const char *cli_placement_name(const struct config *config);

/* Writes them and the shard count as members of the open object. */
void cli_json_sharding(const struct cli *cli, struct json *json);

void cli_deinit(struct cli *cli);

#endif
