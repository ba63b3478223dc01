/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry.h"

#include "telemetry_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    /* Removed endpoints whose numbers are kept. */
    REMOVED_MAX = 64,
    /* A larger difference between two clocks, in milliseconds, means that one was set. */
    CLOCK_WAS_SET = 100,
};

static const struct histogram_bound telemetry_seconds[HISTOGRAM_BOUNDS + 1] = {
    {0.001, "0.001"}, {0.0025, "0.0025"}, {0.005, "0.005"}, {0.01, "0.01"}, {0.025, "0.025"}, {0.05, "0.05"},
    {0.1, "0.1"},     {0.25, "0.25"},     {0.5, "0.5"},     {1, "1.0"},     {2.5, "2.5"},     {5, "5.0"},
    {10, "10.0"},     {30, "30.0"},       {60, "60.0"},     {0, NULL}};

static const struct histogram_bound telemetry_bytes[] = {
    {1 << 10, "1024.0"},        {1 << 12, "4096.0"},         {1 << 14, "16384.0"},         {1 << 16, "65536.0"},
    {1 << 18, "262144.0"},      {1 << 20, "1.048576e+06"},   {1 << 22, "4.194304e+06"},    {1 << 24, "1.6777216e+07"},
    {1 << 26, "6.7108864e+07"}, {1 << 28, "2.68435456e+08"}, {1 << 30, "1.073741824e+09"}, {0, NULL}};

static const struct {
    const char *label;
    size_t n;
} sets[] = {
    {NULL, 0},
#define LABELS(set, label) {label, LABELS_##set##_MAX},
#include "telemetry.def"
};

static const char *const errors[] = {
    NULL,
#define UPSTREAM_ERROR(name, label) label,
#include "telemetry.def"
};

static const char *const limits[] = {
    NULL,
#define LIMIT(name, label, message) label,
#include "telemetry.def"
};

static const char *const listeners[] = {[LISTENER_WEB] = "web", [LISTENER_ADMIN] = "admin"};

static const char *const reloads[] = {"success", "failure"};

static const char *const reused_or_not[] = {"false", "true"};

static const char *const shared_ends[SHARED_ENDS] = {
    [SHARED_KEPT] = "kept",           [SHARED_PASSED_ON] = "passed_on",
    [SHARED_FAILED] = "failed",       [SHARED_OVER_BUDGET] = "over_budget",
    [SHARED_CANCELLED] = "cancelled",
};

static const struct telemetry_row rows[] = {
#define PROGRAM(field) .offset = offsetof(struct telemetry, field)
#define ENDPOINT(field) .of_endpoint = true, .offset = offsetof(struct telemetry_endpoint, field)
#define COUNTER(field, name, help) {name, METRIC_COUNTER, help, PROGRAM(field)},
#define COUNTER_BY(field, name, set, help) {name, METRIC_COUNTER, help, PROGRAM(field[0]), .labels = LABELS_##set},
#define GAUGE(field, name, help) {name, METRIC_GAUGE, help, PROGRAM(field)},
#define GAUGE_BY(field, name, set, help) {name, METRIC_GAUGE, help, PROGRAM(field[0]), .labels = LABELS_##set},
#define ENDPOINT_COUNTER(field, name, help) {name, METRIC_COUNTER, help, ENDPOINT(field)},
#define ENDPOINT_COUNTER_BY(field, name, set, help)                                                                    \
    {name, METRIC_COUNTER, help, ENDPOINT(field[0]), .labels = LABELS_##set},
#define ENDPOINT_HISTOGRAM(field, name, of, help) {name, METRIC_HISTOGRAM, help, ENDPOINT(field), .bounds = of},
#define COMPUTED(type, name, function, help) {name, METRIC_##type, help, .compute = function},
#include "telemetry.def"
};

/* Time. */

static int64_t
milliseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
telemetry_now(void)
{
    return milliseconds(CLOCK_MONOTONIC);
}

int64_t
telemetry_wall(const struct telemetry *t, int64_t time)
{
    int64_t then = t->wall - t->began, now = milliseconds(CLOCK_REALTIME) - telemetry_now();
    /* Unless the clock was set, a time always converts to the same millisecond. */
    return time + (llabs(now - then) < CLOCK_WAS_SET ? then : now);
}

/* Endpoints. */

void
telemetry_init(struct telemetry *t, const char *(*outcome_label)(size_t outcome))
{
    *t = (struct telemetry){.outcome_label = outcome_label, .reload_successful = 1};
    t->began = telemetry_now();
    t->wall = milliseconds(CLOCK_REALTIME);
    t->reload_time = (double)(t->wall / 1000);
}

static void
endpoint_deinit(struct telemetry_endpoint *e)
{
    shard_tracker_deinit(&e->tracker);
    distribution_deinit(&e->distribution);
    free(e->name);
}

void
telemetry_deinit(struct telemetry *t)
{
    for (size_t i = 0; i < t->n_endpoints; i++)
        endpoint_deinit(&t->endpoints[i]);
    free(t->endpoints);
    free(t->certificates);
    *t = (struct telemetry){.outcome_label = NULL};
}

static struct telemetry_endpoint *
find_endpoint(const struct telemetry *t, const char *name)
{
    for (size_t i = 0; i < t->n_endpoints; i++)
        if (!strcmp(t->endpoints[i].name, name))
            return &t->endpoints[i];
    return NULL;
}

static int
add_endpoint(struct telemetry *t, const char *name)
{
    struct telemetry_endpoint *endpoints = realloc(t->endpoints, (t->n_endpoints + 1) * sizeof(*endpoints));
    if (endpoints)
        t->endpoints = endpoints;
    char *own = strdup(name);
    if (!endpoints || !own) {
        free(own);
        return -ENOMEM;
    }
    endpoints[t->n_endpoints++] = (struct telemetry_endpoint){.name = own, .removed = 1};
    return 0;
}

/* Forgets the endpoint that was removed first, if there are too many. */
static void
forget_removed(struct telemetry *t)
{
    size_t n = 0, first = 0;
    for (size_t i = 0; i < t->n_endpoints; i++) {
        n += t->endpoints[i].removed > 0;
        if (t->endpoints[i].removed > t->endpoints[first].removed)
            first = i;
    }
    if (n <= REMOVED_MAX)
        return;
    endpoint_deinit(&t->endpoints[first]);
    memmove(&t->endpoints[first], &t->endpoints[first + 1], (--t->n_endpoints - first) * sizeof(*t->endpoints));
}

static const struct telemetry_target *
find_target(const struct telemetry_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_endpoints; i++)
        if (!strcmp(config->endpoints[i].name, name))
            return &config->endpoints[i];
    return NULL;
}

/* Copies certificates and their texts into one allocation; NULL: out of memory. */
static struct telemetry_certificate *
copy_certificates(const struct telemetry_certificate *from, size_t n)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++)
        size += sizeof(*from) + strlen(from[i].label) + strlen(from[i].name) + strlen(from[i].file) + 3;
    struct telemetry_certificate *copy = malloc(size + 1);
    if (!copy)
        return NULL;
    char *text = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        const char **const texts[] = {&copy[i].label, &copy[i].name, &copy[i].file};
        copy[i] = from[i];
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
            char *end = stpcpy(text, *texts[j]);
            *texts[j] = text;
            text = end + 1;
        }
    }
    return copy;
}

/* Adds all endpoints that are not known yet, or none. */
static int
add_endpoints(struct telemetry *t, const struct telemetry_config *config)
{
    size_t n_before = t->n_endpoints;
    int r = 0;
    for (size_t i = 0; i < config->n_endpoints && !r; i++)
        if (!find_endpoint(t, config->endpoints[i].name))
            r = add_endpoint(t, config->endpoints[i].name);
    while (r && t->n_endpoints > n_before)
        endpoint_deinit(&t->endpoints[--t->n_endpoints]);
    return r;
}

int
telemetry_set_config(struct telemetry *t, const struct telemetry_config *config)
{
    struct telemetry_certificate *certificates = copy_certificates(config->certificates, config->n_certificates);
    int r = certificates ? add_endpoints(t, config) : -ENOMEM;
    if (r) {
        free(certificates);
        return r;
    }
    for (struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++) {
        const struct telemetry_target *target = find_target(config, e->name);
        /* Scrapers of an endpoint that was removed are not expected when it comes back. */
        if (!target || e->removed) {
            shard_tracker_deinit(&e->tracker);
            shard_tracker_init(&e->tracker, telemetry_now(), config->scrape_interval);
        }
        shard_tracker_assume(&e->tracker, config->scrape_interval);
        e->count_left = shard_tracker_announce(&e->tracker, config->reshard_from, config->reshard_to);
        if (!target || target->changed) {
            e->distribution.when = 0;
            e->has_snapshot = false;
        }
        e->removed = target ? 0 : e->removed + 1;
    }
    for (size_t n = t->n_endpoints; n > config->n_endpoints + REMOVED_MAX; n--)
        forget_removed(t);
    free(t->certificates);
    t->certificates = certificates;
    t->n_certificates = config->n_certificates;
    return 0;
}

/* Counting. */

static bool
record_in_tracker(const struct telemetry *t, struct telemetry_endpoint *e, const struct telemetry_scrape *s)
{
    struct tracked_scrape scrape = {
        .shard = s->shard,
        .count = s->shard_count,
        .in_force = s->in_force,
        .peer = s->peer,
        .ok = s->ok,
        .by_upstream = s->error != UPSTREAM_ERROR_NONE,
        .outcome = t->outcome_label(s->outcome),
        .reason = s->reason,
        .series = s->counts.series_kept,
        .bytes = s->counts.bytes_kept,
    };
    return shard_tracker_record_scrape(&e->tracker, &scrape, telemetry_now());
}

const struct reshard *
telemetry_reshard(const struct telemetry *t, const char *endpoint)
{
    const struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    return e && e->tracker.reshard.to ? &e->tracker.reshard : NULL;
}

uint32_t
telemetry_count_in_force(const struct telemetry *t, const char *endpoint, uint32_t count)
{
    const struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    return e ? shard_tracker_count_in_force(&e->tracker, count) : count;
}

bool
telemetry_scrape(struct telemetry *t, const struct telemetry_scrape *s)
{
    struct telemetry_endpoint *e = find_endpoint(t, s->endpoint);
    if (!e)
        return false;
    if (s->outcome < LABELS_OUTCOME_MAX)
        e->scrapes[s->outcome]++;
    if (s->error)
        e->errors[s->error]++;
    histogram_observe(&e->duration, telemetry_seconds, s->seconds);
    if (s->ok && !s->shared)
        histogram_observe(&e->upstream_body, telemetry_bytes, (double)s->bytes_in);
    if (s->ok)
        histogram_observe(&e->response_body, telemetry_bytes, (double)s->bytes_out);
    e->bytes_in += s->bytes_in;
    e->bytes_out += s->bytes_out;
    e->series_seen += s->shared ? 0 : s->counts.series_seen;
    e->series_kept += s->counts.series_kept;
    e->families_seen += s->shared ? 0 : s->counts.families_seen;
    e->families_kept += s->counts.families_kept;
    summary_scrape(&e->summary, s->ok, s->seconds, s->bytes_in, s->bytes_out);
    return !s->untracked && record_in_tracker(t, e, s);
}

struct summary *
telemetry_summary(struct telemetry *t, const char *endpoint)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    return e ? &e->summary : NULL;
}

void
telemetry_families(struct telemetry *t, const char *endpoint, const struct ss_family_count *families, size_t n)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    if (e)
        shard_tracker_record_families(&e->tracker, families, n);
}

struct distribution *
telemetry_distribution(struct telemetry *t, const char *endpoint)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    return e ? &e->distribution : NULL;
}

void
telemetry_limit_hit(struct telemetry *t, enum limit limit)
{
    t->limit_hits[limit]++;
}

void
telemetry_upstream_connected(struct telemetry *t, const char *endpoint, bool reused)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    if (e)
        e->upstream_requests[reused]++;
}

void
telemetry_reloaded(struct telemetry *t, bool successful)
{
    t->reloads[successful ? 0 : 1]++;
    t->reload_successful = successful;
    if (successful)
        t->reload_time = (double)(milliseconds(CLOCK_REALTIME) / 1000);
}

void
telemetry_snapshot_hit(struct telemetry *t, const char *endpoint, bool waits)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    if (!e)
        return;
    e->snapshot_hits++;
    e->snapshot_waits += waits;
}

void
telemetry_snapshot_miss(struct telemetry *t, const char *endpoint)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    if (e)
        e->snapshot_misses++;
}

void
telemetry_snapshot_bypassed(struct telemetry *t, const char *endpoint)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    if (e)
        e->snapshot_bypassed++;
}

void
telemetry_snapshot_ended(struct telemetry *t, const char *endpoint, enum shared_end how)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    if (e)
        e->snapshot_fetches[how]++;
}

void
telemetry_snapshot_used(struct telemetry *t, const char *endpoint, double age)
{
    struct telemetry_endpoint *e = find_endpoint(t, endpoint);
    int64_t time = telemetry_now() - (int64_t)(age * 1000);
    if (!e || (e->has_snapshot && e->snapshot_time > time))
        return;
    e->has_snapshot = true;
    e->snapshot_time = time;
}

void
telemetry_set_snapshots(struct telemetry *t, size_t n, uint64_t bytes)
{
    t->snapshots = (double)n;
    t->snapshot_bytes = (double)bytes;
}

/* Writing. */

void
telemetry_write_number(struct exposition *e, const struct telemetry_row *row, double value)
{
    exposition_family(e, row->name, row->type, row->help);
    exposition_sample(e, row->name, NULL, 0, value);
}

/* The i-th label of a set; NULL: unused. */
static const char *
label_of(const struct telemetry *t, enum label_set labels, size_t i)
{
    switch (labels) {
    case LABELS_OUTCOME:
        return t->outcome_label(i);
    case LABELS_ERROR:
        return errors[i];
    case LABELS_LIMIT:
        return limits[i];
    case LABELS_RELOAD:
        return reloads[i];
    case LABELS_LISTENER:
        return listeners[i];
    case LABELS_SHARED:
        return shared_ends[i];
    case LABELS_REUSED:
        return reused_or_not[i];
    default:
        return NULL;
    }
}

/* The i-th number of a row. */
static double
number(const struct telemetry_row *row, const void *field, size_t i)
{
    return row->type == METRIC_GAUGE ? ((const double *)field)[i] : (double)((const uint64_t *)field)[i];
}

/* Writes a stored row of an object, with the object's label, if any: one number, or one per label of the row's set. */
static void
write_stored(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t, const void *object,
             const struct metric_label *label)
{
    const void *field = (const char *)object + row->offset;
    struct metric_label both[3];
    size_t n = 0;
    if (label)
        both[n++] = *label;

    if (row->type == METRIC_HISTOGRAM) {
        exposition_histogram(e, row->name, both, n, field, row->bounds);
    } else if (row->labels) {
        for (size_t i = 0; i < sets[row->labels].n; i++) {
            const char *value = label_of(t, row->labels, i);
            if (!value)
                continue;
            both[n] = (struct metric_label){sets[row->labels].label, value};
            exposition_sample(e, row->name, both, n + 1, number(row, field, i));
        }
    } else {
        exposition_sample(e, row->name, both, n, number(row, field, 0));
    }
}

static void
write_row(struct exposition *e, const struct telemetry_row *row, const struct telemetry *t)
{
    if (row->compute) {
        row->compute(e, row, t);
        return;
    }
    exposition_family(e, row->name, row->type, row->help);
    if (!row->of_endpoint)
        write_stored(e, row, t, t, NULL);
    for (size_t i = 0; i < t->n_endpoints && row->of_endpoint; i++)
        write_stored(e, row, t, &t->endpoints[i], &(struct metric_label){"endpoint", t->endpoints[i].name});
}

int
telemetry_write(const struct telemetry *t, bool openmetrics, char **textp, size_t *lenp)
{
    struct exposition e = {open_memstream(textp, lenp), openmetrics};
    if (!e.out)
        return -ENOMEM;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        write_row(&e, &rows[i], t);
    exposition_end(&e);
    if (ferror(e.out) | fclose(e.out) || !*textp) {
        free(*textp);
        return -ENOMEM;
    }
    return 0;
}
