/* SPDX-License-Identifier: Apache-2.0 */
/* Keys made of labels, series by series. */
#include "core/base/buffer.h"
#include "core/protobuf/label_pairs.h"
#include "core/text/labels.h"
#include "key_resolver.h"
#include "route.h"
#include "sharding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Iterates over the labels of a series in either format. */
struct series {
    bool protobuf;
    struct labels labels;
    struct label_pairs pairs;
    size_t size; /* at least the size of all its labels */
};

static bool
next_label(struct series *s, struct label *label)
{
    return s->protobuf ? label_pairs_next(&s->pairs, label) : labels_next(&s->labels, label);
}

static bool
is_broken(const struct series *s)
{
    return s->protobuf ? s->pairs.fields.broken : s->labels.broken;
}

static int
fail_labels(struct key_resolver *k, const struct series *s)
{
    snprintf(k->reason, sizeof(k->reason), s->protobuf ? "a malformed metric" : "malformed labels");
    return SS_NO_EXPOSITION;
}

/* The unescaped name or value, appended to the scratch if it had escapes. ptr is NULL if out of memory. */
static struct ss_span
unescape(struct key_resolver *k, const struct name *name, size_t size)
{
    struct buffer *scratch = &k->scratch;
    if (!name->escaped)
        return name->raw;
    /* Reserved for the whole series, so that earlier values do not move. */
    if (!scratch->len && buffer_reserve(scratch, size))
        return (struct ss_span){NULL, 0};
    struct ss_span unescaped = name_unescape(name, scratch->ptr + scratch->len);
    scratch->len += unescaped.len;
    return unescaped;
}

/* Starts with nothing found but the sample's name. */
static struct wanted_labels
start_search(const struct key_resolver *k, struct ss_span name, struct ss_span *values)
{
    const struct ss_sharding_settings *settings = &k->sharding->settings;
    struct wanted_labels wanted = {settings->source_labels, values, settings->n_source_labels,
                                   settings->n_source_labels, NULL};
    for (size_t i = 0; i < wanted.n; i++)
        wanted.values[i].ptr = NULL;
    for (size_t i = 0; i < wanted.n && k->sharding->has_name_label; i++) {
        if (spans_equal(wanted.names[i], (struct ss_span){"__name__", 8})) {
            wanted.values[i] = name;
            wanted.missing--;
        }
    }
    return wanted;
}

/* Finds the values of the wanted labels that the series has. */
static int
find_labels(struct key_resolver *k, struct wanted_labels wanted, struct series *s)
{
    struct label label;

    k->scratch.len = 0;
    while (wanted.missing && next_label(s, &label)) {
        struct ss_span unescaped = unescape(k, &label.name, s->size);
        if (!unescaped.ptr)
            return -ENOMEM;
        /* A label may be wanted more than once; the scratch has room for each label of the line once. */
        struct ss_span value = {NULL, 0};
        for (size_t i = 0; i < wanted.n; i++) {
            if (wanted.values[i].ptr || !spans_equal(unescaped, wanted.names[i]))
                continue;
            if (!value.ptr)
                value = unescape(k, &label.value, s->size);
            if (!value.ptr)
                return -ENOMEM;
            wanted.values[i] = value;
            wanted.missing--;
        }
    }
    /* Prometheus also parses the rest and rejects the whole body if it cannot. */
    while (s->protobuf && label_pairs_next(&s->pairs, &label))
        ;
    return is_broken(s) ? fail_labels(k, s) : 0;
}

/* Joins the values; missing ones are empty. */
static int
join_values(struct key_resolver *k, struct ss_span *values, struct ss_span *keyp)
{
    const struct ss_sharding_settings *settings = &k->sharding->settings;
    if (settings->n_source_labels == 1) {
        *keyp = values[0].ptr ? values[0] : (struct ss_span){"", 0};
        return 0;
    }
    for (size_t i = 0; i < settings->n_source_labels; i++)
        if (!values[i].ptr)
            values[i].len = 0;
    int r = sharding_join(k->sharding, values, settings->n_source_labels, &k->key);
    *keyp = buffer_span(&k->key);
    return r;
}

/* Omits labels that must not split a histogram or summary; an empty label is the same as none. */
static bool
counts_in_split(struct ss_span name, struct ss_span value)
{
    return value.len && !spans_equal(name, (struct ss_span){"le", 2}) &&
           !spans_equal(name, (struct ss_span){"quantile", 8});
}

static int
add_label(struct key_resolver *k, struct ss_span name, struct ss_span value, size_t n)
{
    if (n == k->labels_capacity) {
        size_t capacity = n ? 2 * n : 16;
        struct key_label *labels = realloc(k->labels, capacity * sizeof(*labels));
        if (!labels)
            return -ENOMEM;
        k->labels = labels;
        k->labels_capacity = capacity;
    }
    k->labels[n] = (struct key_label){name, value};
    return 0;
}

static int
labels_order(const void *a, const void *b)
{
    const struct key_label *x = a, *y = b;
    int order = spans_order(x->name, y->name);
    return order ? order : spans_order(x->value, y->value);
}

/* Sorts by name, because the order of labels belongs to the format, not the series; mostly they are sorted already. */
static void
sort_labels(struct key_label *labels, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (labels_order(&labels[i - 1], &labels[i]) <= 0)
            continue;
        qsort(labels, n, sizeof(*labels), labels_order);
        return;
    }
}

static int
collect_labels(struct key_resolver *k, struct series *s, size_t *np)
{
    struct label label;
    k->scratch.len = 0;
    *np = 0;
    while (next_label(s, &label)) {
        struct ss_span name = unescape(k, &label.name, s->size), value = unescape(k, &label.value, s->size);
        if (!name.ptr || !value.ptr)
            return -ENOMEM;
        if (!counts_in_split(name, value))
            continue;
        int r = add_label(k, name, value, *np);
        if (r)
            return r;
        ++*np;
    }
    sort_labels(k->labels, *np);
    return is_broken(s) ? fail_labels(k, s) : 0;
}

/* The key of a split series: its family, then the name and value of each label, each after a byte that does not
   occur in UTF-8. */
static int
split_key(struct key_resolver *k, struct ss_span name, struct series *s, struct ss_span *keyp)
{
    const struct ss_span border = {"\xff", 1};
    size_t n;
    int r = collect_labels(k, s, &n);
    k->key.len = 0;
    if (!r)
        r = buffer_add(&k->key, ss_key_family(name));
    for (size_t i = 0; i < n && !r; i++) {
        const struct ss_span parts[] = {border, k->labels[i].name, border, k->labels[i].value};
        for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]) && !r; p++)
            r = buffer_add(&k->key, parts[p]);
    }
    *keyp = buffer_span(&k->key);
    return r;
}

static int
series_key(struct key_resolver *k, const struct route *route, struct ss_span name, struct series *s,
           struct ss_span *keyp)
{
    if (route->kind == ROUTE_BY_SERIES)
        return split_key(k, name, s, keyp);
    int r = find_labels(k, start_search(k, name, k->found), s);
    return r ? r : join_values(k, k->found, keyp);
}

/* The bytes of a line that decide its key, from start to the end of the last wanted label; empty if others do, too: the
   name may stand after the labels, as in {a="b","name"}, or be unescaped. */
static struct ss_span
deciding_bytes(const struct key_resolver *k, struct ss_span name, const char *start, const char *end)
{
    bool has_name = name.ptr >= start && name.ptr + name.len <= end;
    if (!end || (k->sharding->has_name_label && !has_name))
        return (struct ss_span){NULL, 0};
    return (struct ss_span){start, (size_t)(end - start)};
}

bool
key_resolver_find_labels(struct key_resolver *k, struct ss_span name, struct ss_span line, size_t labels,
                         struct found_labels *found)
{
    const char *start = k->sharding->has_name_label ? line.ptr : line.ptr + labels;
    const struct cached_key *known =
        key_cursor_find(&k->cursor, (struct ss_span){start, (size_t)(line.ptr + line.len - start)});
    if (known) {
        found->is_hashed = true;
        found->hash = known->hash;
        found->bytes = (struct ss_span){start, known->len};
        return true;
    }
    struct wanted_labels wanted = start_search(k, name, found->values);
    found->is_hashed = false;
    if (!labels_find(line, labels, &wanted))
        return false;
    found->bytes = deciding_bytes(k, name, start, wanted.end);
    if (found->bytes.len)
        key_cursor_missed(&k->cursor);
    return true;
}

static struct series
series_of_text(struct ss_span line, size_t labels)
{
    const char *none = "}";
    struct series s = {.size = line.len};
    s.labels = labels ? labels_in_text(line.ptr + labels, line.ptr + line.len) : labels_in_text(none, none + 1);
    return s;
}

static struct series
series_of_metric(struct ss_span metric)
{
    return (struct series){.protobuf = true, .pairs = {wire_of(metric)}, .size = metric.len};
}

int
key_resolver_key_text(struct key_resolver *k, const struct route *route, struct ss_span name, struct ss_span line,
                      size_t labels, struct ss_span *keyp)
{
    if (route->kind == ROUTE_BY_LABELS && labels) {
        struct wanted_labels wanted = start_search(k, name, k->found);
        if (!wanted.missing || labels_find(line, labels, &wanted))
            return join_values(k, k->found, keyp);
    }
    struct series s = series_of_text(line, labels);
    return series_key(k, route, name, &s, keyp);
}

int
key_resolver_hash_text(struct key_resolver *k, const struct route *route, struct ss_span name, struct ss_span line,
                       size_t labels, uint64_t *hashp)
{
    struct ss_span key;
    int r = key_resolver_key_text(k, route, name, line, labels, &key);
    return r ? r : ss_hasher_hash(k->sharding->hasher, key, hashp);
}

int
key_resolver_hash_found(struct key_resolver *k, const struct found_labels *found, uint64_t *hashp)
{
    struct ss_span key;
    *hashp = found->hash;
    int r = found->is_hashed ? 0 : join_values(k, found->values, &key);
    if (r || found->is_hashed)
        return r;
    if (!k->md5 || key.len > MD5_MULTI_MAX_KEY)
        return ss_hasher_hash(k->sharding->hasher, key, hashp);
    md5_multi_add(k->md5, key, hashp);
    if (k->md5->n == MD5_LANES)
        md5_multi_finish(k->md5);
    return 0;
}

void
key_resolver_finish_hashes(struct key_resolver *k)
{
    if (k->md5)
        md5_multi_finish(k->md5);
}

int
key_resolver_hash_metric(struct key_resolver *k, const struct route *route, struct ss_span name, struct ss_span metric,
                         uint64_t *hashp)
{
    struct series s = series_of_metric(metric);
    struct ss_span key;
    int r = series_key(k, route, name, &s, &key);
    return r ? r : ss_hasher_hash(k->sharding->hasher, key, hashp);
}

/* Selectors. */

/* Starts with no value found of the labels that the selectors look at. */
static struct wanted_labels
start_selection(struct key_resolver *k, uint64_t selectors)
{
    struct selector_values *v = &k->selected;
    rules_prepare_values(k->sharding->settings.rules, selectors, v);
    for (size_t i = 0; i < v->n; i++)
        v->values[i].ptr = NULL;
    k->scratch.len = 0;
    return (struct wanted_labels){v->names, v->values, v->n, v->n, NULL};
}

/* The route of a series whose values are found. */
static int
select_route(struct key_resolver *k, const struct route *route, struct route *own)
{
    struct series_match match;
    if (rules_match_series(k->sharding->settings.rules, &k->selected, &match, k->reason, sizeof(k->reason)))
        return SS_RULE_FAILED;
    *own = *route;
    own->selectors = 0;
    if (match.not_kept || match.rule)
        own->kind = match.rule && match.rule->action == SS_ACTION_REPLICATE ? ROUTE_ALL : ROUTE_NONE;
    return 0;
}

int
key_resolver_select_text(struct key_resolver *k, const struct route *route, struct ss_span line, size_t labels,
                         struct route *own)
{
    if (labels) {
        struct wanted_labels wanted = start_selection(k, route->selectors);
        if (labels_find(line, labels, &wanted))
            return select_route(k, route, own);
    }
    struct series s = series_of_text(line, labels);
    int r = find_labels(k, start_selection(k, route->selectors), &s);
    return r ? r : select_route(k, route, own);
}

int
key_resolver_select_metric(struct key_resolver *k, const struct route *route, struct ss_span metric, struct route *own)
{
    struct series s = series_of_metric(metric);
    int r = find_labels(k, start_selection(k, route->selectors), &s);
    return r ? r : select_route(k, route, own);
}
