/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_BUILD_H
#define SERVICE_CONFIG_BUILD_H
/* A configuration under construction: values, where they were given, and errors. For config*.c only. */
#include "config.h"

enum type {
    TYPE_text,
    TYPE_path,
    TYPE_url,
    TYPE_param,
    TYPE_host,
    TYPE_separator,
    TYPE_file,
    TYPE_address,
    TYPE_addresses,
    TYPE_labels,
    TYPE_patterns,
    TYPE_names,
    TYPE_networks,
    TYPE_duration,
    TYPE_keepalive,
    TYPE_bytes,
    TYPE_count,
    TYPE_shards,
    TYPE_flag,
    TYPE_choice,
};

struct setting {
    const char *name;    /* section.key */
    const char *section; /* "endpoint" for per-endpoint settings */
    const char *key;
    enum type type;
    size_t offset; /* in struct config or struct endpoint */
    const char *default_value, *choices;
    bool reload;
    const char *help;
};

/* The rows of config.def. */
enum {
#define GLOBAL(section, key, type, field, ...) SETTING_##field,
#define ENDPOINT(key, type, field, ...) SETTING_ENDPOINT_##field,
#include "config.def"
    SETTINGS
};

extern const struct setting settings[SETTINGS];

/* Bytes of a section's name, of which inih keeps 49, and of a key, which has to fit its line buffer of 200. */
enum { SECTION_MAX = 48, KEY_MAX = 128 };

/* Where something was given: a flag, or a line and column of the file, both from 1. All zero: nowhere. */
struct source_place {
    const char *flag;
    int line;
    size_t column;
};

struct source_places {
    struct source_place *items;
    size_t n;
};

/* Where the settings of a config or an endpoint were given; for a list, its last value. */
struct source_map {
    struct source_place section, settings[SETTINGS];
};

struct builder {
    struct config *config;
    struct source_map globals, *endpoints; /* one per endpoint of the config */
    struct source_places lists[SETTINGS];  /* where each value of the global lists was given */
    FILE *errors;
    size_t n_errors, n_flag_errors; /* all, and those of the command line only */
    bool out_of_memory;
    bool sharding_only;        /* see struct config_flags */
    bool again;                /* likewise */
    bool warnings;             /* likewise */
    bool unread;               /* reading the file failed, so a missing setting may be in it */
    const char *path;          /* of the file, or NULL */
    struct string_list lines;  /* of the file, as far as read, verbatim */
    bool overridden[SETTINGS]; /* lists set by this source; its values replace those of the previous one */
    struct source_place at;    /* of the current item, for errors */
    const struct endpoint *of; /* names the endpoint of an error without a place; or NULL */
};

/* Errors, in config_diag.c. */

/* Reports an error at the current place; if that is in the file, with its line and a caret. */
__attribute__((format(printf, 2, 3))) void builder_error(struct builder *b, const char *format, ...);

/* The same in two steps: print the message to b->errors in between. */
void builder_begin_error(struct builder *b);
void builder_end_error(struct builder *b);

/* Reports what is allowed but probably not meant, in the same form. */
__attribute__((format(printf, 2, 3))) void builder_warning(struct builder *b, const char *format, ...);

/* The last error is in a file that a setting names, not in the command line. */
void builder_error_was_in_file(struct builder *b);

/* The builder_at functions set the place of the errors that follow: nowhere; */
void builder_at_nowhere(struct builder *b);

/* where a setting (SETTING_...) of an endpoint, or if e is NULL a global one, was given, or its section; */
void builder_at(struct builder *b, const struct endpoint *e, int setting);

/* where the first of two settings that was given is; */
void builder_at_either(struct builder *b, const struct endpoint *e, int setting, int other);

/* Whether a setting was given at all. */
bool builder_is_given(const struct builder *b, const struct endpoint *e, int setting);

/* at a byte of the i-th value of a global list (not of labels). */
void builder_at_value(struct builder *b, int setting, size_t i, size_t offset);

/* Names, in config_suggest.c. */

/* The setting, or if key is NULL any setting of the section. NULL if there is none. */
const struct setting *builder_setting(const char *section, const char *key);

/* Report an unknown section, or an unknown key in a section of that kind, and suggest a similar one. */
void builder_unknown_section(struct builder *b, const char *section);
void builder_unknown_key(struct builder *b, const char *section, const char *kind, const char *key);

/* If an endpoint without an upstream exists only because a flag misnames another, reports that. Otherwise false. */
bool builder_unknown_endpoint(struct builder *b, const struct endpoint *e);

/* NAME of a section "endpoint NAME"; NULL for other sections. */
const char *endpoint_name(const char *section);

/* Values, in config_build.c. */

/* Parses a value into its field of a config or an endpoint. */
void builder_assign(struct builder *b, const struct setting *s, void *object, const char *value);

/* Assigns the defaults of config.def. */
void builder_assign_defaults(struct builder *b, void *object, bool of_endpoint);

/* The endpoint with this name, or NULL. One added with defaults; NULL: out of memory. */
struct endpoint *builder_endpoint(struct builder *b, const char *name);
struct endpoint *builder_add_endpoint(struct builder *b, const char *name);

/* strdup(); NULL sets out_of_memory. */
char *builder_copy(struct builder *b, const char *text);

/* Whether values of a type are stored as text; whether repeated keys collect values in a list. */
bool setting_is_text(enum type type);
bool setting_is_list(enum type type);

/* string_list_add(); false sets out_of_memory. */
bool builder_add(struct builder *b, struct string_list *list, char *text);

/* Sources and checks. */

/* Reads the file at b->path. */
void builder_read_file(struct builder *b);

/* Applies the assignments of the command line, in config_flags.c. */
void builder_take_flags(struct builder *b, const struct config_flags *flags);

/* Checks settings against each other and builds what the config has besides them, in config_check.c; by these: */
void check_config(struct builder *b);

/* Checks [sharding] and [rules] and builds the config's sharding from them, in config_sharding.c. */
void check_sharding(struct builder *b);

/* Whether a pattern matches only names that end in _bucket, _sum or _count, in config_pattern.c. */
bool pattern_needs_suffix(const char *pattern);

/* Read the files of the listeners' access policies and of the endpoints' TLS and authorization, in config_access.c. */
void check_access_policies(struct builder *b);
void check_upstream_files(struct builder *b, struct endpoint *e);

#endif
