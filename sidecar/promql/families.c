/* SPDX-License-Identifier: Apache-2.0 */
/* The families of the metrics in selectors, and where the sharding places them. */
#include "analysis_state.h"

#include "core/base/buffer.h"

#include <errno.h>
#include <stdlib.h>

const char *const sample_suffixes[SAMPLE_SUFFIXES] = {"",       "_total", "_created", "_bucket", "_sum",
                                                      "_count", "_info",  "_gsum",    "_gcount"};

void *
analysis_reserve(void *items, size_t *room, size_t number, size_t size)
{
    if (number < *room)
        return items;
    size_t wanted = 2 * number + 64;
    char *larger = realloc(items, wanted * size);
    if (!larger)
        return NULL;
    memset(larger + *room * size, 0, (wanted - *room) * size);
    *room = wanted;
    return larger;
}

int
analysis_key(struct analysis *a, struct ss_span key, uint32_t *numberp)
{
    return name_table_add(&a->keys, key, numberp);
}

static void
find_in_body(const struct analysis *a, struct needed_family *f)
{
    uint32_t number = name_table_find(&a->body_names, f->name);
    if (!number)
        number = name_table_find(&a->body_names, ss_key_family(f->name));
    if (!number)
        return;
    f->in_body = true;
    f->body_name = a->body_names.items[number].name;
    f->series = a->body_series[number];
}

static int
reserve_family(struct analysis *a, size_t number)
{
    size_t room = a->family_room;
    struct needed_family *families = analysis_reserve(a->families, &room, number, sizeof(*families));
    if (!families)
        return -ENOMEM;
    a->families = families;
    uint32_t *places = analysis_reserve(a->places, &a->family_room, number, sizeof(*places));
    if (!places)
        return -ENOMEM;
    a->places = places;
    return 0;
}

/* Sharding rules may place metrics of one family differently: then it counts as several families. */
static int
identify_family(struct analysis *a, const struct metric_place *place, uint32_t *numberp)
{
    struct buffer identity = {NULL, 0, 0};
    const char spread[2] = {0, (char)place->spread};
    int r = buffer_add(&identity, place->family);
    if (!r)
        r = buffer_add(&identity, (struct ss_span){spread, 2});
    if (!r && place->spread == SPREAD_ONE)
        r = buffer_add(&identity, place->key);
    if (!r)
        r = name_table_add(&a->family_names, buffer_span(&identity), numberp);
    buffer_deinit(&identity);
    return r;
}

static int
add_family(struct analysis *a, const struct metric_place *place, uint32_t *familyp)
{
    uint32_t number, before = a->family_names.n;
    if (identify_family(a, place, &number))
        return -ENOMEM;
    *familyp = number - 1;
    if (a->family_names.n == before)
        return 0;
    if (reserve_family(a, number - 1))
        return -ENOMEM;
    struct needed_family *f = &a->families[number - 1];
    *f = (struct needed_family){.name = arena_copy(&a->arena, place->family), .place = *place};
    f->place.family = f->name;
    f->place.key = arena_copy(&a->arena, place->key);
    f->place.pattern = arena_copy(&a->arena, place->pattern);
    if (!f->name.ptr || !f->place.key.ptr || !f->place.pattern.ptr)
        return -ENOMEM;
    find_in_body(a, f);
    a->n_families = number;
    uint32_t *p = &a->places[number - 1];
    static const uint32_t places[] = {[SPREAD_ALL] = PLACE_ALL,
                                      [SPREAD_NONE] = PLACE_NONE,
                                      [SPREAD_SPLIT] = PLACE_SPLIT,
                                      [SPREAD_DIFFERS] = PLACE_DIFFERS,
                                      [SPREAD_FAILS] = PLACE_DIFFERS};
    *p = places[place->spread];
    return place->spread == SPREAD_ONE ? analysis_key(a, f->place.key, p) : 0;
}

struct ss_span
analysis_declared_family(const struct analysis *a, struct ss_span name)
{
    for (size_t i = 0; i < SAMPLE_SUFFIXES; i++) {
        size_t len = strlen(sample_suffixes[i]);
        if (name.len < len || memcmp(name.ptr + name.len - len, sample_suffixes[i], len) != 0)
            continue;
        struct ss_span family = {name.ptr, name.len - len};
        if (name_table_find(&a->body_names, family))
            return family;
    }
    return (struct ss_span){NULL, 0};
}

static int
place_and_add(struct analysis *a, const struct placed_metric *metric, uint32_t *familyp)
{
    struct metric_place place;
    int r = a->settings.placement.place(a->settings.placement.ctx, metric, &place);
    return r ? r : add_family(a, &place, familyp);
}

/* Scraping adds these labels; a body's own ones get another name, or the values of the body stay (honor_labels). */
static bool
is_target_label(struct ss_span label)
{
    return spans_equal(label, (struct ss_span){"job", 3}) || spans_equal(label, (struct ss_span){"instance", 8});
}

/* Adds the family of those series of a metric that a selector may select, by the values that it requires. */
static int
add_selected_family(struct analysis *a, struct ss_span name, const struct selector *s, uint32_t *familyp)
{
    struct placed_label *labels = calloc(s->n_matchers + 1, sizeof(*labels));
    struct placed_metric metric = {.name = name, .declared = analysis_declared_family(a, name), .labels = labels};

    if (!labels)
        return -ENOMEM;
    for (size_t i = 0; i < s->n_matchers; i++)
        if (s->matchers[i].op == TOKEN_ASSIGN && !is_target_label(s->matchers[i].label))
            labels[metric.n_labels++] = (struct placed_label){s->matchers[i].label, s->matchers[i].value};
    int r = place_and_add(a, &metric, familyp);
    free(labels);
    return r;
}

int
analysis_family(struct analysis *a, struct ss_span name, const struct selector *selector, uint32_t *familyp)
{
    uint32_t number, before = a->names.n;

    if (name_table_add(&a->names, name, &number))
        return -ENOMEM;
    uint32_t *families = analysis_reserve(a->family_of_name, &a->name_room, number, sizeof(*families));
    if (!families)
        return -ENOMEM;
    a->family_of_name = families;
    if (a->names.n != before) {
        const struct placed_metric metric = {.name = name, .declared = analysis_declared_family(a, name)};
        int r = place_and_add(a, &metric, &a->family_of_name[number]);
        if (r)
            return r;
    }
    *familyp = a->family_of_name[number];
    bool differs = a->families[*familyp].place.spread == SPREAD_DIFFERS;
    return differs && selector ? add_selected_family(a, name, selector, familyp) : 0;
}
