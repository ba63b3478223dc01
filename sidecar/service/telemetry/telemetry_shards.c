/* SPDX-License-Identifier: Apache-2.0 */
/* What the watches of the endpoints know, as metrics: of every count that should be there, at most TRACKED_SETS sets.
 */
#include "telemetry_rows.h"

/* The watches are looked at from here. */
struct look {
    struct exposition *e;
    const struct telemetry_row *row;
    const struct telemetry *telemetry;
    int64_t now;
};

static struct look
begin(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    exposition_family(e, row->name, row->type, row->help);
    return (struct look){e, row, t, telemetry_now()};
}

static const struct telemetry_endpoint *
next_endpoint(const struct telemetry *t, const struct telemetry_endpoint *e)
{
    for (e = e ? e + 1 : t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        if (!e->left)
            return e;
    return NULL;
}

/* Writes a sample for each count of each endpoint that should be there. */
static void
each_count(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t,
           double (*value)(const struct shard_tracker *w, const struct tracked_count *c, int64_t now))
{
    struct look look = begin(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        for (const struct tracked_count *c = of->tracker.counts; c < of->tracker.counts + TRACKED_COUNTS; c++) {
            char count[16];
            snprintf(count, sizeof(count), "%u", c->count);
            const struct metric_label labels[] = {{"endpoint", of->name}, {"shard_count", count}};
            if (shard_tracker_count_is_expected(&of->tracker, c, look.now))
                exposition_sample(e, row->name, labels, 2, value(&of->tracker, c, look.now));
        }
    }
}

static double
interval(const struct shard_tracker *w, const struct tracked_count *c, int64_t now)
{
    (void)now;
    return shard_tracker_interval(w, c) / 1e3;
}

static double
missing(const struct shard_tracker *w, const struct tracked_count *c, int64_t now)
{
    return shard_tracker_count_states(w, c, now).n[SHARD_MISSING];
}

static double
unknown(const struct shard_tracker *w, const struct tracked_count *c, int64_t now)
{
    return shard_tracker_count_states(w, c, now).n[SHARD_UNKNOWN];
}

void
telemetry_shard_interval(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    each_count(e, row, t, interval);
}

void
telemetry_shards_missing(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    each_count(e, row, t, missing);
}

void
telemetry_shards_unknown(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    each_count(e, row, t, unknown);
}

/* Writes a sample for each set of such a count that was scraped well. */
static void
sets_of_count(const struct look *look, const struct telemetry_endpoint *of, const struct tracked_count *c,
              double (*value)(const struct look *look, const struct tracked_set *set))
{
    char count[16];
    snprintf(count, sizeof(count), "%u", c->count);
    for (const struct tracked_set *set = c->sets; set < c->sets + c->n_sets; set++) {
        const struct metric_label labels[] = {{"endpoint", of->name}, {"shard", set->name}, {"shard_count", count}};
        if (set->last != NEVER_SCRAPED && !shard_tracker_set_is_past(&of->tracker, c, set, look->now))
            exposition_sample(look->e, look->row->name, labels, 3, value(look, set));
    }
}

static void
each_set(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t,
         double (*value)(const struct look *look, const struct tracked_set *set))
{
    struct look look = begin(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));)
        for (const struct tracked_count *c = of->tracker.counts; c < of->tracker.counts + TRACKED_COUNTS; c++)
            if (shard_tracker_count_is_expected(&of->tracker, c, look.now))
                sets_of_count(&look, of, c, value);
}

static double
last(const struct look *look, const struct tracked_set *set)
{
    return (double)telemetry_wall(look->telemetry, set->last) / 1e3;
}

static double
series(const struct look *look, const struct tracked_set *set)
{
    (void)look;
    return (double)set->series;
}

static double
bytes(const struct look *look, const struct tracked_set *set)
{
    (void)look;
    return (double)set->bytes;
}

void
telemetry_shard_last(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    each_set(e, row, t, last);
}

void
telemetry_shard_series(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    each_set(e, row, t, series);
}

void
telemetry_shard_bytes(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    each_set(e, row, t, bytes);
}

void
telemetry_counts_in_use(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    struct look look = begin(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        int n = 0;
        for (const struct tracked_count *c = of->tracker.counts; c < of->tracker.counts + TRACKED_COUNTS; c++)
            n += shard_tracker_count_is_in_use(&of->tracker, c, look.now);
        exposition_sample(e, row->name, &(struct metric_label){"endpoint", of->name}, 1, n);
    }
}

void
telemetry_shard_tracking_overflow(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    begin(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        const struct metric_label counts[] = {{"endpoint", of->name}, {"what", "shard_count"}};
        const struct metric_label sets[] = {{"endpoint", of->name}, {"what", "shards"}};
        exposition_sample(e, row->name, counts, 2, (double)of->tracker.counts_left_out);
        exposition_sample(e, row->name, sets, 2, (double)of->tracker.sets_left_out);
    }
}

void
telemetry_snapshot_age(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    begin(e, row, t);
    for (const struct telemetry_endpoint *of = NULL; (of = next_endpoint(t, of));) {
        const struct metric_label label = {"endpoint", of->name};
        if (of->has_snapshot)
            exposition_sample(e, row->name, &label, 1, (double)(telemetry_now() - of->snapshot_time) / 1000);
    }
}
