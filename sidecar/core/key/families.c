/* SPDX-License-Identifier: Apache-2.0 */
#include "families.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
families_add(struct families *f, struct ss_span name, uint32_t *numberp)
{
    int r = name_table_add(&f->names, name, numberp);
    if (r || *numberp < f->capacity)
        return r;
    uint32_t capacity = f->names.capacity;
    struct family *items = realloc(f->items, capacity * sizeof(*items));
    if (!items)
        return -ENOMEM;
    memset(items + f->capacity, 0, (capacity - f->capacity) * sizeof(*items));
    f->items = items;
    f->capacity = capacity;
    return 0;
}

size_t
families_bytes(const struct families *f)
{
    return name_table_bytes(&f->names) + f->capacity * sizeof(*f->items);
}

void
families_deinit(struct families *f)
{
    name_table_deinit(&f->names);
    free(f->items);
}

/* Types. */

static const struct {
    const char *word;
    enum family_type type;
} types[] = {
    {"counter", TYPE_COUNTER},     {"summary", TYPE_SUMMARY},
    {"histogram", TYPE_HISTOGRAM}, {"gaugehistogram", TYPE_GAUGEHISTOGRAM},
    {"info", TYPE_INFO},
};

enum family_type
families_type(struct ss_span word)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strlen(types[i].word) == word.len && !memcmp(types[i].word, word.ptr, word.len))
            return types[i].type;
    return TYPE_PLAIN;
}

/* The suffixes that samples of a family may have, by its types. */
static const struct {
    const char *suffix;
    uint32_t text, openmetrics; /* not 2.0, which has none */
} suffixes[] = {
    {"_bucket", TYPE_HISTOGRAM, TYPE_HISTOGRAM | TYPE_GAUGEHISTOGRAM},
    {"_sum", TYPE_HISTOGRAM | TYPE_SUMMARY, TYPE_HISTOGRAM | TYPE_SUMMARY},
    {"_count", TYPE_HISTOGRAM | TYPE_SUMMARY, TYPE_HISTOGRAM | TYPE_SUMMARY},
    {"_total", 0, TYPE_COUNTER},
    {"_created", 0, TYPE_COUNTER | TYPE_HISTOGRAM | TYPE_SUMMARY},
    {"_info", 0, TYPE_INFO},
    {"_gsum", 0, TYPE_GAUGEHISTOGRAM},
    {"_gcount", 0, TYPE_GAUGEHISTOGRAM},
};

/* Whether the name ends with the suffix, but is longer. */
static bool
has_suffix(struct ss_span name, const char *suffix)
{
    size_t len = strlen(suffix);
    return name.len > len && !memcmp(name.ptr + name.len - len, suffix, len);
}

/* What the TYPE lines so far declare for a name. */
static uint32_t
types_of(const struct families *f, struct ss_span name)
{
    uint32_t number = name_table_find(&f->names, name);
    return number ? f->items[number].types : 0;
}

struct ss_span
families_declared(const struct families *f, struct ss_span name, enum text_syntax syntax)
{
    if (syntax == SYNTAX_OPENMETRICS_2 || types_of(f, name))
        return name;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        if (!has_suffix(name, suffixes[i].suffix))
            continue;
        struct ss_span base = {name.ptr, name.len - strlen(suffixes[i].suffix)};
        if (types_of(f, base) & (syntax_is_openmetrics(syntax) ? suffixes[i].openmetrics : suffixes[i].text))
            return base;
    }
    return name;
}

struct ss_span
families_declared_before_2(const struct families *f, struct ss_span name)
{
    uint32_t declared = types_of(f, name);
    const char *suffix = declared & TYPE_COUNTER ? "_total" : declared & TYPE_INFO ? "_info" : "";
    if (*suffix && has_suffix(name, suffix))
        name.len -= strlen(suffix);
    return name;
}

/* Counts. */

void
families_record_route(struct families *f, uint32_t number, enum ss_family_route route, uint64_t hash)
{
    struct family *item = &f->items[number];
    if (item->has_route && (item->route != route || (route == SS_FAMILY_BY_HASH && item->hash != hash)))
        route = SS_FAMILY_SPLIT;
    item->has_route = true;
    item->route = route;
    item->hash = hash;
}

static struct ss_family_count
count_of(const struct families *f, uint32_t number)
{
    const struct family *item = &f->items[number];
    return (struct ss_family_count){f->names.items[number].name,
                                    item->series,
                                    item->bytes,
                                    item->route,
                                    item->hash,
                                    item->dropped,
                                    item->replicated};
}

void
families_visit(const struct families *f, void (*visit)(void *ctx, const struct ss_family_count *family), void *ctx)
{
    for (uint32_t i = 1; i <= f->names.n; i++) {
        struct ss_family_count count = count_of(f, i);
        if (count.series)
            visit(ctx, &count);
    }
}

size_t
families_largest(const struct families *f, struct ss_family_count *out, size_t n)
{
    size_t found = 0;
    for (uint32_t i = 1; i <= f->names.n; i++) {
        const struct family *item = &f->items[i];
        size_t at = found;
        if (!item->series)
            continue;
        while (at && out[at - 1].series < item->series)
            at--;
        if (at == n)
            continue;
        if (found < n)
            found++;
        memmove(out + at + 1, out + at, (found - 1 - at) * sizeof(*out));
        out[at] = count_of(f, i);
    }
    return found;
}
