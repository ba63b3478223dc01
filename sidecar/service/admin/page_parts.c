/* SPDX-License-Identifier: Apache-2.0 */
#include "page_parts.h"

#include <stdio.h>
#include <string.h>

int64_t
page_wall_time(const struct page_view *v, int64_t time)
{
    return telemetry_wall(v->page->telemetry, time) / 1000;
}

void
page_print_ago(const struct page_view *v, int64_t time)
{
    HTML(v->out, "<time datetime=\"{}\">{} ago</time>", html_time(page_wall_time(v, time)).text,
         html_duration(v->now - time).text);
}

void
page_print_state(const struct page_view *v, const char *kind, const char *word)
{
    const char *mark = !strcmp(kind, "good") ? "\u2713" : !strcmp(kind, "bad") ? "\u2717" : "\u25cb";
    HTML(v->out, "<span class=\"state {}\"><span aria-hidden=\"true\">{}</span> {}</span>", kind, mark, word);
}

void
page_print_bar(const struct page_view *v, double part, double of, const char *kind)
{
    HTML(v->out,
         "<td class=\"bar wide\"><svg viewBox=\"0 0 100 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect "
         "class=\"{}\" width=\"{}\" height=\"10\"/></svg></td>",
         kind, html_percent(part, of).text);
}

/* The initial value of a form: a count that is expected. */
static uint32_t
default_count(const struct page_view *v)
{
    const struct telemetry *t = v->page->telemetry;
    for (const struct telemetry_endpoint *e = t->endpoints; e < t->endpoints + t->n_endpoints; e++)
        for (const struct tracked_count *c = e->tracker.counts; c < e->tracker.counts + TRACKED_COUNTS; c++)
            if (!e->removed && shard_tracker_count_is_expected(&e->tracker, c, v->now))
                return c->count;
    return 2;
}

uint32_t
page_parse_count(const struct page_view *v, const char *text, struct ss_shards_error *error, struct html_number *filled)
{
    uint32_t count = 0;
    ss_shard_count_parse(&count, text ? (struct ss_span){text, strlen(text)} : (struct ss_span){"", 0}, error);
    snprintf(filled->text, sizeof(filled->text), "%u", count ? count : default_count(v));
    return count;
}
