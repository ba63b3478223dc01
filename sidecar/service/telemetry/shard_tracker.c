/* SPDX-License-Identifier: Apache-2.0 */
#include "shard_tracker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    TENTH = 100,
    INTERVAL_LEAST = 1000,
    /* An interval is a mean over so many of itself. */
    INTERVAL_MEMORY = 4,
};

static const struct watch_set no_set = {.last = WATCH_NEVER, .tried = WATCH_NEVER};

void
watch_init(struct watch *w, int64_t now, int64_t interval)
{
    *w = (struct watch){.began = now, .whole = no_set, .last = WATCH_NEVER};
    w->by_service.when = w->by_others.when = WATCH_NEVER;
    watch_assume(w, interval);
}

void
watch_assume(struct watch *w, int64_t interval)
{
    w->assumed = interval < INTERVAL_LEAST ? INTERVAL_LEAST : (uint32_t)interval;
}

static void
free_count(struct watch_count *c)
{
    free(c->shards);
    free(c->sets);
    *c = (struct watch_count){.count = 0};
}

void
watch_deinit(struct watch *w)
{
    for (int i = 0; i < WATCH_COUNTS; i++)
        free_count(&w->counts[i]);
}

/* The clock of struct watch_shard. */
static uint32_t
tenths(const struct watch *w, int64_t time)
{
    return (uint32_t)((time - w->began) / TENTH) + 1;
}

static int64_t
from_tenths(const struct watch *w, uint32_t time)
{
    return w->began + ((int64_t)time - 1) * TENTH;
}

/* Counts. */

/* Whether a should make room before b does. */
static bool
is_less(const struct watch_count *a, const struct watch_count *b, int64_t now)
{
    bool a_idle = now - a->tried > WATCH_IDLE, b_idle = now - b->tried > WATCH_IDLE;
    if (a_idle != b_idle)
        return a_idle;
    return a->scrapes != b->scrapes ? a->scrapes < b->scrapes : a->tried < b->tried;
}

/* A free place for a count, made free if there is none, or if there are too many shards. */
static struct watch_count *
make_room(struct watch *w, uint32_t count, int64_t now)
{
    for (;;) {
        struct watch_count *place = NULL, *least = NULL;
        uint32_t shards = count;
        for (struct watch_count *c = w->counts; c < w->counts + WATCH_COUNTS; c++) {
            shards += c->count;
            if (!c->count)
                place = place ? place : c;
            else if (!least || is_less(c, least, now))
                least = c;
        }
        if (place && shards <= WATCH_SHARDS)
            return place;
        assert(least); /* one count alone never has WATCH_SHARDS */
        free_count(least);
        w->counts_left_out++;
    }
}

/* The count's place; NULL for want of memory. */
static struct watch_count *
find_count(struct watch *w, uint32_t count, int64_t now)
{
    for (struct watch_count *c = w->counts; c < w->counts + WATCH_COUNTS; c++)
        if (c->count == count)
            return c;
    struct watch_shard *shards = calloc(count, sizeof(*shards));
    if (!shards) {
        w->counts_left_out++;
        return NULL;
    }
    struct watch_count *c = make_room(w, count, now);
    *c = (struct watch_count){.count = count, .first = now, .last = WATCH_NEVER, .shards = shards};
    return c;
}

/* Shards. */

/* Reads the next part of a set: first to last. False at the end. */
static bool
next_part(const char **text, uint32_t count, uint32_t *first, uint32_t *last)
{
    char *end;
    if (!**text)
        return false;
    *first = *last = (uint32_t)strtoul(*text, &end, 10);
    if (*end == '-')
        *last = (uint32_t)strtoul(end + 1, &end, 10);
    *text = *end ? end + 1 : end;
    return *first <= *last && *last < count;
}

/*
 * An interval after another gap. A longer one is believed by half, so that a shard that comes back after hours does not
 * go unmissed for hours; a shorter one by the time it took, so that somebody who asks again and again for a moment
 * changes nothing, and two servers in turn, 10 s and 50 s apart, are taken for one with 50 s.
 */
static uint32_t
learn(uint32_t interval, int64_t gap)
{
    int64_t i = interval;
    if (gap > i)
        i = gap < 2 * i ? gap : 2 * i;
    else
        i -= (i - gap) * gap / (INTERVAL_MEMORY * i);
    return i < INTERVAL_LEAST ? INTERVAL_LEAST : i > INT32_MAX ? INT32_MAX : (uint32_t)i;
}

/* Whether any of them was not seen before. */
static bool
see_shards(struct watch *w, struct watch_count *c, const char *text, int64_t now)
{
    uint32_t first, last, time = tenths(w, now);
    bool new = false;
    while (next_part(&text, c->count, &first, &last)) {
        for (struct watch_shard *s = c->shards + first; s <= c->shards + last; s++) {
            if (s->last)
                s->interval = learn(s->interval ? s->interval : w->assumed, (int64_t)(time - s->last) * TENTH);
            new |= !s->last;
            s->last = time;
        }
    }
    return new;
}

/* Sets. */

/* Names a set: a single shard by its number, others as they are asked for. */
static void
name_set(struct watch_set *set, const char *text, uint32_t count)
{
    const char *rest = text;
    uint32_t first, last, parts = 0;
    *set = no_set;
    while (next_part(&rest, count, &first, &last)) {
        if (!parts++ || first < set->first)
            set->first = first;
        set->n += last - first + 1;
    }
    if (set->n == 1)
        snprintf(set->name, sizeof(set->name), "%u", set->first);
    else if (strlen(text) < sizeof(set->name))
        snprintf(set->name, sizeof(set->name), "%s", text);
    else
        snprintf(set->name, sizeof(set->name), "%.40s...%016llx", text,
                 (unsigned long long)XXH64(text, strlen(text), 0));
}

static int
compare_sets(const struct watch_set *a, const struct watch_set *b)
{
    return a->first != b->first ? (a->first < b->first ? -1 : 1) : strcmp(a->name, b->name);
}

/* Drops the sets that nobody needs any more. */
static void
drop_past_sets(const struct watch *w, struct watch_count *c, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_sets; i++)
        if (!watch_set_is_past(w, c, &c->sets[i], now))
            c->sets[kept++] = c->sets[i];
    c->n_sets = kept;
}

static bool
has_room_for_set(struct watch *w, struct watch_count *c, int64_t now)
{
    if (c->n_sets == WATCH_SETS)
        drop_past_sets(w, c, now);
    if (c->n_sets < c->capacity)
        return true;
    if (c->capacity == WATCH_SETS)
        return false;
    size_t capacity = c->capacity ? 2 * c->capacity : 4;
    struct watch_set *sets = realloc(c->sets, capacity * sizeof(*sets));
    if (!sets)
        return false;
    c->sets = sets;
    c->capacity = capacity;
    return true;
}

/* Where a set is, or would be, among its count's. */
static size_t
set_index(const struct watch_count *c, const struct watch_set *wanted)
{
    size_t low = 0, high = c->n_sets;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_sets(&c->sets[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The set's place; NULL if it has to be left out. */
static struct watch_set *
find_set(struct watch *w, struct watch_count *c, const char *text, int64_t now)
{
    struct watch_set wanted;
    name_set(&wanted, text, c->count);
    size_t at = set_index(c, &wanted);
    if (at < c->n_sets && !compare_sets(&c->sets[at], &wanted))
        return &c->sets[at];
    if (!has_room_for_set(w, c, now)) {
        w->sets_left_out++;
        return NULL;
    }
    at = set_index(c, &wanted);
    memmove(&c->sets[at + 1], &c->sets[at], (c->n_sets++ - at) * sizeof(*c->sets));
    c->sets[at] = wanted;
    return &c->sets[at];
}

/* What happened. */

static void
record(struct watch_set *set, const struct watch_scrape *s, int64_t now)
{
    set->tried = now;
    set->outcome = s->outcome;
    if (!s->ok)
        return;
    set->last = now;
    set->series = s->series;
    set->bytes = s->bytes;
    snprintf(set->peer, sizeof(set->peer), "%s", s->peer);
}

static void
record_failure(struct watch_failure *f, const struct watch_scrape *s, int64_t now)
{
    f->when = now;
    f->outcome = s->outcome;
    snprintf(f->reason, sizeof(f->reason), "%s", s->reason);
    snprintf(f->peer, sizeof(f->peer), "%s", s->peer);
}

/* A scrape of shards. */
static bool
record_shards(struct watch *w, const struct watch_scrape *s, int64_t now)
{
    struct watch_count *c = find_count(w, s->count, now);
    bool first = false;
    if (!c)
        return false;
    c->scrapes++;
    c->tried = now;
    if (s->ok) {
        c->last = now;
        first = see_shards(w, c, s->shard, now);
    }
    struct watch_set *set = find_set(w, c, s->shard, now);
    if (set)
        record(set, s, now);
    return first;
}

bool
watch_scrape(struct watch *w, const struct watch_scrape *s, int64_t now)
{
    bool first = s->ok && w->whole.last == WATCH_NEVER;
    if (s->ok)
        w->last = now;
    else
        record_failure(s->by_service ? &w->by_service : &w->by_others, s, now);
    if (s->count)
        return record_shards(w, s, now);
    if (s->ok)
        record(&w->whole, s, now);
    return first;
}

void
watch_families(struct watch *w, const struct ss_family_count *families, size_t n)
{
    w->n_families = n < WATCH_FAMILIES ? n : WATCH_FAMILIES;
    for (size_t i = 0; i < w->n_families; i++) {
        struct watch_family *f = &w->families[i];
        size_t len = families[i].name.len < sizeof(f->name) ? families[i].name.len : sizeof(f->name) - 1;
        if (len) /* an empty span may have no bytes at all */
            memcpy(f->name, families[i].name.ptr, len);
        f->name[len] = 0;
        f->series = families[i].series;
        f->bytes = families[i].bytes;
    }
}

/* What it means. */

uint32_t
watch_interval(const struct watch *w, const struct watch_count *c)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->shards[i].interval > longest)
            longest = c->shards[i].interval;
    return longest ? longest : w->assumed;
}

bool
watch_in_use(const struct watch *w, const struct watch_count *c, int64_t now)
{
    return c->count && c->last != WATCH_NEVER && now - c->last <= (int64_t)WATCH_MISSED * watch_interval(w, c);
}

bool
watch_is_live(const struct watch *w, const struct watch_count *c, int64_t now)
{
    if (!c->count || watch_in_use(w, c, now))
        return c->count;
    for (const struct watch_count *other = w->counts; other < w->counts + WATCH_COUNTS; other++)
        if (other != c && other->count && (watch_in_use(w, other, now) || other->tried > c->tried))
            return false;
    return true;
}

enum watch_state
watch_shard_state(const struct watch *w, const struct watch_count *c, uint32_t shard, uint32_t interval, int64_t now)
{
    const struct watch_shard *s = &c->shards[shard];
    if (!s->last)
        return now - c->first <= (int64_t)WATCH_MISSED * interval ? WATCH_UNKNOWN : WATCH_MISSING;
    int64_t own = s->interval ? s->interval : w->assumed;
    return now - from_tenths(w, s->last) <= WATCH_MISSED * own ? WATCH_PRESENT : WATCH_MISSING;
}

struct watch_states
watch_states(const struct watch *w, const struct watch_count *c, int64_t now)
{
    struct watch_states states = {{0}};
    uint32_t interval = watch_interval(w, c);
    for (uint32_t i = 0; i < c->count; i++)
        states.n[watch_shard_state(w, c, i, interval, now)]++;
    return states;
}

bool
watch_set_is_past(const struct watch *w, const struct watch_count *c, const struct watch_set *set, int64_t now)
{
    if (set->last == WATCH_NEVER)
        return now - set->tried > WATCH_IDLE;
    const struct watch_shard *first = &c->shards[set->first];
    int64_t interval = first->interval ? first->interval : w->assumed;
    return first->last > tenths(w, set->last) && now - set->last > WATCH_MISSED * interval;
}
