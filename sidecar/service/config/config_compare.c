/* SPDX-License-Identifier: Apache-2.0 */
/* The differences between the running configuration and a reloaded one. */
#include "config_build.h"

#include "service/access/access_policy.h"

#include <string.h>

/* Whether a setting has the same value in two objects, both configs or both endpoints. */
static bool
is_equal(const struct setting *s, const void *before, const void *after)
{
    const void *a = (const char *)before + s->offset, *b = (const char *)after + s->offset;
    if (setting_is_list(s->type))
        return string_list_equal(a, b);
    if (setting_is_text(s->type))
        return !strcmp(*(char *const *)a, *(char *const *)b);
    switch (s->type) {
    case TYPE_duration:
    case TYPE_keepalive:
        return *(const config_duration *)a == *(const config_duration *)b;
    case TYPE_bytes:
        return *(const config_bytes *)a == *(const config_bytes *)b;
    case TYPE_count:
        return *(const config_count *)a == *(const config_count *)b;
    case TYPE_shards:
        return *(const config_shards *)a == *(const config_shards *)b;
    case TYPE_flag:
        return *(const config_flag *)a == *(const config_flag *)b;
    default:
        return *(const config_choice *)a == *(const config_choice *)b;
    }
}

/* Whether all settings of a section have the same values in two objects. */
static bool
is_section_equal(const char *section, const void *before, const void *after)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!strcmp(s->section, section) && !is_equal(s, before, after))
            return false;
    return true;
}

bool
config_keeps_endpoint(const struct config *before, const struct endpoint *a, const struct config *after,
                      const struct endpoint *b)
{
    const char *secret_before = a->authorization ? a->authorization : "";
    const char *secret_after = b->authorization ? b->authorization : "";
    return a == b ||
           (!strcmp(a->name, b->name) && is_section_equal("endpoint", a, b) && !strcmp(secret_before, secret_after) &&
            is_section_equal("sharding", before, after) && is_section_equal("rules", before, after));
}

const char *
config_needs_restart(const struct config *before, const struct config *after)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!s->reload && !is_equal(s, before, after))
            return s->name;
    return NULL;
}

static void
swap(enum type type, void *a, void *b)
{
    size_t size = type == TYPE_addresses ? sizeof(struct string_list)
                  : type == TYPE_choice  ? sizeof(int)
                                         : sizeof(char *);
    char bytes[sizeof(struct string_list)];
    memcpy(bytes, a, size);
    memcpy(a, b, size);
    memcpy(b, bytes, size);
}

void
config_inherit_static(struct config *after, struct config *before)
{
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        if (!s->reload)
            swap(s->type, (char *)before + s->offset, (char *)after + s->offset);
    passwords_inherit_cache(&after->web_access->passwords, before->web_access->passwords);
    passwords_inherit_cache(&after->admin_access->passwords, before->admin_access->passwords);
}
