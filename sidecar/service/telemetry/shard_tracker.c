/* SPDX-License-Identifier: Apache-2.0 */
#include "shard_tracker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    TICK_MS = 100,
    INTERVAL_MIN = 1000,
    /* An interval is a mean over this many intervals. */
    INTERVAL_MEMORY = 4,
};

static const struct tracked_set no_set = {.last = NEVER_SCRAPED, .tried = NEVER_SCRAPED};

void
shard_tracker_init(struct shard_tracker *tracker, int64_t now, int64_t interval)
{
    *tracker = (struct shard_tracker){.began = now, .whole = no_set, .last = NEVER_SCRAPED};
    tracker->by_upstream.when = tracker->by_other.when = NEVER_SCRAPED;
    shard_tracker_assume(tracker, interval);
}

void
shard_tracker_assume(struct shard_tracker *tracker, int64_t interval)
{
    tracker->assumed = interval < INTERVAL_MIN ? INTERVAL_MIN : (uint32_t)interval;
}

static void
free_count(struct tracked_count *c)
{
    free(c->shards);
    free(c->sets);
    *c = (struct tracked_count){.count = 0};
}

void
shard_tracker_deinit(struct shard_tracker *tracker)
{
    for (int i = 0; i < TRACKED_COUNTS; i++)
        free_count(&tracker->counts[i]);
}

/* A time as ticks of struct tracked_shard, and back. */
static uint32_t
ticks(const struct shard_tracker *tracker, int64_t time)
{
    return (uint32_t)((time - tracker->began) / TICK_MS) + 1;
}

static int64_t
from_ticks(const struct shard_tracker *tracker, uint32_t time)
{
    return tracker->began + ((int64_t)time - 1) * TICK_MS;
}

/* Counts. */

/* Whether a is evicted before b. */
static bool
is_less(const struct tracked_count *a, const struct tracked_count *b, int64_t now)
{
    bool a_idle = now - a->tried > IDLE_COUNT_MS, b_idle = now - b->tried > IDLE_COUNT_MS;
    if (a_idle != b_idle)
        return a_idle;
    return a->scrapes != b->scrapes ? a->scrapes < b->scrapes : a->tried < b->tried;
}

/* A free entry for a count; evicts others if there is none, or if there would be too many shards. */
static struct tracked_count *
make_room(struct shard_tracker *tracker, uint32_t count, int64_t now)
{
    for (;;) {
        struct tracked_count *free_entry = NULL, *least = NULL;
        uint32_t shards = count;
        for (struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++) {
            shards += c->count;
            if (!c->count)
                free_entry = free_entry ? free_entry : c;
            else if (!least || is_less(c, least, now))
                least = c;
        }
        if (free_entry && shards <= TRACKED_SHARDS)
            return free_entry;
        assert(least); /* a single count is always below TRACKED_SHARDS */
        free_count(least);
        tracker->counts_dropped++;
    }
}

/* The count's entry, made if need be; NULL: out of memory. */
static struct tracked_count *
find_count(struct shard_tracker *tracker, uint32_t count, int64_t now)
{
    for (struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++)
        if (c->count == count)
            return c;
    struct tracked_shard *shards = calloc(count, sizeof(*shards));
    if (!shards) {
        tracker->counts_dropped++;
        return NULL;
    }
    struct tracked_count *c = make_room(tracker, count, now);
    *c = (struct tracked_count){.count = count, .first = now, .last = NEVER_SCRAPED, .shards = shards};
    return c;
}

/* Shards. */

/* Reads the next range of a set, as far as it is below count. False at the end. */
static bool
next_range(const char **text, uint32_t count, uint32_t *first, uint32_t *last)
{
    while (**text) {
        char *end;
        *first = *last = (uint32_t)strtoul(*text, &end, 10);
        if (*end == '-')
            *last = (uint32_t)strtoul(end + 1, &end, 10);
        *text = *end ? end + 1 : end;
        if (*last >= count)
            *last = count - 1;
        if (*first <= *last)
            return true;
    }
    return false;
}

/*
 * The interval after another gap. A longer gap at most doubles it, so that a shard that comes back after hours is not
 * allowed hours the next time. A shorter gap is weighted by its length, so that a short burst changes almost nothing,
 * and two servers in turn, 10 s and 50 s apart, count as one with 50 s.
 */
static uint32_t
learn(uint32_t interval, int64_t gap)
{
    int64_t i = interval;
    if (gap > i)
        i = gap < 2 * i ? gap : 2 * i;
    else
        i -= (i - gap) * gap / (INTERVAL_MEMORY * i);
    return i < INTERVAL_MIN ? INTERVAL_MIN : i > INT32_MAX ? INT32_MAX : (uint32_t)i;
}

/* Marks shards as scraped. True: some were not seen before. */
static bool
mark_scraped(struct shard_tracker *tracker, struct tracked_count *c, const char *text, int64_t now)
{
    uint32_t first, last, time = ticks(tracker, now);
    bool new = false;
    while (next_range(&text, c->count, &first, &last)) {
        for (struct tracked_shard *s = c->shards + first; s <= c->shards + last; s++) {
            uint32_t interval = s->interval ? s->interval : tracker->assumed;
            int64_t gap = (int64_t)(time - s->last) * TICK_MS;
            if (!s->last || gap > (int64_t)MISSED_INTERVALS * interval)
                s->since = time;
            if (s->last)
                s->interval = learn(interval, gap);
            new |= !s->last;
            s->last = time;
        }
    }
    return new;
}

/* Sets. */

/* Names a set: a single shard by its number, others as requested. */
static void
name_set(struct tracked_set *set, const char *text, uint32_t count)
{
    const char *rest = text;
    uint32_t first, last, ranges = 0;
    *set = no_set;
    while (next_range(&rest, count, &first, &last)) {
        if (!ranges++ || first < set->first)
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
compare_sets(const struct tracked_set *a, const struct tracked_set *b)
{
    return a->first != b->first ? (a->first < b->first ? -1 : 1) : strcmp(a->name, b->name);
}

/* Drops the sets that are past. */
static void
drop_past_sets(const struct shard_tracker *tracker, struct tracked_count *c, int64_t now)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->n_sets; i++)
        if (!shard_tracker_set_is_past(tracker, c, &c->sets[i], now))
            c->sets[kept++] = c->sets[i];
    c->n_sets = kept;
}

static bool
has_room_for_set(struct shard_tracker *tracker, struct tracked_count *c, int64_t now)
{
    if (c->n_sets == TRACKED_SETS)
        drop_past_sets(tracker, c, now);
    if (c->n_sets < c->capacity)
        return true;
    if (c->capacity == TRACKED_SETS)
        return false;
    size_t capacity = c->capacity ? 2 * c->capacity : 4;
    struct tracked_set *sets = realloc(c->sets, capacity * sizeof(*sets));
    if (!sets)
        return false;
    c->sets = sets;
    c->capacity = capacity;
    return true;
}

/* Where a set is, or would be, in its count's array. */
static size_t
set_index(const struct tracked_count *c, const struct tracked_set *wanted)
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

/* The set's entry, made if need be; NULL: there is no room, or none of the set's shards is below the count. */
static struct tracked_set *
find_set(struct shard_tracker *tracker, struct tracked_count *c, const char *text, int64_t now)
{
    struct tracked_set wanted;
    name_set(&wanted, text, c->count);
    if (!wanted.n)
        return NULL;
    size_t at = set_index(c, &wanted);
    if (at < c->n_sets && !compare_sets(&c->sets[at], &wanted))
        return &c->sets[at];
    if (!has_room_for_set(tracker, c, now)) {
        tracker->sets_dropped++;
        return NULL;
    }
    at = set_index(c, &wanted);
    memmove(&c->sets[at + 1], &c->sets[at], (c->n_sets++ - at) * sizeof(*c->sets));
    c->sets[at] = wanted;
    return &c->sets[at];
}

/* Reshards. */

/* NULL: no scrape has requested it. */
static const struct tracked_count *
known_count(const struct shard_tracker *tracker, uint32_t count)
{
    for (const struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++)
        if (c->count == count)
            return c;
    return NULL;
}

static void
forget_count(struct shard_tracker *tracker, uint32_t count)
{
    for (struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++)
        if (c->count == count)
            free_count(c);
}

/* The count that decides for all scrapes; 0: each for itself, or none was successful yet. */
static uint32_t
count_of_all(const struct shard_tracker *tracker)
{
    const struct reshard *r = &tracker->reshard;
    uint32_t count = r->to ? shard_tracker_count_in_force(tracker, r->to) : r->from;
    const struct tracked_count *c = count ? known_count(tracker, count) : NULL;
    return c && c->last != NEVER_SCRAPED ? count : 0;
}

uint32_t
shard_tracker_announce(struct shard_tracker *tracker, uint32_t from, uint32_t to)
{
    struct reshard *r = &tracker->reshard;
    if (r->from == from && r->to == to)
        return 0;
    /* Its servers are there. Those of the other count may not be, though some name it: a reshard is taken back. */
    uint32_t before = count_of_all(tracker);
    bool stays = to && before == to;
    *r = (struct reshard){from, to, stays};
    forget_count(tracker, stays ? from : to); /* who scraped it before the announcement does not count */
    return before == from || before == to ? 0 : before;
}

uint32_t
shard_tracker_count_in_force(const struct shard_tracker *tracker, uint32_t count)
{
    const struct reshard *r = &tracker->reshard;
    if (!r->to)
        return count;
    if (r->switched)
        return r->to;
    /* After a restart it is not known how far the reshard is. The smaller count is whole in any case: all servers that
       it needs are there. A request for a larger old count shows that it is still in use. */
    const struct tracked_count *old = known_count(tracker, r->from);
    bool old_in_use = count == r->from || (old && old->last != NEVER_SCRAPED);
    return old_in_use || r->from < r->to ? r->from : r->to;
}

bool
shard_tracker_is_in_force(const struct shard_tracker *tracker, const struct tracked_count *c)
{
    const struct reshard *r = &tracker->reshard;
    return !r->to || c->count != (r->switched ? r->from : r->to);
}

uint32_t
shard_tracker_twice_after(const struct shard_tracker *tracker)
{
    return tracker->assumed / 2;
}

/* Whether every shard of a count is scraped; twice: by at least two scrapes each, and not right after one another. */
static bool
has_all_shards(struct shard_tracker *tracker, uint32_t count, bool twice, int64_t now)
{
    const struct tracked_count *c = known_count(tracker, count);
    int64_t apart = twice ? shard_tracker_twice_after(tracker) : 0;
    for (uint32_t i = 0; c && i < count; i++) {
        const struct tracked_shard *s = &c->shards[i];
        if ((int64_t)(s->last - s->since) * TICK_MS < apart ||
            shard_tracker_state(tracker, c, i, 0, now) != SHARD_PRESENT)
            return false;
    }
    return c;
}

/* Decides which count is in force. It falls back to the old one if that is scraped for all its shards, and the new one
   no longer is. */
static void
update_reshard(struct shard_tracker *tracker, int64_t now)
{
    struct reshard *r = &tracker->reshard;
    if (!r->to)
        return;
    bool complete = has_all_shards(tracker, r->to, !r->switched, now);
    if (!r->switched && complete) {
        r->switched = true;
        forget_count(tracker, r->from); /* from here on those that still request it count */
    } else if (r->switched && !complete && has_all_shards(tracker, r->from, true, now)) {
        r->switched = false;
        forget_count(tracker, r->to); /* its shards have to be seen twice again */
    }
}

/* Recording. */

static void
record(struct tracked_set *set, const struct tracked_scrape *s, int64_t now)
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
record_failure(struct tracked_failure *f, const struct tracked_scrape *s, int64_t now)
{
    f->when = now;
    f->outcome = s->outcome;
    snprintf(f->reason, sizeof(f->reason), "%s", s->reason);
    snprintf(f->peer, sizeof(f->peer), "%s", s->peer);
}

/* Records that a count was requested which was not in force: its shards are scraped. */
static void
record_request(struct shard_tracker *tracker, const struct tracked_scrape *s, int64_t now)
{
    struct tracked_count *c = s->ok ? find_count(tracker, s->count, now) : NULL;
    if (!c)
        return;
    c->scrapes++;
    c->tried = c->last = now;
    mark_scraped(tracker, c, s->shard, now);
}

/* Records a scrape of shards. */
static bool
record_shards(struct shard_tracker *tracker, const struct tracked_scrape *s, int64_t now)
{
    struct tracked_count *c = find_count(tracker, s->in_force ? s->in_force : s->count, now);
    bool first = false;
    if (!c)
        return false;
    c->scrapes++;
    c->tried = now;
    if (s->ok) {
        c->last = now;
        first = mark_scraped(tracker, c, s->shard, now);
    }
    struct tracked_set *set = find_set(tracker, c, s->shard, now);
    if (set)
        record(set, s, now);
    return first;
}

bool
shard_tracker_record_scrape(struct shard_tracker *tracker, const struct tracked_scrape *s, int64_t now)
{
    bool first = s->ok && tracker->whole.last == NEVER_SCRAPED;
    if (s->ok)
        tracker->last = now;
    else
        record_failure(s->by_upstream ? &tracker->by_upstream : &tracker->by_other, s, now);
    if (s->count) {
        bool other = s->in_force && s->in_force != s->count;
        /* It was in flight at a switch: nobody requested the count that decided what it got. */
        bool late = other && s->in_force != shard_tracker_count_in_force(tracker, s->count);
        first = !late && record_shards(tracker, s, now);
        if (other)
            record_request(tracker, s, now);
        update_reshard(tracker, now);
    } else if (s->ok) {
        record(&tracker->whole, s, now);
    }
    return first;
}

void
shard_tracker_record_families(struct shard_tracker *tracker, const struct ss_family_count *families, size_t n)
{
    tracker->n_families = n < TRACKED_FAMILIES ? n : TRACKED_FAMILIES;
    for (size_t i = 0; i < tracker->n_families; i++) {
        struct tracked_family *f = &tracker->families[i];
        size_t len = families[i].name.len < sizeof(f->name) ? families[i].name.len : sizeof(f->name) - 1;
        if (len) /* an empty span's ptr may be NULL */
            memcpy(f->name, families[i].name.ptr, len);
        f->name[len] = 0;
        f->series = families[i].series;
        f->bytes = families[i].bytes;
    }
}

/* Queries. */

uint32_t
shard_tracker_interval(const struct shard_tracker *tracker, const struct tracked_count *c)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i < c->count; i++)
        if (c->shards[i].interval > longest)
            longest = c->shards[i].interval;
    return longest ? longest : tracker->assumed;
}

bool
shard_tracker_count_is_in_use(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now)
{
    return c->count && c->last != NEVER_SCRAPED &&
           now - c->last <= (int64_t)MISSED_INTERVALS * shard_tracker_interval(tracker, c);
}

bool
shard_tracker_count_is_expected(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now)
{
    if (!c->count || shard_tracker_count_is_in_use(tracker, c, now))
        return c->count;
    if (!shard_tracker_is_in_force(tracker, c))
        return false;
    for (const struct tracked_count *other = tracker->counts; other < tracker->counts + TRACKED_COUNTS; other++)
        if (other != c && other->count &&
            (shard_tracker_count_is_in_use(tracker, other, now) || other->tried > c->tried))
            return false;
    return true;
}

enum shard_state
shard_tracker_state(const struct shard_tracker *tracker, const struct tracked_count *c, uint32_t shard,
                    uint32_t interval, int64_t now)
{
    const struct tracked_shard *s = &c->shards[shard];
    enum shard_state silent = shard_tracker_is_in_force(tracker, c) ? SHARD_MISSING : SHARD_UNKNOWN;
    if (!s->last)
        return now - c->first <= (int64_t)MISSED_INTERVALS * interval ? SHARD_UNKNOWN : silent;
    int64_t own = s->interval ? s->interval : tracker->assumed;
    return now - from_ticks(tracker, s->last) <= MISSED_INTERVALS * own ? SHARD_PRESENT : silent;
}

struct shard_state_counts
shard_tracker_count_states(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now)
{
    struct shard_state_counts states = {{0}};
    uint32_t interval = shard_tracker_interval(tracker, c);
    for (uint32_t i = 0; i < c->count; i++)
        states.n[shard_tracker_state(tracker, c, i, interval, now)]++;
    return states;
}

bool
shard_tracker_set_is_past(const struct shard_tracker *tracker, const struct tracked_count *c,
                          const struct tracked_set *set, int64_t now)
{
    if (set->last == NEVER_SCRAPED)
        return now - set->tried > IDLE_COUNT_MS;
    const struct tracked_shard *first = &c->shards[set->first];
    int64_t interval = first->interval ? first->interval : tracker->assumed;
    return first->last > ticks(tracker, set->last) && now - set->last > MISSED_INTERVALS * interval;
}
