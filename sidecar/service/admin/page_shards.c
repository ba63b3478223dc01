/* SPDX-License-Identifier: Apache-2.0 */
/* The shards of an endpoint: their sizes, who scrapes them, and which are missing. */
#include "page_parts.h"

#include <stdlib.h>

enum {
    RANGES_MAX = 20, /* of missing shards that are listed */
    CHART_MIN = 8,   /* sets that are worth a chart */
};

/* Sums over the sets of a count. */
struct sums {
    uint32_t interval; /* shard_tracker_interval(), which iterates over every shard */
    size_t n;          /* sets that were scraped and are not past */
    uint64_t series, bytes, most;
    const struct tracked_set *largest;
};

static bool
is_shown(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
         const struct tracked_set *set)
{
    return !shard_tracker_set_is_past(tracker, c, set, v->now);
}

static struct sums
sum(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c)
{
    struct sums s = {.interval = shard_tracker_interval(tracker, c)};
    for (const struct tracked_set *set = c->sets; set < c->sets + c->n_sets; set++) {
        if (set->last == NEVER_SCRAPED || !is_shown(v, tracker, c, set))
            continue;
        s.n++;
        s.series += set->series;
        s.bytes += set->bytes;
        if (!s.largest || set->series > s.most) {
            s.most = set->series;
            s.largest = set;
        }
    }
    return s;
}

/* Lists the shards in a state: "3, 17-20". */
static void
write_shards_in(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
                enum shard_state state)
{
    uint32_t interval = shard_tracker_interval(tracker, c), ranges = 0;
    for (uint32_t i = 0, end; i < c->count; i = end) {
        enum shard_state s = shard_tracker_state(tracker, c, i, interval, v->now);
        for (end = i + 1; end < c->count && shard_tracker_state(tracker, c, end, interval, v->now) == s; end++)
            ;
        if (s != state || ++ranges > RANGES_MAX)
            continue;
        fprintf(v->out, end - i > 1 ? "%s%u-%u" : "%s%u", ranges > 1 ? ", " : "", i, end - 1);
    }
    if (ranges > RANGES_MAX)
        fprintf(v->out, " and more");
}

static void
write_tile(const struct page_view *v, const char *name, const char *value, const char *kind)
{
    HTML(v->out, "<div><dt>{}</dt><dd class=\"{}\">{}</dd></div>\n", name, kind, value);
}

static void
write_tiles(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
            const struct sums *s)
{
    struct shard_state_counts states = shard_tracker_count_states(tracker, c, v->now);
    fputs("<dl class=\"tiles\">\n", v->out);
    write_tile(v, "Scraped", html_count(states.n[SHARD_PRESENT]).text, "");
    write_tile(v, "Missing", html_count(states.n[SHARD_MISSING]).text, states.n[SHARD_MISSING] ? "bad" : "");
    if (states.n[SHARD_UNKNOWN])
        write_tile(v, "Not seen yet", html_count(states.n[SHARD_UNKNOWN]).text, "");
    write_tile(v, "Scrape interval", html_duration(s->interval).text, "");
    if (s->n) {
        double skew = s->series ? (double)s->most * (double)s->n / (double)s->series : 1;
        write_tile(v, "Total series", html_count(s->series).text, "");
        write_tile(v, "Total size", html_bytes(s->bytes).text, "");
        write_tile(v, "Skew (largest/mean)", html_ratio(skew).text, skew > 2 ? "warn" : "");
    }
    fputs("</dl>\n", v->out);
    if (states.n[SHARD_MISSING]) {
        fputs("<p class=\"alarm\">Missing: ", v->out);
        write_shards_in(v, tracker, c, SHARD_MISSING);
        fputs(". They have had no successful scrape for three intervals.</p>\n", v->out);
    }
    if (states.n[SHARD_UNKNOWN] && shard_tracker_is_in_force(tracker, c)) {
        fputs("<p class=\"soft\">Not seen yet: ", v->out);
        write_shards_in(v, tracker, c, SHARD_UNKNOWN);
        fputs(". They count as missing three intervals after the first scrape with this shard count.</p>\n", v->out);
    }
}

/* Whether a set's first shard is missing. */
static bool
is_missing(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
           const struct sums *s, const struct tracked_set *set)
{
    return shard_tracker_state(tracker, c, set->first, s->interval, v->now) == SHARD_MISSING;
}

/* All sets side by side, with their mean, to show skew at a glance. */
static void
write_chart(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
            const struct sums *s)
{
    size_t at = 0;
    if (s->n < CHART_MIN || !s->most)
        return;
    HTML(
        v->out,
        "<svg class=\"chart\" role=\"img\" viewBox=\"0 0 {} 100\" preserveAspectRatio=\"none\" aria-label=\"Series per "
        "shard as requested: at most {}, in {}; mean {}\">\n",
        html_ratio((double)s->n * 10).text, html_count(s->most).text, s->largest->name,
        html_count(s->series / s->n).text);
    for (const struct tracked_set *set = c->sets; set < c->sets + c->n_sets; set++) {
        if (set->last == NEVER_SCRAPED || !is_shown(v, tracker, c, set))
            continue;
        double height = 96 * (double)set->series / (double)s->most;
        HTML(v->out,
             "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"8\" height=\"{}\"><title>{}: {} series</title></rect>\n",
             is_missing(v, tracker, c, s, set) ? "missing" : "", html_ratio((double)at++ * 10 + 1).text,
             html_ratio(100 - height).text, html_ratio(height).text, set->name, html_count(set->series).text);
    }
    double mean = 100 - 96 * ((double)s->series / (double)s->n) / (double)s->most;
    HTML(v->out, "<line x1=\"0\" x2=\"{}\" y1=\"{}\" y2=\"{}\" vector-effect=\"non-scaling-stroke\"/>\n</svg>\n",
         html_ratio((double)s->n * 10).text, html_ratio(mean).text, html_ratio(mean).text);
}

static void
write_row(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
          const struct tracked_set *set, const struct sums *s, const char *anchor)
{
    bool missing = is_missing(v, tracker, c, s, set), scraped = set->last != NEVER_SCRAPED;
    HTML(v->out, "<tr id=\"{}-{}\"><th scope=\"row\">{}</th>", anchor, set->name, set->name);
    page_print_bar(v, (double)set->series, (double)s->most, missing ? "missing" : "");
    HTML(v->out, "<td>{}</td><td class=\"wide\">{}</td><td>", scraped ? html_count(set->series).text : "",
         scraped ? html_bytes(set->bytes).text : "");
    if (scraped)
        page_print_ago(v, set->last);
    else
        fputs("never", v->out);
    fputs("</td><td class=\"left\">", v->out);
    if (missing)
        page_print_state(v, "bad", "missing");
    else
        page_print_state(v, set->tried == set->last ? "good" : "bad", set->outcome);
    HTML(v->out, "</td><td class=\"left\">{}</td></tr>\n", set->peer);
}

static void
write_table(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c,
            const struct sums *s, const char *anchor)
{
    char count[16];
    snprintf(count, sizeof(count), "%u", c->count);
    HTML(
        v->out,
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{}-all\"><table><caption id=\"{}-all\">"
        "Shards of {}, as requested</caption>\n<thead><tr><th scope=\"col\">Shard</th><th scope=\"col\" "
        "class=\"wide\"><span class=\"hidden\">Bar</span></th><th scope=\"col\">Series</th><th scope=\"col\" "
        "class=\"wide\">Size</th>"
        "<th scope=\"col\">Last scrape</th><th scope=\"col\" class=\"left\">State</th><th scope=\"col\" "
        "class=\"left\">Scraper</th></tr></thead><tbody>\n",
        anchor, anchor, count);
    for (const struct tracked_set *set = c->sets; set < c->sets + c->n_sets; set++)
        if (is_shown(v, tracker, c, set))
            write_row(v, tracker, c, set, s, anchor);
    fputs("</tbody></table></div>\n", v->out);
}

static void
write_count(const struct page_view *v, const struct shard_tracker *tracker, const struct tracked_count *c, size_t id)
{
    struct sums s = sum(v, tracker, c);
    char anchor[48], count[16];
    uint32_t missing = shard_tracker_count_states(tracker, c, v->now).n[SHARD_MISSING];
    snprintf(anchor, sizeof(anchor), "e%zu-%u", id, c->count);
    snprintf(count, sizeof(count), "%u", c->count);

    HTML(v->out, "<h3 id=\"{}\">{} shard{} ", anchor, count, c->count == 1 ? "" : "s");
    if (!shard_tracker_is_in_force(tracker, c))
        page_print_state(v, "quiet", "not in force");
    else if (missing)
        page_print_state(v, "bad", "some missing");
    else if (shard_tracker_count_states(tracker, c, v->now).n[SHARD_UNKNOWN])
        page_print_state(v, "quiet", "some not seen yet");
    else
        page_print_state(v, "good", "all scraped");
    fputs("</h3>\n", v->out);
    write_tiles(v, tracker, c, &s);
    write_chart(v, tracker, c, &s);
    if (c->n_sets)
        write_table(v, tracker, c, &s, anchor);
}

/* An announced reshard: which count is in force, and what it waits for. */
static void
write_reshard(const struct page_view *v, const struct shard_tracker *tracker)
{
    const struct reshard *r = &tracker->reshard;
    const uint32_t other = r->switched ? r->from : r->to;
    const struct tracked_count *c = NULL;
    for (size_t i = 0; i < TRACKED_COUNTS; i++)
        if (tracker->counts[i].count == other && shard_tracker_count_is_in_use(tracker, &tracker->counts[i], v->now))
            c = &tracker->counts[i];

    HTML(v->out, "<p class=\"soft\">Resharding from {} to {} shards: {} is in force", html_count(r->from).text,
         html_count(r->to).text, html_count(r->switched ? r->to : r->from).text);
    if (r->switched) {
        HTML(v->out, ". To finish, set shard_count to {} and reshard_to to off.</p>\n", html_count(r->to).text);
    } else {
        HTML(v->out,
             " until each of the {} has been scraped twice, at least {} apart. Not seen yet: ", html_count(r->to).text,
             html_duration(shard_tracker_twice_after(tracker)).text);
        if (!c)
            fputs("all", v->out);
        else if (shard_tracker_count_states(tracker, c, v->now).n[SHARD_UNKNOWN])
            write_shards_in(v, tracker, c, SHARD_UNKNOWN);
        else
            fputs("none", v->out);
        fputs(".</p>\n", v->out);
    }
    if (r->switched && c) {
        HTML(v->out, "<p class=\"alarm\">Scrapers still name {} shards: ", html_count(r->from).text);
        write_shards_in(v, tracker, c, SHARD_PRESENT);
        fputs(".</p>\n", v->out);
    }
}

void
page_shards(const struct page_view *v, const struct telemetry_endpoint *e, size_t id)
{
    const struct shard_tracker *tracker = &e->tracker;
    int in_use = 0, live = 0;
    for (const struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++) {
        in_use += shard_tracker_count_is_in_use(tracker, c, v->now);
        live += shard_tracker_count_is_expected(tracker, c, v->now);
    }
    if (!live)
        fputs("<p class=\"soft\">No shard has been requested yet.</p>\n", v->out);
    if (tracker->reshard.to)
        write_reshard(v, tracker);
    else if (in_use > 1)
        fputs("<p class=\"alarm\">More than one shard count is in use. Until all scrapers use the same, some series "
              "are scraped twice and others not at all.</p>\n",
              v->out);
    for (const struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++)
        if (shard_tracker_count_is_expected(tracker, c, v->now))
            write_count(v, tracker, c, id);
}
