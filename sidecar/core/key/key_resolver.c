/* SPDX-License-Identifier: Apache-2.0 */
#include "key_resolver.h"

#include "core/base/limits.h"
#include "route.h"
#include "sharding.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
key_resolver_init(struct key_resolver *k, const struct ss_filter_settings *settings, enum text_syntax syntax)
{
    const struct ss_sharding *s = settings->sharding;
    *k = (struct key_resolver){.sharding = settings->sharding, .syntax = syntax};
    /* Where some of a family's series are in every shard, so are its metadata. */
    bool splits = s->splits || rules_selectors(s->settings.rules, SS_ACTION_REPLICATE);
    k->has_split_families = s->settings.key != SS_KEY_FAMILY || splits;
    k->may_split = s->settings.key == SS_KEY_NAME || s->settings.key == SS_KEY_LABELS || splits;
    k->counts_families = settings->count_families || settings->max_series || settings->max_families;
    k->max_families = settings->max_families;
    key_cursor_init(&k->cursor, s->settings.key == SS_KEY_LABELS ? settings->key_cache : NULL);
    k->found = calloc(s->settings.n_source_labels + 1, sizeof(*k->found));
    if (s->settings.key == SS_KEY_LABELS && s->settings.hash == SS_HASH_MD5) {
        k->md5 = malloc(sizeof(*k->md5));
        if (!k->md5)
            return -ENOMEM;
        md5_multi_init(k->md5);
    }
    return k->found ? 0 : -ENOMEM;
}

void
key_resolver_deinit(struct key_resolver *k)
{
    key_cursor_end(&k->cursor, false);
    families_deinit(&k->families);
    buffer_deinit(&k->key);
    buffer_deinit(&k->scratch);
    free(k->labels);
    free(k->found);
    free(k->md5);
}

static enum ss_key
key_of(const struct key_resolver *k)
{
    return k->sharding->settings.key;
}

/* Families. */

/* Adds a family that must be remembered: its metadata or type affect where bytes go, or max_families needs it. */
static int
remember_family(struct key_resolver *k, struct ss_span name, uint32_t *numberp)
{
    if (families_bytes(&k->families) > CORE_MAX_NAME_BYTES) {
        snprintf(k->reason, sizeof(k->reason), "family names that take more than %d MiB", CORE_MAX_NAME_BYTES >> 20);
        return SS_TOO_MANY;
    }
    return families_add(&k->families, name, numberp);
}

/* Whether no further family is counted, so that memory does not grow with the body. A limit of families needs all. */
static bool
is_beyond_statistics(const struct key_resolver *k, struct ss_span name)
{
    const struct families *f = &k->families;
    return !k->max_families &&
           (f->n_counted >= CORE_MAX_FAMILY_STATS || f->names.arena.bytes + name.len > CORE_MAX_FAMILY_STATS_BYTES);
}

/* Numbers and counts a family. */
static int
count_family(struct key_resolver *k, struct ss_span name, uint32_t *numberp)
{
    struct families *f = &k->families;
    uint32_t number = name_table_find(&f->names, name);

    *numberp = number;
    if (!k->counts_families || (number && f->items[number].counted))
        return 0;
    *numberp = 0;
    if (is_beyond_statistics(k, name))
        return 0;
    if (k->max_families && f->n_counted == k->max_families) {
        snprintf(k->reason, sizeof(k->reason), "more families than max_families (%" PRIu64 "): %.*s is one too many",
                 k->max_families, name.len < 80 ? (int)name.len : 80, name.ptr);
        return SS_TOO_MANY;
    }
    int r = k->max_families ? remember_family(k, name, numberp) : families_add(f, name, numberp);
    if (!r) {
        f->items[*numberp].counted = true;
        f->n_counted++;
    }
    return r;
}

void
key_resolver_count(struct key_resolver *k, uint32_t family, uint64_t series, size_t bytes)
{
    if (!family)
        return;
    k->families.items[family].series += series;
    k->families.items[family].bytes += bytes;
}

void
key_resolver_count_others(struct key_resolver *k, uint32_t family, uint64_t dropped, uint64_t replicated)
{
    if (!family)
        return;
    k->families.items[family].dropped += dropped;
    k->families.items[family].replicated += replicated;
}

/* Names. */

/* Applies the rules and, if none matches, the key. */
static int
find_route(struct key_resolver *k, const struct line_names *names, struct route *route)
{
    static const enum route_kind kinds[] = {
        [NAME_ROUTE_BY_KEY] = ROUTE_BY_HASH,    [NAME_ROUTE_NONE] = ROUTE_NONE,           [NAME_ROUTE_ALL] = ROUTE_ALL,
        [NAME_ROUTE_COLOCATED] = ROUTE_BY_HASH, [NAME_ROUTE_BY_SERIES] = ROUTE_BY_SERIES,
    };
    struct name_route named;
    int r = sharding_route(k->sharding, names, &named, k->reason, sizeof(k->reason));
    if (r)
        return r;
    route->kind = kinds[named.kind];
    route->hash = named.hash;
    route->selectors = named.selectors;
    route->is_split = named.kind == NAME_ROUTE_BY_SERIES;
    if (named.kind != NAME_ROUTE_BY_KEY)
        return 0;
    if (key_of(k) == SS_KEY_LABELS)
        route->kind = ROUTE_BY_LABELS;
    route->is_split = key_of(k) == SS_KEY_LABELS || key_of(k) == SS_KEY_NAME;
    return 0;
}

/* The same, and counts the family. Neighbours mostly look up the same name, so the last route is kept. A family is a
   prefix of its name, so its length identifies it. */
static int
find_counted_route(struct key_resolver *k, const struct line_names *names, struct route *route)
{
    bool by_name = k->sharding->has_rules || key_of(k) == SS_KEY_NAME;
    struct ss_span wanted = by_name ? names->name : names->family;

    if (wanted.len && wanted.len == k->last.len && names->family.len == k->last.family_len &&
        names->suffix == k->last.suffix && !memcmp(wanted.ptr, k->last.bytes, wanted.len)) {
        *route = k->last.route;
        return 0;
    }
    *route = (struct route){.kind = ROUTE_BY_HASH};
    int r = count_family(k, names->family, &route->family);
    if (!r)
        r = find_route(k, names, route);
    if (r || !wanted.len || wanted.len > sizeof(k->last.bytes))
        return r;
    k->last.route = *route;
    k->last.len = wanted.len;
    k->last.family_len = names->family.len;
    k->last.suffix = names->suffix;
    memcpy(k->last.bytes, wanted.ptr, wanted.len);
    return 0;
}

static const char no_suffix[] = "";

/* The family of a name, as used by keys and rules. A service that begins to write OpenMetrics 2.0 moves no series. */
static struct ss_span
family_of(const struct key_resolver *k, struct ss_span name, struct ss_span declared)
{
    if (key_of(k) != SS_KEY_DECLARED)
        return ss_key_family(name);
    return k->syntax == SYNTAX_OPENMETRICS_2 ? families_declared_before_2(&k->families, declared) : declared;
}

/* Records the route of samples for the family counts. */
static void
record_route(struct key_resolver *k, const struct route *route)
{
    static const enum ss_family_route routes[] = {
        [ROUTE_BY_HASH] = SS_FAMILY_BY_HASH,
        [ROUTE_ALL] = SS_FAMILY_ALL,
        [ROUTE_NONE] = SS_FAMILY_NONE,
        [ROUTE_BY_LABELS] = SS_FAMILY_SPLIT,
        [ROUTE_BY_SERIES] = SS_FAMILY_SPLIT,
        [ROUTE_METADATA] = SS_FAMILY_SPLIT,
        [ROUTE_METADATA_AT_HASH] = SS_FAMILY_SPLIT,
    };
    families_record_route(&k->families, route->family, route->is_split ? SS_FAMILY_SPLIT : routes[route->kind],
                          route->hash);
}

int
key_resolver_sample(struct key_resolver *k, struct ss_span name, struct route *route)
{
    struct ss_span declared = k->has_split_families ? families_declared(&k->families, name, k->syntax) : name;
    struct line_names names = {name, family_of(k, name, declared), no_suffix};

    int r = find_counted_route(k, &names, route);
    if (!r && route->family)
        record_route(k, route);
    /* Even if a rule keeps samples of this name together, the family may be split; and its metadata may come later. */
    return r || !k->may_split ? r : remember_family(k, declared, &route->meta);
}

/* The suffix of the samples of a family whose metadata omit it: OpenMetrics 1.0, "Suffixes". */
static const char *
suffix_of(const struct key_resolver *k, struct ss_span type)
{
    if (k->syntax != SYNTAX_OPENMETRICS)
        return no_suffix;
    enum family_type t = families_type(type);
    return t == TYPE_COUNTER ? "_total" : t == TYPE_INFO ? "_info" : no_suffix;
}

int
key_resolver_meta(struct key_resolver *k, struct ss_span name, struct ss_span type, struct route *route)
{
    uint32_t number = 0;

    int r = k->has_split_families ? remember_family(k, name, &number) : 0;
    if (!r && k->has_split_families && type.len)
        k->families.items[number].types |= families_type(type);
    struct line_names names = {name, family_of(k, name, name), suffix_of(k, type)};
    if (!r)
        r = find_counted_route(k, &names, route);
    if (r)
        return r;
    bool some_in_all = route->selectors & rules_selectors(k->sharding->settings.rules, SS_ACTION_REPLICATE);
    route->selectors = 0;
    if (route->is_split || (some_in_all && route->kind == ROUTE_BY_HASH)) {
        route->kind = route->is_split ? ROUTE_METADATA : ROUTE_METADATA_AT_HASH;
        route->meta = number;
    }
    return 0;
}

bool
key_resolver_needs_type(const struct key_resolver *k)
{
    /* Rules match the names of samples too, whose suffixes metadata omit in 1.0. In 2.0 the key leaves them out. */
    return k->syntax == SYNTAX_OPENMETRICS     ? k->sharding->has_rules
           : k->syntax == SYNTAX_OPENMETRICS_2 ? key_of(k) == SS_KEY_DECLARED
                                               : false;
}

bool
key_resolver_depends_on_meta(const struct key_resolver *k)
{
    return k->has_split_families;
}
