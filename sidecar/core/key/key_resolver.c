/* SPDX-License-Identifier: Apache-2.0 */
#include "key_resolver.h"

#include "core/base/limits.h"
#include "sharding.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
keyer_init(struct keyer *k, const struct ss_filter_settings *settings, bool openmetrics)
{
    const struct ss_sharding *s = settings->sharding;
    *k = (struct keyer){.sharding = settings->sharding, .openmetrics = openmetrics};
    k->parts = s->settings.key != SS_KEY_FAMILY || s->splits;
    k->may_part = s->settings.key == SS_KEY_NAME || s->settings.key == SS_KEY_LABELS || s->splits;
    k->census = settings->census || settings->max_series || settings->max_families;
    k->max_families = settings->max_families;
    k->found = calloc(s->settings.n_source_labels + 1, sizeof(*k->found));
    return k->found ? 0 : -ENOMEM;
}

void
keyer_deinit(struct keyer *k)
{
    families_deinit(&k->families);
    bytes_deinit(&k->key);
    bytes_deinit(&k->scratch);
    free(k->labels);
    free(k->found);
}

static enum ss_key
key_of(const struct keyer *k)
{
    return k->sharding->settings.key;
}

/* Families. */

/* Adds a family whose metadata or type decide over bytes, so that there must be room for it. */
static int
remember_family(struct keyer *k, struct ss_span name, uint32_t *numberp)
{
    if (families_bytes(&k->families) > LIMIT_NAMES) {
        snprintf(k->reason, sizeof(k->reason), "the names of its families take more than %d MiB", LIMIT_NAMES >> 20);
        return SS_TOO_MANY;
    }
    return families_add(&k->families, name, numberp);
}

/* The number of a family in the census. */
static int
count_family(struct keyer *k, struct ss_span name, uint32_t *numberp)
{
    struct families *f = &k->families;
    uint32_t number = names_find(&f->names, name);

    *numberp = number;
    if (!k->census || (number && f->items[number].counted))
        return 0;
    if (k->max_families ? f->n_counted == k->max_families : f->n_counted >= LIMIT_CENSUS) {
        *numberp = 0;
        if (!k->max_families)
            return 0;
        snprintf(k->reason, sizeof(k->reason), "it has more families than max_families, %" PRIu64 ": %.*s is one more",
                 k->max_families, name.len < 80 ? (int)name.len : 80, name.ptr);
        return SS_TOO_MANY;
    }
    int r = families_add(f, name, numberp);
    if (!r) {
        f->items[*numberp].counted = true;
        f->n_counted++;
    }
    return r;
}

void
keyer_count(struct keyer *k, const struct record *record)
{
    struct family *family = &k->families.items[record->family];
    if (!record->family)
        return;
    family->series += record->series;
    family->bytes += record->bytes.len;
}

/* Names. */

int
keyer_hash(struct keyer *k, struct ss_span key, uint64_t *hashp)
{
    k->last_key = key;
    return ss_hasher_hash(k->sharding->hasher, key, hashp);
}

/* Asks the rules, and, where none decides, the key. */
static int
find_fate(struct keyer *k, const struct ruled_names *names, struct fate *fate)
{
    static const enum fate_kind kinds[] = {
        [RULING_NONE] = FATE_HASHED,      [RULING_DROPPED] = FATE_DROPPED, [RULING_EVERY] = FATE_EVERY,
        [RULING_COLOCATED] = FATE_HASHED, [RULING_SPLIT] = FATE_SPLIT,
    };
    struct ruling ruling;
    int r = sharding_rule(k->sharding, names, &ruling, k->reason, sizeof(k->reason));
    if (r)
        return r;
    fate->kind = kinds[ruling.kind];
    fate->hash = ruling.hash;
    fate->parts = ruling.kind == RULING_SPLIT;
    if (ruling.kind != RULING_NONE)
        return 0;
    if (key_of(k) == SS_KEY_LABELS)
        fate->kind = FATE_LABELS;
    fate->parts = key_of(k) == SS_KEY_LABELS || key_of(k) == SS_KEY_NAME;
    return 0;
}

/* The same, and the family is counted. Neighbours mostly ask for the same, so the last answer is kept. A family is how
   its name begins, so that its length tells which one of a name's it is. */
static int
find_counted_fate(struct keyer *k, const struct ruled_names *names, struct fate *fate)
{
    bool by_name = k->sharding->has_rules || key_of(k) == SS_KEY_NAME;
    struct ss_span asked = by_name ? names->name : names->family;

    if (asked.len && asked.len == k->last.len && names->family.len == k->last.family_len &&
        names->suffix == k->last.suffix && !memcmp(asked.ptr, k->last.bytes, asked.len)) {
        *fate = k->last.fate;
        return 0;
    }
    *fate = (struct fate){.kind = FATE_HASHED};
    int r = count_family(k, names->family, &fate->family);
    if (!r)
        r = find_fate(k, names, fate);
    if (r || !asked.len || asked.len > sizeof(k->last.bytes))
        return r;
    k->last.fate = *fate;
    k->last.len = asked.len;
    k->last.family_len = names->family.len;
    k->last.suffix = names->suffix;
    memcpy(k->last.bytes, asked.ptr, asked.len);
    return 0;
}

static const char no_suffix[] = "";

/* The family of a name, as keys and rules see it. */
static struct ss_span
family_of(const struct keyer *k, struct ss_span name, struct ss_span declared)
{
    return key_of(k) == SS_KEY_DECLARED ? declared : ss_key_family(name);
}

/* Tells the census how samples of a family fall. */
static void
count_fall(struct keyer *k, const struct fate *fate)
{
    static const enum ss_family_fate fates[] = {
        [FATE_HASHED] = SS_FAMILY_HASHED, [FATE_EVERY] = SS_FAMILY_EVERY, [FATE_DROPPED] = SS_FAMILY_DROPPED,
        [FATE_LABELS] = SS_FAMILY_PARTS,  [FATE_SPLIT] = SS_FAMILY_PARTS, [FATE_META] = SS_FAMILY_PARTS,
    };
    families_fall(&k->families, fate->family, fate->parts ? SS_FAMILY_PARTS : fates[fate->kind], fate->hash);
}

int
keyer_sample(struct keyer *k, struct ss_span name, struct fate *fate)
{
    struct ss_span declared = k->parts ? families_declared(&k->families, name, k->openmetrics) : name;
    struct ruled_names names = {name, family_of(k, name, declared), no_suffix};

    int r = find_counted_fate(k, &names, fate);
    if (!r && fate->family)
        count_fall(k, fate);
    /* Though a rule may keep samples of this name together, the family may part; and its metadata may come later. */
    return r || !k->may_part ? r : remember_family(k, declared, &fate->meta);
}

/* What the samples of a family have behind its name where metadata name it alone: OpenMetrics 1.0, "Suffixes". */
static const char *
suffix_of(const struct keyer *k, struct ss_span type)
{
    if (!k->openmetrics)
        return no_suffix;
    enum family_type t = families_type(type);
    return t == TYPE_COUNTER ? "_total" : t == TYPE_INFO ? "_info" : no_suffix;
}

int
keyer_meta(struct keyer *k, struct ss_span name, struct ss_span type, struct fate *fate)
{
    struct ruled_names names = {name, family_of(k, name, name), suffix_of(k, type)};
    uint32_t number = 0;

    int r = k->parts ? remember_family(k, name, &number) : 0;
    if (!r && k->parts && type.len)
        k->families.items[number].types |= families_type(type);
    if (!r)
        r = find_counted_fate(k, &names, fate);
    if (!r && fate->parts) {
        fate->kind = FATE_META;
        fate->meta = number;
    }
    return r;
}

bool
keyer_has_rules(const struct keyer *k)
{
    return k->sharding->has_rules;
}

bool
keyer_depends_on_meta(const struct keyer *k)
{
    return k->parts;
}
