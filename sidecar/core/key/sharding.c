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
    struct ss_span *labels = arena_take(&s->arena, own->n_source_labels * sizeof(*labels));
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
    if (!r && s->has_rules && !(s->rulings = malloc((LIMIT_RULINGS + 1) * sizeof(*s->rulings))))
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
    names_deinit(&s->ruled);
    free(s->rulings);
    bytes_deinit(&s->explained);
    bytes_deinit(&s->explained_key);
    free(s);
}

/* Rules. */

int
sharding_join(const struct ss_sharding *s, const struct ss_span *parts, size_t n, struct bytes *key)
{
    struct ss_span separator = s->settings.separator;
    size_t len = n * separator.len;
    for (size_t i = 0; i < n; i++)
        len += parts[i].len;
    key->len = 0;
    if (bytes_reserve(key, len))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        if (i)
            bytes_put(key, separator);
        bytes_put(key, parts[i]);
    }
    return 0;
}

static int
hash_groups(struct ss_sharding *s, const struct verdict *v, uint64_t *hashp)
{
    struct bytes key = {NULL, 0, 0};
    int r = sharding_join(s, v->groups, v->n_groups, &key);
    if (!r)
        r = ss_hasher_hash(s->hasher, bytes_span(&key), hashp);
    bytes_deinit(&key);
    return r;
}

struct ss_span
sharding_key(const struct ss_sharding *s, const struct ruled_names *n)
{
    return s->settings.key == SS_KEY_NAME ? n->name : n->family;
}

static int
hash_key(struct ss_sharding *s, const struct ruled_names *n, uint64_t *hashp)
{
    return ss_hasher_hash(s->hasher, sharding_key(s, n), hashp);
}

static int
judge(struct ss_sharding *s, const struct ruled_names *n, struct ruling *ruling, char *reason, size_t size)
{
    static const enum ruling_kind kinds[] = {
        [SS_ACTION_DROP] = RULING_DROPPED,       [SS_ACTION_KEEP] = RULING_NONE,   [SS_ACTION_REPLICATE] = RULING_EVERY,
        [SS_ACTION_COLOCATE] = RULING_COLOCATED, [SS_ACTION_SPLIT] = RULING_SPLIT,
    };
    /* A family that is called as its line need not be asked for twice. */
    bool same = n->name.len == n->family.len;
    struct ss_span names[VERDICT_NAMES] = {n->family, same ? (struct ss_span){NULL, 0} : n->name, {NULL, 0}};
    struct bytes suffixed = {NULL, 0, 0};
    struct verdict v;

    if (*n->suffix) {
        int r = bytes_add(&suffixed, n->name);
        if (!r)
            r = bytes_add(&suffixed, (struct ss_span){n->suffix, strlen(n->suffix)});
        if (r) {
            bytes_deinit(&suffixed);
            return r;
        }
        names[2] = bytes_span(&suffixed);
    }
    int r = rules_judge(s->settings.rules, names, VERDICT_NAMES, &v, reason, size) ? SS_RULE_FAILED : 0;
    ruling->kind = v.unkept ? RULING_DROPPED : v.rule ? kinds[v.rule->action] : RULING_NONE;
    if (!r)
        r = ruling->kind == RULING_COLOCATED ? hash_groups(s, &v, &ruling->hash) : hash_key(s, n, &ruling->hash);
    bytes_deinit(&suffixed);
    return r;
}

int
sharding_rule(struct ss_sharding *s, const struct ruled_names *n, struct ruling *ruling, char *reason, size_t size)
{
    uint64_t asked = (uint64_t)n->family.len << 8 | strlen(n->suffix);
    uint32_t number;
    *ruling = (struct ruling){RULING_NONE, asked, 0};
    if (!s->has_rules)
        return hash_key(s, n, &ruling->hash);

    uint32_t known = names_find(&s->ruled, n->name);
    if (known && s->rulings[known].asked == asked) {
        *ruling = s->rulings[known];
        return 0;
    }
    int r = judge(s, n, ruling, reason, size);
    if (r || n->name.len > LIMIT_HEAD)
        return r;
    /* Names come and go through the months that a sidecar lives: when there are too many, all are forgotten. */
    if (s->ruled.n == LIMIT_RULINGS)
        names_deinit(&s->ruled);
    r = names_add(&s->ruled, n->name, &number);
    if (!r)
        s->rulings[number] = *ruling;
    return r;
}
