/* SPDX-License-Identifier: Apache-2.0 */
#include "config_build.h"

#include "service/access/access_policy.h"
#include "service/access/secrets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Adds the files named by the settings of an object, a config or an endpoint. */
static void
list_files(struct builder *b, const void *object, bool of_endpoint, struct string_list *files)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
        if (s->type != TYPE_file || !strcmp(s->section, "endpoint") != of_endpoint)
            continue;
        const char *file = *(char *const *)((const char *)object + s->offset);
        if (file && *file && strcmp(file, s->default_value) != 0)
            builder_add(b, files, builder_copy(b, file));
    }
}

/* If out of memory, the list is unchanged. */
static void
list_all_files(struct builder *b, struct string_list *files)
{
    struct string_list list = {NULL, 0};
    if (b->path)
        builder_add(b, &list, builder_copy(b, b->path));
    list_files(b, b->config, false, &list);
    for (size_t i = 0; i < b->config->n_endpoints; i++)
        list_files(b, &b->config->endpoints[i], true, &list);
    string_list_clear(b->out_of_memory ? &list : files);
    if (!b->out_of_memory)
        *files = list;
}

static void
builder_deinit(struct builder *b)
{
    for (size_t i = 0; i < SETTINGS; i++)
        free(b->lists[i].items);
    string_list_clear(&b->lines);
    free(b->endpoints);
}

int
config_read(struct config **configp, const struct config_flags *flags, FILE *errors)
{
    struct builder b = {
        .errors = errors,
        .path = flags->file,
        .sharding_only = flags->sharding_only,
        .again = flags->again,
        .warnings = flags->warnings,
    };

    b.config = calloc(1, sizeof(*b.config));
    if (!b.config)
        return -ENOMEM;
    b.config->references = 1;
    builder_assign_defaults(&b, b.config, false);
    if (flags->file)
        builder_read_file(&b);
    builder_take_flags(&b, flags);
    if (flags->files)
        list_all_files(&b, flags->files);
    if (!b.out_of_memory)
        check_config(&b);
    builder_deinit(&b);

    if (b.out_of_memory || b.n_errors) {
        config_unref(b.config);
        return b.out_of_memory ? -ENOMEM : b.n_errors > b.n_flag_errors ? 1 : 2;
    }
    *configp = b.config;
    return 0;
}

const struct endpoint *
config_endpoint(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!strcmp(config->endpoints[i].name, name))
            return &config->endpoints[i];
    return NULL;
}

struct config *
config_ref(struct config *config)
{
    config->references++;
    return config;
}

static void
free_texts(void *object, bool of_endpoint)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++) {
        void *field = (char *)object + s->offset;
        if (!strcmp(s->section, "endpoint") != of_endpoint)
            continue;
        if (setting_is_text(s->type))
            free(*(char **)field);
        else if (setting_is_list(s->type))
            string_list_clear(field);
    }
}

void
config_unref(struct config *config)
{
    if (!config || --config->references)
        return;
    for (size_t i = 0; i < config->n_endpoints; i++) {
        struct endpoint *e = &config->endpoints[i];
        free_texts(e, true);
        free(e->name);
        url_deinit(&e->url);
        secret_free(e->authorization);
        SSL_CTX_free(e->tls);
        ss_key_cache_free(e->key_cache);
    }
    free(config->endpoints);
    access_policy_unref(config->web_access);
    access_policy_unref(config->admin_access);
    ss_sharding_free(config->sharding);
    ss_rules_free(config->rules);
    free_texts(config, false);
    free(config);
}
