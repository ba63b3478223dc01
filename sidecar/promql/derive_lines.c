/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the lines for [rules], the largest group first, in a deterministic order. */
#include "derive_state.h"
#include "pattern.h"

#include "core/base/buffer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Lines of a configuration file are limited in length; longer patterns continue in another line. */
enum { LINE_LONG = 120 };

struct lines {
    struct deriving *deriving;
    struct rule_line *items;
    size_t n, capacity;
};

static int
add_line(struct lines *l, enum ss_action action, const char *text, size_t len)
{
    if (l->n == l->capacity) {
        size_t room = l->capacity ? 2 * l->capacity : 16;
        struct rule_line *items = arena_alloc(l->deriving->arena, room * sizeof(*items));
        if (!items)
            return -ENOMEM;
        if (l->n)
            memcpy(items, l->items, l->n * sizeof(*items));
        l->items = items;
        l->capacity = room;
    }
    const char *name = ss_action_name(action);
    size_t before = strlen(name) + strlen(" = ");
    char *line = arena_alloc(l->deriving->arena, before + len + 1);
    if (!line)
        return -ENOMEM;
    snprintf(line, before + len + 1, "%s = %s", name, text);
    l->items[l->n++] = (struct rule_line){action, line + before, line};
    return 0;
}

/* Writes lines whose patterns match the families, each after the prefix. */
static int
write_families(struct lines *l, enum ss_action action, const char *prefix, const uint32_t *families, size_t n)
{
    const struct analysis *a = l->deriving->analysis;
    int r = 0;

    for (size_t i = 0; !r && i < n;) {
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        if (!out)
            return -ENOMEM;
        fputs(prefix, out);
        for (bool first = true; i < n && (first || len + a->families[families[i]].name.len < LINE_LONG);
             first = false) {
            if (!first)
                putc('|', out);
            pattern_print_name(out, a->families[families[i++]].name);
            fflush(out);
        }
        r = fclose(out) || !text ? -ENOMEM : add_line(l, action, text, len);
        free(text);
    }
    return r;
}

/* Names. */

/* The length of the families' common prefix, up to a _; 0: none. */
static size_t
shared_length(const struct analysis *a, const struct rule_group *g)
{
    struct ss_span first = a->families[g->families[0]].name;
    size_t len = first.len;

    for (size_t i = 1; i < g->n_families; i++) {
        struct ss_span other = a->families[g->families[i]].name;
        size_t same = 0;
        while (same < len && same < other.len && first.ptr[same] == other.ptr[same])
            same++;
        bool ends = (same == first.len || first.ptr[same] == '_') && (same == other.len || other.ptr[same] == '_');
        while (!ends && same && first.ptr[--same] != '_')
            ;
        len = same;
    }
    return len;
}

static bool
is_taken(const struct rule_group *groups, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(groups[i].name, name))
            return true;
    return false;
}

/* A copy with only the characters that NAME may have. */
static const char *
copy_name(struct deriving *d, struct ss_span name, unsigned number)
{
    char tail[16] = "";
    if (number > 1)
        snprintf(tail, sizeof(tail), "-%u", number);
    char *copy = arena_alloc(d->arena, name.len + sizeof(tail));
    if (!copy)
        return NULL;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool fine =
            (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '.' || c == '-';
        copy[i] = fine ? c : '_';
    }
    memcpy(copy + name.len, tail, strlen(tail) + 1);
    return copy;
}

/* Names a group after the common prefix of its families or the first of them, unlike the groups before it. */
static int
name_group(struct deriving *d, struct rule_group *groups, size_t number, uint32_t fixed)
{
    const struct analysis *a = d->analysis;
    struct rule_group *g = &groups[number];
    struct ss_span first = a->families[g->families[0]].name, shared = {first.ptr, shared_length(a, g)};

    if (fixed) {
        g->name = copy_name(d, a->keys.items[fixed].name, 1);
        return g->name ? 0 : -ENOMEM;
    }
    g->name = shared.len ? copy_name(d, shared, 1) : NULL;
    for (unsigned i = 1; !g->name || is_taken(groups, number, g->name); i++)
        if (!(g->name = copy_name(d, first, i)))
            return -ENOMEM;
    return 0;
}

/* Groups. */

static int
order_families(const void *left, const void *right, void *ctx)
{
    const struct analysis *a = ctx;
    const uint32_t *l = left, *r = right;
    return spans_order(a->families[*l].name, a->families[*r].name);
}

static int
order_groups(const void *left, const void *right, void *ctx)
{
    const struct rule_group *l = left, *r = right;
    if (l->series != r->series)
        return l->series > r->series ? -1 : 1;
    return order_families(l->families, r->families, ctx);
}

/* The families of a group, by name. */
static int
fill_group(struct deriving *d, uint32_t root, struct rule_group *g)
{
    struct analysis *a = d->analysis;
    uint32_t *families = arena_alloc(d->arena, d->grouping.size[root] * sizeof(*families));
    if (!families)
        return -ENOMEM;
    *g = (struct rule_group){.families = families, .series = d->grouping.series[root]};
    for (uint32_t i = 0; i < a->n_families; i++)
        if (family_is_movable(d, i) && group_of(&d->grouping, i) == root)
            families[g->n_families++] = i;
    qsort_r(families, g->n_families, sizeof(*families), order_families, a);
    return 0;
}

/* Families that already have the key of the group need no line. */
static int
write_group(struct lines *l, const struct rule_group *g, uint32_t fixed)
{
    struct deriving *d = l->deriving;
    uint32_t *moved = arena_alloc(d->arena, g->n_families * sizeof(*moved));
    char *prefix = NULL;
    size_t n = 0;

    if (!moved)
        return -ENOMEM;
    for (size_t i = 0; i < g->n_families; i++)
        if (!fixed || d->analysis->places[g->families[i]] != fixed)
            moved[n++] = g->families[i];
    if (asprintf(&prefix, "%s: ", g->name) < 0)
        return -ENOMEM;
    int r = write_families(l, SS_ACTION_COLOCATE, prefix, moved, n);
    free(prefix);
    return r;
}

static int
write_groups(struct lines *l, struct derivation *out)
{
    struct deriving *d = l->deriving;
    struct analysis *a = d->analysis;
    struct rule_group *groups = arena_alloc(d->arena, (a->n_families + 1) * sizeof(*groups));
    size_t n = 0;
    int r = groups ? 0 : -ENOMEM;

    for (uint32_t i = 0; !r && i < a->n_families; i++)
        if (group_of(&d->grouping, i) == i && group_needs_line(d, i))
            r = fill_group(d, i, &groups[n++]);
    if (!r)
        qsort_r(groups, n, sizeof(*groups), order_groups, a);
    for (size_t i = 0; !r && i < n; i++) {
        uint32_t fixed = d->grouping.fixed[group_of(&d->grouping, groups[i].families[0])];
        r = name_group(d, groups, i, fixed);
        if (!r)
            r = write_group(l, &groups[i], fixed);
    }
    out->groups = groups;
    out->n_groups = n;
    return r;
}

static int
write_replicated(struct lines *l, struct derivation *out)
{
    struct deriving *d = l->deriving;
    struct analysis *a = d->analysis;
    uint32_t *families = arena_alloc(d->arena, (a->n_families + 1) * sizeof(*families));
    size_t n = 0;

    if (!families)
        return -ENOMEM;
    for (uint32_t i = 0; i < a->n_families; i++)
        if (d->replicated[i]) {
            families[n++] = i;
            out->replicated += a->families[i].series;
        }
    qsort_r(families, n, sizeof(*families), order_families, a);
    return write_families(l, SS_ACTION_REPLICATE, "", families, n);
}

int
write_lines(struct deriving *d, struct derivation *out)
{
    struct lines lines = {.deriving = d};
    int r = write_groups(&lines, out);
    if (!r)
        r = write_replicated(&lines, out);
    out->lines = lines.items;
    out->n_lines = lines.n;
    return r;
}
