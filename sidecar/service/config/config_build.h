/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_BUILD_H
#define SERVICE_CONFIG_BUILD_H
/* A configuration being built, from whatever source: values, where they were given, and mistakes. For config*.c alone.
 */
#include "config.h"

enum type {
    TYPE_text,
    TYPE_path,
    TYPE_url,
    TYPE_param,
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
    TYPE_flag,
    TYPE_choice,
};

struct setting {
    const char *name;    /* section.key */
    const char *section; /* "endpoint" for those of every endpoint */
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

/*
 * Lines as Debian's inih takes them: at most 198 bytes with their LF, or it cuts them and hands on the head (its
 * INI_MAX_LINE is 200). A section's name has at most 48.
 */
enum { CONFIG_LINE_MAX = 198, SECTION_MAX = 48 };

/* Where something was given: by a flag, or in a line of the file (both from 1), or, all being 0, nowhere. */
struct source_place {
    const char *flag;
    int line;
    size_t column;
};

struct source_places {
    struct source_place *items;
    size_t n;
};

/* Where the settings of one object, the program or an endpoint, were given. A list's is that of its latest value. */
struct source_map {
    struct source_place section, settings[SETTINGS];
};

struct builder {
    struct config *config;
    struct source_map globals, *endpoints; /* as many as the config has */
    struct source_places lists[SETTINGS];  /* where the values of the program's lists were given, one for one */
    FILE *errors;
    size_t n_errors, n_of_flags; /* in all, and of the command line alone */
    bool out_of_memory;
    bool sharding_only;        /* see struct config_flags */
    bool unread;               /* the file could not be read: what is missing may stand in it */
    const char *path;          /* of the file, or NULL */
    struct string_list lines;  /* of the file as far as it was read, as they stand */
    bool overridden[SETTINGS]; /* lists that this source has begun; its values replace those of the source below */
    struct source_place at;    /* of what is in hand, for mistakes */
    const struct endpoint *of; /* whose it is, where it has no place; or NULL */
};

/* Mistakes, in config_mistake.c. */

/* Tells a mistake at the place in hand, with its line of the file and a caret if it is there. */
__attribute__((format(printf, 2, 3))) void builder_error(struct builder *b, const char *format, ...);

/* The same in pieces: what is printed to b->mistakes in between is the message. */
void builder_begin_error(struct builder *b);
void builder_end_error(struct builder *b);

/* The one that was just told is of a file that a setting names, so that no command line alone would be right. */
void builder_mistake_was_of_file(struct builder *b);

/* Puts the mistakes to come nowhere. */
void builder_at_nowhere(struct builder *b);

/* Puts them where a setting (SETTING_...) of an endpoint or, if that is NULL, of the program was given, or would be. */
void builder_at(struct builder *b, const struct endpoint *e, int setting);

/* The same for the first of two that was given. */
void builder_at_either(struct builder *b, const struct endpoint *e, int setting, int other);

/* Whether a setting was given at all. */
bool builder_is_given(const struct builder *b, const struct endpoint *e, int setting);

/* Puts them at a byte of the i-th value of one of the program's lists of whole texts (not of labels). */
void builder_at_value(struct builder *b, int setting, size_t i, size_t offset);

/* Names, in config_names.c. */

/* The setting of a section; of a section at all if key is NULL. NULL if there is none. */
const struct setting *builder_setting(const char *section, const char *key);

/* Tell that there is no such section, or no such key in a section of that kind, and what was perhaps meant. */
void builder_unknown_section(struct builder *b, const char *section);
void builder_unknown_key(struct builder *b, const char *section, const char *kind, const char *key);

/* Tells that a flag names an endpoint that is nowhere else, at that flag, and which ones there are. False: that is not
   what is wrong with an endpoint that has no upstream. */
bool builder_unknown_endpoint(struct builder *b, const struct endpoint *e);

/* The name in a section's "endpoint NAME"; NULL if it is none. */
const char *endpoint_name(const char *section);

/* Values, in config_build.c. */

/* Puts a value where its setting says, in a config or an endpoint. */
void builder_assign(struct builder *b, const struct setting *s, void *object, const char *value);

/* Puts the defaults of config.def into a config or an endpoint. */
void builder_assign_defaults(struct builder *b, void *object, bool of_endpoint);

/* The endpoint of a name, or NULL; one added with defaults, or NULL for want of memory. */
struct endpoint *builder_endpoint(struct builder *b, const char *name);
struct endpoint *builder_add_endpoint(struct builder *b, const char *name);

/* Copies a text; NULL for want of memory. */
char *builder_copy(struct builder *b, const char *text);

/* Whether a type's values are kept as they were written; whether they add up in a list of such. */
bool setting_is_text(enum type type);
bool setting_is_list(enum type type);

/* Takes a text over into the list. False, and out_of_memory, if it could not, or if it is NULL. */
bool string_list_take(struct builder *b, struct string_list *texts, char *text);

/* Sources and checks. */

/* Reads the file at b->path. */
void builder_read_file(struct builder *b);

/* Takes the assignments of the command line, in config_flags.c. */
void builder_take_flags(struct builder *b, const struct config_flags *flags);

/* Looks at [sharding] and [rules] as a whole, and makes the config's sharding of them, in config_sharding.c. */
void check_sharding(struct builder *b);

/* Reads the files of who may come in, and of what services are shown, in config_door.c. */
void check_access_policies(struct builder *b);
void check_upstream_files(struct builder *b, struct endpoint *e);

#endif
