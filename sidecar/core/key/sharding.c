/* SPDX-License-Identifier: Apache-2.0 */
#include "sharding.h"

#include "core/base/buffer.h"
#include "core/base/limits.h"
#include "route.h"

#include <scrapeshard/filter.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ss_sharding_settings
ss_sharding_settings_default(void)
{
    return (struct ss_sharding_settings){.separator = {";", 1}};
}

static bool
is_label(struct ss_span label, const char *name)
{
    return label.len == strlen(name) && !memcmp(label.ptr, name, label.len);
}

/* Copies what the settings borrow. */
static int
copy_settings(struct ss_sharding *s)
{
    struct ss_sharding_settings *own = &s->settings;
    struct ss_span *labels = arena_alloc(&s->arena, own->n_source_labels * sizeof(*labels));
    if (!labels)
        return -ENOMEM;
    for (size_t i = 0; i < own->n_source_labels; i++) {
        labels[i] = arena_copy(&s->arena, own->source_labels[i]);
        if (!labels[i].ptr)
            return -ENOMEM;
        s->has_name_label |= is_label(labels[i], "__name__");
    }
    own->source_labels = labels;
    own->separator = arena_copy(&s->arena, own->separator);
    return own->separator.ptr ? 0 : -ENOMEM;
}

int
ss_sharding_new(struct ss_sharding **shardingp, const struct ss_sharding_settings *settings)
{
    struct ss_sharding *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->settings = *settings;
    for (enum ss_action action = SS_ACTION_DROP; action <= SS_ACTION_SPLIT; action++)
        s->has_rules |= rules_have(settings->rules, action);
    s->splits = rules_have(settings->rules, SS_ACTION_SPLIT);
    int r = ss_hasher_new(&s->hasher, settings->hash);
    if (!r)
        r = copy_settings(s);
    if (!r && s->has_rules && !(s->route_cache = malloc((CORE_MAX_ROUTES + 1) * sizeof(*s->route_cache))))
        r = -ENOMEM;
    if (r)
        ss_sharding_free(s);
    else
        *shardingp = s;
    return r;
}

uint32_t
ss_sharding_place(const struct ss_sharding *s, uint64_t hash, uint32_t count)
{
    return ss_place(s->settings.hash, s->settings.placement, hash, count);
}

bool
ss_sharding_takes_protobuf(const struct ss_sharding *s)
{
    if (s->settings.key != SS_KEY_LABELS)
        return s->settings.key != SS_KEY_NAME;
    for (size_t i = 0; i < s->settings.n_source_labels; i++) {
        struct ss_span label = s->settings.source_labels[i];
        if (is_label(label, "__name__") || is_label(label, "le") || is_label(label, "quantile"))
            return false;
    }
    return true;
}

void
ss_sharding_free(struct ss_sharding *s)
{
    if (!s)
        return;
    ss_hasher_free(s->hasher);
    arena_deinit(&s->arena);
    name_table_deinit(&s->routed_names);
    free(s->route_cache);
    buffer_deinit(&s->explained);
    buffer_deinit(&s->explained_key);
    free(s);
}

/* Rules. */

int
sharding_join(const struct ss_sharding *s, const struct ss_span *parts, size_t n, struct buffer *key)
{
    struct ss_span separator = s->settings.separator;
    size_t len = n * separator.len;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    key->len = 0;
    if (buffer_reserve(key, len))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (i)
            buffer_put(key, separator);
        buffer_put(key, parts[i]);
    }
    return 0;
}

static int
hash_groups(struct ss_sharding *s, const struct rule_match *match, uint64_t *hashp)
{
    struct buffer key = {NULL, 0, 0};
    int r = sharding_join(s, match->groups, match->n_groups, &key);
    if (!r)
        r = ss_hasher_hash(s->hasher, buffer_span(&key), hashp);
    buffer_deinit(&key);
    return r;
}

struct ss_span
sharding_key(const struct ss_sharding *s, const struct line_names *n)
{
    return s->settings.key == SS_KEY_NAME ? n->name : n->family;
}

static int
hash_key(struct ss_sharding *s, const struct line_names *n, uint64_t *hashp)
{
    return ss_hasher_hash(s->hasher, sharding_key(s, n), hashp);
}

static int
match_rules(struct ss_sharding *s, const struct line_names *n, struct name_route *route, char *reason, size_t size)
{
    static const enum name_route_kind kinds[] = {
        [SS_ACTION_DROP] = NAME_ROUTE_NONE,       [SS_ACTION_KEEP] = NAME_ROUTE_BY_KEY,
        [SS_ACTION_REPLICATE] = NAME_ROUTE_ALL,   [SS_ACTION_COLOCATE] = NAME_ROUTE_COLOCATED,
        [SS_ACTION_SPLIT] = NAME_ROUTE_BY_SERIES,
    };
    /* A family named as its line need not be matched twice. */
    bool same = n->name.len == n->family.len;
    struct ss_span names[RULE_MATCH_NAMES] = {n->family, same ? (struct ss_span){NULL, 0} : n->name, {NULL, 0}};
    struct buffer suffixed = {NULL, 0, 0};
    struct rule_match match;

    if (*n->suffix) {
        int r = buffer_add(&suffixed, n->name);
        if (!r)
            r = buffer_add(&suffixed, (struct ss_span){n->suffix, strlen(n->suffix)});
        if (r) {
            buffer_deinit(&suffixed);
            return r;
        }
        names[2] = buffer_span(&suffixed);
    }
    int r = rules_match(s->settings.rules, names, RULE_MATCH_NAMES, &match, reason, size) ? SS_RULE_FAILED : 0;
    route->kind = match.not_kept ? NAME_ROUTE_NONE : match.rule ? kinds[match.rule->action] : NAME_ROUTE_BY_KEY;
    route->selectors = match.selectors;
    if (!r)
        r = route->kind == NAME_ROUTE_COLOCATED ? hash_groups(s, &match, &route->hash) : hash_key(s, n, &route->hash);
    buffer_deinit(&suffixed);
    return r;
}

int
ss_sharding_groups(struct ss_sharding *s, struct ss_group *out, size_t n, size_t *np)
{
    struct ss_span *names = calloc(n + 1, sizeof(*names));
    int r = names ? 0 : -ENOMEM;
    if (!r)
        *np = rules_groups(s->settings.rules, names, n);
    for (size_t i = 0; !r && i < *np && i < n; i++) {
        out[i].name = names[i];
        r = ss_hasher_hash(s->hasher, names[i], &out[i].hash);
    }
    free(names);
    return r;
}

int
sharding_route(struct ss_sharding *s, const struct line_names *n, struct name_route *route, char *reason, size_t size)
{
    uint64_t lengths = (uint64_t)n->family.len << 8 | strlen(n->suffix);
    uint32_t number;
    *route = (struct name_route){.kind = NAME_ROUTE_BY_KEY, .lengths = lengths};
    if (!s->has_rules)
        return hash_key(s, n, &route->hash);

    uint32_t known = name_table_find(&s->routed_names, n->name);
    if (known && s->route_cache[known].lengths == lengths) {
        *route = s->route_cache[known];
        return 0;
    }
    int r = match_rules(s, n, route, reason, size);
    if (r || n->name.len > CORE_MAX_PREFIX)
        return r;
    /* Names come and go during the months that a sidecar runs: when there are too many, all are dropped. */
    if (s->routed_names.n == CORE_MAX_ROUTES)
        name_table_deinit(&s->routed_names);
    r = name_table_add(&s->routed_names, n->name, &number);
    if (!r)
        s->route_cache[number] = *route;
    return r;
}
