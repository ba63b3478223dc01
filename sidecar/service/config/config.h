/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H
/*
 * The configuration; precedence: flags, then file, then defaults. All errors are reported, none hides another.
 *
 * Immutable once read, except for config_inherit_static(). Reference-counted, so that a scrape keeps the configuration
 * that it started with when a reload replaces it.
 */
#include "service/base/string_list.h"
#include "upstream_url.h"

#include <scrapeshard/key_cache.h>
#include <scrapeshard/sharding.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The C types of config.def's types. */
typedef char *config_text;
typedef char *config_path;
typedef char *config_url;
typedef char *config_param;
typedef char *config_host;
typedef char *config_separator;
typedef char *config_file;
typedef char *config_address;
typedef struct string_list config_addresses;
typedef struct string_list config_labels;
typedef struct string_list config_patterns;
typedef struct string_list config_names;
typedef struct string_list config_networks;
typedef int64_t config_duration;  /* milliseconds */
typedef int64_t config_keepalive; /* milliseconds; 0: off */
typedef uint64_t config_bytes;
typedef uint64_t config_count;
typedef uint32_t config_shards; /* 0: any, or off */
typedef bool config_flag;
typedef int config_choice;

/* Choices by their index in config.def; those of [sharding] follow the order of the library's enums. */
enum { COMPRESSION_AUTO, COMPRESSION_OFF };
enum { SANDBOX_ON, SANDBOX_OFF };
enum { WATCH_FILES_ON, WATCH_FILES_OFF };
enum { ENCODING_IDENTITY, ENCODING_GZIP };
enum { TIMESTAMPS_OFF, TIMESTAMPS_SNAPSHOT };

struct access_policy;
struct ssl_ctx_st;

struct endpoint {
    char *name;
#define ENDPOINT(key, type, field, ...) config_##type field;
#include "config.def"
    struct upstream_url url;    /* upstream, parsed, with tls_server_name */
    char *authorization;        /* from authorization_file, or NULL */
    struct ssl_ctx_st *tls;     /* tls_ca, tls_certificate and tls_key as they were read; NULL: no https, none is set */
    int64_t certificate_expiry; /* of tls_certificate, when it was read; in seconds since 1970 */
    struct ss_key_cache *key_cache; /* of what it responds; NULL: not with these settings */
    bool timeout_is_set;            /* not the default: also caps the scraper's timeout */
};

struct config {
    unsigned references;
#define GLOBAL(section, key, type, field, ...) config_##type field;
#include "config.def"
    struct endpoint *endpoints;
    size_t n_endpoints;
    struct access_policy *web_access, *admin_access; /* NULL with sharding_only */
    /* Built from [sharding] and [rules]. */
    struct ss_rules *rules;
    struct ss_sharding *sharding;
};

/* The command line: assignments "section.key=value", applied in order after the file. */
struct config_flags {
    const char *file;   /* NULL: none */
    bool sharding_only; /* nothing is fetched: no endpoint is required, and no other file is read */
    bool again;         /* the file was read before: a pipe would now block, or be empty */
    bool warnings;      /* report what is allowed but probably not meant, in the form of errors */
    struct config_flag_value {
        char *flag;    /* as the user wrote it, for messages */
        char *setting; /* section.key, or "upstream.url" for the only endpoint's upstream */
        char *value;
    } * values;
    size_t n;
    /* If not NULL, gets the configuration file and all files that it names, even if there were errors;
       string_list_clear(). */
    struct string_list *files;
};

/*
 * Reads the file and the flags. Each error is written to errors as a line "PLACE: MESSAGE"; for one in the file its
 * line and a caret below the place follow, both indented by four spaces.
 *
 * 0: *configp is the caller's, with one reference. 1: there were errors; 2: there were errors, all in the command line
 * and none in a file. -ENOMEM.
 */
int config_read(struct config **configp, const struct config_flags *flags, FILE *errors);

/* The endpoint with this name, or NULL. */
const struct endpoint *config_endpoint(const struct config *config, const char *name);

struct config *config_ref(struct config *config);

/* Drops a reference; the last one frees. NULL is fine. */
void config_unref(struct config *config);

/* The name of a setting that differs and takes effect only after a restart, or NULL. Static memory. */
const char *config_needs_restart(const struct config *before, const struct config *after);

/* Keeps the running values of restart-only settings by swapping them into the new configuration, before it takes
   effect; nothing reads them after startup. Also keeps the cache of verified passwords. */
void config_inherit_static(struct config *after, struct config *before);

/* Whether an endpoint is unchanged: its own settings, its Authorization value, [sharding] and [rules]. Then snapshots
   fetched before can serve it after. */
bool config_keeps_endpoint(const struct config *before, const struct endpoint *a, const struct config *after,
                           const struct endpoint *b);

#endif
