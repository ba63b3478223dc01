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
    TYPE_address,
    TYPE_addresses,
    TYPE_duration,
    TYPE_bytes,
    TYPE_flag,
    TYPE_choice,
};

struct setting {
    const char *name;    /* section.key */
    const char *section; /* "endpoint" for those of every endpoint */
    const char *key;
    enum type type;
    size_t offset; /* in struct config or struct endpoint */
    const char *fallback, *choices;
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

/* Where the settings of one object, the program or an endpoint, were given. */
struct origin {
    int section;                 /* its line in the file; 0: not there */
    int lines[SETTINGS];         /* in the file; 0: not there */
    const char *flags[SETTINGS]; /* above it, or NULL */
};

struct builder {
    struct config *config;
    struct origin globals, *endpoints; /* as many as the config has */
    FILE *mistakes;
    size_t n_mistakes;
    bool out_of_memory;
    const char *path;       /* of the file, or NULL */
    bool touched[SETTINGS]; /* lists that this source has begun; its values replace those of the source below */
    char place[300];        /* where the value in hand stands, for mistakes */
};

/* Tells a mistake at the place in hand. */
__attribute__((format(printf, 2, 3))) void builder_mistake(struct builder *b, const char *format, ...);

/* Puts the mistakes to come where a setting of an endpoint, or of [sharding], was given, or where it would be. */
void builder_place_at(struct builder *b, const struct endpoint *e, const char *key);

/* The setting of a section; of a section at all if key is NULL. NULL if there is none. */
const struct setting *builder_setting(const char *section, const char *key);

/* Puts a value where its setting says, in a config or an endpoint. */
void builder_assign(struct builder *b, const struct setting *s, void *object, const char *value);

/* The endpoint of a name, or NULL; one added with defaults, or NULL for want of memory. */
struct endpoint *builder_endpoint(struct builder *b, const char *name);
struct endpoint *builder_add_endpoint(struct builder *b, const char *name);

/* Copies a text; NULL for want of memory. */
char *builder_copy(struct builder *b, const char *text);

/* Whether a type's values are kept as they were written. */
bool setting_is_text(enum type type);

void texts_clear(struct texts *texts);

/* Reads the file at b->path. */
void builder_read_file(struct builder *b);

#endif
