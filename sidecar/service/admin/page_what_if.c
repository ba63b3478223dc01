/* SPDX-License-Identifier: Apache-2.0 */
/* The form that asks how an endpoint would fall among another number of shards, and its answer. */
#include "page_parts.h"
#include "service/config/config.h"

#include <stdlib.h>
#include <string.h>

enum {
    COUNT_MAX = 65536, /* as ss_shard_count_parse() has it */
    ROWS_MAX = 128,    /* shards that are shown one by one */
};

/* A shard and what it would have. */
struct simulated_load {
    uint32_t shard;
    uint64_t series;
};

/* How shards would be filled. */
struct simulated_balance {
    uint32_t fullest;
    uint64_t most, all;
    double mean, skew;
};

static const struct ss_sharding *
sharding_of(const struct view *v)
{
    return v->page->config->sharding;
}

/* The series of each shard; NULL for want of memory, else the caller's. */
static uint64_t *
loads_of(const struct view *v, const struct distribution *f, uint32_t count, struct simulated_balance *b)
{
    uint64_t *loads = calloc(count, sizeof(*loads));
    *b = (struct simulated_balance){.skew = 1};
    if (!loads)
        return NULL;
    distribution_shard_loads(f, sharding_of(v), count, loads);
    for (uint32_t i = 0; i < count; i++) {
        b->all += loads[i];
        if (loads[i] > b->most) {
            b->most = loads[i];
            b->fullest = i;
        }
    }
    b->mean = (double)b->all / count;
    if (b->all)
        b->skew = (double)b->most / b->mean;
    return loads;
}

/* The counts near by. */

static void
write_count(const struct view *v, const struct distribution *f, uint32_t count, uint32_t asked, double skew)
{
    struct simulated_balance b;
    uint64_t *loads = loads_of(v, f, count, &b);
    if (!loads)
        return;
    free(loads);
    HTML(v->out,
         "<tr aria-current=\"{}\"><th "
         "scope=\"row\">{}</th><td>{}</td><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
         count == asked ? "true" : "false", html_count(count).text, html_ratio(b.skew).text,
         b.skew < skew ? "\u2212" : "+", html_ratio(b.skew < skew ? skew - b.skew : b.skew - skew).text,
         html_count(b.most).text, html_count((uint64_t)(b.mean + .5)).text,
         html_count(distribution_moved_series(f, sharding_of(v), asked, count)).text);
}

static void
write_counts(const struct view *v, const struct distribution *f, uint32_t asked, double skew)
{
    const uint32_t counts[] = {asked - 1, asked, asked + 1, asked > 1 ? 2 * asked : 0};
    HTML(v->out,
         "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"counts\"><table id=\"fall-counts\">"
         "<caption id=\"counts\">{} shards, and counts near by</caption>\n<thead><tr><th scope=\"col\">Shards</th>"
         "<th scope=\"col\">Skew</th><th scope=\"col\">Change</th><th scope=\"col\">Series in the fullest</th><th "
         "scope=\"col\">In the mean</th>"
         "<th scope=\"col\">Series elsewhere</th></tr></thead><tbody>\n",
         html_count(asked).text);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (counts[i] && counts[i] <= COUNT_MAX)
            write_count(v, f, counts[i], asked, skew);
    fputs("</tbody></table></div>\n", v->out);
}

/* The shards. */

static int
compare_loads(const void *a, const void *b)
{
    const struct simulated_load *x = a, *y = b;
    return x->series != y->series ? (x->series < y->series ? 1 : -1) : x->shard < y->shard ? -1 : x->shard > y->shard;
}

static void
write_rows(const struct view *v, const uint64_t *series, uint32_t count, const struct simulated_balance *b)
{
    struct simulated_load *loads = calloc(count, sizeof(*loads));
    if (!loads)
        return;
    for (uint32_t i = 0; i < count; i++)
        loads[i] = (struct simulated_load){i, series[i]};
    if (count > ROWS_MAX)
        qsort(loads, count, sizeof(*loads), compare_loads);
    for (uint32_t i = 0; i < count && i < ROWS_MAX; i++) {
        char shard[16];
        snprintf(shard, sizeof(shard), "%u", loads[i].shard);
        HTML(v->out, "<tr><th scope=\"row\">{}</th>", shard);
        page_bar(v, (double)loads[i].series, (double)b->most, "");
        HTML(v->out, "<td>{}</td></tr>\n", html_count(loads[i].series).text);
    }
    free(loads);
}

static void
write_shards(const struct view *v, const uint64_t *series, uint32_t count, const struct simulated_balance *b)
{
    HTML(v->out,
         "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"fall-all\"><table id=\"fall-shards\">"
         "<caption id=\"fall-all\">{}{} shards</caption>\n<thead><tr><th scope=\"col\">Shard</th><th scope=\"col\" "
         "class=\"wide\"><span class=\"hidden\">Bar</span></th><th scope=\"col\">Series</th></tr></thead><tbody>\n",
         count > ROWS_MAX ? "The fullest of " : "Each of ", html_count(count).text);
    write_rows(v, series, count, b);
    fputs("</tbody></table></div>\n", v->out);
}

/* The answer. */

/* What is not in the numbers. */
static void
write_gaps(const struct view *v, const struct distribution *f)
{
    if (f->parted)
        HTML(v->out,
             "<p class=\"soft\">Left out: {} series of {} families that part, series by series, or whose samples have "
             "rules of their own. Where they fall cannot be told from here; <code>scrapeshard plan</code> tells it "
             "from the body.</p>\n",
             html_count(f->parted).text, html_count(f->parted_families).text);
    if (f->uncounted)
        HTML(v->out,
             "<p class=\"soft\">Left out: {} series that are of no family or of one of too many; {} families are "
             "remembered.</p>\n",
             html_count(f->uncounted).text, html_count(DISTRIBUTION_FAMILIES_MAX).text);
}

static void
write_fall(const struct view *v, const struct telemetry_endpoint *e, uint32_t count)
{
    const struct distribution *f = &e->distribution;
    struct simulated_balance b;
    HTML(v->out, "<div id=\"fall\">\n<p>Endpoint {}, by its answer of ", e->name);
    page_print_ago(v, f->when);
    fputs(":</p>\n", v->out);
    write_gaps(v, f);
    uint64_t *loads = f->n || f->every ? loads_of(v, f, count, &b) : NULL;
    if (loads) {
        HTML(
            v->out,
            "<dl class=\"tiles\"><div><dt>Skew (largest/mean)</dt><dd class=\"{}\">{}</dd></div><div><dt>Series in the "
            "fullest</dt><dd>{}</dd></div><div><dt>Series in the mean</dt><dd>{}</dd></div></dl>\n",
            b.skew > 2 ? "warn" : "", html_ratio(b.skew).text, html_count(b.most).text,
            html_count((uint64_t)(b.mean + .5)).text);
        write_counts(v, f, count, b.skew);
        write_shards(v, loads, count, &b);
    }
    free(loads);
    fputs("</div>\n", v->out);
}

/* The endpoint that is asked for, or the first; NULL: there is none of that name. */
static const struct telemetry_endpoint *
find_asked(const struct view *v)
{
    const struct telemetry *t = v->page->telemetry;
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        if (!e->left && (!v->page->endpoint || !strcmp(e->name, v->page->endpoint)))
            return e;
    return NULL;
}

static void
write_answer(const struct view *v, uint32_t count, const struct ss_shards_error *wrong)
{
    const struct telemetry_endpoint *e = find_asked(v);
    if (!count)
        HTML(v->out, "<p class=\"alarm\" id=\"fall\">Shards in all: {}</p>\n", wrong->reason);
    else if (!e)
        HTML(v->out, "<p class=\"alarm\" id=\"fall\">There is no endpoint {}</p>\n", v->page->endpoint);
    else if (!e->distribution.when)
        HTML(v->out,
             "<p class=\"soft\" id=\"fall\">Endpoint {} was not scraped well yet under this configuration, so that "
             "nothing is known of its families.</p>\n",
             e->name);
    else
        write_fall(v, e, count);
}

/* Which endpoint; where there is but one, nobody is asked. */
static void
write_choice(const struct view *v)
{
    const struct telemetry *t = v->page->telemetry;
    if (v->page->config->n_endpoints < 2)
        return;
    fputs("<div><label for=\"endpoint\">Endpoint</label><select id=\"endpoint\" name=\"endpoint\">", v->out);
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        if (!e->left)
            HTML(v->out, "<option{}>{}</option>", e == find_asked(v) ? " selected" : "", e->name);
    fputs("</select></div>\n", v->out);
}

void
page_what_if(const struct view *v)
{
    struct ss_shards_error wrong;
    struct html_number filled;
    uint32_t count = page_asked_count(v, v->page->what_if, &wrong, &filled);
    fputs(
        "<section aria-labelledby=\"what-if\">\n<h2 id=\"what-if\">What if there were another number of shards?</h2>\n"
        "<form action=\"/#what-if\" method=\"get\">\n",
        v->out);
    write_choice(v);
    HTML(v->out,
         "<div><label for=\"n\">Shards there would be</label><input id=\"n\" name=\"n\" type=\"number\" min=\"1\" "
         "max=\"65536\" required value=\"{}\"></div>\n<button>Show</button>\n</form>\n",
         filled.text);
    if (v->page->what_if)
        write_answer(v, count, &wrong);
    fputs("</section>\n", v->out);
}
