/* SPDX-License-Identifier: Apache-2.0 */
/* The groups that colocate rules name: the families that each holds together, and their shard. */
#include "page_parts.h"
#include "service/config/config.h"

#include <stdlib.h>
#include <string.h>

void
page_print_members(const struct page_view *v, const struct named_group *g)
{
    size_t n = named_group_members(g);
    for (size_t i = 0; i < n; i++)
        HTML(v->out, "{}<code>{}</code> ({})", i ? ", " : "", g->largest[i].name,
             html_count(g->largest[i].series).text);
    if (g->families > n)
        HTML(v->out, " and {} more", html_count(g->families - n).text);
}

/* The group's shard under each expected count. */
static void
write_shards(const struct page_view *v, const struct shard_tracker *tracker, uint64_t hash)
{
    const char *separator = "";
    for (const struct tracked_count *c = tracker->counts; c < tracker->counts + TRACKED_COUNTS; c++) {
        if (!shard_tracker_count_is_expected(tracker, c, v->now))
            continue;
        fprintf(v->out, "%s%u of %u", separator, ss_sharding_place(v->page->config->sharding, hash, c->count),
                c->count);
        separator = ", ";
    }
}

static int
compare_groups(const void *a, const void *b)
{
    const struct named_group *x = *(const struct named_group *const *)a, *y = *(const struct named_group *const *)b;
    return x->series != y->series ? (x->series < y->series ? 1 : -1) : strcmp(x->name, y->name);
}

static void
write_rows(const struct page_view *v, const struct telemetry_endpoint *e)
{
    const struct distribution *d = &e->distribution;
    const struct named_group *sorted[DISTRIBUTION_GROUPS_MAX] = {NULL};

    for (size_t i = 0; i < d->n_groups; i++)
        sorted[i] = &d->groups[i];
    qsort(sorted, d->n_groups, sizeof(*sorted), compare_groups);
    for (size_t i = 0; i < d->n_groups; i++) {
        HTML(v->out, "<tr><th scope=\"row\" class=\"name\"><code>{}</code></th><td>{}</td><td>{}</td><td>",
             sorted[i]->name, html_count(sorted[i]->families).text, html_count(sorted[i]->series).text);
        write_shards(v, &e->tracker, sorted[i]->hash);
        fputs("</td><td class=\"name\">", v->out);
        page_print_members(v, sorted[i]);
        fputs("</td></tr>\n", v->out);
    }
}

void
page_groups(const struct page_view *v, const struct telemetry_endpoint *e, size_t id)
{
    const struct distribution *d = &e->distribution;
    char anchor[32];

    if (!d->when || !d->n_groups)
        return;
    snprintf(anchor, sizeof(anchor), "e%zu-groups", id);
    HTML(v->out,
         "<h3>Groups</h3>\n<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"{}\">"
         "<table><caption id=\"{}\">Families that colocate rules keep together, in the last complete body</caption>\n"
         "<thead><tr><th scope=\"col\">Group</th><th scope=\"col\">Families</th><th scope=\"col\">Series</th>"
         "<th scope=\"col\">Shard</th><th scope=\"col\" class=\"left\">Largest families</th></tr></thead><tbody>\n",
         anchor, anchor);
    write_rows(v, e);
    fputs("</tbody></table></div>\n", v->out);
    if (d->all_groups > d->n_groups)
        HTML(v->out, "<p class=\"soft\">{} more groups are not listed.</p>\n",
             html_count(d->all_groups - d->n_groups).text);
}
