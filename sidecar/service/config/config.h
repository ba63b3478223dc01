/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H
/*
 * The configuration: defaults, below them a file, above it the flags. All mistakes are collected, none hides another.
 *
 * A configuration that was read is not changed any more, but for config_inherit_static(). It is counted, so that a
 * scrape that began under one may end under it while the next is already in force.
 */
#include "upstream_url.h"

#include <scrapeshard/sharding.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct string_list {
    char **items;
    size_t n;
};

void string_list_clear(struct string_list *texts);

/* The C types of config.def's types. */
typedef char *config_text;
typedef char *config_path;
typedef char *config_url;
typedef char *config_param;
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
typedef bool config_flag;
typedef int config_choice;

/* Choices by their index in config.def; those of [sharding] are in the order of the library's. */
enum { COMPRESSION_AUTO, COMPRESSION_OFF };
enum { SANDBOX_ON, SANDBOX_OFF };
enum { WATCH_FILES_ON, WATCH_FILES_OFF };
enum { ENCODING_IDENTITY, ENCODING_GZIP };
enum { TIMESTAMPS_OFF, TIMESTAMPS_SNAPSHOT };

struct access_policy;

struct endpoint {
    char *name;
#define ENDPOINT(key, type, field, ...) config_##type field;
#include "config.def"
    struct upstream_url url;    /* upstream, parsed, with tls_server_name */
    char *authorization;        /* from authorization_file, or NULL */
    int64_t certificate_expiry; /* of tls_certificate, when it was read; in seconds since 1970 */
    bool timeout_is_set;        /* it is no default, and the most */
};

struct config {
    unsigned references;
#define GLOBAL(section, key, type, field, ...) config_##type field;
#include "config.def"
    struct endpoint *endpoints;
    size_t n_endpoints;
    struct access_policy *web_access, *admin_access; /* NULL if it is for bodies only */
    /* Made of [sharding] and [rules]. */
    struct ss_rules *rules;
    struct ss_sharding *sharding;
};

/* What the command line says: assignments "section.key=value", applied in order above the file. */
struct config_flags {
    const char *file;   /* NULL: none */
    bool sharding_only; /* no service is asked: there need be no endpoint, and no other file is read */
    struct config_flag_value {
        char *flag;    /* as the user wrote it, for messages */
        char *setting; /* section.key, or "upstream.url" for the only endpoint's upstream */
        char *value;
    } * values;
    size_t n;
    /* NULL, or a list that becomes that of the files it was read from and that it names, if there were mistakes, too;
       string_list_clear(). */
    struct string_list *files;
};

/*
 * Reads the file and the flags. Every mistake goes to mistakes as a line "PLACE: what is wrong; what is right",
 * followed, if it is in the file, by the line it is in and a caret below the place, both indented by four blanks.
 *
 * 0: *configp is the caller's, with one reference. 1: there were mistakes; 2: they are all of the command line, and not
 * of a file. -ENOMEM.
 */
int config_read(struct config **configp, const struct config_flags *flags, FILE *mistakes);

/* The endpoint of a name, or NULL. */
const struct endpoint *config_endpoint(const struct config *config, const char *name);

struct config *config_ref(struct config *config);

/* Gives a reference back; the last one frees. NULL is fine. */
void config_unref(struct config *config);

/* Names the settings whose change needs a restart and that differ between two configurations, or NULL. Static memory.
 */
const char *config_needs_restart(const struct config *before, const struct config *after);

/* Lets a configuration, before it is in force, have what was in force of those settings. The one before gets its values
   for them, since nothing looks at them behind the start. Whose password was found good need not show it again. */
void config_inherit_static(struct config *after, struct config *before);

/* Whether an endpoint of the configuration before is the same one after: its own settings, what the service is shown,
   and [sharding] and [rules]. What was fetched for the one then serves the other. */
bool config_keeps_endpoint(const struct config *before, const struct endpoint *a, const struct config *after,
                           const struct endpoint *b);

#endif
