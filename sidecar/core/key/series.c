/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are made of labels, series by series. */
#include "core/base/buffer.h"
#include "key_resolver.h"
#include "sharding.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A series whose labels are gone through, in whatever format. */
struct series {
    bool protobuf;
    struct labels labels;
    struct label_pairs pairs;
    size_t size; /* at least the bytes of all its labels */
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
    snprintf(k->reason, sizeof(k->reason), s->protobuf ? "a metric that cannot be read" : "no metric name and labels");
    return SS_NO_EXPOSITION;
}

/* What a name or value means; with escapes, written behind what is in the scratch already. NULL: there is no memory. */
static struct ss_span
meaning(struct key_resolver *k, const struct name *name, size_t size)
{
    struct buffer *scratch = &k->scratch;
    if (!name->escaped)
        return name->raw;
    /* At once for all of the series, so that what was written is not moved. */
    if (!scratch->len && buffer_reserve(scratch, size))
        return (struct ss_span){NULL, 0};
    struct ss_span meant = name_bytes(name, scratch->ptr + scratch->len);
    scratch->len += meant.len;
    return meant;
}

/* Nothing is found yet but the sample's name. */
static struct wanted_labels
begin_search(struct key_resolver *k, struct ss_span name)
{
    const struct ss_sharding_settings *settings = &k->sharding->settings;
    struct wanted_labels wanted = {settings->source_labels, k->found, settings->n_source_labels,
                                   settings->n_source_labels};
    for (size_t i = 0; i < wanted.n; i++)
        wanted.values[i].ptr = NULL;
    for (size_t i = 0; i < wanted.n && k->sharding->has_name_label; i++) {
        if (spans_equal(wanted.names[i], (struct ss_span){"__name__", 8})) {
            wanted.values[i] = name;
            wanted.missing--;
        }
    }
    k->scratch.len = 0;
    return wanted;
}

/* Finds the source labels' values, as far as they are there. */
static int
find_labels(struct key_resolver *k, struct ss_span name, struct series *s)
{
    struct wanted_labels wanted = begin_search(k, name);
    struct label label;

    while (wanted.missing && next_label(s, &label)) {
        struct ss_span meant = meaning(k, &label.name, s->size);
        if (!meant.ptr)
            return -ENOMEM;
        /* It may be wanted more than once; the scratch has room for all that stands in the line, once. */
        struct ss_span value = {NULL, 0};
        for (size_t i = 0; i < wanted.n; i++) {
            if (wanted.values[i].ptr || !spans_equal(meant, wanted.names[i]))
                continue;
            if (!value.ptr)
                value = meaning(k, &label.value, s->size);
            if (!value.ptr)
                return -ENOMEM;
            wanted.values[i] = value;
            wanted.missing--;
        }
    }
    /* Prometheus reads the rest, too, and refuses all of the body for what it cannot read. */
    while (s->protobuf && label_pairs_next(&s->pairs, &label))
        ;
    return is_broken(s) ? fail_labels(k, s) : 0;
}

/* Joins the values. */
static int
hash_found(struct key_resolver *k, uint64_t *hashp)
{
    const struct ss_sharding_settings *settings = &k->sharding->settings;
    if (settings->n_source_labels == 1) {
        struct ss_span value = k->found[0].ptr ? k->found[0] : (struct ss_span){"", 0};
        return key_resolver_hash(k, value, hashp);
    }
    for (size_t i = 0; i < settings->n_source_labels; i++)
        if (!k->found[i].ptr)
            k->found[i].len = 0;
    int r = sharding_join(k->sharding, k->found, settings->n_source_labels, &k->key);
    return r ? r : key_resolver_hash(k, buffer_span(&k->key), hashp);
}

/* Labels that must not part a histogram or a summary; and an empty one is as good as none. */
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

/* Sorts by name, for the labels' order is the format's, not the series'; mostly they are sorted. */
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
        struct ss_span name = meaning(k, &label.name, s->size), value = meaning(k, &label.value, s->size);
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

/* The key of a split series: its family, and name and value of each label, each behind a byte that UTF-8 has not. */
static int
hash_split(struct key_resolver *k, struct ss_span name, struct series *s, uint64_t *hashp)
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
    return r ? r : key_resolver_hash(k, buffer_span(&k->key), hashp);
}

static int
hash_series(struct key_resolver *k, const struct route *route, struct ss_span name, struct series *s, uint64_t *hashp)
{
    if (route->kind == ROUTE_BY_SERIES)
        return hash_split(k, name, s, hashp);
    int r = find_labels(k, name, s);
    return r ? r : hash_found(k, hashp);
}

int
key_resolver_hash_text(struct key_resolver *k, const struct route *route, struct ss_span name, struct ss_span line,
                       size_t labels, uint64_t *hashp)
{
    const char *none = "}";
    if (route->kind == ROUTE_BY_LABELS && labels) {
        struct wanted_labels wanted = begin_search(k, name);
        if (!wanted.missing || labels_find(line, labels, &wanted))
            return hash_found(k, hashp);
    }
    struct series s = {.size = line.len};
    s.labels = labels ? labels_of_text(line.ptr + labels, line.ptr + line.len) : labels_of_text(none, none + 1);
    return hash_series(k, route, name, &s, hashp);
}

int
key_resolver_hash_metric(struct key_resolver *k, const struct route *route, struct ss_span name, struct ss_span metric,
                         uint64_t *hashp)
{
    struct series s = {.protobuf = true, .pairs = {wire_of(metric)}, .size = metric.len};
    return hash_series(k, route, name, &s, hashp);
}
