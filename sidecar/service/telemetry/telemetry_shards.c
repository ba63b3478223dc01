/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints' shard trackers as metrics: of every expected count, at most TRACKED_SETS sets. */
#include "telemetry_rows.h"

struct writer {
    struct exposition *e;
    const struct telemetry_row *row;
    const struct telemetry *telemetry;
    int64_t now;
};

static struct writer
start_family(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    exposition_family(e, row->name, row->type, row->help);
    return (struct writer){e, row, t, telemetry_now()};
}

static const struct telemetry_endpoint *
next_endpoint(const struct telemetry *t, const struct telemetry_endpoint *e)
{
    for (e = e ? e + 1 : t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        if (!e->removed)
            return e;
    return NULL;
}

/* Writes a sample for each expected count of each endpoint. */
static void
write_counts(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t,
             double (*value)(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now))
{
    struct writer w = start_family(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        for (const struct tracked_count *c = of->tracker.counts; c < of->tracker.counts + TRACKED_COUNTS; c++) {
            char count[16];
            snprintf(count, sizeof(count), "%u", c->count);
            const struct metric_label labels[] = {{"endpoint", of->name}, {"shard_count", count}};
            if (shard_tracker_count_is_expected(&of->tracker, c, w.now))
                exposition_sample(e, row->name, labels, 2, value(&of->tracker, c, w.now));
        }
    }
}

static double
interval(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now)
{
    (void)now;
    return shard_tracker_interval(tracker, c) / 1e3;
}

static double
missing(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now)
{
    return shard_tracker_count_states(tracker, c, now).n[SHARD_MISSING];
}

static double
unknown(const struct shard_tracker *tracker, const struct tracked_count *c, int64_t now)
{
    return shard_tracker_count_states(tracker, c, now).n[SHARD_UNKNOWN];
}

void
telemetry_shard_interval(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    write_counts(e, row, t, interval);
}

void
telemetry_shards_missing(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    write_counts(e, row, t, missing);
}

void
telemetry_shards_unknown(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    write_counts(e, row, t, unknown);
}

/* Writes a sample for each set of a count that was scraped successfully. */
static void
write_sets_of(const struct writer *w, const struct telemetry_endpoint *of, const struct tracked_count *c,
              double (*value)(const struct writer *w, const struct tracked_set *set))
{
    char count[16];
    snprintf(count, sizeof(count), "%u", c->count);
    for (const struct tracked_set *set = c->sets; set < c->sets + c->n_sets; set++) {
        const struct metric_label labels[] = {{"endpoint", of->name}, {"shard", set->name}, {"shard_count", count}};
        if (set->last != NEVER_SCRAPED && !shard_tracker_set_is_past(&of->tracker, c, set, w->now))
            exposition_sample(w->e, w->row->name, labels, 3, value(w, set));
    }
}

static void
write_sets(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t,
           double (*value)(const struct writer *w, const struct tracked_set *set))
{
    struct writer w = start_family(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));)
        for (const struct tracked_count *c = of->tracker.counts; c < of->tracker.counts + TRACKED_COUNTS; c++)
            if (shard_tracker_count_is_expected(&of->tracker, c, w.now))
                write_sets_of(&w, of, c, value);
}

static double
last(const struct writer *w, const struct tracked_set *set)
{
    return (double)telemetry_wall(w->telemetry, set->last) / 1e3;
}

static double
series(const struct writer *w, const struct tracked_set *set)
{
    (void)w;
    return (double)set->series;
}

static double
bytes(const struct writer *w, const struct tracked_set *set)
{
    (void)w;
    return (double)set->bytes;
}

void
telemetry_shard_last(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    write_sets(e, row, t, last);
}

void
telemetry_shard_series(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    write_sets(e, row, t, series);
}

void
telemetry_shard_bytes(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    write_sets(e, row, t, bytes);
}

void
telemetry_counts_in_use(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    struct writer w = start_family(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        int n = 0;
        for (const struct tracked_count *c = of->tracker.counts; c < of->tracker.counts + TRACKED_COUNTS; c++)
            n += shard_tracker_count_is_in_use(&of->tracker, c, w.now);
        exposition_sample(e, row->name, &(struct metric_label){"endpoint", of->name}, 1, n);
    }
}

/* Whether a scrape has named shards. */
static bool
is_sharded(const struct shard_tracker *tracker)
{
    for (const struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++)
        if (c->count)
            return true;
    return false;
}

/* An endpoint that is not scraped, or only as a whole, has nothing to switch. */
void
telemetry_reshard_switched(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    start_family(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        const struct reshard *r = &of->tracker.reshard;
        char from[16], to[16];
        snprintf(from, sizeof(from), "%u", r->from);
        snprintf(to, sizeof(to), "%u", r->to);
        const struct metric_label labels[] = {{"endpoint", of->name}, {"from", from}, {"to", to}};
        if (r->to && is_sharded(&of->tracker))
            exposition_sample(e, row->name, labels, 3, r->switched);
    }
}

void
telemetry_shard_tracking_overflow(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    start_family(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        const struct metric_label counts[] = {{"endpoint", of->name}, {"what", "shard_count"}};
        const struct metric_label sets[] = {{"endpoint", of->name}, {"what", "shards"}};
        exposition_sample(e, row->name, counts, 2, (double)of->tracker.counts_dropped);
        exposition_sample(e, row->name, sets, 2, (double)of->tracker.sets_dropped);
    }
}

void
telemetry_snapshot_age(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    start_family(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        const struct metric_label label = {"endpoint", of->name};
        if (of->has_snapshot)
            exposition_sample(e, row->name, &label, 1, (double)(telemetry_now() - of->snapshot_time) / 1000);
    }
}
