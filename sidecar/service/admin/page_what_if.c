/* SPDX-License-Identifier: Apache-2.0 */
/* The form that simulates another number of shards of an endpoint, and its result. */
#include "page_parts.h"
#include "service/config/config.h"

#include <stdlib.h>
#include <string.h>

enum {
    COUNT_MAX = 65536, /* as in ss_shard_count_parse() */
    ROWS_MAX = 128,    /* shards that are listed */
};

static const struct ss_sharding *
sharding_of(const struct view *v)
{
    return v->page->config->sharding;
}

/* The loads of count shards, the caller's to free; NULL: out of memory. */
static struct shard_load *
loads_of(const struct view *v, const struct distribution *d, uint32_t count)
{
    struct shard_load *loads = calloc(count, sizeof(*loads));
    if (loads)
        distribution_shard_loads(d, sharding_of(v), count, loads);
    return loads;
}

/* Nearby counts. */

static void
write_count(const struct view *v, const struct distribution *d, uint32_t count, uint32_t base, double skew)
{
    struct shard_load *loads = loads_of(v, d, count);
    if (!loads)
        return;
    struct shard_balance b = balance_of(loads, count);
    free(loads);
    HTML(v->out,
         "<tr aria-current=\"{}\"><th "
         "scope=\"row\">{}</th><td>{}</td><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
         count == base ? "true" : "false", html_count(count).text, html_ratio(b.by_series).text,
         b.by_series < skew ? "\u2212" : "+",
         html_ratio(b.by_series < skew ? skew - b.by_series : b.by_series - skew).text, html_count(b.most_series).text,
         html_count((uint64_t)(b.mean_series + .5)).text,
         html_count(distribution_moved_series(d, sharding_of(v), base, count)).text);
}

static void
write_counts(const struct view *v, const struct distribution *d, uint32_t base, double skew)
{
    const uint32_t counts[] = {base - 1, base, base + 1, base > 1 ? 2 * base : 0};
    HTML(v->out,
         "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"counts\"><table "
         "id=\"distribution-counts\"><caption id=\"counts\">{} shards, and nearby counts</caption>\n<thead><tr><th "
         "scope=\"col\">Shards</th>"
         "<th scope=\"col\">Skew</th><th scope=\"col\">Change</th><th scope=\"col\">Fullest shard</th><th "
         "scope=\"col\">Mean per shard</th><th scope=\"col\">Series moved</th></tr></thead><tbody>\n",
         html_count(base).text);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (counts[i] && counts[i] <= COUNT_MAX)
            write_count(v, d, counts[i], base, skew);
    fputs("</tbody></table></div>\n", v->out);
}

/* The shards. */

/* A shard and its series, for sorting. */
struct numbered_load {
    uint32_t shard;
    uint64_t series;
};

static int
compare_loads(const void *a, const void *b)
{
    const struct numbered_load *x = a, *y = b;
    return x->series != y->series ? (x->series < y->series ? 1 : -1) : x->shard < y->shard ? -1 : x->shard > y->shard;
}

static void
write_rows(const struct view *v, const struct shard_load *loads, const struct shard_balance *b)
{
    struct numbered_load *rows = calloc(b->count, sizeof(*rows));
    if (!rows)
        return;
    for (uint32_t i = 0; i < b->count; i++)
        rows[i] = (struct numbered_load){i, loads[i].series};
    if (b->count > ROWS_MAX)
        qsort(rows, b->count, sizeof(*rows), compare_loads);
    for (uint32_t i = 0; i < b->count && i < ROWS_MAX; i++) {
        char shard[16];
        snprintf(shard, sizeof(shard), "%u", rows[i].shard);
        HTML(v->out, "<tr><th scope=\"row\">{}</th>", shard);
        page_print_bar(v, (double)rows[i].series, (double)b->most_series, "");
        HTML(v->out, "<td>{}</td></tr>\n", html_count(rows[i].series).text);
    }
    free(rows);
}

static void
write_shards(const struct view *v, const struct shard_load *loads, const struct shard_balance *b)
{
    HTML(v->out,
         "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"distribution-all\"><table "
         "id=\"distribution-shards\"><caption id=\"distribution-all\">{}{} shards</caption>\n<thead><tr><th "
         "scope=\"col\">Shard</th><th "
         "scope=\"col\" "
         "class=\"wide\"><span class=\"hidden\">Bar</span></th><th scope=\"col\">Series</th></tr></thead><tbody>\n",
         b->count > ROWS_MAX ? "The fullest of " : "All ", html_count(b->count).text);
    write_rows(v, loads, b);
    fputs("</tbody></table></div>\n", v->out);
}

/* The result. */

/* What the numbers do not include. */
static void
write_gaps(const struct view *v, const struct distribution *d)
{
    if (d->split)
        HTML(v->out,
             "<p class=\"soft\">Not included: {} series of {} families that are split series by series, or whose "
             "samples have their own rules. <code>scrapeshard plan</code> computes their shards from a body.</p>\n",
             html_count(d->split).text, html_count(d->split_families).text);
    if (d->uncounted)
        HTML(v->out,
             "<p class=\"soft\">Not included: {} series without a family or beyond the {} families that are "
             "remembered.</p>\n",
             html_count(d->uncounted).text, html_count(DISTRIBUTION_FAMILIES_MAX).text);
}

static void
write_distribution(const struct view *v, const struct telemetry_endpoint *e, uint32_t count)
{
    const struct distribution *d = &e->distribution;
    HTML(v->out, "<div id=\"distribution\">\n<p>Endpoint {}, from its response ", e->name);
    page_print_ago(v, d->when);
    fputs(":</p>\n", v->out);
    write_gaps(v, d);
    struct shard_load *loads = d->n || d->in_all ? loads_of(v, d, count) : NULL;
    if (loads) {
        struct shard_balance b = balance_of(loads, count);
        HTML(
            v->out,
            "<dl class=\"tiles\"><div><dt>Skew (largest/mean)</dt><dd class=\"{}\">{}</dd></div><div><dt>Series in the "
            "fullest shard</dt><dd>{}</dd></div><div><dt>Mean series per shard</dt><dd>{}</dd></div></dl>\n",
            b.by_series > 2 ? "warn" : "", html_ratio(b.by_series).text, html_count(b.most_series).text,
            html_count((uint64_t)(b.mean_series + .5)).text);
        write_counts(v, d, count, b.by_series);
        write_shards(v, loads, &b);
    }
    free(loads);
    fputs("</div>\n", v->out);
}

/* The requested endpoint, or the first; NULL: there is none of that name. */
static const struct telemetry_endpoint *
find_endpoint(const struct view *v)
{
    const struct telemetry *t = v->page->telemetry;
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        if (!e->removed && (!v->page->endpoint || !strcmp(e->name, v->page->endpoint)))
            return e;
    return NULL;
}

static void
write_result(const struct view *v, uint32_t count, const struct ss_shards_error *error)
{
    const struct telemetry_endpoint *e = find_endpoint(v);
    if (!count)
        HTML(v->out, "<p class=\"alarm\" id=\"distribution\">Number of shards: {}</p>\n", error->reason);
    else if (!e)
        HTML(v->out, "<p class=\"alarm\" id=\"distribution\">Unknown endpoint {}</p>\n", v->page->endpoint);
    else if (!e->distribution.when)
        HTML(v->out,
             "<p class=\"soft\" id=\"distribution\">Endpoint {} has had no successful scrape under this configuration, "
             "so its families are unknown.</p>\n",
             e->name);
    else
        write_distribution(v, e, count);
}

/* The endpoint to choose, if there are several. */
static void
write_choice(const struct view *v)
{
    const struct telemetry *t = v->page->telemetry;
    if (v->page->config->n_endpoints < 2)
        return;
    fputs("<div><label for=\"endpoint\">Endpoint</label><select id=\"endpoint\" name=\"endpoint\">", v->out);
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        if (!e->removed)
            HTML(v->out, "<option{}>{}</option>", e == find_endpoint(v) ? " selected" : "", e->name);
    fputs("</select></div>\n", v->out);
}

void
page_what_if(const struct view *v)
{
    struct ss_shards_error error;
    struct html_number filled;
    uint32_t count = page_parse_count(v, v->page->what_if, &error, &filled);
    fputs("<section aria-labelledby=\"what-if\">\n<h2 id=\"what-if\">What if the number of shards changed?</h2>\n"
          "<form action=\"/#what-if\" method=\"get\">\n",
          v->out);
    write_choice(v);
    HTML(v->out,
         "<div><label for=\"n\">New number of shards</label><input id=\"n\" name=\"n\" type=\"number\" min=\"1\" "
         "max=\"65536\" required value=\"{}\"></div>\n<button>Show</button>\n</form>\n",
         filled.text);
    if (v->page->what_if)
        write_result(v, count, &error);
    fputs("</section>\n", v->out);
}
